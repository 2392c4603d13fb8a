"""Factors of stacked positive definite matrices, applied to a whole stack at once."""

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs, dtrtri

_TINY = np.finfo(float).tiny
# a diagonal entry this small beside the others is zero up to rounding
_ZERO = 1e-14
# order up to which an inverse root is worth its making: one product then serves the whole stack
_SMALL = 100


def _root(matrix):
    """Lower Cholesky factor of a matrix scaled to a unit diagonal, and the scale.

    A singular matrix is lifted until it has one. Scaled so, a huge penalty on one coefficient
    neither hides nor lifts the others.
    """
    diagonal = np.diagonal(matrix)
    positive = diagonal[diagonal > _TINY]
    floor = _ZERO * np.sort(positive)[len(positive) // 2] if len(positive) else 1.0
    shrink = 1.0 / np.sqrt(np.maximum(diagonal, max(floor, _TINY)))
    matrix = shrink[:, None] * matrix * shrink
    lift = 0.0
    while lift <= 10.0 * len(matrix):
        root, failed = dpotrf(matrix, lower=1, clean=1)
        if not failed and np.isfinite(root[-1]).all() and np.diagonal(root).min() > _ZERO:
            return root, shrink
        step = max(10.0 * lift, 1e-14)
        matrix = matrix + (step - lift) * np.eye(len(matrix))
        lift = step
    return np.eye(len(matrix)), shrink  # not a number anywhere: the residual will say so


class DenseFactor:
    """Inverses of ``matrices (A, B, N, N)``, for vectors ``(n_stack, n_blocks, N)``.

    A is 1 or n_stack, B is 1 or n_blocks: what is shared is factored once and
    applied as one matrix product.
    """

    def __init__(self, matrices):
        self.batch = matrices.shape[:2]
        flat = matrices.reshape(-1, *matrices.shape[2:])
        roots = [_root(M) for M in flat]
        self._apply = _by_products(roots) if flat.shape[-1] <= _SMALL else _by_backsolves(roots)

    def solve(self, v):
        A, B = self.batch
        K, C, N = v.shape
        if self.batch == (K, C):
            return self._apply(v.reshape(K * C, 1, N)).reshape(v.shape)
        grouped = v.reshape(A, K // A, B, C // B, N).transpose(0, 2, 1, 3, 4)
        flat = self._apply(grouped.reshape(A * B, -1, N))
        flat = flat.reshape(A, B, K // A, C // B, N).transpose(0, 2, 1, 3, 4)
        return flat.reshape(K, C, N)


def _by_products(roots):
    inverse = np.stack([dtrtri(root, lower=1)[0] * shrink for root, shrink in roots])
    transposed = inverse.transpose(0, 2, 1)
    return lambda flat: (flat @ transposed) @ inverse


def _by_backsolves(roots):
    def apply(flat):
        out = np.empty_like(flat)
        for (root, shrink), v, u in zip(roots, flat, out, strict=True):
            u[:] = (dpotrs(root, (v * shrink).T, lower=1)[0] * shrink[:, None]).T
        return out

    return apply
