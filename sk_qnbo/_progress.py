"""Telling how the search goes: lines of text, and scikit-learn's callbacks where it has them."""

import time

try:  # scikit-learn 1.9 and later (SLEP023)
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method):
        return method


class Progress:
    """Reports of one search.

    Parameters
    ----------
    search : estimator
    verbose : int
        0 is silent, 1 tells rungs, 2 iterations too.
    n_tasks : int
        Parts of the work: the climb, one cross-fit a fold, the refit.
    """

    def __init__(self, search, verbose, n_tasks, X, y):
        self.search, self.verbose, self.begun = search, verbose, time.perf_counter()
        self.data = {"X": X, "y": y}
        begin = getattr(search, "_init_callback_context", None)
        self.root = None if begin is None else begin(max_subtasks=n_tasks)
        if self.root is not None:
            self.root.call_on_fit_task_begin(estimator=search, **self.data)

    def part(self, name):
        """One more part of the work is done."""
        if self.root is not None:
            task = self.root.subcontext(task_name=name)
            task.call_on_fit_task_begin(estimator=self.search, **self.data)
            task.call_on_fit_task_end(estimator=self.search, **self.data)
        self.say(1, f"{name} done")

    def end(self):
        if self.root is not None:
            self.root.call_on_fit_task_end(estimator=self.search, **self.data)

    def iteration(self, rung, row):
        """Watch of one estimate of the upper level."""
        self.say(2, f"  {rung}: loss {row['value']:.6g}, gradient {row['gradient_norm']:.1e}, "
                    f"residual {row['residual']:.1e}, products {row['products']}")

    def rung(self, fit):
        self.say(1, f"rung {fit.rung.name}: loss in the folds {fit.value:.6g}, "
                    f"{fit.result.n_iter} steps, {fit.seconds:.2f} s")

    def say(self, level, text):
        if self.verbose >= level:
            print(f"[QNBOSearchCV {time.perf_counter() - self.begun:7.2f} s] {text}", flush=True)
