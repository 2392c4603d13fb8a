"""Tuning the penalties of a linear model with very many columns: vectors as long as the rows."""

import numpy as np

from .base import StartPlan
from .linear import LinearProblem, free_columns
from .row_side import MAX_FREE, kept

# how much looser the estimates are than where a dense factor is affordable
_SLACK = 5.0
# steps after which the unpenalised columns are set aside anew, then after twice as many
_PATIENCE = 12
# least bend of the loss that a start matrix believes
_FLAT = 1e-4
# rows for each unpenalised column: with fewer, these overfit, which takes more than pairs
_ROWS_PER_FREE = 20


class RowSpaceProblem(LinearProblem):
    """The same problem for so many rows that no kernel ``K = X D^-1 X'`` is ever formed.

    As in :class:`RowSideProblem`, coefficients are ``w = D^-1 X' b`` and an unpenalised part. A
    step ``D^-1 X' s`` is held as ``[s, K s]`` and a gradient ``X' r`` as ``[K r, r] / 2``, so that
    their product as arrays is their product as vectors of coefficients, ``s' K r``, and every
    sum of steps or gradients is known with its image under K. The inverse penalties, the natural
    start matrix where columns are more than rows (all but as many eigenvalues as rows are then
    one), merely swap the two halves. A quasi-Newton step costs the two products with X that it
    costs on the columns, and all its vectors are as long as the rows.
    """

    coordinates = "paired"

    def __init__(self, data, penalty, precision=None, center=None, one_sided=None, intercept=True):
        super().__init__(data, penalty, precision, center, one_sided, intercept)
        self.n_rows = data.rows.n_rows
        self.shape = (*self.shape[:2], 2 * self.n_rows + len(self.free))
        self.n_lower = self.shape[1] * self.shape[2]
        self.columns = data.rows.columns(self.free)
        self._last_map = None, None

    @property
    def start_plan(self):
        # what is set aside goes by the bend of the losses, which a long way changes
        constant = self.data.loss.name == "squared_error"
        return StartPlan("row space", False, _PATIENCE, constant, slack=_SLACK)

    # -- coordinates --------------------------------------------------------------------------
    def _split(self, array):
        """Both halves and the unpenalised part of an array, ``(n_stack, n_outputs, ...)`` each."""
        n = self.n_rows
        array = np.reshape(array, self.shape)
        return array[..., :n], array[..., n : 2 * n], array[..., 2 * n :]

    def _covector(self, side, r, own=0.0, image=0.0):
        """Array of the gradient ``X' (r + own)``, where ``image = K own`` is known."""
        Kr = side.times(r) + image
        parts = [0.5 * Kr, 0.5 * (r + own), r @ self.columns]
        return np.concatenate(parts, axis=2).reshape(self.n_stack, -1)

    # -- points -------------------------------------------------------------------------------
    def at(self, w):
        b, z, free = self._split(w)
        return RowSpacePoint(b, free, z=z)

    def array(self, point):
        parts = [point.rows, point.z, point.free]
        return np.concatenate(parts, axis=2).reshape(self.n_stack, -1)

    def carry(self, theta, point):
        if point.side is not None and np.array_equal(point.side.theta, theta):
            return point
        # what is set aside is so under the weights of where the point stands
        bend = self.data.loss.at(point.z).bend.sum(axis=1)
        aside = Aside(self.columns, self.data.train * np.maximum(bend, _FLAT))
        return RowSpace(self, theta, aside).point(point)

    def inverse(self, theta):
        """Inverse penalties, ``(n_stack, 1, n_columns)``, zero where there is none."""
        alpha = self._compute_alpha(theta)  # not kept: its inverse in the map is, and it is large
        return np.divide(1.0, alpha, out=alpha, where=alpha > 0)

    def through(self, theta):
        """The map ``r -> X D^-1 X' r``; the last is remembered, as points outlive their theta."""
        if self._last_map[0] is None or not np.array_equal(self._last_map[0], theta):
            self._last_map = theta.copy(), self.data.rows.through(self.inverse(theta)[:, 0])
        return self._last_map[1]

    def settled(self, point):
        """The point without what belongs to one theta, the coefficients among it."""
        return RowSpacePoint(point.rows, point.free, z=point.z, size=point.size)

    def line(self, point, step):
        s, Ks, f = self._split(step)
        side, offset = point.side, Ks + point.side.aside.offset(f)

        def move(t):
            t = t[:, None, None]
            b, free, Kb = point.b + t * s, point.free + t * f, point.Kb + t * Ks
            return RowSpacePoint(b, free, side, Kb, point.z + t * offset)

        return move

    # -- oracles ------------------------------------------------------------------------------
    def lower_value(self, theta, w):
        return self.data.train_value(w) + 0.5 * w.size

    def lower(self, theta, w):
        r = self.data.train[:, None] * w.loss.slope
        return self.lower_value(theta, w), self._covector(w.side, r, w.b, w.Kb)

    def hvp(self, theta, w, v):
        s, Ks, f = self._split(v)
        bent = self.data.train[:, None] * w.loss.bend_times(Ks + w.side.aside.offset(f))
        return self._covector(w.side, bent, s, Ks)

    def cross(self, theta, w, u):
        slopes = w.side.pull(w.b)
        slopes *= w.side.pull(self._split(u)[0])
        slopes = slopes.sum(axis=1)
        slopes *= self.inverse(theta)[:, 0]
        return self.penalty.pull(slopes[:, : self.penalty.offset.shape[1]])

    def upper(self, theta, w):
        value = self.data.valid_value(w).mean() + self.prior(theta)
        r = self.data.valid[:, None] * w.loss.slope / self.n_stack
        return float(value), self.prior_gradient(theta), self._covector(w.side, r)

    def curvature_bound(self, theta):
        raise NotImplementedError("coordinates in pairs have no diagonal; use LinearProblem.")

    def diagonal(self, theta):
        return None

    def free_hessian(self, w):
        """Hessian of the unpenalised part, ``(n_stack, n_outputs, n_free, n_free)``.

        Lifted where a log loss is flat: it serves as a start matrix.
        """
        h = self.data.train[:, None] * np.maximum(w.loss.bend, _FLAT)
        E = self.columns[:, None]
        return E.transpose(0, 1, 3, 2) @ (h[..., None] * E)


class Aside:
    """The unpenalised columns E, and what they leave of the others.

    What E explains of each column, by least squares under the row weights T, is taken out of it:
    ``P X`` with ``P = I - E (E' T E)^+ E' T``; for the intercept that is a mean. The model is the
    same with other unpenalised coefficients. Where T is the bend of the losses, these and the
    others do not interfere (a Schur complement); without it, sparse columns, which are not
    centred, have the intercept among them a second time, and neither fit nor adjoint finds its
    size in fair time.
    """

    def __init__(self, columns, weights):
        self.columns = columns
        weighted = weights[:, :, None] * columns
        self._share = weighted @ np.linalg.pinv(columns.transpose(0, 2, 1) @ weighted)

    def offset(self, free):
        """Predictions of the unpenalised part."""
        return free @ self.columns.transpose(0, 2, 1)

    def part(self, z):
        """What E explains of predictions, as coefficients."""
        return z @ self._share

    def rest(self, z):
        """``P z``."""
        return z - self.offset(self.part(z))

    def pulled(self, r):
        """``P' r``."""
        return r - (r @ self.columns) @ self._share.transpose(0, 2, 1)


class RowSpace:
    """The coordinates at one theta, and what is set aside of the columns there."""

    def __init__(self, problem, theta, aside):
        self.problem, self.theta, self.aside = problem, theta.copy(), aside

    def times(self, r):
        """``K r`` with the columns less what the unpenalised ones explain of them."""
        return self.aside.rest(self.problem.through(self.theta)(self.aside.pulled(r)))

    def pull(self, r):
        """Those columns times r."""
        return self.problem.data.rows.pull(self.aside.pulled(r))

    def coefficients(self, b, free):
        """Coefficients on the columns as they are."""
        W = self.problem.inverse(self.theta) * self.pull(b)
        W[..., self.problem.free] = free - self.aside.part(self.problem.data.rows.predict(W))
        return W

    def point(self, other):
        """The point here with the same row values, as far as predictions do not grow with them.

        Where penalties fell they would, to where a log loss is flat. Where it is still worse than
        no coefficients at all, it is these.
        """
        b, free = other.rows, self.aside.part(other.z)
        Kb = self.times(b) if b.any() else np.zeros_like(b)
        if other.size is not None:
            now = np.einsum("kcn,kcn->k", b, Kb)
            grown = np.where(now > other.size, other.size / np.where(now > 0, now, 1.0), 1.0)
            b, Kb = (np.sqrt(grown)[:, None, None] * part for part in (b, Kb))
        point = RowSpacePoint(b, free, self, Kb, Kb + self.aside.offset(free))
        data = self.problem.data
        keep = kept(data, point.z, data.train_value(point) + 0.5 * point.size)
        if keep.all():
            return point
        parts = (keep * part for part in (b, free))
        return RowSpacePoint(*parts, self, *(keep * part for part in (Kb, point.z)))


class RowSpacePoint:
    """Row values b, the unpenalised part and predictions z; with penalties, ``K b`` too."""

    def __init__(self, b, free, side=None, Kb=None, z=None, size=None):
        self.b, self.free, self.side, self.Kb, self.z = b, free, side, Kb, z
        self._W, self._size, self._loss = None, size, None

    @property
    def rows(self):
        """The row values of the same coefficients, whatever is set aside of the columns."""
        return self.b if self.side is None else self.side.aside.pulled(self.b)

    @property
    def loss(self):
        if self._loss is None:
            self._loss = self.side.problem.data.loss.at(self.z)
        return self._loss

    @property
    def size(self):
        """Penalty ``b' K b`` of each fold, where it is known."""
        if self.Kb is None:
            return self._size
        return np.maximum(np.einsum("kcn,kcn->k", self.b, self.Kb), 0.0)  # but for rounding

    @property
    def W(self):  # noqa: N802 (a matrix)
        """Coefficients on the columns, ``(n_stack, n_outputs, n_columns)``."""
        if self._W is None:
            self._W = self.side.coefficients(self.b, self.free)
        return self._W


def row_space_pays(data, fixed, intercept):
    """Whether there are so many more columns than rows that vectors should be as long as these."""
    n_free = len(free_columns(fixed, data.n_columns - intercept, intercept))
    few = n_free <= MAX_FREE and n_free * _ROWS_PER_FREE <= data.rows.n_rows
    return hasattr(data, "bends") and few and data.rows.n_rows < data.n_columns
