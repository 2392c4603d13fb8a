"""What a stack is made of: rows and targets of every fold, and what the user said of penalties."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Units:
    """What one unit of the engine is worth outside, so that nothing depends on the user's units.

    Attributes
    ----------
    weight : float
        Sample weight that the engine counts as one: penalties are in units of it.
    center : ndarray of shape (n_outputs,)
        Target that the engine counts as zero.
    target : float
        Spread of the targets that the engine counts as one.
    """

    weight: float = 1.0
    center: np.ndarray | float = 0.0
    target: float = 1.0


@dataclass(frozen=True)
class Folds:
    """Rows, weights and targets of a stack of fits.

    Attributes
    ----------
    X : array or sparse array of shape (n_rows, n_features)
    targets : ndarray of shape (n_outputs, n_rows)
    loss : {"binary", "softmax", "squared"}
    train, valid : ndarray of shape (n_folds, n_rows)
        Row weights; zero where the fold does not use the row so.
    index : ndarray of int of shape (n_rows,)
        Where the rows stand in the data that the search was given.
    units : Units
    """

    X: object
    targets: np.ndarray
    loss: str
    train: np.ndarray
    valid: np.ndarray
    index: np.ndarray
    units: Units = Units()

    # what the columns are called and what made them, where folds have matrices of their own
    names = fitted = None

    @property
    def n_features(self):
        return self.X.shape[1]

    def matrices(self):
        """The matrix of all folds, or an iterator with one a fold."""
        return self.X

    def take(self, fold, rows):
        """Rows of one fold's matrix."""
        return self.X[rows]

    def judged(self):
        """The same, free of what only fits need."""
        return self


@dataclass(frozen=True)
class PenaltySpec:
    """What the user said of the penalties.

    Attributes
    ----------
    n_features : int
    labels : ndarray of int of shape (n_features,) or None
        Group of each feature for the departures.
    n_labels : int
    codata : ndarray of shape (n_features, n_covariates)
    fixed : ndarray of shape (n_features,) or None
        NaN where tuned.
    bounds : tuple of two floats
        Smallest and largest penalty of a column of unit variance.
    intercept : bool
    """

    n_features: int
    labels: np.ndarray | None = None
    n_labels: int = 0
    codata: np.ndarray | None = None
    fixed: np.ndarray | None = None
    bounds: tuple = (1e-6, 1e10)
    intercept: bool = True

    def wider(self, n_features):
        """The same with further columns, a group of their own, at the mean of the co-data."""
        more = n_features - self.n_features
        if more == 0:
            return self
        new = {"n_features": n_features}
        if self.labels is not None:
            new["labels"] = np.append(self.labels, np.full(more, self.n_labels))
            new["n_labels"] = self.n_labels + 1
        if self.codata is not None:
            new["codata"] = np.pad(self.codata, ((0, more), (0, 0)))
        if self.fixed is not None:
            new["fixed"] = np.append(self.fixed, np.full(more, np.nan))
        return replace(self, **new)

    def with_fixed(self, alpha):
        """Raw penalties with those that the user fixed."""
        return alpha if self.fixed is None else np.where(np.isnan(self.fixed), alpha, self.fixed)


def inner_splits(train, valid, outer):
    """Folds inside the training rows of fold ``outer``: the other folds, without its rows.

    The boundaries of the folds stay, so groups stay together and order stays order.

    Parameters
    ----------
    train, valid : ndarray of bool of shape (n_folds, n_rows)

    Returns
    -------
    train, valid : ndarray of bool of shape (at most n_folds - 1, n_rows)
    """
    inside = train[outer]
    others = np.arange(len(train)) != outer
    inner_train, inner_valid = train[others] & inside, valid[others] & inside
    use = inner_train.any(axis=1) & inner_valid.any(axis=1)
    return inner_train[use], inner_valid[use]
