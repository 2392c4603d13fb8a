"""What the folds' data say about coefficients: from the rows, or for ridge from their moments."""

from functools import cached_property

import numpy as np


class _RowPoint:
    """Coefficients ``W (n_stack, n_outputs, n_columns)`` with their predictions and losses."""

    def __init__(self, W, z, loss):
        self.W, self.z, self._loss = W, z, loss

    @cached_property
    def loss(self):
        return self._loss.at(self.z)


class RowData:
    """Training and validation losses of a stack of folds, computed from the rows.

    Parameters
    ----------
    rows : Rows or FoldRows
    loss : one of the losses of ``problems.losses``
    train : ndarray of shape (n_stack, n_rows)
        Weight of each row in each fold's fit, zero where it is left out.
    valid : ndarray of shape (n_stack, n_rows) or None
        Weight of each row in each fold's validation loss; scaled to sum to one. None where
        nothing is judged, or elsewhere (leave-one-out).
    """

    def __init__(self, rows, loss, train, valid):
        self.rows, self.loss, self.train = rows, loss, train
        if valid is not None:
            total = valid.sum(axis=1, keepdims=True)
            self.valid = valid / np.where(total > 0, total, 1.0) / loss.mean_over
        self.n_stack, self.n_outputs = len(train), loss.n_outputs
        self.n_columns = rows.n_columns
        # predictions of a fold's own matrix cannot share a reference with other folds
        self.can_share = rows.shared

    @property
    def products(self):
        return self.rows.products

    def at(self, W):
        return _RowPoint(W, self.rows.predict(W), self.loss)

    def predictions(self, point):
        """Linear predictions of all rows, ``(n_stack, n_outputs, n_rows)``."""
        return point.z

    def line(self, point, P):
        q = self.rows.predict(P)

        def move(t):
            t = t[:, None, None]
            return _RowPoint(point.W + t * P, point.z + t * q, self.loss)

        return move

    def train_value(self, point):
        return np.einsum("kn,kn->k", self.train, point.loss.value)

    def train_gradient(self, point):
        return self.rows.pull(self.train[:, None] * point.loss.slope)

    def train_hvp(self, point, V):
        return self.rows.pull(self.train[:, None] * point.loss.bend_times(self.rows.predict(V)))

    def spread(self, W):
        """Root mean square prediction of ``W`` on the rows that each fold fits, ``(n_stack,)``."""
        square = np.einsum("kn,kcn->k", self.train, np.square(self.rows.predict(W)))
        return np.sqrt(square / self.train.sum(axis=1))

    def valid_value(self, point):
        return np.einsum("kn,kn->k", self.valid, point.loss.value)

    def valid_gradient(self, point):
        return self.rows.pull(self.valid[:, None] * point.loss.slope)

    def bends(self, point, shared):
        """Row weights of the Hessian's diagonal blocks: ``(1 or n_stack, n_blocks, n_rows)``."""
        h = self.train[:, None] * point.loss.bend
        if self.loss.name == "squared_error":
            h = h[:, :1]  # every target has the same Hessian
        return h.mean(axis=0, keepdims=True) if shared else h

    def _blocks(self, function, h):
        out = function(h.reshape(-1, h.shape[-1]))
        return out.reshape(h.shape[:2] + out.shape[1:])

    def hessian(self, point, shared):
        """Diagonal blocks of the data's Hessian, ``(1 or n_stack, n_blocks, D, D)``."""
        return self._blocks(self.rows.gram, self.bends(point, shared))

    def diagonal(self, point):
        """Diagonal of the data's Hessian, ``(n_stack, n_outputs, n_columns)``."""
        d = self._blocks(self.rows.squares, self.bends(point, False))
        return np.broadcast_to(d, (self.n_stack, self.n_outputs, self.n_columns))

    def full_hessian(self, point, shared):
        """The softmax Hessian with the couplings of the classes, ``(1 or n_stack, L, L)``."""
        C, D = self.n_outputs, self.n_columns
        p, own = point.loss.p, self.bends(point, shared)
        out = np.empty((len(own), C, D, C, D))
        for c in range(C):
            out[:, c, :, c] = self.rows.gram(own[:, c])
            for b in range(c):
                # off the diagonal the softmax Hessian is -p_b p_c, so one sign a block
                h = self.train * p[:, b] * p[:, c]
                G = self.rows.gram(h.mean(axis=0, keepdims=True) if shared else h)
                out[:, b, :, c] = out[:, c, :, b] = -G
        return out.reshape(len(own), C * D, C * D)

    def bound(self):
        """Upper bound of the diagonal of the data's Hessian, at any coefficients."""
        return self._bound

    @cached_property
    def _bound(self):
        h = self._blocks(self.rows.squares, self.train[:, None] * self.loss.bend_bound)
        return np.broadcast_to(h, (self.n_stack, self.n_outputs, self.n_columns))


def _tiny_rest(part, whole):
    """Whether a difference that leaves ``part`` of ``whole`` would leave few of its digits."""
    return bool((part.sum(axis=1) < 0.1 * whole.sum(axis=1)).any())


class _MomentPoint:
    def __init__(self, W, GW):
        self.W, self.GW = W, GW


class MomentData:
    """The same for the squared loss, from each fold's Gram matrix: free of the number of rows."""

    can_share = False

    def __init__(self, rows, loss, train, valid):
        self.rows, self.loss, self.train = rows, loss, train
        self.n_stack, self.n_outputs = len(train), loss.n_outputs
        self.n_columns = rows.n_columns
        if valid is None:
            self.G, self.c, self.yy = self._moments(train)
            return
        total = valid.sum(axis=1) * loss.mean_over
        share = 1.0 / np.where(total > 0, total, 1.0)
        self.valid = share[:, None] * valid
        left_out = self._moments(valid)
        self.G, self.c, self.yy = self._moments_of_train(valid, left_out)
        self.Gv, self.cv, self.yyv = (m * share.reshape(-1, *[1] * (m.ndim - 1)) for m in left_out)

    def _moments(self, weights):
        Y = self.loss.targets
        c = self.rows.pull(weights[:, None] * Y)
        return self.rows.gram(weights), c, np.einsum("kn,cn->k", weights, Y * Y)

    def _moments_of_train(self, valid, left_out):
        """What a fold fits is what all rows say less what the fold leaves out, where that holds."""
        weights = self.train + valid
        if not self.rows.shared or np.ptp(weights, axis=0).any() or _tiny_rest(self.train, weights):
            return self._moments(self.train)
        # where each row is left out once, the parts are the whole
        once = np.array_equal(valid.sum(axis=0), weights[0])
        of_all = [m.sum(axis=0) for m in left_out] if once else self._moments(weights[:1])
        return (whole - part for whole, part in zip(of_all, left_out, strict=True))

    @property
    def products(self):
        return self.rows.products

    def at(self, W):
        return _MomentPoint(W, W @ self.G)

    def predictions(self, point):
        """Linear predictions of all rows, ``(n_stack, n_outputs, n_rows)``."""
        return self.rows.predict(point.W)

    def line(self, point, P):
        GP = P @ self.G

        def move(t):
            t = t[:, None, None]
            return _MomentPoint(point.W + t * P, point.GW + t * GP)

        return move

    def train_value(self, point):
        return 0.5 * (self.yy + np.einsum("kcd,kcd->k", point.W, point.GW - 2.0 * self.c))

    def train_gradient(self, point):
        return point.GW - self.c

    def train_hvp(self, point, V):
        return V @ self.G

    def spread(self, W):
        """As :meth:`RowData.spread`."""
        square = np.maximum(np.einsum("kcd,kcd->k", W @ self.G, W), 0.0)
        return np.sqrt(square / self.train.sum(axis=1))

    def valid_value(self, point):
        return 0.5 * (self.yyv + np.einsum("kcd,kcd->k", point.W, point.W @ self.Gv - 2 * self.cv))

    def valid_gradient(self, point):
        return point.W @ self.Gv - self.cv

    def hessian(self, point, shared):
        return self.G[:, None]

    def diagonal(self, point):
        d = np.diagonal(self.G, axis1=1, axis2=2)[:, None]
        return np.broadcast_to(d, (self.n_stack, self.n_outputs, self.n_columns))

    def bound(self):
        return self.diagonal(None)
