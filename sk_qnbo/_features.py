"""What the user says of features (groups, co-data, fixed penalties), checked and numbered."""

from collections.abc import Mapping

import numpy as np


def _positions(columns, names, n_features, what):
    """Positions of columns given by name or index."""
    out = []
    for column in np.atleast_1d(np.asarray(columns, dtype=object)):
        if isinstance(column, str):
            if names is None or column not in names:
                raise ValueError(
                    f"{what} names the column {column!r}, which X does not have; "
                    "give names that reach the linear model, or integer positions."
                )
            out.append(int(np.flatnonzero(np.asarray(names, dtype=object) == column)[0]))
        else:
            if not -n_features <= int(column) < n_features:
                raise ValueError(
                    f"{what} holds the position {column}, but there are {n_features} features; "
                    f"give 0 to {n_features - 1}."
                )
            out.append(int(column) % n_features)
    return out


def group_labels(penalty, names, n_features):
    """Group of each feature and the groups' names.

    Returns
    -------
    labels : ndarray of int of shape (n_features,) or None
        None where one penalty is shared.
    groups : list
    """
    if isinstance(penalty, str):
        if penalty == "shared":
            return None, []
        if penalty == "per_feature":
            groups = list(names) if names is not None else list(range(n_features))
            return np.arange(n_features), groups
        raise ValueError(
            f"penalty must be 'per_feature', 'shared', one group label per feature, or a mapping "
            f"from group names to columns; got {penalty!r}."
        )
    if isinstance(penalty, Mapping):
        return _labels_of_mapping(penalty, names, n_features)
    labels = np.asarray(penalty)
    if labels.shape != (n_features,):
        raise ValueError(
            f"penalty names a group for {labels.size} features but {n_features} reach the linear "
            "model; give one label per feature, or 'shared' or 'per_feature'."
        )
    groups, numbers = np.unique(labels, return_inverse=True)
    return numbers, list(groups)


def _labels_of_mapping(penalty, names, n_features):
    labels = np.full(n_features, -1)
    for number, (group, columns) in enumerate(penalty.items()):
        at = _positions(columns, names, n_features, f"penalty group {group!r}")
        taken = [j for j in at if labels[j] >= 0]
        if taken:
            raise ValueError(
                f"penalty puts column {taken[0]} into two groups, {group!r} being the second; "
                "put every column into one group."
            )
        labels[at] = number
    if (labels < 0).any():
        j = int(np.argmax(labels < 0))
        raise ValueError(
            f"penalty leaves {int((labels < 0).sum())} columns without a group, the first of them "
            f"column {j}; put every column into one group."
        )
    return labels, list(penalty)


def fixed_penalties(unpenalized, names, n_features):
    """Penalties that are not tuned: NaN where they are; None where all are."""
    if unpenalized is None:
        return None
    pairs = unpenalized.items() if isinstance(unpenalized, Mapping) else (
        (column, 0.0) for column in np.atleast_1d(np.asarray(unpenalized, dtype=object)))
    fixed = np.full(n_features, np.nan)
    for column, value in pairs:
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(
                f"unpenalized fixes the penalty of column {column!r} at {value}; it must be "
                "finite and zero or more."
            )
        fixed[_positions([column], names, n_features, "unpenalized")] = value
    if not np.isnan(fixed).any():
        raise ValueError(
            "unpenalized names every column, so that no penalty is left to tune; "
            "leave at least one column out."
        )
    return fixed


def standard_codata(codata, n_features):
    """Co-data columns with mean zero and unit variance, or None."""
    if codata is None:
        return None
    values = np.asarray(codata, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != n_features:
        raise ValueError(
            f"codata has shape {np.shape(codata)} but {n_features} features reach the linear "
            "model; give an array of shape (n_features, n_covariates)."
        )
    if not np.isfinite(values).all():
        j, q = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"codata holds {values[j, q]} for feature {j} in column {q}; replace what is missing, "
            "for instance by the column's median, and add an indicator column."
        )
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
