"""Telling how the search goes: lines of text, and scikit-learn's callbacks where it has them."""

import time
from contextlib import contextmanager, nullcontext

try:  # scikit-learn 1.9 and later (SLEP023)
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method):
        """Stands in where scikit-learn has no callbacks."""
        return method


__all__ = ["CallbackSupportMixin", "Progress", "with_callbacks"]


class Progress:
    """Reports of one search; a context that ends every task it began, also when fit raises.

    The tasks are "fit"; below it "climb", one "cross-fit" a fold, and "refit"; below the climb
    one a rung.

    Parameters
    ----------
    search : estimator
    n_parts : int
        Parts of the work, at most.
    data : dict
        X, y and metadata, for the callbacks.
    """

    def __init__(self, search, n_parts, data):
        self.search, self.data, self.begun = search, data, time.perf_counter()
        self.n_parts, self.root, self.climbing, self.on_rung = n_parts, None, None, None

    def __enter__(self):
        begin = getattr(self.search, "_init_callback_context", None)
        if begin is not None:
            self.root = begin(max_subtasks=self.n_parts)
            self._begin(self.root)
        return self

    def __exit__(self, *error):
        self._end(self.root)

    def _begin(self, task):
        if task is not None:
            task.call_on_fit_task_begin(estimator=self.search, **self.data)

    def _end(self, task):
        if task is not None:
            task.call_on_fit_task_end(estimator=self.search, **self.data)

    @contextmanager
    def part(self, name, n_parts=0, watched=None):
        """One part of the work; yields its task, None where there are no callbacks.

        Callbacks watch the fit of the estimator ``watched`` too, where it supports them.
        """
        task = None
        if self.root is not None:
            task = self.root.subcontext(task_name=name, max_subtasks=n_parts)
        with _propagated(task, watched):
            self._begin(task)
            try:
                yield task
            finally:
                self._end(task)
        self.say(1, f"{name} done")

    @contextmanager
    def climb(self, n_rungs):
        """The climb on all folds, in which :meth:`iteration` and :meth:`rung` are called."""
        with self.part("climb", n_rungs) as self.climbing:
            try:
                yield
            finally:
                self._end_rung()

    def _end_rung(self):
        task, self.on_rung = self.on_rung, None
        self._end(task)

    def iteration(self, rung, row):
        """Watch of one estimate of the upper level."""
        if self.climbing is not None and self.on_rung is None:
            self.on_rung = self.climbing.subcontext(task_name=rung)
            self._begin(self.on_rung)
        self.say(
            2,
            f"  {rung}: loss {row['value']:.6g}, gradient {row['gradient_norm']:.1e}, "
            f"residual {row['residual']:.1e}, products {row['products']}",
        )

    def rung(self, fit):
        """A rung of the climb on all folds is done."""
        self._end_rung()
        self.say(
            1,
            f"rung {fit.rung.name}: loss in the folds {fit.value:.6g}, "
            f"{fit.result.n_iter} steps, {fit.seconds:.2f} s",
        )

    def say(self, level, text):
        """Print a line, where ``verbose`` is at least ``level``."""
        if self.search.verbose >= level:
            print(f"[QNBOSearchCV {time.perf_counter() - self.begun:7.2f} s] {text}", flush=True)


def _propagated(task, estimator):
    """Context in which a task's callbacks watch the fit of an estimator that supports them."""
    if task is None or not hasattr(estimator, "set_callbacks"):
        return nullcontext()
    return task.propagate_callback_context(estimator)
