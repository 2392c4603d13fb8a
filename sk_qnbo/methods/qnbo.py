"""qNBO: one quasi-Newton matrix for the lower fit, its adjoint and the next theta.

Fang et al., "qNBO: quasi-Newton meets bilevel optimization", ICLR 2025, arXiv 2502.01076::

    algorithm 1   w <- A(theta, w),  u <- B(theta, w, H0, grad_w f, Q_k),  then theta moves
    algorithm 2   A: P gradient steps, then T steps w <- w - gamma H_t grad_w g
    algorithm 3   B: the recursion run in the direction b for H u = b, by Q_k products
    algorithms 4, 5   H_t v from H0 and the pairs, by BFGS or by SR1

``QNBO`` is all of them; the defaults go further than the paper, whose own settings stand in
``docs/methods.md``. What algorithm 3 does inside is open to two readings (``refinement``). With no
refinement it is SHINE (Ramzi et al., ICLR 2022, arXiv 2106.00553); with a start matrix that is the
whole Hessian it is Newton's method with an exact adjoint (NBO-exact, Dong et al., ICML 2025, arXiv
2505.02101).
"""

from dataclasses import dataclass, replace

import numpy as np

from ..curvature import CURVATURES, STARTS
from ..curvature.base import dot
from ..solvers.line_search import MAX_HALVINGS, backtrack, unit_step
from ..solvers.linear_systems import REFINEMENTS
from ..solvers.quasi_newton import Patience, quasi_newton
from .base import Estimate, Method

# part of the upper value that a fit may owe: corrected for it, the error is its square
_OWED = 3e-3
# residual beyond which even a rough start matrix excuses no looser fit
_ROUGHEST = 3e-3
# the same where a large problem has but a diagonal to start from: its adjoint owes as much
_OWED_WIDE = 3e-2
# fits at one theta, each at most so much sharper
_SHARPER, _SHARPEST = 4, 0.01
# residual beyond which there is but rounding to follow
_ROUNDING = 1e-10
# start matrices that are not the whole Hessian, however much is asked of them
_PARTIAL = ("diagonal", "identity")


@dataclass(frozen=True)
class QNBOMemory:
    """Where the last theta left the lower level, and what was learnt of its curvature.

    ``value`` is the upper one there, ``change`` the part of it that the step before had changed.
    """

    point: object
    start: object = None
    pairs: tuple = ()
    u: object = None
    n_thetas: int = 0
    value: float = np.inf
    change: float = np.inf

    def light(self, point):
        """A place alone, without the pairs and the start matrix, which are what takes memory."""
        return QNBOMemory(point, n_thetas=self.n_thetas)


@dataclass(frozen=True)
class QNBO(Method):
    """Quasi-Newton bilevel optimization with structured, shared curvature.

    Parameters
    ----------
    formula : {"bfgs", "sr1"}
        Algorithm 4 or 5.
    n_pairs : int or None
        Pairs kept, and carried from theta to theta; None keeps all of one theta's, whose start
        matrix is then never built anew.
    refinement : {"steps", "unit steps", "direction", "cg"}
        Reading of the paper's algorithm 3, or conjugate gradients (HOAG).
    n_refine : int
        Products with the Hessian that refinement may spend; 0 is SHINE.
    refine_growth : int
        So many more at each new theta: the paper's theory has ``Q_k = k + 1``, which is
        ``n_refine=1, refine_growth=1``.
    adjoint_from_fit : bool
        Whether refinement begins with what the fit has learnt, else with the start matrix alone
        (the H0 of algorithm 3).
    tol : float
        Lower residual asked for (see ``LowerFit.residual``).
    adjoint_tol : float
        Relative residual of the adjoint asked for.
    tol_decay : float
        Factor on both tolerances at each new theta (HOAG); 1 keeps them.
    start_kind : str or None
        Overrules the problem's plan for the start matrix, by a name in ``STARTS``; the paper's is
        a multiple of the identity, "identity".
    exact : bool
        The whole Hessian as start matrix, built anew at every step, where the problem has it.
    share : bool
        Whether pairs and start matrix outlive a theta; in algorithm 2 they do not.
    max_iter : int
        Lower iterations at one theta (P + T of algorithm 2).
    n_warm : int
        So many of them along the start matrix alone, before pairs are learnt (P of algorithm 2).
    line_search : bool
        Whether the fit's other steps are shortened until the value falls, else they have length
        one (the gamma of algorithm 2 in its theory).
    """

    formula: str = "bfgs"
    n_pairs: int | None = 10
    refinement: str = "steps"
    n_refine: int = 30
    refine_growth: int = 0
    adjoint_from_fit: bool = True
    tol: float = 1e-5
    adjoint_tol: float = 1e-3
    tol_decay: float = 1.0
    start_kind: str | None = None
    exact: bool = False
    share: bool = True
    max_iter: int = 300
    n_warm: int = 0
    line_search: bool = True
    accuracy: float = 1e-3
    upper: str = "lbfgs"

    @property
    def coordinates(self):
        """Paired coordinates have a start matrix of their own, which is not the whole Hessian."""
        paired = not self.exact and self.start_kind is None
        return ("fixed", "rows", "paired") if paired else ("fixed", "rows")

    @property
    def cost(self):
        """At most: a fit ends, and refinement, where their tolerances are met."""
        products = np.inf if self.refine_growth else max(self.n_refine, 1)
        # a fit that begins anew looks at its gradient once more, which it does at most every step
        lower = {"lower": 2 * self.max_iter + 2, "lower_value": MAX_HALVINGS * self.max_iter}
        each = {"hvp": products, "upper": 1} | lower
        return {name: _SHARPER * n for name, n in each.items()} | {"cross": 1}

    def start(self, problem, theta, seed=0, w=None):
        return QNBOMemory(problem.at(problem.initial() if w is None else w))

    def estimate(self, problem, theta, memory):
        tol, adjoint_tol, share = self._asked(problem, memory)
        n_iter, owed = 0, np.inf
        for _ in range(_SHARPER):
            start, fit, spent = self._lower(problem, theta, memory, tol)
            value, grad_theta, b = problem.upper(theta, fit.point)
            # whoever has handed pairs on lets go of them: long ones fill the memory
            memory = replace(memory, pairs=())
            adjoint = self._adjoint(problem, theta, fit, b, memory, adjoint_tol)
            fit = replace(fit, curvature=None)
            n_iter, before = n_iter + spent, owed
            owed = float(dot(adjoint.u, fit.gradient).sum())
            if (
                abs(owed) <= share * abs(value)
                or not fit.converged
                or fit.residual <= _ROUNDING
                or abs(owed) > 0.9 * abs(before)
            ):
                break
            # the upper level feels more of what the fit still owes than the lower level does
            memory = replace(memory, point=fit.point, start=start, pairs=adjoint.curvature.pairs)
            # and what it owes falls with the residual
            part = max(0.5 * share * abs(value / owed), _SHARPEST)
            tol = max(part * fit.residual, _ROUNDING)
        gradient = grad_theta - problem.cross(theta, fit.point, adjoint.u)
        # f(w*) = f(w) - u'g + second order: the adjoint pays back what the fit still owes
        value -= owed if abs(owed) <= 0.1 * abs(value) else 0.0
        kept = self._kept(problem, theta, memory, fit.point, start, adjoint.curvature)
        kept = replace(kept, value=value, change=_part(value, memory.value))
        if not problem.coordinates_follow_theta:
            kept = replace(kept, u=adjoint.u)
        residual = max(fit.residual, adjoint.residual)
        fixed = self.tol_decay == 1.0 and self.n_refine > 0 and not self.refine_growth
        goal = max(tol, adjoint_tol) if fixed else 0.0
        return Estimate(value, gradient, fit.point, residual, n_iter, kept, goal)

    def _asked(self, problem, memory):
        """Lower residual, residual of the adjoint, and part of the value that a fit may owe.

        Where all but a diagonal is dear the last two are those of the steps: far from the solution
        an error of a tenth turns no step round, near it nothing else is left (HOAG's idea; its
        tolerances fall with the count of the steps, these with what the steps still change).
        An adjoint that nothing refines is not worth a sharper fit.
        """
        factor = max(self.tol_decay**memory.n_thetas, 1e-12) * self._plan(problem).slack
        tol, adjoint_tol = self._eased(factor), min(self.adjoint_tol * factor, 0.1)
        if not self._wide(problem):
            return tol, adjoint_tol, _OWED
        if self.tol_decay != 1.0 or not self.n_refine:
            return tol, adjoint_tol, _OWED_WIDE
        adjoint_tol = min(adjoint_tol, max(memory.change, self.adjoint_tol))
        return tol, adjoint_tol, min(_OWED_WIDE, max(memory.change, _OWED))

    def _eased(self, factor):
        """The lower residual asked for where a rough start matrix makes each digit dear."""
        return min(self.tol * factor, max(self.tol, _ROUGHEST))

    def fit_lower(self, problem, theta, memory=None, eased=False):
        """The lower level alone at one theta; ``eased`` as in an estimate, else to ``tol``.

        Returns
        -------
        fit : LowerFit
            With all iterations counted.
        memory : QNBOMemory
        """
        memory = self.start(problem, theta) if memory is None else memory
        tol = self._eased(self._plan(problem).slack) if eased else self.tol
        start, fit, n_iter = self._lower(problem, theta, memory, tol)
        kept = self._kept(problem, theta, memory, fit.point, start, fit.curvature)
        return replace(fit, n_iter=n_iter), kept

    def _kept(self, problem, theta, memory, point, start, curvature):
        """What the next theta may start from."""
        kept = QNBOMemory(point, n_thetas=memory.n_thetas + 1)
        if problem.coordinates_follow_theta or problem.diagonal(theta) is None:
            return kept
        if not self.share or self._wide(problem):
            return kept
        return replace(kept, start=start, pairs=curvature.pairs)

    def _wide(self, problem):
        """Whether but a diagonal is affordable, so that what one theta taught misleads at the next.

        Its pairs hold for coefficients that have moved far since.
        """
        plan = self._plan(problem)
        return plan.kind == "diagonal" and plan.slack > 1.0

    # -- lower level --------------------------------------------------------------------------
    def _plan(self, problem):
        plan = problem.start_plan
        if self.n_pairs is None:  # a start built anew would cost the pairs
            plan = replace(plan, patience=max(self.max_iter, 1))
        if self.start_kind is not None:
            plan = replace(plan, kind=self.start_kind)
        if self.exact and plan.kind not in _PARTIAL:
            plan = replace(plan, shared=False, patience=1, full=True)
        return plan

    def _curvature(self, problem, theta, start, pairs=()):
        known = problem.diagonal(theta)
        factor = start.factor(0.0 * problem.initial() if known is None else known)
        known = 0.0 if known is None else known
        limits = (self.n_pairs, self._plan(problem).max_pairs)
        limit = min((n for n in limits if n is not None), default=None)
        empty = CURVATURES[self.formula](factor, known, limit=limit)
        return replace(empty, pairs=pairs).at(factor, known)

    def _lower(self, problem, theta, memory, tol):
        """Fit; where the start matrix has aged so much that steps are many, build it anew."""
        plan, n_iter = self._plan(problem), 0
        patience = plan.patience
        point, start, pairs = problem.carry(theta, memory.point), memory.start, memory.pairs
        standing, best = Patience(problem.unit), None
        search = backtrack if self.line_search else unit_step
        while True:
            fresh = start is None
            if fresh:
                start = STARTS[plan.kind](problem, point, shared=plan.shared, full=plan.full)
                pairs = ()
            curvature = self._curvature(problem, theta, start, pairs)
            if self.n_warm and not n_iter:
                point, n_iter = self._warmed(problem, theta, point, curvature, tol)
            allowed = self.max_iter - n_iter
            allowed = allowed if plan.constant else min(patience, allowed)
            fit = quasi_newton(problem, theta, point, curvature, tol, allowed, search)
            n_iter += fit.n_iter
            over = standing.is_over(fit.residual, fit.value, fit.n_iter)
            if best is None or not standing.since:  # none is better than NaN
                best = start, fit
            if over and not fit.converged:  # what came after is rounding
                return *best, n_iter
            # on a start matrix and pairs that were carried it may be these that aged
            stalled = fit.n_iter < allowed and (fresh or plan.constant)
            if fit.converged or stalled or n_iter >= self.max_iter:
                return start, fit, n_iter
            point, start = fit.point, None
            if problem.coordinates_follow_theta:  # they follow the place too
                point = problem.carry(theta, problem.at(problem.array(point)))
                patience *= 2  # or a fit that needs more pairs than that would never end

    def _warmed(self, problem, theta, point, curvature, tol):
        """The point after steps along the start matrix alone, and their number."""
        plain = replace(curvature.emptied(), limit=0)
        fit = quasi_newton(problem, theta, point, plain, tol, min(self.n_warm, self.max_iter))
        return fit.point, fit.n_iter

    # -- adjoint ------------------------------------------------------------------------------
    def _adjoint(self, problem, theta, fit, b, memory, tol):
        refine = REFINEMENTS[self.refinement]
        budget = max(self.n_refine + self.refine_growth * memory.n_thetas, 0)
        known = fit.curvature if self.adjoint_from_fit else fit.curvature.emptied()
        # a diagonal says less of the adjoint than the last theta's does
        warm = self.refinement == "cg" or getattr(known.factor, "rough", False)
        warm = warm and self.adjoint_from_fit and budget and memory.u is not None
        u = memory.u if warm else known.solve(b)
        return refine(problem, theta, fit.point, b, known, u, tol, budget)


def _part(value, before):
    """What changed, as a part of the value; infinite where that says nothing."""
    if not np.isfinite(value):
        return np.inf
    return abs(value - before) / max(abs(value), np.finfo(float).tiny)
