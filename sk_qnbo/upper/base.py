"""How theta moves: a step is asked for after every estimate, bounds are always kept."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Box:
    """Bounds of theta; a coordinate with equal bounds stands still."""

    low: np.ndarray
    high: np.ndarray

    def clip(self, theta):
        return np.clip(theta, self.low, self.high)

    def free(self, theta, gradient):
        """Coordinates that may move downhill from ``theta``."""
        stuck = ((theta <= self.low) & (gradient >= 0)) | ((theta >= self.high) & (gradient <= 0))
        return ~stuck & (self.low < self.high)

    def projected(self, theta, gradient):
        """Gradient without the components that the bounds hold."""
        return np.where(self.free(theta, gradient), gradient, 0.0)
