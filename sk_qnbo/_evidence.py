"""What judged rows tell of the rungs: which are worse, and when enough is known."""

import numpy as np
from scipy.special import chdtri, ndtr, stdtrit

from ._results import standard_errors

# with fewer judged rows a standard error says little
_FEWEST_ROWS = 8
# judged rows and folds from which on the cross-fit may be over before its last fold; and the rows
# of one fold that may say alone that a rung is no better
_ENOUGH_ROWS, _ENOUGH_FOLDS = 500, 2
# part of the loss, or of its standard error, that is not worth another fold
_NEGLIGIBLE, _UNSEEN = 2e-3, 1 / 30
# probabilities below a bound of rows, and of folds: one standard error, and clearly worse
_ONE_ERROR, _CLEARLY = (ndtr(1.0), ndtr(1.0)), (0.98, 0.9)
# probability of folds that differ as much, below which they are not alike
_ALIKE = 1e-3
# draws of the differences of the rungs from the best
_DRAWS = 10_000


def are_alike(losses, weights, others):
    """Whether folds differ by no more than the spread of one's rows allows.

    Where folds follow the order of the rows and that order means something, some of them say
    little of the rest.

    Parameters
    ----------
    losses, weights : ndarray of shape (n_rows,)
        Of one fold, for their spread.
    others : ndarray of shape (n_others,)
        Mean losses of other folds of about as many rows, by fits of about as many.
    """
    error = standard_errors(losses[None], weights)[0]
    apart = np.square(others - others.mean()).sum()
    return bool(apart <= chdtri(max(len(others) - 1, 1), _ALIKE) * error**2)


def is_behind(judged):
    """Whether the newest rung is behind another on so many rows of one fold that these may tell."""
    scores, enough = judged.scores["score"], len(judged.rows) >= _ENOUGH_ROWS
    return judged.alike and enough and bool(scores[-1] < scores.max())


def settled(judged):
    """Whether the folds so far tell which rung to choose.

    They do where taking the best one is expected to cost no more than a negligible part of the
    loss, or of what is not known of it: the expected opportunity cost (after Chick and Inoue, "New
    two-stage and sequential procedures for selecting the best simulated system", Operations
    Research 49, 2001; they bound it by a sum over rungs, which counts the same cost several times
    where rungs are alike). An error is that of rows or that of folds, whichever is larger, in case
    rows of a fold are alike. Only splitters of independent rows ask (``FoldTuning.exchangeable``).
    """
    judged = [one for one in judged if one is not None]
    if not all(one.alike for one in judged):
        return False
    if len(judged) < _ENOUGH_FOLDS or sum(len(one.rows) for one in judged) < _ENOUGH_ROWS:
        return False
    losses, weights, best = _pooled(judged, candidates(judged, early=True))
    largest = float(np.abs(losses).max())
    if not np.isfinite(largest):
        return False
    losses = losses / (largest or 1.0)  # or squares of large ones would overflow
    behind, errors = _behind(judged, losses, weights, best, _ONE_ERROR)
    cost = _opportunity_cost(behind, errors, _correlation(losses - losses[best], weights))
    unseen = standard_errors(losses[[best]], weights)[0]
    return bool(cost <= max(_NEGLIGIBLE * abs(losses[best] @ weights), _UNSEEN * unseen))


def reached(judged):
    """How many rungs all folds have reached."""
    return min(len(one.names) for one in judged)


def candidates(judged, early, complete=False):
    """How many rungs, from the first, may still be chosen; folds are taken in their order.

    Not those with departures at the end that are clearly worse on the rows of the folds so far, or
    have twice the loss (of a few rows, mostly: then no test tells). Once out, always out: so
    nothing depends on how many folds are tuned side by side.

    Parameters
    ----------
    judged : sequence of Judged
    early : bool
        Whether some folds speak for all: after two, four, eight and so on, as to look often is to
        be fooled often.
    complete : bool
        Whether these are all folds.
    """
    n_rungs = reached(judged)
    looks = [2**k for k in range(1, len(judged).bit_length())] if early else []
    for n_folds in (*looks, len(judged)) if complete else looks:
        known = judged[:n_folds]
        all_folds = complete and n_folds == len(judged)
        if not (all_folds or all(one.alike for one in known)):
            continue
        losses, weights, best = _pooled(known, n_rungs)
        if n_folds < _ENOUGH_FOLDS or len(weights) < _FEWEST_ROWS:
            continue
        behind, bounds = _behind(known, losses, weights, best, _CLEARLY)
        bounds = np.minimum(bounds, losses[best] @ weights)
        while n_rungs > known[0].n_simple and behind[n_rungs - 1] > bounds[n_rungs - 1]:
            n_rungs -= 1
    return n_rungs


def wanted(judged, n_rungs):
    """How many rungs would have been tuned on all folds without a limit on time."""
    first = next((one for one in judged if one.missing), None)  # later folds are given fewer
    if first is None or n_rungs < reached(judged):
        return n_rungs
    return len(first.names) + first.missing


def _pooled(judged, n_rungs):
    """Losses of all judged rows, their weights, and the index of the best rung.

    Folds count alike, as in the score that chooses; the weights sum to one.
    """
    losses = np.concatenate([one.losses[:n_rungs] for one in judged], axis=1)
    weights = np.concatenate([one.weights / one.weights.sum() for one in judged]) / len(judged)
    return losses, weights, int(np.argmin(losses @ weights))


def _behind(judged, losses, weights, best, levels):
    """By how much rungs are behind the best, and Student's bounds of that: of rows or of folds.

    Folds are few, so that their spread is uncertain itself; rows that several folds judge
    (repeated splits) count once.
    """
    behind = losses - losses[best]
    repeats = losses.shape[1] / len(np.unique(np.concatenate([one.rows for one in judged])))
    of_rows = stdtrit(losses.shape[1] - 1, levels[0]) * standard_errors(behind, weights)
    of_folds = stdtrit(len(judged) - 1, levels[1]) * _between_folds(judged, behind)
    return behind @ weights, np.sqrt(repeats) * np.maximum(of_rows, of_folds)


def _opportunity_cost(gap, error, correlation):
    """Expected amount by which the least of normal variables of mean ``gap >= 0`` is below zero."""
    values, vectors = np.linalg.eigh(correlation)
    normal = np.random.default_rng(0).standard_normal((_DRAWS, len(gap)))
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T  # whatever the vectors' signs
    drawn = error * (normal @ root)
    return float(np.maximum(-gap - np.concatenate([drawn, -drawn]), 0.0).max(axis=1).mean())


def _correlation(values, weights):
    """Weighted correlations of rows of ``values``; zero for one that is constant."""
    apart = values - (values @ weights)[:, None]
    covariance = (apart * weights) @ apart.T
    spread = np.sqrt(np.diag(covariance))
    spread[spread == 0.0] = np.inf
    return covariance / spread / spread[:, None]


def _between_folds(judged, values):
    """Standard errors of the means of rows ``(n_rungs, n_rows)``, from the folds' own means."""
    ends = np.cumsum([len(one.rows) for one in judged])[:-1]
    parts, weights = np.split(values, ends, axis=1), [one.weights for one in judged]
    means = [part @ w / w.sum() for part, w in zip(parts, weights, strict=True)]
    return standard_errors(np.stack(means, axis=1))
