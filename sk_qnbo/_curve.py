"""The lowest point of the upper objective along one coordinate, where many values are cheap."""

import numpy as np

# a quarter of a decade: the curve of one level is a sum of steps no narrower than a few of these
_STEP = np.log(10.0) / 4
# twice by a factor of twelve, then a parabola: a thousandth of a step is left
_N_ZOOMS, _N_POINTS = 2, 25


def lowest_along(problem, theta, q, low, high, flat):
    """Where on a fine grid of coordinate q the upper value is lowest, refined; or None.

    Parameters
    ----------
    problem : BilevelProblem
        With :meth:`~sk_qnbo.problems.base.BilevelProblem.values_along`; None where that is None.
    theta : ndarray of shape (n_upper,)
    q : int
    low, high : float
    flat : float
        Part of the lowest value within which others are as low: where they are all the way down to
        no penalty, the highest is the best conditioned, and the one where features can be told
        apart.
    """
    at = np.linspace(low, high, max(int((high - low) / _STEP), 2) + 1)
    values = problem.values_along(theta, q, at)
    if values is None:
        return None
    values = np.where(np.isnan(values), np.inf, values)
    best = int(np.flatnonzero(values <= values.min() + flat * abs(values.min()))[-1])
    for _ in range(_N_ZOOMS):
        at = np.linspace(at[max(best - 1, 0)], at[min(best + 1, len(at) - 1)], _N_POINTS)
        values = problem.values_along(theta, q, at)
        best = int(np.argmin(values))
    return _vertex(at, values)


def _vertex(at, values):
    """Lowest point of the parabola through the best of the points and its neighbours."""
    best = int(np.argmin(values))
    if best in (0, len(at) - 1):
        return float(at[best])
    before, here, after = values[best - 1 : best + 2]
    if not np.isfinite(before + after):
        return float(at[best])
    bend = before - 2.0 * here + after
    shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    return float(at[best] + shift * (at[1] - at[0]))
