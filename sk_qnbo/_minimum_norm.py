"""Least squares whose minimum is not unique: that of smallest norm, by factors of the rows.

Columns without a penalty that are no fewer than the rows fit these in many ways. The limit of ever
smaller penalties on them is the way of smallest norm, which scikit-learn's ``LinearRegression``
takes too; an iteration would end wherever it began from.
"""

import numpy as np
from scipy.linalg import lstsq, solve
from scipy.sparse import issparse

# longest factor of the rows, and most cells of a sparse X that is made dense for it
_LONGEST, _CELLS = 3000, 2e7


def many_minima(X, alpha, weights):
    """Whether columns without a penalty are no fewer than the rows, and these few enough."""
    n_rows = int((weights > 0).sum())
    affordable = n_rows <= _LONGEST and (not issparse(X) or X.shape[0] * X.shape[1] <= _CELLS)
    return affordable and n_rows <= int((alpha == 0.0).sum())


def least_norm(X, targets, alpha, weights, fit_intercept):
    """Coefficients of the minimum with the smallest norm over the columns without a penalty.

    Parameters
    ----------
    X : {ndarray, sparse} of shape (n_samples, n_features)
    targets : ndarray of shape (n_outputs, n_samples)
    alpha : ndarray of shape (n_features,)
    weights : ndarray of shape (n_samples,)
    fit_intercept : bool

    Returns
    -------
    coef : ndarray of shape (n_outputs, n_features)
    intercept : ndarray of shape (n_outputs,)
    """
    used, free = weights > 0, alpha == 0.0
    share = weights[used] / weights.sum()
    X, Y = X[used], targets[:, used].T
    X = X.toarray() if issparse(X) else X
    center = [share @ part if fit_intercept else np.zeros(part.shape[1]) for part in (X, Y)]
    root = np.sqrt(weights[used])[:, None]
    A, B = root * (X - center[0]), root * (Y - center[1])
    coef = np.empty((A.shape[1], B.shape[1]))
    coef[~free] = _penalised(A[:, free], A[:, ~free], B, alpha[~free])
    cut = np.finfo(float).eps * max(A.shape)
    coef[free] = lstsq(A[:, free], B - A[:, ~free] @ coef[~free], cond=cut)[0]
    return coef.T, center[1] - center[0] @ coef


def _penalised(Z, A, B, alpha):
    """Coefficients of the columns ``A``, by what the columns ``Z`` leave of both sides."""
    U, size, _ = np.linalg.svd(Z, full_matrices=False)
    U = U[:, size > np.finfo(float).eps * max(Z.shape) * size.max(initial=0.0)]
    A, B = (part - U @ (U.T @ part) for part in (A, B))
    half = A / np.sqrt(alpha)
    kernel = half @ half.T + np.eye(len(A))
    return (half.T @ solve(kernel, B, assume_a="pos")) / np.sqrt(alpha)[:, None]
