"""Ridge and logistic regression with one penalty per feature."""

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import MultiOutputMixin, RegressorMixin

from ._linear_base import MultiPenaltyClassifier, MultiPenaltyModel

__all__ = [
    "MultiPenaltyLogisticRegression",
    "MultiPenaltyRidge",
    "MultiPenaltyRidgeClassifier",
]


class MultiPenaltyRidge(MultiOutputMixin, RegressorMixin, MultiPenaltyModel):
    """Ridge regression with one penalty per feature.

    Minimises, over the coefficients w and the intercept b of each target,

        sum_i s_i (y_i - x_i.w - b)^2  +  sum_j alpha_j w_j^2

    with the sample weights s. A constant `alpha` is :class:`sklearn.linear_model.Ridge`. The
    intercept is never penalised. Sparse X stays sparse.

    Parameters
    ----------
    alpha : float or array-like of shape (n_features,), default=1.0
        The penalty of all features, or one per feature. Zero leaves a feature unpenalised. All
        targets share it. Where features without a penalty are no fewer than the rows, the minimum
        is not unique: theirs is the one of smallest norm, as of ``LinearRegression`` (up to 3000
        rows, and where columns are sparse as long as the work for it stays within half a minute;
        else one of the minima).
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    max_iter : int, default=1000
        The most steps of the solver.
    tol : float, default=1e-8
        The solver stops when the predictions will still change by at most this: root mean square
        over the rows, relative to the standard deviation of the targets. There is a
        ``ConvergenceWarning`` where ``max_iter`` ends it before, or rounding beyond ten times that.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        The first if there is one target.
    intercept_ : float or ndarray of shape (n_targets,)
        0.0 with ``fit_intercept=False``.
    alpha_ : ndarray of shape (n_features,)
        The penalties used.
    n_iter_ : int
        Steps of the solver.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
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
        self._set_coefficients(coef, intercept)
        if y.ndim == 2:
            self.intercept_ = intercept
        if not self.fit_intercept:
            self.intercept_ = 0.0
        return self

    def _set_coefficients(self, coef, intercept):
        # Shapes as of scikit-learn's Ridge, which drops the axis of a single target column.
        one = len(coef) == 1
        self.coef_, self.intercept_ = (coef[0], intercept[0]) if one else (coef, intercept)

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


class MultiPenaltyLogisticRegression(MultiPenaltyClassifier):
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
        The solver stops when the decision function will still change by at most this: root mean
        square over the rows. There is a ``ConvergenceWarning`` where ``max_iter`` ends it
        before, or rounding beyond ten times that.

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
    feature_names_in_ : ndarray of shape (n_features,)
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

    def _targets(self, codes, n_classes):
        if n_classes == 2:
            return codes[None, :], "binary"
        return codes == np.arange(n_classes)[:, None], "softmax"

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


class MultiPenaltyRidgeClassifier(MultiPenaltyClassifier):
    """Ridge regression on class membership, with one penalty per feature.

    Each class is a target that is 1 in its rows and -1 in the others. Minimises, over the
    coefficients w_c and the intercepts b_c of the classes,

        sum_i s_i sum_c (t_ic - x_i.w_c - b_c)^2  +  sum_j alpha_j sum_c w_cj^2

    with the sample weights s times the class weights. A constant `alpha` is
    :class:`sklearn.linear_model.RidgeClassifier`. Two classes share one coefficient vector (that
    of the second class). The intercept is never penalised. Sparse X stays sparse. Several labels
    a row are not supported.

    Parameters
    ----------
    alpha : float or array-like of shape (n_features,), default=1.0
        The penalty of all features, or one per feature. Zero leaves a feature unpenalised. All
        classes share it.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    class_weight : dict or "balanced", default=None
        Factor of the rows of each class; classes that a dict leaves out have the factor 1.
        "balanced" gives every class the same total weight, sample weights included.
    max_iter : int, default=1000
        The most steps of the solver.
    tol : float, default=1e-8
        The solver stops when the predictions will still change by at most this: root mean square
        over the rows, relative to the standard deviation of the targets. There is a
        ``ConvergenceWarning`` where ``max_iter`` ends it before, or rounding beyond ten times that.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
    intercept_ : ndarray of shape (1,) or (n_classes,)
    alpha_ : ndarray of shape (n_features,)
        The penalties used.
    n_iter_ : int
        Steps of the solver.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Defined when X has feature names that are all strings.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_qnbo.linear_model import MultiPenaltyRidgeClassifier
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    >>> model = MultiPenaltyRidgeClassifier(alpha=[1.0, 1e6]).fit(X, ["a", "a", "b", "b"])
    >>> print(model.coef_.round(3) + 0.0, model.predict([[4.0, 0.0]]))
    [[0.667 0.   ]] ['b']
    """

    def _targets(self, codes, n_classes):
        member = codes == np.arange(n_classes)[:, None]
        return np.where(member[1:] if n_classes == 2 else member, 1.0, -1.0), "squared"
