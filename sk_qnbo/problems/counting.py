"""A problem that counts the work asked of it, so that methods carry no counters."""

from collections import Counter


class CountedProblem:
    """Wrap a problem and count oracle calls and, for linear models, products with X.

    Attributes
    ----------
    calls : collections.Counter
        Number of calls by oracle name.
    """

    ORACLES = ("lower", "lower_value", "hvp", "cross", "upper", "data_hessian", "data_rows")

    def __init__(self, problem):
        self.problem = problem
        self.calls = Counter()

    def __getattr__(self, name):
        value = getattr(self.problem, name)
        if name not in self.ORACLES:
            return value

        def counted(*args, **kwargs):
            self.calls[name] += 1
            return value(*args, **kwargs)

        return counted

    @property
    def products(self):
        """Products of X with one vector over all rows, where the problem counts them."""
        return getattr(self.problem, "products", 0)
