"""What the methods of gradient steps share: where they stand, steps, linear systems."""

from dataclasses import dataclass, replace

import numpy as np

from ..curvature.base import dot
from ..solvers.linear_systems import conjugate_gradients
from .base import Method
from .sampling import Draws
from .scale import Scale, bound_of

_TINY = np.finfo(float).tiny
# relative residual at which conjugate gradients only stir what is left of a flat direction
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Place:
    """Where the last theta left the lower level and the adjoint, as arrays.

    Attributes
    ----------
    w, u : ndarray of shape (n_stack, n_lower)
    scale : Scale
    seed, count : int
        What the next draws are made of.
    extra : object
        What one method alone keeps (a table of gradients, a second lower variable).
    """

    w: np.ndarray
    u: np.ndarray
    scale: Scale
    seed: int = 0
    count: int = 0
    extra: object = None

    def moved(self, w, u, extra=None):
        """The place after one more estimate."""
        return replace(self, w=w, u=u, extra=extra, count=self.count + 1)


def lower_residual(problem, g, steps):
    """Root of ``g' diag(steps) g / unit``, the largest of the stack."""
    return float(np.sqrt(np.maximum(dot(g * steps, g), 0.0) / problem.unit).max())


def adjoint_residual(r, b, steps):
    """Size of ``r = b - H u`` beside ``b``, the largest of the stack."""
    return float(np.sqrt(dot(r * steps, r) / np.maximum(dot(b * steps, b), _TINY)).max())


def gradient_steps(draws, theta, w, b, u, steps, n):
    """``u <- u - steps (H u - b)``, n times, each with a batch's Hessian at ``w``.

    From ``u = None`` (zero) these are the first n terms of the Neumann series of ``H^-1 b``.
    """
    if u is None and n > 0:
        u, n = steps * b, n - 1
    for _ in range(n):
        part, point = draws(w)
        u = u - steps * (part.hvp(theta, point, u) - b)
    return np.zeros_like(b) if u is None else u


class _Diagonal:
    """The step lengths in the place of a start matrix: a preconditioner."""

    def __init__(self, steps):
        self.steps, self.factor = steps, self

    def solve(self, v):
        return self.steps * v


def conjugate_steps(draws, theta, w, b, u, steps, n):
    """Conjugate gradients from ``u`` (None is zero) that spend n products with one Hessian."""
    if n == 0:
        return np.zeros_like(b) if u is None else u
    part, point = draws(w)
    u = np.zeros_like(b) if u is None else u
    return conjugate_gradients(part, theta, point, b, _Diagonal(steps), u, _ROUNDING, n).u


SYSTEMS = {"gd": gradient_steps, "cg": conjugate_steps}


@dataclass(frozen=True)
class Descent(Method):
    """Settings of every method that fits by gradient steps.

    Parameters
    ----------
    rel_step : float
        Length of the steps; 1 is safe for the whole problem, batches may ask for less.
    decay : float
        Steps of the k-th estimate are divided by ``(1 + k / 100) ** decay``.
    batch_size : int or None
        Terms (rows) a step sees; None is all of them.
    n_warm : int
        Steps of the lower level and of the adjoint, on everything, before the first estimate:
        ``w = 0`` is a stationary point of most penalty problems.
    """

    rel_step: float = 1.0
    decay: float = 0.0
    batch_size: int | None = None
    n_warm: int = 20
    accuracy: float = 1e-3
    upper: str = "lbfgs"

    # whether steps go along sums of both levels, so that the upper curvature counts too
    both_levels = False

    @property
    def noisy(self):
        return self.batch_size is not None

    @property
    def cost_of_scale(self):
        return {"hvp": 2}

    def start(self, problem, theta, seed=0, w=None):
        cold = problem.initial()
        w = cold if w is None else w
        memory = Place(w, np.zeros_like(w), Scale.of(problem, theta, cold), int(seed))
        steps, draws = self.steps(problem, theta, memory), Draws(problem, None)
        w, _ = self.descend(draws, theta, w, steps, self.n_warm)
        part, point = draws(w)
        b = part.upper(theta, point)[2]
        u = gradient_steps(draws, theta, w, b, None, steps, self.n_warm)
        scale = memory.scale.at(draws, theta, memory.w)
        if self.both_levels:
            scale = scale.with_bend(draws, theta, w, 10)
        return replace(memory, w=w, u=u, scale=scale)

    def begin(self, problem, theta, memory):
        """The memory with scales that hold at ``theta``, step lengths, and batches to draw."""
        draws = Draws(problem, self.batch_size, memory.seed, memory.count)
        scale = memory.scale.moved(draws, theta, memory.w, self.both_levels)
        memory = replace(memory, scale=scale)
        return memory, self.steps(problem, theta, memory), draws

    def steps(self, problem, theta, memory):
        """Step lengths ``(n_stack, n_lower)``."""
        fallen = self.rel_step / (1.0 + memory.count / 100.0) ** self.decay
        return fallen / (memory.scale.overlap * bound_of(problem, theta))

    def descend(self, draws, theta, w, steps, n):
        """The array after n gradient steps from ``w``, and the points and arrays before it."""
        path = []
        for _ in range(n):
            part, point = draws(w)
            path.append((part, point))
            w = w - steps * part.lower(theta, point)[1]
        return w, path


@dataclass(frozen=True)
class Seen:
    """What one batch says at ``w``: upper value and gradients, lower gradient."""

    value: float
    grad_theta: np.ndarray
    b: np.ndarray
    g: np.ndarray

    @classmethod
    def of(cls, part, theta, point):
        return cls(*part.upper(theta, point), part.lower(theta, point)[1])

    def corrected(self, u):
        """``f(w*) = f(w) - u'g`` up to second order: the adjoint pays what the fit still owes."""
        return self.value - float(dot(u, self.g).sum())
