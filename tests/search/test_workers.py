"""Cross-fits side by side: any backend, with the configuration of the caller."""

import threading

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sk_qnbo import QNBOSearchCV
from sk_qnbo._workers import in_order

X, Y = load_diabetes(return_X_y=True, as_frame=True)
BACKENDS = ["loky", "threading", "multiprocessing"]


def search(*steps):
    return QNBOSearchCV(make_pipeline(*steps), penalty="shared", adaptive=False, cv=3)


def some_columns(frame):
    return frame[["bmi", "bp"]]  # fails where the scaler gives an array


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_finds_the_same(backend):
    wanted = search(StandardScaler(), Ridge()).fit(X, Y)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        found = search(StandardScaler(), Ridge()).fit(X, Y)
    np.testing.assert_allclose(
        found.cv_results_["mean_test_score"], wanted.cv_results_["mean_test_score"], rtol=1e-10
    )


def test_tasks_that_are_not_needed_are_given_up_in_silence():
    begun, go = [], threading.Event()

    def task(k):
        begun.append(k)
        return k if k == 0 else go.wait(5)

    results = in_order(task, [(k,) for k in range(20)], n_jobs=2)
    assert next(results) == 0
    threading.Timer(0.2, go.set).start()
    results.close()  # joblib's own warning would be an error here
    assert len(begun) < 20


@pytest.mark.parametrize("backend", BACKENDS)
def test_workers_know_the_output_that_is_configured(backend):
    model = search(StandardScaler(), FunctionTransformer(some_columns), Ridge())
    with (
        sklearn.config_context(transform_output="pandas"),
        joblib.parallel_config(backend=backend, n_jobs=2),
    ):
        model.fit(X, Y)
    assert list(model.best_estimator_[-1].feature_names_in_) == ["bmi", "bp"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_workers_route_metadata(backend):
    weights = np.linspace(0.5, 2.0, len(Y))
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        model = search(scaler, Ridge().set_fit_request(sample_weight=True))
        wanted = sklearn.base.clone(model).fit(X, Y, sample_weight=weights)
        with joblib.parallel_config(backend=backend, n_jobs=2):
            model.fit(X, Y, sample_weight=weights)
    np.testing.assert_allclose(model.best_score_, wanted.best_score_, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:rung .* scored:UserWarning")
def test_scores_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 150)) * np.exp(rng.normal(size=150))
    y = X[:, :3].sum(axis=1) + rng.normal(size=60)
    one, two = (
        QNBOSearchCV(Ridge(), penalty="shared", cv=4, n_jobs=n).fit(X, y).cv_results_
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one["mean_test_score"], two["mean_test_score"])
