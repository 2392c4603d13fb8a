"""The adjoint ``H u = b``: refine what the shared curvature says of one right-hand side."""

from dataclasses import dataclass

import numpy as np

from ..curvature.base import dot


@dataclass(frozen=True)
class Adjoint:
    """Solution ``u (n_stack, n_lower)``, its relative residual, products used, pairs learnt."""

    u: np.ndarray
    residual: float
    n_products: int
    curvature: object


def _size(r, z, whole):
    """Size of ``r`` beside the right-hand side in the metric in which ``z`` solves it."""
    return float(np.sqrt(np.abs(dot(r, z)) / np.maximum(whole, np.finfo(float).tiny)).max())


def _step_length(r, p, Hp):
    """Exact minimiser along ``p``, for each member of the stack."""
    curve = dot(p, Hp)
    return np.where(curve > 0, dot(r, p) / np.where(curve > 0, curve, 1.0), 0.0)[:, None]


# growth of the residual over its lowest after which rounding has the upper hand
_GONE = 100.0


def refine_by_steps(problem, theta, w, b, curvature, u, tol, max_products):
    """Quasi-Newton on ``1/2 u'Hu - b'u`` with exact steps (methods of qNBO, second reading).

    Started at ``u = H0 b`` with full-memory BFGS the iterates are those of
    preconditioned conjugate gradients.
    """
    whole = np.abs(dot(b, u))
    r, n = b - problem.hvp(theta, w, u), 1
    p = curvature.solve(r)
    residual = _size(r, p, whole)
    best = u, residual
    while residual > tol and n < max_products and residual <= _GONE * best[1]:
        Hp = problem.hvp(theta, w, p)
        t = _step_length(r, p, Hp)
        u, r, n = u + t * p, r - t * Hp, n + 1
        curvature = curvature.update(t * p, t * Hp)
        p = curvature.solve(r)
        residual = _size(r, p, whole)
        best = min(best, (u, residual), key=lambda pair: pair[1])
    u, residual = best if residual > _GONE * best[1] else (u, residual)
    return Adjoint(u, residual, n, curvature)


def refine_by_direction(problem, theta, w, b, curvature, u, tol, max_products):
    """Learn the pair ``(u, Hu)`` along the estimate itself and solve again (first reading).

    The residual need not fall at each step, so the best estimate seen is returned.
    """
    best, best_residual, n = u, np.inf, 0
    whole = np.abs(dot(b, u))
    while n < max_products:
        Hu = problem.hvp(theta, w, u)
        n += 1
        r = b - Hu
        residual = _size(r, curvature.solve(r), whole)
        if residual < best_residual:
            best, best_residual = u, residual
        if residual <= tol:
            break
        curvature = curvature.update(u, Hu)
        u = curvature.solve(b)
    return Adjoint(best, best_residual, n, curvature)


def conjugate_gradients(problem, theta, w, b, curvature, u, tol, max_products):
    """Preconditioned conjugate gradients from ``u``, the start matrix as preconditioner.

    Hestenes and Stiefel (1952); learns no pairs. What HOAG does with its adjoint.
    """
    whole = dot(b, curvature.factor.solve(b))
    r, n = b - problem.hvp(theta, w, u), 1
    z = curvature.factor.solve(r)
    p, rz, residual = z, dot(r, z), _size(r, z, whole)
    while residual > tol and n < max_products:
        Hp = problem.hvp(theta, w, p)
        t = _step_length(r, p, Hp)
        u, r, n = u + t * p, r - t * Hp, n + 1
        z = curvature.factor.solve(r)
        before, rz = rz, dot(r, z)
        p = z + np.where(before > 0, rz / np.where(before > 0, before, 1.0), 0.0)[:, None] * p
        residual = _size(r, z, whole)
    return Adjoint(u, residual, n, curvature)


REFINEMENTS = {
    "steps": refine_by_steps,
    "direction": refine_by_direction,
    "cg": conjugate_gradients,
}
