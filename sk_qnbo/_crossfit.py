"""Cross-fitting: every rung tuned without a fold's rows, then judged on them."""

import time
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, stdtrit

from ._deadline import rounds
from ._ladder import RungModels, climb
from ._results import standard_errors
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
        What tuning each rung took.
    score_seconds : float
        What judging one rung took.
    late : tuple of str
        Rungs that the limit on time cut short.
    """

    names: tuple
    rows: np.ndarray
    weights: np.ndarray
    losses: np.ndarray
    scores: dict
    fit_seconds: np.ndarray
    score_seconds: float
    late: tuple = ()


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
        # a rung that was not tuned, as those before it were clearly worse, took no time
        tuple(fit.rung.name for fit in fits if fit.late and fit.seconds > 0),
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


def fit_outer(source, main, rungs, settings, hints, tuning, outer, scoring, deadline, n_parts):
    """Tune without the rows of fold ``outer`` and judge on them; None where that is impossible.

    A climb ends early at a departure rung that is clearly worse on those rows than a rung before
    it: what follows has still more freedom, and counts as this one. Scorers of the
    user see every rung. The time up to ``deadline`` is for ``n_parts`` such fits one after another.
    """
    mine = deadline.part(n_parts)
    tuned = tuning.stack_without(source, main, outer)
    if tuned is None:
        return None
    hints = hints if tuned.spec is main.spec else None  # folds may have columns of their own
    own = tuning.train[[outer]], tuning.valid[[outer]]
    one = Stack(source.folds(*own, tuned.folds.names), main.spec, main)
    models_of = RungModels(one, tuned.reference(), settings.method)
    fits, models = [], []
    tol = settings.tol * (_COARSER if tuned.large else 1.0)
    for fit in climb(tuned, rungs, replace(settings, tol=tol, seconds=mine.left), hints=hints):
        fits.append(fit.bare())
        models.append((models_of.coefficients(fit), models_of.alpha(fit)))
        if scoring is None and np.isfinite(fit.rung.tau):
            judged = _judge_all(one, 0, fits, models, None)
            if _clearly_worse(judged):
                rest = rungs[len(fits) :]
                fits += [replace(fit, rung=rung, seconds=0.0) for rung in rest]
                models += [models[-1]] * len(rest)
                break
    return _judge_all(one, 0, fits, models, scoring)


# how much earlier the rungs of a fold end where an estimate is dear: what that leaves is below
# what the choice of a rung cares for
_COARSER = 3.0

# with fewer judged rows a standard error says little
_FEWEST_ROWS = 8


# part of the loss beyond which few rows need no test: what follows has more freedom still
_MUCH = 0.1


def _clearly_worse(judged, level=0.98):
    """Whether the newest rung is beyond the best one, by much or by a paired t-test."""
    n_rows = len(judged.rows)
    if n_rows < _FEWEST_ROWS:
        return False
    best = int(np.argmax(judged.scores["score"]))
    error = standard_errors(judged.losses[[-1]] - judged.losses[[best]], judged.weights)[0]
    lowest = -judged.scores["score"][best]
    gap = -judged.scores["score"][-1] - lowest
    return gap > min(stdtrit(n_rows - 1, level) * error, _MUCH * lowest)


# judged rows and folds from which on the cross-fit may be over before its last fold
_ENOUGH_ROWS, _ENOUGH_FOLDS = 500, 2
# part of the loss that is not worth another fold
_NEGLIGIBLE = 2e-3


def settled(judged):
    """Whether the folds so far tell which rung to choose.

    They do where taking the best one is expected to cost no more than a negligible part of the
    loss: with the mean g and the standard error e of the paired difference of another, its share
    is ``e phi(g / e) - g Phi(-g / e)`` for a normal difference, and their sum bounds the cost
    (after Chick and Inoue, "New two-stage and sequential procedures for selecting the best
    simulated system", Operations Research 49, 2001). The error is that of rows or that of folds,
    whichever is larger, in case rows of a fold are alike. Only splitters of independent rows ask
    (``FoldTuning.exchangeable``).
    """
    judged = [one for one in judged if one is not None]
    if len(judged) < _ENOUGH_FOLDS or sum(len(one.rows) for one in judged) < _ENOUGH_ROWS:
        return False
    reached = min(len(one.names) for one in judged)
    losses = np.concatenate([one.losses[:reached] for one in judged], axis=1)
    weights = np.concatenate([one.weights for one in judged])
    means = losses @ weights / weights.sum()
    best = int(np.argmin(means))
    ahead = losses - losses[best]
    errors = np.maximum(standard_errors(ahead, weights), _between_folds(judged, ahead))
    cost = _opportunity_cost(means - means[best], errors)
    return bool(cost.sum() <= _NEGLIGIBLE * abs(means[best]))


def _opportunity_cost(gap, error):
    """Expected amount by which normal variables of mean ``gap >= 0`` are below zero."""
    error = np.maximum(error, np.finfo(float).tiny)
    z = np.minimum(gap / error, 40.0)
    return error * (np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi) - z * ndtr(-z))


def _between_folds(judged, values):
    """Standard errors of the means of rows ``(n_rungs, n_rows)``, from the folds' own means.

    Folds are few, so that their spread is uncertain itself: Student's upper bound of one deviation.
    """
    ends = np.cumsum([len(one.rows) for one in judged])[:-1]
    parts, weights = np.split(values, ends, axis=1), [one.weights for one in judged]
    means = [part @ w / w.sum() for part, w in zip(parts, weights, strict=True)]
    errors = standard_errors(np.stack(means, axis=1), np.array([w.sum() for w in weights]))
    return stdtrit(len(judged) - 1, ndtr(1.0)) * errors


def cross_fit(source, main, rungs, settings, hints, tuning, scoring, n_jobs, deadline):
    """Climb the ladder once without each fold; yields a Judged, or None, as they are done.

    Each of the rounds that the workers make has an equal share of the time that is left when it
    begins.

    Parameters
    ----------
    source : PlainSource or PipelineSource
    main : Stack
        The stack of all folds.
    rungs : list of Rung
    settings : Settings
    hints : dict of tuple
        By rung, what the climb on all folds has learnt (see :func:`sk_qnbo._ladder.climb`).
    tuning : FoldTuning
    scoring : ModelScores or None
    n_jobs : int or None
    deadline : Deadline
    """
    shared = source, main, rungs, settings, hints, tuning
    n_folds, n_workers = len(tuning.train), effective_n_jobs(n_jobs)
    tasks = (
        (*shared, k, scoring, deadline, rounds(n_folds, n_workers) - k // n_workers)
        for k in range(n_folds)
    )
    return in_order(fit_outer, tasks, n_jobs)
