"""Folds of which each has a matrix of its own: a pipeline is refitted in each."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from sklearn.pipeline import Pipeline

from ._folds import Folds, Units, inner_splits
from ._transformed import Transformations


@dataclass(frozen=True)
class FoldMatrix:
    """Matrix of one fold in the columns that all folds share, kept in the rows that it uses.

    Attributes
    ----------
    steps : Pipeline
        The fitted transformers that made it.
    columns : ndarray of int of shape (n_own_columns,)
        Place of each of its columns among the common ones.
    parts : list of tuple
        Positions of rows, and what these hold: of the training rows, then of the validation rows.
    shape : tuple
        Of the rows of the stack and the common columns.
    sparse : bool
    frame : array-like of str or None
        Names of its columns, if the transformers give data frames.
    """

    steps: Pipeline
    columns: np.ndarray
    parts: list
    shape: tuple
    sparse: bool
    frame: object

    def own(self, values):
        """Values of the common columns (last axis) for its own."""
        return values[..., self.columns]

    def judged(self):
        """The same without the training rows."""
        return replace(self, parts=self.parts[1:])

    def placed(self, rows):
        """Some rows in the common columns; those that the fold does not use are zero."""
        at = np.full(self.shape[0], -1)
        at[rows] = np.arange(len(rows))
        parts = [(at[own], M) for own, M in self.parts]
        kept = [(r, M) if (r >= 0).all() else (r[r >= 0], M[r >= 0]) for r, M in parts]
        return _place(kept, self.columns, (len(rows), self.shape[1]), self.sparse)


@dataclass(frozen=True)
class PipelineFolds(Folds):
    """Folds whose ``X`` is a list with one :class:`FoldMatrix` a fold."""

    names: list | None = None

    @property
    def n_features(self):
        return self.X[0].shape[1]

    @property
    def fitted(self):
        return self.X

    def matrices(self):
        everything = np.arange(len(self.index))
        return (one.placed(everything) for one in self.X)

    def take(self, fold, rows):
        return self.X[fold].placed(rows)

    def judged(self):
        return replace(self, X=[one.judged() for one in self.X])


class PipelineSource:
    """Folds of which each refits the transformers of a pipeline on its own training rows.

    Columns are matched by the names the transformers give (by position where they give
    none), so folds may differ in their columns, as vocabularies do: a column that a fold
    lacks is zero there. The columns are those of the fit on all rows (the first ``n_final``),
    then those that only a main fold has, then those that only these folds have.

    Transformers are fitted once for each set of rows, as far as memory allows: a main fold serves
    its stack and its cross-fit, and of two folds left out, either way round, the same rows remain.

    Parameters
    ----------
    transformer : Pipeline
    X, y : as given to the search
    targets : ndarray of shape (n_outputs, n_rows)
    loss : str
    weights : RowWeights
    train, valid : ndarray of bool of shape (n_folds, n_rows)
        The main folds.
    guarded : bool
        Whether there will be cross-fits.
    params : dict
        Metadata for the fit of the transformers.
    units : Units
    """

    def __init__(
        self, transformer, X, y, targets, loss, weights, train, valid, guarded, params, units=None
    ):
        self.X, self.units = X, units or Units()
        self.targets, self.loss, self.weights = targets, loss, weights
        everything = np.ones((1, len(weights.sample)), dtype=bool)
        # asked for here and for the penalties on all rows; here, in the stack, in a cross-fit
        asked = [*everything, *everything, *train, *train]
        if guarded:
            inner = (inner_splits(train, valid, k)[0] for k in range(len(train)))
            asked += [*train, *(rows for split in inner for rows in split)]
        self.made = Transformations(transformer, X, y, params or {}, asked)
        names = [self.made.of(rows).names for rows in (*everything, *train)]
        self.made.limit(1.25)  # the folds inside cross-fits may take as much again
        _check_columns(names)
        self.n_final = len(names[0])
        self.names = _joined(names)

    @property
    def n_features(self):
        return len(self.names)

    def folds(self, train, valid, names=None):
        """Stack of folds from masks ``(n_folds, n_rows)``, each with a matrix of its own.

        Its columns are ``names``, those of the main folds by default, and any other that one of
        its own folds has.
        """
        index = np.flatnonzero((train | valid).any(axis=0))
        made = [self.made.of(rows) for rows in train]
        names = self.names if names is None else names
        _check_columns([self.names, *(one.names for one in made)])
        names = _joined([names, *(one.names for one in made)])
        # a ColumnTransformer decides it fold by fold
        sparse = any(sp.issparse(one.Z) for one in made)
        X = [self._matrix(one, v, index, names, sparse) for one, v in zip(made, valid, strict=True)]
        fit = np.stack([self.weights.fit(rows) for rows in train])[:, index]
        judge = np.stack([self.weights.judge(rows) for rows in valid])[:, index]
        return PipelineFolds(
            X, self.targets[:, index], self.loss, fit, judge, index, self.units, names
        )

    def _matrix(self, made, valid, index, names, sparse):
        at = {name: j for j, name in enumerate(names)}
        place = np.empty(len(valid), dtype=int)
        place[index] = np.arange(len(index))
        parts = [(place[made.rows], made.Z)]
        rest = np.setdiff1d(np.flatnonzero(valid), made.rows)
        if len(rest):
            parts.append((place[rest], made.of(self.X, rest)))
        columns = np.array([at[name] for name in made.names])
        shape = len(index), len(names)
        return FoldMatrix(made.steps, columns, parts, shape, sparse, made.frame)


def _joined(names):
    """All names, in their order, each once."""
    return list(dict.fromkeys(name for some in names for name in some))


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


def _place(parts, columns, shape, sparse):
    """Put row parts into their rows and columns of a zero matrix, dense or sparse."""
    if not sparse:
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
