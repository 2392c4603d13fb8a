"""From cross-fitted scores to standard errors and a table."""

import numpy as np
from numpy.ma import MaskedArray
from scipy.stats import rankdata


def standard_errors(values, weights=None):
    """Standard errors of weighted means.

    Parameters
    ----------
    values : ndarray of shape (n_rungs, n_samples)
        Losses of rows, or scores of splits; or differences of those.
    weights : ndarray of shape (n_samples,), optional

    Returns
    -------
    ndarray of shape (n_rungs,)
    """
    weights = np.ones(values.shape[1]) if weights is None else weights
    weights = weights / weights.sum()
    effective = max(1.0 / float(weights @ weights), 2.0)
    variance = np.square(values - (values @ weights)[:, None]) @ weights
    return np.sqrt(variance / (effective - 1.0))


def results_table(params, scores, fold_scores, errors, fits, judged, kept, n_splits):
    """One row a rung, with the keys of ``GridSearchCV.cv_results_`` and what only a ladder has.

    Parameters
    ----------
    params : list of dict
    scores : dict of ndarray of shape (n_splits, n_rungs)
        Cross-fitted scores by metric; the key "score" where there is one metric.
    fold_scores : ndarray of shape (n_rungs,)
        Score that the search believed in while tuning: the mean over the folds.
    errors : ndarray of shape (n_rungs,)
        Standard error of the mean cross-fitted score.
    fits : list of RungFit
    judged : list of Judged
        One a split, for the times.
    kept : sequence of int
        Numbers of those splits: one may have had no fold inside, or not been needed.
    n_splits : int
        Of all; the scores of those not kept are NaN, and no part of the means.

    Returns
    -------
    dict of arrays
    """
    table = _times(judged, len(fits))
    table["rung"] = np.array([fit.rung.name for fit in fits], dtype=object)
    for key in params[0]:
        column = np.empty(len(params), dtype=object)
        for i, p in enumerate(params):
            column[i] = p[key]
        table[f"param_{key}"] = MaskedArray(column, mask=np.zeros(len(params), dtype=bool))
    table["params"] = params
    for metric, values in scores.items():
        table |= _score_columns(metric, values, kept, n_splits)
    table["se_test_score"] = errors
    table["mean_fold_score"] = fold_scores
    table["n_iter"] = np.array([f.result.n_iter for f in fits])
    table["converged"] = np.array([f.result.converged for f in fits])
    return table


def _times(judged, n_rungs):
    """Seconds of tuning and of judging a rung, mean and standard deviation over the splits."""
    fit = np.stack([one.fit_seconds[:n_rungs] for one in judged])
    score = np.repeat([[one.score_seconds] for one in judged], n_rungs, axis=1)
    return {
        "mean_fit_time": fit.mean(axis=0),
        "std_fit_time": fit.std(axis=0),
        "mean_score_time": score.mean(axis=0),
        "std_score_time": score.std(axis=0),
    }


def _score_columns(metric, values, kept, n_splits):
    splits = np.full((n_splits, values.shape[1]), np.nan)
    splits[list(kept)] = values
    columns = {f"split{k}_test_{metric}": split for k, split in enumerate(splits)}
    mean = values.mean(axis=0)
    filled = np.where(np.isnan(mean), -np.inf, mean)
    return columns | {
        f"mean_test_{metric}": mean,
        f"std_test_{metric}": values.std(axis=0),
        f"rank_test_{metric}": rankdata(-filled, method="min").astype(np.int32),
    }
