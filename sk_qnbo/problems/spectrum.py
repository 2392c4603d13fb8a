"""Leave-one-out of ridge regression along one common level of the penalties."""

import numpy as np

# eigenvalues below this part of the largest are rounding
_RANK = 1e-13
# what is left of a row's own pull below which its left-out error loses half its digits
DROWNED = 1e-9
# numbers that a table of rows by levels may hold
_TABLE = 4e6


class RidgeSpectrum:
    """Left-out errors at all penalties ``c alpha`` from one eigendecomposition.

    With ``A = sqrt(s) X diag(alpha)^-1/2`` on the penalised columns, P the projection away from the
    free columns of ``sqrt(s) X``, and ``P A = U diag(sqrt(sigma)) V'``, the weighted residual is
    ``sqrt(s) r = C sqrt(s) y`` with

        C = P - U diag(sigma / (sigma + c)) U'

    and the left-out residual of row i is ``r_i / C_ii`` (Golub, Heath and Wahba, Technometrics 21,
    1979, for one penalty).

    Parameters
    ----------
    rows : Rows
    alpha : ndarray of shape (D,)
        Zero for free columns.
    weights : ndarray of shape (n_rows,)
        A row without weight has no part, and is not judged.
    targets : ndarray of shape (n_targets, n_rows)
    judge : ndarray of shape (n_rows,)
        Weights of the left-out errors.
    G : ndarray of shape (D, D) or None
        ``X' diag(weights) X``, where it is known: the smaller side then.
    """

    def __init__(self, rows, alpha, weights, targets, judge, G=None):
        self.judge = judge
        self.root = np.sqrt(weights)
        self.share = np.where(weights > 0, 1.0 / np.where(weights > 0, weights, 1.0), 0.0)
        Y = self.root[:, None] * targets.T
        free = alpha <= 0
        F = self.root[:, None] * rows.columns(np.flatnonzero(free))[0]
        Q = np.linalg.qr(F)[0]
        inverse = np.where(free, 0.0, 1.0 / np.where(free, 1.0, alpha))
        side = self._by_rows if G is None else self._by_columns
        self.U, self.sigma = side(rows, inverse, Q, G)
        self.coef = self.U.T @ Y
        self.rest = Y - Q @ (Q.T @ Y) - self.U @ self.coef
        self.squares = np.square(self.U)
        base = 1.0 - np.square(Q).sum(axis=1) - self.squares.sum(axis=1)
        self.base = np.maximum(base, 0.0)

    def _by_rows(self, rows, inverse, Q, _):
        K = self.root[:, None] * rows.kernel(inverse[None])[0] * self.root
        return eigen_across(K, Q)

    def _by_columns(self, rows, inverse, Q, G):
        used, shrink = inverse > 0, np.sqrt(inverse)
        B = np.zeros((Q.shape[1], len(inverse)))
        if len(B):
            B = rows.pull((self.root[:, None] * Q).T[None])[0]
        A = (shrink[:, None] * (G - B.T @ B) * shrink)[np.ix_(used, used)]
        sigma, V = np.linalg.eigh(A)
        kept = sigma > _RANK * max(sigma[-1], np.finfo(float).tiny)
        sigma, V = sigma[kept], shrink[used][:, None] * V[:, kept]
        wide = np.zeros((len(inverse), len(sigma)))
        wide[used] = V / np.sqrt(sigma)
        U = self.root[:, None] * rows.predict(wide.T[None])[0].T
        return U - Q @ (B @ wide), sigma

    def values(self, factors):
        """Half the mean squared left-out error at ``factors[l] * alpha``, ``(n_factors,)``."""
        each = max(int(_TABLE // self.rest.size), 1)
        parts = [factors[i : i + each] for i in range(0, len(factors), each)]
        return np.concatenate([self._values(c) for c in parts])

    def _values(self, factors):
        kept = factors / (self.sigma[:, None] + factors)
        left = self.base[:, None] + self.squares @ kept
        error = sum(
            np.square(rest[:, None] + self.U @ (coef[:, None] * kept))
            for rest, coef in zip(self.rest.T, self.coef.T, strict=True)
        )
        values = 0.5 * (self.judge * self.share) @ (error / np.square(left))
        return np.where(left[self.judge > 0].min(axis=0) > DROWNED, values, np.inf)


def eigen_across(K, Q):
    """Eigenvectors and eigenvalues of ``K (n, n)`` across the columns of Q, which are orthonormal.

    Those directions are lifted above all others, and left out.
    """
    K = K - Q @ (Q.T @ K)
    K = K - (K @ Q) @ Q.T
    K = K + (2.0 * np.trace(K) + 1.0) * (Q @ Q.T)
    sigma, U = np.linalg.eigh(0.5 * (K + K.T))
    kept = len(sigma) - Q.shape[1]
    return U[:, :kept], np.maximum(sigma[:kept], 0.0)
