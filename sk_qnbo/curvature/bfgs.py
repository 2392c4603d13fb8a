"""The inverse BFGS matrix by the two-loop recursion, whole or with limited memory."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .base import Curvature, dot

# a pair is refused where s'y is round-off beside |s||y|
_EPS = 1e-10


@dataclass(frozen=True)
class BFGS(Curvature):
    """BFGS with all its pairs (``limit=None``) or the newest ``limit`` (L-BFGS).

    Two-loop recursion of Nocedal (1980); a refused pair has ``rho = 0`` and so
    leaves the recursion as it was, for that member of the stack alone.
    """

    def _term(self, s, y):
        sy = dot(s, y)
        good = sy > np.maximum(_EPS * np.sqrt(dot(s, s) * dot(y, y)), np.finfo(float).tiny)
        return s, y, np.where(good, 1.0 / np.where(good, sy, 1.0), 0.0)

    def square(self, v, solved):
        return dot(v, solved)

    @cached_property
    def _size(self):
        """Size of the start matrix; a rough one takes it from the newest pair.

        A diagonal knows nothing of how columns overlap, so alone it is too long by the
        largest eigenvalue of the Hessian it scales (Nocedal and Wright, 2006, eq. 7.20).
        """
        if not (getattr(self.factor, "rough", False) and self.terms):
            return 1.0
        s, y, rho = self.terms[-1]
        size = dot(y, self.factor.solve(y)) * rho
        return np.where(size > 0, size, 1.0)[:, None]

    def solve(self, v):
        v, size = self._as_pairs(v)
        kept, change = [], np.empty_like(v)
        for s, y, rho in reversed(self.terms):
            a = rho * dot(s, v)
            v -= np.multiply(y, _beside(a, v), out=change)
            kept.append(a)
        r = self.factor.solve(np.asarray(v, dtype=float)) / self._size
        r = r.astype(v.dtype, copy=False)
        for (s, y, rho), a in zip(self.terms, reversed(kept), strict=True):
            r += np.multiply(s, _beside(a - rho * dot(y, r), v), out=change)
        return r if size is None else size * r


def _beside(a, v):
    return a[:, None].astype(v.dtype, copy=False)
