"""The climb of the ladder: every rung tuned from where a simpler one ended."""

import time
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ._bounds import at_bounds, level_end
from ._minimize import minimize_bilevel, resolve_method, resolve_upper
from ._rungs import Rung
from ._scan import level_bounds, may_rise, rise, scan
from ._stack import ADAPTIVE, LEVEL, SCALE
from .curvature.base import light
from .methods import QNBO
from .methods.qnbo import QNBOMemory
from .upper import UpperLBFGS


@dataclass(frozen=True)
class Settings:
    """How the climb is done; the numbers a user may set on the search.

    ``sharp`` is for a climb that nothing holds back, neither a cross-fit nor a prior on
    departures: a finer and longer scan, a hundredth of ``tol`` and sharper estimates. ``final`` is
    for one whose end is told as it is: the last rung's fits are re-solved, those of a sharp climb
    on every rung. ``guarded`` says that a cross-fit judges the rungs. ``seed`` is for stochastic
    methods, ``seconds`` for all rungs and ``left`` for the next.
    """

    method: str = "qnbo-bfgs"
    max_iter: int = 100
    tol: float = 1e-4
    sharp: bool = False
    final: bool = False
    guarded: bool = False
    seed: int = 0
    seconds: float | None = None
    left: float | None = None

    def after(self, begun):
        """What is left of the time behind what began then."""
        return None if self.left is None else max(self.left - (time.perf_counter() - begun), 0.0)

    def over(self, begun):
        """Whether what began then has taken the time."""
        return self.after(begun) == 0.0


@dataclass(frozen=True)
class RungFit:
    """Where a rung ended on one stack of folds.

    Attributes
    ----------
    rung : Rung
    theta : ndarray of shape (n_upper,)
    fold_values : ndarray of shape (n_folds,)
        Validation loss of each fold, without the prior.
    base : RungFit or None
        Rung whose fits are the pilot of the adaptive column, bare.
    result : BilevelResult
    seconds : float
    level_end : "lower", "upper" or None
        The bound that the common level ended at (see :mod:`sk_qnbo._bounds`).
    ended : tuple of (int, float)
        Other shared coefficients that ended at a bound, and this.
    pairs : tuple of (step, change of the gradient)
        Curvature of the upper level without the prior: where the next rung begins.
    W : ndarray of shape (n_folds, n_outputs, n_columns) or None
        Coefficients, for those who judge the rung and for a rung whose pilot it is.
    phi : ndarray of shape (n_folds, n_features) or None
        The adaptive column that the pilot gave.
    """

    rung: Rung
    theta: np.ndarray
    fold_values: np.ndarray
    base: object
    result: object
    seconds: float
    level_end: str | None
    ended: tuple = ()
    pairs: tuple = ()
    W: np.ndarray | None = None
    phi: np.ndarray | None = None

    @property
    def value(self):
        return float(self.fold_values.mean())

    @property
    def late(self):
        """Whether the limit on time cut it short."""
        return "max_time" in self.result.message

    def bare(self):
        """The same without its fits and what only the next rung wants: those fill the memory."""
        result = replace(self.result, w=None, memory=None, gradient=None, point=None)
        return replace(self, pairs=(), result=result, W=None, phi=None)

    def kept_for(self, rungs):
        """The same with no more than these rungs may want of it."""
        wanting = [rung for rung in rungs if self.rung.name in rung.after]
        if not wanting:
            return self.bare()
        return self if any(rung.pilot for rung in wanting) else replace(self, W=None)


def climb(stack, rungs, settings, progress=None):
    """Tune every rung on one stack, each from where a simpler one ended.

    Parameters
    ----------
    stack : Stack
    rungs : list of Rung
    settings : Settings
    progress : Progress, optional

    Yields
    ------
    RungFit
        One a rung, fewer where time runs out; at least one.
    """
    reference, done, begun = stack.reference(), {}, time.perf_counter()
    whole = replace(settings, left=settings.seconds)
    for k, rung in enumerate(rungs):
        if done and whole.over(begun):
            return
        told = settings.final and (settings.sharp or rung is rungs[-1])
        mine = replace(whole, left=whole.after(begun), final=told)
        done[rung.name] = _tune(stack, reference, rung, done, mine, progress)
        if progress is not None:
            progress.rung(done[rung.name])
        yield done[rung.name]
        done = {name: fit.kept_for(rungs[k + 1 :]) for name, fit in done.items()}


def _tune(stack, reference, rung, done, settings, progress):
    begun = time.perf_counter()
    before = min(
        (done[name] for name in rung.after if name in done), key=lambda f: f.value, default=None
    )
    pilot = getattr(before, "base", None), getattr(before, "phi", None)
    if rung.pilot:
        pilot = before.bare(), stack.pilot(before)
    bears = resolve_method(settings.method).coordinates
    unit = _log_likelihood_unit(stack, done)
    problem = stack.problem(reference, pilot[1], rung, unit, bears)
    theta, memory, known = _begin(stack, problem, reference, rung, before, settings)
    known = known or _known(stack, rung, done, before)
    how = {
        "method": _method(settings),
        "upper": _upper(settings, problem, known, rung.deviations(problem.n_upper, reference[1])),
        "tol": _tol(stack, rung, settings),
        "callback": None if progress is None else partial(progress.iteration, rung.name),
    }

    def run(theta, memory):
        box, left = _box(stack, problem, reference, rung, theta), settings.after(begun)
        return box, _minimized(problem, theta, memory, settings, bounds=box, max_time=left, **how)

    departing = np.isfinite(rung.tau) and np.isinf(before.rung.tau)
    risen = None
    if departing and may_rise(stack, before.value, unit, settings):
        risen = rise(stack, problem, theta, memory, settings)
    box, result = run(theta, memory) if risen is None else run(*risen[:2])
    if risen is not None and result.value > risen[2]:  # it did not pay
        box, result = run(theta, memory)
    return _told(stack, problem, reference, rung, pilot, box, result, begun)


def _minimized(problem, theta, memory, settings, **how):
    method = resolve_method(settings.method)
    return minimize_bilevel(
        problem,
        theta,
        memory=memory,
        max_iter=settings.max_iter,
        random_state=settings.seed,
        # what other methods leave is not solved: rungs would be compared on unfinished fits
        final=settings.final or not (isinstance(method, QNBO) and method.upper == "lbfgs"),
        **how,
    )


def _told(stack, problem, reference, rung, pilot, box, result, begun):
    """Where a rung ended, with no more in memory than others want."""
    values = problem.fold_values(result.theta, result.point)
    pairs, W = _curvature(problem, result, stack.large), result.point.W
    result = replace(result, point=problem.settled(result.point), upper_state=None)
    if (stack.large or problem.coordinates_follow_theta) and isinstance(result.memory, QNBOMemory):
        result = replace(result, memory=result.memory.light(result.point))
    departures = problem.penalty.n_shared + stack.tuned_labels
    end = level_end(rung, result.theta, box, level_bounds(stack), departures)
    ended = at_bounds(rung, result, *box, reference[1])
    (base, phi), seconds = pilot, time.perf_counter() - begun
    return RungFit(rung, result.theta, values, base, result, seconds, end, ended, pairs, W, phi)


# pairs of the upper level that are kept where one is a burden on the memory
_FEW_PAIRS = 3


def _known(stack, rung, done, before):
    """Curvature of the upper level that is known before a rung begins.

    With departures, or the same shared coefficients, that of the rung before. A pair of one
    shared coefficient says little of another's scale, so else what other rungs have
    learnt, and the difference of two, serves only where an estimate is dear.
    """
    if np.isfinite(rung.tau) or (before is not None and before.rung.free == rung.free):
        return before.pairs
    found = [done[name] for name in rung.after if name in done] if stack.large else []
    between = zip(found, found[1:], strict=False)
    pairs = [(b.theta - a.theta, b.result.gradient - a.result.gradient) for a, b in between]
    return (*pairs, *(pair for fit in found for pair in fit.pairs))


def _curvature(problem, result, large):
    """What a rung has learnt of the upper level, without what its prior adds."""
    pairs, prior = getattr(result.upper_state, "pairs", ()), _prior(problem)
    return tuple(light(s, y - prior * s) for s, y in (pairs[-_FEW_PAIRS:] if large else pairs))


def _prior(problem):
    """Curvature of the prior, of which there is none where it holds from one side."""
    return problem.precision * ~problem.one_sided


def _upper(settings, problem, pairs, expected):
    """The method's upper step, with what is known beforehand where it can use it.

    That is curvature, and how far from its mean the prior expects each coordinate to be.
    """
    step, prior = resolve_upper(resolve_method(settings.method).upper), _prior(problem)
    if not isinstance(step, UpperLBFGS):
        return step
    pairs = tuple((s, (y + prior * s).astype(s.dtype)) for s, y in pairs)
    expected = np.minimum(expected, 1.0)
    return replace(
        step,
        max_move=expected * step.max_move,
        first_move=expected * step.first_move,
        pairs=pairs,
        precision=prior,
    )


def _tol(stack, rung, settings):
    """Part of the loss below which a step is not worth its estimate.

    Few numbers are cheap to tune to the end; departures under a prior do not pay for it. Where an
    estimate is dear, few numbers do not either. Where rows are few and a cross-fit judges, what a
    step promises is soon below what these rows can tell; a finer ``tol`` than the default is meant.
    """
    if settings.sharp:
        return 0.01 * settings.tol
    tol = settings.tol
    if settings.guarded and tol >= _AT_TOL:
        tol = max(tol, _AT_TOL * _FINEST / stack.n_rows**0.5)
    return tol * (0.1 if np.isinf(rung.tau) and not stack.large else 1.0)


def _log_likelihood_unit(stack, done):
    """Loss that one log-likelihood is worth: one for the log loss, the variance for squares.

    The variance is that of the simplest rungs: a prior should not weaken as tuning goes on.
    """
    simple = [fit.value for fit in done.values() if not fit.rung.after]
    if stack.folds.loss != "squared" or not simple:
        return 1.0
    return 2.0 * min(simple) / len(stack.folds.targets)


# what an estimate that moves theta may leave open at the default ``tol``: the value is corrected by
# the adjoint, so its error is the square of these
_LOWER_TOL, _ADJOINT_TOL, _AT_TOL = 3e-4, 3e-3, 1e-4
# products that an adjoint may take: a gradient that is a fifth off costs five times the thetas
_ADJOINT_PRODUCTS = 60
# the standard error of a mean loss is about one part in the root of the rows, and a guarded climb
# cares for a three-hundredth of that (no coarser: first steps off a plateau promise little)
_FINEST = 30.0


def _method(settings):
    """The method, as accurate as the climb can use."""
    method = resolve_method(settings.method)
    if settings.sharp or method != QNBO(formula=getattr(method, "formula", None)):
        return method
    finer = min(settings.tol / _AT_TOL, 1.0) ** 0.5
    tols = {"tol": _LOWER_TOL * finer, "adjoint_tol": _ADJOINT_TOL * finer}
    return replace(method, **tols, n_refine=_ADJOINT_PRODUCTS)


def _begin(stack, problem, reference, rung, before, settings):
    """Starting theta, memory and curvature above: from a simpler rung, or a scan of the level."""
    theta = np.zeros(problem.n_upper)
    memory = None
    if before is not None and before.result.w.shape == (problem.n_stack, problem.n_lower):
        memory = before.result.memory
    if before is not None:
        theta[: len(before.theta)] = before.theta
        return _set(theta, reference, rung), memory, ()
    return scan(stack, problem, _set(theta, reference, rung), settings)


def _set(theta, reference, rung):
    for index, value in rung.fixed.items():
        theta[index] = value * (reference[1] if index == SCALE else 1.0)
    return theta


def _box(stack, problem, reference, rung, theta):
    """Bounds of theta for one rung: what is not free stands still."""
    low, high = theta.copy(), theta.copy()
    wide = {SCALE: (-1.0 * reference[1], 3.0 * reference[1]), ADAPTIVE: (0.0, 3.0)}
    for index in rung.free:
        low[index], high[index] = wide.get(index, (-5.0, 5.0))
    n_shared = problem.penalty.n_shared
    if np.isinf(rung.tau):
        low[LEVEL], high[LEVEL] = level_bounds(stack)
        return low, high
    if rung.tau > 0:
        low[LEVEL], high[LEVEL] = level_bounds(stack)
        low[n_shared:], high[n_shared:] = -14.0, 14.0
        return low, high
    # without a prior the level is the mean of the departures: it stands, they have the bounds
    base = problem.penalty.log_alpha(theta).mean(axis=0)
    labels = problem.penalty.labels
    mean = np.bincount(labels, base, problem.n_upper - n_shared) / np.bincount(labels)
    delta = theta[n_shared:]
    bounds = np.log(stack.spec.bounds)
    low[n_shared:], high[n_shared:] = delta - mean + bounds[0], delta - mean + bounds[1]
    return low, high


class RungModels:
    """Models of rungs that were tuned elsewhere, fitted on a stack of one.

    Each fit starts from the one before; the pilot of the adaptive column is fitted once.

    Parameters
    ----------
    stack : Stack of one
    reference : tuple
        What theta was measured from where it was tuned (``Stack.reference``).
    method : str or Method
    tol : float
        Residual of the fits, eased where a rough start matrix makes each digit dear.
    """

    def __init__(self, stack, reference, method, tol=1e-5):
        self.stack, self.reference = stack, reference
        method = resolve_method(method)
        method = method if isinstance(method, QNBO) else QNBO()
        self.method = replace(method, tol=tol)
        self.memory, self.pilots = None, {}

    def coefficients(self, fit):
        """Coefficients of a rung's model in internal coordinates, ``(n_outputs, n_columns)``."""
        return self._fitted(fit.theta, self._phi(fit.base)).W[0]

    def alpha(self, fit):
        """Penalties of a rung's model in raw units, ``(n_features,)``."""
        penalty = self.stack.penalty(self.reference, self._phi(fit.base))
        return self.stack.user_alpha(penalty.alpha(fit.theta))[0]

    def _phi(self, base):
        """The adaptive column from the pilot, None where there is none."""
        if base is None:
            return None
        if base.rung.name not in self.pilots:
            pilot = self._fitted(base.theta, self._phi(base.base))
            self.pilots[base.rung.name] = self.stack.phi(pilot.W)
        return self.pilots[base.rung.name]

    def _fitted(self, theta, phi=None):
        problem = self.stack.problem(self.reference, phi, coordinates=self.method.coordinates)
        fit, memory = self.method.fit_lower(problem, theta, self.memory, eased=True)
        if not fit.converged and self.memory is not None:
            # where another rung left it there may be no way on: what is judged must be a fit
            cold, begun = self.method.fit_lower(problem, theta, eased=True)
            better = fit.value.sum() <= cold.value.sum()  # no, where either is not a number
            fit, memory = (fit, memory) if better else (cold, begun)
        self.memory = memory
        return fit.point
