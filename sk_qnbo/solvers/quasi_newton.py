"""Solve a stack of lower problems by quasi-Newton steps."""

from dataclasses import dataclass

import numpy as np

from ..curvature.base import dot
from .line_search import backtrack


@dataclass(frozen=True)
class LowerFit:
    """Where the lower level stands.

    Attributes
    ----------
    point : point of the problem
    gradient : ndarray of shape (n_stack, n_lower)
    curvature : Curvature
        With the pairs of this solve: ready to serve the adjoint.
    residual : float
        Largest over the stack of ``sqrt(g' H^-1 g / unit)``: for a linear model the
        root mean square change of the linear predictor that is still to come.
    n_iter : int
    converged : bool
    """

    point: object
    gradient: np.ndarray
    curvature: object
    residual: float
    n_iter: int
    converged: bool


# steps without progress of the worst residual after which a solve is given up
PATIENCE = 30


def _direction(curvature, gradient):
    """Descent directions and slopes; where the matrix gives none, the start matrix does."""
    step = -curvature.solve(gradient)
    slope = dot(step, gradient)
    bad = ~(slope < 0) & (dot(gradient, gradient) > 0)
    if bad.any():
        safe = -curvature.factor.solve(gradient)
        step = np.where(bad[:, None], safe, step)
        slope = dot(step, gradient)
    return step, slope


def quasi_newton(problem, theta, point, curvature, tol, max_iter):
    """Minimise every lower problem from ``point`` until its residual is at most ``tol``."""
    value, gradient = problem.lower(theta, point)
    step, slope = _direction(curvature, gradient)
    n_iter, stalled, lowest, since = 0, False, np.inf, 0
    while True:
        residual = np.sqrt(np.maximum(-slope, 0.0) / problem.unit)
        worst = float(residual.max())
        lowest, since = (worst, 0) if worst < 0.9 * lowest else (lowest, since + 1)
        stalled = stalled or since >= PATIENCE  # rounding keeps it where it is
        if worst <= tol or n_iter >= max_iter or stalled:
            return LowerFit(point, gradient, curvature, worst, n_iter, worst <= tol)
        step = np.where((residual > 0.01 * tol)[:, None], step, 0.0)
        new, t = backtrack(problem, theta, problem.line(point, step), value, dot(step, gradient))
        stalled = not t.any()
        value, new_gradient = problem.lower(theta, new)
        curvature = curvature.update(t[:, None] * step, new_gradient - gradient)
        point, gradient, n_iter = new, new_gradient, n_iter + 1
        step, slope = _direction(curvature, gradient)
