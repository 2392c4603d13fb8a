"""From raw columns to the coordinates in which the lower level is solved, and back."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .rows import FoldRows, Rows

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
        """Design of a matrix, or of a list with one matrix a fold.

        Parameters
        ----------
        X : array or sparse array of shape (n_rows, n_features), or a list of those
        used : ndarray of shape (n_folds, n_rows) of bool
            Rows from which center and scale are taken.
        intercept : bool
        """
        if isinstance(X, list):
            parts = [cls.of(x, u[None], intercept) for x, u in zip(X, used, strict=True)]
            rows = FoldRows([p.rows.X for p in parts])
            joined = [
                np.concatenate([getattr(p, name) for p in parts])
                for name in ("center", "scale", "constant")
            ]
            return cls(rows, joined[0], joined[1], intercept, joined[2])
        some = used.any(axis=0)
        mean, variance = _moments(X, some[None].astype(float))
        constant = variance <= _CONSTANT * (mean**2 + variance)
        scale = np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variance)))
        centred = intercept and not sp.issparse(X)
        center = mean if centred else np.zeros_like(mean)
        rows = Rows(_internal(X, center[0], scale[0], intercept))
        return cls(rows, center, scale, intercept, constant)

    @property
    def n_features(self):
        return self.scale.shape[1]

    def log_variance(self, weights):
        """Log of the raw variance of each column under each row of ``weights``.

        A column that is constant there borrows the variance it has over all rows.
        """
        folds = getattr(self.rows, "folds", None)
        d = self.n_features
        if folds is None:
            variance = _moments(self.rows.X, weights)[1][:, :d]
        else:
            parts = [_moments(f.X, w[None])[1] for f, w in zip(folds, weights, strict=True)]
            variance = np.concatenate(parts)[:, :d]
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


def _moments(X, weights):
    """Weighted means and variances of the columns, ``(n_weights, n_columns)`` each."""
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    mean = np.asarray((X.T @ weights.T).T)
    if sp.issparse(X):
        square = np.asarray((X.multiply(X).T @ weights.T).T)
        return mean, np.maximum(square - mean**2, 0.0)
    shift = mean.mean(axis=0)  # differences from a common shift keep their digits
    moved = X - shift
    square = weights @ np.square(moved)
    return mean, np.maximum(square - (mean - shift) ** 2, 0.0)


def _internal(X, center, scale, intercept):
    n, d = X.shape
    if sp.issparse(X):
        X = sp.csr_array(X, dtype=float, copy=True)
        X.data /= scale[X.indices]
        return sp.hstack([X, np.ones((n, 1))], format="csr") if intercept else X
    out = np.ones((n, d + intercept))
    np.subtract(X, center, out=out[:, :d])
    out[:, :d] /= scale
    return out
