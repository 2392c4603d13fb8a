"""Fully first-order methods: the lower level as a penalty or a barrier, no second derivative.

* F2SA (Kwon, Kwon, Wright, Nowak, ICML 2023, arXiv 2301.10945, algorithm 1): two lower variables,
  ``z`` fits g, ``y`` fits f + sigma g; the hypergradient is
  ``grad_theta f(y) + sigma (grad_theta g(y) - grad_theta g(z))``, wrong by O(1/sigma).
* F3SA (the same, algorithm 2): the directions averaged by STORM's recursive momentum,
  ``h_k = new + (1 - a) (h_{k-1} - old)``, new and old on the same batch.
* BOME (Liu et al., NeurIPS 2022, arXiv 2209.08709, algorithm 1): with ``q = g(w) - g(w_T)`` and w_T
  after T steps from w, one joint step along ``grad f + rho grad q``,
  ``rho = max((eta |grad q|^2 - <grad f, grad q>) / |grad q|^2, 0)``. A joint descent: with theta
  held still it stops near the hypergradient, not at it, the nearer the larger eta.

g is counted per ``unit``, f per member of the stack and in ``bend``: how much more it bends than g
does. So sigma and eta mean the same for sums and means and in any unit of f. What g gains in theta
between two lower points is ``cross`` at their middle along their difference: exact for quadratic
penalties, else of third order in the difference.
"""

from dataclasses import dataclass, replace

import numpy as np

from .base import Estimate
from .descent import Descent, adjoint_residual, lower_residual

_TINY = 1e-300


def theta_difference(part, theta, a, b):
    """``sum_k grad_theta g_k(a) - grad_theta g_k(b)`` for arrays a and b, per unit."""
    return part.cross(theta, part.at(0.5 * (a + b)), a - b) / part.unit / part.n_stack


def _residual(draws, part, g, slope, b, steps):
    """Of the fit, and of the second system: its slope beside the upper gradient in it."""
    if not draws.whole:
        return np.inf
    return max(lower_residual(part, g, steps), adjoint_residual(slope, part.n_stack * b, steps))


@dataclass(frozen=True)
class Pair:
    """The second variable of F2SA, and what F3SA remembers: where it looked last, what it saw."""

    y: np.ndarray
    theta: np.ndarray | None = None
    z_before: np.ndarray | None = None
    y_before: np.ndarray | None = None
    slopes: tuple | None = None
    rise: tuple | None = None


@dataclass(frozen=True)
class F2SA(Descent):
    """Penalty methods with two lower variables.

    Parameters
    ----------
    n_steps : int
        T, steps of both lower variables at each theta.
    sigma : float
        The penalty at the first theta, times the bend of f.
    growth : float
        It grows like ``k ** growth`` (1/7 in the paper's theory).
    momentum : float
        STORM's a: 1 is F2SA, less is F3SA.
    """

    n_steps: int = 10
    sigma: float = 30.0
    growth: float = 1.0 / 7.0
    momentum: float = 1.0
    accuracy: float = 0.1
    upper: str = "adam"

    both_levels = True

    @property
    def cost(self):
        times = 1 + (self.momentum < 1)
        looks = self.n_steps * times
        # four calls tell the bend of f, one its value
        return {"lower": 2 * looks, "upper": looks + times + 5, "cross": times}

    def estimate(self, problem, theta, memory):
        memory, steps, draws = self.begin(problem, theta, memory)
        bend = memory.scale.bend
        sigma = bend * self.sigma * (memory.count + 1.0) ** self.growth
        z, before = memory.w, self._kept(memory, theta)
        kept = before
        for _ in range(self.n_steps):
            part, _ = draws(z)
            kept = self._looked(part, theta, z, kept)
            dz, dy = kept.slopes[0], kept.slopes[1] + sigma / part.unit * kept.slopes[2]
            z = z - steps * dz
            kept = replace(kept, y=kept.y - steps * part.unit / (bend + sigma) * dy)
        part, point = draws(z)
        kept = replace(kept, rise=self._risen(part, theta, z, kept.y, memory.w, before))
        value, _, b = part.upper(theta, point)
        return Estimate(
            value,
            kept.rise[0] + sigma * kept.rise[1],
            draws.place(z),
            _residual(draws, part, dz, dy, b, steps),  # before the last step: no better
            self.n_steps,
            memory.moved(z, memory.u, kept),
            w=z,
        )

    def _kept(self, memory, theta):
        """The second variable; of the last look only what momentum uses, if it fits."""
        kept = memory.extra
        if not isinstance(kept, Pair):
            return Pair(memory.w)
        fits = self.momentum < 1 and kept.theta is not None and kept.theta.shape == theta.shape
        return kept if fits else Pair(kept.y)

    def _looked(self, part, theta, z, kept):
        """The slopes here, averaged with those of the last look."""
        new = _slopes(part, theta, z, kept.y)
        if self.momentum < 1 and kept.slopes is not None:
            old = _slopes(part, kept.theta, kept.z_before, kept.y_before)
            new = self._averaged(new, kept.slopes, old)
        return Pair(kept.y, theta, z, kept.y, new, kept.rise)

    def _risen(self, part, theta, z, y, z_before, before):
        """The hypergradient's terms, averaged with those where the last theta ended."""
        new = _rise(part, theta, z, y)
        if before.rise is None:
            return new
        return self._averaged(new, before.rise, _rise(part, before.theta, z_before, before.y))

    def _averaged(self, new, kept, old):
        """STORM: what was known follows the change that this batch sees.

        Term by term: noise of g is to be the same in y and z at any sigma, where it cancels.
        """
        a = 1.0 - self.momentum
        return tuple(x + a * (h - o) for x, h, o in zip(new, kept, old, strict=True))


def _slopes(part, theta, z, y):
    """Gradients of g in z, of f in y, of g in y."""
    at_y = part.at(y)
    f = part.n_stack * part.upper(theta, at_y)[2]
    return part.lower(theta, part.at(z))[1], f, part.lower(theta, at_y)[1]


def _rise(part, theta, z, y):
    """The terms of the hypergradient: of f, and of g times sigma."""
    return part.upper(theta, part.at(y))[1], theta_difference(part, theta, y, z)


@dataclass(frozen=True)
class BOME(Descent):
    """A dynamic barrier on the value function.

    Parameters
    ----------
    n_steps : int
        T, steps from w to where the lower value is compared.
    eta : float
        How fast the lower problem has to be solved beside the descent of f, times the bend of f.
    """

    n_steps: int = 10
    eta: float = 0.5
    accuracy: float = 1.0
    upper: str = "adam"

    both_levels = True

    @property
    def cost(self):
        return {"lower": self.n_steps + 2, "upper": 6, "cross": 1}

    def estimate(self, problem, theta, memory):
        memory, steps, draws = self.begin(problem, theta, memory)
        w, bend = memory.w, memory.scale.bend
        best, _ = self.descend(draws, theta, w, steps, self.n_steps)
        part, point = draws(w)
        _, grad_theta, b = part.upper(theta, point)
        g = part.lower(theta, point)[1] / part.unit
        pull = theta_difference(part, theta, w, best)
        # inner products per member of the stack, in coordinates of unit curvature
        s = steps * part.unit
        agree = float((s * b * g).sum()) + float(grad_theta @ pull)
        size = float((s * g * g).sum()) / part.n_stack + float(pull @ pull)
        rho = max(self.eta * bend - agree / max(size, _TINY), 0.0)
        # rho times the curvature of q: the step is shortened as the barrier gets steep
        slope = part.n_stack * b + rho * g
        part, point = draws(best)
        g = part.lower(theta, point)[1]
        return Estimate(
            part.upper(theta, point)[0],
            grad_theta + rho * pull,
            draws.place(best),
            _residual(draws, part, g, slope, b, steps),
            self.n_steps,
            memory.moved(w - s / (bend + rho) * slope, memory.u),
            w=best,
        )
