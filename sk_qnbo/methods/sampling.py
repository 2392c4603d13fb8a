"""Batches of a problem, drawn by a seed and a counter, so that estimates stay pure."""

import numpy as np


def n_parts(problem, batch_size):
    """Into how many batches of about ``batch_size`` terms a problem falls; None is one."""
    if batch_size is None:
        return 1
    if not batch_size >= 1:
        raise ValueError(
            f"batch_size must be None (everything) or at least 1 term, got {batch_size!r}."
        )
    return min(max(round(problem.n_terms / batch_size), 1), problem.n_terms)


class Draws:
    """A stream of batches, each with the point at an array of the lower level.

    Where there is one part only, it is the problem itself, and the last point is remembered.

    Parameters
    ----------
    problem : BilevelProblem
    batch_size : int or None
    seed : int
    count : int
        Estimates drawn for so far: the stream is a function of ``(seed, count)`` alone.
    """

    def __init__(self, problem, batch_size, seed=0, count=0):
        self.problem, self.n_parts = problem, n_parts(problem, batch_size)
        self._key, self._generator = (seed, count), None
        self._w, self._point = None, None

    @property
    def whole(self):
        return self.n_parts == 1

    @property
    def rng(self):
        """The generator that everything random of this estimate comes from."""
        if self._generator is None:
            self._generator = np.random.default_rng(self._key)
        return self._generator

    def index(self):
        """A part drawn at random."""
        return 0 if self.whole else int(self.rng.integers(self.n_parts))

    def part(self, index, w):
        """Part ``index`` and its point at the array ``w``."""
        if not self.whole:
            some = self.problem.batch(index, self.n_parts)
            return some, some.at(w)
        if self._w is not w:
            self._w, self._point = w, self.problem.at(w)
        return self.problem, self._point

    def __call__(self, w):
        """A part drawn at random and its point at ``w``."""
        return self.part(self.index(), w)

    def place(self, w):
        """The point of the problem at ``w`` where it costs nothing, else None."""
        return self.part(0, w)[1] if self.whole else None
