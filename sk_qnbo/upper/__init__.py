"""How theta moves."""

from .base import Box
from .lbfgs import UpperLBFGS

UPPER_STEPS = {"lbfgs": UpperLBFGS()}

__all__ = ["Box", "UPPER_STEPS", "UpperLBFGS"]
