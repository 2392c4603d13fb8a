"""Tasks side by side: joblib, with scikit-learn's configuration carried to every worker."""

import warnings

from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

__all__ = ["effective_n_jobs", "in_order"]


def in_order(function, tasks, n_jobs):
    """Results of a function, as they are done, in the order of its tasks.

    Parameters
    ----------
    function : callable
    tasks : iterable of tuple
        Arguments of each call.
    n_jobs : int or None
        As joblib has it, with whatever backend is set; threads by default.

    Returns
    -------
    generator
        Closing it gives up the tasks that are not done.
    """
    how = {"n_jobs": n_jobs, "prefer": "threads"}
    try:
        parallel = Parallel(return_as="generator", **how)
    except ValueError:  # joblib's multiprocessing gives results only when all are done
        parallel = Parallel(**how)
    results = parallel(delayed(function)(*task) for task in tasks)
    try:
        # "yield from" would close them itself, and joblib would warn
        for result in results:  # noqa: UP028
            yield result
    finally:
        _give_up(results)


def _give_up(results):
    """End what is under way; joblib would warn of it, but it is meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tasks which", category=UserWarning)
        if hasattr(results, "close"):
            results.close()
