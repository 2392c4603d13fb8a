"""Tuning the penalties of a linear model: the stack of folds as a bilevel problem."""

import numpy as np

from .base import BilevelProblem, StartPlan
from .batches import batches
from .data import MomentData, RowData
from .fold_spectrum import MomentSpectrum

# sizes up to which a dense factor is worth its memory and time (docs/engine.md)
MAX_CHOLESKY = 1500
MAX_WOODBURY = 1500
# columns up to which every fold has a start matrix of its own
MAX_OWN = 64
# how much looser the estimates are where only a diagonal start matrix is affordable
SLACK = 300.0
MAX_PAIRS = 5
# the same where the start matrix leaves out the couplings of the classes
BLOCK_SLACK = 10.0
# multiplications up to which every fold has a kernel of its own
MAX_KERNEL = 2e9
# coefficients up to which the classes of a softmax share one factor
MAX_FULL = 300
# the same where there is one fit alone
MAX_FULL_ALONE = 600
# columns up to which an eigendecomposition a fold is cheaper than a walk of the level
MAX_SPECTRUM = 600
# steps more before a start matrix without those couplings is built anew
ROUGH = 12


class LinearProblem(BilevelProblem):
    """Penalties of linear models, one lower fit a fold.

    With rows ``T_k``, ``V_k`` of fold k, coefficients w (intercept last, for each
    output) and ``alpha_kj = exp(penalty(theta))``::

        g_k(theta, w) = sum_{i in T_k} s_i loss(y_i, x_i.w) + 1/2 sum_j alpha_kj |w_j|^2
        f_k(w)        = weighted mean over V_k of loss(y_i, x_i.w)
        upper         = mean_k f_k + 1/2 sum_q precision_q (theta_q - center_q)^2
        cross         = sum_k d log alpha_k / d theta . (alpha_k w_k u_k)

    Parameters
    ----------
    data : RowData or MomentData
    penalty : LogLinearPenalty
    precision, center : ndarray of shape (n_upper,), optional
        A Gaussian prior on theta, in units of the upper loss; none by default.
    one_sided : ndarray of bool of shape (n_upper,), optional
        Coordinates that the prior holds from below only.
    intercept : bool
        Whether the last column is an intercept, which is never penalised.
    """

    def __init__(self, data, penalty, precision=None, center=None, one_sided=None, intercept=True):
        self.data, self.penalty = data, penalty
        none = np.zeros(penalty.n_upper)
        self.precision = none if precision is None else precision
        self.center = none if center is None else center
        self.one_sided = none.astype(bool) if one_sided is None else one_sided
        self.intercept = intercept
        self.free = free_columns(penalty.fixed, penalty.offset.shape[1], intercept)
        self.n_stack, self.n_upper = data.n_stack, penalty.n_upper
        self.shape = (data.n_stack, data.n_outputs, data.n_columns)
        self.n_lower = data.n_outputs * data.n_columns
        self.unit = float(data.train.sum(axis=1).max())
        self._last_theta, self._last_spectrum = None, (None, None)
        self._batches = {}

    @property
    def products(self):
        return self.data.products

    @property
    def n_terms(self):
        return self.data.train.shape[1]

    def batch(self, part, n_parts):
        if n_parts == 1:
            return self
        if n_parts not in self._batches:
            self._batches[n_parts] = batches(self, n_parts)
        return self._batches[n_parts][part]

    @property
    def start_plan(self):
        """Start matrix that suits the size: dense factor, its row side, or the diagonal."""
        n, d = self.data.train.shape[1], self.data.n_columns
        constant = self.data.loss.name == "squared_error"
        if d <= min(MAX_CHOLESKY, max(n, 64)):
            shared = self.data.can_share and self.n_lower > MAX_OWN
            # a new start costs d products for each of its blocks, at matrix speed
            patience = 3 + d // (8 * (self.n_stack if shared else 1))
            full, more, slack = coupling(self)
            return StartPlan("cholesky", shared, patience + more, constant, full, slack)
        if n <= MAX_WOODBURY:
            # a kernel costs n products; the factors behind it are free of the columns
            each = n * (self.data.rows.size + self.data.n_outputs * n * n)
            small = self.n_stack * each <= MAX_KERNEL
            shared = self.data.can_share and not constant and not small
            patience = (10 if shared else 3) + ROUGH * self.coupled
            slack = BLOCK_SLACK if self.coupled else 1.0
            return StartPlan("woodbury", shared, patience, constant, slack=slack)
        return StartPlan("diagonal", False, 1000, constant, slack=SLACK, max_pairs=MAX_PAIRS)

    # -- points -------------------------------------------------------------------------------
    def at(self, w):
        return self.data.at(np.reshape(w, self.shape))

    def array(self, point):
        return point.W.reshape(self.n_stack, self.n_lower)

    def line(self, point, step):
        return self.data.line(point, step.reshape(self.shape))

    # -- oracles ------------------------------------------------------------------------------
    def _alpha(self, theta):
        """Penalties ``(n_stack, 1, n_columns)``, zero for the intercept.

        The last answer is remembered, as every oracle at one theta asks for it.
        """
        if self._last_theta is None or not np.array_equal(self._last_theta, theta):
            self._last_theta, self._last_alpha = theta.copy(), self._compute_alpha(theta)
        return self._last_alpha

    def _compute_alpha(self, theta):
        alpha = self.penalty.alpha(theta)
        if self.intercept:
            alpha = np.concatenate([alpha, np.zeros((len(alpha), 1))], axis=1)
        return alpha[:, None]

    def lower_value(self, theta, w):
        ridge = np.einsum("kcd,kcd->k", self._alpha(theta) * w.W, w.W)
        return self.data.train_value(w) + 0.5 * ridge

    def lower(self, theta, w):
        gradient = self.data.train_gradient(w) + self._alpha(theta) * w.W
        return self.lower_value(theta, w), gradient.reshape(self.n_stack, -1)

    def hvp(self, theta, w, v):
        V = v.reshape(self.shape)
        return (self.data.train_hvp(w, V) + self._alpha(theta) * V).reshape(self.n_stack, -1)

    def cross(self, theta, w, u):
        d = self.penalty.offset.shape[1]
        slopes = self._alpha(theta)[:, 0] * np.einsum("kcd,kcd->kd", w.W, u.reshape(self.shape))
        return self.penalty.pull(slopes[:, :d])

    def upper(self, theta, w):
        value = self.data.valid_value(w).mean() + self.prior(theta)
        grad_w = self.data.valid_gradient(w).reshape(self.n_stack, -1) / self.n_stack
        return float(value), self.prior_gradient(theta), grad_w

    def _off_center(self, theta):
        off = theta - self.center
        return np.where(self.one_sided & (off > 0), 0.0, off)

    def prior(self, theta):
        return 0.5 * float(self.precision @ np.square(self._off_center(theta)))

    def prior_gradient(self, theta):
        return self.precision * self._off_center(theta)

    def fold_values(self, theta, w):
        """Validation loss of each fold, shape ``(n_stack,)``."""
        return self.data.valid_value(w)

    # -- along one level ----------------------------------------------------------------------
    def values_along(self, theta, q, values):
        """For ridge, where coordinate q moves all penalties that are not zero alike.

        From eigendecompositions, where these are the cheaper way (:meth:`_spectrum_at`).
        """
        spectrum = self._spectrum(theta, q) if self.data.loss.name == "squared_error" else None
        if spectrum is None:
            return None
        moved = values - self.center[q]
        moved = np.minimum(moved, 0.0) if self.one_sided[q] else moved
        own = self.precision[q] * (np.square(moved) - np.square(self._off_center(theta)[q]))
        return spectrum.values(np.exp(values - theta[q])) + self.prior(theta) + 0.5 * own

    def _spectrum(self, theta, q):
        alpha = self._compute_alpha(theta)[:, 0]  # not kept unless it serves: it is large
        if not self._alike(alpha, q):
            return None
        known, spectrum = self._last_spectrum
        if known is None or not np.array_equal(known, alpha):
            spectrum = self._spectrum_at(alpha)
            self._last_spectrum = (None, None) if spectrum is None else (alpha, spectrum)
        return spectrum

    def _alike(self, alpha, q):
        """Whether coordinate q of theta moves all penalties alike that are not zero."""
        alpha = alpha[:, : self.penalty.offset.shape[1]]
        alike = (self.penalty.columns[q] == 1.0) | (alpha == 0.0)
        if self.penalty.fixed is not None:
            alike &= np.isnan(self.penalty.fixed) | (self.penalty.fixed == 0.0)
        return bool(alike.all())

    def _spectrum_at(self, alpha):
        """What knows the upper value, without the prior, at all ``c alpha``; or None."""
        if not isinstance(self.data, MomentData) or self.data.n_columns > MAX_SPECTRUM:
            return None
        return MomentSpectrum(self.data, inverse_penalties(alpha), self.free)

    # -- curvature ----------------------------------------------------------------------------
    def curvature_bound(self, theta):
        return (self.data.bound() + self._alpha(theta)).reshape(self.n_stack, -1)

    def diagonal(self, theta):
        alpha = np.broadcast_to(self._alpha(theta), self.shape)
        return alpha.reshape(self.n_stack, -1)

    def data_diagonal(self, w):
        return self.data.diagonal(w).reshape(self.n_stack, -1)

    def data_hessian(self, w, shared=False, full=False):
        """Blocks of the Hessian without the penalty: ``(1 or n_stack, n_blocks, D, D)``."""
        shared = shared and self.data.can_share
        if not (full and self.coupled):
            return self.data.hessian(w, shared)
        return self._anchored(self.data.full_hessian(w, shared))[:, None]

    @property
    def coupled(self):
        """Whether the outputs share a Hessian block (classes of a softmax do)."""
        return self.data.n_outputs > 1 and self.data.loss.name != "squared_error"

    def _anchored(self, H):
        """Take the flat direction (one constant on all classes' intercepts) out of ``H``."""
        if self.intercept:
            D = self.shape[2]
            at = np.arange(D - 1, self.n_lower, D)
            scale = np.trace(H, axis1=1, axis2=2).mean() / self.n_lower
            H[:, at[:, None], at] += scale / len(at)
        return H

    def data_rows(self, w, shared=False):
        """Row weights ``(1 or n_stack, n_blocks, n_rows)`` and the products they belong to."""
        return self.data.bends(w, shared and self.data.can_share), self.data.rows


def free_columns(fixed, n_features, intercept):
    """Positions of the columns that are never penalised."""
    zeros = () if fixed is None else np.flatnonzero((np.atleast_2d(fixed) == 0.0).all(axis=0))
    return np.array([*zeros, *([n_features] if intercept else [])], dtype=int)


def inverse_penalties(alpha):
    """One over the penalties, zero where there is none."""
    return 1.0 / np.where(alpha > 0, alpha, np.inf)


def coupling(problem):
    """Whether the outputs share one factor; else the steps and the slack that costs."""
    if not problem.coupled:
        return False, 0, 1.0
    if problem.n_lower <= (MAX_FULL_ALONE if problem.n_stack == 1 else MAX_FULL):
        return True, 0, 1.0
    return False, ROUGH, BLOCK_SLACK  # blocks leave the couplings to the pairs, which take steps


def linear_data(rows, loss, train, valid):
    """Moments where they are small and exact (ridge, few columns), else the rows."""
    n_used = int((train.sum(axis=0) > 0).sum())
    few = rows.n_columns <= min(1000, max(n_used, 64))
    kind = MomentData if loss.name == "squared_error" and few else RowData
    return kind(rows, loss, train, valid)
