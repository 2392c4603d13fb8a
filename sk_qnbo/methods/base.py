"""The contract of a bilevel method: from theta and a memory to a value and its gradient."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """What a method says of the upper objective at one theta.

    Attributes
    ----------
    value : float
    gradient : ndarray of shape (n_upper,)
        The hypergradient ``grad_theta f - cross(theta, w, u)``.
    point : point of the problem
        Where the lower level stands.
    residual : float
        The larger of the lower residual and the adjoint's relative residual.
    n_iter : int
        Lower iterations spent.
    memory : object
        What the method wants back at the next theta.
    """

    value: float
    gradient: np.ndarray
    point: object
    residual: float
    n_iter: int
    memory: object
    goal: float = 0.0


class Method:
    """``start`` makes a memory, ``estimate`` is pure: same arguments, same answer.

    A method owns no loop over theta. ``accuracy`` is the relative error of the
    hypergradient that it promises when theta is held still.
    """

    accuracy = 1e-6

    def start(self, problem, theta, seed=0):
        raise NotImplementedError

    def estimate(self, problem, theta, memory):
        raise NotImplementedError
