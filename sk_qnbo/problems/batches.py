"""A tuning problem cut into batches of rows, each a problem of the same shape."""

import copy

import numpy as np

from .data import RowData


def deal(roles, n_parts, seed=0):
    """Deal shuffled items to parts so that every role is spread evenly.

    Parameters
    ----------
    roles : ndarray of shape (n_items, n_columns)
        Items with equal rows play the same role (training row of folds 1 and 2, say).
    n_parts : int
    seed : int
        Of the shuffle: who shares a part is the same at every call.

    Returns
    -------
    list of n_parts ndarrays of int
        Indices in each part, ascending.
    """
    order = np.random.default_rng(seed).permutation(len(roles))
    _, role = np.unique(roles[order], axis=0, return_inverse=True)
    order = order[np.argsort(role.ravel(), kind="stable")]
    return [np.sort(order[part::n_parts]) for part in range(n_parts)]


def batches(problem, n_parts):
    """The :class:`LinearProblem` of each part's rows, their weights times ``n_parts``."""
    data = problem.data
    roles = np.concatenate([data.train > 0, data.valid > 0]).T
    out = []
    for rows in deal(roles, n_parts):
        part = copy.copy(problem)
        part.data, part._batches = _restricted(data, rows, n_parts), {}
        out.append(part)
    return out


def _restricted(data, rows, n_parts):
    some = RowData(
        data.rows.part(rows, 1.0 / n_parts),
        part_loss(data.loss, rows),
        n_parts * data.train[:, rows],
        data.valid[:, rows],
    )
    some.valid = n_parts * data.valid[:, rows]  # its mean over the parts is the whole's, row by row
    return some


def part_loss(loss, rows):
    """The same loss on some of the rows."""
    return type(loss)(loss.targets[:, rows])
