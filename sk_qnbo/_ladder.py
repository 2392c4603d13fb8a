"""The ladder of penalty models: its rungs, and the climb that tunes each from a simpler one."""

import time
from dataclasses import dataclass, field, replace

import numpy as np

from ._minimize import minimize_bilevel, resolve_method
from ._stack import ADAPTIVE, CODATA, LEVEL, SCALE
from .methods import QNBO
from .methods.qnbo import QNBOMemory


@dataclass(frozen=True)
class Rung:
    """One penalty model of the ladder.

    Attributes
    ----------
    name : str
    free : tuple of int
        Shared coefficients that are tuned (besides the level).
    tau : float
        Strength of the prior on the departures; infinite holds them at zero.
    after : tuple of str
        Rungs of which the best is where this one starts; empty means a scan of the level.
    fixed : dict
        Shared coefficients held at a value.
    prior : dict
        Mean and standard deviation of a Gaussian prior on shared coefficients.
    pilot : bool
        Whether the adaptive column is filled, from the pilot fit of the rung it starts from.
    """

    name: str
    free: tuple = ()
    tau: float = np.inf
    after: tuple = ()
    fixed: dict = field(default_factory=dict)
    prior: dict = field(default_factory=dict)
    pilot: bool = False


@dataclass(frozen=True)
class Settings:
    """How the climb is done; the numbers a user may set on the search.

    ``sharp`` is for a climb whose end is used as it is, without a cross-fit: a finer and
    longer scan, a hundredth of ``tol`` everywhere, and fits re-solved at the end. ``seed`` is for
    stochastic methods.
    """

    method: str = "qnbo-bfgs"
    max_iter: int = 100
    tol: float = 1e-4
    seconds: float | None = None
    left: float | None = None
    sharp: bool = False
    seed: int = 0


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
        Rung whose fits are the pilot of the adaptive column.
    result : BilevelResult
    seconds : float
    at_bound : bool
        Whether the common level ended at a bound.
    """

    rung: Rung
    theta: np.ndarray
    fold_values: np.ndarray
    base: object
    result: object
    seconds: float
    at_bound: bool

    @property
    def value(self):
        return float(self.fold_values.mean())


def climb(stack, rungs, settings, progress=None):
    """Tune every rung on one stack, each from where a simpler one ended.

    Yields
    ------
    RungFit
        One a rung, fewer where time runs out; at least one.
    """
    reference, done, begun = stack.reference(), {}, time.perf_counter()
    for rung in rungs:
        left = _left(settings, begun)
        if done and left == 0.0:
            return
        settings = replace(settings, left=left)
        done[rung.name] = _tune(stack, reference, rung, done, settings, progress)
        if progress is not None:
            progress.rung(done[rung.name])
        yield done[rung.name]


def _left(settings, begun):
    if settings.seconds is None:
        return None
    return max(settings.seconds - (time.perf_counter() - begun), 0.0)


def _tune(stack, reference, rung, done, settings, progress):
    begun = time.perf_counter()
    before = min(
        (done[name] for name in rung.after if name in done), key=lambda f: f.value, default=None
    )
    base = before if rung.pilot else getattr(before, "base", None)
    phi = None if base is None else stack.phi(base.result.point)
    unit = _log_likelihood_unit(stack, done)
    problem = stack.problem(reference, phi, rung, unit)
    theta, memory = _begin(stack, problem, reference, rung, before, settings)
    result = minimize_bilevel(
        problem,
        theta,
        method=settings.method,
        bounds=_box(stack, problem, reference, rung, theta),
        max_iter=settings.max_iter,
        tol=settings.tol * (0.01 if np.isinf(rung.tau) or settings.sharp else 1.0),
        max_time=settings.left,
        memory=memory,
        callback=None if progress is None else lambda row: progress.iteration(rung.name, row),
        random_state=settings.seed,
        # what other methods leave is not solved: rungs would be compared on unfinished fits
        final=settings.sharp or not isinstance(resolve_method(settings.method), QNBO),
    )
    if stack.large and isinstance(result.memory, QNBOMemory):
        result = replace(result, memory=result.memory.light())
    low, high = _level_bounds(stack)
    at_bound = not low + 1e-9 < result.theta[LEVEL] < high - 1e-9
    return RungFit(
        rung,
        result.theta,
        problem.fold_values(result.point),
        base,
        result,
        time.perf_counter() - begun,
        at_bound,
    )


def _log_likelihood_unit(stack, done):
    """Loss that one log-likelihood is worth: one for the log loss, the variance for squares.

    The variance is that of the simplest rungs: a prior should not weaken as tuning goes on.
    """
    simple = [fit.value for fit in done.values() if not fit.rung.after]
    if stack.folds.loss != "squared" or not simple:
        return 1.0
    return 2.0 * min(simple) / len(stack.folds.targets)


def _begin(stack, problem, reference, rung, before, settings):
    """Starting theta and memory: from a simpler rung, or from a scan of the level."""
    theta = np.zeros(problem.n_upper)
    if before is not None:
        theta[: len(before.theta)] = before.theta
        return _set(theta, reference, rung), before.result.memory
    return _scan(stack, problem, reference, _set(theta, reference, rung), settings)


def _set(theta, reference, rung):
    for index, value in rung.fixed.items():
        theta[index] = value * (reference[1] if index == SCALE else 1.0)
    return theta


def _scan(stack, problem, reference, theta, settings):
    """Coarse walk of the level, from where nothing is fitted down to where the loss turns.

    The landscape is flat far out and has stationary points there, so a descent
    needs to start near its valley.
    """
    method = resolve_method(settings.method)
    known = isinstance(method, QNBO)
    method = replace(method if known else QNBO(), tol=1e-4, n_refine=0)
    memory = method.start(problem, theta)
    low, high = _level_bounds(stack)
    level = min(_null_level(stack, problem, theta), high)
    best, best_value, best_memory, worse = level, np.inf, memory, 0
    step, patience = (np.log(10.0) / 6, 24) if settings.sharp else (np.log(10.0), 2)
    while level >= low and worse < patience:
        theta[LEVEL] = level
        seen = method.estimate(problem, theta, memory)
        memory = seen.memory
        if seen.value < best_value:
            best, best_value, best_memory, worse = level, seen.value, memory, 0
        else:
            worse += 1
        level -= step
    theta[LEVEL] = best
    if not known:
        w = problem.array(best_memory.point)
        return theta, resolve_method(settings.method).start(problem, theta, settings.seed, w)
    return theta, best_memory.light() if stack.large else best_memory


def _null_level(stack, problem, theta):
    """A level so high that the penalties dwarf the whole trace of X'X."""
    theta = theta.copy()
    theta[LEVEL] = 0.0
    ratio = problem.penalty.log_alpha(theta).mean(axis=0)  # internal columns: unit variance
    return float(np.log(stack.n_rows) + np.logaddexp.reduce(-ratio))


def _level_bounds(stack):
    s = stack.log_variance.mean(axis=0)[stack.tuned]
    low, high = np.log(stack.spec.bounds)
    return low + float(s.min()), high + float(s.max())


def _box(stack, problem, reference, rung, theta):
    """Bounds of theta for one rung: what is not free stands still."""
    low, high = theta.copy(), theta.copy()
    wide = {SCALE: (-1.0 * reference[1], 3.0 * reference[1]), ADAPTIVE: (0.0, 3.0)}
    for index in rung.free:
        low[index], high[index] = wide.get(index, (-5.0, 5.0))
    n_shared = problem.penalty.n_shared
    if np.isinf(rung.tau):
        low[LEVEL], high[LEVEL] = _level_bounds(stack)
        return low, high
    if rung.tau > 0:
        low[LEVEL], high[LEVEL] = _level_bounds(stack)
        low[n_shared:], high[n_shared:] = -14.0, 14.0
        return low, high
    # without a prior the level is the mean of the departures: it stands, they have the bounds
    base = problem.penalty.log_alpha(theta).mean(axis=0)
    labels = problem.penalty.labels
    mean = np.bincount(labels, base, problem.n_upper - n_shared) / np.bincount(labels)
    delta = theta[n_shared:]
    bounds = np.log(stack.spec.bounds)
    low[n_shared:] = np.minimum(delta - mean + bounds[0], delta)
    high[n_shared:] = np.maximum(delta - mean + bounds[1], delta)
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
        Residual of the fits.
    """

    def __init__(self, stack, reference, method, tol=1e-6):
        self.stack, self.reference = stack, reference
        method = resolve_method(method)
        method = method if isinstance(method, QNBO) else QNBO()
        self.method = replace(method, tol=tol, n_refine=0)
        self.memory, self.pilots = None, {}

    def coefficients(self, fit):
        """Coefficients of a rung's model in internal coordinates, ``(n_outputs, n_columns)``."""
        return self._fitted(self._problem(fit), fit.theta).W[0]

    def alpha(self, fit):
        """Penalties of a rung's model in raw units, ``(n_features,)``."""
        return self.stack.user_alpha(self._problem(fit).penalty.alpha(fit.theta))[0]

    def _problem(self, fit):
        phi = None if fit.base is None else self._phi(fit.base)
        return self.stack.problem(self.reference, phi)

    def _phi(self, base):
        if base.rung.name not in self.pilots:
            point = self._fitted(self.stack.problem(self.reference), base.theta)
            self.pilots[base.rung.name] = self.stack.phi(point)
        return self.pilots[base.rung.name]

    def _fitted(self, problem, theta):
        memory = self.memory or self.method.start(problem, theta)
        seen = self.method.estimate(problem, theta, memory)
        self.memory = seen.memory
        return seen.point


TAUS = (10.0, 3.0, 1.0)
# the exponents are few, but a handful of rows can send them far out (docs/quality.md)
PRIOR = {SCALE: (0.5, 0.5), ADAPTIVE: (0.0, 0.3)}
# co-data columns have unit variance
PRIOR_CODATA = (0.0, 1.0)
# Where the classes separate, the log loss of the folds falls for ever as the penalty goes to
# zero, up to the first row on the wrong side; what n rows cannot know is worth a prior.
SEPARABLE = (float(np.log(0.1)), 1.5)


def ladder(
    *, scale="learn", adaptive=True, departures=True, n_codata=0, taus=TAUS, level_prior=None
):
    """The rungs from most to least constrained.

    Parameters
    ----------
    scale : "learn" or float
        Whether the scale exponent is tuned, or where it is fixed.
    adaptive, departures : bool
        Whether those rungs exist.
    n_codata : int
        Covariates of the features.
    taus : sequence of float
        Strengths of the prior on the departures, falling.
    level_prior : tuple of two floats, optional
        Log penalty of a column of unit variance below which the level is held, and how softly.
    """
    held = {} if level_prior is None else {LEVEL: level_prior}
    codata = tuple(range(CODATA, CODATA + n_codata))
    if scale == "learn":
        rungs = [
            Rung("standardised", fixed={SCALE: 1.0}, prior=held),
            Rung("raw", fixed={SCALE: 0.0}, prior=held),
            Rung("learned scale", (SCALE,), after=("standardised", "raw"), prior=held),
        ]
        free = (SCALE,)
    else:
        rungs, free = [Rung("shared", fixed={SCALE: float(scale)}, prior=held)], ()
    held = held | dict.fromkeys(codata, PRIOR_CODATA)
    if codata:
        free = free + codata
        rungs.append(Rung("codata", free, after=(rungs[-1].name,), prior=held))
    prior = held | {index: PRIOR[index] for index in free if index in PRIOR}
    if adaptive:
        free = (*free, ADAPTIVE)
        prior[ADAPTIVE] = PRIOR[ADAPTIVE]
        rungs.append(Rung("adaptive", free, after=(rungs[-1].name,), pilot=True, prior=prior))
    for tau in taus if departures else ():
        # without a prior the departures can say all that the shared coefficients say
        shared = free if tau > 0 else ()
        rungs.append(Rung(f"tau={tau:g}", shared, tau, after=(rungs[-1].name,), prior=prior))
    return rungs
