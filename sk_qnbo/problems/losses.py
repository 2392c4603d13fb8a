"""Smooth losses as functions of the linear predictor, with their derivatives."""

from functools import cached_property
from itertools import product

import numpy as np

# elements at a time: temporary arrays of this size stay in the cache
_BLOCK = 8192


def _of_margins(function, sign, z):
    """An element-wise function of ``sign * z``, for large z a block of rows at a time."""
    if z.size <= _BLOCK:
        return function(sign * z)
    out, n = np.empty(z.shape), z.shape[-1]
    for k, i in product(range(len(z)), range(0, n, _BLOCK)):
        rows = slice(i, i + _BLOCK)
        out[k, :, rows] = function(sign[:, rows] * z[k, :, rows])
    return out


def _softplus(x):
    """``log(1 + exp(x))`` to full relative accuracy (the logarithm by Kahan's correction)."""
    e = np.exp(-np.abs(x))
    u = 1.0 + e
    log1p = np.where(u > 1.0, np.log(u) * e / np.maximum(u - 1.0, 1e-300), e)
    return log1p + np.maximum(x, 0.0)


def _expit(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def _expit_slope(x):
    e = np.exp(-np.abs(x))
    return e / np.square(1.0 + e)


class BinaryLogLoss:
    """Log loss of one linear predictor; ``targets`` holds 0 or 1, shape ``(1, n)``."""

    name = "log_loss"

    def __init__(self, targets):
        self.targets = np.asarray(targets, dtype=float)
        self.n_outputs = 1
        self.mean_over = 1

    def at(self, z):
        """Values and derivatives at predictions ``z`` of shape ``(n_stack, 1, n)``."""
        return _BinaryAt(z, 2.0 * self.targets - 1.0)

    bend_bound = 0.25


class _BinaryAt:
    # everything from the signed margin: a difference of two near numbers loses its digits far out
    def __init__(self, z, sign):
        self.z, self.sign = z, sign

    @cached_property
    def _miss(self):
        return _of_margins(_expit, -self.sign, self.z)

    @cached_property
    def value(self):
        return _of_margins(_softplus, -self.sign, self.z)[:, 0]

    @cached_property
    def slope(self):
        return -self.sign * self._miss

    @cached_property
    def bend(self):
        return _of_margins(_expit_slope, self.sign, self.z)

    def bend_times(self, q):
        return self.bend * q

    @property
    def blocks(self):
        """Second derivatives of each row, ``(n_stack, n_rows, 1, 1)``."""
        return self.bend[:, 0, :, None, None]

    def twist(self, E):
        """Derivative of ``sum(E * blocks)`` in the predictions, for weights shaped as those."""
        third = self.sign * self.bend * (2.0 * self._miss - 1.0)
        return third * E[:, None, :, 0, 0]


class SoftmaxLogLoss:
    """Multinomial log loss; ``targets`` is one-hot, shape ``(n_classes, n)``."""

    name = "log_loss"
    bend_bound = 0.5

    def __init__(self, targets):
        self.targets = np.asarray(targets, dtype=float)
        self._others = 1.0 - self.targets
        self.n_outputs = len(self.targets)
        self.mean_over = 1

    def at(self, z):
        """Values and derivatives at predictions ``z`` of shape ``(n_stack, n_classes, n)``."""
        return _SoftmaxAt(z, self.targets, self._others)


class _SoftmaxAt:
    def __init__(self, z, targets, others):
        # measured from the true class, whose loss else is a difference of two near numbers
        true = np.broadcast_to(targets, z.shape)  # a stack of tasks has targets of its own each
        self._z = z - np.einsum("kcn,kcn->kn", z, true)[:, None]
        self.targets, self._others = targets, others

    @cached_property
    def _parts(self):
        """The largest prediction, exponentials of the other classes' from there, and their sum."""
        z = self._z  # not wanted again
        top = z.max(axis=1)  # zero or more, as the true class is at zero
        z -= top[:, None]
        np.exp(z, out=z)
        z *= self._others
        return top, z, z.sum(axis=1)

    @cached_property
    def value(self):
        top, _, others = self._parts
        return top + np.log1p(np.expm1(-top) + others)

    @cached_property
    def p(self):
        top, each, others = self._parts
        true = np.exp(-top)
        total = true + others  # not by the value: they add up to one, whatever its size
        p = each / total[:, None]
        p += self.targets * (true / total)[:, None]
        return p

    @cached_property
    def slope(self):
        return self.p - self.targets

    @cached_property
    def bend(self):
        return self.p * (1.0 - self.p)

    def bend_times(self, q):
        pq = self.p * q
        return pq - self.p * pq.sum(axis=1, keepdims=True)

    @property
    def blocks(self):
        """Second derivatives of each row, ``(n_stack, n_rows, n_classes, n_classes)``."""
        p = np.swapaxes(self.p, 1, 2)
        return p[..., None] * (np.eye(p.shape[2]) - p[..., None, :])

    def twist(self, E):
        """Derivative of ``sum(E * blocks)`` in the predictions, for symmetric ``E``."""
        p = np.swapaxes(self.p, 1, 2)
        own, mixed = np.einsum("kncc->knc", E), np.einsum("kncb,knb->knc", E, p)
        inner = own - 2.0 * mixed
        out = p * (inner - np.einsum("knc,knc->kn", p, inner)[..., None])
        return np.swapaxes(out, 1, 2)


class SquaredLoss:
    """Half the squared error, summed over outputs; ``targets`` of shape ``(n_targets, n)``."""

    name = "squared_error"
    bend_bound = 1.0

    def __init__(self, targets):
        self.targets = np.asarray(targets, dtype=float)
        self.n_outputs = len(self.targets)
        self.mean_over = self.n_outputs  # the validation loss averages over targets

    def at(self, z):
        """Values and derivatives at predictions ``z`` of shape ``(n_stack, n_targets, n)``."""
        return _SquaredAt(z, self.targets)


class _SquaredAt:
    def __init__(self, z, targets):
        self.slope = z - targets

    @cached_property
    def value(self):
        return 0.5 * np.einsum("kcn,kcn->kn", self.slope, self.slope)

    @cached_property
    def bend(self):
        return np.ones_like(self.slope)

    def bend_times(self, q):
        return q

    @property
    def blocks(self):
        """Second derivatives of each row, one for all targets: ``(n_stack, n_rows, 1, 1)``."""
        return np.ones((len(self.slope), self.slope.shape[2], 1, 1))

    def twist(self, E):
        """Third derivatives: none."""
        return np.zeros_like(self.slope)


LOSSES = {"binary": BinaryLogLoss, "softmax": SoftmaxLogLoss, "squared": SquaredLoss}
