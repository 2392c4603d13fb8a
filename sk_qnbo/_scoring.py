"""Scores of coefficients: by the user's scorers on rows not fitted, or by the smooth loss."""

from numbers import Real

import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring, get_scorer
from sklearn.pipeline import Pipeline

from ._estimators import encode
from ._transformed import rows_of, take


class ModelScores:
    """Scores of given coefficients by the user's scorer, on rows the model did not see.

    A scorer known by name sees the model and the columns that reach it; a callable sees what
    ``GridSearchCV`` would show it: the fitted pipeline and the rows as they were given.

    Parameters
    ----------
    given : Given
    scoring : str, callable, list, tuple, set or dict
    """

    def __init__(self, given, scoring):
        self.model, self.classes = given.kind.model, given.target.classes
        self.scorer = check_scoring(given.kind.model, scoring=scoring)
        self.params, self.y = given.routed.score, given.y
        self.names, self.X = given.attributes.get("feature_names_in_"), None
        self.step = "model" if given.step is None else given.step
        if not _all_named(scoring):
            self.X = given.raw

    def __call__(self, folds, fold, judged, coef, intercept, alpha):
        """Scores by metric, each ``(n_models,)``, on the ``judged`` rows of one fold."""
        rows = folds.index[judged]
        X = folds.take(fold, judged) if self.X is None else take(self.X, rows)
        out = []
        for numbers in zip(coef, intercept, alpha, strict=True):
            if self.X is None:
                model = self._model(*numbers)
            elif folds.fitted is None:
                model = self._model(*numbers, names=self.names)
            else:
                model = self._pipeline(folds.fitted[fold], *numbers)
            out.append(self._scores(model, X, rows))
        return {name: np.array([s[name] for s in out]) for name in out[0]}

    def of_predictions(self, raw, rows):
        """Scores by metric, each ``(n_models,)``, of linear predictions that no one model made.

        The scorer sees a model that hands on what it is given, and ``raw (n_models, n_outputs,
        n_rows)`` in the place of X: predictions of each row by the model without it.
        """
        hand_on = self._model(np.eye(raw.shape[1]), np.zeros(raw.shape[1]), np.zeros(raw.shape[1]))
        out = [self._scores(hand_on, one.T, rows) for one in raw]
        return {name: np.array([s[name] for s in out]) for name in out[0]}

    def _model(self, coef, intercept, alpha, names=None):
        model = clone(self.model)
        return model._with_coefficients(
            coef, intercept, alpha, classes=self.classes, feature_names=names
        )

    def _pipeline(self, fitted, coef, intercept, alpha):
        model = self._model(fitted.own(coef), intercept, fitted.own(alpha), fitted.frame)
        return Pipeline([*fitted.steps.steps, (self.step.replace("__", "-"), model)])

    def _scores(self, model, X, rows):
        params = rows_of(self.params, rows, len(self.y))
        try:
            seen = self.scorer(model, X, self.y[rows], **params)
        except Exception as error:
            hint = " If the metric needs rows of every class, use StratifiedKFold or fewer splits."
            error.add_note(
                f"raised by the scorer on {len(rows)} validation rows of a fold."
                + (hint if isinstance(error, ValueError) else "")
            )
            raise
        seen = seen if isinstance(seen, dict) else {"score": seen}
        return {name: _number(value, name) for name, value in seen.items()}


def _number(value, name):
    """What a scorer returned, as a number."""
    value = value.item() if getattr(value, "size", 0) == 1 else value
    if isinstance(value, Real):
        return float(value)
    metric = "" if name == "score" else f" for the metric {name!r}"
    raise ValueError(
        f"the scorer must return a number{metric}; got {repr(value)[:80]} "
        f"({type(value).__name__}). Return one number, greater where the model is better."
    )


def _all_named(scoring):
    scorings = scoring.values() if isinstance(scoring, dict) else scoring
    return isinstance(scoring, str) or (
        not callable(scoring) and all(isinstance(one, str) for one in scorings)
    )


def public_scorer(given, scoring):
    """What ``scorer_`` holds: one scorer, or a dict of them by metric."""
    if scoring is None:
        return LossScorer(given.kind.family, given.target.classes)
    if isinstance(scoring, dict):
        return {name: check_scoring(given.kind.model, one) for name, one in scoring.items()}
    if isinstance(scoring, list | tuple | set):
        return {name: get_scorer(name) for name in scoring}
    return check_scoring(given.kind.model, scoring)


class LossScorer:
    """Scorer of the smooth loss that moves theta, for ``scorer_`` when ``scoring`` is None."""

    def __init__(self, family, classes):
        self.family, self.classes = family, classes

    def __call__(self, estimator, X, y, sample_weight=None):
        """Minus the mean log loss, or minus the mean squared error."""
        if self.family == "logistic":
            codes = np.searchsorted(self.classes, y)
            losses = -estimator.predict_log_proba(X)[np.arange(len(codes)), codes]
        else:
            raw = estimator.predict(X) if self.family == "ridge" else estimator.decision_function(X)
            target = y
            if self.family == "ridge classifier":
                target = encode(np.r_[self.classes, y], self.family).values.T[len(self.classes) :]
            losses = np.square(np.reshape(target, np.shape(raw)) - raw)
            losses = losses if losses.ndim == 1 else losses.mean(axis=1)
        return -float(np.average(losses, weights=sample_weight))

    def __repr__(self):
        loss = "log_loss" if self.family == "logistic" else "mean_squared_error"
        return f"LossScorer(neg_{loss})"
