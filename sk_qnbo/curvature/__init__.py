"""Quasi-Newton matrices and their start matrices."""

from .bfgs import BFGS
from .sr1 import SR1
from .start import STARTS

CURVATURES = {"bfgs": BFGS, "sr1": SR1}

__all__ = ["BFGS", "CURVATURES", "SR1", "STARTS"]
