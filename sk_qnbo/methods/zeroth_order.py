"""PZOBO: how the fit responds to theta, from fits at randomly moved thetas.

Sow, Ji, Liang, "On the convergence theory for Hessian-free bilevel algorithms", NeurIPS 2022,
arXiv 2110.07004, algorithms 1 (PZOBO) and 2 (PZOBO-S). With A the map of T gradient steps from
where the last theta ended, and Gaussian directions d_q::

    gradient = grad_theta f + 1/Q sum_q <(A(theta + mu d_q) - A(theta)) / mu, grad_w f> d_q

Both paths take the same steps on the same batches, so that what they have in common cancels.
Neither products with the Hessian nor with the mixed derivative; the variance grows like the
number of upper variables over Q. Their code scales the directions to length one.
"""

from dataclasses import dataclass

import numpy as np

from ..curvature.base import dot
from .base import Estimate
from .descent import Descent, Seen


@dataclass(frozen=True)
class PZOBO(Descent):
    """Partial zeroth-order bilevel optimization.

    Parameters
    ----------
    n_steps : int
        T, gradient steps on each path.
    n_directions : int
        Q.
    move : float
        mu, how far theta is moved (beside one: theta is a logarithm).
    """

    n_steps: int = 30
    n_directions: int = 1
    move: float = 0.01
    accuracy: float = 0.5
    upper: str = "adam"
    noisy = True

    @property
    def cost(self):
        return {"lower": (self.n_directions + 1) * self.n_steps + 1, "upper": 1}

    def estimate(self, problem, theta, memory):
        memory, steps, draws = self.begin(problem, theta, memory)
        w, path = self.descend(draws, theta, memory.w, steps, self.n_steps)
        parts = [part for part, _ in path]
        part, point = draws(w)
        seen = Seen.of(part, theta, point)
        gradient = seen.grad_theta
        for d in draws.rng.standard_normal((self.n_directions, len(theta))):
            moved = self._again(parts, theta + self.move * d, memory.w, steps)
            slope = float(dot(moved - w, seen.b).sum()) / self.move
            gradient = gradient + slope / self.n_directions * d
        memory = memory.moved(w, memory.u)
        # a slope along a few directions may be small by chance: nothing is ever called finished
        return Estimate(seen.value, gradient, draws.place(w), np.inf, self.n_steps, memory, w=w)

    def _again(self, parts, theta, w, steps):
        """The same steps on the same batches under another theta."""
        for part in parts:
            w = w - steps * part.lower(theta, part.at(w))[1]
        return w
