"""Approximate implicit differentiation: some steps on the fit, some on the adjoint, then theta.

    w <- w - steps grad_w g                          T times
    u <- solver of H u = grad_w f at the new w       N products
    hypergradient = grad_theta f - cross(w, u)

* AID-BiO (Ji, Yang, Liang, ICML 2021, arXiv 2010.07962, algorithm 1): N conjugate gradients, or a
  Neumann series from zero (AID of Grazzi et al., ICML 2020, arXiv 2006.16218).
* stocBiO (the same paper, algorithm 2): batches everywhere, the Neumann series with a fresh batch
  in each factor. Their code differs from the algorithm; this is the algorithm.
* AmIGO (Arbel, Mairal, ICLR 2022, arXiv 2111.14580): both the fit and the adjoint start where the
  last theta left them, so that constant T and N suffice; by gradients, conjugate or batches.
* Jacobian-free (Fung et al., AAAI 2022, arXiv 2103.12803): N = 0, the inverse Hessian is taken to
  be that of one gradient step.
"""

from dataclasses import dataclass

import numpy as np

from .base import Estimate
from .descent import SYSTEMS, Descent, Seen, adjoint_residual, lower_residual


@dataclass(frozen=True)
class AID(Descent):
    """Approximate implicit differentiation.

    Parameters
    ----------
    n_steps : int
        T, steps of the lower level at each theta.
    system : {"gd", "cg"}
        How the adjoint is solved.
    n_products : int
        N, products with the Hessian spent on it.
    amortised : bool
        Whether the adjoint starts where the last theta left it, else from one gradient step.
    """

    n_steps: int = 10
    system: str = "cg"
    n_products: int = 10
    amortised: bool = True
    upper: str = "adam"

    @property
    def cost(self):
        # one product more tells the residual of the whole, one gradient more corrects the value
        return {"lower": self.n_steps + 1, "hvp": self.n_products + 1, "upper": 1, "cross": 1}

    def estimate(self, problem, theta, memory):
        memory, steps, draws = self.begin(problem, theta, memory)
        w, _ = self.descend(draws, theta, memory.w, steps, self.n_steps)
        part, point = draws(w)
        seen = Seen.of(part, theta, point)
        u = memory.u if self.amortised else steps * seen.b
        u = SYSTEMS[self.system](draws, theta, w, seen.b, u, steps, self.n_products)
        # u knows the batch that it answers: with a batch of its own the cross term is not biased
        other, at = draws(w)
        residual = lower_residual(part, seen.g, steps)
        if draws.whole:
            r = seen.b - part.hvp(theta, point, u)
            residual = max(residual, adjoint_residual(r, seen.b, steps))
        return Estimate(
            seen.corrected(u),
            seen.grad_theta - other.cross(theta, at, u),
            draws.place(w),
            residual if draws.whole else np.inf,
            self.n_steps,
            memory.moved(w, u),
            w=w,
        )
