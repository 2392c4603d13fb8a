"""Smooth losses as functions of the linear predictor, with all derivatives from one exponential."""

from functools import cached_property

import numpy as np
from scipy.special import expit, log_expit, logsumexp


class BinaryLogLoss:
    """Log loss of one linear predictor; ``targets`` holds 0 or 1, shape ``(1, n)``."""

    name = "log_loss"

    def __init__(self, targets):
        self.targets = np.asarray(targets, dtype=float)
        self.n_outputs = 1
        self.mean_over = 1

    def at(self, z):
        """Values and derivatives at predictions ``z`` of shape ``(n_stack, 1, n)``."""
        return _BinaryAt(z, self.targets)

    bend_bound = 0.25


class _BinaryAt:
    def __init__(self, z, targets):
        self.z, self.targets = z, targets

    @cached_property
    def _p(self):
        return expit(self.z)

    @cached_property
    def value(self):
        # log(1 + e^z) - y z, written so that neither branch overflows
        return (-log_expit(-self.z) - self.targets * self.z)[:, 0]

    @cached_property
    def slope(self):
        return self._p - self.targets

    @cached_property
    def bend(self):
        # a product of two sigmoids; 1 - sigmoid would lose all digits far out
        return self._p * expit(-self.z)

    def bend_times(self, q):
        return self.bend * q


class SoftmaxLogLoss:
    """Multinomial log loss; ``targets`` is one-hot, shape ``(n_classes, n)``."""

    name = "log_loss"
    bend_bound = 0.5

    def __init__(self, targets):
        self.targets = np.asarray(targets, dtype=float)
        self.n_outputs = len(self.targets)
        self.mean_over = 1

    def at(self, z):
        """Values and derivatives at predictions ``z`` of shape ``(n_stack, n_classes, n)``."""
        return _SoftmaxAt(z, self.targets)


class _SoftmaxAt:
    def __init__(self, z, targets):
        self.z, self.targets = z, targets

    @cached_property
    def _log_norm(self):
        return logsumexp(self.z, axis=1, keepdims=True)

    @cached_property
    def p(self):
        return np.exp(self.z - self._log_norm)

    @cached_property
    def value(self):
        return self._log_norm[:, 0] - np.einsum("kcn,cn->kn", self.z, self.targets)

    @cached_property
    def slope(self):
        return self.p - self.targets

    @cached_property
    def bend(self):
        return self.p * (1.0 - self.p)

    def bend_times(self, q):
        pq = self.p * q
        return pq - self.p * pq.sum(axis=1, keepdims=True)


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


LOSSES = {"binary": BinaryLogLoss, "softmax": SoftmaxLogLoss, "squared": SquaredLoss}
