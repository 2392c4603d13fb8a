"""What every quasi-Newton matrix has in common: a start matrix and pairs that survive theta."""

from dataclasses import dataclass, replace

import numpy as np


def _matmul(a, b):
    return (a[..., None, :] @ b[..., None])[..., 0, 0]


# numpy has it from 2.0 on; small problems spend a quarter of their time here
_vecdot = getattr(np, "vecdot", _matmul)
# longer products are handed to threads, whose wake-up costs a hundred times what they save where
# the other cores are at work (other fits, as a rule)
_LENGTH = 8192
# sums in single precision are taken over so many numbers, in double from there: ten times longer
# ones lose a digit.
_PIECE = 512
# numbers of a step from which on it is kept in single precision
_LONG = 50_000


def dot(a, b):
    """Inner products along the lower axis, one a member of the stack, shape ``(n_stack,)``."""
    if a.shape[1] <= _LENGTH:
        return _vecdot(a, b)
    piece = _LENGTH if a.dtype == b.dtype == float else _PIECE
    even = a.shape[1] // piece * piece
    parts = (v[:, :even].reshape(len(v), -1, piece) for v in (a, b))
    return _vecdot(a[:, even:], b[:, even:]) + _vecdot(*parts).sum(axis=1, dtype=float)


def light(s, *images):
    """A step and what a matrix makes of it, in single precision where they are long.

    Such pairs fill the memory, and half of it takes no more steps. A multiple of a pair is the
    same pair: so it is brought into the short range.
    """
    if s.size <= _LONG:
        return s, *images
    size = largest(s)
    return tuple((v / size).astype(np.float32) for v in (s, *images))


def largest(v):
    """Largest size of an entry of each member, shape ``(n_stack, 1)``; 1 where all are zero."""
    size = np.abs(v).max(axis=-1, keepdims=True)
    return np.where(size > 0, size, 1.0)


@dataclass(frozen=True)
class Curvature:
    """An inverse Hessian: ``solve(v)``, ``update(s, y)``; immutable.

    Attributes
    ----------
    factor : object with ``solve(v)``
        Start matrix ``H0``.
    diagonal : ndarray of shape (n_stack, n_lower)
        The known part of the Hessian, moved by theta; 0.0 where there is none.
    pairs : tuple of (s, a)
        Steps and what the data's Hessian makes of them: ``a = y - diagonal * s``,
        so that under any later theta the pair is ``(s, a + diagonal * s)``
        (structured quasi-Newton; Dennis, Martinez and Tapia, 1989).
    limit : int or None
        How many pairs are kept at most, the newest.
    """

    factor: object
    diagonal: np.ndarray
    pairs: tuple = ()
    limit: int | None = None
    terms: tuple = ()

    def at(self, factor, diagonal):
        """The same pairs under another theta and another start matrix."""
        new = replace(self.emptied(), factor=factor, diagonal=diagonal)
        for s, a in self.pairs:
            new = new.update(s, a + diagonal * s)
        return new

    def update(self, s, y):
        """Take up the pair ``(s, y)``; a pair that the formula's rule refuses has no effect."""
        if self.limit == 0:
            return self
        older = self
        if self.limit is not None and len(self.pairs) >= self.limit:
            older = self._without_oldest()
        # where nothing of the Hessian is known, y itself: no copy
        if np.ndim(self.diagonal):
            s, y, a = light(s, y, y - self.diagonal * s)
        else:
            s, y = light(s, y)
            a = y
        pairs = (*older.pairs, (s, a))
        return replace(older, pairs=pairs, terms=(*older.terms, older._term(s, y)))

    def _without_oldest(self):
        """The matrix of all pairs but the oldest."""
        return replace(self, pairs=self.pairs[1:], terms=self.terms[1:])

    def emptied(self):
        """The start matrix alone, ready to learn."""
        return replace(self, pairs=(), terms=())

    def _as_pairs(self, v):
        """A copy of ``v`` in the precision of the pairs, and the factor that its range left out.

        The factor is None where nothing had to be.

        Where they are rounded to single precision, the products with them need no more digits, and
        mixed products take several times as long.
        """
        if not self.terms or self.pairs[0][0].dtype == float:
            return np.array(v), None
        size = largest(v)
        return (v / size).astype(np.float32), size

    def square(self, v, solved):
        """``v' M v`` with a positive definite M, where ``solved`` is what ``solve(v)`` gave.

        M is the start matrix, unless the formula keeps the whole matrix positive definite.
        """
        return dot(v, self.factor.solve(v))

    def _term(self, s, y):
        raise NotImplementedError

    def solve(self, v):
        raise NotImplementedError
