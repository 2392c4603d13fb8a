"""From raw columns to the coordinates in which the lower level is solved, and back."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from .rows import DenseRows, SparseRows
from .stacked_rows import FoldRows

# A column whose deviation is this small beside its mean, times the number of rows, is constant up
# to rounding. Without an intercept a model sees the mean, beside which the second is lost.
_CONSTANT, _LOST = float(np.finfo(float).eps), 1e-7
# Sparse columns whose squared mean is beyond this many variances are centred, as accuracy is lost
# otherwise. They are sparse in name only: with a share z of zeros the ratio is at most (1 - z) / z,
# so that fewer than 1 % of their entries are filled in.
_FULL = 100.0
# rows whose sum has no fewer roundings than this
_FEW_ROWS = 10


@dataclass(frozen=True)
class Design:
    """Centred, scaled columns, with a column of ones for the intercept.

    Sparse columns are only scaled, but for those that have next to no zeros.

    Attributes
    ----------
    rows : Rows or FoldRows
    center, scale : ndarray of shape (1 or n_folds, n_features)
        ``x_internal = (x - center) / scale``.
    intercept : bool
    constant : ndarray of bool of shape (1 or n_folds, n_features)
        Columns that do not vary on the used rows.
    """

    rows: object
    center: np.ndarray
    scale: np.ndarray
    intercept: bool
    constant: np.ndarray

    @classmethod
    def of(cls, X, used, intercept):
        """Design of a matrix, or of an iterable with one matrix a fold.

        Parameters
        ----------
        X : array or sparse array of shape (n_rows, n_features), or an iterable of those
        used : ndarray of shape (n_folds, n_rows) of bool
            Rows from which center and scale are taken.
        intercept : bool
        """
        if not hasattr(X, "shape"):
            parts = [cls.of(x, u[None], intercept) for x, u in zip(X, used, strict=True)]
            rows = FoldRows([p.rows for p in parts])
            joined = [
                np.concatenate([getattr(p, name) for p in parts])
                for name in ("center", "scale", "constant")
            ]
            return cls(rows, joined[0], joined[1], intercept, joined[2])
        sparse = sp.issparse(X)
        plain = SparseRows(_canonical(X)) if sparse else DenseRows(X)
        mean, variance = plain.moments(used.any(axis=0)[None].astype(float))
        rounding = _CONSTANT * max(np.count_nonzero(used.any(axis=0)), _FEW_ROWS)
        constant = variance <= np.square((rounding if intercept else _LOST) * mean)
        scale = np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variance)))
        centred = intercept & (_nearly_full(mean, variance) if sparse else True)
        center = np.where(centred, mean, 0.0)
        if sparse:
            X = plain.X - _in_every_row(center[0], len(used[0])) if center.any() else plain.X
            rows = SparseRows(X, scale[0], intercept)
        else:
            rows = DenseRows(_internal(X, center[0], scale[0], intercept))
        return cls(rows, center, scale, intercept, constant)

    @property
    def n_features(self):
        return self.scale.shape[1]

    def single(self):
        """The same with rows in single precision; itself, if they are, so that copies are one."""
        rows = self.rows.single()
        return self if rows is self.rows else replace(self, rows=rows)

    def log_variance(self, weights):
        """Log of the raw variance of each column under each row of ``weights``.

        A column that is constant there borrows the variance it has over all rows.
        """
        variance = self.rows.moments(weights)[1][:, : self.n_features]
        return np.log(np.where(variance > 1e-12, variance, 1.0)) + 2.0 * np.log(self.scale)

    def raw(self, W, fold=0):
        """Coefficients and intercepts on the raw columns.

        Parameters
        ----------
        W : ndarray of shape (n_models, n_outputs, n_columns)
        fold : int
            Fold whose coordinates the models are in, where folds have their own.

        Returns
        -------
        coef : ndarray of shape (n_models, n_outputs, n_features)
        intercept : ndarray of shape (n_models, n_outputs)
        """
        d, own = self.n_features, min(fold, len(self.scale) - 1)
        coef = W[..., :d] / self.scale[own]
        if not self.intercept:
            return coef, np.zeros(coef.shape[:2])
        return coef, W[..., d] - coef @ self.center[own]


def _canonical(X):
    """The sparse matrix with each entry stored once; squares are taken of what is stored."""
    if X.has_canonical_format:
        return X
    X = sp.csr_array(X, copy=True)
    X.sum_duplicates()
    return X


def _nearly_full(mean, variance):
    return mean**2 > _FULL * variance


def _internal(X, center, scale, intercept):
    n, d = X.shape
    out = np.ones((n, d + intercept))
    np.subtract(X, center, out=out[:, :d])
    out[:, :d] /= scale
    return out


def _in_every_row(values, n_rows):
    """Sparse matrix of which every row holds the same values."""
    at = np.flatnonzero(values)
    ends = np.arange(n_rows + 1) * len(at)
    cells = np.tile(values[at], n_rows), np.tile(at, n_rows), ends
    return sp.csr_array(cells, shape=(n_rows, len(values)))
