"""A limit on time, shared among parts of the work that follow one another."""

import math
from dataclasses import dataclass

# The wall clock: the one that workers in other processes and on other machines read too.
from time import time as now


@dataclass(frozen=True)
class Deadline:
    """When to end; a part's deadline is cut from that of the whole as the part begins.

    So a part that ends early leaves its time to those behind it, and nothing has to be kept
    or sent between workers.

    Attributes
    ----------
    at : float
        Time of the wall clock; infinite where there is no limit.
    """

    at: float = math.inf

    @classmethod
    def after(cls, seconds):
        """Deadline that many seconds from now; never where they are None."""
        return cls() if seconds is None else cls(now() + seconds)

    @property
    def left(self):
        """Seconds that are left, zero or more; None where there is no limit."""
        return None if math.isinf(self.at) else max(self.at - now(), 0.0)

    def part(self, n_parts):
        """Deadline of the part that begins now, the first of ``n_parts`` that are left."""
        return self if math.isinf(self.at) else Deadline.after(self.left / n_parts)


def rounds(n_tasks, n_workers):
    """Parts one after another that tasks side by side amount to."""
    return math.ceil(n_tasks / n_workers)
