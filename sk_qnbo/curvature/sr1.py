"""The inverse symmetric rank-one matrix."""

from dataclasses import dataclass, replace

import numpy as np

from .base import Curvature, dot

# Nocedal and Wright (2006), eq. 6.26: a smaller denominator would blow the update up
_EPS = 1e-8
# size of a rough start matrix, as a part of the least that a pair says of it
_BELOW = 0.5


@dataclass(frozen=True)
class SR1(Curvature):
    """``H <- H + p p' / p'y`` with ``p = s - H y``; it need not be positive definite.

    Over a rough start matrix it is: that one is sized below what every pair says of the inverse
    (as Brust, Erway and Marcia, Comput. Optim. Appl. 66, 2017, choose it), so that each pair adds,
    and a pair that would take away is refused. Sized by its newest pair, as for BFGS, it would
    leave that pair nothing to add.

    Attributes
    ----------
    size : ndarray of shape (n_stack, 1) or 1.0
        Factor on the start matrix.
    """

    size: object = 1.0

    @property
    def _rough(self):
        return getattr(self.factor, "rough", False)

    def update(self, s, y):
        if self.limit != 0 and self._rough:
            too_large = (self._ratio(s, y) < self.size).any()
            if too_large or not self.pairs or self._full:
                return self._made_of((*self._kept, (s, y - self.diagonal * s)))
        return super().update(s, y)

    def _ratio(self, s, y):
        """Inverse curvature along the pair over what the start matrix has there, as a column."""
        sy, start = dot(s, y), dot(y, self.factor.solve(y))
        good = (sy > 0) & (start > 0)
        return np.where(good, sy / np.where(good, start, 1.0), np.inf)[:, None]

    def _made_of(self, pairs):
        """The matrix of these pairs ``(s, a)``, its start matrix sized for all of them."""
        whole = [(s, a + self.diagonal * s) for s, a in pairs]
        new = self.emptied()
        if self._rough:
            least = np.min([self._ratio(*pair) for pair in whole], axis=0)
            new = replace(new, size=np.where(np.isfinite(least), _BELOW * least, 1.0))
        for s, y in whole:
            new = super(SR1, new).update(s, y)
        return new

    @property
    def _full(self):
        return self.limit is not None and len(self.pairs) >= self.limit

    @property
    def _kept(self):
        """The pairs that stay where the terms are made anew."""
        return self.pairs[(len(self.pairs) + 1) // 2 :] if self._full else self.pairs

    def _without_oldest(self):
        # each term was made with the matrix of the terms before it, so all are made anew: the
        # older half goes at once, or every later step would pay for that
        return self._made_of(self._kept)

    def emptied(self):
        return replace(super().emptied(), size=1.0)

    def square(self, v, solved):
        return dot(v, solved) if self._rough else super().square(v, solved)

    def _term(self, s, y):
        p = s - self.solve(y)
        py = dot(p, y)
        least = np.maximum(_EPS * np.sqrt(dot(p, p) * dot(y, y)), np.finfo(float).tiny)
        good = (py if self._rough else np.abs(py)) > least
        return p, np.where(good, 1.0 / np.where(good, py, 1.0), 0.0)

    def solve(self, v):
        r = self.size * self.factor.solve(v)
        for p, scale in self.terms:
            r = r + (scale * dot(p, v))[:, None] * p
        return r
