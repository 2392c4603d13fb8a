"""Cross-fitting: every rung tuned without a fold's rows, then judged on them."""

from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed

from ._ladder import Stack, climb, fit_rungs
from .problems import LOSSES


@dataclass(frozen=True)
class OuterFit:
    """The ladder climbed without the rows of one fold.

    Attributes
    ----------
    names : tuple of str
        Rungs that were reached.
    rows : ndarray of int
        Rows left out.
    raw : ndarray of shape (n_rungs, n_outputs, n_rows_left_out)
        Linear predictors of every rung on those rows.
    losses : ndarray of shape (n_rungs, n_rows_left_out)
    coef : ndarray of shape (n_rungs, n_outputs, n_features)
    intercept : ndarray of shape (n_rungs, n_outputs)
    alpha : ndarray of shape (n_rungs, n_features)
    """

    names: tuple
    rows: np.ndarray
    raw: np.ndarray
    losses: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    alpha: np.ndarray


def inner_splits(train, valid, outer):
    """Folds inside the training rows of fold ``outer``: the other folds, without its rows.

    The boundaries of the folds stay, so groups stay together and order stays order.

    Parameters
    ----------
    train, valid : ndarray of bool of shape (n_folds, n_rows)

    Returns
    -------
    train, valid : ndarray of bool of shape (at most n_folds - 1, n_rows)
    """
    inside = train[outer]
    others = np.arange(len(train)) != outer
    inner_train, inner_valid = train[others] & inside, valid[others] & inside
    use = inner_train.any(axis=1) & inner_valid.any(axis=1)
    return inner_train[use], inner_valid[use]


def fit_outer(source, spec, rungs, settings, train, valid, outer):
    """Tune without the rows of fold ``outer`` and judge on them; None where that is impossible."""
    inner = inner_splits(train, valid, outer)
    if len(inner[0]) == 0:
        return None
    tuned = Stack(source.folds(*inner), spec)
    fits = climb(tuned, rungs, settings)
    folds = source.folds(train[outer : outer + 1], valid[outer : outer + 1])
    one = Stack(folds, spec)
    refits = fit_rungs(one, tuned.reference(), fits, settings.method)
    judged = np.flatnonzero(folds.valid[0] > 0)
    W = np.concatenate([point.W for point, _ in refits])
    raw = one.design.rows.predict(W)[:, :, judged]
    coef, intercept = one.design.raw(W)
    loss = LOSSES[folds.loss](folds.targets[:, judged])
    values = loss.at(raw).value / loss.mean_over
    return OuterFit(tuple(f.rung.name for f in fits), folds.index[judged], raw, values, coef,
                    intercept, np.stack([alpha for _, alpha in refits]))


def cross_fit(source, spec, rungs, settings, train, valid, n_jobs=None):
    """Climb the ladder once without each fold.

    Returns
    -------
    list of OuterFit or None, one a fold
    """
    call = delayed(fit_outer)
    return Parallel(n_jobs=n_jobs)(
        call(source, spec, rungs, settings, train, valid, k) for k in range(len(train))
    )
