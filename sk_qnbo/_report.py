"""Checks of what the search is given, and what it says of how it went."""

import warnings

import numpy as np
from sklearn import get_config
from sklearn.exceptions import ConvergenceWarning

from ._results import paired_errors


def routing_enabled():
    """Whether scikit-learn routes metadata."""
    return bool(get_config()["enable_metadata_routing"])


def step_weight(fit_params):
    """The sample weights among parameters routed to an estimator or to a pipeline's steps."""
    for name, value in fit_params.items():
        if name == "sample_weight" or name.endswith("__sample_weight"):
            return value
    return None


def check_choices(search):
    """Errors for constructor arguments that are neither of their choices."""
    shrinkage, scale = search.shrinkage, search.scale
    if not (shrinkage == "cv" if isinstance(shrinkage, str) else _is_number(shrinkage, 0)):
        raise ValueError(
            f"shrinkage must be 'cv' or a number, zero or more (numpy.inf for no departures); "
            f"got {shrinkage!r}."
        )
    if not (scale == "learn" if isinstance(scale, str) else _is_number(scale)):
        raise ValueError(
            f"scale must be 'learn' or a number (1 as if standardised, 0 raw); got {scale!r}."
        )
    bounds = np.asarray(search.alpha_bounds, dtype=float)
    if bounds.shape != (2,) or not 0 < bounds[0] < bounds[1] < np.inf:
        raise ValueError(
            f"alpha_bounds must be two positive finite numbers, the smaller first; "
            f"got {search.alpha_bounds!r}."
        )


def _is_number(value, low=-np.inf):
    try:
        return float(value) >= low
    except (TypeError, ValueError):
        return False


def masks(splits, n_rows):
    """Boolean masks ``(n_splits, n_rows)`` of training and validation rows, checked."""
    if not splits:
        raise ValueError("cv gives no split; give at least two.")
    train, valid = np.zeros((2, len(splits), n_rows), dtype=bool)
    for k, (fit, judge) in enumerate(splits):
        train[k, fit], valid[k, judge] = True, True
    empty = np.flatnonzero(~train.any(axis=1) | ~valid.any(axis=1))
    if empty.size:
        k = int(empty[0])
        raise ValueError(
            f"cv: split {k} has {train[k].sum()} training and {valid[k].sum()} validation rows; "
            "both must have some. Use fewer splits or another splitter."
        )
    shared = train & valid
    if shared.any():
        k = int(shared.any(axis=1).argmax())
        raise ValueError(
            f"cv: split {k} validates on {shared[k].sum()} rows that it also trains on; its score "
            "would be that of memory. Give splits whose two parts are disjoint."
        )
    return train, valid


def check_folds(target, train, valid):
    """Errors and warnings for classes that a fold lacks."""
    if target.codes is None:
        return
    for k, rows in enumerate(train):
        present = np.unique(target.codes[rows])
        if len(present) < 2:
            raise ValueError(
                f"fold {k} trains on the one class {target.classes[present[0]]!r}; every fold "
                "needs two classes. Use StratifiedKFold, fewer splits, or more rows of the rare "
                "class."
            )
    counts = np.bincount(target.codes)
    lacking = {target.classes[c] for rows in train
               for c in np.setdiff1d(np.arange(len(counts)), target.codes[rows])}
    if lacking:
        warnings.warn(
            f"class {sorted(lacking)[0]!r} has no training row in some fold, whose model gives it "
            "almost no probability. Use StratifiedKFold, fewer splits, or more rows of it.",
            UserWarning, stacklevel=4,
        )


def usable(judged):
    """The outer fits that could be made; an error where none could."""
    judged = [one for one in judged if one is not None]
    if not judged:
        raise ValueError(
            "cross-fitting needs folds inside the training rows of a fold, and cv gives none: with "
            "one split there is nothing to choose a rung by. Give more splits, or a number for "
            "shrinkage."
        )
    return judged


def deciding_metric(search, metrics):
    """Name of the metric that chooses the rung."""
    if metrics == ["score"]:
        return "score"
    if search.refit not in metrics:
        raise ValueError(
            f"refit must name the metric that chooses among {sorted(metrics)}; "
            f"got {search.refit!r}."
        )
    return search.refit


def own_errors(judged, scores, reached, smooth):
    """Standard error of each rung's mean score."""
    if not smooth:
        zero = np.vstack([scores.T, np.zeros(len(scores))])
        return paired_errors(zero)[-1, :-1]
    losses = np.concatenate([j.losses[:reached] for j in judged], axis=1)
    weights = np.concatenate([j.weights for j in judged])
    return paired_errors(np.vstack([losses, np.zeros_like(weights)]), weights)[-1, :-1]


def history(fits):
    """One row an upper iteration, as a dict of arrays."""
    rows = [{"rung": fit.rung.name, "iteration": i, **row}
            for fit in fits for i, row in enumerate(fit.result.history)]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def warn_of_fits(search, fits, rungs, guarded):
    """Say what the user should know: bounds, limits, time, optimism."""
    chosen = fits[search.best_index_]
    low, high = search.alpha_bounds
    if chosen.at_bound:
        _warn(
            f"the common level of the penalties ended at a bound (alpha_bounds=({low:g}, {high:g})"
            " for columns of unit variance); widen alpha_bounds, or there may be nothing to learn"
            " from X."
        )
    if not chosen.result.converged:
        _warn(
            f"rung {chosen.rung.name!r} {chosen.result.message} with a gradient of "
            f"{chosen.result.stationarity:.1e}; raise max_iter (now {search.max_iter}) or tol "
            f"(now {search.tol:g}), or give it more max_time."
        )
    if len(search.cv_results_["rung"]) < len(rungs):
        _warn(
            f"max_time={search.max_time:g} s was over after {len(search.cv_results_['rung'])} of "
            f"{len(rungs)} rungs; the best of those is kept. Raise max_time to try the others."
        )
    if guarded:
        _warn_of_optimism(search)


def _warn_of_optimism(search):
    table, i = search.cv_results_, search.best_index_
    believed, confirmed = table["mean_fold_score"][i], search.best_score_
    gap = believed - confirmed
    if gap > max(4.0 * table["se_test_score"][i], 0.25 * abs(confirmed)):
        warnings.warn(
            f"rung {search.best_rung_!r} scored {believed:.4g} in the folds it was tuned on but "
            f"{confirmed:.4g} on rows it had not seen; trust the latter (best_score_). More rows, "
            "more folds, or a simpler penalty ('shared') would narrow the gap.",
            UserWarning, stacklevel=4,
        )


def _warn(text):
    warnings.warn(text, ConvergenceWarning, stacklevel=4)
