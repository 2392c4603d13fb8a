"""What a search is given, checked: data, target, metadata, weights, folds."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, column_or_1d, indexable
from sklearn.utils.metadata_routing import get_routing_for_object, process_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ._checks import check_folds, check_rows, routing_enabled
from ._estimators import encode, name_in_transformer, split_pipeline, tunable
from ._folds import Units
from ._pipeline_source import PipelineSource
from ._sources import PlainSource, RowWeights
from ._tuning import tuning_of
from ._validation import check_classes, check_sample_weight, check_squares, numbers_wanted

# spreads of a target whose fourth power a double can hold: losses are squares, and so are errors
# of their mean
_SPREADS = 1e-75, 1e75


@dataclass(frozen=True)
class Routed:
    """Metadata of a fit, by where it goes.

    Attributes
    ----------
    split : dict
        For the splitter.
    fit : dict
        For the refit of the estimator.
    weight : array-like or None
        Sample weights of the model.
    transform, score : dict
        For the transformers in the folds, for the scorer.
    """

    split: dict
    fit: dict
    weight: object = None
    transform: dict | None = None
    score: dict | None = None

    @classmethod
    def of(cls, search, params, transformer, step):
        """Route the parameters of fit, by scikit-learn's routing or, without it, by name."""
        params = {name: value for name, value in params.items() if value is not None}
        if not routing_enabled():
            return cls._by_name(params, search.estimator, step)
        routed = process_routing(search, "fit", **params)
        fit = routed["estimator"]["fit"]
        asked = () if transformer is None else _consumed(transformer, fit)
        score = {} if search.scoring is None else routed["scorer"]["score"]
        return cls(
            routed["splitter"]["split"],
            fit,
            _weight_of_model(search.estimator, fit),
            {name: fit[name] for name in asked},
            dict(score),
        )

    @classmethod
    def _by_name(cls, params, estimator, step):
        """Weights of the model, groups, and parameters of transformers as ``step__name``."""
        own = "sample_weight" if step is None else f"{step}__sample_weight"
        if own != "sample_weight" and {own, "sample_weight"} <= set(params):
            raise TypeError(f"fit got sample_weight and {own}, which are the same; give one.")
        split = {name: value for name, value in params.items() if name == "groups"}
        weight = params.get(own, params.get("sample_weight"))
        fit = {} if weight is None else {own: weight}
        rest = sorted(set(params) - {own, "sample_weight", "groups"})
        inside = {name: name_in_transformer(estimator, name) for name in rest}
        _refuse_unknown([name for name in rest if inside[name] is None], own, estimator)
        fit |= {name: params[name] for name in rest}
        transform = {inside[name]: params[name] for name in rest}
        return cls(split, fit, weight, transform, {})


def _refuse_unknown(names, own, estimator):
    """Error for parameters of fit that go nowhere, with those that do."""
    if not names:
        return
    known = "sample_weight and groups only"
    if isinstance(estimator, Pipeline):
        known = (
            f"sample_weight (or {own}), groups, and <step>__<parameter> for the fit of a "
            "transformer"
        )
    raise TypeError(
        f"fit got {names}, but without metadata routing it takes {known}. Give one of these, or "
        "enable routing with sklearn.set_config(enable_metadata_routing=True)."
    )


def _consumed(transformer, fit):
    return get_routing_for_object(transformer).consumes("fit_transform", fit.keys())


def _weight_of_model(estimator, params):
    """The sample weights that a pipeline passes on to its last step."""
    while isinstance(estimator, Pipeline):
        routed = process_routing(estimator, "fit", **params)
        name, estimator = estimator.steps[-1]
        params = routed[name]["fit"]
    return params.get("sample_weight")


@dataclass(frozen=True)
class Given:
    """All that one search works on.

    Attributes
    ----------
    raw : array-like
        X as given, with its feature names.
    X, y : checked
    transformer : Pipeline or None
    kind : Tunable
    step : str or None
    target : Targets
    routed : Routed
    weights : RowWeights
    tuning : FoldTuning or LooTuning
    attributes : dict
        ``n_features_in_`` and ``feature_names_in_``, where X has them.
    """

    raw: object
    X: object
    y: np.ndarray
    transformer: object
    kind: object
    step: str | None
    target: object
    routed: Routed
    weights: RowWeights
    tuning: object
    attributes: dict

    @classmethod
    def of(cls, search, X, y, params):
        """Check everything that ``fit`` is given."""
        transformer, model, step = split_pipeline(search.estimator)
        kind = tunable(model)
        routed = Routed.of(search, params, transformer, step)
        raw = X
        X, y, attributes = _checked(search, X, y, transformer, kind)
        with numbers_wanted():
            target = encode(y, kind.family)
        if kind.classifier:
            check_classes(target.classes)
        weights = _row_weights(routed.weight, target, kind.model, len(y))
        guarded = search.shrinkage == "cv"
        tuning = tuning_of(search.cv, X, y, kind.classifier, transformer, guarded, routed.split)
        check_rows(weights.sample, tuning.train, tuning.valid)
        check_folds(target, tuning.trainings(weights.sample > 0, target.codes, guarded), guarded)
        return cls(raw, X, y, transformer, kind, step, target, routed, weights, tuning, attributes)

    def source(self, guarded):
        """Where the folds come from; ``guarded`` tells whether there will be cross-fits."""
        units = self._units()
        values = (self.target.values - np.reshape(units.center, (-1, 1))) / units.target
        weights = replace(self.weights, sample=self.weights.sample / units.weight)
        data = values, self.target.loss, weights
        if self.transformer is None:
            names = self.attributes.get("feature_names_in_")
            names = None if names is None else tuple(names)
            return PlainSource(self.X, *data, names=names, units=units)
        folds = self.tuning.train, self.tuning.valid, guarded
        return PipelineSource(
            self.transformer, self.X, self.y, *data, *folds, self.routed.transform, units
        )

    def _units(self):
        """Units in which weights have mean one and regression targets mean zero, spread one."""
        sample = self.weights.sample
        weight = float(sample[sample > 0].mean())
        if self.kind.family != "ridge":
            return Units(weight)
        share = sample / sample.sum()
        values = self.target.values
        center = values @ share if self.kind.model.fit_intercept else np.zeros(len(values))
        rest = values - center[:, None]
        largest = np.abs(rest).max() or 1.0  # whose square may be beyond doubles
        spread = largest * float(np.sqrt(np.mean(np.square(rest / largest) @ share)))
        # what is left of a constant target is rounding
        constant = spread <= 1e-14 * np.abs(center).max(initial=0.0) or spread == 0.0
        if not (constant or _SPREADS[0] < spread < _SPREADS[1]):
            raise ValueError(
                f"y must have a standard deviation between {_SPREADS[0]:g} and {_SPREADS[1]:g}, so "
                f"that losses are finite numbers; got {spread:.2g}. Multiply y by a constant."
            )
        if constant and center.any():  # the value itself, so that no rounding is left to fit
            center = values[:, np.argmax(share)]
        return Units(weight, center, 1.0 if constant else spread)


def _checked(search, X, y, transformer, kind):
    """X and y by scikit-learn's rules, and what is known of the features."""
    shell = copy.copy(search)  # takes the attributes that the search has only once it is fitted
    for name in ("n_features_in_", "feature_names_in_"):
        vars(shell).pop(name, None)
    several = kind.family == "ridge"
    if transformer is None:
        how = {"accept_sparse": "csr", "dtype": [np.float64, np.float32]}
        with numbers_wanted(X):
            X, y = validate_data(shell, X, y, multi_output=several, y_numeric=several, **how)
        check_squares(X, 1e60)
    else:
        X, y = _loosely_checked(shell, X, y, several)
    if kind.classifier:
        check_classification_targets(y)
    names = ("n_features_in_", "feature_names_in_")
    attributes = {name: vars(shell)[name] for name in names if name in vars(shell)}
    return sp.csr_array(X) if sp.issparse(X) else X, y, attributes


def _loosely_checked(shell, X, y, several):
    """X for a pipeline, whose transformers know what it may be."""
    if y is None:
        raise ValueError(
            "QNBOSearchCV requires y to be passed, but the target y is None. Give the target."
        )
    X, y = indexable(X, y)
    validate_data(shell, X, skip_check_array=True)
    if several:
        with numbers_wanted():
            return X, check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
    return X, column_or_1d(y, warn=True)


def _row_weights(sample_weight, target, model, n_rows):
    by_class = getattr(model, "class_weight", None)
    if isinstance(by_class, dict):
        known = {label: code for code, label in enumerate(target.classes.tolist())}
        unknown = [label for label in by_class if label not in known]
        if unknown:
            raise ValueError(
                f"class_weight names the class {unknown[0]!r}, which y does not hold (it holds "
                f"{list(known)}); leave it out."
            )
        none = [label for label, weight in by_class.items() if weight == 0]
        if none:
            raise ValueError(
                f"class_weight must be above zero; got 0 for the class {none[0]!r}, which no fit "
                "would see and every fold would judge. Leave its rows out, or give it a small "
                "weight."
            )
        by_class = {known[label]: weight for label, weight in by_class.items()}
    return RowWeights(check_sample_weight(sample_weight, n_rows), target.codes, by_class)
