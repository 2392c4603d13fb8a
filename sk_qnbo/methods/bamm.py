"""BAMM with Newton steps: NBO on an average of both objectives, for a merely convex lower level.

Liu, Liu, Yao, Zeng, Zhang, "Averaged method of multipliers for bi-level optimization without
lower-level strong convexity", ICML 2023, arXiv 2302.03407; with NBO's steps (arXiv 2505.02101)::

    psi_k = (1 - mu_k) g + mu_k unit n_stack / bend f,   mu_k = mu (k + 1)^-p

``bend`` is how much more f bends than g, per unit and member of the stack: mu is a share of the
curvature, in any unit of f.

The upper objective lends the lower one the curvature it lacks; as mu_k falls, the answer becomes
that of the lower level alone. The coefficients have then seen the validation rows a little:
refit before they are reported (``judge`` does).
"""

from dataclasses import dataclass, field, replace

import numpy as np

from .base import Method
from .descent import Place
from .sampling import Draws
from .scale import Scale, upper_pair
from .single_loop import SingleLoop


class Averaged:
    """A problem whose lower objective has a share ``mu`` of the upper one.

    The upper gradient is differentiated by central differences: two calls of ``upper`` instead of
    one more oracle.
    """

    def __init__(self, problem, mu, bend):
        self.problem, self.mu, self.bend = problem, mu, bend
        # f is a mean, g a sum, over the stack
        self.weight = mu * problem.unit * problem.n_stack / bend

    def __getattr__(self, name):
        return getattr(self.problem, name)

    def batch(self, part, n_parts):
        return Averaged(self.problem.batch(part, n_parts), self.mu, self.bend)

    def diagonal(self, theta):
        return None  # theta's diagonal is only a share of it now

    def lower(self, theta, w):
        values, gradient = self.problem.lower(theta, w)
        upper, _, b = self.problem.upper(theta, w)
        share = self.weight * upper / self.problem.n_stack
        return (1 - self.mu) * values + share, (1 - self.mu) * gradient + self.weight * b

    def hvp(self, theta, w, v):
        _, slope = self._differences(theta, w, v)
        return (1 - self.mu) * self.problem.hvp(theta, w, v) + self.weight * slope

    def cross(self, theta, w, u):
        slope, _ = self._differences(theta, w, u)
        return (1 - self.mu) * self.problem.cross(theta, w, u) + self.weight * slope

    def curvature_bound(self, theta):
        # in units of its bend the upper loss bends no more than the lower one
        return self.problem.curvature_bound(theta)

    def _differences(self, theta, w, v):
        """Derivatives along ``v`` of the upper gradients in theta and in w."""
        size = float(np.abs(v).max(initial=0.0))
        if size == 0.0:
            return np.zeros(self.problem.n_upper), np.zeros_like(v)
        ahead, behind, h = upper_pair(self.problem, theta, w, v, size)
        return tuple((a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True))


@dataclass(frozen=True)
class Blend:
    """Where the steps stand, and the scale of both levels before they are averaged."""

    place: Place
    scale: Scale


@dataclass(frozen=True)
class BAMM(Method):
    """A method on the averaged problem.

    Parameters
    ----------
    steps : Method
        What is run on it.
    share : float
        mu, the share of the upper objective at the first theta.
    fall : float
        p, the power by which it falls.
    """

    steps: SingleLoop = field(default_factory=lambda: SingleLoop(n_products=5, ahead=True))
    share: float = 0.1
    fall: float = 0.5
    accuracy: float = 0.1

    @property
    def upper(self):
        return self.steps.upper

    @property
    def noisy(self):
        return self.steps.noisy

    @property
    def cost(self):
        cost = dict(self.steps.cost)
        cost["hvp"] += self.steps.cost_of_scale["hvp"]  # what is averaged has no known diagonal
        two = 2 * (cost["hvp"] + cost["cross"]) + cost["lower"]
        return cost | {"upper": cost["upper"] + two + 4}

    @property
    def cost_of_scale(self):
        return self.steps.cost_of_scale

    def start(self, problem, theta, seed=0, w=None):
        w = problem.initial() if w is None else w
        scale = Scale.of(problem, theta, problem.initial())
        scale = scale.with_bend(Draws(problem, None), theta, w, 10)
        some = Averaged(problem, self.share, scale.bend)
        return Blend(self.steps.start(some, theta, seed, w), scale)

    def estimate(self, problem, theta, memory):
        place, draws = memory.place, Draws(problem, None)
        scale = memory.scale.moved(draws, theta, place.w, both=True)
        mu = self.share * (place.count + 1.0) ** -self.fall
        seen = self.steps.estimate(Averaged(problem, mu, scale.bend), theta, place)
        return replace(seen, memory=Blend(seen.memory, scale))
