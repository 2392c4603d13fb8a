"""Factors of stacked positive definite matrices, applied to a whole stack at once."""

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

_TINY = np.finfo(float).tiny
# a diagonal entry this small beside the others is zero up to rounding
_ZERO = 1e-14


def _inverse_root(matrix):
    """Inverse of the lower Cholesky factor; a singular matrix is lifted until it has one.

    Worked on with a unit diagonal, so that a huge penalty on one coefficient
    neither hides nor lifts the others.
    """
    diagonal = np.diagonal(matrix)
    positive = diagonal[diagonal > _TINY]
    floor = _ZERO * float(np.median(positive)) if len(positive) else 1.0
    shrink = 1.0 / np.sqrt(np.maximum(diagonal, max(floor, _TINY)))
    matrix = shrink[:, None] * matrix * shrink
    lift = 0.0
    while lift <= 10.0 * len(matrix):
        root, failed = dpotrf(matrix, lower=1, clean=1)
        if not failed:
            inverse, failed = dtrtri(root, lower=1)
            if not failed and np.isfinite(inverse).all():
                return inverse * shrink
        step = max(10.0 * lift, 1e-14)
        matrix = matrix + (step - lift) * np.eye(len(matrix))
        lift = step
    return np.diag(shrink)  # not a number anywhere: the residual will say so


class DenseFactor:
    """Inverses of ``matrices (A, B, N, N)``, for vectors ``(n_stack, n_blocks, N)``.

    A is 1 or n_stack, B is 1 or n_blocks: what is shared is factored once and
    applied as one matrix product.
    """

    def __init__(self, matrices):
        self.batch = matrices.shape[:2]
        flat = matrices.reshape(-1, *matrices.shape[2:])
        self.roots = np.stack([_inverse_root(M) for M in flat])

    def solve(self, v):
        A, B = self.batch
        K, C, N = v.shape
        grouped = v.reshape(A, K // A, B, C // B, N).transpose(0, 2, 1, 3, 4)
        flat = grouped.reshape(A * B, -1, N)
        flat = (flat @ self.roots.transpose(0, 2, 1)) @ self.roots
        flat = flat.reshape(A, B, K // A, C // B, N).transpose(0, 2, 1, 3, 4)
        return flat.reshape(K, C, N)
