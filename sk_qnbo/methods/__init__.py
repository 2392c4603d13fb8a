"""The bilevel methods, by name: the only list."""

from .base import Estimate, Method
from .qnbo import QNBO

METHODS = {
    "qnbo-bfgs": QNBO(),
    "qnbo-sr1": QNBO(formula="sr1"),
    # conjugate gradients for where the start is not the whole Hessian (softmax with few rows)
    "exact": QNBO(
        exact=True,
        refinement="cg",
        n_refine=300,
        adjoint_tol=1e-9,
        tol=1e-8,
        accuracy=1e-6,
    ),
    "shine": QNBO(n_refine=0, accuracy=1.0),
    # Pedregosa (ICML 2016, arXiv 1602.02355): L-BFGS below, warm conjugate gradients for the
    # adjoint, both to a tolerance that falls geometrically; nothing shared between the two
    "hoag": QNBO(
        refinement="cg",
        start_kind="diagonal",
        share=False,
        n_refine=300,
        tol=1e-3,
        adjoint_tol=1e-1,
        tol_decay=0.9,
        max_iter=1000,
    ),
}

__all__ = ["METHODS", "QNBO", "Estimate", "Method"]
