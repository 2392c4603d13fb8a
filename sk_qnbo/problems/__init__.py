"""Bilevel problems: the protocol, tuning of penalties, a quadratic, cleaning, few-shot tasks."""

from .base import BilevelProblem
from .cleaning import DataCleaning
from .counting import CountedProblem
from .data import MomentData, RowData
from .few_shot import FewShot
from .free_columns import check_free_columns, redundant_columns
from .held_out import HeldOut
from .linear import LinearProblem, linear_data
from .loo import LooProblem
from .losses import LOSSES, BinaryLogLoss, SoftmaxLogLoss, SquaredLoss
from .penalties import LogLinearPenalty
from .quadratic import Quadratic
from .row_side import RowSideProblem, row_side_pays
from .row_space import RowSpaceProblem, row_space_pays
from .rows import DenseRows, SparseRows, rows_of
from .stacked_rows import FoldRows

__all__ = [
    "BilevelProblem",
    "BinaryLogLoss",
    "CountedProblem",
    "DataCleaning",
    "FewShot",
    "DenseRows",
    "FoldRows",
    "HeldOut",
    "LOSSES",
    "LinearProblem",
    "LogLinearPenalty",
    "LooProblem",
    "MomentData",
    "Quadratic",
    "RowData",
    "RowSideProblem",
    "RowSpaceProblem",
    "SoftmaxLogLoss",
    "SparseRows",
    "SquaredLoss",
    "check_free_columns",
    "linear_data",
    "redundant_columns",
    "row_side_pays",
    "row_space_pays",
    "rows_of",
]
