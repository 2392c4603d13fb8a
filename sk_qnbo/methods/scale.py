"""How long steps may be: the curvature of both levels in coordinates of the lower one's bound.

A step of length one moves coefficient j by ``gradient_j / (overlap * bound_j)``. ``bound`` is the
problem's ``curvature_bound`` and ``overlap`` the largest eigenvalue of the lower Hessian scaled to
a unit diagonal: how much the columns repeat one another. Together they bound the Hessian, at every
theta that enters through a diagonal; where it enters otherwise, each estimate looks again.

``bend`` is how much more the upper objective bends than the lower one does, per ``unit`` and
member of the stack, in those coordinates: methods that step on sums of both count f in it.
"""

from dataclasses import dataclass, replace

import numpy as np

_TINY = np.finfo(float).tiny
_FIRST, _AGAIN = 20, 2  # products at the start or after a leap, and when theta went a little on
_LEAP = 0.5  # of a coordinate of theta, mostly a logarithm: what was known counts no more
_MARGIN, _WIDER = 1.1, 1.2  # power iteration ends a little below the eigenvalue
_FORGET = 0.98  # and what was seen is believed for a while


@dataclass(frozen=True)
class Scale:
    """What is known of both curvatures, and where power iteration stood.

    Attributes
    ----------
    overlap : ndarray of shape (n_stack, 1)
    top : ndarray of shape (n_stack, n_lower)
    theta : ndarray of shape (n_upper,)
    bend : float
        0 where nobody asked.
    bend_top : ndarray of shape (n_stack, n_lower), optional
    """

    overlap: np.ndarray
    top: np.ndarray
    theta: np.ndarray
    bend: float = 0.0
    bend_top: np.ndarray | None = None

    @classmethod
    def of(cls, problem, theta, w, n_products=_FIRST):
        """By power iteration on the part of the Hessian that theta does not move.

        Adding a diagonal to both Hessian and bound can only bring the two closer, so the answer
        holds along theta.
        """
        point, known = problem.at(w), problem.diagonal(theta)
        data = problem.curvature_bound(theta) if known is None else problem.data_diagonal(point)
        known = 0.0 if known is None else known
        shrink = 1.0 / np.sqrt(np.maximum(data, 1e-12 * data.max(axis=1, keepdims=True) + _TINY))
        v = shrink * np.random.default_rng(0).standard_normal(w[:1].shape)
        size = np.ones((len(w), 1))
        for _ in range(n_products):
            x = shrink * _unit(v)
            v = shrink * (problem.hvp(theta, point, x) - known * x)
            size = np.linalg.norm(v, axis=1, keepdims=True)
        return cls(_MARGIN * np.maximum(size, 1.0), _unit(v), theta)

    def leapt(self, theta):
        """Whether theta is so far from where it was that what was known counts no more."""
        return theta.shape != self.theta.shape or np.abs(theta - self.theta).max() > _LEAP

    def at(self, draws, theta, w):
        """The overlap where theta and w have moved to, unless it holds at every theta."""
        if draws.problem.diagonal(theta) is not None:
            return replace(self, theta=theta)
        leapt, root = self.leapt(theta), np.sqrt(bound_of(draws.problem, theta))
        # a little of everything, so that a direction that rises is found
        v = self.top + 0.1 * _unit(np.random.default_rng(0).standard_normal(w[:1].shape))
        size = np.full_like(self.overlap, _MARGIN)
        # half of them where the level starts cold, mostly its most bent place, then where it stands
        cold, half = draws.problem.initial(), (_FIRST if leapt else _AGAIN) // 2
        for place in half * [cold] + half * [w]:
            part, point = draws(place)
            v = part.hvp(theta, point, _unit(v) / root) / root
            size = np.maximum(size, _WIDER * np.linalg.norm(v, axis=1, keepdims=True))
        overlap = size if leapt else np.maximum(size, _FORGET * self.overlap)
        return replace(self, overlap=overlap, top=_unit(v), theta=theta)

    def with_bend(self, draws, theta, w, n_products):
        """The upper curvature, by power iteration that goes on from the last one.

        Half of the products are where the level starts cold, as the bound that it is compared
        with holds where losses bend most: at ``w`` alone both may be flat.
        """
        root = np.sqrt(self.overlap * bound_of(draws.problem, theta) / draws.problem.unit)
        v = self.bend_top
        if v is None:
            v = np.random.default_rng(0).standard_normal(w[:1].shape) / root
        cold, half, size = draws.problem.initial(), n_products // 2, 0.0
        for place in half * [cold] + half * [w]:
            part, point = draws(place)
            slope, b = upper_slopes(part, theta, point, v / np.linalg.norm(v) / root)
            v = part.n_stack * slope / root
            size = max(size, float(np.linalg.norm(v)))
        # an upper objective that hardly bends is still to move w by no more than w's own size
        pull = part.n_stack * np.linalg.norm(b / root) / (np.linalg.norm(w * root) or 1.0)
        bend = max(_MARGIN * size, 1e-3 * float(pull), _TINY**0.5)
        return replace(self, bend=bend, bend_top=v if size > 0 else None)

    def moved(self, draws, theta, w, both=False):
        """Both of them at another theta, ``both`` levels or the lower one alone."""
        leapt, now = self.leapt(theta), self.at(draws, theta, w)
        if not both:
            return now
        now = now.with_bend(draws, theta, w, _FIRST // 2 if leapt else _AGAIN)
        return now if leapt else replace(now, bend=max(now.bend, _FORGET * self.bend))


def upper_slopes(problem, theta, point, v):
    """Derivative of the upper gradient in w along ``v``, by differences, and the gradient."""
    size = float(np.abs(v).max(initial=0.0))
    if size == 0.0:
        return np.zeros_like(v), problem.upper(theta, point)[2]
    (_, ahead), (_, behind), h = upper_pair(problem, theta, point, v, size)
    return (ahead - behind) / (2 * h), 0.5 * (ahead + behind)


def upper_pair(problem, theta, point, v, size):
    """Upper gradients in theta and w, a little ahead along ``v`` and behind, and how little."""
    h = 1e-4 * (1.0 + float(np.abs(problem.array(point)).max(initial=0.0))) / size
    move, t = problem.line(point, v), np.full(len(v), h)
    return *(problem.upper(theta, move(s * t))[1:] for s in (1, -1)), h


def bound_of(problem, theta):
    """The curvature bound, positive everywhere."""
    bound = problem.curvature_bound(theta)
    return np.maximum(bound, 1e-12 * bound.max(axis=1, keepdims=True) + _TINY)


def _unit(v):
    return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), _TINY)
