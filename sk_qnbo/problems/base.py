"""The protocol every bilevel problem speaks: a stack of lower problems under one upper variable."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StartPlan:
    """How a problem wants its start matrix: a setting, which a method may overrule.

    Attributes
    ----------
    kind : {"cholesky", "woodbury", "diagonal", "row space"}
    shared : bool
        One data Hessian for the whole stack instead of one each.
    patience : int
        Quasi-Newton steps after which building the start anew pays.
    constant : bool
        The data's Hessian does not depend on ``w``: never build it again.
    full : bool
        The whole Hessian of each problem instead of its diagonal blocks.
    slack : float
        Factor on a method's tolerances: what a rough start matrix can reach in fair time.
    max_pairs : int or None
        Pairs that are worth their memory, where vectors are long.
    """

    kind: str = "diagonal"
    shared: bool = False
    patience: int = 50
    constant: bool = False
    full: bool = False
    slack: float = 1.0
    max_pairs: int | None = None


class BilevelProblem:
    """Oracles of ``min_theta mean_k f_k(w_k*(theta))`` with ``w_k* = argmin_w g_k(theta, w)``.

    Lower problems that share ``theta`` are solved side by side: every array of
    the lower level has shape ``(n_stack, n_lower)``, every reduction runs along
    the last axis, and no method loops over the stack. Subclass it and write the
    five oracles below; the rest has defaults.

    Attributes
    ----------
    n_stack, n_lower, n_upper : int
        Number of lower problems, lower variables of each, upper variables.
    unit : float
        What one unit of the lower objective is worth (the number of rows where
        it is a sum over rows). Residuals are measured in it.
    n_terms : int
        Terms that the objectives are sums of, as far as :meth:`batch` can take them apart;
        1 where there is nothing to draw, so that stochastic methods see the whole problem.

    Notes
    -----
    A *point* is a place of the lower level with what is cheap to remember there
    (for a linear model the predictions ``X w``). By default a point is the array
    itself; :meth:`at`, :meth:`line` and :meth:`array` are the only places that know.
    """

    n_stack = 1
    unit = 1.0
    n_terms = 1
    start_plan = StartPlan()

    # -- the oracles -------------------------------------------------------------------------
    def lower(self, theta, w):
        """Lower values ``(n_stack,)`` and gradients ``(n_stack, n_lower)`` at ``w``."""
        raise NotImplementedError

    def hvp(self, theta, w, v):
        """Product of each lower Hessian with ``v``, shape ``(n_stack, n_lower)``."""
        raise NotImplementedError

    def cross(self, theta, w, u):
        """Sum over the stack of ``d/dtheta <grad_w g_k, u_k>``, shape ``(n_upper,)``."""
        raise NotImplementedError

    def upper(self, theta, w):
        """Upper value (a float) and its gradients in ``theta`` and ``w``."""
        raise NotImplementedError

    def curvature_bound(self, theta):
        """Upper bounds on the diagonal of each lower Hessian, shape ``(n_stack, n_lower)``."""
        raise NotImplementedError

    # -- what a problem may know besides ------------------------------------------------------
    def lower_value(self, theta, w):
        """Lower values alone, where they come cheaper than with the gradient."""
        return self.lower(theta, w)[0]

    def diagonal(self, theta):
        """Diagonal through which alone ``theta`` enters the lower Hessian, or None.

        Where it is known, curvature pairs are kept along ``theta`` (structured
        quasi-Newton; Dennis, Martinez and Tapia, 1989).
        """
        return None

    def data_diagonal(self, w):
        """Diagonal of the part of the lower Hessian that ``theta`` does not move."""
        return self.curvature_bound(np.zeros(self.n_upper))

    def values_along(self, theta, q, values):
        """Upper values with coordinate q of theta at each of ``values``; None where not cheap."""
        return None

    def batch(self, part, n_parts):
        """One of ``n_parts`` shares of the terms, as a problem like this one.

        The parts are disjoint and always the same, and their terms are weighted up, so that the
        mean of any oracle over all parts at one ``(theta, w)`` is this problem's own. ``unit``,
        ``n_stack``, ``n_lower`` and ``n_upper`` stay. Points of a part are its own: go from one
        to the other by arrays.

        Parameters
        ----------
        part : int
            From 0 to ``n_parts - 1``.
        n_parts : int
            At most ``n_terms``; 1 gives the problem itself.
        """
        if n_parts == 1:
            return self
        raise ValueError(
            f"{type(self).__name__} cannot be cut into {n_parts} batches; set n_terms = 1, or "
            "write batch(part, n_parts)."
        )

    def initial(self):
        """Where the lower level starts cold, an array ``(n_stack, n_lower)``."""
        return np.zeros((self.n_stack, self.n_lower))

    # -- points -------------------------------------------------------------------------------
    # what a method must bear (``Method.coordinates``)
    coordinates = "fixed"

    @property
    def coordinates_follow_theta(self):
        """Whether a point must be carried from theta to theta; curvature is void at the next."""
        return self.coordinates != "fixed"

    def at(self, w):
        """Point at the array ``w``."""
        return w

    def carry(self, theta, point):
        """The point as it stands under ``theta``; itself, unless coordinates follow theta."""
        return point

    def settled(self, point):
        """The point without what is only remembered for speed."""
        return point

    def array(self, point):
        """Array ``(n_stack, n_lower)`` of a point."""
        return point

    def line(self, point, step):
        """Function of step lengths ``t (n_stack,)`` giving the point ``point + t step``."""
        return lambda t: point + t[:, None] * step
