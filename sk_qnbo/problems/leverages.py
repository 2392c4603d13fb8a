"""How much each row pulls its own prediction: ``x_i H^-1 x_i'``, and its derivative in ``H``.

With ``X_i (m, m D)`` the row i for each of the m outputs that share a Hessian block (contrasts of
the classes of a softmax; one output else) a side holds, of ``H = sum_i X_i' B_i X_i + diag(alpha)``
::

    Q_i = X_i H^-1 X_i'                              (m, m), the leverages
    N   = H^-1 (sum_i X_i' W_i X_i) H^-1             for symmetric weights W_i (m, m)

so that ``sum_i <W_i, dQ_i> = -<N, dH>``. The column side factors H itself, the row side, where
rows are fewer, works on ``X diag(1 / alpha) X'``. Both need one dense factor.
"""

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

# numbers that the rows in the coordinates of the factor may hold to be kept, and a block of them
_KEPT = 1e7
_BLOCK = 2e6
# bends below this part of the largest count as this
_FLATTEST = 1e-12
_TINY = np.finfo(float).tiny
# part of the largest entry below which one on the diagonal is rounding
_ZERO = 1e-14
# ratio to the median from which on a column is far larger than others, and how many may be
_FAR, _FEW = 1e4, 20


class ColumnSide:
    """Leverages through the factor of ``H (m D, m D)``.

    Parameters
    ----------
    rows : Rows
    H : ndarray of shape (m * D, m * D)
    B : ndarray of shape (n_rows, m, m)

    Attributes
    ----------
    Q, left : ndarray of shape (n_rows, m, m)
        Leverages, and ``I - B Q``.
    """

    def __init__(self, rows, H, B):
        self.rows, self.m = rows, B.shape[1]
        self.root = _inverse_root(H)  # H^-1 = root' root
        self._kept = None
        self.Q = self._map(lambda Y: Y @ np.swapaxes(Y, 1, 2))
        self.left = np.eye(self.m) - B @ self.Q

    def spread(self, W, second=True):
        """The diagonal of N by column, summed over outputs, and ``X_i N X_i'`` of each row.

        Parameters
        ----------
        W : ndarray of shape (n_rows, m, m), symmetric
        second : bool
            Whether the second part is wanted; else it is None.
        """
        Z = sum(self._gram(Y, W[at]) for at, Y in self._blocks())
        diagonal = np.einsum("kj,kj->j", self.root, Z @ self.root)
        R = self._map(lambda Y: Y @ Z @ np.swapaxes(Y, 1, 2)) if second else None
        return diagonal.reshape(self.m, -1).sum(axis=0), R

    @staticmethod
    def _gram(Y, W):
        size = Y.shape[2]
        return Y.reshape(-1, size).T @ (W @ Y).reshape(-1, size)

    def _map(self, function):
        return np.concatenate([function(Y) for _, Y in self._blocks()])

    def _blocks(self):
        """Slices of rows and ``Y_i = X_i root'``, ``(n, m, m D)``; kept where they are one."""
        if self._kept is None:
            n, D = self.rows.n_rows, self.rows.n_columns
            if n * self.m**2 * D > _KEPT:
                each = max(int(_BLOCK // (self.m**2 * D)), 1)
                slices = [slice(i, i + each) for i in range(0, n, each)]
                return ((at, self._whitened(at)) for at in slices)
            self._kept = [(slice(None), self._whitened(slice(None)))]
        return self._kept

    def _whitened(self, at):
        D, n = self.rows.n_columns, len(range(*at.indices(self.rows.n_rows)))
        self.rows.products += self.m**2 * D * n // self.rows.n_rows
        parts = [
            self.rows.some_times(at, self.root[:, c * D : (c + 1) * D].T) for c in range(self.m)
        ]
        return np.stack(parts, axis=1)


class KernelSide:
    """Leverages through the n x n side; columns without penalty, or far larger, border the system.

    With ``K = X diag(1 / alpha) X'`` on the penalised columns and ``B_i = R_i R_i'``,
    ``C = (I + R' K R)^-1``, less what the free columns take of it, is what is left of a weighted
    residual. Everything follows from it without a difference of near numbers, however small
    the penalties are::

        X H^-1 X' = R^-T (I - C) R^-1,    I - B X H^-1 X' = R C R^-1

    Parameters
    ----------
    rows : Rows
    alpha : ndarray of shape (D,)
    B : ndarray of shape (n_rows, m, m), positive semidefinite
    """

    def __init__(self, rows, alpha, B):
        self.rows, self.m, n = rows, B.shape[1], rows.n_rows
        self.inverse = np.where(alpha <= 0, 0.0, 1.0 / np.maximum(alpha, _TINY))
        root, back = _block_roots(B)
        apart = np.flatnonzero((alpha <= 0) | self._far_larger())
        inverse = self.inverse.copy()
        inverse[apart] = 0.0
        K = _spread_out(rows.kernel(inverse[None])[0], self.m)
        C = _inverse_root(np.eye(n * self.m) + _times_blocks(_times_blocks(K, root).T, root))
        C = C.T @ C
        if len(apart):
            U = _times_blocks(_spread_out(rows.columns(apart)[0], self.m).T, root).T
            border = U.T @ C @ U + np.diag(np.repeat(alpha[apart], self.m))
            D = C @ U @ _inverse_root(border).T
            C = C - D @ D.T
        inside, across = np.eye(n * self.m) - C, np.swapaxes(root, 1, 2)
        self.F = _times_blocks(_times_blocks(inside, back).T, back)
        self.T = _times_blocks(_times_blocks(C, back).T, across).T
        self.Q, self.left = (_diagonal_blocks(M, self.m) for M in (self.F, self.T))

    def _far_larger(self):
        """Columns whose part of K is so much larger that the others would drown in its rounding."""
        size = self.inverse * self.rows.column_squares
        far = size > _FAR * np.median(size)
        return far & (far.sum() <= _FEW)

    def spread(self, W, second=True):
        """See :meth:`ColumnSide.spread`."""
        diagonal = np.square(self.inverse) * _diagonal_of(self.rows, self.T, W)
        R = _diagonal_blocks(_times_blocks(self.F, W) @ self.F, self.m) if second else None
        return diagonal, R


def _inverse_root(matrix):
    """``L^-1`` of ``matrix = L L'``; a singular matrix is lifted until it has one."""
    diagonal = np.diagonal(matrix)  # an entry that is rounding of zero must not become large
    least = max(_ZERO * float(diagonal.max(initial=0.0)), _TINY)
    shrink = 1.0 / np.sqrt(np.maximum(diagonal, least))
    scaled, lift = shrink[:, None] * matrix * shrink, 0.0
    while lift <= 10.0 * len(matrix):
        root, failed = dpotrf(scaled + lift * np.eye(len(matrix)), lower=1, clean=1)
        if not failed and np.isfinite(root[-1]).all() and np.diagonal(root).min() > _ZERO:
            return dtrtri(root, lower=1)[0] * shrink
        lift = max(10.0 * lift, 1e-14)
    return np.full_like(matrix, np.nan)  # the value will say so


def _block_roots(B):
    """Roots R of ``B = R R'`` and their inverses; no bend is quite zero."""
    least = _FLATTEST * max(float(np.einsum("naa->na", B).max()), _TINY)
    if B.shape[1] == 1:
        root = np.sqrt(np.maximum(B, least))
        return root, 1.0 / root
    values, vectors = np.linalg.eigh(B)
    root = np.sqrt(np.maximum(values, least))[:, None]
    return vectors * root, np.swapaxes(vectors / root, 1, 2)


def _spread_out(M, m):
    """``M`` for every output: the Kronecker product with the identity."""
    return M if m == 1 else np.kron(M, np.eye(m))


def _diagonal_blocks(F, m):
    n = len(F) // m
    at = np.arange(n)
    return F.reshape(n, m, n, m)[at, :, at]


def _times_blocks(M, W):
    """``M`` times the block diagonal matrix of ``W (n, m, m)``."""
    n, m, _ = W.shape
    return np.einsum("rib,ibc->ric", M.reshape(len(M), n, m), W).reshape(M.shape)


def _diagonal_of(rows, T, W):
    """``sum_c x_j' (T W T')_cc x_j`` over the outputs c, for every column j of X.

    From products of X' with the columns of T in the eigenvectors of W, a few at a time.
    """
    n, m, _ = W.shape
    values, vectors = (W[:, 0], np.ones_like(W)) if m == 1 else np.linalg.eigh(W)
    V, values = _times_blocks(T, vectors).T.reshape(-1, n, m), values.ravel()
    each, out = max(int(_BLOCK // (4 * m * rows.n_columns)), 1), np.zeros(rows.n_columns)
    for i in range(0, len(V), each):
        pulled = rows.pull(np.swapaxes(V[i : i + each], 1, 2))
        out += np.einsum("k,kmj,kmj->j", values[i : i + each], pulled, pulled)
    return out
