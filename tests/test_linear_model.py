"""The models with one penalty per feature: scikit-learn's where equal, optimal where not."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_qnbo.linear_model import (
    MultiPenaltyLogisticRegression,
    MultiPenaltyRidge,
    MultiPenaltyRidgeClassifier,
)

MODELS = [MultiPenaltyRidge(), MultiPenaltyLogisticRegression()]
CLASSIFIERS = [MultiPenaltyLogisticRegression(), MultiPenaltyRidgeClassifier()]
ALL_MODELS = [*MODELS, MultiPenaltyRidgeClassifier()]


@parametrize_with_checks(ALL_MODELS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# ----------------------------------------------------------------------------------------- helpers


def made_data(n_samples=80, n_features=6, n_classes=2, seed=0):
    """Columns of different scale and centre, noisy labels, continuous targets, uneven weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) * np.logspace(-1, 1, n_features)
    X += rng.normal(size=n_features)
    Z = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=(n_features, n_classes))
    labels = (Z + rng.gumbel(size=Z.shape) * 2).argmax(axis=1)
    return X, labels, Z + rng.normal(size=Z.shape), rng.uniform(0.2, 3.0, size=n_samples)


def to_float32(X):
    return X.astype(np.float32)


def to_sparse(X):
    X = X.copy()
    X[np.abs(X) < np.median(np.abs(X))] = 0.0
    return sparse.csr_matrix(X)


def exact_logistic(alpha, **params):
    return LogisticRegression(
        C=1 / alpha, solver="newton-cholesky", tol=1e-12, max_iter=1000, **params
    )


def assert_same_model(model, other, tol=1e-6):
    scale = max(1.0, np.abs(other.coef_).max())
    assert model.coef_.shape == other.coef_.shape
    assert np.shape(model.intercept_) == np.shape(other.intercept_)
    assert_allclose(model.coef_, other.coef_, rtol=tol, atol=tol * scale)
    assert_allclose(model.intercept_, other.intercept_, rtol=tol, atol=tol * scale)


def dense_newton(X, T, alpha, weights, link):
    """Minimiser of the objective by plain Newton steps on the dense Hessian; (n_outputs, d + 1).

    The long way round: an explicit column of ones, the Hessian of all outputs as one matrix.
    """
    X = np.column_stack([X, np.ones(len(X))])
    alpha = np.append(alpha, 0.0)
    n_outputs, d = len(T), X.shape[1]
    W = np.zeros((n_outputs, d))
    for _ in range(60):
        P = link(W @ X.T)
        gradient = (weights * (P - T)) @ X + alpha * W
        hessian = np.kron(np.eye(n_outputs), np.diag(alpha))
        for k in range(n_outputs):
            for m in range(n_outputs):
                bend = P[k] * ((k == m) - P[m])
                block = X.T * (weights * bend) @ X
                hessian[k * d : (k + 1) * d, m * d : (m + 1) * d] += block
        W -= np.linalg.lstsq(hessian, gradient.ravel(), rcond=1e-13)[0].reshape(W.shape)
    return W


# -------------------------------------------------------------- equal penalties are scikit-learn's


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("n_targets", [None, 1, 3])
def test_equal_penalties_are_ridge(n_targets, alpha, fit_intercept):
    X, _, Y, weights = made_data(n_classes=3)
    y = Y[:, 0] if n_targets is None else Y[:, :n_targets]
    model = MultiPenaltyRidge(alpha, fit_intercept=fit_intercept).fit(X, y, weights)
    other = Ridge(alpha, fit_intercept=fit_intercept, solver="svd").fit(X, y, weights)
    assert_same_model(model, other)
    assert fit_intercept or type(model.intercept_) is float
    assert_allclose(model.predict(X), other.predict(X), rtol=1e-6, atol=1e-6)
    assert model.score(X, y) == pytest.approx(other.score(X, y))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_equal_penalties_are_logistic_regression(n_classes, alpha, fit_intercept):
    X, y, _, weights = made_data(n_classes=n_classes)
    model = MultiPenaltyLogisticRegression(alpha, fit_intercept=fit_intercept).fit(X, y, weights)
    other = exact_logistic(alpha, fit_intercept=fit_intercept).fit(X, y, weights)
    assert_same_model(model, other)
    assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=1e-6)
    assert_allclose(model.predict_log_proba(X), other.predict_log_proba(X), atol=1e-5)
    assert_allclose(model.decision_function(X), other.decision_function(X), atol=1e-5)
    assert (model.predict(X) == other.predict(X)).all()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 5.0}, {0: 0.5, 1: 2.0}])
def test_class_weights_are_scikit_learns(class_weight, n_classes):
    if n_classes == 3 and class_weight == {0: 0.5, 1: 2.0}:
        class_weight = {**class_weight, 2: 1.0}
    X, y, _, _ = made_data(n_classes=n_classes)
    model = MultiPenaltyLogisticRegression(0.5, class_weight=class_weight).fit(X, y)
    assert_same_model(model, exact_logistic(0.5, class_weight=class_weight).fit(X, y))


@pytest.mark.parametrize("to_format", [to_sparse, lambda X: sparse.csc_array(to_sparse(X))])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_sparse_is_dense(n_classes, to_format):
    X, y, Y, weights = made_data(n_classes=n_classes)
    X = to_format(X)
    before = X.toarray()
    for model, target in zip(MODELS, [Y, y]):
        on_sparse = clone(model).fit(X, target, weights)
        on_dense = clone(model).fit(before, target, weights)
        assert_same_model(on_sparse, on_dense)
        assert_allclose(on_sparse.predict(X), on_dense.predict(before), atol=1e-6)
    assert (X.toarray() == before).all()


def test_equal_penalties_on_sparse_rows_are_scikit_learns():
    X, y, Y, _ = made_data()
    X = to_sparse(X)
    ridge = Ridge(2.0, solver="sparse_cg", tol=1e-14).fit(X, Y)
    assert_same_model(MultiPenaltyRidge(2.0).fit(X, Y), ridge)
    logistic = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000).fit(X, y)
    assert_same_model(MultiPenaltyLogisticRegression(2.0).fit(X, y), logistic)


@pytest.mark.parametrize("as_format", [np.asarray, to_sparse])
def test_more_features_than_rows(as_format):
    X, y, Y, weights = made_data(n_samples=30, n_features=100)
    X = as_format(X)
    dense = X.toarray() if sparse.issparse(X) else X
    ridge = Ridge(3.0, solver="svd").fit(dense, Y, weights)
    assert_same_model(MultiPenaltyRidge(3.0).fit(X, Y, weights), ridge)
    logistic = exact_logistic(3.0).fit(dense, y, weights)
    assert_same_model(MultiPenaltyLogisticRegression(3.0).fit(X, y, weights), logistic)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_features", [60, 61, 200])
@pytest.mark.parametrize("as_format", [np.asarray, to_sparse])
def test_without_any_penalty_the_smallest_of_many_minima_is_that_of_least_squares(
    as_format, n_features, fit_intercept
):
    X, _, Y, weights = made_data(n_samples=60, n_features=n_features)
    X = as_format(X)
    weights[:5] = 0.0
    model = MultiPenaltyRidge(0.0, fit_intercept=fit_intercept).fit(X, Y, weights)
    dense = X.toarray() if sparse.issparse(X) else X
    other = LinearRegression(fit_intercept=fit_intercept).fit(dense[5:], Y[5:], weights[5:])
    assert_allclose(model.coef_, other.coef_, rtol=1e-8, atol=1e-8 * np.abs(other.coef_).max())
    assert_allclose(model.predict(X), other.predict(dense), rtol=1e-6, atol=1e-6)


def test_the_smallest_minimum_of_sparse_rows_is_found_without_dense_ones():
    X = sparse.random(150, 60_000, density=0.002, random_state=0, format="csr")
    y = np.random.default_rng(0).normal(size=150)
    tracemalloc.start()
    model = MultiPenaltyRidge(0.0).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.shape[0] * X.shape[1] * 8 / 4
    assert_allclose(model.predict(X), y, atol=1e-10)
    # of all fits the smallest: it lies in the span of the centred rows
    dense = X.toarray()
    centred = dense - dense.mean(axis=0)
    other = np.linalg.lstsq(centred.T, model.coef_, rcond=None)[0]
    assert_allclose(centred.T @ other, model.coef_, atol=1e-10 * np.abs(model.coef_).max())


@pytest.mark.parametrize("n_free, deficient", [(40, True), (80, False), (120, True)])
def test_features_without_penalty_are_the_limit_of_small_penalties(n_free, deficient):
    X, _, Y, weights = made_data(n_samples=40, n_features=150)
    if deficient:  # these leave something to the penalised ones
        X[:, :n_free] = X[:, :10] @ np.random.default_rng(0).normal(size=(10, n_free))
    alpha = np.r_[np.zeros(n_free), np.linspace(1.0, 9.0, 150 - n_free)]
    model = MultiPenaltyRidge(alpha).fit(X, Y, weights)
    limit = Ridge(1.0, solver="svd", fit_intercept=True)
    unit = 1.0 / np.sqrt(np.where(alpha > 0, alpha, 1e-9))
    wanted = limit.fit(X * unit, Y, weights).coef_ * unit
    assert_allclose(model.coef_, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_shapes_of_one_target_column_are_ridges():
    X, _, Y, _ = made_data()
    for y in (Y[:, 0], Y[:, :1]):
        for fit_intercept in (True, False):
            ours, other = (
                model(fit_intercept=fit_intercept).fit(X, y) for model in (MultiPenaltyRidge, Ridge)
            )
            assert np.shape(ours.coef_) == np.shape(other.coef_)
            assert np.shape(ours.intercept_) == np.shape(other.intercept_)
            assert ours.predict(X).shape == other.predict(X).shape


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_many_features_need_no_square_matrix(model):
    # 30,000 x 30,000 doubles would be 7 GB.
    rng = np.random.default_rng(0)
    X = sparse.random(40, 30_000, density=0.01, random_state=0, format="csr")
    y = np.arange(40) % 2
    alpha = rng.uniform(0.1, 1.0, size=X.shape[1])
    fitted = clone(model).set_params(alpha=alpha).fit(X, y)
    assert_gradient_vanishes(fitted, X, y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_float32_is_solved_in_doubles(n_classes):
    X, y, Y, _ = made_data(n_classes=n_classes)
    X = to_float32(X)
    for model, target in zip(MODELS, [Y, y]):
        single = clone(model).fit(X, target)
        double = clone(model).fit(X.astype(np.float64), target)
        assert single.coef_.dtype == single.intercept_.dtype == np.float32
        assert double.coef_.dtype == double.intercept_.dtype == np.float64
        assert_allclose(single.coef_, double.coef_, rtol=1e-6, atol=1e-7)
    assert single.predict_proba(X).dtype == np.float32
    assert clone(MODELS[0]).fit(to_sparse(X), Y).coef_.dtype == np.float32


@pytest.mark.parametrize("standardise", [False, True])
def test_real_data_badly_scaled_or_not(standardise):
    steps = [StandardScaler()] if standardise else []
    X, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(*steps, MultiPenaltyLogisticRegression(1.0)).fit(X, y)
    if standardise:  # scikit-learn's own solvers do not reach 1e-6 on the raw columns
        other = make_pipeline(*steps, exact_logistic(1.0)).fit(X, y)
        assert_same_model(model[-1], other[-1])
    assert_gradient_vanishes(model[-1], model[:-1].transform(X) if steps else X, y)


# ------------------------------------------------------------------------- one penalty per feature


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_penalty_per_feature_is_a_scale_per_feature(n_classes):
    X, y, Y, weights = made_data(n_classes=n_classes)
    alpha = np.logspace(-2, 2, X.shape[1])
    root = np.sqrt(alpha)

    ridge = Ridge(1.0, solver="svd").fit(X / root, Y, weights)
    ridge.coef_ = ridge.coef_ / root
    assert_same_model(MultiPenaltyRidge(alpha).fit(X, Y, weights), ridge)

    logistic = exact_logistic(1.0).fit(X / root, y, weights)
    logistic.coef_ = logistic.coef_ / root
    model = MultiPenaltyLogisticRegression(alpha).fit(X, y, weights)
    assert_same_model(model, logistic)
    assert (model.alpha_ == alpha).all()


def some_zeros(n_features):
    alpha = np.logspace(-1, 1, n_features)
    alpha[::3] = 0.0
    return alpha


def test_unpenalised_features_of_ridge_match_the_normal_equations():
    X, _, Y, weights = made_data(n_classes=3)
    alpha = some_zeros(X.shape[1])
    Xc, Yc = (A - np.average(A, axis=0, weights=weights) for A in (X, Y))
    coef = np.linalg.solve(Xc.T * weights @ Xc + np.diag(alpha), Xc.T * weights @ Yc).T
    assert_allclose(MultiPenaltyRidge(alpha).fit(X, Y, weights).coef_, coef, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("alpha", [some_zeros(6), np.zeros(6)], ids=["some zeros", "all zeros"])
def test_unpenalised_features_match_a_dense_newton(alpha):
    X, y, _, weights = made_data()
    want = dense_newton(X, y[None, :], alpha, weights, expit)
    model = MultiPenaltyLogisticRegression(alpha).fit(X, y, weights)
    assert_allclose(np.column_stack([model.coef_, model.intercept_]), want, rtol=1e-6, atol=1e-8)


def test_unpenalised_features_match_a_dense_newton_under_the_softmax():
    X, y, _, weights = made_data(n_samples=200, n_classes=3)
    alpha = some_zeros(X.shape[1])
    T = (y == np.arange(3)[:, None]).astype(float)
    want = dense_newton(X, T, alpha, weights, lambda Z: softmax(Z, axis=0))
    model = MultiPenaltyLogisticRegression(alpha).fit(X, y, weights)
    # Rows of the softmax are free up to a common shift; the model's sum to zero.
    want -= want.mean(axis=0)
    assert_allclose(np.column_stack([model.coef_, model.intercept_]), want, rtol=1e-6, atol=1e-7)
    assert_allclose(model.coef_.sum(axis=0), 0.0, atol=1e-8)
    assert model.intercept_.sum() == pytest.approx(0.0, abs=1e-8)


def test_unpenalised_features_may_outnumber_the_rows_of_ridge():
    X, _, Y, _ = made_data(n_samples=10, n_features=25)
    model = MultiPenaltyRidge(np.append(np.zeros(20), np.ones(5))).fit(X, Y)
    assert_allclose(model.predict(X), Y, atol=1e-5)


def assert_gradient_vanishes(model, X, y, weights=None, tol=1e-6):
    """Stationarity of the objective as the docstrings state it, each entry on its own scale."""
    weights = np.ones(X.shape[0]) if weights is None else weights
    if hasattr(model, "classes_"):
        proba = model.predict_proba(X)
        residuals = proba - (np.asarray(y)[:, None] == model.classes_)
        residuals = residuals[:, 1:] if len(model.classes_) == 2 else residuals
    else:
        residuals = (model.predict(X) - y).reshape(len(y), -1)
    pulls, coef = weights[:, None] * residuals, np.atleast_2d(model.coef_)
    gradient = (X.T @ pulls).T + model.alpha_ * coef
    scale = np.sqrt(weights @ (X.multiply(X).toarray() if sparse.issparse(X) else X * X))
    scale = np.sqrt(scale**2 + model.alpha_) * max(1.0, np.linalg.norm(residuals))
    assert np.abs(gradient / np.where(scale > 0, scale, 1)).max() < tol
    assert np.abs(pulls.sum(axis=0)).max() < tol * np.abs(pulls).sum()


@pytest.mark.parametrize("to_format", [np.asarray, to_sparse])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_gradient_vanishes_at_the_fit(n_classes, seed, to_format):
    X, y, Y, weights = made_data(n_samples=60, n_features=20, n_classes=n_classes, seed=seed)
    X = to_format(X)
    alpha = np.random.default_rng(seed).permutation(np.logspace(-3, 3, 20))
    model = MultiPenaltyRidge(alpha).fit(X, Y, weights)
    assert_gradient_vanishes(model, X, Y, weights)
    model = MultiPenaltyLogisticRegression(alpha).fit(X, y, weights)
    assert_gradient_vanishes(model, X, y, weights)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_huge_penalty_removes_a_feature(model):
    X, y, _, _ = made_data()
    alpha = np.append(np.ones(5), 1e12)
    fitted = clone(model).set_params(alpha=alpha).fit(X, y)
    without = clone(model).fit(X[:, :5], y)
    assert_allclose(fitted.coef_.ravel()[:5], without.coef_.ravel(), rtol=1e-6)
    assert abs(fitted.coef_.ravel()[5]) < 1e-8


# ---------------------------------------------------------------------------------- sample weights


def fit_all(X, labels, Y, sample_weight=None):
    yield clone(MODELS[0]).fit(X, Y, sample_weight)
    for class_weight in (None, "balanced"):
        model = MultiPenaltyLogisticRegression(class_weight=class_weight)
        yield model.fit(X, labels, sample_weight)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_are_repetitions(n_classes):
    X, y, Y, _ = made_data(n_classes=n_classes)
    times = np.random.default_rng(1).integers(0, 4, size=len(y))
    rows = np.repeat(np.arange(len(y)), times)
    weighted = fit_all(X, y, Y, times)
    for model, repeated in zip(weighted, fit_all(X[rows], y[rows], Y[rows])):
        assert_same_model(model, repeated)


def test_a_number_weighs_every_row():
    X, y, Y, _ = made_data()
    for model, other in zip(fit_all(X, y, Y, 2.0), fit_all(X, y, Y, np.full(len(y), 2.0))):
        assert_same_model(model, other, tol=1e-12)


def test_weights_stay_as_they_were():
    X, y, Y, weights = made_data()
    kept = weights.copy(), X.copy(), y.copy(), Y.copy()
    list(fit_all(X, y, Y, weights))
    for array, copy in zip((weights, X, y, Y), kept):
        assert (array == copy).all()


# -------------------------------------------------------------------------------------- hard cases


@pytest.mark.parametrize("n_classes", [2, 3])
def test_separable_classes_give_a_finite_model(n_classes):
    X = np.repeat(np.arange(n_classes, dtype=float), 5)[:, None] * 10
    y = np.repeat(np.arange(n_classes), 5)
    model = MultiPenaltyLogisticRegression(1e-6).fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert model.score(X, y) == 1.0
    assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)
    assert np.isfinite(model.predict_log_proba(1e6 * X)).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_separable_classes_without_a_penalty_stay_finite():
    X, y = np.arange(10.0)[:, None], np.arange(10) >= 5
    model = MultiPenaltyLogisticRegression(0.0).fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert model.score(X, y) == 1.0


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_constant_column_gets_no_weight(model):
    X, y, _, _ = made_data()
    X[:, 2] = 7.0
    coef = clone(model).fit(X, y).coef_.ravel()
    assert abs(coef[2]) < 1e-8
    unpenalised = clone(model).set_params(alpha=[1, 1, 0, 1, 1, 1]).fit(X, y)
    assert np.isfinite(unpenalised.coef_).all()
    assert_allclose(np.delete(unpenalised.coef_.ravel(), 2), np.delete(coef, 2), rtol=1e-6)


def test_columns_far_from_zero_cost_no_accuracy():
    X, y, Y, _ = made_data()
    for model, target in zip(MODELS, [Y, y]):
        near = clone(model).fit(X, target)
        far = clone(model).fit(X + 1e4, target)
        assert_allclose(far.coef_, near.coef_, rtol=1e-5, atol=1e-7)


def test_a_constant_target_is_predicted():
    X = made_data()[0]
    model = MultiPenaltyRidge().fit(X, np.full(len(X), 3.0))
    assert_allclose(model.predict(X), 3.0)


# ----------------------------------------------------------------------------- scikit-learn's ways


def test_labels_may_be_strings():
    X, codes = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    model = MultiPenaltyLogisticRegression().fit(X, names[codes])
    assert list(model.classes_) == list(names)
    assert set(model.predict(X)) <= set(names)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)


def test_feature_names_are_kept():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = MultiPenaltyRidge().fit(X, y)
    assert list(model.feature_names_in_) == list(X.columns)
    assert model.n_features_in_ == X.shape[1]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[X.columns[::-1]])


def test_alpha_may_be_a_list_or_a_series():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    alpha = pd.Series(np.arange(10.0), index=X.columns)
    a, b = (MultiPenaltyRidge(given).fit(X, y) for given in (alpha, list(alpha)))
    assert_same_model(a, b, tol=1e-12)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_clone_and_pickle(model):
    X, y, _, _ = made_data()
    alpha = np.arange(6.0)
    fitted = clone(model).set_params(alpha=alpha).fit(X, y)
    assert_same_model(clone(fitted).fit(X, y), fitted, tol=1e-12)
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.predict(X) == fitted.predict(X)).all()
    fitted.alpha_[0] = 9.0
    assert alpha[0] == 0.0  # alpha_ is the model's own


def test_inside_a_search_and_a_pipeline():
    X, y = load_iris(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), MultiPenaltyLogisticRegression())
    grid = {"multipenaltylogisticregression__alpha": [0.1, np.array([1.0, 0.1, 1.0, 0.1])]}
    search = GridSearchCV(pipe, grid, scoring="neg_log_loss", cv=3).fit(X, y)
    assert search.best_score_ > -0.3
    assert cross_val_score(search.best_estimator_, X, y, cv=3).min() > 0.9


def test_no_intercept_is_zero():
    X, y, Y, _ = made_data(n_classes=3)
    assert MultiPenaltyRidge(fit_intercept=False).fit(X, Y[:, 0]).intercept_ == 0.0
    model = MultiPenaltyLogisticRegression(fit_intercept=False).fit(X, y)
    assert (model.intercept_ == np.zeros(3)).all()


# ------------------------------------------------------------------------------- ridge classifier


def exact_ridge_classifier(X, y, weights=None, alpha=1.0, **params):
    other = RidgeClassifier(alpha, solver="svd", **params).fit(X, y, weights)
    # for two classes newer versions drop the first axis, against their documentation
    other.coef_ = np.atleast_2d(other.coef_)
    other.intercept_ = np.broadcast_to(other.intercept_, len(other.coef_))
    return other


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_equal_penalties_are_ridge_classifier(n_classes, alpha, fit_intercept):
    X, y, _, weights = made_data(n_classes=n_classes)
    model = MultiPenaltyRidgeClassifier(alpha, fit_intercept=fit_intercept).fit(X, y, weights)
    other = exact_ridge_classifier(X, y, weights, alpha, fit_intercept=fit_intercept)
    assert_same_model(model, other)
    scores = np.squeeze(other.decision_function(X))
    assert_allclose(model.decision_function(X), scores, atol=1e-6)
    picked = scores.argmax(axis=1) if n_classes > 2 else (scores > 0).astype(int)
    assert (model.predict(X) == picked).all()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 5.0}])
def test_class_weights_of_ridge_classifier_are_scikit_learns(class_weight, n_classes):
    X, y, _, _ = made_data(n_classes=n_classes)
    model = MultiPenaltyRidgeClassifier(0.5, class_weight=class_weight).fit(X, y)
    assert_same_model(model, exact_ridge_classifier(X, y, alpha=0.5, class_weight=class_weight))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_ridge_classifier_with_a_penalty_per_feature_is_a_scale_per_feature(n_classes):
    X, y, _, weights = made_data(n_classes=n_classes)
    names, alpha = np.array(["a", "b", "c"])[y], np.logspace(-2, 2, X.shape[1])
    other = exact_ridge_classifier(X / np.sqrt(alpha), names, weights)
    other.coef_ = other.coef_ / np.sqrt(alpha)
    for data in (X, sparse.csr_matrix(X)):
        model = MultiPenaltyRidgeClassifier(alpha).fit(data, names, weights)
        assert_same_model(model, other)
        assert set(model.predict(data)) <= set(names)


@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda model: type(model).__name__)
def test_several_labels_a_row_are_an_error(model):
    X, y, _, _ = made_data()
    with pytest.raises(
        ValueError, match=r"y has shape \(80, 2\), several labels a row.*MultiOutput"
    ):
        clone(model).fit(X, np.column_stack([y, 1 - y]))


# ----------------------------------------------------------------- models from given coefficients


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: type(model).__name__)
def test_given_coefficients_make_the_model_that_has_them(model, n_classes):
    X, y, Y, _ = made_data(n_classes=n_classes)
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    classifier = is_classifier(model)
    target = y if classifier else (Y[:, 0] if n_classes == 2 else Y)
    fitted = clone(model).fit(frame, target)
    given = clone(model)._with_coefficients(
        np.atleast_2d(fitted.coef_),
        np.atleast_1d(fitted.intercept_),
        fitted.alpha_,
        fitted.classes_ if classifier else None,
        fitted.feature_names_in_,
    )
    assert set(vars(given)) == set(vars(fitted))
    for name, value in vars(fitted).items():
        if name != "n_iter_":
            assert np.shape(value) == np.shape(getattr(given, name)), name
            assert type(value) is type(getattr(given, name)), name
    assert (given.predict(frame) == fitted.predict(frame)).all()
    assert given.score(frame, target) == fitted.score(frame, target)


# --------------------------------------------------------------- flat directions and huge penalties


@pytest.mark.parametrize("n_free", [3, 25, 60, 120])
@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: type(model).__name__)
def test_unpenalised_columns_where_rows_are_few_are_fitted(model, n_free):
    # 25 free columns border Woodbury's system, 60 are lifted, 120 are all there are
    X, y, Y, _ = made_data(n_samples=50, n_features=120)
    alpha = np.append(np.zeros(n_free), np.full(120 - n_free, 10.0))
    target = y if is_classifier(model) else Y[:, 0]
    fitted = clone(model).set_params(alpha=alpha).fit(X, target)
    assert np.abs(fitted.coef_).max() < 1e6
    if not (n_free >= 25 and hasattr(fitted, "predict_proba")):
        target = target if not is_classifier(model) else np.where(y, 1.0, -1.0)
        if hasattr(fitted, "predict_proba"):
            assert_gradient_vanishes(fitted, X, y)
        else:
            errors = X @ fitted.coef_.ravel() + fitted.intercept_ - target
            assert_allclose(errors @ X + alpha * fitted.coef_.ravel(), 0.0, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0, np.append(np.zeros(9), 1e12)])
def test_columns_that_repeat_others_leave_predictions_as_they_were(alpha):
    X, y, Y, _ = made_data()
    twice = np.column_stack([X, X[:, :3], np.ones(len(X))])
    for model, target in zip(MODELS, [Y, y]):
        fitted = clone(model).set_params(alpha=alpha).fit(twice, target)
        assert np.abs(fitted.coef_).max() < 1e6
        if np.any(alpha == 0):
            once = clone(model).set_params(alpha=0.0).fit(X, target)
            assert_allclose(fitted.predict(twice), once.predict(X), atol=1e-6)


@pytest.mark.parametrize("alpha", [1e12, 1e300, 1e-300])
@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: type(model).__name__)
def test_extreme_penalties_stay_finite(model, alpha):
    X, y, _, _ = made_data(n_classes=3)
    fitted = clone(model).set_params(alpha=alpha).fit(X, y)
    assert np.isfinite(fitted.coef_).all()
    assert np.abs(fitted.coef_).max() < (1e-6 if alpha > 1 else 1e3)


@pytest.mark.parametrize("n_classes", [1, 2])
def test_the_unit_of_the_targets_does_not_matter(n_classes):
    X, _, Y, _ = made_data(n_classes=n_classes)
    model, scaled = MultiPenaltyRidge().fit(X, Y), MultiPenaltyRidge().fit(X, 1e-9 * Y + 1e-3)
    assert_allclose(scaled.coef_, 1e-9 * model.coef_, rtol=1e-6)
    assert_allclose(scaled.intercept_, 1e-9 * model.intercept_ + 1e-3, rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_predictions_are_as_accurate_as_tol_says(n_classes):
    X, y, Y, _ = made_data(n_samples=300, n_classes=n_classes)
    for tol in (1e-3, 1e-6):
        for model, target in zip(MODELS, [Y, y]):
            rough = clone(model).set_params(tol=tol).fit(X, target)
            sharp = clone(model).set_params(tol=1e-11).fit(X, target)
            errors = rough._linear_predictor(X) - sharp._linear_predictor(X)
            errors -= (
                errors.mean(axis=-1, keepdims=True) if model is MODELS[1] and n_classes > 2 else 0
            )
            assert np.sqrt(np.mean(errors**2)) < 10 * tol * max(1.0, Y.std())


# ----------------------------------------------------------------------------- errors and warnings


@pytest.mark.parametrize(
    "alpha, words",
    [
        (-1.0, "zero or more; got -1.0 for feature 0"),
        ([1, 1, 1, 1, -2, 1], "got -2.0 for feature 4 .1 such in all.*Use 0 to leave"),
        (np.nan, "finite and zero or more; got nan"),
        (np.inf, "finite.*a large number"),
        ([1.0, 2.0], r"alpha has shape \(2,\) but X has 6 features; give one number"),
        (np.ones((6, 1)), r"alpha has shape \(6, 1\) but"),
        ("auto", "alpha must be a number, or one number per feature; got 'auto'"),
        (None, "alpha must be finite|alpha must be a number"),
    ],
)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_wrong_alpha_is_named(model, alpha, words):
    X, y, _, _ = made_data()
    with pytest.raises(ValueError, match=words):
        clone(model).set_params(alpha=alpha).fit(X, y)


@pytest.mark.parametrize(
    "sample_weight, words",
    [
        (np.ones(3), r"sample_weight has shape \(3,\) but X has 80 rows"),
        (np.ones((80, 1)), "sample_weight has shape"),
        (np.linspace(-1, 1, 80), "zero or more; got -1.0 for row 0"),
        (np.zeros(80), "at least one non-zero number"),
        (np.full(80, np.nan), "sample_weight contains NaN"),
    ],
)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_wrong_sample_weight_is_named(model, sample_weight, words):
    X, y, _, _ = made_data()
    with pytest.raises(ValueError, match=words):
        clone(model).fit(X, y, sample_weight)


@pytest.mark.parametrize(
    "params, kind, words",
    [
        ({"tol": -1.0}, ValueError, "tol"),
        ({"tol": "small"}, TypeError, "tol"),
        ({"max_iter": 0}, ValueError, "max_iter"),
        ({"max_iter": 1.5}, TypeError, "max_iter"),
        ({"fit_intercept": "yes"}, TypeError, "fit_intercept"),
    ],
)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_wrong_settings_are_named(model, params, kind, words):
    X, y, _, _ = made_data()
    with pytest.raises(kind, match=words):
        clone(model).set_params(**params).fit(X, y)


@pytest.mark.parametrize("class_weight", ["even", 3.0, {7: 1.0, 8: 2.0}])
def test_wrong_class_weight_is_named(class_weight):
    X, y, _, _ = made_data()
    with pytest.raises(ValueError, match="class_weight|classes"):
        MultiPenaltyLogisticRegression(class_weight=class_weight).fit(X, y)


def test_one_class_is_an_error():
    X = made_data()[0]
    with pytest.raises(ValueError, match="two classes or more; got the one class"):
        MultiPenaltyLogisticRegression().fit(X, np.ones(len(X)))


def test_continuous_labels_are_an_error():
    X, _, Y, _ = made_data()
    with pytest.raises(ValueError, match="[Uu]nknown label type"):
        MultiPenaltyLogisticRegression().fit(X, Y[:, 0])


def test_stopping_short_is_a_warning_with_figures():
    X, y, _, _ = made_data(n_classes=3)
    model = MultiPenaltyLogisticRegression(1e-3, max_iter=1)
    with pytest.warns(ConvergenceWarning, match=r"after 1 steps.*\d.\de[+-]\d\d \(tol 1.0e-08\)"):
        model.fit(X, y)
    assert model.n_iter_ == 1
    assert np.isfinite(model.coef_).all()


def words(n, d):
    """Counts of words, most of them rare, and not centred: the hard case of a diagonal start."""
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(
        (rng.random((n, d)) < np.minimum(0.3, 12.0 / np.arange(1, d + 1))).astype(float)
    )
    z = X @ (rng.normal(size=d) * (rng.random(d) < 0.1))
    return X, (z - z.mean() + rng.logistic(size=n) > 0).astype(int)


@pytest.mark.parametrize("alpha", [1.0, 1e-2, "uneven"])
@pytest.mark.parametrize("n, d", [(3000, 1600), (1600, 2500), (1600, 3600)])
@pytest.mark.parametrize("model", [MultiPenaltyLogisticRegression, MultiPenaltyRidge])
def test_many_sparse_columns_are_fitted_to_the_end(model, n, d, alpha):
    """Where no factor is affordable; the residual may rise for a while."""
    X, y = words(n, d)
    alpha = np.exp(np.random.default_rng(1).uniform(-5, 5, d)) if alpha == "uneven" else alpha
    fitted = model(alpha=alpha, max_iter=3000).fit(X, y)
    coef, z = fitted.coef_.ravel(), X @ fitted.coef_.ravel() + fitted.intercept_
    left = (z if model is MultiPenaltyRidge else expit(z)) - y
    assert np.abs(X.T @ left + alpha * coef).max() < 1e-6 * np.abs(X.T @ (y - y.mean())).max()
    assert abs(left.mean()) < 1e-7


def test_a_fit_that_max_iter_ends_is_told_however_near_it_is():
    """And one that rounding ends is not: these sparse columns leave 5e-8."""
    X, y = words(1600, 3600)
    n_iter = MultiPenaltyLogisticRegression().fit(X, y).n_iter_
    for max_iter in range(n_iter - 4, n_iter):
        with pytest.warns(ConvergenceWarning, match=f"stopped after {max_iter} steps"):
            MultiPenaltyLogisticRegression(max_iter=max_iter).fit(X, y)
    exact = MultiPenaltyRidge(tol=0.0, max_iter=1000).fit(*load_diabetes(return_X_y=True))
    assert exact.n_iter_ < 1000  # and no warning


@pytest.mark.parametrize("n_free", [0, 100])
def test_next_to_no_penalty_on_more_columns_than_rows_is_fitted_to_the_end(n_free):
    """Flat directions that no step has shown: a residual by what steps have shown is far too small.

    It said 1e-8 where coefficients were a fifth off.
    """
    n, d = 1600, 1900
    rng = np.random.default_rng(0)
    X = sparse.random(n, d, density=0.01, random_state=0, format="csr")
    y = X @ rng.normal(size=d) + 0.3 * rng.normal(size=n)
    alpha = 10.0 ** rng.uniform(-8, -6, d)
    alpha[:n_free] = 0.0
    fitted = MultiPenaltyRidge(alpha=alpha, max_iter=20_000).fit(X, y)
    Z = np.column_stack([X.toarray(), np.ones(n)])
    H = Z.T @ Z + np.diag(np.append(alpha, 0.0))
    unit = 1.0 / np.sqrt(np.diag(H))
    exact = unit * np.linalg.solve(H * unit[:, None] * unit, unit * (Z.T @ y))
    off = np.append(fitted.coef_, fitted.intercept_) - exact
    assert np.sqrt(off @ H @ off / n) < 1e-7 * y.std()
    assert_allclose(np.abs(off).max() / np.abs(exact).max(), 0.0, atol=1e-3)
