"""Where folds come from: weights of rows, and one matrix that all folds share."""

from dataclasses import dataclass

import numpy as np

from ._folds import Folds, Units
from ._validation import class_weight_vector


@dataclass(frozen=True)
class RowWeights:
    """Weight of each row in a fit and in its judgement.

    Attributes
    ----------
    sample : ndarray of shape (n_rows,)
    labels : ndarray of int of shape (n_rows,) or None
        Class of each row, where classes are weighted.
    by_class : dict, "balanced" or None
        As scikit-learn's ``class_weight``; the balance is that of the fold's own rows.
    """

    sample: np.ndarray
    labels: np.ndarray | None = None
    by_class: object = None

    def fit(self, rows):
        """Weights in a fit on the rows of a mask, zero elsewhere."""
        out = np.where(rows, self.sample, 0.0)
        if self.by_class is None:
            return out
        classes, codes = np.unique(self.labels[rows], return_inverse=True)
        weight = np.zeros(self.labels.max() + 1)
        weight[classes] = class_weight_vector(self.by_class, classes, codes, self.sample[rows])
        return out * weight[self.labels]

    def judge(self, rows):
        """Weights in a validation loss: the sample's alone, as in a scorer."""
        return np.where(rows, self.sample, 0.0)


@dataclass(frozen=True)
class PlainSource:
    """Folds on one matrix ``X (n_rows, n_features)`` that all share."""

    X: object
    targets: np.ndarray
    loss: str
    weights: RowWeights
    names: tuple | None = None
    units: Units = Units()

    @property
    def n_features(self):
        return self.X.shape[1]

    n_final = n_features

    def folds(self, train, valid, names=None):
        """Stack of folds from masks ``(n_folds, n_rows)``.

        Rows that none uses stay with weight zero while they are few, so that all stacks of a
        search can share one matrix; many are dropped. Folds have the same columns, whatever their
        ``names``.
        """
        index = np.flatnonzero((train | valid).any(axis=0))
        if 2 * len(index) > self.X.shape[0]:
            index = np.arange(self.X.shape[0])
        fit = np.stack([self.weights.fit(rows) for rows in train])[:, index]
        judge = np.stack([self.weights.judge(rows) for rows in valid])[:, index]
        X = self.X if len(index) == self.X.shape[0] else self.X[index]
        return Folds(X, self.targets[:, index], self.loss, fit, judge, index, self.units)
