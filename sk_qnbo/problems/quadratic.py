"""A quadratic bilevel problem of chosen condition number, its solution in closed form."""

import numpy as np

from .base import BilevelProblem


class Quadratic(BilevelProblem):
    """Quadratic in both levels, the upper variable in the lower level's linear term::

        g_k(theta, w) = 1/2 w'A_k w - w'(B_k theta + c_k)
        f(theta, w)   = 1/2 mean_k |w_k - t_k|^2 + ridge / 2 |theta|^2

    so that with ``w_k* = A_k^-1 (B_k theta + c_k)`` the hypergradient is
    ``mean_k B_k' A_k^-1 (w_k* - t_k) + ridge theta``.

    Parameters
    ----------
    A : ndarray of shape (n_stack, n_lower, n_lower)
        Symmetric, positive definite.
    B : ndarray of shape (n_stack, n_lower, n_upper)
    c, t : ndarray of shape (n_stack, n_lower)
    ridge : float
    """

    def __init__(self, A, B, c, t, ridge=0.1):
        self.A, self.B, self.c, self.t, self.ridge = A, B, c, t, ridge
        self.n_stack, self.n_lower, self.n_upper = B.shape

    @classmethod
    def made(cls, condition=100.0, n_lower=50, n_upper=10, n_stack=1, ridge=0.1, seed=0):
        """A random problem, the eigenvalues of each A even in logarithm from 1 / condition to 1."""
        if not condition >= 1.0:
            raise ValueError(f"condition must be at least 1, got {condition!r}.")
        rng = np.random.default_rng(seed)
        Q = np.linalg.qr(rng.standard_normal((n_stack, n_lower, n_lower)))[0]
        values = np.geomspace(1.0 / condition, 1.0, n_lower)
        A = (Q * values) @ Q.transpose(0, 2, 1)
        B = rng.standard_normal((n_stack, n_lower, n_upper)) / np.sqrt(n_lower)
        c, t = rng.standard_normal((2, n_stack, n_lower)) / np.sqrt(n_lower)
        return cls(0.5 * (A + A.transpose(0, 2, 1)), B, c, t, ridge)

    # -- closed forms -------------------------------------------------------------------------
    def solution(self, theta):
        """The lower minimisers ``(n_stack, n_lower)``."""
        return np.linalg.solve(self.A, (self.B @ theta + self.c)[..., None])[..., 0]

    def hypergradient(self, theta):
        b = (self.solution(theta) - self.t) / self.n_stack
        u = np.linalg.solve(self.A, b[..., None])[..., 0]
        return np.einsum("klp,kl->p", self.B, u) + self.ridge * theta

    def value(self, theta):
        """The upper objective at the lower minimisers."""
        return self.upper(theta, self.solution(theta))[0]

    def best(self):
        """The theta that minimises it."""
        S = np.linalg.solve(self.A, self.B)
        rest = self.t - self.solution(np.zeros(self.n_upper))
        H = np.einsum("klp,klq->pq", S, S) / self.n_stack + self.ridge * np.eye(self.n_upper)
        return np.linalg.solve(H, np.einsum("klp,kl->p", S, rest) / self.n_stack)

    # -- the oracles --------------------------------------------------------------------------
    def _times(self, v):
        return np.einsum("klm,km->kl", self.A, v)

    def lower(self, theta, w):
        linear, Aw = self.B @ theta + self.c, self._times(w)
        return (w * (0.5 * Aw - linear)).sum(axis=1), Aw - linear

    def hvp(self, theta, w, v):
        return self._times(v)

    def cross(self, theta, w, u):
        return -np.einsum("klp,kl->p", self.B, u)

    def upper(self, theta, w):
        off = w - self.t
        value = 0.5 * float(np.square(off).sum()) / self.n_stack
        value += 0.5 * self.ridge * float(theta @ theta)
        return value, self.ridge * theta, off / self.n_stack

    def curvature_bound(self, theta):
        return np.diagonal(self.A, axis1=1, axis2=2)

    def diagonal(self, theta):
        return np.zeros((self.n_stack, self.n_lower))  # theta does not enter the Hessian at all
