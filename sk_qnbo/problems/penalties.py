"""The log-linear penalty model: every penalty between one number and one number a feature."""

from dataclasses import dataclass

import numpy as np

# exp() of anything beyond is either zero or infinity for every purpose of a double
_LOG_LIMIT = 300.0


@dataclass(frozen=True)
class LogLinearPenalty:
    """``log alpha_kj = offset_kj + sum_q theta_q columns[q]_kj + delta_{label_j}``.

    ``theta`` holds the shared coefficients first (common level, scale exponent,
    adaptive term, co-data), then one departure ``delta`` per label.

    Attributes
    ----------
    offset : ndarray of shape (n_stack, n_features)
    columns : sequence of n_shared ndarrays that broadcast to (n_stack, n_features)
    labels : ndarray of shape (n_features,) of int, or None
        Group of each feature; None where there are no departures.
    n_labels : int
    fixed : ndarray of shape (n_features,)
        NaN where the penalty is tuned, else the penalty that stands instead.
    """

    offset: np.ndarray
    columns: tuple
    labels: np.ndarray | None = None
    n_labels: int = 0
    fixed: np.ndarray | None = None

    @property
    def n_shared(self):
        return len(self.columns)

    @property
    def n_upper(self):
        return self.n_shared + self.n_labels

    def departures(self, theta):
        """The part of ``theta`` that the prior pulls to zero, shape ``(n_labels,)``."""
        return theta[self.n_shared :]

    def log_alpha(self, theta):
        """Log penalties, shape ``(n_stack, n_features)``, the fixed ones not yet put in."""
        out = np.zeros(self.offset.shape)
        for weight, column in zip(theta, self.columns, strict=False):
            out += weight * column
        out += self.offset
        if self.labels is not None:
            out += self.departures(theta)[self.labels]
        return np.clip(out, -_LOG_LIMIT, _LOG_LIMIT, out=out)

    def alpha(self, theta):
        """Penalties, shape ``(n_stack, n_features)``."""
        out = self.log_alpha(theta)
        out = np.exp(out, out=out)
        return out if self.fixed is None else np.where(np.isnan(self.fixed), out, self.fixed)

    def pull(self, slopes):
        """Gradient in ``theta`` from slopes in ``log alpha``, ``(n_stack, n_features)``."""
        if self.fixed is not None:
            slopes = np.where(np.isnan(self.fixed), slopes, 0.0)
        columns = (np.broadcast_to(column, slopes.shape) for column in self.columns)
        shared = np.array([np.einsum("kj,kj->", slopes, column) for column in columns])
        if self.labels is None:
            return shared
        by_label = np.bincount(self.labels, slopes.sum(axis=0), minlength=self.n_labels)
        return np.concatenate([shared, by_label])
