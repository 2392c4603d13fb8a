"""Penalties judged on rows held apart: the literature's setting, one fit and one validation set."""

import copy
from dataclasses import replace

import numpy as np

from .batches import deal, part_loss
from .data import RowData
from .linear import LinearProblem
from .losses import LOSSES
from .rows import rows_of


class _HeldOutPoint:
    """Coefficients with their predictions of the fitted rows; of the others when asked."""

    def __init__(self, data, W, z):
        self._data, self.W, self.z = data, W, z
        self._seen = {}

    def _once(self, name, compute):
        if name not in self._seen:
            self._seen[name] = compute()
        return self._seen[name]

    @property
    def loss(self):
        return self._once("train", lambda: self._data.loss.at(self.z))

    @property
    def judged(self):
        data = self._data
        return self._once("valid", lambda: data.valid_loss.at(data.valid_rows.predict(self.W)))


class HeldOutData(RowData):
    """:class:`RowData` of one fit whose validation rows are a matrix of their own.

    The fit never looks at a row it does not fit; the rows that judge are read once a theta.

    Parameters
    ----------
    rows, valid_rows : Rows
    loss, valid_loss
        Losses of ``problems.losses``, each with the targets of its rows.
    """

    def __init__(self, rows, loss, valid_rows, valid_loss):
        super().__init__(rows, loss, np.ones((1, rows.n_rows)), None)
        self.valid_rows, self.valid_loss = valid_rows, valid_loss
        self.valid = np.full((1, valid_rows.n_rows), 1.0 / valid_rows.n_rows / loss.mean_over)

    @property
    def products(self):
        """Products with a matrix of all rows: one with some of them counts as their share."""
        n, m = self.rows.n_rows, self.valid_rows.n_rows
        return (n * self.rows.products + m * self.valid_rows.products) / (n + m)

    def at(self, W):
        return _HeldOutPoint(self, W, self.rows.predict(W))

    def line(self, point, P):
        q = self.rows.predict(P)

        def move(t):
            t = t[:, None, None]
            return _HeldOutPoint(self, point.W + t * P, point.z + t * q)

        return move

    def valid_value(self, point):
        return np.einsum("kn,kn->k", self.valid, point.judged.value)

    def valid_gradient(self, point):
        return self.valid_rows.pull(self.valid[:, None] * point.judged.slope)

    def parts(self, n_parts):
        """Shares of the fitted rows, each with a share of the others."""
        train = deal(np.zeros((self.rows.n_rows, 1)), n_parts)
        valid = deal(np.zeros((self.valid_rows.n_rows, 1)), n_parts, seed=1)
        for t, v in zip(train, valid, strict=True):
            some = HeldOutData(
                self.rows.part(t, 1.0 / n_parts),
                part_loss(self.loss, t),
                self.valid_rows.part(v, 1.0 / n_parts),
                part_loss(self.valid_loss, v),
            )
            some.train = n_parts * self.train[:, t]
            some.valid = n_parts * self.valid[:, v]
            yield some


class HeldOut(LinearProblem):
    """Penalties of a linear model, fitted on some rows and judged on others::

        g(theta, w) = sum over X of loss(y_i, x_i.w) + 1/2 sum_j alpha_j |w_j|^2
        f(w)        = mean over X_valid of loss(y_i, x_i.w)

    Parameters
    ----------
    X, X_valid : arrays or sparse arrays of shape (n_rows, n_columns)
        Taken as they are; columns of ones, if there is to be an intercept, come last.
    targets, targets_valid : ndarrays of shape (n_outputs, n_rows)
        As the loss wants them: one-hot for "softmax", 0 and 1 for "binary".
    penalty : LogLinearPenalty
    loss : {"softmax", "binary", "squared"}
    intercept : bool
        Whether the last column is an intercept, which is never penalised.
    """

    def __init__(self, X, targets, X_valid, targets_valid, penalty, loss, intercept=False):
        kind = LOSSES[loss]
        data = HeldOutData(rows_of(X), kind(targets), rows_of(X_valid), kind(targets_valid))
        super().__init__(data, penalty, intercept=intercept)

    @property
    def start_plan(self):
        """One fit instead of one a fold: as many pairs as a method likes find room."""
        return replace(super().start_plan, max_pairs=None)

    @property
    def n_terms(self):
        """A share needs a row of both kinds."""
        return min(self.data.rows.n_rows, self.data.valid_rows.n_rows)

    def batch(self, part, n_parts):
        if n_parts == 1:
            return self
        if n_parts not in self._batches:
            self._batches[n_parts] = [self._of(some) for some in self.data.parts(n_parts)]
        return self._batches[n_parts][part]

    def _of(self, data):
        some = copy.copy(self)
        some.data, some._batches = data, {}
        return some
