"""Which estimators can be tuned, and the model with one penalty per feature that each becomes."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer

from .linear_model import (
    MultiPenaltyLogisticRegression,
    MultiPenaltyRidge,
    MultiPenaltyRidgeClassifier,
)


@dataclass(frozen=True)
class Tunable:
    """What the search needs to know of an estimator.

    Attributes
    ----------
    model : estimator
        Unfitted model with one penalty per feature that takes the estimator's place.
    family : {"logistic", "ridge", "ridge classifier"}
    """

    model: object
    family: str

    @property
    def classifier(self):
        return self.family != "ridge"


def _refuse(estimator, name, rule, way_out):
    value = getattr(estimator, name)
    raise ValueError(
        f"{type(estimator).__name__}({name}={value!r}) cannot be tuned by QNBOSearchCV: {rule}. "
        f"{way_out}"
    )


def _from_logistic(e):
    ratio = getattr(e, "l1_ratio", None)
    if e.penalty not in ("l2", "deprecated") or ratio not in (None, 0, 0.0):
        which = "l1_ratio" if e.penalty in ("l2", "deprecated") else "penalty"
        _refuse(e, which, "only the squared (L2) penalty is tuned", "Use penalty='l2'.")
    if e.solver == "liblinear":
        _refuse(e, "solver", "liblinear penalises the intercept", "Use solver='lbfgs'.")
    if getattr(e, "multi_class", "auto") == "ovr":
        _refuse(e, "multi_class", "several classes are fitted by one softmax",
                "Leave it out, or wrap the search in OneVsRestClassifier.")
    if e.dual:
        _refuse(e, "dual", "it belongs to liblinear", "Use dual=False.")
    return MultiPenaltyLogisticRegression(
        fit_intercept=e.fit_intercept, class_weight=e.class_weight,
        max_iter=e.max_iter, tol=min(e.tol, 1e-8),
    )


def _ridge_settings(e):
    if e.positive:
        _refuse(e, "positive", "coefficients are not constrained", "Use positive=False.")
    return {"fit_intercept": e.fit_intercept, "max_iter": e.max_iter or 1000,
            "tol": min(e.tol, 1e-8)}


def _from_ridge(e):
    return MultiPenaltyRidge(**_ridge_settings(e))


def _from_ridge_classifier(e):
    return MultiPenaltyRidgeClassifier(class_weight=e.class_weight, **_ridge_settings(e))


def _itself(e):
    return type(e)(**e.get_params())


TUNABLE = {
    LogisticRegression: (_from_logistic, "logistic"),
    Ridge: (_from_ridge, "ridge"),
    RidgeClassifier: (_from_ridge_classifier, "ridge classifier"),
    MultiPenaltyLogisticRegression: (_itself, "logistic"),
    MultiPenaltyRidge: (_itself, "ridge"),
    MultiPenaltyRidgeClassifier: (_itself, "ridge classifier"),
}


def split_pipeline(estimator):
    """The steps before the model (a Pipeline or None), the model, and its step name or None."""
    if not isinstance(estimator, Pipeline):
        return None, estimator, None
    name, model = estimator.steps[-1]
    before = [step for step in estimator.steps[:-1] if step[1] not in (None, "passthrough")]
    return (Pipeline(before) if before else None), model, name


def tunable(model):
    """The :class:`Tunable` of a linear model; an error names what can be tuned."""
    if type(model) not in TUNABLE:
        known = ", ".join(cls.__name__ for cls in TUNABLE)
        raise ValueError(
            f"estimator must be one of {known}, or a Pipeline that ends in one of them; "
            f"got {type(model).__name__}. Other models have no penalty that a gradient reaches: "
            "use GridSearchCV for them."
        )
    convert, family = TUNABLE[type(model)]
    return Tunable(convert(model), family)


@dataclass(frozen=True)
class Targets:
    """The target as the engine wants it.

    Attributes
    ----------
    values : ndarray of shape (n_outputs, n_rows)
    loss : {"binary", "softmax", "squared"}
    classes : ndarray or None
    codes : ndarray of int of shape (n_rows,) or None
        Class of each row.
    """

    values: np.ndarray
    loss: str
    classes: np.ndarray | None = None
    codes: np.ndarray | None = None


def encode(y, family):
    """Targets of a family from the user's y (already validated)."""
    if family == "ridge":
        return Targets(np.atleast_2d(np.asarray(y, dtype=float).T), "squared")
    classes, codes = np.unique(y, return_inverse=True)
    if family == "ridge classifier":
        signs = LabelBinarizer(pos_label=1, neg_label=-1).fit_transform(codes)
        return Targets(signs.T.astype(float), "squared", classes, codes)
    if len(classes) == 2:
        return Targets(codes[None].astype(float), "binary", classes, codes)
    return Targets(np.eye(len(classes))[:, codes], "softmax", classes, codes)
