"""What a search found: the table, the choice, and what the user should be told."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ._bounds import advice, level_advice
from ._checks import check_refit_names_a_metric
from ._minimize import resolve_method
from ._results import results_table, standard_errors


def usable(judged):
    """The folds that could be left out, and their outer fits; an error where none could."""
    kept = [k for k, one in enumerate(judged) if one is not None]
    if not kept:
        raise ValueError(
            "cross-fitting needs folds inside the training rows of a fold, and cv gives none: "
            f"with {len(judged)} split(s) nothing is left inside to choose a rung by. Give more "
            "splits, or a number for shrinkage."
        )
    return kept, [judged[k] for k in kept]


def deciding_metric(search, judged):
    """Name of the metric that chooses the rung; None where a callable or nobody does.

    An error where several metrics are given and none is named, or where the scores of the
    one that decides are not numbers.
    """
    metrics = list(judged[0].scores)
    if metrics == ["score"]:
        metric = "score"
    else:
        check_refit_names_a_metric(search.refit, metrics)
        metric = search.refit if isinstance(search.refit, str) else None
    for one in judged:
        if metric is not None and not np.isfinite(one.scores[metric]).all():
            raise ValueError(
                f"scoring gives {one.scores[metric][0]} on the {len(one.rows)} rows of a "
                "validation fold, so that rungs cannot be compared. If the metric needs rows of "
                "every class, use StratifiedKFold or fewer splits, or another metric."
            )
    return metric


def tabulate(search, fits, params, judged, believed, kept, n_splits):
    """The results table, with standard errors by the deciding metric."""
    reached, metrics = len(fits), list(judged[0].scores)
    metric = deciding_metric(search, judged) or metrics[0]
    scores = {m: np.stack([j.scores[m][:reached] for j in judged]) for m in metrics}
    believed = np.stack([one.scores[metric][:reached] for one in believed]).mean(axis=0)
    values, weights = scores[metric].T, None
    if search.scoring is None:  # the smooth loss: its rows say more than its folds
        values = -np.concatenate([j.losses[:reached] for j in judged], axis=1)
        weights = np.concatenate([j.weights for j in judged])
    errors = standard_errors(values, weights)
    return results_table(params, scores, believed, errors, fits, judged, kept, n_splits)


def chosen_rung(search, table, fits, metric, guarded):
    """Index of the rung to use; None where several metrics are given and none decides."""
    if callable(search.refit):
        return _checked_index(search.refit(table), len(fits))
    if metric is None:
        return None
    if not guarded:
        return len(fits) - 1
    # the first of the best: the most constrained; a rule of ties costs more (docs/quality.md)
    return int(np.argmax(table[f"mean_test_{metric}"]))


def _checked_index(index, n_rungs):
    if not isinstance(index, Integral):
        raise TypeError(
            f"refit returned {index!r} from cv_results_; it must return an integer, the row of "
            "the rung to use."
        )
    if not 0 <= index < n_rungs:
        raise IndexError(
            f"refit returned {index} from cv_results_, which has {n_rungs} rows; return 0 to "
            f"{n_rungs - 1}."
        )
    return int(index)


def history(fits):
    """One row an upper iteration, as a dict of arrays."""
    rows = [
        {"rung": fit.rung.name, "iteration": i, **row}
        for fit in fits
        for i, row in enumerate(fit.result.history)
    ]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def late(fits, judged):
    """Names of the rungs, among those reached, that the limit on time cut short in some part."""
    cut = {fit.rung.name for fit in fits if fit.late}.union(*(one.late for one in judged))
    return [fit.rung.name for fit in fits if fit.rung.name in cut]


def warn_of(search, fits, guarded, n_rungs, late, constant, rounding):
    """Say what the user should know of a fitted search: time, bounds, limits, optimism.

    Losses below ``rounding`` tell nothing.
    """
    index = getattr(search, "best_index_", None)
    chosen = None if index is None else fits[index]
    if len(fits) < n_rungs or late:
        _warn(_out_of_time(search, f"{len(fits)} of {n_rungs} rungs", late, guarded))
    if constant:
        _warn(
            "all columns whose penalty is tuned are constant, so that alpha_ means nothing. Look "
            "at X, at what the transformers leave of it, and at unpenalized.",
            UserWarning,
        )
    if chosen is None:
        return
    for text in () if constant else _at_bounds(search, chosen):
        _warn(text)
    if not (chosen.result.converged or chosen.late):
        _warn(_unfinished(search, chosen))
    optimism = _optimism(search, rounding) if guarded else None
    if optimism is not None:
        _warn(optimism, UserWarning)


def _out_of_time(search, done, late, guarded):
    return (
        f"max_time={search.max_time:g} s was over after {done}"
        + (f", and cut short {', '.join(map(repr, late))}" if late else "")
        + "; the best so far is kept. "
        + ("The climb and the cross-fits have equal shares of it. " if guarded else "")
        + "Raise max_time to look further."
    )


def _at_bounds(search, chosen):
    """What the warnings say of levels and shared coefficients that ended at a bound."""
    if chosen.level_end is not None:
        yield level_advice(chosen.rung, chosen.level_end, search.alpha_bounds)
    for index, bound in chosen.ended:
        yield advice(chosen.rung.name, index, bound, search.codata)


# a method that promises its hypergradient less well than this need not end, however many its steps
_INEXACT = 0.02


def _unfinished(search, chosen):
    """What a warning says of a rung that did not converge; the way out is the method's."""
    result, method = chosen.result, resolve_method(search.method)
    told = (
        f"rung {chosen.rung.name!r} {result.message} (gradient {result.stationarity:.1e}, residual "
        f"of the last estimate {result.history[-1]['residual']:.1e}, tol {search.tol:g}); "
    )
    if method.accuracy <= _INEXACT and not method.noisy:
        more = f"max_iter (now {search.max_iter}) or " if result.n_iter >= search.max_iter else ""
        return told + f"raise {more}tol."
    error = "random, with an error" if method.noisy else "in error"
    return told + (
        f"the hypergradient of method={search.method!r} is declared to be {error} of up to "
        f"{method.accuracy:g} times its size, so that more steps may not help. Choose a method of "
        "smaller declared error (Method.accuracy), such as the default, or raise tol."
    )


def _optimism(search, rounding=0.0):
    """What a warning says of a score that the cross-fit did not confirm; None where it did.

    An error as large as the loss itself comes of a fold that went astray, and excuses nothing; one
    below ``rounding`` is none.
    """
    table, i = search.cv_results_, search.best_index_
    scores = table.get(f"mean_test_{search.refit}", table.get("mean_test_score"))
    if scores is None:  # several metrics and a callable that chose: none of them is its own
        return None
    believed, confirmed = table["mean_fold_score"][i], scores[i]
    error = 2.0 * table["se_test_score"][i]
    if search.scoring is None:  # the zero of other scores may mean nothing
        error = max(min(error, 0.9 * abs(confirmed)), rounding)
    gap, worth = believed - confirmed, max(error, 0.25 * abs(confirmed))
    told = (
        f"rung {search.best_rung_!r} scored {believed:.4g} in the folds it was tuned on but "
        f"{confirmed:.4g} on rows it had not seen"
    )
    if gap > worth:
        return told + (
            "; trust the latter. More rows, more folds, or a simpler penalty ('shared') would "
            "narrow the gap."
        )
    if -gap > worth:
        return told + (
            ", tuned without them: on all folds the climb ended at a worse place, and so may the "
            "refitted model. Outliers or columns of very uneven scale may put a ridge before the "
            "valley, or unpenalized columns be too many for the rows; transform them, or try "
            "scale=1 or another cv."
        )
    return None


def _warn(text, category=ConvergenceWarning):
    warnings.warn(text, category, stacklevel=5)
