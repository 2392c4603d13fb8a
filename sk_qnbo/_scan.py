"""Where a climb begins, and where its departures do: walks of the common level."""

import time
from dataclasses import replace

import numpy as np

from ._curve import lowest_along
from ._minimize import resolve_method
from ._stack import LEVEL
from .curvature.base import light
from .methods import QNBO
from .methods.qnbo import QNBOMemory

# of a walk down, and of one up
_STEP, _RISE = np.log(10.0), np.log(10.0) / 2
# how much longer a walk goes on as long as no level is so much better than no fit, as a part of its
# loss: a few rows far out may put a ridge before the valley (docs/engine.md)
_LONGER = ((0.005, 3), (0.1, 2))
# part of the lowest loss by which a level is clearly past the valley, and part of that of no fit by
# which the lowest must be below it for that to count: the curve has dimples near its top
_PAST, _DEEP = 0.02, 0.25


def scan(stack, problem, theta, settings):
    """Coarse walk of the level, from where nothing is fitted down to where the loss turns.

    The landscape is flat far out and has stationary points there, so a descent
    needs to start near its valley.

    Returns
    -------
    theta : ndarray of shape (n_upper,)
    memory : object or None
        Of the search's method, where the walk was near that theta.
    pairs : tuple of (step, change of the gradient)
        Curvature of the upper level around it.
    """
    method, known = _walker(settings)
    memory = method.start(problem, theta)
    low, high = level_bounds(stack)
    level = min(max(_null_level(stack, problem, theta), low), high)
    flat = settings.tol * (0.01 if settings.sharp else 0.1)  # a climb does not care for less
    lowest = lowest_along(problem, theta, LEVEL, low, level, flat)
    if lowest is not None:
        theta[LEVEL] = lowest
        return theta, None, ()
    seen, worse, lowest, first = [], 0, np.inf, None
    step, patience = _STEP, 2 - stack.large
    if settings.sharp:  # far below the valley, fits of many columns do not end
        step, patience = _STEP / 2, 3 if stack.large else 8
    while level >= low and worse < _patience(patience, lowest, first, seen, settings):
        theta[LEVEL] = level
        found = method.estimate(problem, theta, memory)
        memory = found.memory
        first = found.value if first is None else first
        worse = 0 if found.value < lowest else worse + 1
        lowest = min(lowest, found.value)
        # next to the lowest value only, and where memory is short the bare coefficients
        kept = problem.array(memory.point) if stack.large else memory
        seen = _near_the_lowest([*seen, (level, found.value, found.gradient[LEVEL], kept)])
        level -= step
    theta[LEVEL], memory = _valley(seen)
    pairs = _bend(seen, theta) if stack.large or not settings.sharp else ()
    memory = QNBOMemory(problem.at(memory)) if stack.large else memory
    return theta, memory if known else _own(problem, theta, memory, settings), pairs


def _patience(patience, lowest, first, seen, settings):
    """Levels in a row that may be no better, by the lowest value so far and that of no fit."""
    if first is None or settings.sharp:
        return patience
    if lowest < (1.0 - _DEEP) * first and seen[-1][1] > (1.0 + _PAST) * lowest:
        return 1
    return patience * next((more for gain, more in _LONGER if lowest > (1.0 - gain) * first), 1)


def _walker(settings):
    """What estimates the levels of a walk, and whether that is the search's own method."""
    method = resolve_method(settings.method)
    known = isinstance(method, QNBO)
    return replace(method if known else QNBO(), tol=1e-4, n_refine=0), known


def _own(problem, theta, memory, settings):
    """Memory of the search's own method where a walk by another ended."""
    w = problem.array(memory.point)
    return resolve_method(settings.method).start(problem, theta, settings.seed, w)


# slopes of the departures, beside the loss, below which they need a better place to begin (many
# rows have flatter ones, 3e-4, that are good enough); part of the loss by which that may be worse,
# and of the slopes that it must keep
_FLAT, _NEARLY, _STEEP = 1e-4, 1e-2, 0.9
# part of the loss that useless features may cost
_USELESS = 1e-3


def rise(stack, problem, theta, memory, settings):
    """The highest level that is nearly as good and as steep as this one, where this one is flat.

    Where the loss is flat below its valley (rows abound, and next to no penalty is best for all
    features alike), the level may have ended anywhere down there. No coordinate has a slope then,
    so that departures would not move, whatever the penalty of a useless feature is worth. Far
    above the valley, where nothing is fitted, they have none either.

    Returns
    -------
    theta : ndarray of shape (n_upper,)
    memory : object
        Of the search's method, there.
    value : float
        Upper value of the level that was given.

    None where no level is higher so.
    """
    begun, (method, known) = time.perf_counter(), _walker(settings)
    walked = memory if known and memory is not None else method.start(problem, theta)
    seen, risen = method.estimate(problem, theta, walked), None
    value, steepest, high = (
        seen.value,
        _slope(problem, seen),
        level_bounds(stack)[1],
    )
    flat = steepest < _FLAT * abs(value)
    while flat and theta[LEVEL] + _RISE <= high and not settings.over(begun):
        theta = theta.copy()
        theta[LEVEL] += _RISE
        seen = method.estimate(problem, theta, seen.memory)
        slope = _slope(problem, seen)
        if not (seen.value <= value + _NEARLY * abs(value) and slope > _STEEP * steepest):
            break
        risen, steepest = (theta, seen.memory), max(steepest, slope)
    if risen is None:
        return None
    theta, walked = risen
    return theta, walked if known else _own(problem, theta, walked, settings), value


def may_rise(stack, value, unit, settings):
    """Whether to look for a better place at all: useless features may cost too little.

    Each costs about half a log-likelihood over all rows, which are worth ``unit`` in the loss.
    """
    cost = 0.5 * unit * stack.spec.n_features / stack.n_rows
    return settings.sharp or cost > _USELESS * abs(value)


def _slope(problem, seen):
    """Size of an estimate's slopes along the departures."""
    return float(np.linalg.norm(seen.gradient[problem.penalty.n_shared :]))


def _near_the_lowest(seen):
    """The walk without what was kept of levels beyond the neighbours of the lowest value."""
    lowest = min(range(len(seen)), key=lambda i: seen[i][1])
    return [one if abs(i - lowest) <= 1 else (*one[:3], None) for i, one in enumerate(seen)]


def _bend(seen, theta):
    """A walk's steps on both sides of where it found the valley, as pairs of the upper level."""
    pairs = []
    for a, b in zip(seen, seen[1:], strict=False):
        if b[0] <= theta[LEVEL] <= a[0]:
            step, change = np.zeros((2, len(theta)))
            step[LEVEL], change[LEVEL] = b[0] - a[0], b[2] - a[2]
            pairs.append(light(step, change))
    return tuple(pairs)


def _valley(seen):
    """Level of the lowest value that a walk's values and slopes promise, and what was kept there.

    Between neighbours the value is taken for the cubic through their values and slopes
    (Hermite), so a valley narrower than a step of the walk is not stepped over.
    """
    level, lowest, _, kept = min(seen, key=lambda one: one[1])
    t = np.linspace(0.0, 1.0, 21)
    for a, b in zip(seen, seen[1:], strict=False):
        h = a[0] - b[0]
        cubic = (1 + 2 * t) * (1 - t) ** 2 * a[1] + t**2 * (3 - 2 * t) * b[1]
        cubic += h * (t**2 * (1 - t) * b[2] - t * (1 - t) ** 2 * a[2])
        if cubic.min() < lowest:
            lowest, at = cubic.min(), int(cubic.argmin())
            nearer = a if 2 * at < len(t) else b
            level, kept = a[0] - h * t[at], kept if nearer[3] is None else nearer[3]
    return level, kept


# root mean square prediction, in logits or deviations of the targets, that counts as nothing fitted
_NOTHING = 0.02


def _null_level(stack, problem, theta):
    """A level so high that nothing is fitted, and no higher than it takes to see that.

    There the first step from zero coefficients, which falls as the level rises, is the fit.
    """
    theta = theta.copy()
    theta[LEVEL] = 0.0
    log_alpha = problem.penalty.log_alpha(theta)
    data, d = stack.data, log_alpha.shape[1]
    step = data.train_gradient(data.at(np.zeros((data.n_stack, data.n_outputs, data.n_columns))))
    step[..., d:] = 0.0
    # then the whole trace of X'X decides
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        step[..., :d] *= np.exp(-log_alpha)[:, None]
        first = float(np.log(data.spread(step).max() / _NOTHING))
    trace = float(np.log(stack.n_rows) + np.logaddexp.reduce(-log_alpha.mean(axis=0)))
    return min(first, trace) if np.isfinite(first) else trace


def level_bounds(stack):
    """Smallest and largest common level, in the units of theta."""
    s = stack.tuned_log_variance
    low, high = np.log(stack.spec.bounds)
    return low + float(s.min()), high + float(s.max())
