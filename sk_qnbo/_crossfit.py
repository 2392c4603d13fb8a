"""Cross-fitting: every rung tuned without a fold's rows, then judged on them."""

from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed

from ._ladder import climb, fit_rungs
from ._stack import Stack, inner_splits
from .problems import LOSSES


@dataclass(frozen=True)
class Judged:
    """Every rung's model of one fold, judged on the rows that the fold left out.

    Attributes
    ----------
    names : tuple of str
        Rungs that were reached.
    rows : ndarray of int
        Rows left out.
    weights : ndarray of shape (n_rows_left_out,)
    losses : ndarray of shape (n_rungs, n_rows_left_out)
    scores : dict of ndarray of shape (n_rungs,)
        By metric, greater is better.
    """

    names: tuple
    rows: np.ndarray
    weights: np.ndarray
    losses: np.ndarray
    scores: dict


def judge_fold(folds, design, fold, names, W, alpha, scoring):
    """Judge models ``W (n_rungs, n_outputs, n_columns)`` on the validation rows of one fold."""
    judged = np.flatnonzero(folds.valid[fold] > 0)
    coef, intercept = design.raw(W, fold)
    X = folds.X[fold] if isinstance(folds.X, list) else folds.X
    raw = _predict(X[judged], coef) + intercept[:, :, None]
    loss = LOSSES[folds.loss](folds.targets[:, judged])
    losses = loss.at(raw).value * (2.0 / loss.mean_over if loss.name == "squared_error" else 1.0)
    weights = folds.valid[fold][judged]
    scores = {"score": -(losses @ weights) / weights.sum()}
    if scoring is not None:
        scores = scoring(folds, fold, judged, coef, intercept, alpha)
    return Judged(tuple(names), folds.index[judged], weights, losses, scores)


def _predict(X, coef):
    R, C, d = coef.shape
    return np.asarray(X @ coef.reshape(R * C, d).T).T.reshape(R, C, -1)


def judge_stack(folds, stack, fits, scoring=None):
    """What the search believed while it tuned: every rung judged on its own folds."""
    names = [fit.rung.name for fit in fits]
    alpha = [stack.raw_alpha(fit) for fit in fits]
    out = []
    for k in range(len(folds.train)):
        W = np.stack([fit.result.point.W[k] for fit in fits])
        out.append(judge_fold(folds, stack.design, k, names, W, [a[k] for a in alpha], scoring))
    return out


def fit_outer(source, spec, rungs, settings, train, valid, outer, scoring=None):
    """Tune without the rows of fold ``outer`` and judge on them; None where that is impossible."""
    inner = inner_splits(train, valid, outer)
    if len(inner[0]) == 0:
        return None
    tuned = Stack(source.folds(*inner), spec)
    fits = climb(tuned, rungs, settings)
    folds = source.folds(train[outer : outer + 1], valid[outer : outer + 1])
    one = Stack(folds, spec)
    refits = fit_rungs(one, tuned.reference(), fits, settings.method)
    W = np.concatenate([point.W for point, _ in refits])
    alpha = [alpha for _, alpha in refits]
    return judge_fold(folds, one.design, 0, [f.rung.name for f in fits], W, alpha, scoring)


def cross_fit(source, spec, rungs, settings, train, valid, scoring=None, n_jobs=None):
    """Climb the ladder once without each fold; yields a Judged, or None, as they are done."""
    call = delayed(fit_outer)
    return Parallel(n_jobs=n_jobs, return_as="generator")(
        call(source, spec, rungs, settings, train, valid, k, scoring) for k in range(len(train))
    )
