"""A problem that counts the work asked of it, so that methods carry no counters."""

from collections import Counter


class CountedProblem:
    """Wrap a problem and count oracle calls and, for linear models, products with X.

    Attributes
    ----------
    calls : collections.Counter
        Number of calls by oracle name; one on a batch counts as the batch's share.
    """

    ORACLES = ("lower", "lower_value", "hvp", "cross", "upper", "data_hessian", "data_rows")

    def __init__(self, problem, calls=None, share=1):
        self.problem, self.share = problem, share
        self.calls = Counter() if calls is None else calls

    def batch(self, part, n_parts):
        """A part that counts into the same calls."""
        if n_parts == 1:
            return self
        return CountedProblem(self.problem.batch(part, n_parts), self.calls, self.share / n_parts)

    def __getattr__(self, name):
        value = getattr(self.problem, name)
        if name not in self.ORACLES:
            return value

        def counted(*args, **kwargs):
            self.calls[name] += self.share
            return value(*args, **kwargs)

        return counted

    @property
    def products(self):
        """Products of X with one vector over all rows, where the problem counts them."""
        return getattr(self.problem, "products", 0)
