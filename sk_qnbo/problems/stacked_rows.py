"""Products with design matrices of which every fold has its own."""

import numpy as np


class FoldRows:
    """A design matrix of its own for every fold: a pipeline was refitted in each.

    Takes a list of dense or sparse rows. They keep their numbering; a row that a fold neither
    fits nor judges is zero.
    """

    shared = False

    def __init__(self, folds):
        self.folds = folds
        self.n_rows, self.n_columns = self.folds[0].n_rows, self.folds[0].n_columns
        self.size = max(f.size for f in self.folds)

    def single(self):
        """The same rows in single precision; themselves, if they are."""
        folds = [f.single() for f in self.folds]
        same = all(a is b for a, b in zip(folds, self.folds, strict=True))
        return self if same else FoldRows(folds)

    def own(self):
        """The same matrices with memories and counts of their own."""
        return FoldRows([f.own() for f in self.folds])

    def part(self, rows, share):
        """Some rows of every fold, a share of these."""
        return FoldRows([f.part(rows, share) for f in self.folds])

    def moments(self, weights):
        """Each fold's moments under its own row of ``weights (n_folds, n_rows)``."""
        each = [f.moments(w[None]) for f, w in zip(self.folds, weights, strict=True)]
        return tuple(np.concatenate(part) for part in zip(*each, strict=True))

    @property
    def products(self):
        # a product with one fold's matrix is a K-th of a product for all folds side by side
        return sum(rows.products for rows in self.folds)

    def predict(self, W):
        return np.concatenate([f.predict(W[k : k + 1]) for k, f in enumerate(self.folds)])

    def pull(self, R):
        return np.concatenate([f.pull(R[k : k + 1]) for k, f in enumerate(self.folds)])

    def through(self, inverse):
        own = np.broadcast_to(inverse, (len(self.folds), self.n_columns))
        maps = [f.through(own[k : k + 1]) for k, f in enumerate(self.folds)]
        return lambda R: np.concatenate([m(R[k : k + 1]) for k, m in enumerate(maps)])

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

    shared, products = False, 0

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
