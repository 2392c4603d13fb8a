"""The log-linear penalty model: every penalty between one number and one number a feature."""

from dataclasses import dataclass

import numpy as np

# exp() of anything beyond is either zero or infinity for every purpose of a double
_LOG_LIMIT = 300.0


@dataclass(frozen=True)
class LogLinearPenalty:
    """``log alpha_kj = offset_kj + sum_q theta_q columns_kjq + delta_{label_j}``.

    ``theta`` holds the shared coefficients first (common level, scale exponent,
    adaptive term, co-data), then one departure ``delta`` per label.

    Attributes
    ----------
    offset : ndarray of shape (n_stack, n_features)
    columns : ndarray of shape (n_stack, n_features, n_shared)
    labels : ndarray of shape (n_features,) of int, or None
        Group of each feature; None where there are no departures.
    n_labels : int
    fixed : ndarray of shape (n_features,)
        NaN where the penalty is tuned, else the penalty that stands instead.
    """

    offset: np.ndarray
    columns: np.ndarray
    labels: np.ndarray | None = None
    n_labels: int = 0
    fixed: np.ndarray | None = None

    @property
    def n_shared(self):
        return self.columns.shape[2]

    @property
    def n_upper(self):
        return self.n_shared + self.n_labels

    def departures(self, theta):
        """The part of ``theta`` that the prior pulls to zero, shape ``(n_labels,)``."""
        return theta[self.n_shared :]

    def log_alpha(self, theta):
        """Log penalties, shape ``(n_stack, n_features)``, the fixed ones not yet put in."""
        out = self.offset + self.columns @ theta[: self.n_shared]
        if self.labels is not None:
            out = out + self.departures(theta)[self.labels]
        return np.clip(out, -_LOG_LIMIT, _LOG_LIMIT)

    def alpha(self, theta):
        """Penalties, shape ``(n_stack, n_features)``."""
        out = np.exp(self.log_alpha(theta))
        return out if self.fixed is None else np.where(np.isnan(self.fixed), out, self.fixed)

    def pull(self, slopes):
        """Gradient in ``theta`` from slopes in ``log alpha``, ``(n_stack, n_features)``."""
        if self.fixed is not None:
            slopes = np.where(np.isnan(self.fixed), slopes, 0.0)
        shared = np.einsum("kj,kjq->q", slopes, self.columns)
        if self.labels is None:
            return shared
        by_label = np.bincount(self.labels, slopes.sum(axis=0), minlength=self.n_labels)
        return np.concatenate([shared, by_label])
