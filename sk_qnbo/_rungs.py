"""The rungs of the ladder: penalty models from most to least constrained."""

from dataclasses import dataclass, field

import numpy as np

from ._stack import ADAPTIVE, CODATA, LEVEL, SCALE


@dataclass(frozen=True)
class Rung:
    """One penalty model of the ladder.

    Attributes
    ----------
    name : str
    free : tuple of int
        Shared coefficients that are tuned (besides the level).
    tau : float
        Strength of the prior on the departures; infinite holds them at zero.
    after : tuple of str
        Rungs of which the best is where this one starts; empty means a scan of the level.
    fixed : dict
        Shared coefficients held at a value.
    prior : dict
        Mean and standard deviation of a Gaussian prior on shared coefficients.
    pilot : bool
        Whether the adaptive column is filled, from the pilot fit of the rung it starts from.
    """

    name: str
    free: tuple = ()
    tau: float = np.inf
    after: tuple = ()
    fixed: dict = field(default_factory=dict)
    prior: dict = field(default_factory=dict)
    pilot: bool = False

    def deviations(self, n_upper, spread):
        """Standard deviations of the shared coefficients under their prior, ``(n_upper,)``.

        Infinite where there is none and for departures. ``spread`` is the unit of the scale
        exponent.
        """
        out = np.full(n_upper, np.inf)
        for index, (_, sd) in self.prior.items():
            out[index] = sd * (spread if index == SCALE else 1.0)
        return out


TAUS = (10.0, 1.0)
# the exponents are few, but a handful of rows can send them far out (docs/quality.md)
PRIOR = {SCALE: (0.5, 0.5), ADAPTIVE: (0.0, 0.3)}
# co-data columns have unit variance
PRIOR_CODATA = (0.0, 1.0)
# Where the classes separate, the log loss of the folds falls for ever as the penalty goes to
# zero, up to the first row on the wrong side; what n rows cannot know is worth a prior.
SEPARABLE = (float(np.log(0.1)), 1.5)


def ladder(
    *,
    scale="learn",
    one_scale=False,
    adaptive=2,
    departures=True,
    n_codata=0,
    taus=TAUS,
    level_prior=None,
):
    """The rungs from most to least constrained.

    Parameters
    ----------
    scale : "learn" or float
        Whether the scale exponent is tuned, or where it is fixed.
    one_scale : bool
        Whether the columns have one variance, whose exponent then means nothing.
    adaptive : {0, 1, 2}
        How many adaptive rungs: the fits of the first are the pilots of the second.
    departures : bool
        Whether those rungs exist.
    n_codata : int
        Covariates of the features.
    taus : sequence of float
        Strengths of the prior on the departures, falling.
    level_prior : tuple of two floats, optional
        Log penalty of a column of unit variance below which the level is held, and how softly.
    """
    held = {} if level_prior is None else {LEVEL: level_prior}
    codata = tuple(range(CODATA, CODATA + n_codata))
    if scale == "learn" and one_scale:
        rungs, free = [Rung("standardised", fixed={SCALE: 1.0}, prior=held)], ()
    elif scale == "learn":
        rungs = [
            Rung("standardised", fixed={SCALE: 1.0}, prior=held),
            Rung("raw", fixed={SCALE: 0.0}, prior=held),
            Rung("learned scale", (SCALE,), after=("standardised", "raw"), prior=held),
        ]
        free = (SCALE,)
    else:
        rungs, free = [Rung("shared", fixed={SCALE: float(scale)}, prior=held)], ()
    held = held | dict.fromkeys(codata, PRIOR_CODATA)
    if codata:
        free = free + codata
        rungs.append(Rung("codata", free, after=(rungs[-1].name,), prior=held))
    prior = held | {index: PRIOR[index] for index in free if index in PRIOR}
    names = ("adaptive", "adaptive twice")[:adaptive]
    if names:
        free, prior[ADAPTIVE] = (*free, ADAPTIVE), PRIOR[ADAPTIVE]
    for name in names:
        rungs.append(Rung(name, free, after=(rungs[-1].name,), pilot=True, prior=prior))
    after = names or (rungs[-1].name,)
    for tau in taus if departures else ():
        # without a prior the departures can say all that the shared coefficients say
        shared = free if tau > 0 else ()
        rungs.append(Rung(f"tau={tau:g}", shared, tau, after=after, prior=prior))
        after = (rungs[-1].name,)
    return rungs
