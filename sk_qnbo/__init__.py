"""Tune the penalties of linear models by gradient: quasi-Newton bilevel optimization."""

from ._minimize import BilevelResult, judge, minimize_bilevel
from ._search import QNBOSearchCV
from .linear_model import (
    MultiPenaltyLogisticRegression,
    MultiPenaltyRidge,
    MultiPenaltyRidgeClassifier,
)
from .methods import METHODS
from .problems import BilevelProblem, CountedProblem

__version__ = "0.1.0.dev0"

__all__ = [
    "METHODS",
    "BilevelProblem",
    "BilevelResult",
    "CountedProblem",
    "MultiPenaltyLogisticRegression",
    "MultiPenaltyRidge",
    "MultiPenaltyRidgeClassifier",
    "QNBOSearchCV",
    "judge",
    "minimize_bilevel",
]
