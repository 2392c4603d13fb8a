"""Errors for what a search cannot work with: its arguments, and its folds."""

import warnings
from collections.abc import Iterable
from numbers import Integral, Real

import numpy as np
from sklearn import get_config
from sklearn.utils import check_random_state, check_scalar

from ._minimize import resolve_method


def routing_enabled():
    """Whether scikit-learn routes metadata."""
    return bool(get_config()["enable_metadata_routing"])


def check_params(search):
    """Errors for constructor arguments that are of no use."""
    check_scalar(search.max_iter, "max_iter", Integral, min_val=1)
    check_scalar(search.verbose, "verbose", (Integral, bool), min_val=0)
    check_scalar(search.adaptive, "adaptive", (bool, np.bool_))
    if search.n_jobs is not None:
        check_scalar(search.n_jobs, "n_jobs", Integral)
    check_random_state(search.random_state)
    if isinstance(search.method, list | dict | set):
        raise ValueError(f"method must be one name or a Method, got {search.method!r}.")
    resolve_method(search.method)
    _check_number(search.tol, "tol", "0 never stops early")
    if search.max_time is not None and not (_is_number(search.max_time, 0) and search.max_time > 0):
        raise ValueError(
            f"max_time must be None or a positive number of seconds; got {search.max_time!r}."
        )
    _check_choices(search)
    _check_refit(search)
    if isinstance(search.cv, str) and search.cv != "loo":
        raise ValueError(
            f"cv must be 'loo', a number of folds, a splitter or an iterable of splits; "
            f"got {search.cv!r}."
        )


def seed_of(search):
    """Seed of a stochastic method; a deterministic one leaves ``random_state`` alone."""
    if not resolve_method(search.method).noisy:
        return 0
    return int(check_random_state(search.random_state).randint(2**31 - 1))


def _check_number(value, name, hint):
    if not (_is_number(value, 0) and np.isfinite(value)):
        raise ValueError(f"{name} must be a finite number, zero or more ({hint}); got {value!r}.")


# exponents of the variances beyond which no column but one is left in
_LARGEST_SCALE = 5


def _check_choices(search):
    shrinkage, scale = search.shrinkage, search.scale
    if not (shrinkage == "cv" if isinstance(shrinkage, str) else _is_number(shrinkage, 0)):
        raise ValueError(
            f"shrinkage must be 'cv' or a number, zero or more (numpy.inf for no departures); "
            f"got {shrinkage!r}."
        )
    if not (
        scale == "learn"
        if isinstance(scale, str)
        else _is_number(scale) and abs(scale) <= _LARGEST_SCALE
    ):
        raise ValueError(
            f"scale must be 'learn' or a number from {-_LARGEST_SCALE} to {_LARGEST_SCALE} (1 as "
            f"if standardised, 0 raw); got {scale!r}."
        )
    try:
        low, high = (float(bound) for bound in search.alpha_bounds)
    except (TypeError, ValueError):
        low = high = np.nan
    if not 0 < low < high < np.inf:
        raise ValueError(
            f"alpha_bounds must be two positive finite numbers, the smaller first; "
            f"got {search.alpha_bounds!r}."
        )


def _check_refit(search):
    refit, scoring = search.refit, search.scoring
    if not (isinstance(refit, bool | np.bool_ | str) or callable(refit)):
        raise ValueError(
            "refit must be True, False, the name of a metric, or a callable that takes "
            f"cv_results_ and returns an index; got {refit!r}."
        )
    if isinstance(scoring, list | tuple | set | dict):
        if not scoring:
            raise ValueError(
                f"scoring must name one metric or more; got {scoring!r}. None is the smooth loss."
            )
        check_refit_names_a_metric(refit, list(scoring))


def check_refit_names_a_metric(refit, metrics):
    """Error where several metrics are given and none is named to choose by."""
    if refit is False or callable(refit) or refit in metrics:
        return
    raise ValueError(
        f"refit must name the metric that chooses among {sorted(metrics)}, or be False or a "
        f"callable; got {refit!r}."
    )


def _is_number(value, low=-np.inf):
    return isinstance(value, Real) and not isinstance(value, bool) and float(value) >= low


def masks(splits, n_rows):
    """Boolean masks ``(n_splits, n_rows)`` of training and validation rows, checked."""
    if not splits:
        raise ValueError(
            "cv gives no split; give at least two (a generator is used up by its first fit)."
        )
    train, valid = np.zeros((2, len(splits), n_rows), dtype=bool)
    for k, (fit, judge) in enumerate(splits):
        _mark(train[k], fit, f"cv: split {k} trains on")
        _mark(valid[k], judge, f"cv: split {k} validates on")
    shared = train & valid
    if shared.any():
        k = int(shared.any(axis=1).argmax())
        raise ValueError(
            f"cv: split {k} validates on {shared[k].sum()} rows that it also trains on; its score "
            "would be that of memory. Give splits whose two parts are disjoint."
        )
    return train, valid


def pairs_of(cv):
    """The ``cv`` argument; an iterable of splits as a list of pairs, checked."""
    if isinstance(cv, type):
        raise ValueError(f"cv is the class {cv.__name__}; give an instance: cv={cv.__name__}().")
    if hasattr(cv, "split") or not isinstance(cv, Iterable):
        return cv
    splits = list(cv)
    for k, split in enumerate(splits):
        if not (isinstance(split, tuple | list | np.ndarray) and len(split) == 2):
            raise ValueError(
                f"cv: split {k} must be a pair, the training and the validation rows; got "
                f"{repr(split)[:80]}. Give pairs of arrays of positions, or of boolean masks."
            )
    return splits


def _mark(mask, rows, what):
    rows = np.asarray(rows)
    if rows.ndim != 1:
        raise ValueError(
            f"{what} {repr(rows)[:80]}, which is no list of rows; give an array of integer "
            "positions, or a boolean mask."
        )
    if rows.dtype == bool and rows.shape == mask.shape:
        rows = np.flatnonzero(rows)
    if len(rows) and not (rows.dtype.kind in "iu" and 0 <= rows.min() <= rows.max() < len(mask)):
        raise ValueError(
            f"{what} rows that X does not have; give integer positions from 0 to {len(mask) - 1}, "
            "or boolean masks."
        )
    if len(np.unique(rows)) < len(rows):
        raise ValueError(
            f"{what} some row more than once; give each row once, and use sample_weight to make "
            "it count more."
        )
    mask[rows.astype(int)] = True


def check_rows(sample_weight, train, valid):
    """Error for a split without rows to fit or to judge."""
    fits, judges = (m @ (sample_weight > 0).astype(int) for m in (train, valid))
    empty = np.flatnonzero((fits == 0) | (judges == 0))
    if empty.size:
        k = int(empty[0])
        raise ValueError(
            f"cv: split {k} has {fits[k]} training and {judges[k]} validation rows of positive "
            "weight; both must have some. Use fewer splits or another splitter."
        )


def check_folds(target, trainings, guarded):
    """Errors and warnings for classes that lack training rows, in folds and in cross-fits.

    Parameters
    ----------
    target : Targets
    trainings : iterable of (mask, str)
        Rows of every fit that is judged, and what fit that is.
    guarded : bool
    """
    if target.codes is None:
        return
    lacking = set()
    for rows, where in trainings:
        present = np.unique(target.codes[rows])
        if len(present) < 2:
            raise ValueError(
                f"{where} trains on the one class {target.classes[present].tolist()} (among rows "
                "of positive sample_weight); every fold needs two classes. Use StratifiedKFold, "
                "fewer splits, or more rows of the rare class"
                + (", or a number for shrinkage (no cross-fit)." if guarded else ".")
            )
        lacking |= set(np.setdiff1d(np.unique(target.codes), present).tolist())
    if lacking:
        rare = target.classes.tolist()[min(lacking)]
        warnings.warn(
            f"the class {rare!r} has no training row in some fold (or in a fold inside the "
            "cross-fit), whose model gives it almost no probability. It needs two rows at least, "
            "better one a split; use StratifiedKFold (the default), fewer splits, or more rows.",
            UserWarning,
            stacklevel=5,
        )
