"""Run methods on a problem, remember theta along the way, judge it afterwards."""

import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import product
from time import process_time

import numpy as np

from sk_qnbo import METHODS, BilevelResult, CountedProblem, judge, minimize_bilevel
from sk_qnbo.methods import Method
from sk_qnbo.upper import UPPER_STEPS, UpperHOAG, UpperLBFGS

# What every method of fixed steps chooses from: factors on its upper step and, where it is
# stochastic, on its lower step (the others' is safe as it is, and shorter is only slower). Each
# choice is tried for a share of a run's time, with a seed that counts nowhere else.
REL_STEPS, TRIAL_SEED = (1.0, 0.1), 1000
# a moment that is written down is so much later than the last
SPACING = 1.2


@dataclass(frozen=True)
class Arena:
    """A problem to race on.

    Attributes
    ----------
    problem : BilevelProblem
    theta0 : ndarray of shape (n_upper,)
    bounds : tuple (low, high)
    measure : callable, optional
        ``measure(theta, judged)`` gives further numbers of a judged moment, by name.
    told : callable, optional
        ``told()`` gives numbers of the arena itself, as what is reached without any tuning.
    """

    problem: object
    theta0: np.ndarray
    bounds: tuple
    measure: object = None
    told: object = None


@dataclass(frozen=True)
class Race:
    """An experiment: an arena for each seed, and who runs in it.

    Attributes
    ----------
    name, title : str
    arena : callable
        ``arena(seed, quick, folder)``.
    methods : tuple of str
        Names in ``METHODS``, or in ``settings``.
    seconds : float
        CPU time of a run.
    seeds : int
    n_judged : int
        Moments of a run that are judged.
    tol : float
        Lower residual that the judge asks for.
    settings : dict
        Methods with settings of this race, by name.
    shown : str
        The further number that is drawn over time.
    upper_factors : tuple of float
        Factors on the upper step that a method of fixed steps chooses from.
    trial_share : float
        Share of a run's time that the try of a step gets: more than the warm-up needs.
    score : str
        What ranks: "loss", or a further number that grows as a method does better.
    """

    name: str
    title: str
    arena: object
    methods: tuple
    seconds: float = 10.0
    seeds: int = 3
    n_judged: int = 14
    tol: float = 1e-5
    settings: dict = field(default_factory=dict)
    shown: str = ""
    upper_factors: tuple = (0.01, 0.1, 1.0, 10.0, 100.0)
    trial_share: float = 0.15
    score: str = "loss"

    def method(self, name):
        return self.settings.get(name) or METHODS[name]


@dataclass(frozen=True)
class Moment:
    """Where a run stood: CPU seconds and work so far, and theta."""

    seconds: float
    calls: Counter
    products: float
    theta: np.ndarray


class Recorder(Method):
    """A method that writes down where theta is, at moments ever further apart.

    Where the upper step keeps the best theta by value, that one is written down.
    """

    def __init__(self, method, step, products_before):
        self.method, self.upper, self.before = method, method.upper, products_before
        self.keeps_best = isinstance(step, UpperLBFGS | UpperHOAG)
        self.begun, self.next, self.moments = process_time(), 0.0, []
        self.best, self.problem = (np.inf, None), None

    @property
    def seconds(self):
        return process_time() - self.begun

    def start(self, problem, theta, seed=0, w=None):
        return self.method.start(problem, theta, seed, w)

    def estimate(self, problem, theta, memory):
        seen = self.method.estimate(problem, theta, memory)
        self.problem = problem
        if not self.keeps_best or seen.value <= self.best[0] or self.best[1] is None:
            self.best = seen.value, theta
        if self.seconds >= self.next:
            self.note(self.best[1])
            self.next = SPACING * self.seconds
        return seen

    def note(self, theta):
        calls, products = self.problem.calls.copy(), self.problem.products - self.before
        self.moments.append(Moment(self.seconds, calls, products, np.array(theta, float)))


def run(arena, method, step, seconds, seed):
    """Moments of one run, the first after one estimate, the last that of the result."""
    recorder = Recorder(method, step, CountedProblem(arena.problem).products)
    result = minimize_bilevel(
        arena.problem,
        arena.theta0,
        method=recorder,
        upper=step,
        bounds=arena.bounds,
        max_iter=10**7,
        tol=1e-7,
        callback=lambda row: recorder.seconds >= seconds,
        random_state=seed,
        final=False,
    )
    recorder.note(result.theta)
    return recorder.moments


def some_of(moments, n):
    """The first, the last, and others evenly between them."""
    at = np.unique(np.linspace(0, len(moments) - 1, n).round().astype(int))
    return [moments[i] for i in at]


def judged(race, arena, moments):
    """Records of the moments, each judged from where the last left the lower level."""
    point, seen = arena.problem.at(arena.problem.initial()), None
    for moment in moments:
        record = {"seconds": moment.seconds, "products": moment.products}
        record |= {"gradients": moment.calls["lower"], "hessian products": moment.calls["hvp"]}
        if not np.isfinite(moment.theta).all():
            yield record | {"loss": np.inf}
            continue
        if seen is None or not np.array_equal(seen.theta, moment.theta):
            seen = judge(arena.problem, _result(moment.theta, point), tol=race.tol)
            point = seen.point
        more = {} if arena.measure is None else arena.measure(moment.theta, seen)
        yield record | {"loss": seen.value, "theta": moment.theta[:8].tolist()} | more


def _result(theta, point):
    none = np.zeros_like(theta)
    return BilevelResult(theta, np.inf, none, None, np.inf, np.inf, 0, False, "", point=point)


def chosen(race, arena, name, seconds):
    """The settings a method of fixed steps does best with in short trials, and how they ended."""
    method = race.method(name)
    step = UPPER_STEPS[method.upper]
    if not hasattr(step, "step"):  # its line search finds the length, or it adapts
        return method, step, {}
    tried = []
    lower_steps = REL_STEPS if method.noisy and hasattr(method, "rel_step") else (1.0,)
    for rel, up in product(lower_steps, race.upper_factors):
        lower = replace(method, rel_step=rel * method.rel_step) if rel != 1.0 else method
        upper = replace(step, step=up * step.step)
        moments = run(arena, lower, upper, race.trial_share * seconds, TRIAL_SEED)
        (end,) = judged(race, arena, moments[-1:])
        tried.append((end["loss"] if np.isfinite(end["loss"]) else np.inf, rel, up, lower, upper))
    _, rel, up, lower, upper = min(tried, key=lambda t: t[0])
    return lower, upper, {"rel_step": rel, "upper_step": up}


def race_of_one(race, name, quick, folder):
    """Records of one method: its choice of steps, then every seed."""
    seconds, seeds = (race.seconds / 10, 1) if quick else (race.seconds, race.seeds)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        method, step, choice = chosen(race, race.arena(TRIAL_SEED, quick, folder), name, seconds)
        for seed in range(seeds):
            arena = race.arena(seed, quick, folder)
            moments = some_of(run(arena, method, step, seconds, seed), race.n_judged)
            record = {"race": race.name, "method": name, "seed": seed, "choice": choice}
            if arena.told is not None and name == race.methods[0]:  # they are those of the seed
                record["told"] = arena.told()
            yield record | {"moments": list(judged(race, arena, moments))}
