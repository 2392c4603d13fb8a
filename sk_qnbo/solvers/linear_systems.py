"""The adjoint ``H u = b``: refine what the shared curvature says of one right-hand side."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..curvature.base import dot


@dataclass(frozen=True)
class Adjoint:
    """Solution ``u (n_stack, n_lower)``, its relative residual, products used, pairs learnt."""

    u: np.ndarray
    residual: float
    n_products: int
    curvature: object


def _size(square, whole):
    """Size of a residual beside the right-hand side, from the squares of both in one metric."""
    return float(np.sqrt(np.abs(square) / np.maximum(whole, np.finfo(float).tiny)).max())


def _step_length(r, p, Hp):
    """Exact minimiser along ``p``, for each member of the stack."""
    curve = dot(p, Hp)
    return np.where(curve > 0, dot(r, p) / np.where(curve > 0, curve, 1.0), 0.0)[:, None]


def _unit_length(r, p, Hp):
    return 1.0


# growth of the residual over its lowest after which rounding has the upper hand, and products
# in which it should have halved
_GONE, _STALLED = 100.0, 50


def refine_by_steps(problem, theta, w, b, curvature, u, tol, max_products, length=_step_length):
    """Quasi-Newton on ``1/2 u'Hu - b'u`` (algorithm 3 of qNBO, second reading).

    Started at ``u = H0 b`` with full-memory BFGS and exact steps the iterates are those of
    preconditioned conjugate gradients. Where rounding among the pairs takes over, it begins once
    more with pairs of its own, from ``H0 b``: what is known twice (paired coordinates) no longer
    agrees in a ``u`` that rounding has reached, which no step can mend.
    """

    def apply(v):
        return problem.hvp(theta, w, v)

    system = apply, b, np.abs(curvature.square(b, u)), length
    found = _steps(*system, curvature, u, tol, max_products)
    left = max_products - found.n_products
    if found.residual <= tol or left <= 0:
        return found
    fresh = curvature.emptied()
    again = _steps(*system, fresh, fresh.solve(b), tol, left)
    better = found if found.residual <= again.residual else again  # not where it is no number
    return replace(better, n_products=found.n_products + again.n_products)


def _steps(apply, b, whole, length, curvature, u, tol, max_products):
    """Steps until the tolerance, the end of the budget, or a residual that rounding drives up."""
    r, n = b - apply(u), 1
    p = curvature.solve(r)
    residual = _size(curvature.square(r, p), whole)
    best, mark, since = (u, residual), residual, n
    while residual > tol and n < min(max_products, since + _STALLED):
        Hp = apply(p)
        t = length(r, p, Hp)
        u, r, n = u + t * p, r - t * Hp, n + 1
        curvature = curvature.update(t * p, t * Hp)
        p = curvature.solve(r)
        residual = _size(curvature.square(r, p), whole)
        best = min(best, (u, residual), key=lambda pair: pair[1])
        if residual > _GONE * best[1]:
            break
        mark, since = (residual, n) if residual < 0.5 * mark else (mark, since)
    u, residual = best if residual > _GONE * best[1] else (u, residual)
    return Adjoint(u, residual, n, curvature)


def refine_by_direction(problem, theta, w, b, curvature, u, tol, max_products):
    """Learn the pair ``(u, Hu)`` along the estimate and solve again (algorithm 3, first reading).

    Every product teaches, the last too, so that one product is one extra pair of SHINE's
    outer-problem awareness. The residual is then that of the last estimate a product has tested,
    in the metric of the start matrix, which learning does not bend.
    """
    metric = curvature.factor.solve
    whole = dot(b, metric(b))
    n, residual = 0, np.inf
    while n < max(max_products, 1):
        Hu, n = problem.hvp(theta, w, u), n + 1
        r = b - Hu
        residual = _size(dot(r, metric(r)), whole)
        if residual <= tol or max_products < 1:
            break
        curvature = curvature.update(u, Hu)
        u = curvature.solve(b)
    return Adjoint(u, residual, n, curvature)


def conjugate_gradients(problem, theta, w, b, curvature, u, tol, max_products):
    """Preconditioned conjugate gradients from ``u``, the start matrix as preconditioner.

    Hestenes and Stiefel (1952); learns no pairs. What HOAG does with its adjoint.
    """
    whole = dot(b, curvature.factor.solve(b))
    r, n = b - problem.hvp(theta, w, u), 1
    z = curvature.factor.solve(r)
    p, rz = z, dot(r, z)
    residual = _size(rz, whole)
    while residual > tol and n < max_products:
        Hp = problem.hvp(theta, w, p)
        t = _step_length(r, p, Hp)
        u, r, n = u + t * p, r - t * Hp, n + 1
        z = curvature.factor.solve(r)
        before, rz = rz, dot(r, z)
        p = z + np.where(before > 0, rz / np.where(before > 0, before, 1.0), 0.0)[:, None] * p
        residual = _size(rz, whole)
    return Adjoint(u, residual, n, curvature)


REFINEMENTS = {
    "steps": refine_by_steps,
    "unit steps": partial(refine_by_steps, length=_unit_length),
    "direction": refine_by_direction,
    "cg": conjugate_gradients,
}
