"""One step each on the fit, on the adjoint and on theta: SOBA, SABA, and Newton steps (NBO).

At ``(theta, w, u)`` with one lower Hessian H, the two steps solve, more or less, two systems::

    v ~ H^-1 grad_w g              w <- w - v
    z ~ H^-1 (H u - grad_w f)      u <- u - z
    hypergradient = grad_theta f - cross(w, u)

* One gradient step on each from zero, ``v = steps grad_w g``, and the hypergradient at the old
  ``(w, u)``: SOBA and, with SAGA's variance reduction in all three, SABA (Dagreou, Ablin, Vaiter,
  Moreau, NeurIPS 2022, arXiv 2201.13409, algorithms 1 and 2; their v is -u).
* T more steps, or conjugate gradients, and the hypergradient at the new ``(w, u)``: NBO-GD and
  NBO-CG; with batches NSBO-SGD, with SAGA NSBO-SAGA (Dong, Yang, Yao, Zhang, "Efficient
  curvature-aware hypergradient approximation for bilevel optimization", ICML 2025, arXiv
  2505.02101). Which estimator enters where in the stochastic ones is our reading: SAGA on both
  right-hand sides and the hypergradient, a fresh batch's Hessian in each further step, the same
  in both systems, and without SAGA a fresh batch for the hypergradient. With SAGA the new u
  depends on its batch by no more than the steps do, which vanish as it settles.

The moving average over hypergradients of MA-SOBA (Chen, Xiao, Balasubramanian, 2023, arXiv
2306.12067), MA-SABA (Chu, Xu, Yao, Zhang, ICML 2024, arXiv 2405.18777) and MA-NSBO-SAGA is how
theta moves: the upper step "momentum".
"""

from dataclasses import dataclass

import numpy as np

from ..curvature.base import dot
from .base import Estimate
from .descent import SYSTEMS, Descent, adjoint_residual, lower_residual


@dataclass(frozen=True)
class SagaTable:
    """What each part said when it was last drawn, and the means: SAGA (Defazio et al., 2014).

    Attributes
    ----------
    rows : tuple of tuples of arrays
        For each part: lower gradient, adjoint residual, hypergradient.
    mean : tuple of arrays
    """

    rows: tuple
    mean: tuple

    @classmethod
    def of(cls, rows):
        rows = tuple(rows)
        return cls(rows, tuple(sum(column) / len(rows) for column in zip(*rows, strict=True)))

    def fits(self, n_parts, shapes):
        return len(self.rows) == n_parts and tuple(x.shape for x in self.mean) == shapes

    def reduced(self, part, entry, new):
        """Estimate ``new - old + mean`` of one entry."""
        return new - self.rows[part][entry] + self.mean[entry]

    def with_row(self, part, row):
        old, n = self.rows[part], len(self.rows)
        mean = tuple(m + (a - b) / n for m, a, b in zip(self.mean, row, old, strict=True))
        return SagaTable((*self.rows[:part], row, *self.rows[part + 1 :]), mean)


@dataclass(frozen=True)
class SingleLoop(Descent):
    """Simultaneous steps of fit, adjoint and theta.

    Parameters
    ----------
    system : {"gd", "cg"}
        How the two systems are solved, from zero.
    n_products : int
        Products with the Hessian spent on each; 0 is one gradient step.
    ahead : bool
        Whether the hypergradient is taken at the new ``(w, u)`` (NBO) or the old (SOBA).
    saga : bool
        Variance reduction by a table of what each batch said last.
    """

    system: str = "gd"
    n_products: int = 0
    ahead: bool = False
    saga: bool = False
    upper: str = "adam"

    @property
    def cost(self):
        # SAGA's table stores the hypergradient of the part, which is taken anyway
        twice = 1 + self.ahead
        return {"lower": 1, "hvp": 1 + 2 * self.n_products, "upper": twice, "cross": 1}

    def estimate(self, problem, theta, memory):
        memory, steps, draws = self.begin(problem, theta, memory)
        w, u = memory.w, memory.u
        table = self._table(draws, theta, memory)
        index = draws.index()
        part, point = draws.part(index, w)
        g, r, upper = _lower_terms(part, theta, point, u)
        lower, rest = g, r
        if table is not None:
            lower, rest = table.reduced(index, 0, g), table.reduced(index, 1, r)
        # one Hessian for both systems; where it is drawn, the same draws
        hessians = [draws(w) for _ in range(self.n_products)]
        v, z = (self._solved(hessians, theta, w, x, steps) for x in (lower, rest))
        new = memory.moved(w - v, u - z)
        if self.ahead:
            # the new u knows this batch: one of its own keeps the cross term without bias
            again = draws.index() if table is None else index
            part, point = draws.part(again, new.w)
            upper, u = part.upper(theta, point), new.u
        d = upper[1] - part.cross(theta, point, u)
        gradient = d
        if table is not None:
            gradient = table.reduced(index, 2, d)
            new = memory.moved(new.w, new.u, table.with_row(index, (g, r, d)))
        residual = np.inf
        if draws.whole:
            residual = max(lower_residual(part, g, steps), adjoint_residual(r, upper[2], steps))
        value = upper[0] if self.ahead else upper[0] - float(dot(memory.u, g).sum())
        seen_at = new.w if self.ahead else w
        return Estimate(value, gradient, draws.place(seen_at), residual, 1, new, w=seen_at)

    def _solved(self, hessians, theta, w, b, steps):
        start = steps * b if self.system == "gd" or self.n_products == 0 else None
        again = iter(hessians)
        return SYSTEMS[self.system](
            lambda _: next(again), theta, w, b, start, steps, self.n_products
        )

    def _table(self, draws, theta, memory):
        """The table of the memory, or a new one: at the start, or of another problem."""
        if not self.saga or draws.whole:
            return None
        table, shapes = memory.extra, (memory.w.shape, memory.w.shape, theta.shape)
        if isinstance(table, SagaTable) and table.fits(draws.n_parts, shapes):
            return table
        return SagaTable.of(
            self._row(*draws.part(i, memory.w), theta, memory.u) for i in range(draws.n_parts)
        )

    def _row(self, part, point, theta, u):
        g, r, (_, grad_theta, _) = _lower_terms(part, theta, point, u)
        return g, r, grad_theta - part.cross(theta, point, u)


def _lower_terms(part, theta, point, u):
    """Lower gradient, residual ``H u - b`` of the adjoint, and the upper level's answer."""
    upper = part.upper(theta, point)
    g = part.lower(theta, point)[1]
    return g, part.hvp(theta, point, u) - upper[2], upper
