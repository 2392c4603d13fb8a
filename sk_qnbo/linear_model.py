"""Ridge and logistic regression with one penalty per feature."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ._newton_cg import NewtonCG
from ._validation import check_alpha, check_sample_weight, class_weight_vector

__all__ = ["MultiPenaltyLogisticRegression", "MultiPenaltyRidge"]


class _MultiPenaltyModel(BaseEstimator):
    """What both models share: the checks, the call of the solver, and the linear predictor."""

    def _validated(self, X, y, sample_weight, **how):
        """X and y by scikit-learn's rules, and one weight per row."""
        check_scalar(self.tol, "tol", Real, min_val=0)
        check_scalar(self.max_iter, "max_iter", Integral, min_val=1)
        check_scalar(self.fit_intercept, "fit_intercept", (bool, np.bool_))
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], **how)
        return X, y, check_sample_weight(sample_weight, X.shape[0])

    def _solved(self, X, targets, loss, weights):
        """Coefficients (n_outputs, n_features) and intercepts (n_outputs,) in the precision of X.

        Sets ``alpha_`` and ``n_iter_``. The arithmetic is done in doubles whatever X is.
        """
        self.alpha_ = check_alpha(self.alpha, X.shape[1])
        W, self.n_iter_, residual = _solve(
            X.astype(np.float64, copy=False),
            targets,
            loss,
            self.alpha_,
            weights,
            self.fit_intercept,
            self.tol,
            self.max_iter,
        )
        if not residual <= self.tol:  # so that NaN warns too
            self._warn_not_converged(residual)
        W = W.astype(X.dtype, copy=False)
        if self.fit_intercept:
            return W[:, :-1], W[:, -1]
        return W, np.zeros(len(W), dtype=X.dtype)

    def _warn_not_converged(self, residual):
        warnings.warn(
            f"{type(self).__name__} stopped after {self.n_iter_} steps with a relative gradient "
            f"of {residual:.1e} (tol {self.tol:.1e}); coef_ is approximate. Raise max_iter or tol, "
            "or raise alpha where it is zero or tiny.",
            ConvergenceWarning,
            stacklevel=4,
        )

    def _linear_predictor(self, X):
        """``X @ coef_.T + intercept_``, shape (n_samples,) or (n_samples, n_outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32])
        return X @ self.coef_.T + self.intercept_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class MultiPenaltyRidge(MultiOutputMixin, RegressorMixin, _MultiPenaltyModel):
    """Ridge regression with one penalty per feature.

    Minimises, over the coefficients w and the intercept b of each target,

        sum_i s_i (y_i - x_i.w - b)^2  +  sum_j alpha_j w_j^2

    with the sample weights s. A constant `alpha` is :class:`sklearn.linear_model.Ridge`. The
    intercept is never penalised. Sparse X stays sparse.

    Parameters
    ----------
    alpha : float or array-like of shape (n_features,), default=1.0
        The penalty of all features, or one per feature. Zero leaves a feature unpenalised. All
        targets share it.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    max_iter : int, default=1000
        The most steps of the solver.
    tol : float, default=1e-8
        The solver stops when the gradient is this small, relative to the gradient at zero.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        The first if there is one target.
    intercept_ : float or ndarray of shape (n_targets,)
    alpha_ : ndarray of shape (n_features,)
        The penalties used.
    n_iter_ : int
        Steps of the solver.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Defined when X has feature names that are all strings.

    References
    ----------
    A. E. Hoerl and R. W. Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems",
    Technometrics 12, 1970; its general form has one constant per canonical variable.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_qnbo.linear_model import MultiPenaltyRidge
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [1.0, 2.0]])
    >>> y = np.array([1.0, 1.0, 3.0, 3.0])
    >>> model = MultiPenaltyRidge(alpha=[0.0, 1e6]).fit(X, y)
    >>> print(model.coef_.round(3))
    [1. 0.]
    """

    def __init__(self, alpha=1.0, *, fit_intercept=True, max_iter=1000, tol=1e-8):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : float or array-like of shape (n_samples,), default=None
            A row of weight two counts like two rows.

        Returns
        -------
        self : MultiPenaltyRidge
        """
        X, y, weights = self._validated(X, y, sample_weight, multi_output=True, y_numeric=True)
        targets = np.atleast_2d(y.T.astype(np.float64, copy=False))
        coef, intercept = self._solved(X, targets, "squared", weights)
        # Shapes as of scikit-learn's Ridge, which drops the axis of a single target column.
        self.coef_ = coef[0] if len(coef) == 1 else coef
        self.intercept_ = intercept[0] if y.ndim == 1 else intercept
        return self

    def predict(self, X):
        """Predicted targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        return self._linear_predictor(X)


class MultiPenaltyLogisticRegression(ClassifierMixin, _MultiPenaltyModel):
    """Logistic regression, binary or multinomial, with one penalty per feature.

    Minimises, over the coefficients w_c and the intercepts b_c of the classes,

        sum_i s_i logloss(y_i, x_i.w + b)  +  1/2 sum_j alpha_j sum_c w_cj^2

    with the sample weights s times the class weights. A constant `alpha` is
    :class:`sklearn.linear_model.LogisticRegression` with ``C=1/alpha``. Two classes share one
    coefficient vector (that of the second class); three or more have one each, under the softmax.
    The intercept is never penalised. Sparse X stays sparse.

    Parameters
    ----------
    alpha : float or array-like of shape (n_features,), default=1.0
        The penalty of all features, or one per feature. Zero leaves a feature unpenalised.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    class_weight : dict or "balanced", default=None
        Factor of the rows of each class; classes that a dict leaves out have the factor 1.
        "balanced" gives every class the same total weight.
    max_iter : int, default=1000
        The most steps of the solver.
    tol : float, default=1e-8
        The solver stops when the gradient is this small, relative to the gradient at zero.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        With three classes or more each column sums to zero.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        With three classes or more they sum to zero.
    alpha_ : ndarray of shape (n_features,)
        The penalties used.
    n_iter_ : int
        Steps of the solver.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Defined when X has feature names that are all strings.

    References
    ----------
    S. le Cessie and J. C. van Houwelingen, "Ridge Estimators in Logistic Regression", Applied
    Statistics 41, 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_qnbo.linear_model import MultiPenaltyLogisticRegression
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    >>> model = MultiPenaltyLogisticRegression(alpha=[1.0, 1e6]).fit(X, ["a", "a", "b", "b"])
    >>> print(model.coef_.round(3) + 0.0, model.predict([[4.0, 0.0]]))
    [[0.958 0.   ]] ['b']
    """

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
        self : MultiPenaltyLogisticRegression
        """
        X, y, weights = self._validated(X, y, sample_weight)
        codes = self._encoded(y)
        weights = (
            weights * class_weight_vector(self.class_weight, self.classes_, codes, weights)[codes]
        )
        n_classes = len(self.classes_)
        if n_classes == 2:
            targets = codes[None, :].astype(np.float64)
            self.coef_, self.intercept_ = self._solved(X, targets, "binary", weights)
        else:
            targets = (codes == np.arange(n_classes)[:, None]).astype(np.float64)
            self.coef_, self.intercept_ = self._solved(X, targets, "softmax", weights)
        return self

    def _encoded(self, y):
        """Index of each label in ``classes_``, which it sets; shape (n_samples,)."""
        check_classification_targets(y)
        self.classes_, codes = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must hold two classes or more; got the one class {self.classes_[0]!r}. "
                "Use sklearn.dummy.DummyClassifier where there is nothing to tell apart."
            )
        return codes

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
        """The most probable class of each row.

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

    def predict_proba(self, X):
        """Probability of each class; every row sums to one.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return softmax(scores, axis=1)
        return np.column_stack([expit(-scores), expit(scores)])

    def predict_log_proba(self, X):
        """Logarithm of the probability of each class, exact where the probability underflows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return log_softmax(scores, axis=1)
        return np.column_stack([log_expit(-scores), log_expit(scores)])


def _solve(X, targets, loss, alpha, weights, fit_intercept, tol, max_iter):
    """Coefficients that minimise a weighted sum of losses plus a quadratic penalty.

    Minimises ``sum_i s_i loss(t_i, W x_i + b) + 1/2 sum_j alpha_j sum_k W_kj^2`` with the squared
    loss halved, so that it shares its minimiser with the objective of ridge regression.

    Parameters
    ----------
    X : {ndarray, CSR matrix or array} of shape (n_samples, n_features), dtype float64
        Never changed, never centred or densified when sparse.
    targets : ndarray of shape (n_outputs, n_samples)
        0 and 1 for "binary" (one output), one-hot for "softmax", the targets for "squared".
    loss : {"binary", "softmax", "squared"}
    alpha : ndarray of shape (n_features,)
    weights : ndarray of shape (n_samples,)
    fit_intercept : bool
    tol : float
        Stop when the residual is this small.
    max_iter : int

    Returns
    -------
    W : ndarray of shape (n_outputs, n_features + fit_intercept)
        The intercept comes last. Under the softmax the columns sum to zero.
    n_iter : int
    residual : float
        Norm of the gradient, each entry over the square root of a bound on its curvature, relative
        to the same at zero. It depends on the unit of neither X nor the targets.
    """
    fit = NewtonCG(X, targets, loss, alpha, weights, fit_intercept)
    W, n_iter, residual = fit.run(tol, max_iter)
    W[:, X.shape[1] :] -= (W[:, : X.shape[1]] @ fit.mean)[:, None]
    return (W - W.mean(axis=0) if loss == "softmax" else W), n_iter, residual
