"""Data hyper-cleaning: one weight for each training row, judged on rows that can be trusted."""

import copy
from functools import cached_property

import numpy as np
from scipy.special import expit

from .base import BilevelProblem, StartPlan
from .batches import deal, part_loss
from .losses import LOSSES
from .rows import rows_of


class _CleaningPoint:
    """Coefficients ``W (1, n_outputs, n_columns)`` with the predictions they make, when asked."""

    def __init__(self, problem, W):
        self._problem, self.W = problem, W

    @cached_property
    def train(self):
        return self._problem.loss.at(self._problem.rows.predict(self.W))

    @cached_property
    def valid(self):
        return self._problem.valid_loss.at(self._problem.valid_rows.predict(self.W))


class DataCleaning(BilevelProblem):
    """Weigh training rows of doubtful labels (Franceschi et al., ICML 2017, arXiv 1703.01785)::

        g(theta, W) = sum_i sigmoid(theta_i) loss(y_i, W x_i) + n ridge / 2 |W|^2
        f(W)        = mean over the trusted rows of loss(y, W x)

    Parameters
    ----------
    X : array or sparse array of shape (n_rows, n_columns)
        A column of ones, if there is to be an intercept, is penalised like the others.
    targets : ndarray of shape (n_outputs, n_rows)
        As the loss wants them: one-hot for "softmax", 0 and 1 for "binary".
    X_valid, targets_valid
        The trusted rows.
    loss : {"softmax", "binary", "squared"}
    ridge : float
    """

    n_stack = 1
    # a diagonal is all there is to start from: what it can reach in fair time
    start_plan = StartPlan(patience=1000, slack=30.0)

    def __init__(self, X, targets, X_valid, targets_valid, loss="softmax", ridge=1e-3):
        if not ridge > 0:
            raise ValueError(
                f"ridge must be positive, got {ridge!r}: where all weights vanish it is all that "
                "keeps the lower level convex."
            )
        self.rows, self.loss = rows_of(X), LOSSES[loss](targets)
        self.valid_rows, self.valid_loss = rows_of(X_valid), LOSSES[loss](targets_valid)
        self.n_upper, self.ridge = self.rows.n_rows, ridge * self.rows.n_rows
        self.shape = (1, len(np.asarray(targets)), self.rows.n_columns)
        self.n_lower = self.shape[1] * self.shape[2]
        self.unit = float(self.rows.n_rows)
        self.index = np.arange(self.rows.n_rows)
        self.scale, self.valid_scale = 1.0, 1.0 / self.valid_rows.n_rows
        self._batches = {}

    @staticmethod
    def weights(theta):
        """Weight of each training row, between 0 and 1."""
        return expit(theta)

    @property
    def products(self):
        return self.rows.products

    # -- batches ------------------------------------------------------------------------------
    @property
    def n_terms(self):
        return len(self.index)

    def batch(self, part, n_parts):
        if n_parts == 1:
            return self
        if n_parts not in self._batches:
            train = deal(np.zeros((self.rows.n_rows, 1)), n_parts)
            valid = deal(np.zeros((self.valid_rows.n_rows, 1)), n_parts, seed=1)
            pairs = zip(train, valid, strict=True)
            self._batches[n_parts] = [self._of(t, v, n_parts) for t, v in pairs]
        return self._batches[n_parts][part]

    def _of(self, train, valid, n_parts):
        some = copy.copy(self)
        some._batches, some.index = {}, self.index[train]
        some.rows, some.loss = self.rows.part(train, 1.0 / n_parts), part_loss(self.loss, train)
        some.valid_rows = self.valid_rows.part(valid, 1.0 / n_parts)
        some.valid_loss = part_loss(self.valid_loss, valid)
        some.scale, some.valid_scale = n_parts * self.scale, n_parts * self.valid_scale
        return some

    # -- points -------------------------------------------------------------------------------
    def at(self, w):
        return _CleaningPoint(self, w.reshape(self.shape))

    def array(self, point):
        return point.W.reshape(1, -1)

    def line(self, point, step):
        step = step.reshape(self.shape)
        return lambda t: _CleaningPoint(self, point.W + t[:, None, None] * step)

    # -- the oracles --------------------------------------------------------------------------
    def _weights(self, theta):
        return self.scale * expit(theta[self.index])

    def lower_value(self, theta, w):
        fit = w.train.value @ self._weights(theta)
        return fit + 0.5 * self.ridge * np.square(w.W).sum(axis=(1, 2))

    def lower(self, theta, w):
        gradient = self.rows.pull(self._weights(theta) * w.train.slope) + self.ridge * w.W
        return self.lower_value(theta, w), gradient.reshape(1, -1)

    def hvp(self, theta, w, v):
        V = v.reshape(self.shape)
        bent = w.train.bend_times(self.rows.predict(V))
        return (self.rows.pull(self._weights(theta) * bent) + self.ridge * V).reshape(1, -1)

    def cross(self, theta, w, u):
        along = self.rows.predict(u.reshape(self.shape))
        slopes = np.einsum("kcn,kcn->n", w.train.slope, along)
        out, some = np.zeros(self.n_upper), theta[self.index]
        out[self.index] = self.scale * expit(some) * expit(-some) * slopes
        return out

    def upper(self, theta, w):
        value = float(w.valid.value.sum()) * self.valid_scale
        gradient = self.valid_rows.pull(self.valid_scale * w.valid.slope)
        return value, np.zeros(self.n_upper), gradient.reshape(1, -1)

    def curvature_bound(self, theta):
        squares = self.rows.squares(self.loss.bend_bound * self._weights(theta)[None])
        return np.repeat(squares, self.shape[1], axis=0).reshape(1, -1) + self.ridge
