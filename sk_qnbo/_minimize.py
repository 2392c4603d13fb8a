"""The only upper loop, and the judge that compares its results on one scale."""

import time
from dataclasses import dataclass, field, replace
from numbers import Integral, Real

import numpy as np

from .methods import METHODS, QNBO, Method
from .methods.qnbo import QNBOMemory
from .problems.counting import CountedProblem
from .upper import UPPER_STEPS, Box


@dataclass(frozen=True)
class BilevelResult:
    """Outcome of :func:`minimize_bilevel`.

    Attributes
    ----------
    theta : ndarray of shape (n_upper,)
    value : float
        Upper value at ``theta``, re-solved by :func:`judge`.
    gradient : ndarray of shape (n_upper,)
    w : ndarray of shape (n_stack, n_lower)
    residual : float
        Residual of the lower level and the adjoint at ``theta``.
    stationarity : float
        Largest entry of the gradient among coordinates that the bounds leave free.
    n_iter : int
        Steps of theta.
    converged : bool
    message : str
    history : list of dict
        One row an estimate: value, gradient norm, residual, lower iterations, products, seconds.
    memory : object
        What the method learnt; hand it to the next call to start warm.
    point : point of the problem
        Where the lower level stands.
    upper_state : object
        Where the upper step stands.

    Notes
    -----
    Printed, it is a summary; the fields hold the arrays.
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    w: np.ndarray
    residual: float
    stationarity: float
    n_iter: int
    converged: bool
    message: str
    history: list = field(default_factory=list)
    memory: object = None
    point: object = None
    upper_state: object = None

    def __repr__(self):
        theta = np.array2string(self.theta, precision=4, threshold=8, edgeitems=3)
        return (
            f"BilevelResult({self.message}: value {self.value:.6g}, stationarity "
            f"{self.stationarity:.1e}, residual {self.residual:.1e}, n_iter {self.n_iter}, "
            f"converged {self.converged}, theta {theta} of {self.theta.size}, w {self.w.shape})"
        )


def resolve_method(method):
    """A :class:`Method` from its registry name, or itself."""
    if isinstance(method, Method):
        return method
    if method not in METHODS:
        raise ValueError(f"method must be one of {sorted(METHODS)} or a Method, got {method!r}.")
    return METHODS[method]


def resolve_upper(upper):
    """An upper step from its registry name, or itself."""
    if not isinstance(upper, str):
        return upper
    if upper not in UPPER_STEPS:
        raise ValueError(f"upper must be one of {sorted(UPPER_STEPS)} or a step, got {upper!r}.")
    return UPPER_STEPS[upper]


def minimize_bilevel(
    problem,
    theta0,
    *,
    method="qnbo-bfgs",
    upper=None,
    bounds=None,
    max_iter=100,
    tol=1e-5,
    max_time=None,
    callback=None,
    memory=None,
    random_state=0,
    final=True,
):
    """Minimise the upper objective of a bilevel problem over theta.

    Parameters
    ----------
    problem : BilevelProblem
    theta0 : array-like of shape (n_upper,)
        Where theta begins: finite numbers.
    method : str or Method
        How the hypergradient is estimated; a name in ``sk_qnbo.METHODS``.
    upper : str or object, optional
        How theta moves; a name in ``sk_qnbo.upper.UPPER_STEPS``. None is the step that the method
        is meant to be used with.
    bounds : tuple of two array-likes (low, high), optional
        A coordinate with ``low == high`` stands still.
    max_iter : int
        Steps of theta, at most.
    tol : float
        Stop when the next step promises to lower the upper value by less than ``tol``
        times that value (or than the estimates can resolve), *and* the estimate's residual is
        at most ``sqrt(tol)`` (or near the method's own goal).
    max_time : float, optional
        Seconds after which the best theta so far is returned.
    callback : callable, optional
        Called with the history row after every estimate; True stops the loop.
    memory : object, optional
        Memory of an earlier result on the same problem.
    random_state : int, RandomState instance or None
        Seed of a stochastic method; the others do not use it.
    final : bool
        Whether :func:`judge` re-solves the result to high accuracy; and ``theta0`` too, where
        values cannot be trusted or did not fall, by the judge's, to return the better of both.

    Returns
    -------
    BilevelResult

    Raises
    ------
    ValueError
        For a method or an upper step that is not in its registry, a ``theta0`` or bounds that do
        not fit the problem, and limits that are no numbers, zero or more.
    """
    _check_limits(max_iter, tol)
    method, counted = resolve_method(method), CountedProblem(problem)
    seed = random_state
    if not isinstance(seed, Integral):
        seed = int((np.random if seed is None else seed).randint(2**31 - 1))
    step = resolve_upper(method.upper if upper is None else upper)
    theta = _theta(theta0, problem)
    box = Box(*_bounds(bounds, theta))
    first = theta = box.clip(theta)
    memory = method.start(counted, theta, seed) if memory is None else memory
    begun, state, best, history = time.perf_counter(), None, None, []
    message, converged, restarts = f"stopped at max_iter={max_iter}", False, 3
    for n_iter in range(max_iter + 1):  # noqa: B007 (how far it got is told)
        seen = method.estimate(counted, theta, memory)
        memory = seen.memory
        if state is None:
            state = step.begin(theta, seen.value, seen.gradient, box)
        else:
            noise = _fineness(tol, best) * abs(state.value)
            state = step.advance(state, theta, seen.value, seen.gradient, box, noise)
        if state.theta is theta:
            best = seen
        row = _row(seen, theta, box, counted, begun)
        history.append(row)
        stop = callback is not None and callback(row)
        small = state.decrease <= max(tol, _fineness(tol, best)) * max(abs(state.value), 1e-12)
        accurate = best.residual <= max(np.sqrt(tol), _ROUGH if best.goal > 0 else 0.0)
        if small and accurate:
            message, converged = "the next step promises less than tol", True
            break
        if step.exhausted(state):
            if accurate or restarts == 0 or n_iter == max_iter:
                message, converged = "no step lowers the value any more", accurate
                break
            # the estimates were too rough to judge a step: look again from the best theta
            theta, state, restarts = state.theta, None, restarts - 1
            continue
        if stop or (max_time is not None and row["seconds"] >= max_time):
            message = "stopped by the callback" if stop else f"stopped at max_time={max_time:g} s"
            break
        theta = step.trial(state, box)
    point = best.place(problem)
    result = BilevelResult(
        theta=state.theta,
        value=state.value,
        gradient=state.gradient,
        w=problem.array(point),
        residual=best.residual,
        stationarity=float(np.abs(box.projected(state.theta, state.gradient)).max(initial=0.0)),
        n_iter=n_iter,
        converged=bool(converged),
        message=message,
        history=history,
        memory=best.memory,
        point=point,
        upper_state=state,
    )
    start = first, method, seed
    return _finished(problem, result, best, tol, start) if final else result


def _finished(problem, result, best, tol, start):
    """The result re-solved, or the better of it and where it began if its values went astray."""
    trusted = best.goal > 0 or best.residual <= np.sqrt(tol)
    first = result.history[0]["value"]
    if trusted and result.value <= first:
        result = judge(problem, result) if result.residual > _SHARP else result
        if result.value <= first + tol * abs(first):
            return result
    return _finalist(problem, result, *start)


def _finalist(problem, result, theta0, method, seed):
    """The better of where a method of rough values or steps ended and where it began."""
    judged, begun = judge(problem, result), judge(problem, replace(result, theta=theta0))
    if judged.value <= begun.value:
        return judged
    memory = method.start(problem, theta0, seed, begun.w)
    message = f"{result.message}; no better than where it began, which is kept"
    return replace(begun, memory=memory, message=message)


# residual that the judge asks for; a result that has it already is not solved again
_SHARP = 1e-8


def judge(problem, result, tol=_SHARP):
    """Re-solve the lower level and the adjoint at ``result.theta`` and score it there.

    Methods leave the lower level at different accuracies; only values that
    went through the judge can be compared.

    Parameters
    ----------
    problem : BilevelProblem
    result : BilevelResult
    tol : float
        Lower residual asked for.

    Returns
    -------
    BilevelResult
        With value, gradient, ``w`` and residual of the sharp solution.
    """
    sharp = QNBO(tol=tol, adjoint_tol=max(tol, 1e-6), n_refine=100, max_iter=1000)
    start = result.memory.start if isinstance(result.memory, QNBOMemory) else None
    seen = sharp.estimate(problem, result.theta, QNBOMemory(result.point, start))
    if not seen.residual <= _ROUGH:  # a method that ran away left it where there is no way back
        seen = sharp.estimate(problem, result.theta, sharp.start(problem, result.theta))
    return replace(
        result,
        value=seen.value,
        gradient=seen.gradient,
        w=problem.array(seen.point),
        point=seen.point,
        residual=seen.residual,
    )


# residual of a gradient that still points the right way; a method that has reached its goal or
# spent its budget cannot do better, so waiting for it would be in vain
_ROUGH = 0.1


def _fineness(tol, seen):
    """Relative differences of the value below this are noise of the estimates.

    The value is corrected by the adjoint, so its error is of second order in the residual; a
    method that goes on to sharper estimates (no goal) is given the time.
    """
    reached = min(seen.residual, _ROUGH) if seen.goal > 0 else 0.0
    return max(0.1 * reached**2, 1e-3 * tol)


def _check_limits(max_iter, tol):
    for name, value, kind, rule in (
        ("max_iter", max_iter, Integral, "a whole number"),
        ("tol", tol, Real, "a number"),
    ):
        if isinstance(value, bool) or not isinstance(value, kind) or not value >= 0:
            raise ValueError(f"{name} must be {rule}, zero or more; got {value!r}.")


def _theta(theta0, problem):
    """A copy of where theta begins, checked: one finite number for each upper variable."""
    try:
        theta = np.array(theta0, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"theta0 must hold numbers; got {theta0!r}. Give an array of shape (n_upper,)."
        ) from error
    wanted = getattr(problem, "n_upper", None)
    if theta.ndim != 1 or len(theta) != (len(theta) if wanted is None else wanted):
        rule = "one axis" if wanted is None else f"shape ({wanted},), as problem.n_upper={wanted}"
        raise ValueError(
            f"theta0 must have {rule}; got shape {theta.shape}. Give one number for each upper "
            "variable."
        )
    if not np.isfinite(theta).all():
        j = int(np.argmin(np.isfinite(theta)))
        raise ValueError(
            f"theta0 must be finite; got {theta[j]} for coordinate {j}. Give a start at which the "
            "lower level can be solved, zeros for instance."
        )
    return theta


def _bounds(bounds, theta):
    if bounds is None:
        return np.full_like(theta, -np.inf), np.full_like(theta, np.inf)
    low, high = (np.broadcast_to(np.asarray(b, dtype=float), theta.shape) for b in bounds)
    if not (low <= high).all():  # so that NaN is told too
        j = int(np.argmin(low <= high))
        raise ValueError(
            f"bounds: the lower bound of coordinate {j} ({low[j]:g}) is not at or below its upper "
            f"bound ({high[j]:g}); give low <= high (equal bounds hold a coordinate still)."
        )
    return low, high


def _row(seen, theta, box, counted, begun):
    projected = box.projected(theta, seen.gradient)
    return {
        "value": seen.value,
        "gradient_norm": float(np.linalg.norm(projected)),
        "residual": seen.residual,
        "lower_iterations": seen.n_iter,
        "products": counted.products,
        "seconds": time.perf_counter() - begun,
    }
