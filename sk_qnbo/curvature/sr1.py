"""The inverse symmetric rank-one matrix."""

from dataclasses import dataclass

import numpy as np

from .base import Curvature, dot

# Nocedal and Wright (2006), eq. 6.26: a smaller denominator would blow the update up
_EPS = 1e-8


@dataclass(frozen=True)
class SR1(Curvature):
    """``H <- H + p p' / p'y`` with ``p = s - H y``; it need not be positive definite."""

    def _term(self, s, y):
        p = s - self.solve(y)
        py = dot(p, y)
        least = np.maximum(_EPS * np.sqrt(dot(p, p) * dot(y, y)), np.finfo(float).tiny)
        good = np.abs(py) > least
        return p, np.where(good, 1.0 / np.where(good, py, 1.0), 0.0)

    def _without_oldest(self):
        # each term was made with the matrix of the terms before it
        new = self.emptied()
        for s, a in self.pairs[1:]:
            new = new.update(s, a + self.diagonal * s)
        return new

    def solve(self, v):
        r = self.factor.solve(v)
        for p, scale in self.terms:
            r = r + (scale * dot(p, v))[:, None] * p
        return r
