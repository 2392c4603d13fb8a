"""Bilevel problems: the protocol, tuning of penalties, a quadratic, cleaning, few-shot tasks."""

from .base import BilevelProblem
from .cleaning import DataCleaning
from .counting import CountedProblem
from .data import MomentData, RowData
from .few_shot import FewShot
from .linear import LinearProblem, linear_data
from .losses import LOSSES, BinaryLogLoss, SoftmaxLogLoss, SquaredLoss
from .penalties import LogLinearPenalty
from .quadratic import Quadratic
from .rows import FoldRows, Rows

__all__ = [
    "BilevelProblem",
    "BinaryLogLoss",
    "CountedProblem",
    "DataCleaning",
    "FewShot",
    "FoldRows",
    "LOSSES",
    "LinearProblem",
    "LogLinearPenalty",
    "MomentData",
    "Quadratic",
    "RowData",
    "Rows",
    "SoftmaxLogLoss",
    "SquaredLoss",
    "linear_data",
]
