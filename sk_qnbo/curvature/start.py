"""Start matrices of the quasi-Newton recursion: dense factor, its row side, the diagonal.

``theta`` enters the lower Hessian only through a known diagonal, so a start is
built once from the data (at some coefficients) and factored anew for each theta.
"""

import numpy as np

from .factor import DenseFactor


def _average(diagonal, like):
    """Average the stack (and the blocks) of a diagonal down to those a start distinguishes."""
    for axis in (0, 1):
        if like[axis] == 1:
            diagonal = diagonal.mean(axis=axis, keepdims=True)
    return diagonal


# how far, as a ratio, the diagonals of a stack may be apart where one factor serves them all
_APART = 2.0


def _apart(diagonal):
    """Whether the members of the stack need factors of their own, though their data be shared."""
    return bool((diagonal.max(axis=0) > _APART * diagonal.min(axis=0)).any())


class CholeskyStart:
    """``A + diag`` by Cholesky, for blocks ``A (1 or n_stack, 1 or n_blocks, D, D)``."""

    def __init__(self, problem, w, shared=False, full=False):
        self.A = problem.data_hessian(w, shared=shared, full=full)

    def factor(self, diagonal):
        A = self.A
        stack, length = diagonal.shape
        blocks = diagonal.reshape(stack, length // A.shape[-1], A.shape[-1])
        stack = stack if _apart(blocks) else A.shape[0]
        diag = _average(blocks, (stack, A.shape[1]))
        H = np.array(np.broadcast_to(A, diag.shape[:2] + A.shape[2:]))
        at = np.arange(A.shape[-1])
        H[..., at, at] += diag
        return _Blocks(DenseFactor(H), blocks.shape[1:])


class _Blocks:
    """Reshape flat lower vectors to the blocks of a factor and back."""

    def __init__(self, inner, shape):
        self.inner, self.shape = inner, shape

    def solve(self, v):
        return self.inner.solve(v.reshape(len(v), *self.shape)).reshape(v.shape)


class DiagonalStart:
    """The diagonal of the data's Hessian plus the penalties."""

    def __init__(self, problem, w, shared=False, full=False):
        self.A = problem.data_diagonal(w)

    def factor(self, diagonal):
        return _Diagonal(1.0 / np.maximum(self.A + diagonal, np.finfo(float).tiny))


class _Diagonal:
    rough = True

    def __init__(self, inverse):
        self.inverse = inverse

    def solve(self, v):
        return self.inverse * v


class IdentityStart(DiagonalStart):
    """A multiple of the identity: one over the largest entry of that diagonal.

    It stays that, where a rough start takes its size from the newest pair: along the pairs of an
    adjoint (the paper's algorithm 3, first reading) the errors then fall no further than a tenth.
    """

    def factor(self, diagonal):
        inverse = super().factor(diagonal).inverse
        return _Multiple(inverse.min(axis=1, keepdims=True))


class _Multiple(_Diagonal):
    rough = False


class WoodburyStart:
    """``X' diag(h) X + diag`` through the n x n side, for fewer rows than columns.

    ``H^-1 = D^-1 - D^-1 R' (I + R D^-1 R')^-1 R D^-1`` with ``R = diag(sqrt h) X``;
    columns without penalty (the intercept) border the system. Where they are many,
    they get a small penalty instead: a start matrix need not be exact.
    """

    def __init__(self, problem, w, shared=False, full=False):
        self.h, self.rows = problem.data_rows(w, shared=shared)

    def factor(self, diagonal):
        stack, length = diagonal.shape
        D = self.rows.n_columns
        blocks = diagonal.reshape(stack, length // D, D)
        # the penalty of a feature is the same for every output
        diag = _average(blocks, (self.h.shape[0], 1))[:, 0]
        return _Blocks(_Woodbury(self.rows, self.h, diag), blocks.shape[1:])


# unpenalised columns up to which the border is worth its products, and numbers it may hold
_MAX_BORDER = 32
_MAX_BORDER_SIZE = 2e7
# the least penalty beside the Hessian's diagonal: what Woodbury subtracts must leave some digits
_FLOOR = 1e-9
# the same for a column that should have none
_LIFT = 1e-7


class _Woodbury:
    def __init__(self, rows, h, diag):
        self.rows, self.root = rows, np.sqrt(h)
        size = h.sum(axis=2).mean(axis=1)[:, None]  # of the Hessian's diagonal, internal columns
        free = (diag <= 0).all(axis=0)
        if free.sum() > min(_MAX_BORDER, _MAX_BORDER_SIZE / (h.shape[0] * h.shape[1] * len(free))):
            diag, free = np.where(free, _LIFT * size, diag), np.zeros_like(free)
        diag = np.maximum(diag, np.maximum(_FLOOR * size, np.finfo(float).tiny))
        self.inverse = np.where(free, 0.0, 1.0 / diag)[:, None]
        kernel = rows.kernel(self.inverse[:, 0])[:, None]
        B = self.root[..., :, None] * kernel * self.root[..., None, :]
        at = np.arange(B.shape[-1])
        B[..., at, at] += 1.0
        self.inner = DenseFactor(B)
        self.free = np.flatnonzero(free)
        if len(self.free):
            self._border(h)

    def _border(self, h):
        """Columns of H at the free coefficients, and the Schur complement they leave."""
        A, B, _ = h.shape
        E = np.zeros((len(self.free), A, B, self.rows.n_columns))
        for f, column in enumerate(self.free):
            E[f, :, :, column] = 1.0
        self.columns = np.array([self.rows.pull(h * self.rows.predict(e)) for e in E])
        self.solved = np.array([self._penalised(c) for c in self.columns])
        H = np.moveaxis(self.columns[..., self.free], 0, 2)
        S = H - np.einsum("fabd,gabd->abfg", self.columns, self.solved)
        # free columns that the rows cannot tell apart leave it singular
        at = np.arange(len(self.free))
        S[..., at, at] = np.maximum(S[..., at, at], 1e-14 * H[..., at, at])
        self.schur = DenseFactor(S)

    def _penalised(self, v):
        """Inverse on the penalised coefficients; the free ones come out zero."""
        scaled = self.inverse * v
        inner = self.root * self.inner.solve(self.root * self.rows.predict(scaled))
        return scaled - self.inverse * self.rows.pull(inner)

    def solve(self, v):
        u = self._penalised(v)
        if len(self.free) == 0:
            return u
        rest = v[..., self.free] - np.einsum("fabd,abd->abf", self.columns, u)
        x = self.schur.solve(rest)
        u = u - np.einsum("fabd,abf->abd", self.solved, x)
        u[..., self.free] = x
        return u


class RowSpaceStart:
    """The penalties alone, for steps ``[s, K s]`` and gradients ``[K r, r] / 2`` in row space.

    ``D^-1 X' r`` has the row values r: the halves change places. What is unpenalised has the
    data's Hessian.
    """

    def __init__(self, problem, w, shared=False, full=False):
        self.shape, self.n_rows = problem.shape, problem.n_rows
        free = problem.free_hessian(w)
        self.free = DenseFactor(free) if free.size else None

    def factor(self, diagonal):
        return _Swap(self.shape, self.n_rows, self.free)


class _Swap:
    rough = True

    def __init__(self, shape, n_rows, free):
        self.shape, self.n_rows, self.free = shape, n_rows, free

    def solve(self, v):
        n, v = self.n_rows, v.reshape(self.shape)
        parts = [2.0 * v[..., n : 2 * n], 2.0 * v[..., :n]]
        if self.free is not None:
            parts.append(self.free.solve(v[..., 2 * n :]))
        return np.concatenate(parts, axis=2).reshape(len(v), -1)


STARTS = {
    "cholesky": CholeskyStart,
    "woodbury": WoodburyStart,
    "diagonal": DiagonalStart,
    "identity": IdentityStart,
    "row space": RowSpaceStart,
}
