"""Levels and shared coefficients that end at their bounds: which, and what a user can do."""

import numpy as np

from ._stack import ADAPTIVE, CODATA, LEVEL, SCALE

# Bounds closer together than this, as logarithms of penalties, hold nothing back: where the columns
# have nearly the same variance, the scale exponent says nothing.
_NARROW = 1.0
# part of the loss that the next unit beyond a bound must promise to be worth a word
_WORTH = 0.05


def at_bounds(rung, result, low, high, spread):
    """Shared coefficients of a rung that ended at a bound of theirs, with something beyond.

    An adaptive term of zero is none, and no bound that holds anything back.

    Parameters
    ----------
    rung : Rung
    result : BilevelResult
    low, high : ndarray of shape (n_upper,)
    spread : float
        Spread of the columns' log variances, the unit of the scale exponent in theta.

    Returns
    -------
    tuple of (int, float)
        Position in theta, and the bound in the user's units.
    """
    theta, ended = result.theta, []
    for index in rung.free:
        unit = spread if index == SCALE else 1.0
        if abs(result.gradient[index]) * unit < _WORTH * abs(result.value):
            continue
        for bound in (low[index], high[index]):
            natural = index == ADAPTIVE and bound == 0.0
            near = np.isclose(theta[index], bound, rtol=1e-9, atol=1e-12)
            if near and not natural and high[index] - low[index] > _NARROW:
                ended.append((index, float(bound / unit)))
    return tuple(ended)


def level_end(rung, theta, box, bounds, departures):
    """Which bound the common level of the penalties ended at.

    Without a prior each departure has the bounds in its place, or stands with the level. Many end
    at the upper one, which leaves a feature out: that is told of where all do, and the lower one
    where most do.

    Parameters
    ----------
    rung : Rung
    theta : ndarray of shape (n_upper,)
    box : tuple of two ndarrays of shape (n_upper,)
        Bounds of theta.
    bounds : tuple of two floats
        Those of the level.
    departures : ndarray of int
        Positions in theta of the departures that say something.

    Returns
    -------
    "lower", "upper" or None
    """
    low, high = theta[LEVEL] <= bounds[0] + 1e-9, theta[LEVEL] >= bounds[1] - 1e-9
    if rung.tau == 0.0:
        delta, lowest, highest = (t[departures] for t in (theta, *box))
        low = np.mean((delta <= lowest + 1e-9) | (low & (delta == 0.0))) > 0.5
        high = ((delta >= highest - 1e-9) | (high & (delta == 0.0))).all()
    return "upper" if high else "lower" if low else None


def level_advice(rung, end, bounds):
    """What a warning says of a level that ended at a bound, as :func:`level_end` has it."""
    bound = bounds[end == "upper"]
    several = "all" if end == "upper" else "most"
    who = f"{several} penalties" if rung.tau == 0.0 else "the common level of the penalties"
    told = (
        f"{who} of rung {rung.name!r} ended at the {end} bound {bound:g} (of alpha_bounds, for "
        "columns of unit variance); "
    )
    if end == "upper":
        return told + (
            "the stronger the penalty, the better in the folds. Where that bound is large, X may "
            "tell nothing of y; if it should, look at the data and the folds, or raise the bound."
        )
    return told + (
        "the weaker the penalty, the better in the folds. Where that bound is small, no penalty is "
        "wanted: rows are many for their columns, y is nearly a function of X, or X separates the "
        "classes. Lower the bound to go on, or raise it where coefficients are too large."
    )


def advice(rung, index, bound, codata):
    """What a warning says of a coefficient that ended at a bound.

    Parameters
    ----------
    rung : str
    index : int
        Position in theta.
    bound : float
    codata : as given to the search

    Returns
    -------
    str
    """
    if index == SCALE:
        return (
            f"the scale exponent of rung {rung!r} ended at its bound {bound:g}; what would be best "
            "lies beyond. Set scale=1 and give the logarithm of the columns' variances as codata, "
            "whose weight has wider bounds, or fix the exponent by another number."
        )
    if index == ADAPTIVE:
        return (
            f"the adaptive term of rung {rung!r} ended at its bound {bound:g}; features that the "
            "pilot fit finds small are all but left out. Select features before, or set "
            "adaptive=False if that is not wanted."
        )
    name = _name(codata, index - CODATA)
    return (
        f"the weight of codata column {name!r} on rung {rung!r} ended at its bound {bound:g} (of a "
        "column of unit variance); what would be best lies beyond. Take ranks or logarithms of a "
        "column that a few features dominate, or make groups of it for penalty."
    )


def _name(codata, position):
    columns = getattr(codata, "columns", None)
    if columns is not None:
        return columns[position]
    return getattr(codata, "name", None) or position
