"""What the search finds, checked by another road: grid search, scikit-learn's models, hand work.

The yardsticks are fits by scikit-learn on columns divided by the square root of the penalties,
fold by fold, so that nothing of the package takes part in them.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_classification,
    make_regression,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sk_qnbo import QNBOSearchCV


def digits():
    X, y = load_digits(return_X_y=True)
    rows = y < 4
    X = X[rows][:200]
    return X[:, X.std(axis=0) > 0.5], y[rows][:200]


SETS = {
    "breast_cancer": lambda: load_breast_cancer(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "iris": lambda: load_iris(return_X_y=True),
    "digits": digits,
    "diabetes": lambda: load_diabetes(return_X_y=True),
    "linnerud": lambda: load_linnerud(return_X_y=True),
}


def is_regression(y):
    return np.asarray(y).dtype.kind == "f"


def splits_of(X, y):
    cv = KFold if is_regression(y) else StratifiedKFold
    return list(cv(4, shuffle=True, random_state=0).split(X, y))


def sharp(y, strength=1.0):
    """Scikit-learn's model with one penalty, fitted to many digits."""
    if is_regression(y):
        return Ridge(alpha=strength, solver="svd")
    return LogisticRegression(C=1.0 / strength, tol=1e-8, max_iter=1000, solver="newton-cholesky")


def loss(model, X, y):
    """Validation loss of a fitted model."""
    if is_regression(y):
        return float(np.mean(np.square(model.predict(X) - y)))
    return log_loss(y, model.predict_proba(X), labels=model.classes_)


def validation_loss(X, y, splits, alphas):
    """Mean validation loss by scikit-learn at penalties ``(n_folds, n_features)``."""
    seen = []
    for (train, valid), alpha in zip(splits, alphas, strict=True):
        root = np.sqrt(alpha)
        model = sharp(y).fit((X[train] - X[train].mean(axis=0)) / root, y[train])
        seen.append(loss(model, (X[valid] - X[train].mean(axis=0)) / root, y[valid]))
    return float(np.mean(seen))


def best_of_grid(X, y, splits, scale, low, high):
    """Least mean validation loss on 100 penalties that are equal for all columns."""
    scaler = StandardScaler() if scale else FunctionTransformer()
    model = make_pipeline(scaler, sharp(y))
    grid = np.logspace(np.log10(low), np.log10(high), 100)
    name = "ridge__alpha" if is_regression(y) else "logisticregression__C"
    values = grid if is_regression(y) else 1.0 / grid
    scoring = "neg_mean_squared_error" if is_regression(y) else "neg_log_loss"
    found = GridSearchCV(model, {name: values}, cv=splits, scoring=scoring, refit=False).fit(X, y)
    return -float(found.cv_results_["mean_test_score"].max())


CASES = [(name, scale) for name in SETS for scale in (1, 0)]


# scikit-learn's own solvers may lack the last digits on raw columns
@pytest.mark.filterwarnings("ignore:Line search of Newton solver")
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("name, scale", CASES)
def test_one_penalty_is_as_good_as_the_best_of_a_hundred(name, scale):
    X, y = SETS[name]()
    splits = splits_of(X, y)
    model = Ridge() if is_regression(y) else LogisticRegression()
    search = QNBOSearchCV(model, penalty="shared", scale=scale, shrinkage=np.inf, cv=splits)
    search.fit(X, y)
    # the penalty of a column with variance one, or of any column
    variances = X.var(axis=0) if scale else np.ones(X.shape[1])
    level = np.exp(np.mean(np.log(search.alpha_ / variances)))
    assert_allclose(search.alpha_, level * variances, rtol=1e-5)
    alphas = [level * (X[t].var(axis=0) if scale else np.ones(X.shape[1])) for t, _ in splits]
    found = validation_loss(X, y, splits, alphas)
    assert_allclose(-search.best_score_, found, rtol=1e-3)
    grid = best_of_grid(X, y, splits, scale, 1e-2 * level, 1e2 * level)
    print(f"{name} scale={scale}: excess over the best of 100 {found - grid:.1e} of {grid:.4g}")
    assert found <= grid + 1e-6 * max(1.0, grid)


FREE = {"max_iter": 300, "tol": 1e-7}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["wine", "diabetes", "iris"])
def test_no_penalty_of_its_own_can_be_moved_to_gain(name):
    X, y = SETS[name]()
    X = X / X.std(axis=0)
    splits, bounds = splits_of(X, y), (1e-3, 1e5)
    model = Ridge() if is_regression(y) else LogisticRegression()
    search = QNBOSearchCV(
        model, scale=0, adaptive=False, shrinkage=0, cv=splits, alpha_bounds=bounds, **FREE
    )
    log_alpha = np.log(search.fit(X, y).alpha_)
    at = validation_loss(X, y, splits, [np.exp(log_alpha)] * len(splits))
    assert_allclose(-search.best_score_, at, rtol=1e-4)
    gains = []
    for j in range(X.shape[1]):
        for move in (-0.1, 0.1):
            moved = log_alpha.copy()
            moved[j] += move
            if np.log(bounds[0]) < moved[j] < np.log(bounds[1]):
                gains.append(at - validation_loss(X, y, splits, [np.exp(moved)] * len(splits)))
    print(f"{name}: largest gain by moving one penalty {max(gains):.1e} of {at:.4g}")
    assert max(gains) < 1e-5 * max(1.0, at)


def test_the_score_is_that_of_a_cross_fit_by_hand():
    X, y = SETS["breast_cancer"]()
    X, y = X[:200, :10], y[:200]
    splits = splits_of(X, y)
    settings = {"penalty": "per_feature", "adaptive": False, "scale": 1, "tol": 1e-7}
    search = QNBOSearchCV(LogisticRegression(), cv=splits, **settings).fit(X, y)
    table = search.cv_results_
    for rung, shrinkage in [("shared", np.inf), ("tau=10", 10.0)]:
        row = list(table["rung"]).index(rung)
        for k, (train, valid) in enumerate(splits):
            place = np.full(len(y), -1)
            place[train] = np.arange(len(train))
            inside = [
                (place[np.intersect1d(t, train)], place[np.intersect1d(v, train)])
                for j, (t, v) in enumerate(splits)
                if j != k
            ]
            tuned = QNBOSearchCV(LogisticRegression(), cv=inside, shrinkage=shrinkage, **settings)
            if np.isinf(shrinkage):
                tuned.set_params(penalty="shared")
            tuned.fit(X[train], y[train])
            by_hand = -log_loss(y[valid], tuned.predict_proba(X[valid]))
            assert_allclose(table[f"split{k}_test_score"][row], by_hand, rtol=2e-3)


# ------------------------------------------------------------------------- what must make no change


def plain(model=None, **settings):
    settings = {"penalty": "shared", "shrinkage": np.inf} | settings
    return QNBOSearchCV(model or LogisticRegression(), **settings)


CANCER = load_breast_cancer(return_X_y=True)
CANCER = CANCER[0][:200, :8], CANCER[1][:200]
FOLDS = splits_of(*CANCER)


def alike(one, other, X=CANCER[0], tol=1e-4):
    """Whether two searches predict alike."""
    assert_allclose(one.decision_function(X), other.decision_function(X), rtol=tol, atol=tol)


def test_a_weight_of_two_is_a_row_twice():
    X, y = CANCER
    double = np.arange(0, 200, 3)
    weights = np.ones(200)
    weights[double] = 2.0
    rows = np.r_[np.arange(200), double]
    place = [[np.flatnonzero(np.isin(rows, part)) for part in split] for split in FOLDS]
    for model in (LogisticRegression(), LogisticRegression(class_weight="balanced")):
        weighted = plain(model, cv=FOLDS, scale=0).fit(X, y, sample_weight=weights)
        repeated = plain(model, cv=place, scale=0).fit(X[rows], y[rows])
        assert_allclose(weighted.best_score_, repeated.best_score_, rtol=1e-4)
        assert_allclose(weighted.alpha_, repeated.alpha_, rtol=1e-2)
        alike(weighted, repeated, tol=0.02)


def test_balanced_classes_are_the_weights_they_stand_for():
    X, y = CANCER
    rows = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:40]]
    X, y = X[rows], y[rows]
    share = {c: len(y) / (2.0 * np.sum(y == c)) for c in (0, 1)}
    balanced = plain(LogisticRegression(class_weight="balanced"), scale=1).fit(X, y)
    by_dict = plain(LogisticRegression(class_weight=share), scale=1).fit(X, y)
    # the folds are balanced one by one, and stratified
    assert_allclose(balanced.alpha_, by_dict.alpha_, rtol=0.02)
    assert np.abs(balanced.alpha_ / plain(scale=1).fit(X, y).alpha_ - 1).max() > 0.02


def test_a_scaler_before_the_model_is_scale_one():
    X, y = CANCER
    scaled = plain(make_pipeline(StandardScaler(), LogisticRegression()), scale=0, cv=FOLDS)
    own = plain(scale=1, cv=FOLDS).fit(X, y)
    scaled.fit(X, y)
    assert_allclose(scaled.best_score_, own.best_score_, rtol=1e-6)
    assert_allclose(scaled.alpha_ * X.var(axis=0), own.alpha_, rtol=1e-3)


@pytest.mark.parametrize("model", [LogisticRegression(), Ridge()], ids=["logistic", "ridge"])
def test_equal_variances_leave_the_freer_rungs_free(model):
    # an exponent that says nothing must not hold back what does
    rng = np.random.default_rng(0)
    X = StandardScaler().fit_transform(rng.standard_normal((150, 40)))
    z = X[:, :6].sum(axis=1) + 2.0 * rng.standard_normal(150)
    y = z if isinstance(model, Ridge) else z > 0
    learned, fixed = (
        QNBOSearchCV(model, scale=scale, adaptive=False).fit(X, y).cv_results_["mean_fold_score"]
        for scale in ("learn", 1)
    )
    assert_allclose(learned[-3:], fixed[-3:], rtol=5e-3)
    assert learned[-1] - learned[0] > 0.02 * abs(learned[0])  # scores: greater is better


@pytest.mark.parametrize("model", [LogisticRegression(), Ridge()], ids=["logistic", "ridge"])
def test_sparse_is_dense(model):
    X, y = CANCER
    X = np.where(X > np.median(X, axis=0), X / X.std(axis=0), 0.0)
    settings = {"cv": FOLDS, "penalty": "per_feature", "shrinkage": 3.0}
    dense = plain(model, **settings).fit(X, y)
    for form in (sparse.csr_matrix, sparse.csc_array, sparse.coo_array):
        thin = plain(model, **settings).fit(form(X), y)
        assert_allclose(thin.best_score_, dense.best_score_, rtol=1e-3)
        assert_allclose(thin.predict(form(X)), dense.predict(X), rtol=0.02, atol=0.02)


def test_order_of_rows_and_columns_does_not_matter():
    X, y = CANCER
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(200), rng.permutation(8)
    place = np.argsort(rows)
    moved = [[place[part] for part in split] for split in FOLDS]
    settings = {"penalty": "per_feature", "shrinkage": 3.0, "tol": 1e-6}
    one = plain(cv=FOLDS, **settings).fit(X, y)
    other = plain(cv=moved, **settings).fit(X[rows][:, columns], y[rows])
    assert_allclose(other.best_score_, one.best_score_, rtol=1e-5)
    assert_allclose(other.alpha_, one.alpha_[columns], rtol=0.02)


def test_names_of_classes_do_not_matter():
    X, y = CANCER
    one = plain(cv=FOLDS).fit(X, y)
    other = plain(cv=FOLDS).fit(X, np.array(["no", "yes"])[y])
    assert list(other.classes_) == ["no", "yes"]
    assert_allclose(other.predict_proba(X), one.predict_proba(X))


def test_the_scorer_of_the_loss_is_the_score_in_the_folds():
    X, y = CANCER
    search = plain(scale=1, cv=FOLDS).fit(X, y)
    assert_allclose(search.scorer_(search, X, y), -log_loss(y, search.predict_proba(X)))
    named = plain(scale=1, cv=FOLDS, scoring="neg_log_loss").fit(X, y)
    assert_allclose(named.best_score_, search.best_score_, rtol=1e-6)


@pytest.mark.parametrize("model", [Ridge(), LogisticRegression()])
def test_next_to_no_penalty_is_none_where_columns_are_many(model):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 150))
    y = X[:, :3].sum(axis=1) + rng.normal(size=60)
    y = y if isinstance(model, Ridge) else (y > 0).astype(int)
    scores = [
        QNBOSearchCV(model, unpenalized={0: value}, penalty="shared", cv=3).fit(X, y).best_score_
        for value in (0.0, 1e-300, 1e-14, 1e-9)
    ]
    assert_allclose(scores, scores[0], rtol=1e-6)


@pytest.mark.parametrize("seed, within", [(0, 1.02), (1, 1.005), (3, 1.005)])
def test_free_penalties_are_those_of_a_general_optimiser(seed, within):
    """What rungs before it taught is of shared numbers and says nothing of single penalties.

    With the last seed one common penalty is best at next to nothing, where nothing has a slope.
    """
    X, y = make_regression(200, 20, n_informative=10, noise=20.0, random_state=seed)
    folds = list(KFold(5).split(X))
    moments = []
    for train, _ in folds:
        mean, target = X[train].mean(axis=0), y[train].mean()
        C, r = X[train] - mean, y[train] - target
        moments.append((mean, target, C.T @ C, C.T @ r, X[train].var(axis=0)))

    def value(t):
        loss = 0.0
        for (mean, target, A, b, s), (_, valid) in zip(moments, folds, strict=True):
            w = np.linalg.solve(A + np.diag(np.exp(t) * s), b)
            loss += np.square(y[valid] - target - (X[valid] - mean) @ w).mean() / len(folds)
        return loss

    box = [(np.log(1e-6), np.log(1e10))] * 20
    want = minimize(value, np.full(20, np.log(10.0)), bounds=box, options={"maxfun": 20000}).fun
    found = QNBOSearchCV(Ridge(), scale=1, shrinkage=0, cv=folds).fit(X, y)
    assert -found.best_score_ <= within * want  # the first seed has several minima


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_free_penalties_leave_where_one_common_penalty_fits_nothing():
    """Where noise abounds one common penalty is best beyond all bounds, and flat up there."""
    X, y = make_classification(60, 300, n_informative=5, n_redundant=0, random_state=3)
    search = QNBOSearchCV(LogisticRegression(), scale=1, shrinkage=0, cv=3, max_iter=30)
    common, free = -search.fit(X, y).cv_results_["mean_test_score"]
    assert common > 0.95 * np.log(2)
    assert free < 0.5 * common


@pytest.mark.parametrize("shrinkage", [0, 1.0, 10.0])
@pytest.mark.parametrize("size", [(200, 20, 10, 3), (60, 12, 6, 1), (60, 12, 12, 2)])
def test_departures_end_no_worse_than_they_begin(size, shrinkage):
    """Also where they begin at another level, as the common one ended on a plateau."""
    n, d, informative, seed = size
    X, y = make_regression(n, d, n_informative=informative, noise=20.0, random_state=seed)
    search = QNBOSearchCV(Ridge(), scale=1, adaptive=False, shrinkage=shrinkage, cv=5, max_iter=300)
    common, free = -search.fit(X, y).cv_results_["mean_test_score"]
    assert free <= common * (1 + 1e-8)


def test_a_dimple_far_above_the_valley_is_not_taken_for_it():
    """Two blocks of columns, the one with the larger variance mostly noise: two valleys."""
    rng = np.random.default_rng(38)
    size = 10.0 ** rng.uniform(1, 2.2)
    A, B = rng.normal(size=(80, 40)) * np.sqrt(size), rng.normal(size=(80, 40))
    few = rng.normal(size=3) / np.sqrt(size)
    y = 2.0 * A[:, :3] @ few + B @ (rng.normal(size=40) * rng.uniform(0.3, 1.0))
    X, y = np.hstack([A, B]), y + 0.5 * rng.normal(size=80)
    grid = GridSearchCV(
        Ridge(), {"alpha": np.logspace(-3, 5, 33)}, cv=5, scoring="neg_mean_squared_error"
    ).fit(X, y)
    for shrinkage in ("cv", 3.0, np.inf):
        search = QNBOSearchCV(Ridge(), scale=0, adaptive=False, shrinkage=shrinkage, cv=5)
        search.fit(X, y)
        table = search.cv_results_
        common = table["mean_fold_score" if shrinkage == "cv" else "mean_test_score"][0]
        assert common > grid.best_score_ * 1.001  # both are negative
