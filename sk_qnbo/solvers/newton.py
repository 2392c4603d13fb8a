"""Finish a solve by Newton steps whose systems are solved by conjugate gradients."""

from dataclasses import replace

import numpy as np

from ..curvature.base import dot
from .line_search import backtrack
from .linear_systems import conjugate_gradients

# relative residual of a Newton system, in the metric of the start matrix
_FORCING = 0.1
# part of the last residual above which a step made no progress but rounding
_PROGRESS = 0.5


def finished(problem, theta, fit, tol, max_products):
    """A fit whose residual is what the Hessian itself says is left, and at most ``tol``.

    With a rough start matrix a quasi-Newton matrix knows nothing of flat directions that no step
    has shown it, so the residual it claims may be far too small. Conjugate gradients find them.

    Parameters
    ----------
    fit : LowerFit
    max_products : int
        Products with the Hessian; each counts as an iteration.

    Returns
    -------
    LowerFit
    """
    point, value, gradient = fit.point, fit.value, fit.gradient
    n_products, owed, before = 0, fit.residual, np.inf
    while n_products < max_products:
        system = theta, point, gradient, fit.curvature, 0.0 * gradient, _FORCING
        solved = conjugate_gradients(problem, *system, max_products - n_products)
        n_products += solved.n_products
        slope = -dot(solved.u, gradient)
        owed = float(np.sqrt(np.abs(slope).max() / problem.unit))
        if owed <= tol or owed > _PROGRESS * before:
            break
        point, t = backtrack(problem, theta, problem.line(point, -solved.u), value, slope)
        value, gradient = problem.lower(theta, point)
        if not t.any():
            break
        before = owed
    n_iter = fit.n_iter + n_products
    new = {"point": point, "value": value, "gradient": gradient, "residual": owed}
    return replace(fit, **new, n_iter=n_iter, converged=owed <= tol)
