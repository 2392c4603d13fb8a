"""Cross-fitting: every rung tuned without a fold's rows, then judged on them."""

import time
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from ._deadline import rounds
from ._evidence import candidates, is_worse
from ._ladder import RungModels, climb
from ._stack import Stack
from ._workers import effective_n_jobs, in_order
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
    fit_seconds : ndarray of shape (n_rungs,)
        What tuning each rung took; zero where it was not tuned, as a rung before it did not pay.
    score_seconds : float
        What judging one rung took.
    late : tuple of str
        Rungs that the limit on time cut short.
    n_simple : int
        Number of rungs without departures.
    missing : int
        Number of rungs that the limit on time left out.
    """

    names: tuple
    rows: np.ndarray
    weights: np.ndarray
    losses: np.ndarray
    scores: dict
    fit_seconds: np.ndarray
    score_seconds: float
    late: tuple = ()
    n_simple: int = 1
    missing: int = 0

    @property
    def n_tuned(self):
        """Number of rungs that were tuned."""
        return int((self.fit_seconds > 0).sum())


def judge_fold(folds, design, fold, fits, W, alpha, scoring):
    """Judge models ``W (n_rungs, n_outputs, n_columns)`` on the validation rows of one fold."""
    begun = time.perf_counter()
    judged = np.flatnonzero(folds.valid[fold] > 0)
    coef, intercept = design.raw(W, fold)
    raw = _predict(folds.take(fold, judged), coef) + intercept[:, :, None]
    losses = _user_losses(folds, judged, raw)
    coef = coef * folds.units.target
    intercept = intercept * folds.units.target + folds.units.center
    weights = folds.valid[fold][judged]
    scores = {"score": -(losses @ weights) / weights.sum()}
    if scoring is not None:
        scores = scoring(folds, fold, judged, coef, intercept, alpha)
    return _told(fits, folds.index[judged], weights, losses, scores, begun)


def _told(fits, rows, weights, losses, scores, begun):
    return Judged(
        tuple(fit.rung.name for fit in fits),
        rows,
        weights,
        losses,
        scores,
        np.array([fit.seconds for fit in fits]),
        (time.perf_counter() - begun) / len(fits),
        tuple(fit.rung.name for fit in fits if fit.late and fit.seconds > 0),
        max(sum(np.isinf(fit.rung.tau) for fit in fits), 1),
    )


def _user_losses(folds, judged, raw):
    """Losses of predictions ``(n_rungs, n_outputs, n_judged)`` of rows, in the user's units."""
    loss = LOSSES[folds.loss](folds.targets[:, judged])
    # a squared error is that of all targets, and not halved
    squared = loss.name == "squared_error"
    unit = 2.0 / loss.mean_over * folds.units.target**2 if squared else 1.0
    return loss.at(raw).value * unit


def _predict(X, coef):
    R, C, d = coef.shape
    return np.asarray(X @ coef.reshape(R * C, d).T).T.reshape(R, C, -1)


def judge_stack(stack, fits, scoring=None):
    """What the search believed while it tuned: every rung judged on its own folds.

    Under leave-one-out there is one judgement, of every row as predicted without it.
    """
    if stack.left_out:
        return [_judge_left_out(stack, fits, scoring)]
    W = [fit.result.point.W for fit in fits]
    n_folds = len(stack.folds.train)
    alpha = [[None] * n_folds] * len(fits)
    if scoring is not None:  # scorers see models, and these their penalties
        alpha = [stack.raw_alpha(fit) for fit in fits]
    out = []
    for k in range(n_folds):
        models = [(w[k], a[k]) for w, a in zip(W, alpha, strict=True)]
        out.append(_judge_all(stack, k, fits, models, scoring))
    return out


def _judge_left_out(stack, fits, scoring):
    """Every rung judged by its predictions of each row without it."""
    begun, folds = time.perf_counter(), stack.folds
    judged = np.flatnonzero(folds.valid[0] > 0)
    raw = np.stack([stack.predictions(fit) for fit in fits])[..., judged]
    losses, weights = _user_losses(folds, judged, raw), folds.valid[0][judged]
    scores = {"score": -(losses @ weights) / weights.sum()}
    if scoring is not None:
        outside = raw * folds.units.target + np.reshape(folds.units.center, (-1, 1))
        scores = scoring.of_predictions(outside, folds.index[judged])
    return _told(fits, folds.index[judged], weights, losses, scores, begun)


def _judge_all(stack, fold, fits, models, scoring):
    W, alpha = np.stack([W for W, _ in models]), [alpha for _, alpha in models]
    return judge_fold(stack.folds, stack.design, fold, fits, W, alpha, scoring)


def fit_outer(source, main, rungs, settings, tuning, outer, scoring, deadline, n_parts):
    """Tune without the rows of fold ``outer`` and judge on them; None where that is impossible.

    A climb ends early at a rung with departures that is worse on those rows than a rung before it:
    what follows has still more freedom, and counts as this one. Scorers of the user see every rung.
    The time up to ``deadline`` is for ``n_parts`` such parts one after another.
    """
    mine = deadline.part(n_parts)
    tuned = tuning.stack_without(source, main, outer)
    if tuned is None:
        return None
    own = tuning.train[[outer]], tuning.valid[[outer]]
    one = Stack(source.folds(*own, tuned.folds.names), main.spec, main)
    models_of = RungModels(one, tuned.reference(), settings.method)
    fits, models = [], []
    tol = settings.tol * (_COARSER if tuned.large else 1.0)
    for fit in climb(tuned, rungs, replace(settings, tol=tol, seconds=mine.left)):
        fits.append(fit.bare())
        models.append((models_of.coefficients(fit), models_of.alpha(fit)))
        if scoring is None and np.isfinite(fit.rung.tau):
            if is_worse(_judge_all(one, 0, fits, models, None)):
                rest = rungs[len(fits) :]
                fits += [replace(fit, rung=rung, seconds=0.0) for rung in rest]
                models += [models[-1]] * len(rest)
                break
    judged = _judge_all(one, 0, fits, models, scoring)
    return replace(judged, missing=len(rungs) - len(fits))


# how much earlier the rungs of a fold end where an estimate is dear: what that leaves is below
# what the choice of a rung cares for
_COARSER = 3.0


def cross_fit(source, main, rungs, settings, tuning, scoring, n_jobs, deadline):
    """Climb the ladder once without each fold; yields a Judged, or None, as they are done.

    Rungs that are no :func:`candidates` any more are not tuned without later folds. Each of the
    rounds that the workers make, and a climb behind them, has an equal share of the time that is
    left when it begins.

    Parameters
    ----------
    source : PlainSource or PipelineSource
    main : Stack
        The stack of all folds.
    rungs : list of Rung
    settings : Settings
    tuning : FoldTuning
    scoring : ModelScores or None
    n_jobs : int or None
    deadline : Deadline
    """
    n_folds, n_workers, known = len(tuning.train), effective_n_jobs(n_jobs), []

    def tasks():
        for k in range(n_folds):
            left = rungs[: candidates(known)] if known and scoring is None else rungs
            n_parts = 1 + rounds(n_folds, n_workers) - k // n_workers
            yield source, main, left, settings, tuning, k, scoring, deadline, n_parts

    with closing(in_order(fit_outer, tasks(), n_jobs)) as results:
        for judged in results:
            known += [] if judged is None else [judged]
            yield judged
