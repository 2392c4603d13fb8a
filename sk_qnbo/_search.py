"""QNBOSearchCV: check, split, climb the ladder, refit, report."""

import time
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_scalar, get_tags, indexable
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _report
from ._crossfit import cross_fit, judge_stack
from ._estimators import encode, split_pipeline, tunable
from ._features import fixed_penalties, group_labels, standard_codata
from ._ladder import PenaltySpec, Settings, Stack, climb, fit_rungs, ladder
from ._minimize import resolve_method
from ._progress import CallbackSupportMixin, Progress, with_callbacks
from ._results import choose, paired_errors, results_table
from ._sources import PipelineSource, PlainSource, RowWeights
from ._validation import check_sample_weight

__all__ = ["QNBOSearchCV"]


def _refitted_has(name):
    """Condition on a delegated method: the refitted estimator, or the model to be, has it."""

    def check(self):
        if hasattr(self, "best_estimator_"):
            getattr(self.best_estimator_, name)
        else:
            getattr(_would_be(self.estimator), name)
        return True

    return check


def _would_be(estimator):
    """Unfitted best estimator: the model replaced by the one with a penalty per feature."""
    transformer, model, step = split_pipeline(estimator)
    new = tunable(model).model
    if step is None:
        return new
    return Pipeline([*estimator.steps[:-1], (step, new)])


class _ModelScores:
    """Scores of given coefficients by the user's scorer, on rows the model did not see."""

    def __init__(self, model, scorer, y, classes):
        self.model, self.scorer, self.y, self.classes = model, scorer, y, classes

    def __call__(self, X, rows, coef, intercept, alpha):
        """Scores by metric, each ``(n_models,)``."""
        out = []
        for c, b, a in zip(coef, intercept, alpha, strict=True):
            fitted = self.model._with_coefficients(c, b, a, classes=self.classes)
            seen = self.scorer(fitted, X, self.y[rows])
            out.append(seen if isinstance(seen, dict) else {"score": seen})
        return {name: np.array([s[name] for s in out]) for name in out[0]}


class _LossScorer:
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
                target = encode(np.r_[self.classes, y], self.family).values.T[len(self.classes):]
            losses = np.square(np.reshape(target, np.shape(raw)) - raw)
            losses = losses if losses.ndim == 1 else losses.mean(axis=1)
        return -float(np.average(losses, weights=sample_weight))


class QNBOSearchCV(CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator):
    """Tune the penalties of a linear model by gradient, one number to one per feature.

    The penalties are the upper variables of a bilevel problem: below, the model is fitted
    on the training rows of every fold by quasi-Newton; above, the mean validation loss is
    lowered along its hypergradient, for which the curvature of the fit serves again. The
    search climbs a ladder of penalty models (columns standardised or raw, a learned degree of
    scaling, weaker penalties for features that carry weight, a departure of each feature
    or group held by a Gaussian prior) and lets cross-fitting choose the rung: each fold's rows
    judge models that were tuned without them.

    Parameters
    ----------
    estimator : LogisticRegression, Ridge, RidgeClassifier, a MultiPenalty model or a Pipeline
        The model to tune, or a pipeline that ends in one; its transformers are refitted in every
        fold. Its own ``C`` or ``alpha`` is what gets tuned; its other settings are honoured or
        refused by an error. Columns need no scaler: how far to scale them is tuned.
    penalty : "per_feature", "shared", array-like of shape (n_features,) or mapping
        Which features have a penalty of their own: each, none, each group of features with the
        same label, or each group of a mapping from names to columns (names or positions).
    scale : "learn" or float, default="learn"
        Exponent of the columns' variances in the penalties: 1 is what a ``StandardScaler`` does,
        0 leaves the columns raw; "learn" tunes it.
    adaptive : bool, default=True
        Whether the ladder has the rung that penalises features less which already carried weight
        in a pilot fit.
    codata : array-like of shape (n_features, n_covariates), default=None
        What is known of the features (p-values of an earlier study, distances, frequencies).
    unpenalized : sequence of columns, or mapping {column: penalty}, default=None
        Columns whose penalty is zero, or fixed at the given value.
    shrinkage : "cv" or float, default="cv"
        Strength tau of the prior ``tau / (2 n) * sum(delta ** 2)`` on the departures. "cv" climbs
        the ladder and cross-fits; a number tunes with that prior, unguarded; 0 is the free
        per-feature problem of the bilevel literature; ``numpy.inf`` has no departures.
    method : str, default="qnbo-bfgs"
        Bilevel method, a name in ``sk_qnbo.METHODS``.
    cv : int, splitter or iterable, default=None
        As in ``GridSearchCV``; None is 5 folds.
    scoring : str, callable, list or dict, default=None
        What chooses the rung and what ``best_score_`` reports. None is the smooth loss that moves
        the penalties: ``neg_log_loss``, or ``neg_mean_squared_error``.
    refit : bool or str, default=True
        Whether to refit on all rows; the name of the metric that chooses if there are several.
    max_iter : int, default=100
        Steps of the penalties on one rung, at most.
    tol : float, default=1e-4
        A rung ends when the next step promises to lower the loss by less than this fraction.
    max_time : float, default=None
        Seconds after which no further rung is begun; the best so far is kept.
    alpha_bounds : tuple of two floats, default=(1e-6, 1e10)
        Smallest and largest penalty of a column of unit variance.
    n_jobs : int, default=None
        Parallel cross-fits (joblib).
    random_state : None
        For stochastic methods; the default method is deterministic.
    verbose : int, default=0
        1 tells rungs, 2 iterations too, in one line each.

    Attributes
    ----------
    best_estimator_ : estimator
        Refitted on all rows; its last step is a ``MultiPenalty*`` model.
    best_params_ : dict
        Settable on ``best_estimator_``.
    best_score_ : float
        Cross-fitted score of the chosen rung (the score in the folds when ``shrinkage`` is a
        number, as there is no cross-fit then).
    best_index_ : int
    best_rung_ : str
    alpha_ : ndarray of shape (n_features,)
        Penalties in scikit-learn's units, of the columns that reach the linear model.
    cv_results_ : dict
        One row a rung, with the keys of ``GridSearchCV``, and ``mean_fold_score`` beside
        ``mean_test_score``: their difference is the optimism of tuning.
    history_ : dict of arrays
        One row an upper iteration: rung, value, gradient_norm, residual, products, seconds.
    groups_ : list
        Names of the groups of features that have a departure.
    group_labels_ : ndarray of int of shape (n_features,) or None
    scorer_ : callable or dict
    n_splits_ : int
    refit_time_ : float
    multimetric_ : bool
    classes_, n_features_in_, feature_names_in_

    Notes
    -----
    An interrupt (Ctrl-C) propagates and leaves the search unfitted; ``max_time`` is the way to
    stop early and keep what was found.

    References
    ----------
    Fang et al., "qNBO: quasi-Newton meets bilevel optimization", ICLR 2025, arXiv 2502.01076;
    Pedregosa, "Hyperparameter optimization with approximate gradient", ICML 2016, arXiv
    1602.02355; Dennis, Martinez and Tapia, "Convergence theory for the structured BFGS secant
    method", JOTA 61, 1989.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sk_qnbo import QNBOSearchCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> search = QNBOSearchCV(LogisticRegression()).fit(X, y)
    >>> search.alpha_.shape
    (30,)
    >>> bool(-0.1 < search.best_score_ < -0.06)
    True
    """

    def __init__(
        self, estimator, *, penalty="per_feature", scale="learn", adaptive=True, codata=None,
        unpenalized=None, shrinkage="cv", method="qnbo-bfgs", cv=None, scoring=None, refit=True,
        max_iter=100, tol=1e-4, max_time=None, alpha_bounds=(1e-6, 1e10), n_jobs=None,
        random_state=None, verbose=0,
    ):
        self.estimator = estimator
        self.penalty = penalty
        self.scale = scale
        self.adaptive = adaptive
        self.codata = codata
        self.unpenalized = unpenalized
        self.shrinkage = shrinkage
        self.method = method
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.max_iter = max_iter
        self.tol = tol
        self.max_time = max_time
        self.alpha_bounds = alpha_bounds
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # -- fit ----------------------------------------------------------------------------------
    @with_callbacks
    def fit(self, X, y, **params):
        """Tune the penalties and refit.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        **params : dict
            ``sample_weight`` and ``groups``; by metadata routing where that is enabled.

        Returns
        -------
        self : QNBOSearchCV
        """
        self._check_params()
        transformer, model, step = split_pipeline(self.estimator)
        kind = tunable(model)
        routed = self._routed(params)
        given = X  # with its feature names, for the refit
        X, y = self._check_data(X, y, transformer, kind)
        target = encode(y, kind.family)
        train, valid = self._splits(X, y, routed["groups"])
        weights = self._row_weights(routed["sample_weight"], target, kind.model, len(y))
        _report.check_folds(target, train, valid)
        source, names, n_features = self._source(transformer, X, y, target, weights, train)
        spec = self._spec(names, n_features, kind.model)
        model_scores = self._scorers(kind, target, y)
        guarded = isinstance(self.shrinkage, str)
        progress = Progress(self, self.verbose, 2 + guarded * len(train), X, y)
        rungs, settings = self._rungs(spec), self._settings(len(train) if guarded else 0)

        folds = source.folds(train, valid)
        stack = Stack(folds, spec)
        fits = climb(stack, rungs, settings, progress)
        progress.part("climb on all folds")
        believed = judge_stack(folds, stack, fits, model_scores)
        judged = believed
        if guarded:
            judged = []
            for k, one in enumerate(cross_fit(source, spec, rungs, settings, train, valid,
                                              model_scores, self.n_jobs)):
                judged.append(one)
                progress.part(f"cross-fit without fold {k}")
            judged = _report.usable(judged)
        self._choose(source, spec, stack, fits, judged, believed, guarded, step)
        _report.warn_of_fits(self, fits, rungs, guarded)
        if self.refit:
            self._refit(given, y, transformer, kind.model, step, routed["fit_params"])
        progress.part("refit")
        progress.end()
        return self

    def _check_params(self):
        check_scalar(self.max_iter, "max_iter", Integral, min_val=1)
        check_scalar(self.tol, "tol", Real, min_val=0)
        check_scalar(self.verbose, "verbose", (Integral, bool), min_val=0)
        if self.max_time is not None:
            check_scalar(self.max_time, "max_time", Real, min_val=0, include_boundaries="neither")
        resolve_method(self.method)
        _report.check_choices(self)

    def _routed(self, params):
        """Sample weights, groups and fit parameters, by routing or by name."""
        if _report.routing_enabled():
            routed = process_routing(self, "fit", **params)
            fit_params = routed.estimator.fit
            weight = _report.step_weight(fit_params)
            return {"groups": routed.splitter.split.get("groups"), "sample_weight": weight,
                    "fit_params": fit_params}
        unknown = set(params) - {"sample_weight", "groups"}
        if unknown:
            raise TypeError(
                f"fit got {sorted(unknown)}, but without metadata routing it takes sample_weight "
                "and groups only; enable routing with "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        weight = params.get("sample_weight")
        step = split_pipeline(self.estimator)[2]
        name = "sample_weight" if step is None else f"{step}__sample_weight"
        fit_params = {} if weight is None else {name: weight}
        return {"groups": params.get("groups"), "sample_weight": weight, "fit_params": fit_params}

    def _check_data(self, X, y, transformer, kind):
        multi = kind.family == "ridge"
        if transformer is None:
            X, y = validate_data(
                self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32],
                multi_output=multi, y_numeric=multi,
            )
        else:
            X, y = indexable(X, y)
            validate_data(self, X, skip_check_array=True)
            y = check_array(y, ensure_2d=False, dtype=None) if multi else np.asarray(y)
            X = sp.csr_array(X) if sp.issparse(X) else X
        if kind.classifier:
            check_classification_targets(y)
            y = np.ravel(y)
        return X, y

    def _splits(self, X, y, groups):
        """Training and validation masks of the folds, ``(n_splits, n_samples)``."""
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(cv.split(X, y, groups))
        self.n_splits_ = len(splits)
        return _report.masks(splits, len(y))

    def _row_weights(self, sample_weight, target, model, n_rows):
        by_class = getattr(model, "class_weight", None)
        if isinstance(by_class, dict):
            by_class = {int(np.searchsorted(target.classes, c)): w for c, w in by_class.items()}
        return RowWeights(check_sample_weight(sample_weight, n_rows), target.codes, by_class)

    def _source(self, transformer, X, y, target, weights, train):
        if transformer is None:
            X = sp.csr_array(X) if sp.issparse(X) else X
            source = PlainSource(X, target.values, target.loss, weights)
            return source, getattr(self, "feature_names_in_", None), X.shape[1]
        source = PipelineSource(transformer, X, y, target.values, target.loss, weights, train)
        return source, source.names, len(source.names)

    def _spec(self, names, n_features, model):
        n_final = n_features
        labels, groups = group_labels(self.penalty, names, n_final)
        self.group_labels_, self.groups_ = labels, groups
        return PenaltySpec(
            n_features, labels, len(groups), standard_codata(self.codata, n_final),
            fixed_penalties(self.unpenalized, names, n_final), tuple(self.alpha_bounds),
            bool(model.fit_intercept),
        )

    def _rungs(self, spec):
        taus = {} if isinstance(self.shrinkage, str) else {"taus": (float(self.shrinkage),)}
        departures = spec.labels is not None and taus.get("taus") != (np.inf,)
        n_codata = 0 if spec.codata is None else spec.codata.shape[1]
        # unguarded, the adaptive rung can do harm, and without a prior it is redundant
        adaptive = bool(self.adaptive) and self.shrinkage not in (0, np.inf)
        return ladder(scale=self.scale, adaptive=adaptive, departures=departures,
                      n_codata=n_codata, **taus)

    def _settings(self, n_cross_fits):
        share = None if self.max_time is None else self.max_time / (1 + n_cross_fits)
        return Settings(self.method, self.max_iter, self.tol, share)

    def _scorers(self, kind, target, y):
        """Sets ``scorer_``; what scores coefficients, or None for the smooth loss."""
        self.multimetric_ = isinstance(self.scoring, (list, tuple, set, dict))
        if target.classes is not None:
            self._classes = target.classes
        if self.scoring is None:
            self.scorer_ = _LossScorer(kind.family, target.classes)
            return None
        self.scorer_ = check_scoring(kind.model, scoring=self.scoring)
        return _ModelScores(kind.model, self.scorer_, y, target.classes)

    def _choose(self, source, spec, stack, fits, judged, believed, guarded, step):
        """Fill the table, choose the rung, and set what is known before the refit."""
        reached = min(len(j.names) for j in judged)
        fits = fits[:reached]
        names = [fit.rung.name for fit in fits]
        metrics = list(judged[0].scores)
        metric = _report.deciding_metric(self, metrics)
        scores = {m: np.stack([j.scores[m][:reached] for j in judged]) for m in metrics}
        fold_scores = np.stack([b.scores[metric][:reached] for b in believed]).mean(axis=0)
        errors = self._errors(judged, scores[metric], reached)
        mean = scores[metric].mean(axis=0)
        index = len(fits) - 1
        if guarded:
            index = choose(mean, errors, [f.rung.complexity for f in fits])
        everything = np.ones((1, len(source.weights.sample)), dtype=bool)
        one = Stack(source.folds(everything, everything), spec)
        alphas = [a for _, a in fit_rungs(one, stack.reference(), fits, self.method)]
        n_final = getattr(source, "n_final", spec.n_features)
        key = "alpha" if step is None else f"{step}__alpha"
        params = [{key: alpha[:n_final]} for alpha in alphas]
        se = _report.own_errors(judged, scores[metric], reached, self.scoring is None)
        self.cv_results_ = results_table(names, params, scores, fold_scores, se, fits)
        self.best_index_, self.best_rung_ = index, names[index]
        self.best_params_, self.best_score_ = params[index], float(mean[index])
        self.alpha_ = alphas[index][:n_final]
        self.history_ = _report.history(fits)

    def _errors(self, judged, scores, reached):
        if self.scoring is not None:
            return paired_errors(scores.T)
        losses = np.concatenate([j.losses[:reached] for j in judged], axis=1)
        return paired_errors(losses, np.concatenate([j.weights for j in judged]))

    def _refit(self, X, y, transformer, model, step, fit_params):
        begun = time.perf_counter()
        best = clone(model)
        if transformer is not None or step is not None:
            steps = clone(self.estimator).steps[:-1]
            best = Pipeline([*steps, (step, best)])
        best.set_params(**self.best_params_)
        self.best_estimator_ = best.fit(X, y, **fit_params)
        self.refit_time_ = time.perf_counter() - begun

    # -- delegation ---------------------------------------------------------------------------
    def _best(self):
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_

    @available_if(_refitted_has("predict"))
    def predict(self, X):
        """Predictions of the refitted estimator."""
        return self._best().predict(X)

    @available_if(_refitted_has("predict_proba"))
    def predict_proba(self, X):
        """Class probabilities of the refitted estimator."""
        return self._best().predict_proba(X)

    @available_if(_refitted_has("predict_log_proba"))
    def predict_log_proba(self, X):
        """Logarithms of the class probabilities of the refitted estimator."""
        return self._best().predict_log_proba(X)

    @available_if(_refitted_has("decision_function"))
    def decision_function(self, X):
        """Linear predictor of the refitted estimator."""
        return self._best().decision_function(X)

    @available_if(_refitted_has("transform"))
    def transform(self, X):
        """Transformation by the refitted estimator."""
        return self._best().transform(X)

    def score(self, X, y, **params):
        """Score by ``scoring``, or the estimator's own where that is None.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        **params : dict
            ``sample_weight``.

        Returns
        -------
        float
        """
        best = self._best()
        if self.scoring is None:
            return best.score(X, y, **params)
        seen = self.scorer_(best, X, y, **params)
        return seen[self.refit] if isinstance(seen, dict) else seen

    @property
    def classes_(self):
        """Class labels, for classifiers."""
        if not hasattr(self, "_classes"):
            raise AttributeError(f"{type(self).__name__} has no classes_: not a fitted classifier.")
        return self._classes

    # -- scikit-learn's protocols -------------------------------------------------------------
    def get_metadata_routing(self):
        """Routing of ``sample_weight`` to the fit and the score and of ``groups`` to the splitter.

        Returns
        -------
        MetadataRouter
        """
        router = MetadataRouter(owner=type(self).__name__)
        router.add(estimator=self.estimator,
                   method_mapping=MethodMapping().add(caller="fit", callee="fit"))
        router.add(splitter=check_cv(self.cv),
                   method_mapping=MethodMapping().add(caller="fit", callee="split"))
        return router

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags = inner.classifier_tags
        tags.regressor_tags = inner.regressor_tags
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.target_tags = inner.target_tags
        return tags
