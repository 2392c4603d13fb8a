"""The inverse symmetric rank-one matrix."""

from dataclasses import dataclass, replace

import numpy as np

from .base import Curvature, dot

# Nocedal and Wright (2006), eq. 6.26: a smaller denominator would blow the update up
_EPS = 1e-8
# size of a rough start matrix, as a part of the least inverse curvature that the pairs show
_BELOW = 0.5
# eigenvalues this small beside the largest are rounding
_ZERO = 1e-10
# a combination of pairs is believed to show so much less than the least of the pairs, no less:
# where the Hessian moves between pairs it may show anything
_BELIEVED = 0.1


@dataclass(frozen=True)
class SR1(Curvature):
    """``H <- H + p p' / p'y`` with ``p = s - H y``; it need not be positive definite.

    Over a rough start matrix it is: that one is sized below what the pairs, and what lies between
    them, say of the inverse (Brust, Erway and Marcia, Comput. Optim. Appl. 66, 2017), so that each
    pair adds; a pair that would take away has it sized anew, and if that does not help is refused.
    Sized by its newest pair, as for BFGS, the start would leave that pair nothing to add.

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
        if self.limit == 0 or not self._rough:
            return super().update(s, y)
        if self.pairs and not self._full:
            new = super().update(s, y)
            if (new.terms[-1][1] > 0).all():
                return new
        return self._made_of((*self._kept, (s, y - self.diagonal * s)))

    def _made_of(self, pairs):
        """The matrix of these pairs ``(s, a)``, its start matrix sized for all of them."""
        whole = [(s, a + self.diagonal * s) for s, a in pairs]
        new = replace(self.emptied(), size=self._size(whole) if self._rough else 1.0)
        for s, y in whole:
            new = super(SR1, new).update(s, y)
        return new

    def _size(self, whole):
        """Part of the least eigenvalue of ``S'Y`` beside ``Y' H0 Y``, of the start matrix H0."""
        images = [self.factor.solve(y) for _, y in whole]
        shown = np.array([[dot(s, y) for _, y in whole] for s, _ in whole])
        begun = np.array([[dot(y, z) for _, y in whole] for z in images])
        members = range(shown.shape[-1])
        return _BELOW * np.array([[_least(shown[..., k], begun[..., k])] for k in members])

    @property
    def _full(self):
        return self.limit is not None and len(self.pairs) >= self.limit

    @property
    def _kept(self):
        """The pairs that stay where all terms are made anew; half go, or it would be often."""
        return self.pairs[(len(self.pairs) + 1) // 2 :]

    def _without_oldest(self):
        # each term was made with the matrix of the terms before it
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
        short, size = self._as_pairs(v)
        r = self.size * self.factor.solve(v)
        for p, scale in self.terms:
            part = (scale * dot(p, short))[:, None]
            r += (part if size is None else size * part) * p
        return r


def _least(shown, begun):
    """Least eigenvalue of the symmetric part of one matrix beside another, semi-definite one."""
    ratio = np.diagonal(shown) / np.maximum(np.diagonal(begun), np.finfo(float).tiny)
    good = (ratio > 0) & np.isfinite(ratio)
    if not good.any():
        return 1.0 / _BELOW
    length = np.sqrt(np.diagonal(begun)[good])
    shown, begun = (part[np.ix_(good, good)] / np.outer(length, length) for part in (shown, begun))
    values, vectors = np.linalg.eigh(begun)
    kept = values > _ZERO * values[-1]
    root = vectors[:, kept] / np.sqrt(values[kept])
    least = np.linalg.eigvalsh(root.T @ (0.5 * (shown + shown.T)) @ root)[0]
    return max(least, _BELIEVED * ratio[good].min())
