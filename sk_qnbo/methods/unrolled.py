"""ITD: the derivative of T gradient steps themselves, taken backwards along their path.

Franceschi et al., "Forward and reverse gradient-based hyperparameter optimization", ICML 2017,
arXiv 1703.01785, reverse mode (Reverse-HG); ITD-BiO of Ji, Yang, Liang, ICML 2021, arXiv
2010.07962::

    w_{t+1} = w_t - steps grad_w g(theta, w_t)                           t = 0 .. T-1
    p_T = grad_w f(w_T),  a = grad_theta f(w_T)
    a <- a - cross(w_t, steps p_{t+1}),  p_t = p_{t+1} - H(w_t) steps p_{t+1}     backwards

The steps count as constants of theta, and ``w_0`` (where the last theta ended) too: what it
depends on is forgotten, so that the error falls like the T-th power of the contraction.
"""

from dataclasses import dataclass

from .base import Estimate
from .descent import Descent, Seen, lower_residual


@dataclass(frozen=True)
class ITD(Descent):
    """Iterative differentiation.

    Parameters
    ----------
    n_steps : int
        T; the memory of a theta is that many points.
    """

    n_steps: int = 30
    accuracy: float = 0.1
    upper: str = "adam"

    @property
    def cost(self):
        n = self.n_steps
        return {"lower": n + 1, "hvp": n, "upper": 1, "cross": n}

    def estimate(self, problem, theta, memory):
        memory, steps, draws = self.begin(problem, theta, memory)
        w, path = self.descend(draws, theta, memory.w, steps, self.n_steps)
        part, point = draws(w)
        seen = Seen.of(part, theta, point)
        gradient, p, u = seen.grad_theta, seen.b, 0.0 * w
        for part_t, point_t in reversed(path):
            v = steps * p
            gradient = gradient - part_t.cross(theta, point_t, v)
            p, u = p - part_t.hvp(theta, point_t, v), u + v
        residual = lower_residual(part, seen.g, steps)
        memory = memory.moved(w, u)
        return Estimate(
            seen.corrected(u), gradient, draws.place(w), residual, self.n_steps, memory, w=w
        )
