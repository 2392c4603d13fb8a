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


def _relative(curvature, r, b):
    """Size of ``r`` beside ``b`` in the metric of the inverse Hessian, worst of the stack."""
    size = np.maximum(dot(b, curvature.factor.solve(b)), np.finfo(float).tiny)
    return float(np.sqrt(np.maximum(dot(r, curvature.factor.solve(r)), 0.0) / size).max())


def refine_by_steps(problem, theta, w, b, curvature, u, tol, max_products):
    """Quasi-Newton on ``1/2 u'Hu - b'u`` with exact steps (methods.md 3.1, reading ii).

    Started at ``u = H0 b`` with full-memory BFGS the iterates are those of
    preconditioned conjugate gradients.
    """
    Hu = problem.hvp(theta, w, u)
    r, n = b - Hu, 1
    residual = _relative(curvature, r, b)
    while residual > tol and n < max_products:
        p = curvature.solve(r)
        Hp = problem.hvp(theta, w, p)
        curve = dot(p, Hp)
        t = np.where(curve > 0, dot(r, p) / np.where(curve > 0, curve, 1.0), 0.0)[:, None]
        u, r, n = u + t * p, r - t * Hp, n + 1
        curvature = curvature.update(t * p, t * Hp)
        residual = _relative(curvature, r, b)
    return Adjoint(u, residual, n, curvature)


def refine_by_direction(problem, theta, w, b, curvature, u, tol, max_products):
    """Learn the pair ``(u, Hu)`` along the estimate itself and solve again (reading i).

    The residual need not fall at each step, so the best estimate seen is returned.
    """
    best, best_residual, n = u, np.inf, 0
    while n < max_products:
        Hu = problem.hvp(theta, w, u)
        n += 1
        residual = _relative(curvature, b - Hu, b)
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
    r, n = b - problem.hvp(theta, w, u), 1
    z = curvature.factor.solve(r)
    p, rz = z, dot(r, z)
    residual = _relative(curvature, r, b)
    while residual > tol and n < max_products:
        Hp = problem.hvp(theta, w, p)
        curve = dot(p, Hp)
        t = np.where(curve > 0, rz / np.where(curve > 0, curve, 1.0), 0.0)[:, None]
        u, r, n = u + t * p, r - t * Hp, n + 1
        z = curvature.factor.solve(r)
        before, rz = rz, dot(r, z)
        p = z + np.where(before > 0, rz / np.where(before > 0, before, 1.0), 0.0)[:, None] * p
        residual = _relative(curvature, r, b)
    return Adjoint(u, residual, n, curvature)


REFINEMENTS = {
    "steps": refine_by_steps,
    "direction": refine_by_direction,
    "cg": conjugate_gradients,
}
