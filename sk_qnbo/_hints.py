"""What the climb on all folds tells the climbs of the cross-fit."""

from dataclasses import dataclass, replace

import numpy as np

from ._minimize import resolve_upper
from ._stack import LEVEL, SCALE
from .upper import UpperLBFGS

# pairs of the upper level that are kept where one is a burden on the memory
_FEW_PAIRS = 3


@dataclass(frozen=True)
class Hint:
    """What the climb on all folds found on one rung, to start a climb on some of their rows.

    Attributes
    ----------
    theta : ndarray of shape (n_upper,)
    reference : tuple
        What theta is measured from.
    pairs : tuple of (step, change of the gradient)
        Curvature of the upper level, in the first coordinates of theta, those that are tuned.
    w : ndarray of shape (n_folds, n_lower) or None
        Lower level of each fold.
    """

    theta: np.ndarray
    reference: tuple
    pairs: tuple
    w: np.ndarray | None

    @classmethod
    def of_result(cls, result, reference, rung, n_shared, large):
        """The hint that a rung's result leaves; ``large``: one pair is a burden."""
        pairs = getattr(result.upper_state, "pairs", ())
        if np.isinf(rung.tau):
            pairs = tuple((s[:n_shared].copy(), y[:n_shared].copy()) for s, y in pairs)
        elif large:
            pairs = pairs[-_FEW_PAIRS:]
        return cls(result.theta, reference, pairs, result.w)

    def of(self, folds):
        """The hint for a stack whose members are like some of the folds, or like none (None)."""
        return replace(self, w=None if folds is None else self.w[folds])

    def theta_from(self, reference):
        """Theta measured from another reference: the penalties are the same."""
        theta, (mean, spread), (own_mean, own_spread) = self.theta.copy(), reference, self.reference
        exponent = theta[SCALE] / own_spread
        theta[SCALE] = exponent * spread
        theta[LEVEL] += exponent * (mean - own_mean)
        return theta


def upper_step(method, hint, n_upper):
    """The method's upper step, with the curvature of the hint where it can use it."""
    step = resolve_upper(method.upper)
    if hint is None or not isinstance(step, UpperLBFGS):
        return step
    pairs = [[np.pad(v, (0, n_upper - len(v))) for v in pair] for pair in hint.pairs]
    return replace(step, pairs=tuple(map(tuple, pairs)))
