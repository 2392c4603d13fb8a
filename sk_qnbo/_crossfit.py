"""Cross-fitting: every rung tuned without a fold's rows, then judged on them."""

import time
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from ._deadline import rounds
from ._evidence import are_alike, candidates, is_behind
from ._ladder import RungModels, climb
from ._stack import Stack
from ._workers import effective_n_jobs, in_order
from .problems import LOSSES


@dataclass(frozen=True)
class Judged:
    """Rungs' models of one fold, judged on the rows that the fold left out.

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
    n_simple : int
        Number of rungs without departures.
    missing : int
        Number of rungs that the limit on time left out.
    alike : bool
        Whether the other folds are like this one, so that some may speak for all.
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
    alike: bool = True


def joined(parts):
    """One judgement of several rungs, from those of each on the same rows."""

    def all_of(name):
        return np.concatenate([getattr(one, name) for one in parts])

    return replace(
        parts[0],
        names=sum((one.names for one in parts), ()),
        losses=all_of("losses"),
        scores={m: np.concatenate([one.scores[m] for one in parts]) for m in parts[0].scores},
        fit_seconds=all_of("fit_seconds"),
        score_seconds=float(np.mean([one.score_seconds for one in parts])),
        late=sum((one.late for one in parts), ()),
        n_simple=sum(one.n_simple for one in parts),
    )


def judge_fold(stack, fold, fit, W, alpha, scoring):
    """Judge a rung's model ``W (n_outputs, n_columns)`` on the validation rows of one fold."""
    begun, folds = time.perf_counter(), stack.folds
    judged = np.flatnonzero(folds.valid[fold] > 0)
    coef, intercept = stack.design.raw(W[None], fold)
    raw = _predict(folds.take(fold, judged), coef) + intercept[:, :, None]
    losses = _user_losses(folds, judged, raw)
    coef = coef * folds.units.target
    intercept = intercept * folds.units.target + folds.units.center
    weights = folds.valid[fold][judged]
    scores = {"score": -(losses @ weights) / weights.sum()}
    if scoring is not None:
        scores = scoring(folds, fold, judged, coef, intercept, [alpha])
    return _told(fit, folds.index[judged], weights, losses, scores, begun)


def _told(fit, rows, weights, losses, scores, begun):
    return Judged(
        (fit.rung.name,),
        rows,
        weights,
        losses,
        scores,
        np.array([fit.seconds]),
        time.perf_counter() - begun,
        (fit.rung.name,) if fit.late else (),
        int(np.isinf(fit.rung.tau)),
    )


def _user_losses(folds, judged, raw):
    """Losses of predictions ``(n_rungs, n_outputs, n_judged)`` of rows, in the user's units."""
    loss = LOSSES[folds.loss](folds.targets[:, judged])
    return loss.at(raw).value * (_user_unit(folds) / loss.mean_over)


def _user_unit(folds):
    """What a unit of the engine's mean loss is for the user: a squared error is not halved."""
    return 2.0 * folds.units.target**2 if folds.loss == "squared" else 1.0


# part of the loss of no fit below which a loss is rounding
_ROUNDING = 1e-12


def rounding_of(folds):
    """Losses, in the user's units, that are rounding beside that of no fit."""
    return _ROUNDING * _user_unit(folds)


def _predict(X, coef):
    R, C, d = coef.shape
    return np.asarray(X @ coef.reshape(R * C, d).T).T.reshape(R, C, -1)


def tune_and_judge(stack, rungs, settings, scoring, progress):
    """Tune rungs on a stack; their fits, and what is believed of them: a Judged for each fold.

    Under leave-one-out there is one judgement, of every row as predicted without it. Rungs are
    judged one by one, as their coefficients fill the memory.
    """
    fits, believed = [], []
    for fit in climb(stack, rungs, settings, progress):
        believed.append(_judge_stack(stack, fit, scoring))
        fits.append(fit.bare())
        del fit  # its coefficients fill the memory
    return fits, [joined(parts) for parts in zip(*believed, strict=True)]


def _judge_stack(stack, fit, scoring):
    if stack.left_out:
        return [_judge_left_out(stack, fit, scoring)]
    # scorers see models, and these their penalties
    alpha = [None] * len(fit.W) if scoring is None else stack.raw_alpha(fit)
    return [judge_fold(stack, k, fit, W, alpha[k], scoring) for k, W in enumerate(fit.W)]


def _judge_left_out(stack, fit, scoring):
    """A rung judged by its predictions of each row without it."""
    begun, folds = time.perf_counter(), stack.folds
    judged = np.flatnonzero(folds.valid[0] > 0)
    raw = stack.predictions(fit)[None][..., judged]
    losses, weights = _user_losses(folds, judged, raw), folds.valid[0][judged]
    scores = {"score": -(losses @ weights) / weights.sum()}
    if scoring is not None:
        outside = raw * folds.units.target + np.reshape(folds.units.center, (-1, 1))
        scores = scoring.of_predictions(outside, folds.index[judged])
    return _told(fit, folds.index[judged], weights, losses, scores, begun)


def fit_outer(source, main, rungs, settings, tuning, outer, scoring, early, deadline, n_parts):
    """Tune without the rows of fold ``outer`` and judge on them; None where that is impossible.

    Where rows are many and some folds speak for all, a climb ends ``early``: at a rung with
    departures that is behind another on those rows, as what follows has still more freedom. The
    time up to ``deadline`` is for ``n_parts`` such parts one after another.
    """
    mine = deadline.part(n_parts)
    tuned = tuning.stack_without(source, main, outer)
    if tuned is None:
        return None
    own = tuning.train[[outer]], tuning.valid[[outer]]
    one = Stack(source.folds(*own, tuned.folds.names), main.spec, main)
    models = RungModels(one, tuned.reference(), settings.method)
    parts, over = [], False
    tol = settings.tol * (_COARSER if tuned.large else 1.0)
    for fit in climb(tuned, rungs, replace(settings, tol=tol, seconds=mine.left)):
        W, alpha = models.coefficients(fit), models.alpha(fit)
        parts.append(judge_fold(one, 0, fit, W, alpha, scoring))
        if early and tuning.ordered and len(parts) == 1:
            inside = _user_unit(one.folds) * fit.fold_values
            alike = are_alike(parts[0].losses[0], parts[0].weights, inside)
            parts[0] = replace(parts[0], alike=alike)
        over = early and np.isfinite(fit.rung.tau) and is_behind(joined(parts))
        del fit, W  # coefficients fill the memory
        if over:
            break
    return replace(joined(parts), missing=0 if over else len(rungs) - len(parts))


# how much earlier the rungs of a fold end where an estimate is dear: what that leaves is below
# what the choice of a rung cares for
_COARSER = 3.0


def cross_fit(source, main, rungs, settings, tuning, scoring, early, n_jobs, deadline):
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
    early : bool
        Whether some folds speak for all.
    n_jobs : int or None
    deadline : Deadline
    """
    n_folds, n_workers, known = len(tuning.train), effective_n_jobs(n_jobs), []
    # where folds before may make it needless, nothing is begun beyond what has workers: it would go
    # on beside the climb on all folds
    size = n_workers if early else n_folds

    def tasks(folds):
        for k in folds:
            # a copy, as joblib asks for tasks in a thread of its own
            left = rungs[: candidates(tuple(known), early)] if known else rungs
            n_parts = 1 + rounds(n_folds, n_workers) - k // n_workers
            yield source, main, left, settings, tuning, k, scoring, early, deadline, n_parts

    for first in range(0, n_folds, size):
        wave = tasks(range(first, min(first + size, n_folds)))
        with closing(in_order(fit_outer, wave, n_jobs)) as results:
            for judged in results:
                known += [] if judged is None else [judged]
                yield judged
