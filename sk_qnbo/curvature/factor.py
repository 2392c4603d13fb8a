"""Factors of stacked positive definite matrices, applied to a whole stack at once."""

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri


def _inverse_root(matrix):
    """Inverse of the lower Cholesky factor; a singular matrix is lifted until it has one."""
    lift = 0.0
    scale = max(float(np.trace(matrix)) / len(matrix), np.finfo(float).tiny)
    while True:
        root, failed = dpotrf(matrix, lower=1, clean=1)
        if not failed:
            inverse, failed = dtrtri(root, lower=1)
            if not failed and np.isfinite(inverse).all():
                return inverse
        step = max(10.0 * lift, 1e-14 * scale)
        matrix = matrix + (step - lift) * np.eye(len(matrix))
        lift = step


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
