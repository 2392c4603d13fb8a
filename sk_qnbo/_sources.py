"""Where folds come from: one matrix for all, or a pipeline refitted in each."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from ._ladder import Folds


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
        present = np.unique(self.labels[rows])
        weight = np.ones(self.labels.max() + 1)
        weight[present] = compute_class_weight(
            self.by_class, classes=present, y=self.labels[rows]
        )
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

    def folds(self, train, valid):
        """Stack of folds from masks ``(n_folds, n_rows)``; rows that none uses are dropped."""
        index = np.flatnonzero((train | valid).any(axis=0))
        fit = np.stack([self.weights.fit(rows) for rows in train])[:, index]
        judge = np.stack([self.weights.judge(rows) for rows in valid])[:, index]
        X = self.X if len(index) == self.X.shape[0] else self.X[index]
        return Folds(X, self.targets[:, index], self.loss, fit, judge, index)
