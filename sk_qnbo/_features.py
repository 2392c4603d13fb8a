"""What the user says of features (groups, co-data, fixed penalties), checked and numbered.

Features are the ``n_final`` columns that reach the linear model when it is fitted on all rows.
A pipeline's folds may have further columns (``n_features`` in all): they form a group of their
own, or one each, and their co-data are the mean. Only their names can tell them, no positions.
"""

import warnings
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp

from ._folds import PenaltySpec


def penalty_spec(search, source, intercept):
    """The penalty model that a search asks for, the names of the groups, and each feature's."""
    names, n_final, n_features = source.names, source.n_final, source.n_features
    fixed = fixed_penalties(search.unpenalized, names, n_final, n_features)
    labels, groups = group_labels(search.penalty, names, n_final, n_features, fixed)
    spec = PenaltySpec(
        n_features,
        labels,
        0 if labels is None else int(labels.max()) + 1,
        standard_codata(search.codata, names, n_final, n_features),
        fixed,
        tuple(float(bound) for bound in search.alpha_bounds),
        intercept,
    )
    return spec, groups, None if labels is None else labels[:n_final]


def positions(columns, names, n_final, what):
    """Positions of columns given by name, by index, by a slice or by a boolean mask."""
    if isinstance(columns, slice) and not isinstance(columns.start or columns.stop, str):
        columns = range(n_final)[columns]
    several = isinstance(columns, Iterable) and not isinstance(columns, str)
    columns = list(columns) if several else [columns]
    if len(columns) == n_final and all(isinstance(c, bool | np.bool_) for c in columns):
        return list(np.flatnonzero(columns))
    return [_position(column, names, n_final, what) for column in columns]


def _position(column, names, n_final, what):
    if isinstance(column, str):
        if names is None or column not in names:
            raise ValueError(
                f"{what} names the column {column!r}, but {_known(column, names)}; "
                "give names of columns that reach the linear model, or integer positions."
            )
        return list(names).index(column)
    if isinstance(column, bool | np.bool_) or not isinstance(column, Integral):
        raise ValueError(
            f"{what} holds {column!r}, which is neither a column name nor a position; "
            "give strings or integers, or a boolean mask of all features."
        )
    if not -n_final <= column < n_final:
        raise ValueError(
            f"{what} holds the position {column}, but there are {n_final} features; "
            f"give 0 to {n_final - 1}."
        )
    return int(column) % n_final


def _known(column, names):
    """The names there are, those like the one that was asked for first."""
    if names is None:
        return "X has no column names"
    near = get_close_matches(column, names, n=3)
    others = [name for name in names if name not in near]
    return f"the linear model gets {_some(near + others)}"


def _some(names):
    names = list(names)
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")


def _by_name(values, names, what):
    """A data frame or series whose index are column names, in the order of the columns."""
    index = getattr(values, "index", None)
    if names is None or index is None or not hasattr(values, "reindex"):
        return values
    if not all(isinstance(label, str) for label in index):
        return values
    missing = [name for name in names if name not in index]
    if missing:
        raise ValueError(
            f"{what} has an index of names that lacks {len(missing)} of the features, the first "
            f"of them {missing[0]!r}; give a row for every feature, or an array in their order."
        )
    return values.loc[list(names)]


def group_labels(penalty, names, n_final, n_features, fixed=None):
    """Group of each feature and the groups' names.

    Parameters
    ----------
    penalty : the argument of ``QNBOSearchCV``
    names : sequence of str of length n_features, or None
    n_final, n_features : int
    fixed : ndarray of shape (n_features,) or None
        Fixed penalties; NaN where tuned. A mapping may leave out the columns that are fixed.

    Returns
    -------
    labels : ndarray of int of shape (n_features,) or None
        None where one penalty is shared.
    groups : sequence
        Names of the groups; a further group, for columns that only folds have, has none.
    """
    if isinstance(penalty, str) and penalty == "shared":
        return None, []
    if isinstance(penalty, str) and penalty == "per_feature":
        return np.arange(n_features), range(n_final) if names is None else names[:n_final]
    if np.ndim(penalty) == 0 and not isinstance(penalty, Mapping):
        raise ValueError(
            f"penalty must be 'per_feature', 'shared', one group label per feature, or a mapping "
            f"from group names to columns; got {penalty!r}."
        )
    if isinstance(penalty, Mapping):
        labels, groups = _labels_of_mapping(penalty, names, n_final, n_features, fixed)
    else:
        labels, groups = _labels_of_array(penalty, names, n_final)
    extra = np.full(n_features - len(labels), len(groups))
    labels = np.concatenate([labels, extra])
    return np.where(labels < 0, len(groups), labels), groups


def _labels_of_array(penalty, names, n_final):
    labels = np.asarray(_by_name(penalty, names and names[:n_final], "penalty"))
    if labels.shape != (n_final,):
        raise ValueError(
            f"penalty holds group labels of shape {labels.shape} but {n_final} features reach the "
            "linear model; give one label per feature, or 'shared' or 'per_feature'."
        )
    missing = [j for j, label in enumerate(labels) if _is_missing(label)]
    if missing:
        raise ValueError(
            f"penalty holds no group label for {len(missing)} features, the first of them "
            f"{missing[0]}; give every feature a label, those without a group one of their own."
        )
    try:
        groups, numbers = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"penalty holds group labels of kinds that cannot be sorted together ({error}); "
            "give strings, or numbers, for all."
        ) from error
    return numbers, groups.tolist()


def _is_missing(label):
    try:
        return label is None or not label == label
    except TypeError:  # pandas.NA is neither equal to itself nor not
        return True


def _name(position, names):
    return int(position) if names is None else names[position]


def _labels_of_mapping(penalty, names, n_final, n_features, fixed):
    labels = np.full(n_features, -1)
    for number, (group, columns) in enumerate(penalty.items()):
        at = positions(columns, names, n_final, f"penalty group {group!r}")
        if not at:
            raise ValueError(f"penalty group {group!r} is empty; name its columns or leave it out.")
        taken = [j for j in at if labels[j] >= 0]
        if taken:
            raise ValueError(
                f"penalty puts column {_name(taken[0], names)!r} into two groups, "
                f"{list(penalty)[labels[taken[0]]]!r} and {group!r}; "
                "put every column into one group."
            )
        labels[at] = number
    left = labels[:n_final] < 0
    if fixed is not None:
        left &= np.isnan(fixed[:n_final])
    if left.any():
        j = int(np.argmax(left))
        raise ValueError(
            f"penalty leaves {int(left.sum())} columns without a group, the first of them "
            f"{_name(j, names)!r}; put every column into one group."
        )
    return labels, list(penalty)


def fixed_penalties(unpenalized, names, n_final, n_features):
    """Penalties that are not tuned: NaN where they are; None where all are."""
    if unpenalized is None:
        return None
    pairs = unpenalized
    if not isinstance(unpenalized, Mapping):
        pairs = dict.fromkeys(positions(unpenalized, names, n_final, "unpenalized"), 0.0)
    fixed = np.full(n_features, np.nan)
    for column, value in pairs.items():
        if not (isinstance(value, Real) and np.isfinite(value) and value >= 0):
            raise ValueError(
                f"unpenalized fixes the penalty of column {column!r} at {value!r}; it must be a "
                "number, finite and zero or more."
            )
        fixed[_position(column, names, n_final, "unpenalized")] = value
    if not np.isnan(fixed[:n_final]).any():
        raise ValueError(
            f"unpenalized names all {n_final} columns, so that no penalty is left to tune; "
            "leave at least one column out."
        )
    return fixed


def standard_codata(codata, names, n_final, n_features):
    """Co-data columns with mean zero and unit variance ``(n_features, n_covariates)``, or None."""
    if codata is None:
        return None
    codata = codata.toarray() if sp.issparse(codata) else codata
    given = _by_name(codata, names and names[:n_final], "codata")
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"codata must hold numbers ({error}); encode what is not a number, for instance with "
            "pandas.get_dummies."
        ) from error
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != n_final:
        raise ValueError(
            f"codata has shape {np.shape(codata)} but {n_final} features reach the linear "
            "model; give an array of shape (n_features, n_covariates)."
        )
    if not np.isfinite(values).all():
        j, q = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"codata holds {values[j, q]} for feature {j} in column {q}; replace what is missing, "
            "for instance by the column's median, and add an indicator column."
        )
    spread = values.std(axis=0)
    if (spread == 0).any():
        warnings.warn(
            f"column {int(np.argmin(spread))} of codata is the same for all features, which says "
            "no more than the common level; leave it out.",
            UserWarning,
            stacklevel=6,
        )
    out = np.zeros((n_features, values.shape[1]))
    out[:n_final] = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return out
