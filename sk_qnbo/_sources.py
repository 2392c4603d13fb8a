"""Where folds come from: one matrix for all, or a pipeline refitted in each."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_array

from ._ladder import Folds
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

    def folds(self, train, valid):
        """Stack of folds from masks ``(n_folds, n_rows)``; rows that none uses are dropped."""
        index = np.flatnonzero((train | valid).any(axis=0))
        fit = np.stack([self.weights.fit(rows) for rows in train])[:, index]
        judge = np.stack([self.weights.judge(rows) for rows in valid])[:, index]
        X = self.X if len(index) == self.X.shape[0] else self.X[index]
        return Folds(X, self.targets[:, index], self.loss, fit, judge, index)


class PipelineSource:
    """Folds of which each refits the transformers of a pipeline on its own training rows.

    Columns are matched by the names the transformers give (by position where they give
    none), so folds may differ in their columns, as vocabularies do: a column that a fold
    lacks is zero there. The columns are those of all main folds and of the fit on all rows.

    Parameters
    ----------
    transformer : Pipeline
    X, y : as given to the search
    targets : ndarray of shape (n_outputs, n_rows)
    loss : str
    weights : RowWeights
    train : ndarray of bool of shape (n_folds, n_rows)
        The main folds.
    """

    def __init__(self, transformer, X, y, targets, loss, weights, train):
        self.transformer, self.X, self.y = transformer, X, y
        self.targets, self.loss, self.weights = targets, loss, weights
        everything = np.ones((1, len(weights.sample)), dtype=bool)
        names = [self._fit(rows)[1] for rows in (*everything, *train)]
        self.n_final = len(names[0])
        self.names = list(dict.fromkeys(name for fold in names for name in fold))
        self._check_positions(names)

    def _check_positions(self, names):
        counts = {len(fold) for fold in names}
        if not isinstance(names[0][0], str) and len(counts) > 1:
            raise ValueError(
                f"the transformers of the pipeline give {min(counts)} to {max(counts)} columns in "
                "different folds and no names to match them by; give the transformers "
                "get_feature_names_out, or make them give the same columns in every fold."
            )

    def _fit(self, rows):
        """Transformer fitted on rows, the names of its columns, and those rows transformed."""
        fitted = clone(self.transformer)
        y = None if self.y is None else _rows(self.y, np.flatnonzero(rows))
        Z = fitted.fit_transform(_rows(self.X, np.flatnonzero(rows)), y)
        return fitted, _column_names(fitted, Z), _as_matrix(Z)

    def _matrix(self, train, valid):
        """Matrix of all rows in the common columns; rows not used are zero."""
        fitted, names, Z = self._fit(train)
        rest = np.flatnonzero(valid & ~train)
        at = {name: j for j, name in enumerate(self.names)}
        known = np.array([j for j, name in enumerate(names) if name in at], dtype=int)
        columns = np.array([at[names[j]] for j in known], dtype=int)
        parts = [(np.flatnonzero(train), Z)]
        if len(rest):
            parts.append((rest, _as_matrix(fitted.transform(_rows(self.X, rest)))))
        shape = (len(train), len(self.names))
        return _place([(rows, M[:, known]) for rows, M in parts], columns, shape)

    def folds(self, train, valid):
        """Stack of folds from masks ``(n_folds, n_rows)``, each with a matrix of its own."""
        fit = np.stack([self.weights.fit(rows) for rows in train])
        judge = np.stack([self.weights.judge(rows) for rows in valid])
        X = [self._matrix(t, v) for t, v in zip(train, valid, strict=True)]
        return Folds(X, self.targets, self.loss, fit, judge, np.arange(fit.shape[1]))


def _rows(X, index):
    """Rows of an array, a sparse matrix, a data frame or a list."""
    if hasattr(X, "iloc"):
        return X.iloc[index]
    if hasattr(X, "shape"):
        return X[index]
    return [X[i] for i in index]


def _column_names(fitted, Z):
    try:
        return [str(name) for name in fitted.get_feature_names_out()]
    except (AttributeError, ValueError, NotFittedError):
        return list(getattr(Z, "columns", range(Z.shape[1])))


def _as_matrix(Z):
    return check_array(Z, accept_sparse="csr", dtype=float, ensure_min_samples=0,
                       ensure_min_features=0)


def _place(parts, columns, shape):
    """Put row parts into their rows and columns of a zero matrix, dense or sparse."""
    if not any(sp.issparse(M) for _, M in parts):
        out = np.zeros(shape)
        for rows, M in parts:
            out[np.ix_(rows, columns)] = M
        return out
    cells = []
    for rows, M in parts:
        M = sp.coo_array(M)
        cells.append((M.data, rows[M.row], columns[M.col]))
    data, i, j = (np.concatenate(part) for part in zip(*cells, strict=True))
    return sp.csr_array(sp.coo_array((data, (i, j)), shape=shape))
