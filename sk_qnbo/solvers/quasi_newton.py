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
    value : ndarray of shape (n_stack,)
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
    value: np.ndarray
    gradient: np.ndarray
    curvature: object
    residual: float
    n_iter: int
    converged: bool


# steps without progress after which a solve is given up
PATIENCE = 30
# part of the fall that the lowest residual promises in one step, and of the value, that is progress
_PROMISED, _ROUNDING = 0.25, 1e-12


class Patience:
    """Whether a solve stands where it is, as it does when it has reached what rounding leaves.

    With a rough start matrix the residual may rise for many steps while the value falls.
    """

    def __init__(self, unit):
        self.unit, self.lowest, self.before, self.since = unit, np.inf, np.inf, 0

    def is_over(self, residual, value, n_steps=1):
        """After more steps, from the worst residual and the values ``(n_stack,)`` now."""
        enough = np.maximum(_PROMISED * self.lowest**2 * self.unit, _ROUNDING * np.abs(value))
        better = residual < 0.9 * self.lowest
        if better or (self.before - value > enough).any():
            self.lowest, self.before, self.since = min(residual, self.lowest), value, 0
        else:
            self.since += n_steps
        return self.since >= PATIENCE


def _direction(curvature, gradient):
    """Descent directions, slopes, and squares of the gradient in the inverse Hessian's metric.

    Where the matrix gives no descent, the start matrix does.
    """
    step = -curvature.solve(gradient)
    slope = dot(step, gradient)
    square = np.maximum(curvature.square(gradient, -step), 0.0)
    bad = ~(slope < 0) & (dot(gradient, gradient) > 0)
    if bad.any():
        safe = -curvature.factor.solve(gradient)
        step = np.where(bad[:, None], safe, step)
        slope = dot(step, gradient)
    return step, slope, square


def quasi_newton(problem, theta, point, curvature, tol, max_iter, search=backtrack):
    """Minimise every lower problem from ``point`` until its residual is at most ``tol``."""
    value, gradient = problem.lower(theta, point)
    step, slope, square = _direction(curvature, gradient)
    n_iter, stalled, patience = 0, False, Patience(problem.unit)
    while True:
        residual = np.sqrt(square / problem.unit)
        worst = float(residual.max())
        stalled = patience.is_over(worst, value) or stalled
        if worst <= tol or n_iter >= max_iter or stalled:
            return LowerFit(point, value, gradient, curvature, worst, n_iter, worst <= tol)
        step = np.where((residual > 0.01 * tol)[:, None], step, 0.0)
        new, t = search(problem, theta, problem.line(point, step), value, dot(step, gradient))
        stalled = not t.any()
        value, new_gradient = problem.lower(theta, new)
        curvature = curvature.update(t[:, None] * step, new_gradient - gradient)
        point, gradient, n_iter = new, new_gradient, n_iter + 1
        step, slope, square = _direction(curvature, gradient)
