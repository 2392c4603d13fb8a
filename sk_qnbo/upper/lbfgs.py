"""Projected limited-memory BFGS on theta, one estimate a step."""

from dataclasses import dataclass, field, replace

import numpy as np

from ..curvature.base import light

# smallest slope beside the largest that scales a coordinate of its own
_FLATTEST = 1e-2
# least part of the largest move that is trusted
_SHORTEST = 1e-3
# part by which a slope must have grown along a step for the value to have fallen ever faster
_FASTER = 1e-3


@dataclass(frozen=True)
class LBFGSState:
    """The best theta so far, the step under trial, the pairs.

    ``concave`` says whether a step ever was, ``reach`` which part of ``max_move`` is trusted.
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    step: np.ndarray
    pairs: tuple = ()
    decrease: float = np.inf
    failures: int = 0
    concave: bool = False
    reach: float = 1.0


@dataclass(frozen=True)
class UpperLBFGS:
    """Limited-memory BFGS in the free coordinates, backtracking by quadratic interpolation.

    Bertsekas (1982), two-metric projection: coordinates at a bound that the
    gradient pushes further out take no part.

    An accepted step along which the value is concave tells of plateaus: theta is a logarithm, and
    far out both slope and curvature of a coordinate fall like ``exp(-|theta|)``. From then on the
    start matrix is ``1 / |gradient|``, coordinate by coordinate, so that those far out keep up; and
    the step behind one along which the value fell ever faster is at least twice as long.

    Parameters
    ----------
    n_pairs : int
    max_move : float or ndarray of shape (n_upper,)
        Largest change of a coordinate in one step (theta is a logarithm).
    first_move : float or ndarray of shape (n_upper,)
        The same for its first step; without any pairs that is along the gradient, and as long.
    pairs : tuple of (step, change of the gradient)
        From a run on a like problem; with them the first step is a quasi-Newton step.
    precision : float or ndarray of shape (n_upper,)
        Curvature that is known, of a prior. A coordinate that no pair has moved is taken to have
        this and its slope.
    """

    n_pairs: int = 10
    max_move: float | np.ndarray = field(default=3.0, compare=False)
    first_move: float | np.ndarray = field(default=1.0, compare=False)
    max_failures: int = 8
    pairs: tuple = ()
    precision: float | np.ndarray = field(default=0.0, compare=False)

    def begin(self, theta, value, gradient, box):
        """State after the first estimate."""
        return self._aim(LBFGSState(theta, value, gradient, np.zeros_like(theta), self.pairs), box)

    def advance(self, state, theta, value, gradient, box, noise=0.0):
        """State after the estimate at a trial theta: accepted, or a shorter step.

        Values closer than ``noise`` cannot be told apart.
        """
        move = theta - state.theta
        promised = float(state.gradient @ move)
        if promised >= 0 and move.any():
            # the bounds cut off what made the step go downhill: come closer on the projected arc
            return replace(state, step=0.25 * state.step, failures=state.failures + 1)
        if value <= state.value + 1e-4 * promised + noise:
            y = gradient - state.gradient
            good = float(move @ y) > 1e-10 * np.linalg.norm(move) * np.linalg.norm(y)
            pairs = (*state.pairs, light(move, y))[-self.n_pairs :] if good else state.pairs
            concave = state.concave or not good
            # where a step had to be shortened, the next is no more than twice as long
            moved = float((np.abs(move) / self.max_move).max())
            trusted = 2.0 * moved if state.failures else max(state.reach, 2.0 * moved)
            reach = min(max(trusted, _SHORTEST), 1.0)
            new = LBFGSState(theta, value, gradient, move, pairs, concave=concave, reach=reach)
            new = self._aim(new, box)
            faster = value < state.value - noise and float(move @ y) < _FASTER * promised
            return self._stretched(new, min(2.0 * moved, reach)) if faster else new
        bend = value - state.value - promised
        shrink = np.clip(-promised / (2.0 * bend), 0.1, 0.5) if bend > 0 else 0.5
        # what the shorter step promises: less than counts, where the estimates' noise was followed
        left = min(state.decrease, -shrink * promised)
        return replace(state, step=shrink * move, decrease=left, failures=state.failures + 1)

    def _stretched(self, state, part):
        """The next step, at least ``part`` of the largest move long.

        Where the value fell ever faster, there is no curvature to go by, and what older pairs say
        of the length is too short. It then falls by more than the slope promises.
        """
        far = float((np.abs(state.step) / self.max_move).max(initial=0.0))
        longer = max(part / far, 1.0) if far > 0 else 1.0
        return replace(state, step=longer * state.step, decrease=longer * state.decrease)

    def exhausted(self, state):
        """Whether no step along the last direction helped."""
        return state.failures > self.max_failures

    def trial(self, state, box):
        return box.clip(state.theta + state.step)

    def _aim(self, state, box):
        """State with the next step: one part in the span of the pairs, one along what is new.

        Each goes downhill by itself.
        """
        free = box.free(state.theta, state.gradient)
        g = np.where(free, state.gradient, 0.0)
        # pairs are masked where they serve: copies of all would double what they take of the memory
        pairs = [(s, y, float((free * s) @ y)) for s, y in state.pairs]
        pairs = [pair for pair in pairs if pair[2] > 0]
        known = np.zeros_like(free)
        for s, _, _ in pairs:
            known |= free & (s != 0.0)
        scale = _scale(g) if state.concave else np.ones_like(g)
        d = self._known_step(np.where(known, g, 0.0), known, pairs, scale)
        d = d + self._first_step(np.where(known, 0.0, g), pairs, scale)
        d = d / max((np.abs(d) / self.max_move).max(initial=0.0) / state.reach, 1.0)
        return replace(state, step=d, decrease=-float(d @ g), failures=0)

    def _first_step(self, g, pairs, scale):
        """Along coordinates that no pair has moved: the size of such a step is a guess."""
        d = -scale * g
        if pairs:  # of others
            floor = max(_FLATTEST * np.abs(g).max(initial=0.0), 1e-300)
            d = -g / np.maximum(self.precision + np.abs(g), floor)
        far = (np.abs(d) / self.first_move).max(initial=0.0)
        return d / (max(far, 1.0) if pairs or far == 0.0 else far)

    def _known_step(self, g, known, pairs, scale):
        """The quasi-Newton step in the coordinates that pairs have moved (two-loop recursion)."""
        kept, q = [], g.copy()
        for s, y, sy in reversed(pairs):
            a = float(s @ q) / sy
            q -= a * np.where(known, y, 0.0)
            kept.append(a)
        q *= scale
        if pairs:
            _, y, sy = pairs[-1]
            y = np.where(known, y, 0.0)
            q *= sy / float(y @ (scale * y))
        for (s, y, sy), a in zip(pairs, reversed(kept), strict=True):
            q += (a - float(y @ q) / sy) * np.where(known, s, 0.0)
        return -q if float(q @ g) > 0 else -g


def _scale(gradient):
    """Start matrix of a way with plateaus: the curvature of a coordinate is about its slope."""
    slopes = np.abs(gradient)
    return 1.0 / np.maximum(slopes, max(_FLATTEST * slopes.max(initial=0.0), 1e-300))
