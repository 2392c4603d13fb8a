"""Where folds come from: one matrix for all, or a pipeline refitted in each."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array

from ._stack import Folds, Units
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

    def folds(self, train, valid):
        """Stack of folds from masks ``(n_folds, n_rows)``.

        Rows that none uses stay with weight zero while they are few, so that all stacks of a
        search can share one matrix; many are dropped.
        """
        index = np.flatnonzero((train | valid).any(axis=0))
        if 2 * len(index) > self.X.shape[0]:
            index = np.arange(self.X.shape[0])
        fit = np.stack([self.weights.fit(rows) for rows in train])[:, index]
        judge = np.stack([self.weights.judge(rows) for rows in valid])[:, index]
        X = self.X if len(index) == self.X.shape[0] else self.X[index]
        return Folds(X, self.targets[:, index], self.loss, fit, judge, index, self.units)


@dataclass(frozen=True)
class FittedTransformer:
    """Transformers fitted on one fold's training rows.

    Attributes
    ----------
    steps : Pipeline
    columns : ndarray of int of shape (n_own_columns,)
        Place of each of its columns among the common ones; -1 for a column that is not there.
    """

    steps: Pipeline
    columns: np.ndarray

    def own(self, values):
        """Values of the common columns (last axis) for its own; zero where there is none."""
        return np.where(self.columns < 0, 0.0, values[..., self.columns])


@dataclass(frozen=True)
class PipelineFolds(Folds):
    """Folds with the transformers that made their matrices."""

    fitted: list = field(default_factory=list)


class PipelineSource:
    """Folds of which each refits the transformers of a pipeline on its own training rows.

    Columns are matched by the names the transformers give (by position where they give
    none), so folds may differ in their columns, as vocabularies do: a column that a fold
    lacks is zero there. The columns are those of the fit on all rows (the first ``n_final``),
    then those that only a main fold has.

    Parameters
    ----------
    transformer : Pipeline
    X, y : as given to the search
    targets : ndarray of shape (n_outputs, n_rows)
    loss : str
    weights : RowWeights
    train : ndarray of bool of shape (n_folds, n_rows)
        The main folds.
    params : dict of ndarray of shape (n_rows,)
        Metadata for the fit of the transformers.
    units : Units
    """

    def __init__(self, transformer, X, y, targets, loss, weights, train, params=None, units=None):
        self.units = units or Units()
        self.transformer, self.X, self.y = transformer, X, y
        self.targets, self.loss, self.weights = targets, loss, weights
        self.params = params or {}
        everything = np.ones((1, len(weights.sample)), dtype=bool)
        names = [self._fit(rows)[1] for rows in (*everything, *train)]
        self.n_final = len(names[0])
        self.names = list(dict.fromkeys(name for fold in names for name in fold))
        _check_columns(names)

    @property
    def n_features(self):
        return len(self.names)

    def _fit(self, rows):
        """Transformers fitted on rows, the names of their columns, and those rows transformed."""
        rows = np.flatnonzero(rows)
        params = {name: value[rows] for name, value in self.params.items()}
        fitted = clone(self.transformer)
        Z = fitted.fit_transform(take(self.X, rows), take(self.y, rows), **params)
        names = _column_names(fitted, Z)
        return fitted, names, _as_matrix(Z, names)

    def _matrix(self, train, valid):
        """Matrix of all rows in the common columns, and what made it; rows not used are zero."""
        steps, names, Z = self._fit(train)
        rest = np.flatnonzero(valid & ~train)
        at = {name: j for j, name in enumerate(self.names)}
        columns = np.array([at.get(name, -1) for name in names])
        parts = [(np.flatnonzero(train), Z)]
        if len(rest):
            parts.append((rest, _as_matrix(steps.transform(take(self.X, rest)), names)))
        known = np.flatnonzero(columns >= 0)
        shape = (len(train), len(self.names))
        X = _place([(rows, M[:, known]) for rows, M in parts], columns[known], shape)
        return X, FittedTransformer(steps, columns)

    def folds(self, train, valid):
        """Stack of folds from masks ``(n_folds, n_rows)``, each with a matrix of its own."""
        fit = np.stack([self.weights.fit(rows) for rows in train])
        judge = np.stack([self.weights.judge(rows) for rows in valid])
        made = [self._matrix(t, v) for t, v in zip(train, valid, strict=True)]
        X, fitted = (list(part) for part in zip(*made, strict=True))
        if any(sp.issparse(M) for M in X):  # a ColumnTransformer decides it fold by fold
            X = [sp.csr_array(M) for M in X]
        return PipelineFolds(
            X, self.targets, self.loss, fit, judge, np.arange(fit.shape[1]), self.units, fitted
        )


def take(X, index):
    """Rows of an array, a sparse matrix, a data frame or a list."""
    if hasattr(X, "iloc"):
        return X.iloc[index]
    if hasattr(X, "shape"):
        return X[index]
    return [X[i] for i in index]


def _check_columns(names):
    counts = {len(fold) for fold in names}
    if 0 in counts:
        raise ValueError(
            "the transformers of the pipeline leave no column on all rows or in some fold; "
            "make them keep at least one."
        )
    if not isinstance(names[0][0], str) and len(counts) > 1:
        raise ValueError(
            f"the transformers of the pipeline give {min(counts)} to {max(counts)} columns in "
            "different folds and no names to match them by; give the transformers "
            "get_feature_names_out, or make them give the same columns in every fold."
        )


def _column_names(fitted, Z):
    """Names of the columns, each made unique; positions where the transformers give no names."""
    try:
        names = [str(name) for name in fitted.get_feature_names_out()]
    except (AttributeError, ValueError, TypeError, NotFittedError):
        names = [str(name) for name in getattr(Z, "columns", ())]
    if len(names) != Z.shape[1]:
        return list(range(Z.shape[1]))
    seen = {}
    for j, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            names[j] = f"{name} ({seen[name]})"
    return names


def _as_matrix(Z, names):
    Z = check_array(
        Z,
        accept_sparse="csr",
        dtype=float,
        ensure_min_samples=0,
        ensure_min_features=0,
        ensure_all_finite=False,
    )
    cells = Z.data if sp.issparse(Z) else Z
    if not np.isfinite(cells).all():
        at = np.flatnonzero(~np.isfinite(cells))[0]
        column = Z.indices[at] if sp.issparse(Z) else at % Z.shape[1]
        raise ValueError(
            f"the transformers of the pipeline give NaN or infinity in column {names[column]!r}; "
            "the model needs finite numbers. Add an imputer (sklearn.impute.SimpleImputer), or "
            "look at the transformer that makes this column."
        )
    return Z


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
