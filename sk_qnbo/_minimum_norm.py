"""Least squares whose minimum is not unique: that of smallest norm, by factors of the rows.

Columns without a penalty that are no fewer than the rows fit these in many ways. The limit of ever
smaller penalties on them is the way of smallest norm, which scikit-learn's ``LinearRegression``
takes too; an iteration would end wherever it began from.
"""

import numpy as np
from scipy.linalg import qr, solve
from scipy.sparse import issparse

# longest factor of the rows, and most multiplications for those of a sparse X: half a minute
_LONGEST, _WORK = 3000, 6e10
# columns laid out at a time, where the rows are fewer
_BLOCK = 500
# rounds after which no more digits of the minimum are sought
_ROUNDS = 20


def many_minima(X, alpha, weights):
    """Whether columns without a penalty are no fewer than the rows, and these few enough."""
    n_rows = int((weights > 0).sum())
    affordable = n_rows <= _LONGEST and (not issparse(X) or n_rows**2 * X.shape[1] <= _WORK)
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
    rows = _Rows(X[used], weights[used], fit_intercept)
    center = rows.share @ targets[:, used].T if fit_intercept else np.zeros(len(targets))
    B = rows.root * (targets[:, used].T - center)
    U, size, _ = np.linalg.svd(rows.triangle(free, 1.0))
    kept = size > np.finfo(float).eps * max(rows.X.shape) * size.max(initial=0.0)
    U, size = U[:, kept], size[kept]
    coef = np.zeros((len(alpha), B.shape[1]))
    coef[~free] = _penalised(rows, U, B, alpha)
    for _ in range(_ROUNDS):  # a round leaves, of each singular value, its part lost to rounding
        step = rows.pull(U @ (U.T @ (B - rows.predict(coef)) / size[:, None] ** 2))[free]
        coef[free] += step
        if np.abs(step).max() <= 1e-15 * np.abs(coef[free]).max():
            break
    return coef.T, center - rows.center @ coef


def _penalised(rows, U, B, alpha):
    """Coefficients of the columns with a penalty, by what the columns without leave of the rows.

    ``U (n_samples, rank)`` spans what the columns without can fit.
    """
    under = alpha > 0.0
    root = np.sqrt(alpha[under])
    half = rows.triangle(under, root)
    half, B = (part - U @ (U.T @ part) for part in (half, B))
    found = solve(half @ half.T + np.eye(len(half)), B, assume_a="pos")
    return rows.pull(found - U @ (U.T @ found))[under] / alpha[under][:, None]


class _Rows:
    """Rows times the root of their weights, about the weighted mean if there is an intercept."""

    def __init__(self, X, weights, fit_intercept):
        self.X = X.tocsc() if issparse(X) else X
        self.root = np.sqrt(weights)[:, None]
        self.share = weights / weights.sum()
        self.center = self.share @ X if fit_intercept else np.zeros(X.shape[1])

    def predict(self, coef):
        return self.root * (self.X @ coef - self.center @ coef)

    def pull(self, v):
        v = self.root * v
        return self.X.T @ v - np.outer(self.center, v.sum(axis=0))

    def triangle(self, columns, scale):
        """L with ``L L' = A A'``, A the chosen columns over their scale, some of them at a time.

        The matrix ``A A'`` itself would have half the digits.
        """
        n = len(self.root)
        at, scale = np.flatnonzero(columns), np.broadcast_to(scale, columns.sum())
        L = np.zeros((n, 0))
        for i in range(0, len(at), max(n, _BLOCK)):
            some = slice(i, i + max(n, _BLOCK))
            A = self.X[:, at[some]]
            A = self.root * ((A.toarray() if issparse(A) else A) - self.center[at[some]])
            L = qr(np.hstack([L, A / scale[some]]).T, mode="r")[0][:n].T
        return L
