"""The search as a part of scikit-learn: checks, clones, pickles, and estimators around it."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import StackingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_qnbo import (
    MultiPenaltyLogisticRegression,
    MultiPenaltyRidge,
    MultiPenaltyRidgeClassifier,
    QNBOSearchCV,
)

ESTIMATORS = [
    LogisticRegression(),
    Ridge(),
    RidgeClassifier(),
    MultiPenaltyRidge(),
    MultiPenaltyLogisticRegression(),
    MultiPenaltyRidgeClassifier(),
    make_pipeline(StandardScaler(), LogisticRegression()),
    make_pipeline(StandardScaler(), Ridge()),
]
# what made-up data of a dozen rows are warned of, with reason
EXPECTED = [
    "ignore:rung .* scored:UserWarning",
    "ignore:the scale exponent:sklearn.exceptions.ConvergenceWarning",
    "ignore:the common level:sklearn.exceptions.ConvergenceWarning",
    "ignore:rung .* stopped at max_iter:sklearn.exceptions.ConvergenceWarning",
]


def expected_warnings(test):
    for text in EXPECTED:
        test = pytest.mark.filterwarnings(text)(test)
    return test


@expected_warnings
@parametrize_with_checks(
    [QNBOSearchCV(e, shrinkage=np.inf, scale=1, cv=3, max_iter=5) for e in ESTIMATORS]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@expected_warnings
# data of the older checks have a class of four rows
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
@pytest.mark.slow
@parametrize_with_checks([QNBOSearchCV(e) for e in ESTIMATORS])
def test_scikit_learn_checks_with_the_default_settings(estimator, check):
    check(estimator)


def quick(model=None, **settings):
    """A search that takes milliseconds."""
    settings = {"shrinkage": np.inf, "penalty": "shared", "scale": 1, "cv": 3} | settings
    return QNBOSearchCV(model or LogisticRegression(), **settings)


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return X[:200, :8], y[:200]


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


# -------------------------------------------------------------------------------- clone and pickle


def test_a_clone_is_unfitted_and_finds_the_same(cancer):
    search = QNBOSearchCV(LogisticRegression(), cv=3, max_iter=10).fit(*cancer)
    twin = clone(search)
    assert not [name for name in vars(twin) if name.endswith("_")]
    assert_array_equal(twin.fit(*cancer).alpha_, search.alpha_)


@pytest.mark.parametrize("scoring", [None, "roc_auc", ["accuracy", "roc_auc"]])
def test_pickles_predict_and_score_alike(cancer, scoring):
    refit = "roc_auc" if isinstance(scoring, list) else True
    search = quick(scoring=scoring, refit=refit).fit(*cancer)
    twin = pickle.loads(pickle.dumps(search))
    assert_array_equal(twin.predict_proba(cancer[0]), search.predict_proba(cancer[0]))
    assert twin.score(*cancer) == search.score(*cancer)
    assert_array_equal(twin.classes_, search.classes_)


def test_nested_parameters_can_be_set():
    search = quick(make_pipeline(StandardScaler(), LogisticRegression()))
    search.set_params(estimator__standardscaler__with_mean=False, cv=4)
    params = search.get_params()
    assert params["estimator__standardscaler__with_mean"] is False and params["cv"] == 4
    assert params["estimator__logisticregression"] is search.estimator[-1]


def test_best_params_can_be_set_on_the_best_estimator(cancer):
    X, y = cancer
    search = quick(make_pipeline(StandardScaler(), LogisticRegression())).fit(X, y)
    again = clone(search.best_estimator_).set_params(**search.best_params_).fit(X, y)
    assert_array_equal(again.predict_proba(X), search.predict_proba(X))
    assert_array_equal(search.best_params_["logisticregression__alpha"], search.alpha_)


# ----------------------------------------------------------------------------- estimators around it


def test_cross_validation_around_the_search(cancer, diabetes):
    assert cross_val_score(quick(), *cancer, cv=3).min() > 0.8
    assert cross_val_score(quick(Ridge()), *diabetes, cv=3).min() > 0.3
    seen = cross_validate(quick(), *cancer, cv=3, return_estimator=True, n_jobs=2)
    assert all(hasattr(one, "alpha_") for one in seen["estimator"])


def test_a_pipeline_around_the_search(cancer):
    X, y = cancer
    model = make_pipeline(StandardScaler(), quick(scale=0)).fit(X, y)
    # not quite the same: the search standardises in every fold
    assert_allclose(model.predict_proba(X), quick().fit(X, y).predict_proba(X), atol=0.02)


def test_a_grid_search_around_the_search(cancer):
    grid = GridSearchCV(quick(), {"scale": [0, 1], "estimator__fit_intercept": [True, False]}, cv=3)
    assert grid.fit(*cancer).best_estimator_.alpha_.shape == (8,)


def test_stacking_around_the_search(cancer):
    stack = StackingClassifier([("raw", quick(scale=0)), ("scaled", quick())], cv=3)
    assert stack.fit(*cancer).score(*cancer) > 0.9


def test_calibration_around_the_search(cancer):
    model = CalibratedClassifierCV(quick(RidgeClassifier()), cv=3).fit(*cancer)
    assert model.predict_proba(cancer[0]).shape == (200, 2)


@pytest.mark.filterwarnings("ignore:the common level")  # one class is separable
def test_one_versus_rest_around_the_search():
    X, y = load_iris(return_X_y=True)
    assert OneVsRestClassifier(quick()).fit(X, y).score(X, y) > 0.9


def test_a_transformed_target_around_the_search(diabetes):
    X, y = diabetes
    model = TransformedTargetRegressor(quick(Ridge()), func=np.log, inverse_func=np.exp)
    assert model.fit(X, y).predict(X).min() > 0


def test_permutation_importance_of_the_search(cancer):
    search = quick().fit(*cancer)
    found = permutation_importance(search, *cancer, n_repeats=2, random_state=0)
    assert found.importances_mean.shape == (8,)


def test_what_kind_of_estimator_it_is():
    assert is_classifier(QNBOSearchCV(LogisticRegression()))
    assert is_classifier(QNBOSearchCV(make_pipeline(StandardScaler(), RidgeClassifier())))
    assert is_regressor(QNBOSearchCV(Ridge()))


def test_methods_are_those_of_the_estimator():
    have = {
        name: [hasattr(QNBOSearchCV(e), name) for e in (LogisticRegression(), RidgeClassifier())]
        for name in ("predict", "decision_function", "predict_proba", "transform")
    }
    assert have["predict"] == have["decision_function"] == [True, True]
    assert have["predict_proba"] == [True, False] and have["transform"] == [False, False]
    assert not hasattr(QNBOSearchCV(Ridge()), "decision_function")


def test_a_data_frame_keeps_its_names(cancer):
    X, y = cancer
    frame = pd.DataFrame(X, columns=[f"f{j}" for j in range(8)])
    search = quick().fit(frame, pd.Series(y, index=np.arange(200) + 7))
    assert_array_equal(search.feature_names_in_, frame.columns)
    assert_array_equal(search.best_estimator_.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        search.predict(frame[frame.columns[::-1]])


def test_many_jobs_find_what_one_finds(cancer):
    one, two = (
        QNBOSearchCV(LogisticRegression(), cv=3, max_iter=5, n_jobs=n).fit(*cancer) for n in (1, 2)
    )
    assert_allclose(two.alpha_, one.alpha_, rtol=1e-10)
    assert_allclose(two.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"])


def test_methods_that_are_handed_on_look_like_any_other():
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        method = getattr(QNBOSearchCV(LogisticRegression()), name)
        assert method.__name__ == name and "the refitted estimator" in method.__doc__
        assert list(inspect.signature(method).parameters) == ["X"]
