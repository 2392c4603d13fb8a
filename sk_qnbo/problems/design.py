"""From raw columns to the coordinates in which the lower level is solved, and back."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .rows import DenseRows, FoldRows, SparseRows

# a column whose variance is this small beside its mean square is constant up to rounding
_CONSTANT = 1e-14


@dataclass(frozen=True)
class Design:
    """Centred, scaled columns (sparse ones only scaled), with a column of ones for the intercept.

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
        plain = SparseRows(X) if sparse else DenseRows(X)
        mean, variance = plain.moments(used.any(axis=0)[None].astype(float))
        constant = variance <= _CONSTANT * (mean**2 + variance)
        scale = np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variance)))
        center = mean if intercept and not sparse else np.zeros_like(mean)
        if sparse:
            rows = SparseRows(plain.X, scale[0], intercept)
        else:
            rows = DenseRows(_internal(X, center[0], scale[0], intercept))
        return cls(rows, center, scale, intercept, constant)

    @property
    def n_features(self):
        return self.scale.shape[1]

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


def _internal(X, center, scale, intercept):
    n, d = X.shape
    out = np.ones((n, d + intercept))
    np.subtract(X, center, out=out[:, :d])
    out[:, :d] /= scale
    return out
