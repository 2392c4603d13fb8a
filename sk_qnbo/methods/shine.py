"""SHINE's two remedies: pairs learnt for the upper level while fitting, and a short refinement.

Ramzi, Mannel, Bai, Starck, Ciuciu, Moreau, "SHINE: sharing the inverse estimate from the forward
pass for bi-level optimization and implicit models", ICLR 2022, arXiv 2106.00553:
its outer-problem awareness (OPA) and its refinement. Plain SHINE is :class:`QNBO` without
refinement, and one pair of OPA after the fit is one product of qNBO's algorithm 3
(``refinement="direction"``, ``n_refine=1``).
"""

from dataclasses import dataclass, replace

from .qnbo import QNBO, QNBOMemory


@dataclass(frozen=True)
class ShineOPA(QNBO):
    """SHINE with outer-problem awareness: every few steps of the fit a pair along ``H^-1 grad f``.

    The pair is ``(e, H e)`` with ``e = H_n^-1 grad f(w_n)`` for the quasi-Newton matrix H_n; theirs
    is a difference of gradients, ours the product with the Hessian, which costs the same here.

    Parameters
    ----------
    every : int
        Steps of the fit between two such pairs; the last comes after the fit.
    """

    every: int = 5
    n_refine: int = 0
    accuracy: float = 0.5

    @property
    def cost(self):
        # those pairs, and what tells the residual and the value, in each of its fits
        calls = super().cost["upper"] * (self.max_iter // self.every + 2)
        return super().cost | {"hvp": calls, "upper": calls}

    def _lower(self, problem, theta, memory, tol):
        total, some = 0, replace(self, max_iter=self.every)
        while True:
            start, fit, n_iter = super(ShineOPA, some)._lower(problem, theta, memory, tol)
            total += n_iter
            e = fit.curvature.solve(problem.upper(theta, fit.point)[2])
            fit = replace(fit, curvature=fit.curvature.update(e, problem.hvp(theta, fit.point, e)))
            if fit.converged or total >= self.max_iter or n_iter < self.every:
                return start, fit, total
            memory = QNBOMemory(fit.point, start, fit.curvature.pairs)


@dataclass(frozen=True)
class ShineRefine(QNBO):
    """SHINE's estimate as the start of a few conjugate gradients."""

    refinement: str = "cg"
    n_refine: int = 5
    accuracy: float = 0.05

    def _adjoint(self, problem, theta, fit, b, memory, tol):
        return super()._adjoint(problem, theta, fit, b, replace(memory, u=None), tol)
