"""A stack of folds in the coordinates of the engine: what every rung of the ladder shares."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .methods import QNBO
from .problems import (
    LOSSES,
    LinearProblem,
    LogLinearPenalty,
    LooProblem,
    RowSideProblem,
    RowSpaceProblem,
    check_free_columns,
    linear_data,
    row_side_pays,
    row_space_pays,
)
from .problems.design import Design

# positions of the shared coefficients in theta
LEVEL, SCALE, ADAPTIVE, CODATA = 0, 1, 2, 3
# coordinates that the default method bears
_ALL = QNBO().coordinates
# ratio of the largest variance of a column to the median one, in row space (docs/engine.md)
_FAR = 1e5
# relative squared size below which a coefficient counts as zero in the adaptive column
EPS_ADAPTIVE = 1e-2
# a fixed penalty below this, for columns of unit variance and rows of weight one, says nothing
_NOTHING = 1e-8


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


class Stack:
    """The stack of folds of one search in internal coordinates, for every rung alike.

    Parameters
    ----------
    folds : Folds
    spec : PenaltySpec
        Widened where the folds have columns that no main fold has.
    like : Stack, optional
        A stack whose internal coordinates serve again if its matrix is the same. They only
        condition the numbers: what is learnt does not depend on them.
    precise : bool
        Whether products with X are in double precision even where single will do.
    """

    left_out = False

    def __init__(self, folds, spec, like=None, precise=False):
        spec = spec.wider(folds.n_features)
        self.spec, self.folds, self.precise = spec, folds.judged(), precise
        if like is not None and like.folds.X is folds.X:
            self.design = replace(like.design, rows=like.design.rows.own())
        else:
            self.design = Design.of(folds.matrices(), folds.train > 0, spec.intercept)
        self.log_variance = self._log_variance()
        rows = self.design.rows
        # on the side of the rows differences of large predictions need all digits
        tall = rows.n_columns <= rows.n_rows
        if not precise and folds.loss != "squared" and tall and not self._flat():
            self.design = self.design.single()
        self.data = self._data()
        self.n_rows = float((folds.train.sum(axis=0) > 0).sum())
        fixed = np.full(spec.n_features, np.nan) if spec.fixed is None else spec.fixed
        # columns whose penalty is tuned and says something: theta is measured from them
        self.tuned = np.isnan(fixed) & ~self.design.constant.all(axis=0)
        # whether none does: then penalties mean nothing (but a constant may serve as the intercept)
        self.all_constant = not self.tuned.any()
        if self.all_constant:
            self.tuned = np.isnan(fixed)

    @property
    def tuned_labels(self):
        """Groups with a column whose penalty is tuned and says something."""
        return np.unique(
            np.empty(0, int) if self.spec.labels is None else self.spec.labels[self.tuned]
        )

    def _flat(self):
        """Whether a shift of all classes alike on some column costs nothing.

        Along it what single precision rounds would add up without end.
        """
        fixed = self.engine_fixed()
        return self.folds.loss == "softmax" and fixed is not None and bool((fixed == 0.0).any())

    def _log_variance(self):
        return self.design.log_variance((self.folds.train > 0).astype(float))

    def _data(self):
        loss = LOSSES[self.folds.loss](self.folds.targets)
        return linear_data(self.design.rows, loss, self.folds.train, self.folds.valid)

    def _problem(self, coordinates, penalty, *prior):
        about = self.data, self.engine_fixed(), self.spec.intercept
        paired = RowSpaceProblem.coordinates in coordinates and not self._far_apart
        kind = LinearProblem
        if RowSideProblem.coordinates in coordinates and row_side_pays(
            *about, self.precise or not paired
        ):
            kind = RowSideProblem
        elif paired and row_space_pays(*about):
            kind = RowSpaceProblem
        return kind(self.data, penalty, *prior, intercept=self.spec.intercept)

    @cached_property
    def _far_apart(self):
        """Whether one raw column outweighs the others by more than pairs can bear."""
        s = self.log_variance[:, self.tuned]
        return bool((s.max(axis=1) - np.median(s, axis=1) > np.log(_FAR)).any())

    @property
    def large(self):
        """Whether one pair of curvature is a burden on the memory."""
        return self.design.n_features * len(self.folds.train) > 1e5

    def reference(self):
        """Mean log variance and spread, what ``theta`` is measured from.

        Where columns have nearly the same variance the exponent is in its own unit: in one of
        theirs its prior would be so stiff that nothing else moves.
        """
        s = self.log_variance.mean(axis=0)[self.tuned]
        return float(s.mean()), max(float(s.std()), 0.3)

    def penalty(self, reference, phi=None):
        """The log-linear model in internal coordinates, the adaptive column filled by ``phi``."""
        spec, s = self.spec, self.log_variance
        mean, spread = reference
        none = np.zeros((1, 1))
        columns = [none + 1.0, (s - mean) / spread, none if phi is None else phi]
        columns += [] if spec.codata is None else list(spec.codata.T)
        offset = np.broadcast_to(
            -2.0 * np.log(self.design.scale), (s if phi is None else phi).shape
        )
        return LogLinearPenalty(
            offset, tuple(columns), spec.labels, spec.n_labels, self.engine_fixed()
        )

    def problem(self, reference, phi=None, rung=None, unit=1.0, coordinates=_ALL):
        """The bilevel problem of a rung.

        ``unit`` is what one log-likelihood is worth in loss, ``coordinates`` what the method bears.
        """
        penalty = self.penalty(reference, phi)
        center, precision = np.zeros((2, penalty.n_upper))
        if rung is not None:
            for index, (mean, sd) in rung.prior.items():
                spread = reference[1] if index == SCALE else 1.0
                center[index], precision[index] = mean * spread, 1.0 / (sd * spread) ** 2
            precision[penalty.n_shared :] = 0.0 if np.isinf(rung.tau) else rung.tau
        # the level is measured at a column of unit variance, and is held from below only
        center[LEVEL] += reference[0]
        one_sided = np.arange(penalty.n_upper) == LEVEL
        return self._problem(
            coordinates, penalty, precision * (unit / self.n_rows), center, one_sided
        )

    def raw_alpha(self, fit):
        """Penalties of a rung in raw units, ``(n_folds, n_features)``."""
        phi = None if fit.base is None else self.pilot(fit.base)
        return self.user_alpha(self.penalty(self.reference(), phi).alpha(fit.theta))

    def user_alpha(self, alpha):
        """Penalties in the user's units from those of the engine."""
        return self.spec.with_fixed(alpha * self.design.scale**2 * self.folds.units.weight)

    def engine_fixed(self):
        """Penalties of internal columns that the user fixed, None where all are tuned.

        One that says nothing is zero: its inverse would drown all others on the rows' side.
        """
        if self.spec.fixed is None:
            return None
        fixed = self.engine_alpha(self.spec.fixed)
        return np.where((fixed < _NOTHING).all(axis=0), 0.0, fixed)

    def engine_alpha(self, alpha):
        """Penalties of internal columns from those in the user's units."""
        return alpha / self.design.scale**2 / self.folds.units.weight

    def pilot(self, fit):
        """The adaptive column from a rung that was tuned here, ``(n_folds, n_features)``."""
        return self.phi(fit.result.point)

    def phi(self, point):
        """The adaptive column from a pilot fit: minus the log of the relative squared size.

        A size is that of a coefficient on the column standardised by the fold's own rows.
        Sizes are relative to the features whose penalty is tuned; the others get zero.
        """
        deviation = np.exp(0.5 * self.log_variance) / self.design.scale
        W = point.W[..., : self.spec.n_features] * deviation[:, None]
        if self.folds.loss == "softmax":  # one shift of all classes changes no prediction
            W = W - W.mean(axis=1, keepdims=True)
        size = np.square(W).sum(axis=1)
        mean = size[:, self.tuned].mean(axis=1, keepdims=True)
        phi = -np.log(size / np.maximum(mean, np.finfo(float).tiny) + EPS_ADAPTIVE)
        # centred where the coefficients are: so its weight and the level have optima of their own
        share = np.where(self.tuned, size, 0.0) + np.finfo(float).tiny
        share = share / share.sum(axis=1, keepdims=True)
        phi = phi - np.einsum("kd,kd->k", share, phi)[:, None]
        return np.where(self.tuned, phi, 0.0)


class LooStack(Stack):
    """A stack of one, the fit on all rows of ``folds``, judged by leave-one-out.

    The adaptive column must not have seen the rows that judge it: it comes from pilots in folds
    as ever. With it there is a fit on all rows for each pilot, which judges the rows
    that this pilot has not seen.

    Parameters
    ----------
    folds : Folds of one
    spec : PenaltySpec
    pilots : callable
        Gives the folds of the pilots, on the same rows.
    like : Stack, optional
    """

    left_out = True

    def __init__(self, folds, spec, pilots, like=None):
        self._pilots, self._known, self._before, self._like = pilots, {}, None, like
        super().__init__(folds, spec, like, precise=True)
        fixed = self.engine_fixed()
        if fixed is not None and (fixed == 0.0).any():
            free = np.append(fixed == 0.0, [True] * self.spec.intercept)
            check_free_columns(self.data.rows, folds.train[0], self.data.loss, free)

    @cached_property
    def pilots(self):
        """The stack of the pilots."""
        return Stack(self._pilots(), self.spec, self, precise=True)

    def pilot(self, fit):
        if fit.rung.name not in self._known:
            phi = None if fit.base is None else self.pilot(fit.base)
            problem = self.pilots.problem(self.reference(), phi)
            pilot, _ = QNBO(tol=1e-6).fit_lower(problem, fit.theta)
            self._known[fit.rung.name] = self.pilots.phi(pilot.point)
        return self._known[fit.rung.name]

    def predictions(self, fit):
        """Each row as a rung tuned here predicts it without it, ``(n_outputs, n_rows)``."""
        phi = None if fit.base is None else self.pilot(fit.base)
        return self.problem(self.reference(), phi).predictions(fit.theta, fit.result.point)

    def _log_variance(self):
        if self._like is not None:
            return super()._log_variance()
        return 2.0 * np.log(self.design.scale)  # the variance that the design divides by

    def _data(self):
        loss = LOSSES[self.folds.loss](self.folds.targets)
        return linear_data(self.design.rows, loss, self.folds.train, None)

    def _problem(self, coordinates, penalty, *prior):
        judge = (self.folds if len(penalty.offset) == 1 else self.pilots.folds).valid
        new = LooProblem(self.data, judge, penalty, *prior, intercept=self.spec.intercept)
        self._before = new if self._before is None else new.remember(self._before)
        return new


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
