"""A stack of folds in the coordinates of the engine: what every rung of the ladder shares."""

from dataclasses import replace
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
    redundant_columns,
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
# range of the columns' log variances within which they are one: penalties would differ by a tenth
_ONE_SCALE = 0.2
# relative squared size below which a coefficient counts as zero in the adaptive column
EPS_ADAPTIVE = 1e-2
# a fixed penalty below this, for columns of unit variance and rows of weight one, says nothing
_NOTHING = 1e-8
# penalties, as parts of the weight of all rows, of an unpenalised column that others say already:
# where that is so, and in folds where it is not
_REDUNDANT, _TOLD_APART = 1.0, 1e-9


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
        self.log_variance = self._short(self._log_variance())
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

    @property
    def one_scale(self):
        """Whether the columns have nearly the same variance, so that it says nothing of them."""
        return bool(np.ptp(self.tuned_log_variance) <= _ONE_SCALE)

    @property
    def tuned_log_variance(self):
        """Log variances, means over the folds, of the columns whose penalty is tuned."""
        return self.log_variance.mean(axis=0, dtype=float)[self.tuned]

    def _short(self, column):
        """A column of the penalties in single precision where there it fills the memory."""
        return column.astype(np.float32) if self.large else column

    def _flat(self):
        """Whether a shift of all classes alike on some column costs nothing.

        Along it what single precision rounds would add up without end.
        """
        fixed = self.engine_fixed
        return self.folds.loss == "softmax" and fixed is not None and bool((fixed == 0.0).any())

    def _log_variance(self):
        return self.design.log_variance((self.folds.train > 0).astype(float))

    def _data(self):
        loss = LOSSES[self.folds.loss](self.folds.targets)
        return linear_data(self.design.rows, loss, self.folds.train, self.folds.valid)

    def _problem(self, coordinates, penalty, *prior):
        about = self.data, self.engine_fixed, self.spec.intercept
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
        s = self.tuned_log_variance
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
            offset, tuple(columns), spec.labels, spec.n_labels, self.engine_fixed
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
        return self.user_alpha(self.penalty(self.reference(), fit.phi).alpha(fit.theta))

    def user_alpha(self, alpha):
        """Penalties in the user's units from those of the engine."""
        return self.spec.with_fixed(alpha * self.design.scale**2 * self.folds.units.weight)

    def _free(self):
        """Whether a column is fixed at no penalty, ``(n_features,)``, as the user has it.

        One that says nothing is none: its inverse would drown all others on the rows' side.
        """
        none = np.zeros(self.spec.n_features, dtype=bool)
        if self.spec.fixed is None:
            return none
        return (self.engine_alpha(self.spec.fixed) < _NOTHING).all(axis=0)

    @cached_property
    def engine_fixed(self):
        """Penalties of internal columns that the user fixed, None where all are tuned.

        An unpenalised column that a fold cannot tell from others has a penalty there: the model
        is the same without it, and no direction is left along which nothing is determined.
        """
        if self.spec.fixed is None:
            return None
        free, d = self._free(), self.spec.n_features
        fixed = np.where(free, 0.0, self.engine_alpha(self.spec.fixed))
        at, weights = np.flatnonzero(free), self.folds.train
        first = [d] * self.spec.intercept
        told = redundant_columns(self.design.rows, weights, [*first, *at])[:, len(first) :]
        if not told.any():
            return fixed
        at, told = at[told.any(axis=0)], told[:, told.any(axis=0)]
        fixed = np.tile(fixed, (len(told) // len(fixed), 1))
        size = weights.sum(axis=1, keepdims=True)
        fixed[:, at] = size * np.where(told, _REDUNDANT, _TOLD_APART)
        return fixed

    def engine_alpha(self, alpha):
        """Penalties of internal columns from those in the user's units."""
        return alpha / self.design.scale**2 / self.folds.units.weight

    def pilot(self, fit):
        """The adaptive column from a rung that was tuned here, ``(n_folds, n_features)``."""
        return self.phi(fit.W)

    def phi(self, W):
        """The adaptive column from a pilot fit: minus the log of the relative squared size.

        A size is that of a coefficient on the column standardised by the fold's own rows.
        Sizes are relative to the features whose penalty is tuned; the others get zero.
        """
        deviation = np.exp(0.5 * self.log_variance) / self.design.scale
        W = W[..., : self.spec.n_features] * deviation[:, None]
        if self.folds.loss == "softmax":  # one shift of all classes changes no prediction
            W = W - W.mean(axis=1, keepdims=True)
        size = np.square(W).sum(axis=1)
        mean = size[:, self.tuned].mean(axis=1, keepdims=True)
        phi = -np.log(size / np.maximum(mean, np.finfo(float).tiny) + EPS_ADAPTIVE)
        # centred where the coefficients are: so its weight and the level have optima of their own
        share = np.where(self.tuned, size, 0.0) + np.finfo(float).tiny
        share = share / share.sum(axis=1, keepdims=True)
        phi = phi - np.einsum("kd,kd->k", share, phi)[:, None]
        return self._short(np.where(self.tuned, phi, 0.0))


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
        if self._free().any():
            free = np.append(self._free(), [True] * self.spec.intercept)
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
            self._known[fit.rung.name] = self.pilots.phi(pilot.point.W)
        return self._known[fit.rung.name]

    def predictions(self, fit):
        """Each row as a rung tuned here predicts it without it, ``(n_outputs, n_rows)``."""
        problem = self.problem(self.reference(), fit.phi)
        return problem.predictions(fit.theta, fit.result.point)

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
