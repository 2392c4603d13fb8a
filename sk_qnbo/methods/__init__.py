"""The bilevel methods, by name: the only list.

Sources stand at the top of each file, with the paper's number of an algorithm or its name where
its number was not to be had. A line here is one method, or a setting of one.
"""

from .aid import AID
from .bamm import BAMM
from .base import Estimate, Method
from .first_order import BOME, F2SA
from .qnbo import QNBO
from .shine import ShineOPA, ShineRefine
from .single_loop import SingleLoop
from .unrolled import ITD
from .zeroth_order import PZOBO

# rows a stochastic step sees, and its length: a batch bends more here and there than all rows do
_BATCH = {"batch_size": 64, "rel_step": 0.5}
# one step more with the same Hessian goes twice as far
_NEWTON = {"n_products": 1, "ahead": True}
_NEWTON_BATCH = _NEWTON | {"batch_size": 64, "rel_step": 0.25}

METHODS = {
    # Fang et al. (ICLR 2025, arXiv 2502.01076), algorithms 1 to 3 with 4 (BFGS) or 5 (SR1)
    "qnbo-bfgs": QNBO(),
    "qnbo-sr1": QNBO(formula="sr1"),
    # fits and adjoints of few steps each, both from where the last theta left them: amortised as
    # AmIGO (Arbel, Mairal, ICLR 2022, arXiv 2111.14580), with the steps of qNBO
    "qnbo-amortised": QNBO(max_iter=10, n_refine=10, upper="adam", accuracy=1e-2),
    # the implicit function theorem; conjugate gradients for where the start is not the whole
    # Hessian (softmax with few rows)
    "exact": QNBO(
        exact=True,
        refinement="cg",
        n_refine=300,
        adjoint_tol=1e-9,
        tol=1e-8,
        accuracy=1e-6,
    ),
    # Ramzi et al. (ICLR 2022, arXiv 2106.00553): SHINE, its OPA, its refinement
    "shine": QNBO(n_refine=0, accuracy=1.0),
    "shine-opa": ShineOPA(),
    "shine-refine": ShineRefine(),
    # Fung et al. (AAAI 2022, arXiv 2103.12803): JFB
    "jacobian-free": AID(n_products=0, amortised=False, system="gd", accuracy=1.0),
    # Pedregosa (ICML 2016, arXiv 1602.02355), HOAG: L-BFGS below, warm conjugate gradients for the
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
    "aid-cg": AID(n_steps=30, n_products=30),
    "aid-neumann": AID(n_steps=30, n_products=30, system="gd", amortised=False, accuracy=0.1),
    "itd": ITD(),
    "stocbio": AID(system="gd", amortised=False, accuracy=0.5, **_BATCH),
    "amigo-gd": AID(system="gd"),
    "amigo-cg": AID(),
    "amigo-sgd": AID(system="gd", accuracy=0.3, **_BATCH),
    "soba": SingleLoop(decay=0.4, accuracy=0.3, **_BATCH),
    "saba": SingleLoop(saga=True, **_BATCH),
    "ma-soba": SingleLoop(decay=0.4, accuracy=0.3, upper="momentum", **_BATCH),
    "ma-saba": SingleLoop(saga=True, upper="momentum", **_BATCH),
    "pzobo": PZOBO(),
    "pzobo-s": PZOBO(**_BATCH),
    "nbo-gd": SingleLoop(**_NEWTON),
    "nbo-cg": SingleLoop(n_products=10, ahead=True, system="cg"),
    "nsbo-sgd": SingleLoop(accuracy=0.3, **_NEWTON_BATCH),
    "nsbo-saga": SingleLoop(saga=True, **_NEWTON_BATCH),
    "ma-nsbo-saga": SingleLoop(saga=True, upper="momentum", **_NEWTON_BATCH),
    "bome": BOME(),
    "f2sa": F2SA(),
    "f3sa": F2SA(momentum=0.1, n_steps=1, accuracy=0.5, **_BATCH),
    "bamm-nbo": BAMM(),
}

__all__ = [
    "AID",
    "BAMM",
    "BOME",
    "F2SA",
    "ITD",
    "METHODS",
    "PZOBO",
    "QNBO",
    "Estimate",
    "Method",
    "ShineOPA",
    "ShineRefine",
    "SingleLoop",
]
