"""Which estimators can be tuned, and the model with one penalty per feature that each becomes."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_scalar

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


def _refit_tol(e):
    """Tolerance of the refit: a stricter one is honoured, as far as doubles resolve it.

    That of scikit-learn's models is for gradients, and at its default far from sharp.
    """
    check_scalar(e.tol, f"{type(e).__name__}.tol", Real, min_val=0)
    return min(max(e.tol, 1e-12), 1e-8)


def _from_logistic(e):
    ratio = getattr(e, "l1_ratio", None)
    if e.penalty not in ("l2", "deprecated") or ratio not in (None, 0, 0.0):
        which = "l1_ratio" if e.penalty in ("l2", "deprecated") else "penalty"
        _refuse(e, which, "only the squared (L2) penalty is tuned", "Use penalty='l2'.")
    if e.solver == "liblinear" and e.fit_intercept:
        _refuse(e, "solver", "liblinear penalises the intercept", "Use solver='lbfgs'.")
    if getattr(e, "multi_class", "auto") == "ovr":
        _refuse(
            e,
            "multi_class",
            "several classes are fitted by one softmax",
            "Leave it out, or wrap the search in OneVsRestClassifier.",
        )
    if e.dual:
        _refuse(e, "dual", "it belongs to liblinear", "Use dual=False.")
    return MultiPenaltyLogisticRegression(
        fit_intercept=e.fit_intercept,
        class_weight=e.class_weight,
        max_iter=e.max_iter,
        tol=_refit_tol(e),
    )


def _ridge_settings(e):
    if e.positive:
        _refuse(e, "positive", "coefficients are not constrained", "Use positive=False.")
    return {
        "fit_intercept": e.fit_intercept,
        "max_iter": e.max_iter or 1000,
        "tol": _refit_tol(e),
    }


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
    """Take a pipeline apart.

    Returns
    -------
    transformer : Pipeline or None
        The steps before the model; None where they do nothing.
    model : estimator
    step : str or None
        Name of the model as a parameter of the pipeline; None where there is no pipeline.
    """
    if not isinstance(estimator, Pipeline):
        return None, estimator, None
    if not estimator.steps:
        raise ValueError("The pipeline is empty; it must end in a model that can be tuned.")
    name, last = estimator.steps[-1]
    inner, model, step = split_pipeline(last)
    parts = [part for part in (_before_model(estimator), inner) if part is not None]
    transformer = parts[0] if parts else None
    if len(parts) > 1:
        transformer = Pipeline([("outer", parts[0]), ("inner", parts[1])])
    return transformer, model, name if step is None else f"{name}__{step}"


def _before_model(pipeline):
    """The steps of a pipeline before its last; None where they do nothing."""
    steps = [step for _, step in pipeline.steps[:-1] if step not in (None, "passthrough")]
    for step in steps:
        if hasattr(step, "fit_resample"):
            raise ValueError(
                f"the pipeline step {type(step).__name__} adds or drops rows, which the folds "
                "cannot follow. Use class_weight or sample_weight in its place."
            )
    return pipeline[:-1] if steps else None


def name_in_transformer(estimator, name):
    """A fit parameter ``step__name`` of a pipeline, as the transformer of `split_pipeline` has it.

    None where none of its transformers is such a step.
    """
    if not isinstance(estimator, Pipeline):
        return None
    step, _, rest = name.partition("__")
    last, inner = estimator.steps[-1]
    outer = _before_model(estimator) is not None
    if step == last:
        found, prefix = name_in_transformer(inner, rest), "inner"
    else:
        known = outer and rest and step in dict(estimator.steps[:-1])
        found, prefix = (name if known else None), "outer"
    joined = outer and split_pipeline(inner)[0] is not None
    return f"{prefix}__{found}" if joined and found else found


def with_model(estimator, step, model):
    """The estimator as it will be refitted: ``model`` in the place of the tuned one."""
    if step is None:
        return model
    return clone(estimator).set_params(**{step: model})


def tunable(model):
    """The :class:`Tunable` of a linear model; an error names what can be tuned."""
    if type(model) not in TUNABLE:
        known = ", ".join(cls.__name__ for cls in TUNABLE)
        raise ValueError(
            f"estimator must be one of {known}, or a Pipeline that ends in one of them; "
            f"got {model!r}. Other models have no penalty that a gradient reaches: "
            "use GridSearchCV for them."
        )
    convert, family = TUNABLE[type(model)]
    return Tunable(_with_requests(convert(model), model), family)


def _with_requests(new, model):
    """Let the new model ask for the metadata that the old one asks for."""
    if get_config()["enable_metadata_routing"]:
        asked = model.get_metadata_routing()
        new.set_fit_request(**asked.fit.requests)
        new.set_score_request(**asked.score.requests)
    return new


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
