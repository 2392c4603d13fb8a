"""Validation losses of ridge regression along one common level of the penalties."""

import numpy as np

from .spectrum import eigen_across


class FoldSpectrum:
    """Mean validation loss at all penalties ``c alpha``, from one eigendecomposition a fold.

    With S the weights of a fold's training rows, ``A = S^1/2 X diag(alpha)^-1 X' S^1/2`` on the
    penalised columns and P the projection away from the free columns F of ``S^1/2 X``, the weighted
    residual over c is ``a = U diag(1 / (sigma + c)) U' S^1/2 y`` with ``P A P = U diag(sigma) U'``.
    Predictions of rows V follow from it::

        z_V = X_V diag(alpha)^-1 X' S^1/2 a + F_V gamma,    gamma = F^+ (S^1/2 y - A a)

    Parameters
    ----------
    data : RowData
        With the squared loss.
    inverse : ndarray of shape (1 or n_folds, n_columns)
        Inverse penalties, zero for free columns.
    free : ndarray of int
        Positions of those.
    """

    def __init__(self, data, inverse, free):
        both = data.rows.kernel(inverse), data.rows.columns(free)
        # where the folds share rows and penalties there is one of each
        K, columns = (np.broadcast_to(part, (data.n_stack, *part.shape[1:])) for part in both)
        parts = K, columns, data.train, data.valid
        self.folds = [_Fold(*part, data.loss.targets) for part in zip(*parts, strict=True)]

    def values(self, factors):
        """Mean validation loss of the folds at ``factors[l] * alpha``, ``(n_factors,)``."""
        return np.mean([fold.values(factors) for fold in self.folds], axis=0)


class MomentSpectrum(FoldSpectrum):
    """The same from Gram matrices ``G`` of the folds, on the side of the columns.

    On the penalised columns, with what the free ones F explain taken out of them,
    ``diag(alpha)^-1/2 (G - G_F G_FF^-1 G_F') diag(alpha)^-1/2 = V diag(sigma) V'``, and ::

        w = w_0 + M diag(1 / (sigma + c)) V' diag(alpha)^-1/2 (X'Sy - G_F G_FF^-1 (X'Sy)_F)

    with ``w_0`` the fit of the free columns alone and M the columns of ``diag(alpha)^-1/2 V``
    with what they take from that fit.

    Parameters
    ----------
    data : MomentData
    inverse, free : as above
    """

    def __init__(self, data, inverse, free):
        inverse = np.broadcast_to(inverse, (data.n_stack, data.n_columns))
        parts = data.G, data.c, data.Gv, data.cv, data.yyv, inverse
        self.folds = [_MomentFold(*part, free) for part in zip(*parts, strict=True)]


class _Fold:
    """One fold's validation loss: ``K (n, n)``, free columns ``(n, n_free)``, weights of rows."""

    def __init__(self, K, columns, train, valid, targets):
        fit, judged = np.flatnonzero(train > 0), np.flatnonzero(valid > 0)
        root = np.sqrt(train[fit])
        F, Y = root[:, None] * columns[fit], root[:, None] * targets[:, fit].T
        A = root[:, None] * K[np.ix_(fit, fit)] * root
        U, self.sigma = eigen_across(A, np.linalg.qr(F)[0])
        U *= _beyond_rounding(self.sigma)
        self.coef, back = U.T @ Y, columns[judged] @ np.linalg.pinv(F)
        self.images = K[np.ix_(judged, fit)] @ (root[:, None] * U) - back @ (A @ U)
        self.rest = back @ Y - targets[:, judged].T
        self.weights = valid[judged]

    def values(self, factors):
        parts = 1.0 / (self.sigma[:, None] + factors)
        errors = (
            rest[:, None] + self.images @ (coef[:, None] * parts)
            for rest, coef in zip(self.rest.T, self.coef.T, strict=True)
        )
        return 0.5 * self.weights @ sum(np.square(error) for error in errors)


class _MomentFold:
    """One fold's validation loss, from its moments ``G (D, D)`` and ``c (n_targets, D)``."""

    def __init__(self, G, c, Gv, cv, yyv, inverse, free):
        self.judge = Gv, cv, yyv
        shrink, own = np.sqrt(inverse)[:, None], np.linalg.pinv(G[np.ix_(free, free)])
        take = own @ G[free]  # what free columns say of each column
        A = shrink * (G - G[:, free] @ take) * shrink.T
        self.sigma, V = np.linalg.eigh(0.5 * (A + A.T))
        self.sigma = np.maximum(self.sigma, 0.0)
        self.M = shrink * V
        self.M[free] -= take @ self.M
        self.coef = _beyond_rounding(self.sigma) * (c @ self.M)
        self.alone = np.zeros_like(c)
        self.alone[:, free] = c[:, free] @ own

    def values(self, factors):
        parts, (Gv, cv, yyv) = 1.0 / (self.sigma[:, None] + factors), self.judge
        value = 0.5 * yyv
        for alone, coef, c in zip(self.alone, self.coef, cv, strict=True):
            w = alone[:, None] + self.M @ (coef[:, None] * parts)
            value = value + np.einsum("dl,dl->l", 0.5 * (Gv @ w) - c[:, None], w)
        return value


def _beyond_rounding(sigma):
    """Which eigenvalues are more than rounding; what belongs to others has no part in a fit."""
    return sigma > len(sigma) * np.finfo(float).eps * sigma.max(initial=0.0)
