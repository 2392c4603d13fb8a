"""What the models with one penalty per feature share: checks, the solver, predictions."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from ._solve import solve
from ._validation import (
    check_alpha,
    check_classes,
    check_sample_weight,
    check_squares,
    class_weight_vector,
    numbers_wanted,
)

# what rounding may leave of a fit with a rough start matrix: in units of ``tol``, and at least
_ROUNDING, _LEAST = 10.0, 1e-13


class MultiPenaltyModel(BaseEstimator):
    """The checks, the call of the solver, and the linear predictor."""

    def _validated(self, X, y, sample_weight, **how):
        """X and y by scikit-learn's rules, and one weight per row."""
        check_scalar(self.tol, "tol", Real, min_val=0)
        check_scalar(self.max_iter, "max_iter", Integral, min_val=1)
        check_scalar(self.fit_intercept, "fit_intercept", (bool, np.bool_))
        with numbers_wanted(X):
            X, y = validate_data(
                self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], **how
            )
        check_squares(X, 1e150)
        return X, y, check_sample_weight(sample_weight, X.shape[0])

    def _solved(self, X, targets, loss, weights):
        """Coefficients (n_outputs, n_features) and intercepts (n_outputs,) in the precision of X.

        Sets ``alpha_`` and ``n_iter_``. The arithmetic is done in doubles whatever X is.
        """
        self.alpha_ = check_alpha(self.alpha, X.shape[1])
        coef, intercept, self.n_iter_, residual = solve(
            X.astype(np.float64, copy=False),
            targets,
            loss,
            self.alpha_,
            weights,
            self.fit_intercept,
            self.tol,
            self.max_iter,
        )
        allowed = self.tol
        if self.n_iter_ < self.max_iter:  # it ended of itself
            allowed = max(_ROUNDING * self.tol, _LEAST)
        if not residual <= allowed:  # so that NaN warns too
            self._warn_not_converged(residual)
        return coef.astype(X.dtype, copy=False), intercept.astype(X.dtype, copy=False)

    def _warn_not_converged(self, residual):
        warnings.warn(
            f"{type(self).__name__} stopped after {self.n_iter_} steps with predictions that "
            f"would still change by {residual:.1e} (tol {self.tol:.1e}); coef_ is approximate. "
            "Raise max_iter or tol, or raise alpha where it is zero or tiny.",
            ConvergenceWarning,
            stacklevel=4,
        )

    def _with_coefficients(self, coef, intercept, alpha, classes=None, feature_names=None):
        """Make this unfitted model a fitted one that has the given coefficients.

        Parameters
        ----------
        coef : ndarray of shape (n_outputs, n_features)
        intercept : ndarray of shape (n_outputs,)
        alpha : ndarray of shape (n_features,)
        classes : ndarray of shape (n_classes,), optional
            Sorted labels; for classifiers, where two classes are one output.
        feature_names : array-like of shape (n_features,), optional

        Returns
        -------
        self
        """
        self._set_coefficients(np.array(coef), np.array(intercept))
        self.alpha_ = np.array(alpha)
        self.n_iter_ = 0
        self.n_features_in_ = len(self.alpha_)
        if classes is not None:
            self.classes_ = np.array(classes)
        if feature_names is not None:
            self.feature_names_in_ = np.array(feature_names, dtype=object)
        return self

    def _linear_predictor(self, X):
        """``X @ coef_.T + intercept_``, shape (n_samples,) or (n_samples, n_outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32])
        return X @ self.coef_.T + self.intercept_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class MultiPenaltyClassifier(ClassifierMixin, MultiPenaltyModel):
    """Labels to codes and back; a model says what its targets are for codes of classes."""

    def __init__(
        self, alpha=1.0, *, fit_intercept=True, class_weight=None, max_iter=1000, tol=1e-8
    ):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of two classes or more.
        sample_weight : float or array-like of shape (n_samples,), default=None
            A row of weight two counts like two rows.

        Returns
        -------
        self
        """
        X, codes, weights = self._encoded(X, y, sample_weight)
        targets, loss = self._targets(codes, len(self.classes_))
        self._set_coefficients(*self._solved(X, targets.astype(np.float64), loss, weights))
        return self

    def _set_coefficients(self, coef, intercept):
        self.coef_, self.intercept_ = coef, intercept

    def _encoded(self, X, y, sample_weight):
        """X, the index of each label in ``classes_`` (which it sets), and one weight per row."""
        self._refuse_several_labels(y)
        X, y, weights = self._validated(X, y, sample_weight)
        check_classification_targets(y)
        self.classes_, codes = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        check_classes(self.classes_)
        factors = class_weight_vector(self.class_weight, self.classes_, codes, weights)
        check_classes(self.classes_, factors)
        return X, codes, weights * factors[codes]

    def _refuse_several_labels(self, y):
        if getattr(y, "ndim", 1) == 2 and type_of_target(y).startswith("multi") and y.shape[1] > 1:
            raise ValueError(
                f"y has shape {y.shape}, several labels a row, and {type(self).__name__} fits one. "
                "Use sklearn.multioutput.MultiOutputClassifier around it."
            )

    def decision_function(self, X):
        """Linear predictor: of the second class if there are two, else of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        scores = self._linear_predictor(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X):
        """The class of the largest decision for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        scores = self.decision_function(X)
        codes = scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0).astype(int)
        return self.classes_[codes]
