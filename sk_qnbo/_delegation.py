"""What a search hands on to the estimator it refitted, and what it tells scikit-learn of itself."""

from sklearn.metrics import check_scoring
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._checks import routing_enabled


def _delegates(name):
    """Condition on a method: the estimator has it, and the search refits one."""

    def check(self):
        self._check_refit(name)
        getattr(getattr(self, "best_estimator_", self.estimator), name)
        return True

    return check


def _handed_on(name, what, gives):
    """Method that the refitted estimator does: ``what`` it is, and what it ``gives``."""

    def method(self, X):
        return getattr(self._best(), name)(X)

    method.__name__, method.__qualname__ = name, f"Delegation.{name}"
    method.__doc__ = f"""{what} the refitted estimator.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        {gives}
        """
    return available_if(_delegates(name))(method)


class Delegation:
    """Predictions, score, tags and metadata routing of a search."""

    def _check_refit(self, name):
        if self.refit is False:
            raise AttributeError(
                f"{type(self).__name__} has refit=False, and {name} needs an estimator refitted on "
                "all rows. Set refit=True, or refit one with best_params_."
            )

    def _best(self):
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_

    predict = _handed_on(
        "predict", "Predictions of", "ndarray of shape (n_samples,) or (n_samples, n_targets)"
    )
    predict_proba = _handed_on(
        "predict_proba", "Class probabilities of", "ndarray of shape (n_samples, n_classes)"
    )
    predict_log_proba = _handed_on(
        "predict_log_proba",
        "Logarithms of the class probabilities of",
        "ndarray of shape (n_samples, n_classes)",
    )
    decision_function = _handed_on(
        "decision_function",
        "Linear predictor of",
        "ndarray of shape (n_samples,) or (n_samples, n_classes)",
    )
    transform = _handed_on("transform", "Transformation by", "array or data frame")

    def score(self, X, y, **params):
        """Score by ``scoring``, or the estimator's own where that is None.

        Parameters
        ----------
        X : as in fit
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        **params : dict
            ``sample_weight``; what the scorer asks for where metadata routing is enabled.

        Returns
        -------
        float
        """
        self._check_refit("score")
        best = self._best()
        if routing_enabled():
            routed = process_routing(self, "score", **params)
            params = routed["estimator" if self.scoring is None else "scorer"]["score"]
        if self.scoring is None:
            return best.score(X, y, **params)
        scorer = self.scorer_[self.refit] if isinstance(self.scorer_, dict) else self.scorer_
        seen = scorer(best, X, y, **params)
        return seen[self.refit] if isinstance(seen, dict) else seen

    @property
    def classes_(self):
        """Class labels, for classifiers."""
        if not hasattr(self, "_classes"):
            raise AttributeError(f"{type(self).__name__} has no classes_: not a fitted classifier.")
        return self._classes

    def get_metadata_routing(self):
        """Where metadata go: to the estimator's fit, the scorer and the splitter.

        Returns
        -------
        MetadataRouter
        """
        router = MetadataRouter(owner=type(self).__name__)
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        if self.scoring is None:
            to_fit.add(caller="score", callee="score")
        else:
            to_score = MethodMapping().add(caller="score", callee="score")
            router.add(
                scorer=check_scoring(self.estimator, scoring=self.scoring),
                method_mapping=to_score.add(caller="fit", callee="score"),
            )
        router.add(estimator=self.estimator, method_mapping=to_fit)
        router.add(
            splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split")
        )
        return router

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags = inner.classifier_tags
        tags.regressor_tags = inner.regressor_tags
        tags.target_tags = inner.target_tags
        tags.input_tags.sparse = inner.input_tags.sparse
        if tags.classifier_tags is not None:
            tags.classifier_tags.multi_label = False
        if tags.estimator_type == "classifier":
            tags.target_tags.multi_output = False
        return tags
