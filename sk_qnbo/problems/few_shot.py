"""Few-shot meta-learning: what many small tasks share, learnt so that a head fits from few rows."""

import copy
from functools import cached_property

import numpy as np

from .base import BilevelProblem, StartPlan
from .batches import deal
from .losses import LOSSES


class _Shared:
    """Upper variables, unpacked."""

    def __init__(self, log_weights, mean, embedding):
        self.log_weights, self.mean, self.embedding = log_weights, mean, embedding

    @property
    def alpha(self):
        return np.exp(self.log_weights)

    def packed(self):
        return np.concatenate([self.log_weights, self.mean.ravel(), self.embedding.ravel()])


class FewShot(BilevelProblem):
    """Heads of tasks around a shared mean, over a shared linear embedding.

    With rows ``e = V x`` of task k, its head ``W_k (n_outputs, n_embedded)`` fits the support rows
    and is judged on the query rows::

        g_k(theta, W_k) = sum_{i in support} loss(y_i, W_k V x_i)
                          + 1/2 sum_j exp(a_j) |W_kj - M_j|^2
        f(theta, W)     = mean over tasks and query rows of loss(y, W_k V x)
                          + decay / 2 |V - V_0|^2
        theta           = (a, M, V)

    What was learnt is tried on tasks never seen: :meth:`on` has the same sizes and other tasks.
    A batch is a share of every task's rows. It cannot be a share of the tasks: parts have the mean
    of the whole, so that the few tasks of a part would weigh, and their heads bend, as many times
    more, and no step would suit them.

    Parameters
    ----------
    X, X_query : ndarray of shape (n_tasks, n_rows, n_columns)
        Support rows and query rows.
    targets, targets_query : ndarray of shape (n_tasks, n_outputs, n_rows)
        As the loss wants them: one-hot for "softmax".
    embedding : ndarray of shape (n_embedded, n_columns)
        V_0, where the embedding starts.
    loss : {"softmax", "binary", "squared"}
        "squared" is a ridge head.
    decay : float
        How strongly the embedding is held there, in units of the upper loss.
    """

    # a diagonal is all there is to start from: what it can reach in fair time
    start_plan = StartPlan(patience=1000, slack=30.0)

    def __init__(self, X, targets, X_query, targets_query, embedding, loss="softmax", decay=0.0):
        self.X, self.X_query = np.asarray(X, float), np.asarray(X_query, float)
        self.targets, self.targets_query = np.asarray(targets), np.asarray(targets_query)
        self.embedding, self.decay, self.loss_name = np.asarray(embedding, float), decay, loss
        self.loss, self.query_loss = LOSSES[loss](self.targets), LOSSES[loss](self.targets_query)
        self.n_stack, n_outputs, n_rows = self.targets.shape
        if self.X.shape[:2] != (self.n_stack, n_rows):
            raise ValueError(
                f"X holds {self.X.shape[0]} tasks of {self.X.shape[1]} rows but targets "
                f"{self.n_stack} of {n_rows}; give (n_tasks, n_rows, n_columns) and "
                "(n_tasks, n_outputs, n_rows)."
            )
        self.shape = (self.n_stack, n_outputs, len(self.embedding))
        self.n_lower = n_outputs * len(self.embedding)
        self.n_upper = len(self.embedding) + self.n_lower + self.embedding.size
        self.unit = float(n_rows)
        # what a row of either kind weighs, and how many query rows there are
        self.scale, self.query_scale = 1.0, 1.0 / self.targets_query[:, 0].size
        self._batches = {}

    # -- batches ------------------------------------------------------------------------------
    @property
    def n_terms(self):
        return min(self.targets.shape[2], self.targets_query.shape[2])

    def batch(self, part, n_parts):
        if n_parts == 1:
            return self
        if n_parts not in self._batches:
            rows = deal(np.zeros((self.targets.shape[2], 1)), n_parts)
            query = deal(np.zeros((self.targets_query.shape[2], 1)), n_parts, seed=1)
            pairs = zip(rows, query, strict=True)
            self._batches[n_parts] = [self._of(*pair, n_parts) for pair in pairs]
        return self._batches[n_parts][part]

    def _of(self, rows, query, n_parts):
        some = copy.copy(self)
        some._batches, some._last = {}, None
        some.X, some.X_query = self.X[:, rows], self.X_query[:, query]
        some.targets, some.targets_query = self.targets[..., rows], self.targets_query[..., query]
        some.loss = LOSSES[self.loss_name](some.targets)
        some.query_loss = LOSSES[self.loss_name](some.targets_query)
        some.scale, some.query_scale = n_parts * self.scale, n_parts * self.query_scale
        return some

    def on(self, X, targets, X_query, targets_query):
        """The same model on other tasks."""
        return FewShot(
            X, targets, X_query, targets_query, self.embedding, self.loss_name, self.decay
        )

    def start(self, log_weight=0.0):
        """A theta with one weight for all features, mean zero and the given embedding."""
        E = len(self.embedding)
        return _Shared(np.full(E, log_weight), np.zeros(self.shape[1:]), self.embedding).packed()

    def shared(self, theta):
        """``theta`` as log weights ``(E,)``, mean ``(C, E)`` and embedding ``(E, n_columns)``."""
        E = len(self.embedding)
        a, M, V = np.split(theta, [E, E + self.n_lower])
        return _Shared(a, M.reshape(self.shape[1:]), V.reshape(self.embedding.shape))

    def scores(self, theta, w):
        """Linear predictors of the query rows ``(n_tasks, n_outputs, n_rows)``."""
        return self._head(w) @ self._embedded(theta).query

    # -- the oracles --------------------------------------------------------------------------
    def _head(self, w):
        return w.reshape(self.shape)

    def _embedded(self, theta):
        """Embedded rows ``(n_tasks, n_embedded, n_rows)``, the last theta's remembered."""
        if getattr(self, "_last", None) is None or not np.array_equal(self._last.theta, theta):
            self._last = _Embedded(self, theta.copy())
        return self._last

    def lower(self, theta, w):
        rows, shared, W = self._embedded(theta), self.shared(theta), self._head(w)
        at, off = self.loss.at(W @ rows.support), W - shared.mean
        value = self.scale * at.value.sum(axis=1) + 0.5 * (shared.alpha * off**2).sum(axis=(1, 2))
        gradient = self.scale * at.slope @ rows.support.transpose(0, 2, 1) + shared.alpha * off
        return value, gradient.reshape(self.n_stack, -1)

    def hvp(self, theta, w, v):
        rows, V = self._embedded(theta), self._head(v)
        bent = self.loss.at(self._head(w) @ rows.support).bend_times(V @ rows.support)
        out = self.scale * bent @ rows.support.transpose(0, 2, 1) + self.shared(theta).alpha * V
        return out.reshape(self.n_stack, -1)

    def cross(self, theta, w, u):
        rows, shared, W, U = self._embedded(theta), self.shared(theta), self._head(w), self._head(u)
        at = self.loss.at(W @ rows.support)
        # <slope(W V x), U V x> moves with V through both factors
        moved = W.transpose(0, 2, 1) @ at.bend_times(U @ rows.support)
        moved = moved + U.transpose(0, 2, 1) @ at.slope
        weights = shared.alpha * ((W - shared.mean) * U).sum(axis=(0, 1))
        embedding = self.scale * np.einsum("ken,knd->ed", moved, self.X)
        return _Shared(weights, -shared.alpha * U.sum(axis=0), embedding).packed()

    def upper(self, theta, w):
        rows, shared, W = self._embedded(theta), self.shared(theta), self._head(w)
        at, scale = self.query_loss.at(W @ rows.query), self.query_scale
        off = shared.embedding - self.embedding
        value = scale * float(at.value.sum()) + 0.5 * self.decay * float(np.square(off).sum())
        pulled = scale * np.einsum("ken,knd->ed", W.transpose(0, 2, 1) @ at.slope, self.X_query)
        none = np.zeros_like(shared.log_weights), np.zeros_like(shared.mean)
        grad_theta = _Shared(*none, pulled + self.decay * off).packed()
        grad_w = scale * at.slope @ rows.query.transpose(0, 2, 1)
        return value, grad_theta, grad_w.reshape(self.n_stack, -1)

    def curvature_bound(self, theta):
        squares = np.square(self._embedded(theta).support).sum(axis=2)
        bound = self.scale * self.loss.bend_bound * squares[:, None] + self.shared(theta).alpha
        return np.broadcast_to(bound, self.shape).reshape(self.n_stack, -1)


class _Embedded:
    def __init__(self, problem, theta):
        self._problem, self.theta = problem, theta
        self._map = problem.shared(theta).embedding

    @cached_property
    def support(self):
        return self._map @ self._problem.X.transpose(0, 2, 1)

    @cached_property
    def query(self):
        return self._map @ self._problem.X_query.transpose(0, 2, 1)
