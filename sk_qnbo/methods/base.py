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
    goal : float
        Residual beyond which the method does not try to go; 0 where it goes on and on.
    w : ndarray of shape (n_stack, n_lower), optional
        Where the lower level stands, if there is no ``point``.
    """

    value: float
    gradient: np.ndarray
    point: object
    residual: float
    n_iter: int
    memory: object
    goal: float = 0.0
    w: np.ndarray | None = None

    def place(self, problem):
        """Point of the lower level in ``problem``; one that saw a batch only left an array."""
        return problem.at(self.w) if self.point is None else self.point


class Method:
    """``start`` makes a memory, ``estimate`` is pure: same arguments, same answer.

    A method owns no loop over theta.

    Attributes
    ----------
    accuracy : float
        Relative error of the hypergradient that it promises when theta is held still, on a
        well-conditioned problem; 1 promises no more than a direction downhill.
    noisy : bool
        Whether estimates are random, so that ``accuracy`` speaks of their mean.
    upper : str
        The step of theta it is meant to be used with, a name in ``UPPER_STEPS``.
    cost : dict
        Most calls of each oracle that one estimate makes once it has started; a call on a batch
        counts as the batch's share.
    cost_of_scale : dict
        The same, besides: what step lengths cost where theta does not enter the lower Hessian
        through a diagonal alone. More where a coordinate of theta leapt.
    coordinates : tuple of str
        Coordinates of the lower level that it bears, of those that a problem may offer
        (``BilevelProblem.coordinates``); all but "fixed" follow theta.
    """

    accuracy = 1e-6
    coordinates = ("fixed",)
    noisy = False
    upper = "lbfgs"
    cost = {}
    cost_of_scale = {}

    def start(self, problem, theta, seed=0, w=None):
        """Memory before the first estimate.

        All randomness comes from ``seed`` (an int). The lower level begins at the array ``w``,
        which is ``problem.initial()`` unless one is given.
        """
        raise NotImplementedError

    def estimate(self, problem, theta, memory):
        raise NotImplementedError
