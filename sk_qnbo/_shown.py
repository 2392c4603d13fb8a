"""What displays take from an estimator: its kind, and the columns that reach its linear model."""

from contextlib import suppress

import numpy as np
from scipy.sparse import issparse
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ._delegation import Delegation
from ._linear_base import MultiPenaltyModel


def check_search(search, who):
    """Error for what is no fitted search; ``who`` shows it."""
    if not isinstance(search, Delegation):
        raise TypeError(
            f"{who} shows the ladder of a QNBOSearchCV; got {search!r}. Give the fitted search "
            "itself (pipeline[-1], where a pipeline ends in one)."
        )
    check_is_fitted(search, "cv_results_")


def fitted_models(estimator, who):
    """The fitted model with one penalty per feature, or the pipeline that ends in it.

    That of a search is the one it refitted.
    """
    if isinstance(estimator, Delegation):
        check_search(estimator, who)
        if not hasattr(estimator, "best_estimator_"):
            raise ValueError(
                f"{who} shows the coefficients of the refitted model, and this search has "
                f"refit={estimator.refit!r}; fit it with refit=True."
            )
        return estimator.best_estimator_
    model = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(model, MultiPenaltyModel):
        raise TypeError(
            f"{who} shows one penalty per feature, which {type(model).__name__} does not have; got "
            f"{estimator!r}. Give a fitted QNBOSearchCV, a MultiPenalty model (MultiPenaltyRidge, "
            "say), or a Pipeline that ends in such a model."
        )
    check_is_fitted(model, "coef_")
    return estimator


def variances_at_model(best, X):
    """Variance of every column of X as it reaches the linear model."""
    _check_columns(best, X)
    X = best[:-1].transform(X) if isinstance(best, Pipeline) and len(best) > 1 else X
    X = check_array(X, accept_sparse="csr", dtype=float, input_name="X")
    if not issparse(X):
        return np.var(X, axis=0)
    mean = np.asarray(X.mean(axis=0)).ravel()
    return np.maximum(np.asarray(X.multiply(X).mean(axis=0)).ravel() - mean**2, 0.0)


def _check_columns(best, X):
    """Error for rows with other columns than the model was fitted with."""
    wanted, shape = getattr(best, "n_features_in_", None), np.shape(X)
    if wanted is not None and len(shape) == 2 and shape[1] != wanted:
        raise ValueError(
            f"X has {shape[1]} columns but the model was fitted with {wanted}; give rows as they "
            "were given to fit, or leave X out."
        )
    pairs = zip(getattr(X, "columns", ()), getattr(best, "feature_names_in_", ()), strict=False)
    for name, known in pairs:
        if name != known:
            raise ValueError(
                f"X has the column {name!r} where the model was fitted with {known!r}; give rows "
                "as they were given to fit, or leave X out."
            )


def names_at_model(best, n_features):
    """Names of the columns that reach the linear model."""
    model = best[-1] if isinstance(best, Pipeline) else best
    names = getattr(model, "feature_names_in_", None)
    if names is None and isinstance(best, Pipeline) and len(best) > 1:
        with suppress(AttributeError, ValueError):
            names = best[:-1].get_feature_names_out()
    return [f"x{j}" for j in range(n_features)] if names is None else [str(n) for n in names]
