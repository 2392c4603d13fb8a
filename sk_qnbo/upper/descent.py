"""Theta moves by plain steps along the gradient, or along its moving average."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class DescentState:
    """The last theta, and what was learnt on the way.

    Attributes
    ----------
    theta, gradient : ndarray of shape (n_upper,)
    value : float
    step : ndarray of shape (n_upper,)
        Where theta goes next.
    decrease : float
        What the step promises.
    unit : float
        Size of the first value: a step is relative to it.
    count : int
    direction, square : ndarray of shape (n_upper,)
        Averages of the gradient and of its square, as far as a step keeps them.
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    step: np.ndarray
    decrease: float = np.inf
    unit: float = 1.0
    count: int = 0
    direction: np.ndarray | None = None
    square: np.ndarray | None = None


class SteadyStep:
    """A step that takes every estimate as it comes: nothing is judged, nothing goes back.

    A subclass writes ``aim(state, gradient) -> state`` with a new ``step``.
    """

    max_move = 3.0

    def begin(self, theta, value, gradient, box):
        """State after the first estimate."""
        none = np.zeros_like(theta)
        unit = max(abs(value), np.finfo(float).tiny)
        state = DescentState(theta, value, gradient, none, unit=unit, direction=none, square=none)
        return self._next(state, theta, value, gradient, box)

    def advance(self, state, theta, value, gradient, box, noise=0.0):
        """State after the next estimate."""
        return self._next(state, theta, value, gradient, box)

    def exhausted(self, state):
        return False

    def trial(self, state, box):
        return box.clip(state.theta + state.step)

    def _next(self, state, theta, value, gradient, box):
        state = replace(state, theta=theta, value=value, gradient=gradient, count=state.count + 1)
        projected = box.projected(theta, gradient)
        state = self.aim(state, projected)
        step = np.clip(state.step, -self.max_move, self.max_move)
        # an average may push against a bound that the gradient has begun to leave: no rest there
        promised = float(np.abs(step * projected).sum())
        return replace(state, step=box.clip(theta + step) - theta, decrease=promised)


@dataclass(frozen=True)
class UpperDescent(SteadyStep):
    """``theta <- theta - step / |first value| h``, ``h <- (1 - average) h + average gradient``.

    Relative to the first value, so that the step does not depend on the units of the loss.

    Parameters
    ----------
    step : float
    average : float
        1 is plain descent; less the moving average of MA-SOBA (Chen, Xiao, Balasubramanian, arXiv
        2306.12067, algorithm 1), begun at the first gradient.
    decay : float
        The k-th step is divided by ``(1 + k / 100) ** decay``.
    max_move : float
        Largest change of a coordinate: one step of the lower level must be able to follow.
    """

    step: float = 1.0
    average: float = 1.0
    decay: float = 0.6
    max_move: float = 0.1

    def aim(self, state, gradient):
        share = 1.0 if state.count == 1 else self.average
        h = (1.0 - share) * state.direction + share * gradient
        size = self.step / state.unit / (1.0 + state.count / 100.0) ** self.decay
        return replace(state, direction=h, step=-size * h)


@dataclass(frozen=True)
class UpperAdam(SteadyStep):
    """Adam (Kingma, Ba, ICLR 2015, arXiv 1412.6980, algorithm 1): steps of about one length.

    Parameters
    ----------
    step : float
        Largest change of a coordinate (theta is a logarithm), about.
    decay : float
        The k-th step is divided by ``k ** decay``.
    beta1, beta2 : float
        How much of the averages of gradient and square is kept.
    """

    step: float = 0.3
    decay: float = 0.5
    beta1: float = 0.9
    beta2: float = 0.99
    max_move: float = 3.0

    def aim(self, state, gradient):
        m = self.beta1 * state.direction + (1.0 - self.beta1) * gradient
        v = self.beta2 * state.square + (1.0 - self.beta2) * gradient**2
        m_hat, v_hat = m / (1.0 - self.beta1**state.count), v / (1.0 - self.beta2**state.count)
        size = np.sqrt(v_hat) + 1e-8 * state.unit
        step = -self.step / state.count**self.decay * m_hat / size
        return replace(state, direction=m, square=v, step=step)
