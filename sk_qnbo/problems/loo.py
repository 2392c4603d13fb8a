"""Leave-one-out without refitting: one fit on all rows, judged without each row in turn."""

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import helmert

from .leverages import ColumnSide, KernelSide
from .linear import LinearProblem
from .spectrum import DROWNED, RidgeSpectrum

# lengths of H, or of its row side, up to which a dense factor is worth its memory and time
MAX_SIDE = 3000
# quasi-Newton steps before the start matrix is built anew
PATIENCE = 3
# factor on the tolerances of ridge
SHARPER = 1e-3
# what is left of a row's own pull; below it is rounding
_LEAST = 1e-13
# what is left where a fit need not be sharper still
_SMALLEST = 1e-5


class LooProblem(LinearProblem):
    """Penalties of linear models under (approximate) leave-one-out.

    The lower level is the fit on all rows: once, or once for each member of the stack where
    members have penalties of their own and each judges some of the rows. The upper level judges
    the prediction of each row by the model without it, from one Newton step of the full fit::

        H  = sum_i s_i X_i' D_i X_i + diag(alpha),   Q_i = X_i H^-1 X_i',   B_i = s_i D_i
        z~_i  = z_i + Q_i (I - B_i Q_i)^-1 s_i slope_i
        upper = weighted mean over i of loss(y_i, z~_i) + prior(theta)

    with ``slope_i`` and ``D_i`` the first two derivatives of the loss at ``z_i = X_i w``. For the
    squared loss this is exact (the residual over one minus the leverage); for the log loss it is
    the approximation of Rad and Maleki, JRSS B 82, 2020, arXiv 1801.10243, theorem 1 (for the
    softmax with blocks of classes). ``upper`` depends on theta also directly, through ``H``.

    Parameters
    ----------
    data : RowData or MomentData
        Of a stack of one; its validation rows are not looked at.
    judge : ndarray of shape (n_stack, n_rows)
        Weight of each row's left-out loss, scaled to sum to one; a row has one member to judge it.
    penalty, precision, center, one_sided, intercept
        As in :class:`LinearProblem`.
    """

    n_terms = 1  # what is left out for one row needs all the others: there is nothing to draw

    def __init__(self, data, judge, penalty, *prior, **options):
        data = copy(data)
        data.n_stack = len(penalty.offset)  # the same rows for every member
        (data.rows,) = getattr(data.rows, "folds", [data.rows])
        super().__init__(data, penalty, *prior, **options)
        self.rows = data.rows
        self.judge = judge / judge.sum() / data.loss.mean_over
        # one shift of all classes changes nothing: their contrasts say all
        self.basis = helmert(data.n_outputs).T if self.coupled else None
        check_size(self.rows.n_rows, self.rows.n_columns, self.block)
        self._sides = None, None

    @property
    def block(self):
        """Outputs that share a Hessian block."""
        return 1 if self.basis is None else self.basis.shape[1]

    @property
    def start_plan(self):
        """A start is built anew early: the leverages ask for a factor at every theta anyway.

        Where it is exact (ridge) digits are cheap, and near interpolation they are needed.
        """
        plan = super().start_plan
        slack = plan.slack * (SHARPER if plan.constant else 1.0)
        return replace(plan, patience=min(plan.patience, PATIENCE), slack=slack)

    def lower(self, theta, w):
        if self.start_plan.constant:
            # what the fit still owes is that much more in a prediction without the row
            bends = [self.data.train[0][:, None, None]] * self.n_stack
            left = min(float(side.left.min()) for side in self._all_sides(theta, w, bends))
            self.unit = float(self.data.train.sum()) * max(left, _SMALLEST) ** 2
        return super().lower(theta, w)

    def upper(self, theta, w):
        d, second = self.penalty.offset.shape[1], not self.start_plan.constant
        alpha, slopes, pulled = self._alpha(theta)[:, 0], [], []
        members = self._left_out(theta, w)
        for seen, penalties in zip(members, alpha, strict=True):
            diagonal, R = seen.side.spread(seen.weights(), second)
            slopes.append((penalties * diagonal)[:d])
            grad_z = self._flat(seen.a)
            if second:
                grad_z = grad_z + self.data.train[0] * self._twist(seen, R)
            pulled.append(grad_z)
        grad_theta = self.prior_gradient(theta) - self.penalty.pull(np.array(slopes))
        grad_w = self.rows.pull(np.array(pulled)).reshape(self.n_stack, -1)
        value = sum(m.value for m in members) + self.prior(theta)
        left = min(float(m.side.left.min()) for m in members)
        return value if second or left > DROWNED else np.inf, grad_theta, grad_w

    def _twist(self, seen, R):
        E = seen.twisted(R)
        if self.basis is not None:
            E = self.basis @ E @ self.basis.T
        return seen.loss.twist(E[None])[0]

    def fold_values(self, theta, w):
        """Mean loss of all rows, each left out, shape ``(1,)``."""
        return np.array([sum(member.value for member in self._left_out(theta, w))])

    def predictions(self, theta, w):
        """Linear predictions of each row by the model without it, ``(n_outputs, n_rows)``.

        Those of a softmax have mean zero over the classes.
        """
        out = np.stack([self._flat(member.z) for member in self._left_out(theta, w)])
        own = self.judge.argmax(axis=0)  # the member that judges a row
        return np.moveaxis(out[own, :, np.arange(len(own))], 0, 1)

    def _left_out(self, theta, w):
        """Every member's predictions of each row without it, and what their derivatives need."""
        full, s = self.data.predictions(w), self.data.train[0][:, None, None]
        losses = [self.data.loss.at(z[None]) for z in full]
        bends = [s * self._contrasted(loss.blocks[0]) for loss in losses]
        sides, out = self._all_sides(theta, w, bends), []
        for z, loss, side, judge in zip(full, losses, sides, self.judge, strict=True):
            f = _solved(side.left, s * self._blocks(loss.slope[0]))
            without = self._blocks(z) + side.Q @ f
            at = self.data.loss.at(self._flat(without)[None])
            c = judge[:, None, None] * self._blocks(at.slope[0])
            value = float(judge @ at.value[0])
            out.append(_LeftOut(value, without, loss, side, f, _solved(side.left, c)))
        return out

    def remember(self, other):
        """Take over what another problem on the same rows knows of its leverages."""
        self._last_spectrum = other._last_spectrum
        if other.n_stack == self.n_stack:
            self._sides = other._sides
        return self

    # -- leverages ----------------------------------------------------------------------------
    def _all_sides(self, theta, w, bends):
        """Leverages of each member at theta, kept where they do not depend on ``w``."""
        alpha = self._alpha(theta)[:, 0]
        known, sides = self._sides
        if known is not None and self.start_plan.constant and np.array_equal(known, alpha):
            return sides
        n, D = self.rows.n_rows, self.rows.n_columns
        if self.block * D <= max(self.block * n, 64):
            H = [
                A + np.diag(np.tile(a, self.block))
                for A, a in zip(self._hessians(w), alpha, strict=True)
            ]
            sides = [ColumnSide(self.rows, *one) for one in zip(H, bends, strict=True)]
        else:
            sides = [KernelSide(self.rows, *one) for one in zip(alpha, bends, strict=True)]
        self._sides = alpha, sides
        return sides

    def _hessians(self, w):
        """The data's Hessian of each member, in contrasts of the classes."""
        H = self.data_hessian(w, full=True)[:, 0]
        if self.basis is None:
            return H
        C, D = self.data.n_outputs, self.rows.n_columns
        H = H.reshape(len(H), C, D, C, D)
        H = np.einsum("kcibj,ca,bd->kaidj", H, self.basis, self.basis, optimize=True)
        return H.reshape(len(H), self.block * D, self.block * D)

    def data_hessian(self, w, shared=False, full=False):
        H = super().data_hessian(w, shared, full)
        return H if shared else np.broadcast_to(H, (self.n_stack, *H.shape[1:]))

    # -- shapes -------------------------------------------------------------------------------
    def _blocks(self, values):
        """Row values ``(n_outputs, n_rows)`` as ``(n_rows, block, n_outputs or 1)``."""
        if self.basis is None:
            return values.T[:, None]
        return (values.T @ self.basis)[:, :, None]

    def _flat(self, values):
        """The way back."""
        return values[:, 0].T if self.basis is None else self.basis @ values[:, :, 0].T

    def _contrasted(self, blocks):
        return blocks if self.basis is None else self.basis.T @ blocks @ self.basis

    # -- along one level ----------------------------------------------------------------------
    def _spectrum_at(self, alpha):
        s, G = self.data.train, getattr(self.data, "G", None)
        if self.n_stack > 1 or ((s <= 0) & (self.judge > 0)).any():
            return None
        if G is None and self.rows.n_columns <= self.rows.n_rows:
            G = self.rows.gram(s)
        targets, G = self.data.loss.targets, None if G is None else G[0]
        return RidgeSpectrum(self.rows, alpha[0], s[0], targets, self.judge[0], G)


def check_size(n_rows, n_columns, block=1):
    """Error where neither the rows nor the columns are few enough for a dense factor."""
    if min(n_rows, n_columns) * block > MAX_SIDE:
        classes = f", times {block} (the classes less one)" if block > 1 else ""
        raise ValueError(
            f"cv='loo' needs the leverage of every row, from a dense factor as long as the smaller "
            f"of {n_rows} rows and {n_columns} columns{classes}; that may be {MAX_SIDE} at most. "
            "Use cv=5 or cv=10, which have no such limit."
        )


@dataclass(frozen=True)
class _LeftOut:
    """One theta's left-out predictions.

    Attributes
    ----------
    value : float
    z : ndarray of shape (n_rows, block, n_outputs / block)
        Predictions without each row.
    loss : losses at the full fit
    side : ColumnSide or KernelSide
    f, a : ndarrays shaped as ``z``
        ``(I - B Q)^-1`` times the weighted slopes at the full fit, and times the derivatives of the
        value in ``z``; the latter are those of the value in the predictions of the full fit.
    """

    value: float
    z: np.ndarray
    loss: object
    side: object
    f: np.ndarray
    a: np.ndarray

    def weights(self):
        """Derivative of the value in the leverages."""
        return _symmetric(self.f @ np.swapaxes(self.a, 1, 2))

    def twisted(self, R):
        """Derivative of the value in the curvature of each row, given ``X_i N X_i'``."""
        own = (self.side.Q @ self.a) @ np.swapaxes(self.side.Q @ self.f, 1, 2)
        return _symmetric(own) - R


def _solved(M, v):
    if M.shape[1] == 1:
        return v / np.maximum(M, _LEAST)
    return np.linalg.solve(M, v)


def _symmetric(M):
    return 0.5 * (M + np.swapaxes(M, 1, 2))
