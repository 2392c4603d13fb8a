"""HOAG's adaptive step: a constant that grows and shrinks with what the last move brought."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class HoagState:
    """The last theta that was kept, the step from it, and the guess of the Lipschitz constant."""

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    step: np.ndarray
    lipschitz: float
    decrease: float = np.inf
    failures: int = 0


@dataclass(frozen=True)
class UpperHOAG:
    """``theta <- theta - gradient / L`` with L from the values seen (Pedregosa, ICML 2016).

    arXiv 1602.02355, section on the adaptive step, once a theta (their code moves twice). L starts
    so that the first move is one per coordinate in the root mean square. With d the length of the
    last move and the value accurate to ``noise``: a decrease beyond ``L d^2`` lets L fall by 5 %; a
    value a fifth above the last takes the move back and doubles L.

    Parameters
    ----------
    first_move : float
        Root mean square of the first move.
    max_move : float
        Largest change of a coordinate.
    """

    first_move: float = 1.0
    max_move: float = 3.0
    max_failures: int = 20

    def begin(self, theta, value, gradient, box):
        size = np.linalg.norm(box.projected(theta, gradient)) / np.sqrt(max(len(theta), 1))
        # a first gradient near zero says nothing of the scale
        lipschitz = max(size, 1e-3 * abs(value)) / self.first_move
        state = HoagState(theta, value, gradient, np.zeros_like(theta), max(lipschitz, 1e-300))
        return self._aim(state, box)

    def advance(self, state, theta, value, gradient, box, noise=0.0):
        length = float(np.linalg.norm(theta - state.theta))
        if value >= state.value + 0.2 * abs(state.value) + noise:
            worse = replace(state, lipschitz=2.0 * state.lipschitz, failures=state.failures + 1)
            return self._aim(worse, box)
        enough = noise * (0.25 + 1.25 * length) - state.lipschitz * length**2
        factor = 0.95 if value <= state.value + enough else 1.0
        kept = replace(
            state,
            theta=theta,
            value=value,
            gradient=gradient,
            lipschitz=factor * state.lipschitz,
            failures=0,
        )
        return self._aim(kept, box)

    def exhausted(self, state):
        return state.failures > self.max_failures

    def trial(self, state, box):
        return box.clip(state.theta + state.step)

    def _aim(self, state, box):
        step = -box.projected(state.theta, state.gradient) / state.lipschitz
        step = np.clip(step, -self.max_move, self.max_move)
        return replace(state, step=step, decrease=-float(step @ state.gradient))
