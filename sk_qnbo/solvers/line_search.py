"""Step lengths by backtracking, one for each member of the stack."""

import numpy as np

MAX_HALVINGS = 40


def backtrack(problem, theta, line, value, slope, max_halvings=MAX_HALVINGS):
    """Halve each step until its lower value falls enough (Armijo, 1966).

    Parameters
    ----------
    line : callable
        Point at step lengths ``t (n_stack,)``.
    value, slope : ndarray of shape (n_stack,)
        Lower values at ``t = 0`` and directional derivatives (negative).

    Returns
    -------
    point, t : the point reached and the step lengths; zero where no step helped.
    """
    t = np.ones_like(value)
    # values carry rounding noise: near the minimum a step cannot be judged finer than this
    noise = 1e-13 * np.abs(value)
    for _ in range(max_halvings):
        point = line(t)
        new = problem.lower_value(theta, point)
        bad = ~(new <= value + 1e-4 * t * slope + noise)
        if not bad.any():
            return point, t
        t = np.where(bad, 0.5 * t, t)
    t = np.where(bad, 0.0, t)
    return line(t), t


def unit_step(problem, theta, line, value, slope):
    """The full step, whatever the value there: same arguments and answer as :func:`backtrack`."""
    t = np.ones_like(value)
    return line(t), t
