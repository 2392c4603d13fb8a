"""How theta moves."""

from .base import Box
from .descent import UpperAdam, UpperDescent
from .hoag_step import UpperHOAG
from .lbfgs import UpperLBFGS

UPPER_STEPS = {
    "lbfgs": UpperLBFGS(),
    "descent": UpperDescent(),
    "momentum": UpperDescent(average=0.3),
    "adam": UpperAdam(),
    "hoag": UpperHOAG(),
}

__all__ = ["Box", "UPPER_STEPS", "UpperAdam", "UpperDescent", "UpperHOAG", "UpperLBFGS"]
