"""Columns without a penalty: what others say already, and whether a fit without each row exists."""

import numpy as np
from scipy.optimize import linprog

# pull of a row on its own prediction by free columns alone, from which nothing is left without it
_ALONE = 1.0 - 1e-9
# part of the largest singular value below which a direction is rounding
_ZERO = 1e-10
# a margin beside the box of the coefficients, from which on the solver's tolerance is left behind
_MARGIN = 1e-4
# cells of unpenalised columns, and their number, up to which these are looked at
_MAX_CELLS, _MAX_COLUMNS = 5e7, 1000
_WAY_OUT = "Give those columns a small penalty (unpenalized={column: 1e-3}), or use cv=5."


def redundant_columns(rows, weights, free):
    """Which unpenalised columns a fold's rows cannot tell from those named before them.

    A full set of dummies beside an intercept, say, or one of a category that a fold lacks. Their
    coefficients are not determined, and the Hessian has no curvature along them.

    Parameters
    ----------
    rows : Rows or FoldRows
    weights : ndarray of shape (n_folds, n_rows)
    free : sequence of int
        Positions of the unpenalised columns; what comes first stays.

    Returns
    -------
    ndarray of bool of shape (n_folds, n_free)
        None are where they would fill the memory.
    """
    cells = len(weights) * rows.n_rows * len(free)
    if cells > _MAX_CELLS or len(free) > _MAX_COLUMNS:
        return np.zeros((len(weights), len(free)), dtype=bool)
    columns = rows.columns(free)
    own = np.broadcast_to(columns, (len(weights), *columns.shape[1:]))
    return np.array([_said_before(E, np.sqrt(w)[:, None]) for E, w in zip(own, weights)])


def _said_before(columns, root):
    """Columns of which those before them leave nothing but rounding."""
    size = np.linalg.norm(root * columns, axis=0)
    left = np.zeros_like(size)
    told = np.diagonal(np.linalg.qr(root * columns, mode="r"))
    left[: len(told)] = np.abs(told)
    return left <= np.finfo(columns.dtype).eps ** (2 / 3) * size


def check_free_columns(rows, weights, loss, free):
    """Error where leaving one row out does not say what the fit without it would be.

    Parameters
    ----------
    rows : Rows
    weights : ndarray of shape (n_rows,)
    loss : loss of the rows
    free : ndarray of bool of shape (n_columns,)
        Columns without a penalty, the intercept's among them.

    Raises
    ------
    ValueError
        If the columns are not determined without some row, or separate the classes: then their
        coefficients have no end, and one Newton step from wherever the fit stopped means nothing.
    """
    seen = weights > 0
    root = np.sqrt(weights[seen])[:, None]
    left, size, _ = np.linalg.svd(
        root * rows.columns(np.flatnonzero(free))[0][seen], full_matrices=False
    )
    left = left[:, size > _ZERO * size.max(initial=0.0)]
    alone = np.flatnonzero(np.square(left).sum(axis=1) > _ALONE)
    if len(alone):
        raise ValueError(
            f"cv='loo' leaves out row {np.flatnonzero(seen)[alone[0]]} (of those fitted), without "
            f"which the columns that have no penalty are not determined ({len(alone)} such rows). "
            + _WAY_OUT
        )
    if loss.name == "log_loss" and _separates(left / root, loss.targets[:, seen]):
        raise ValueError(
            "cv='loo' judges each row by one Newton step from the fit on all rows, which the "
            "columns that have no penalty do not have: they separate the classes, so that their "
            "coefficients have no end. " + _WAY_OUT
        )


def _separates(U, targets):
    """Whether some combination of columns misjudges no row and is sure of at least one.

    A linear program; Albert and Anderson, "On the existence of maximum likelihood estimates in
    logistic regression models", Biometrika 71, 1984, where it is quasi-complete separation.
    """
    margins = _margins(U / np.abs(U).max(initial=1e-300), targets)
    best = linprog(
        -margins.mean(axis=0), A_ub=-margins, b_ub=np.zeros(len(margins)), bounds=(-1.0, 1.0)
    )
    return best.success and bool((margins @ best.x).max(initial=0.0) > _MARGIN)


def _margins(U, targets):
    """Lead of each row's class over each other one, as a linear map ``(n_leads, n_coefficients)``.

    A class without a row is no class: nothing needs to lead over it.
    """
    if len(targets) == 1:
        return (2.0 * targets[0] - 1.0)[:, None] * U
    targets = targets[targets.any(axis=1)]
    own, n_classes = targets.argmax(axis=0), len(targets)
    leads = []
    for other in range(n_classes):
        rows = own != other
        sign = np.eye(n_classes)[own[rows]] - np.eye(n_classes)[other]
        leads.append((sign[:, :, None] * U[rows, None]).reshape(rows.sum(), -1))
    return np.concatenate(leads)
