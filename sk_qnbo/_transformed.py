"""Transformers of a pipeline fitted on sets of rows: once each, their columns named."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array


def rows_of(metadata, rows, n_rows):
    """Some rows of each of the metadata that has one entry a row; the others as they are."""
    return {
        name: take(value, rows) if _n_entries(value) == n_rows else value
        for name, value in metadata.items()
    }


def _n_entries(value):
    if hasattr(value, "shape"):
        return value.shape[0] if len(value.shape) else None
    return len(value) if isinstance(value, list | tuple) else None


def take(X, index):
    """Rows of an array, a sparse matrix, a data frame or a list."""
    if hasattr(X, "iloc"):
        return X.iloc[index]
    if hasattr(X, "shape"):
        return X[index]
    return [X[i] for i in index]


@dataclass(frozen=True)
class Transformed:
    """Transformers fitted on some rows, and what they made of these.

    Attributes
    ----------
    steps : Pipeline
    names : list
        Names of the columns, each once; positions where the transformers give no names.
    rows : ndarray of int of shape (n_rows,)
    Z : array or sparse matrix of shape (n_rows, n_columns)
        What ``fit_transform`` gave, which need not be what ``transform`` would.
    frame : array-like of str or None
        Names of the columns as a model would see them, if it was given a data frame.
    """

    steps: Pipeline
    names: list
    rows: np.ndarray
    Z: object
    frame: object = None

    @property
    def size(self):
        """Bytes of what is stored."""
        if not sp.issparse(self.Z):
            return self.Z.nbytes
        return self.Z.data.nbytes + self.Z.indices.nbytes + self.Z.indptr.nbytes

    def of(self, X, rows):
        """Other rows of X transformed."""
        return _as_matrix(self.steps.transform(take(X, rows)), self.names)


class Transformations:
    """Fits of a pipeline's transformers, each kept until it was asked for as often as foreseen.

    Once :meth:`limit` was called, further ones are kept as long as there is room. Threads may
    ask: at worst two of them make the same fit, or one is kept too long. A pickle leaves the fits
    behind.

    Parameters
    ----------
    transformer : Pipeline
    X, y : as given to the search
    params : dict
        Metadata for the fit of the transformers.
    asked : iterable of ndarray of bool of shape (n_rows,)
        Sets of rows that will be asked for, each as often as it will be.
    """

    def __init__(self, transformer, X, y, params, asked=()):
        self.transformer, self.X, self.y, self.params = transformer, X, y, params
        self.left, self.kept, self.room = {}, {}, np.inf
        for rows in asked:
            self.left[_key(rows)] = self.left.get(_key(rows), 0) + 1

    def __getstate__(self):
        return vars(self) | {"kept": {}}

    @property
    def size(self):
        """Bytes of what is kept."""
        return sum(made.size for made in tuple(self.kept.values()))

    def limit(self, factor):
        """Keep at most ``factor`` times what is kept now."""
        self.room = factor * self.size

    def of(self, rows):
        """The :class:`Transformed` of a mask of rows."""
        key = _key(rows)
        self.left[key] = self.left.get(key, 1) - 1
        made = self.kept.pop(key, None) or self._fit(rows)
        if self.left[key] > 0 and self.size + made.size <= self.room:
            self.kept[key] = made
        return made

    def _fit(self, rows):
        rows = np.flatnonzero(rows)
        params = rows_of(self.params, rows, len(self.y))
        steps = clone(self.transformer)
        Z = steps.fit_transform(take(self.X, rows), take(self.y, rows), **params)
        names, frame = _column_names(steps, Z), getattr(Z, "columns", None)
        return Transformed(steps, names, rows, _as_matrix(Z, names), frame)


def _key(rows):
    return np.packbits(rows).tobytes()


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
