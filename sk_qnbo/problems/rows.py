"""Products with one design matrix of all folds, dense or sparse."""

from copy import copy
from functools import cached_property

import numpy as np
import scipy.sparse as sp


class _OneMatrix:
    """What rows that every member of the stack shares have in common, however they are stored.

    ``products`` counts products of X or its transpose with one vector over all rows.
    """

    # whether the folds read the same rows
    shared = True
    # the rows that these were taken from and the share of them: work counts there too
    _parent, _share = None, 1.0

    def __init__(self, shape):
        self.n_rows, self.n_columns = shape
        self.products = 0
        self._kernel = (None, None)

    def _count(self, n):
        self.products += n
        if self._parent is not None:
            self._parent._count(self._share * n)

    def own(self):
        """The same matrix with a memory and a count of its own: threads share no state."""
        new = copy(self)
        new.products, new._kernel = 0, (None, None)
        return new

    def part(self, rows, share):
        """Some rows, a share of these: what is spent on them counts as that share here."""
        some = self._taken(rows)
        some._parent, some._share = self, share
        return some

    def _apply(self, product, values):
        stack, outputs, _ = values.shape
        flat = values.reshape(stack * outputs, -1)
        self._count(len(flat))
        size = 1.0
        if self.X.dtype != float:  # single precision has a short range
            largest = float(np.abs(flat).max())
            size = 1.0 if 1e-25 < largest < 1e25 else max(largest, 1e-300)
        flat = flat if size == 1.0 else flat / size
        out = np.ascontiguousarray(product(flat), dtype=float).reshape(stack, outputs, -1)
        return out if size == 1.0 else size * out

    def predict(self, W):
        """``X w`` for coefficients ``(n_stack, n_outputs, n_columns)``: ``(.., .., n_rows)``."""
        return self._apply(self._predict, W)

    def pull(self, R):
        """``X' r`` for row values ``(n_stack, n_outputs, n_rows)``: ``(.., .., n_columns)``."""
        return self._apply(self._pull, R)

    def through(self, inverse):
        """The map ``r -> X diag(inverse) X' r`` of row values ``(n_stack, n_outputs, n_rows)``.

        ``inverse`` has shape ``(1 or n_stack, n_columns)``.
        """
        return lambda R: self.predict(inverse[:, None] * self.pull(R))

    def gram(self, h):
        """``X' diag(h) X`` for each row of ``h (n_blocks, n_rows)``."""
        self._count(int(np.count_nonzero(h) / self.n_rows * self.n_columns))
        return self._grams(h)

    @cached_property
    def column_squares(self):
        """Sum of the squares of each column, ``(n_columns,)``."""
        return self.squares(np.ones((1, self.n_rows)))[0]

    def squares(self, h):
        """``sum_i h_i x_ij^2`` for each row of ``h (n_blocks, n_rows)``."""
        self._count(len(h))
        return self._squares(h)

    def kernel(self, inverse):
        """``X diag(inverse) X'`` for each row of ``inverse (n_blocks, n_columns)``.

        The last answer is remembered: a start matrix may be built more than once at one theta,
        and where only the common level moved it is the same but for a factor.
        """
        last, answer = self._kernel
        factor = _ratio(inverse, last)
        if factor is None:
            self._count(len(inverse) * self.n_rows)
            answer, factor = self._kernels(inverse), 1.0
            self._kernel = inverse, answer
        return answer if factor == 1.0 else factor * answer


class DenseRows(_OneMatrix):
    """One dense design matrix; the intercept, if any, is a column of ones like the others.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns)
    dtype : numpy dtype
        Single precision halves what a product reads, which is what it costs; sums over products
        (predictions along a line, say) are kept in double all the same.
    """

    def __init__(self, X, dtype=float):
        super().__init__(X.shape)
        self.X = np.ascontiguousarray(X, dtype=dtype)
        self.size = self.X.size

    @cached_property
    def _transposed(self):
        # a second order is worth its memory only where the first takes half of it
        return self.X.T if self.X.dtype == float else np.ascontiguousarray(self.X.T)

    def own(self):
        new = super().own()
        new._transposed = self._transposed  # one for all who share the matrix
        return new

    def single(self):
        """The same rows in single precision; themselves, if they are."""
        return self if self.X.dtype == np.float32 else DenseRows(self.X, np.float32)

    def _taken(self, rows):
        return DenseRows(self.X[rows], float if self.X.dtype == float else self.X.dtype)

    def some_times(self, rows, M):
        """Some rows of X times a matrix ``M (n_columns, k)``."""
        return self.X[rows] @ M

    def _predict(self, flat):
        return flat.astype(self.X.dtype, copy=False) @ self._transposed

    def _pull(self, flat):
        return flat.astype(self.X.dtype, copy=False) @ self.X

    def _grams(self, h):
        return np.stack([self._gram_of(row) for row in h])

    def _gram_of(self, row):
        used, root = np.flatnonzero(row), np.sqrt(row).astype(self.X.dtype)
        parts = (used[i] for i in _long_pieces(len(used), self.n_columns))
        return _sum_of_squares((root[i, None] * self.X[i] for i in parts), self.n_columns)

    def _squares(self, h):
        return sum(h[:, i] @ np.square(self.X[i]) for i in _pieces(self.n_rows, self.n_columns))

    def _kernels(self, inverse):
        return np.stack([self._kernel_of(np.sqrt(row)) for row in inverse])

    def _kernel_of(self, root):
        parts = _long_pieces(self.n_columns, self.n_rows)
        return _sum_of_squares(((self.X[:, i] * root[i]).T for i in parts), self.n_rows)

    def columns(self, positions):
        """Some columns, ``(1, n_rows, n_positions)``."""
        return self.X[None, :, positions]

    def moments(self, weights):
        """Weighted means and variances of the columns, ``(n_weights, n_columns)`` each."""
        weights, pieces = _shares(weights), _pieces(self.n_rows, self.n_columns)
        mean = sum(weights[:, i] @ self.X[i] for i in pieces)
        shift = mean.mean(axis=0)  # differences from a common shift keep their digits
        square = sum(weights[:, i] @ np.square(self.X[i] - shift) for i in pieces)
        return mean, np.maximum(square - (mean - shift) ** 2, 0.0)


# vectors from which on a second copy of a sparse matrix is worth its memory
_SEVERAL = 3
# stored cells of a sparse matrix whose places are spelled out at once
_CELLS = 2e5
# filled part of a sparse matrix from which on its pieces are multiplied as dense ones, and how many
# numbers these hold
_FILLED, _DENSE = 0.25, 1e6


class SparseRows(_OneMatrix):
    """One sparse design matrix as it was given; scales and the intercept stay outside of it.

    Parameters
    ----------
    X : sparse array of shape (n_rows, n_features), CSR
    scale : ndarray of shape (n_features,), optional
        The columns are those of X divided by it.
    intercept : bool
        Whether a column of ones comes last.
    dtype : numpy dtype
    """

    def __init__(self, X, scale=None, intercept=False, dtype=float):
        n, d = X.shape
        super().__init__((n, d + intercept))
        self.X = sp.csr_array(X, dtype=dtype)
        self.scale = np.ones(d) if scale is None else scale
        self.intercept = intercept
        self.size = self.X.nnz

    def _taken(self, rows):
        return SparseRows(self.X[rows], self.scale, self.intercept, self.X.dtype)

    def single(self):
        """The same rows in single precision; themselves, if they are.

        Columns are brought into its short range by powers of two, which costs no digit.
        """
        X = self.X
        if X.dtype == np.float32:
            return self
        power = np.exp2(np.round(np.log2(self.scale)))
        data = (X.data / power[X.indices]).astype(np.float32)
        half = sp.csr_array((data, X.indices, X.indptr), X.shape)
        return SparseRows(half, self.scale / power, self.intercept, np.float32)

    def some_times(self, rows, M):
        """Some rows of X times a matrix ``M (n_columns, k)``."""
        out = self.X[rows] @ (M[: len(self.scale)] / self.scale[:, None])
        return out + M[-1] if self.intercept else out

    def _predict(self, flat):
        W = (flat[:, : len(self.scale)] / self.scale).astype(self.X.dtype, copy=False)
        # the vectors side by side: the matrix is read once, and what one entry asks of them at once
        out = (self._matrix(len(W)) @ np.ascontiguousarray(W.T)).T.astype(float, copy=False)
        return out + flat[:, -1:] if self.intercept else out

    def _pull(self, flat):
        d = len(self.scale)
        out = np.empty((len(flat), d + self.intercept))
        pulled = self.X.T @ flat.T.astype(self.X.dtype, copy=False)
        np.divide(pulled.T, self.scale, out=out[:, :d])
        out[:, d:] = flat.sum(axis=1, keepdims=True)
        return out

    def _matrix(self, n_vectors):
        """X as it is best stored for products with so many vectors side by side.

        By columns where these are more than the rows: sums then go to the small array of the rows,
        not from the large one of the columns, which takes half the time.
        """
        wide = self.n_rows < self.n_columns and n_vectors >= _SEVERAL
        return self._by_columns if wide else self.X

    @cached_property
    def _by_columns(self):
        return self.X.tocsc()

    def _whole(self):
        """The scaled columns and the intercept as one matrix; for what few columns are asked."""
        X = self.X.multiply(1.0 / self.scale)
        ones = [np.ones((self.n_rows, 1))] if self.intercept else []
        return sp.csr_array(sp.hstack([X, *ones], format="csr"), dtype=float)

    def through(self, inverse):
        # between the two products the vectors stay side by side
        X, d = self.X, len(self.scale)
        middle = np.ascontiguousarray((inverse[:, :d] / self.scale**2).T)[:, :, None]
        last = inverse[:, d, None, None].copy() if self.intercept else 0.0

        def times(R):
            stack, outputs, n = R.shape
            self._count(2 * stack * outputs)
            pulled = (X.T @ R.reshape(-1, n).T).reshape(d, stack, outputs)
            pulled *= middle
            out = (self._matrix(stack * outputs) @ pulled.reshape(d, -1)).T.reshape(R.shape)
            return out + last * R.sum(axis=2, keepdims=True)

        return times

    def _filled(self, length):
        """Slices of so many rows or columns as are worth making dense; none if X is too sparse."""
        across = self.n_rows * self.n_columns / length
        dense = self.size > _FILLED * self.n_rows * self.n_columns
        step = max(int(_DENSE / across), 1)
        return [slice(i, i + step) for i in range(0, length, step)] if dense else []

    def _grams(self, h):
        if pieces := self._filled(self.n_rows):
            dense = ((at, DenseRows(self._taken(at)._whole().toarray())) for at in pieces)
            return sum(rows._grams(h[:, at]) for at, rows in dense)
        X = self._whole()
        return np.stack([(X.T.multiply(row) @ X).toarray() for row in h])

    def _squares(self, h):
        X = self.X
        square = sp.csr_array((np.square(X.data), X.indices, X.indptr), X.shape)
        out = (square.T @ h.T).T / self.scale**2
        return np.concatenate([out, h.sum(axis=1, keepdims=True)], 1) if self.intercept else out

    def _kernels(self, inverse):
        if pieces := self._filled(self.n_columns):
            places = np.arange(self.n_columns)
            dense = ((at, DenseRows(self.columns(places[at])[0])) for at in pieces)
            return sum(rows._kernels(inverse[:, at]) for at, rows in dense)
        return np.stack([self._kernel_of(row) for row in inverse])

    def _kernel_of(self, row):
        X, d = self.X, len(self.scale)
        scaled = row[:d] / self.scale**2
        left = sp.csr_array((X.data * scaled[X.indices], X.indices, X.indptr), X.shape)
        K = (left @ X.T).toarray()
        return K + row[d] if self.intercept else K

    def columns(self, positions):
        """Some columns, dense, ``(1, n_rows, n_positions)``."""
        positions, d = np.asarray(positions, dtype=int), len(self.scale)
        out = np.ones((self.n_rows, len(positions)))
        inside = np.flatnonzero(positions < d)
        if len(inside):
            some = self.X[:, positions[inside]].toarray()
            out[:, inside] = some / self.scale[positions[inside]]
        return out[None]

    def moments(self, weights):
        """Weighted means and variances of the columns, ``(n_weights, n_columns)`` each."""
        weights, n_columns = _shares(weights), len(self.scale)
        mean = (self.X.T @ weights.T).T
        stored, filled, variance = np.zeros(n_columns), np.zeros_like(mean), np.zeros_like(mean)
        for row, column, value in self._cells():
            stored += np.bincount(column, minlength=n_columns)
            for k, w in enumerate(weights):  # differences from the mean keep their digits
                squares = w[row] * np.square(value - mean[k][column])
                filled[k] += np.bincount(column, w[row], n_columns)
                variance[k] += np.bincount(column, squares, n_columns)
        # the cells that are not stored; where all are, the difference would be rounding
        variance += (stored < self.n_rows) * np.maximum(1.0 - filled, 0.0) * mean**2
        mean, variance = mean / self.scale, variance / self.scale**2
        if not self.intercept:
            return mean, variance
        one = np.ones((len(weights), 1))
        return np.concatenate([mean, one], axis=1), np.concatenate([variance, 0.0 * one], axis=1)

    def _cells(self):
        """Rows, columns and values of what is stored, in pieces: as a whole it outgrows X."""
        step = max(1, int(_CELLS * self.n_rows / max(self.X.nnz, 1)))
        for first in range(0, self.n_rows, step):
            part = self.X[first : first + step].tocoo()
            yield first + part.row, part.col, part.data


def rows_of(X):
    """Rows of a matrix as it is."""
    return SparseRows(sp.csr_array(X)) if sp.issparse(X) else DenseRows(X)


def _shares(weights):
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)


# numbers whose copies stay in the processor's cache
_CACHED = 2e5


def _pieces(n_rows, n_columns, numbers=_CACHED):
    """Slices of rows with so many numbers."""
    step = max(1, int(numbers // max(n_columns, 1)))
    return [slice(i, i + step) for i in range(0, n_rows, step)]


def _long_pieces(n_rows, n_columns):
    """Slices of rows for a sum of their products: no shorter than that sum takes to add."""
    return _pieces(n_rows, n_columns, max(_CACHED, 2 * n_columns**2))


def _sum_of_squares(parts, order):
    """Sum of ``S' S``, in double precision; all of S at once would fill the memory."""
    return sum(((S.T @ S).astype(float, copy=False) for S in parts), np.zeros((order, order)))


def _ratio(a, b):
    """The number c with ``a = c b``, or None."""
    if b is None or a.shape != b.shape or not b.any():
        return None
    at = np.unravel_index(np.argmax(b), b.shape)
    c = float(a[at] / b[at])
    return c if c > 0 and np.allclose(a, c * b, rtol=1e-13, atol=0.0) else None
