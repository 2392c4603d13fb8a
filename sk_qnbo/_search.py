"""QNBOSearchCV: check, split, climb the ladder, refit, report."""

import time
from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone

from . import _report
from ._checks import check_params, seed_of
from ._crossfit import cross_fit, rounding_of, tune_and_judge
from ._deadline import Deadline
from ._delegation import Delegation
from ._estimators import with_model
from ._evidence import candidates, reached, settled, wanted
from ._features import penalty_spec
from ._given import Given
from ._ladder import RungModels, Settings
from ._progress import CallbackSupportMixin, Progress, with_callbacks
from ._rungs import SEPARABLE, ladder
from ._scoring import ModelScores, public_scorer
from ._stack import Stack

__all__ = ["QNBOSearchCV"]


class QNBOSearchCV(Delegation, CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator):
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
        fold. Its own ``C`` or ``alpha`` is what gets tuned. ``fit_intercept`` and ``class_weight``
        hold everywhere; ``max_iter`` and ``tol`` for the refit alone (see Notes); what changes
        the model otherwise is refused by an error. Columns need no scaler: how far to scale them
        is tuned.
    penalty : "per_feature", "shared", array-like of shape (n_features,) or mapping
        Which features have a penalty of their own: each, none, each group of features with the
        same label, or each group of a mapping from names to columns (names, positions, slices
        of positions, or masks).
    scale : "learn" or float, default="learn"
        Exponent of the columns' variances in the penalties: 1 is what a ``StandardScaler`` does,
        0 leaves the columns raw; "learn" tunes it, unless their variances are the same anyway
        (within a fifth, as behind a ``StandardScaler``): then there is nothing to learn.
    adaptive : bool, default=True
        Whether the ladder has the rungs that penalise features less which already carried weight
        in a pilot fit: one where ``shrinkage`` is a number, none where it is 0 or ``numpy.inf``.
    codata : array-like of shape (n_features, n_covariates), default=None
        What is known of the features (p-values of an earlier study, distances, frequencies).
    unpenalized : sequence of columns, or mapping {column: penalty}, default=None
        Columns whose penalty is zero, or fixed at the given value.
    shrinkage : "cv" or float, default="cv"
        Strength tau of the prior ``tau / (2 n) * sum(delta ** 2)`` on the departures. "cv" climbs
        the ladder and cross-fits; a number tunes with that prior, unguarded; 0 is the free
        per-feature problem of the bilevel literature; ``numpy.inf`` has no departures.
    method : str, default="qnbo-bfgs"
        Bilevel method, a name in ``sk_qnbo.METHODS`` or a method object (docs/methods.md).
    cv : int, splitter, iterable or "loo", default=None
        As in ``GridSearchCV``; None is 5 folds. "loo" tunes by leave-one-out without refitting:
        exact for ridge, by one Newton step from the full fit for logistic regression (Rad and
        Maleki, 2020). It needs a dense factor as long as the smaller of rows and columns (times
        the classes less one), 3000 at most, and stateless transformers; a cross-fit has 5 folds.
    scoring : str, callable, list or dict, default=None
        What chooses the rung and what ``best_score_`` reports. None is the smooth loss that moves
        the penalties, ``neg_log_loss`` or ``neg_mean_squared_error``, weighted by
        ``sample_weight``; ``score`` is then the estimator's own.
    refit : bool, str or callable, default=True
        Whether to refit on all rows; the name of the metric that chooses if there are several;
        or what returns the row of ``cv_results_`` to use (there is no ``best_score_`` then; give
        ``scoring`` for a table of all rungs).
    max_iter : int, default=100
        Steps of the penalties on one rung, at most.
    tol : float, default=1e-4
        A rung ends when the next step promises to lower the loss by less than this fraction, on
        rungs without departures a tenth; a hundredth where no cross-fit and no prior guards. The
        default is ``30 / sqrt(n)`` times as large for ``shrinkage="cv"`` and n < 900 rows.
    max_time : float, default=None
        Seconds that the tuning may take, shared among the cross-fits and the climb on all folds;
        what a part leaves goes to those behind it. When they are over, the best so far is kept,
        with a warning. Every part ends the step it is in, and the scan of its first rung; the
        refit on all rows (``refit_time_``) comes on top.
    alpha_bounds : tuple of two floats, default=(1e-6, 1e10)
        Smallest and largest common level of the penalties, for columns of unit variance; with
        ``shrinkage=0`` the bounds of each penalty. Adaptive terms and departures under a prior
        may take single penalties beyond. A level that ends at a bound is told by a warning; with
        ``shrinkage=0`` many penalties end at the upper one, which leaves a feature out, and only
        all there, or most at the lower one, are told of.
    n_jobs : int, default=None
        Parallel cross-fits (joblib).
    random_state : int, RandomState instance or None, default=None
        Seed of methods that draw at random; the others (the default) neither use nor advance it.
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
        Penalties in scikit-learn's units, of the columns that reach the linear model: behind a
        pipeline's transformers, those of ``best_estimator_[:-1].get_feature_names_out()``.
        Penalties fixed by ``unpenalized`` are there at their values.
    cv_results_ : dict
        One row a rung, with the keys of ``GridSearchCV``, and ``mean_fold_score`` beside
        ``mean_test_score``: their difference is the optimism of tuning. Without ``scoring`` rungs
        with departures that do not pay are left out, and over K folds or random splits the
        cross-fit ends where no other rung promises more (then NaN), unless folds in the order of
        the rows are unlike each other.
    history_ : dict of arrays
        One row an upper iteration: rung, value, gradient_norm, residual, products, seconds.
        The value of a squared error is halved, and that of standardised targets.
    groups_ : list
        Names of the groups of features that have a departure.
    group_labels_ : ndarray of int of shape (n_features,) or None
    scorer_ : callable or dict
    n_splits_ : int
        With ``cv="loo"`` those of the cross-fit; without one a single split, all rows.
    n_iter_ : int
        Steps of the penalties on the chosen rung.
    refit_time_ : float
    multimetric_ : bool
    classes_, n_features_in_, feature_names_in_

    Notes
    -----
    An interrupt (Ctrl-C) or an error propagates and leaves the search as it was before, unfitted
    or with its earlier fit; ``max_time`` is the way to stop early and keep what was found.

    Columns of a pipeline's folds are matched by the names that its transformers give, by position
    where they give none. ``penalty``, ``codata`` and ``unpenalized`` speak of the columns that
    reach the linear model; a data frame or series whose index holds their names is matched by
    them.

    The fits in the folds are as accurate as tuning asks for, whatever the estimator says; ``tol``
    and ``max_iter`` of the search are about the steps of the penalties. The ``max_iter`` of the
    estimator limits the steps of the refit, which ends where predictions change by at most 1e-8 of
    the targets' spread, or by the estimator's ``tol`` where that is smaller (a ``MultiPenalty``
    model's own ``tol`` is taken as it is; scikit-learn's measure gradients, and stop too early at
    their defaults). How scikit-learn's model would be solved (``solver``, ``warm_start``,
    ``n_jobs``, ``random_state``, ``verbose``) has no part in it.

    With ``cv="loo"``, variances of columns and class weights are those of all rows; the pilots of
    the adaptive rung are fitted in folds, so that no row is judged under penalties that it helped
    to set. Scorers then see left-out predictions in the place of X, and a model that hands them on,
    wherever there is no cross-fit.

    Metrics known by name see the model; a callable sees the fitted pipeline and the rows as they
    were given, as in ``GridSearchCV``. With several metrics and ``refit=False`` no rung is chosen,
    and ``best_*`` and ``alpha_`` are not set.

    Without metadata routing, ``sample_weight`` goes to the linear model and to the smooth loss;
    with it, wherever it is requested.

    References
    ----------
    Rad and Maleki, "A scalable estimate of the out-of-sample prediction error via approximate
    leave-one-out", JRSS B 82, 2020, arXiv 1801.10243;
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
        self,
        estimator,
        *,
        penalty="per_feature",
        scale="learn",
        adaptive=True,
        codata=None,
        unpenalized=None,
        shrinkage="cv",
        method="qnbo-bfgs",
        cv=None,
        scoring=None,
        refit=True,
        max_iter=100,
        tol=1e-4,
        max_time=None,
        alpha_bounds=(1e-6, 1e10),
        n_jobs=None,
        random_state=None,
        verbose=0,
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

    @with_callbacks
    def fit(self, X, y, **params):
        """Tune the penalties and refit.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Whatever its transformers take, if the estimator is a pipeline.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        **params : dict
            ``sample_weight``, ``groups`` and, for a pipeline, ``<step>__<parameter>``; by metadata
            routing where that is enabled.

        Returns
        -------
        self : QNBOSearchCV
        """
        check_params(self)
        deadline = Deadline.after(self.max_time)
        given = Given.of(self, X, y, params)
        data = {"X": X, "y": y, "metadata": params or None}
        n_parts = 1 + self._guarded * len(given.tuning.train) + bool(self.refit)
        with Progress(self, n_parts, data) as progress:
            found, fits, told = self._found(given, progress, deadline)
            if self.refit:
                found |= self._refitted(given, found["best_params_"], progress)
        self._replace_state(found)
        _report.warn_of(self, fits, self._guarded, **told)
        return self

    @property
    def _guarded(self):
        return isinstance(self.shrinkage, str)

    def _found(self, given, progress, deadline):
        """What the search finds, by attribute; the fits of the rungs; what to tell of them."""
        source = given.source(self._guarded)
        intercept = bool(given.kind.model.fit_intercept)
        spec, groups, labels = penalty_spec(self, source, intercept)
        sharp = not self._guarded and (spec.labels is None or self.shrinkage in (0, np.inf))
        how = sharp, not self._guarded, self._guarded, seed_of(self)
        settings = Settings(self.method, self.max_iter, self.tol, *how)
        scoring = None if self.scoring is None else ModelScores(given, self.scoring)
        stack = given.tuning.stack(source, spec, precise=settings.sharp)
        rungs = self._rungs(spec, given.kind.family, stack.one_scale)
        n_rungs = len(rungs)
        if self._guarded:
            early = scoring is None and given.tuning.exchangeable
            work = source, stack, rungs, settings, given.tuning, scoring, early
            todo = cross_fit(*work, self.n_jobs, deadline)
            kept, judged = self._cross_fitted(todo, len(given.tuning.train), early, progress)
            n_rungs = candidates(judged, early, complete=scoring is None)
            if n_rungs < reached(judged):
                progress.say(1, f"rungs freer than {rungs[n_rungs - 1].name} do not pay")
        with progress.climb(n_rungs):
            limited = replace(settings, seconds=deadline.left)
            fits, believed = tune_and_judge(stack, rungs[:n_rungs], limited, scoring, progress)
        metric = _report.deciding_metric(self, believed)
        if self._guarded:
            believed = given.tuning.beside(believed, kept)
        else:
            kept, judged = range(len(believed)), believed
        params = self._params(given, source, spec, stack, fits)
        n_splits = len(given.tuning.train)
        table = _report.tabulate(self, fits, params, judged, believed, kept, n_splits)
        index = _report.chosen_rung(self, table, fits, metric, self._guarded)
        found = {
            "cv_results_": table,
            "history_": _report.history(fits),
            "n_splits_": n_splits,
            "scorer_": public_scorer(given, self.scoring),
            "multimetric_": list(judged[0].scores) != ["score"],
            "groups_": list(groups),
            "group_labels_": labels,
            **given.attributes,
        }
        if given.kind.classifier:
            found["_classes"] = given.target.classes
        if index is not None:
            found |= _best(table, index, metric, fits, callable(self.refit))
        return (
            found,
            fits,
            {
                "n_rungs": wanted(judged, n_rungs),
                "late": _report.late(fits, judged),
                "constant": stack.all_constant and spec.intercept,
                "rounding": rounding_of(stack.folds),
            },
        )

    def _cross_fitted(self, todo, n_folds, early, progress):
        """Every fold's rows judging rungs that were tuned without them."""
        judged = []
        for k in range(n_folds):
            if early and settled(judged):
                progress.say(1, f"cross-fit settled by {k} of {n_folds} folds")
                break
            with progress.part(f"cross-fit without fold {k}"):
                judged.append(next(todo))
            if judged[-1] is not None:  # scores that do not serve are told before more is tuned
                _report.deciding_metric(self, judged[-1:])
        todo.close()
        return _report.usable(judged)

    def _rungs(self, spec, family, one_scale):
        taus = {} if self._guarded else {"taus": (float(self.shrinkage),)}
        departures = spec.labels is not None and taus.get("taus") != (np.inf,)
        n_codata = 0 if spec.codata is None else spec.codata.shape[1]
        # unguarded, the adaptive rung can do harm, and without a prior it is redundant
        adaptive = 0 if self.shrinkage in (0, np.inf) else int(self.adaptive)
        return ladder(
            scale=self.scale,
            one_scale=one_scale,
            adaptive=adaptive * (2 if self._guarded else 1),
            departures=departures,
            n_codata=n_codata,
            level_prior=SEPARABLE if self._guarded and family == "logistic" else None,
            **taus,
        )

    def _params(self, given, source, spec, stack, fits):
        """Parameters of each rung's model on all rows, settable on the refitted estimator."""
        key = "alpha" if given.step is None else f"{given.step}__alpha"
        if stack.left_out and fits[-1].base is None:  # tuned on all rows
            return [{key: stack.raw_alpha(fit)[0, : source.n_final]} for fit in fits]
        everything = np.ones((1, len(given.y)), dtype=bool)
        one = Stack(source.folds(everything, everything), spec, stack)
        models = RungModels(one, stack.reference(), self.method)
        return [{key: models.alpha(fit)[: source.n_final]} for fit in fits]

    def _refitted(self, given, params, progress):
        """The best estimator fitted on all rows, and the seconds that took."""
        best = with_model(self.estimator, given.step, clone(given.kind.model))
        best.set_params(**params)
        with progress.part("refit", watched=best):
            begun = time.perf_counter()
            best.fit(given.raw, given.y, **given.routed.fit)
            seconds = time.perf_counter() - begun
        return {"best_estimator_": best, "refit_time_": seconds}

    def _replace_state(self, found):
        """Forget an earlier fit and take up this one, all at once."""
        state = vars(self)
        for name in [n for n in state if n == "_classes" or (n[-1] == "_" and n[0] != "_")]:
            del state[name]
        state.update(found)


def _best(table, index, metric, fits, free_choice):
    """Attributes of the chosen rung; there is no score where a callable chose freely."""
    params = table["params"][index]
    (alpha,) = params.values()
    best = {
        "best_index_": index,
        "best_rung_": table["rung"][index],
        "best_params_": params,
        "alpha_": alpha,
        "n_iter_": max(fits[index].result.n_iter, 1),
    }
    if not free_choice:
        best["best_score_"] = float(table[f"mean_test_{metric}"][index])
    return best
