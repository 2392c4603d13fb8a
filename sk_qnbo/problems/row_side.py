"""Tuning the penalties of a linear model with fewer rows than columns: solved on the rows' side."""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf

from .base import StartPlan
from .data import RowData
from .fold_spectrum import FoldSpectrum
from .linear import (
    MAX_KERNEL,
    MAX_WOODBURY,
    LinearProblem,
    coupling,
    free_columns,
    inverse_penalties,
)
from .stacked_rows import StackRows


class RowSideProblem(LinearProblem):
    """The same problem in coordinates whose number is that of the rows, not of the columns.

    Under given penalties ``D = diag(alpha)`` the coefficients that solve a lower problem are
    ``w = D^-1 X' b`` for some row values b (the representer theorem), so a lower problem sees
    the columns through ``X D^-1 X' = L L'`` alone. In ``c = L' b`` it is a linear model on the
    rows of L with unit penalties, well conditioned at any penalty; unpenalised columns
    stand beside L as they are. The coordinates move with theta; b, which the
    minimiser makes minus the slopes of the losses, hardly does, so points travel as b.

    Parameters as :class:`LinearProblem`. Arrays of the lower level hold b, then the coefficients
    of the unpenalised columns, for each output; gradients and steps are in c.
    """

    coordinates = "rows"

    def __init__(self, data, penalty, precision=None, center=None, one_sided=None, intercept=True):
        super().__init__(data, penalty, precision, center, one_sided, intercept)
        self.n_rows = data.rows.n_rows
        self.shape = (*self.shape[:2], self.n_rows + len(self.free))
        self.n_lower = self.shape[1] * self.shape[2]
        self._side = None, None

    @property
    def start_plan(self):
        constant = self.data.loss.name == "squared_error"
        # a new start costs about as much as a few products with L for each of its columns
        patience = 3 + self.shape[2] // (8 * self.n_stack)
        full, more, slack = coupling(self)
        return StartPlan("cholesky", False, patience + more, constant, full, slack)

    # -- points -------------------------------------------------------------------------------
    def at(self, w):
        parts = np.split(np.reshape(w, self.shape), [self.n_rows], axis=2)
        return RowSidePoint(None, None, *parts)

    def array(self, point):
        both = np.concatenate([point.b, point.free], axis=2)
        return both.reshape(self.n_stack, self.n_lower)

    def carry(self, theta, point):
        side = self._side_of(theta)
        return point if point.side is side else side.point(point.b, point.free, point.size)

    def settled(self, point):
        """The point without the coordinates it was found in, which take memory."""
        return RowSidePoint(None, None, point.b, point.free, point.size)

    def line(self, point, step):
        move = point.side.data.line(point.inner, step.reshape(self.shape))
        return lambda t: RowSidePoint(point.side, move(t))

    def _side_of(self, theta):
        last, side = self._side
        if last is None or not np.array_equal(last, theta):
            side = RowSide(self.data, self._alpha(theta), self.free)
            self._side = theta.copy(), side
        return side

    # -- oracles ------------------------------------------------------------------------------
    def lower_value(self, theta, w):
        c = w.inner.W[..., : self.n_rows]
        return w.side.data.train_value(w.inner) + 0.5 * np.einsum("kcn,kcn->k", c, c)

    def lower(self, theta, w):
        gradient = w.side.data.train_gradient(w.inner)
        gradient[..., : self.n_rows] += w.inner.W[..., : self.n_rows]
        return self.lower_value(theta, w), gradient.reshape(self.n_stack, -1)

    def hvp(self, theta, w, v):
        V = v.reshape(self.shape)
        out = w.side.data.train_hvp(w.inner, V)
        out[..., : self.n_rows] += V[..., : self.n_rows]
        return out.reshape(self.n_stack, -1)

    def cross(self, theta, w, u):
        b = w.side.dual(u.reshape(self.shape)[..., : self.n_rows])
        pulled = self.data.rows.pull(w.b), self.data.rows.pull(b)
        slopes = w.side.inverse * np.einsum("kcd,kcd->kd", *pulled)
        return self.penalty.pull(slopes[:, : self.penalty.offset.shape[1]])

    def upper(self, theta, w):
        value = w.side.data.valid_value(w.inner).mean() + self.prior(theta)
        grad_w = w.side.data.valid_gradient(w.inner).reshape(self.n_stack, -1) / self.n_stack
        return float(value), self.prior_gradient(theta), grad_w

    def fold_values(self, theta, w):
        return w.side.data.valid_value(w.inner)

    def _spectrum_at(self, alpha):
        return FoldSpectrum(self.data, inverse_penalties(alpha), self.free)

    # -- curvature ----------------------------------------------------------------------------
    def curvature_bound(self, theta):
        return self._side_of(theta).data.bound().reshape(self.n_stack, -1) + self.diagonal(theta)

    def diagonal(self, theta):
        one = np.ones(self.shape)
        one[..., self.n_rows :] = 0.0
        return one.reshape(self.n_stack, -1)

    def data_diagonal(self, w):
        return w.side.data.diagonal(w.inner).reshape(self.n_stack, -1)

    def data_hessian(self, w, shared=False, full=False):
        if not (full and self.coupled):
            return w.side.data.hessian(w.inner, False)
        return self._anchored(w.side.data.full_hessian(w.inner, False))[:, None]


class RowSide:
    """Rows ``[L, X_free]`` of every fold under given penalties, and the way back to columns.

    L comes from a Cholesky factorisation with pivoting, so dependent rows do no harm: what the
    rank leaves out are columns of zeros.
    """

    def __init__(self, data, alpha, free):
        self.rows, self.free = data.rows, free
        self.inverse = inverse_penalties(alpha)[:, 0]
        roots = [_pivoted_root(K) for K in self.rows.kernel(self.inverse)]
        self.roots = [(root[order[:rank], :rank], order[:rank]) for root, order, rank in roots]
        columns = np.broadcast_to(
            self.rows.columns(free), (len(roots), data.rows.n_rows, len(free))
        )
        L = np.stack([root for root, _, _ in roots])
        self.data = RowData(
            StackRows(np.concatenate([L, columns], axis=2)), data.loss, data.train, data.valid
        )

    def point(self, b, free, size=None):
        """Point at row values ``b`` and coefficients ``free`` of the unpenalised columns.

        Shrunk to the norm ``size (n_stack,)`` if it is beyond: where penalties fell, predictions
        of the same b grow with them, to where a log loss is flat. Where that is still worse than
        no coefficients at all (one penalty fell far more than the others), they are zero.
        """
        c = b @ self.data.rows.X[:, :, : b.shape[2]]
        if size is not None:
            now = np.sqrt(np.einsum("kcn,kcn->k", c, c))
            c = c * np.where(now > size, size / np.where(now > 0, now, 1.0), 1.0)[:, None, None]
        inner = self.data.at(np.concatenate([c, free], axis=2))
        if size is not None:
            value = self.data.train_value(inner) + 0.5 * np.einsum("kcn,kcn->k", c, c)
            keep = kept(self.data, inner.z, value)
            inner = inner if keep.all() else self.data.at(keep * inner.W)
        return RowSidePoint(self, inner)

    def dual(self, c):
        """Row values b with ``c = L' b``."""
        b = np.zeros_like(c)
        for k, (root, rows) in enumerate(self.roots):
            solved = solve_triangular(root, c[k, :, : len(rows)].T, lower=True, trans=1)
            b[k][:, rows] = solved.T
        return b

    def primal(self, b, free):
        """Coefficients ``(n_stack, n_outputs, n_columns)``."""
        W = self.inverse[:, None] * self.rows.pull(b)
        W[..., self.free] = free
        return W


class RowSidePoint:
    """Row values b and coefficients of the unpenalised columns; with a side, predictions too."""

    def __init__(self, side, inner, b=None, free=None, size=None):
        self.side, self.inner = side, inner
        self._b, self._W, self._size = b, None, size
        self.free = inner.W[..., side.rows.n_rows :] if free is None else free

    @property
    def b(self):
        if self._b is None:
            self._b = self.side.dual(self.inner.W[..., : self.side.rows.n_rows])
        return self._b

    @property
    def size(self):
        """Norm of the coordinates of each fold, where they are known."""
        if self.inner is None:
            return self._size
        c = self.inner.W[..., : self.side.rows.n_rows]
        return np.sqrt(np.einsum("kcn,kcn->k", c, c))

    @property
    def W(self):  # noqa: N802 (a matrix)
        """Coefficients on the columns, ``(n_stack, n_outputs, n_columns)``."""
        if self._W is None:
            self._W = self.side.primal(self.b, self.free)
        return self._W


def kept(data, z, value):
    """One for each fold whose lower value is no worse than without coefficients, else zero."""
    without = np.einsum("kn,kn->k", data.train, data.loss.at(np.zeros_like(z)).value)
    return (value <= without).astype(float)[:, None, None]


def _pivoted_root(K):
    """Lower factor with ``K = root root'``, the order of its pivots and its rank."""
    packed, pivots, rank, _ = dpstrf(K, lower=1)
    packed = np.tril(packed)
    packed[:, rank:] = 0.0
    order = pivots - 1
    root = np.empty_like(packed, order="C")
    root[order] = packed
    return root, order, rank


# unpenalised columns that may stand beside L
MAX_FREE = 32
# columns up to which the columns' own side is the faster
_FEW_COLUMNS = 64


# multiplications up to which a kernel for every fold is cheaper than the steps it saves; beyond,
# up to _MAX_PRECISE, it buys digits; ridge, solved in one step, up to MAX_KERNEL
_MAX_CHEAP, _MAX_PRECISE = 1.5e8, 5e8
# steps in row space that a start with kernels saves
_STEPS_SAVED = 15


def row_side_pays(data, fixed, intercept, precise=True):
    """Whether every fold's kernel is cheap enough to be made anew at each theta.

    Parameters
    ----------
    data : RowData or MomentData
    fixed : ndarray of shape (n_features,) or None
        As of :class:`LogLinearPenalty`.
    intercept : bool
    precise : bool
        Whether digits count.
    """
    n, d = data.rows.n_rows, data.n_columns
    work = data.n_stack * n * (data.rows.size + n * n)
    few = len(free_columns(fixed, d - intercept, intercept)) <= MAX_FREE
    if data.loss.name == "squared_error":
        cheap = work <= MAX_KERNEL
    else:
        cheap = work <= (_MAX_PRECISE if precise else _MAX_CHEAP) or _serves_classes(data)
    return few and max(n, _FEW_COLUMNS) < d and n <= MAX_WOODBURY and cheap


def _serves_classes(data):
    """Whether a kernel, which serves all classes, costs no more than steps with a product each."""
    n, classes, size = data.rows.n_rows, data.n_outputs, data.rows.size
    start, step = n * (size + classes * n * n / 3), 2 * classes * size
    return classes > 1 and start <= _STEPS_SAVED * step
