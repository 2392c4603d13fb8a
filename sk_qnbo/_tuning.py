"""What the penalties are tuned by: the folds of a splitter, or every row left out in turn."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import (
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    StratifiedShuffleSplit,
    check_cv,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from ._checks import masks, pairs_of
from ._folds import inner_splits
from ._stack import LooStack, Stack

_OF_INDEPENDENT_ROWS = (
    KFold,
    StratifiedKFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedShuffleSplit,
)


@dataclass(frozen=True)
class FoldTuning:
    """Folds tune the penalties, and serve the cross-fit as they are.

    Attributes
    ----------
    train, valid : ndarray of bool of shape (n_folds, n_rows)
    exchangeable : bool
        Whether the splitter takes rows as independent, so that some of its folds speak for all.
        Others (groups, time, given lists) may have been chosen as rows of a fold are alike.
    ordered : bool
        Whether folds follow the order of the rows, so that it must be seen that they are alike.
    """

    train: np.ndarray
    valid: np.ndarray
    exchangeable: bool
    ordered: bool = False

    def stack(self, source, spec, precise):
        """What the ladder is climbed on."""
        return Stack(source.folds(self.train, self.valid), spec, precise=precise)

    def stack_without(self, source, main, outer):
        """The same on the training rows of one fold; None where no fold is left inside."""
        inner = inner_splits(self.train, self.valid, outer)
        return Stack(source.folds(*inner), main.spec, main) if len(inner[0]) else None

    def trainings(self, used, codes, guarded):
        """Rows of every fit that is judged (``used``: those of positive weight), and its name."""
        train = self.train & used
        for k, rows in enumerate(train):
            yield rows, f"fold {k}"
        for k in range(len(train) if guarded else 0):
            for rows in inner_splits(train, self.valid, k)[0]:
                yield rows, f"a fold inside the cross-fit without fold {k}"

    def beside(self, believed, kept):
        """What was believed in the folds that the cross-fit could leave out."""
        return [believed[k] for k in kept]


@dataclass(frozen=True)
class LooTuning(FoldTuning):
    """Every row is left out in turn, without refitting; folds serve cross-fit and pilots alone.

    Without a cross-fit there is one "fold": it trains on all rows and judges all of them.

    Attributes
    ----------
    folds : callable
        Gives the training and validation rows of the folds of the pilots, which only an adaptive
        rung asks for.
    """

    folds: object = None

    def stack(self, source, spec, precise):
        everything = np.ones((1, self.train.shape[1]), dtype=bool)
        return LooStack(
            source.folds(everything, everything), spec, lambda: source.folds(*self.folds())
        )

    def stack_without(self, source, main, outer):
        rows, pilots = self.train[[outer]], inner_splits(self.train, self.valid, outer)
        folds = source.folds(rows, rows)
        return LooStack(folds, main.spec, lambda: source.folds(*pilots), main)

    def trainings(self, used, codes, guarded):
        if codes is not None:
            yield from _without_each(used, codes, "leave-one-out")
        for k, rows in enumerate(self.train & used if guarded else ()):
            yield from _without_each(rows, codes, f"leave-one-out without fold {k}")

    def beside(self, believed, kept):
        return believed


def _without_each(rows, codes, where):
    """The rows, and the rows without one that alone is of its class."""
    yield rows, where
    found, first, counts = np.unique(codes[rows], return_index=True, return_counts=True)
    for at in first[counts == 1]:
        row = np.flatnonzero(rows)[at]
        yield rows & (np.arange(len(rows)) != row), f"{where} of row {row}"


def tuning_of(cv, X, y, classifier, transformer, guarded, split_params):
    """The tuning that the ``cv`` argument of a search asks for."""
    if not isinstance(cv, str):
        splitter = check_cv(pairs_of(cv), y, classifier=classifier)
        exchangeable = isinstance(splitter, _OF_INDEPENDENT_ROWS) and "groups" not in split_params
        splits = list(splitter.split(X, y, **split_params))
        ordered = not getattr(splitter, "shuffle", True)
        return FoldTuning(*masks(splits, len(y)), exchangeable, ordered)
    if "groups" in split_params:
        raise ValueError(
            "cv='loo' leaves rows out one by one and cannot keep groups together; "
            "use cv=GroupKFold(), or leave groups out."
        )
    _check_stateless(transformer)

    def folds():
        return masks(list(check_cv(None, y, classifier=classifier).split(X, y)), len(y))

    everything = np.ones((1, len(y)), dtype=bool)
    # its folds follow the order of the rows, and none is inside another to compare it with
    return LooTuning(*(folds() if guarded else (everything, everything)), False, folds=folds)


def _check_stateless(transformer):
    """Error for transformers that learn from rows: each row would be in its own transformation."""
    steps = [] if transformer is None else [step for _, step in transformer.steps]
    for step in steps:
        if isinstance(step, Pipeline):
            _check_stateless(step)
        elif step not in (None, "passthrough") and get_tags(step).requires_fit:
            raise ValueError(
                f"cv='loo' fits once, but the pipeline step {type(step).__name__} learns from the "
                "rows, so that it would have to be refitted without each of them. Use cv=5 or "
                "cv=10; a scaler can simply be left out (scale=1 does what StandardScaler does, "
                "scale='learn' tunes it)."
            )
