"""Products with the design matrix, dense or sparse, one for all folds or one a fold."""

import numpy as np
import scipy.sparse as sp


class Rows:
    """One design matrix ``(n_rows, n_columns)`` that every member of the stack shares.

    The intercept, if any, is a column of ones like the others. ``products`` counts
    products of X or its transpose with one vector over all rows.
    """

    # whether the folds read the same rows
    shared = True

    def __init__(self, X):
        self.X = sp.csr_array(X) if sp.issparse(X) else np.ascontiguousarray(X, dtype=float)
        # both orders stored row-wise: a CSC product would scatter instead of gather
        self.XT = sp.csr_array(self.X.T) if sp.issparse(X) else self.X.T
        self.n_rows, self.n_columns = self.X.shape
        self.products = 0
        self._kernel = (None, None)

    @property
    def sparse(self):
        return sp.issparse(self.X)

    @property
    def size(self):
        """Stored entries: the multiplications of one product."""
        return self.X.nnz if self.sparse else self.X.size

    def _apply(self, matrix, values):
        stack, outputs, _ = values.shape
        flat = values.reshape(stack * outputs, -1)
        self.products += len(flat)
        out = (matrix @ flat.T).T if self.sparse else flat @ matrix.T
        return np.ascontiguousarray(out).reshape(stack, outputs, -1)

    def predict(self, W):
        """``X w`` for coefficients ``(n_stack, n_outputs, n_columns)``: ``(.., .., n_rows)``."""
        return self._apply(self.X, W)

    def pull(self, R):
        """``X' r`` for row values ``(n_stack, n_outputs, n_rows)``: ``(.., .., n_columns)``."""
        return self._apply(self.XT, R)

    def gram(self, h):
        """``X' diag(h) X`` for each row of ``h (n_blocks, n_rows)``."""
        self.products += int(np.count_nonzero(h) / self.n_rows * self.n_columns)
        if self.sparse:
            return np.stack([(self.XT.multiply(row) @ self.X).toarray() for row in h])
        return np.stack([self._gram_of(row) for row in h])

    def _gram_of(self, row):
        used = np.flatnonzero(row)
        some = self.X if len(used) == len(row) else self.X[used]
        S = some * np.sqrt(row[used])[:, None]
        return S.T @ S

    def squares(self, h):
        """``sum_i h_i x_ij^2`` for each row of ``h (n_blocks, n_rows)``."""
        self.products += len(h)
        if self.sparse:
            return (self.XT.multiply(self.XT) @ h.T).T
        return h @ np.square(self.X)

    def columns(self, positions):
        """Some columns, dense, ``(1, n_rows, n_positions)``."""
        some = self.X[:, positions]
        return (some.toarray() if self.sparse else some)[None]

    def kernel(self, inverse):
        """``X diag(inverse) X'`` for each row of ``inverse (n_blocks, n_columns)``.

        The last answer is remembered: a start matrix may be built more than once at one theta,
        and where only the common level moved it is the same but for a factor.
        """
        last, answer = self._kernel
        factor = _ratio(inverse, last)
        if factor is None:
            self.products += len(inverse) * self.n_rows
            answer, factor = np.stack([self._kernel_of(row) for row in inverse]), 1.0
            self._kernel = inverse, answer
        return answer if factor == 1.0 else factor * answer

    def _kernel_of(self, row):
        if self.sparse:
            return (self.X.multiply(row) @ self.XT).toarray()
        S = self.X * np.sqrt(row)
        return S @ S.T


class FoldRows:
    """A design matrix of its own for every fold: a pipeline was refitted in each.

    The rows keep their numbering; a row that a fold neither fits nor judges is zero.
    """

    shared = False

    def __init__(self, matrices):
        self.folds = [Rows(X) for X in matrices]
        self.n_rows, self.n_columns = self.folds[0].n_rows, self.folds[0].n_columns
        self.sparse = self.folds[0].sparse

    @property
    def size(self):
        return max(f.size for f in self.folds)

    @property
    def products(self):
        # a product with one fold's matrix is a K-th of a product for all folds side by side
        return sum(rows.products for rows in self.folds)

    def predict(self, W):
        return np.concatenate([f.predict(W[k : k + 1]) for k, f in enumerate(self.folds)])

    def pull(self, R):
        return np.concatenate([f.pull(R[k : k + 1]) for k, f in enumerate(self.folds)])

    def _each(self, name, values):
        """Blocks of every fold; ``values`` has one block a fold and output, folds first."""
        blocks = np.array_split(values, len(self.folds))
        return np.concatenate(
            [getattr(f, name)(b) for f, b in zip(self.folds, blocks, strict=True)]
        )

    def gram(self, h):
        return self._each("gram", h)

    def squares(self, h):
        return self._each("squares", h)

    def kernel(self, inverse):
        return self._each("kernel", inverse)

    def columns(self, positions):
        return np.concatenate([f.columns(positions) for f in self.folds])


class StackRows:
    """A small dense matrix of its own for every fold, ``X (n_folds, n_rows, n_columns)``.

    Made from a design matrix; its products are not products with that matrix.
    """

    shared, sparse, products = False, False, 0

    def __init__(self, X):
        self.X = X
        self.n_rows, self.n_columns = X.shape[1:]

    def predict(self, W):
        return W @ self.X.transpose(0, 2, 1)

    def pull(self, R):
        return R @ self.X

    def gram(self, h):
        roots = np.sqrt(h).reshape(len(self.X), -1, self.n_rows, 1)
        scaled = (X * root for X, blocks in zip(self.X, roots, strict=True) for root in blocks)
        return np.stack([S.T @ S for S in scaled])

    def squares(self, h):
        return (h.reshape(len(self.X), -1, self.n_rows) @ np.square(self.X)).reshape(len(h), -1)


def _ratio(a, b):
    """The number c with ``a = c b``, or None."""
    if b is None or a.shape != b.shape or not b.any():
        return None
    at = np.unravel_index(np.argmax(b), b.shape)
    c = float(a[at] / b[at])
    return c if c > 0 and np.allclose(a, c * b, rtol=1e-13, atol=0.0) else None
