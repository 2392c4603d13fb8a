"""Watching a search: lines of text, callbacks, history and table."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_qnbo import QNBOSearchCV

CANCER = load_breast_cancer(return_X_y=True)
DATA = CANCER[0][:150, :5], CANCER[1][:150]
RUNGS = ["standardised", "raw", "learned scale"]


def quick(model=None, **settings):
    settings = {"penalty": "shared", "adaptive": False, "cv": 3} | settings
    return QNBOSearchCV(model or LogisticRegression(), **settings)


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_verbose_tells_rungs_and_iterations(capsys, verbose):
    quick(verbose=verbose).fit(*DATA)
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("[QNBOSearchCV ") for line in lines)
    assert sum("rung " in line for line in lines) == (3 if verbose else 0)
    assert sum("cross-fit without fold" in line for line in lines) == (3 if verbose else 0)
    assert any("gradient" in line for line in lines) == (verbose == 2)


def test_the_table_and_the_history_load_into_pandas():
    search = quick().fit(*DATA)
    table, history = pd.DataFrame(search.cv_results_), pd.DataFrame(search.history_)
    assert list(table["rung"]) == RUNGS
    assert {"mean_test_score", "std_test_score", "rank_test_score", "params"} <= set(table)
    splits = table[[f"split{k}_test_score" for k in range(3)]]
    np.testing.assert_allclose(splits.mean(axis=1), table["mean_test_score"])
    assert table["rank_test_score"].min() == 1
    columns = ["rung", "iteration", "value", "gradient_norm", "residual", "products", "seconds"]
    assert set(columns) <= set(history) and list(history["rung"].unique()) == RUNGS
    for _, rung in history.groupby("rung"):
        assert rung["value"].iloc[-1] <= rung["value"].iloc[0] + 1e-12
        assert rung["seconds"].is_monotonic_increasing


def test_several_metrics_have_columns_each():
    search = quick(scoring={"auc": "roc_auc", "acc": "accuracy"}, refit="acc").fit(*DATA)
    table = pd.DataFrame(search.cv_results_)
    assert {"mean_test_auc", "rank_test_acc", "split2_test_auc"} <= set(table)
    assert search.best_score_ == table["mean_test_acc"][search.best_index_]
    assert search.multimetric_ and set(search.scorer_) == {"auc", "acc"}
    assert 0.8 < search.score(*DATA) == (search.predict(DATA[0]) == DATA[1]).mean()


# ---------------------------------------------------------------------------------------- callbacks


class Recorder:
    """Callback that writes down which tasks began and ended."""

    max_propagation_depth = None

    def __init__(self):
        self.events, self.standing = [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        assert X is not None and y is not None
        siblings = context.parent.max_subtasks if context.parent else None
        assert siblings is None or context.task_id < siblings
        self.standing.append(context.task_name)
        self.events.append("/".join(self.standing))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None):
        assert self.standing.pop() == context.task_name


def recorded(search, *data, **params):
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()
    search.set_callbacks(recorder)
    try:
        search.fit(*data, **params)
    finally:
        assert recorder.standing == []
        assert recorder.events[0] == "setup" and recorder.events[-1] == "teardown"
    return recorder.events[1:-1]


def test_callbacks_see_the_whole_tree():
    cross_fits = [f"fit/cross-fit without fold {k}" for k in range(3)]
    rungs = [f"fit/climb/{rung}" for rung in RUNGS]
    assert recorded(quick(), *DATA) == ["fit", *cross_fits, "fit/climb", *rungs, "fit/refit"]
    assert recorded(quick(refit=False, shrinkage=np.inf), *DATA) == ["fit", "fit/climb", *rungs]


@pytest.mark.filterwarnings("ignore:The estimator .* does not support callbacks")
def test_callbacks_see_the_refit_of_a_pipeline():
    search = quick(make_pipeline(StandardScaler(), LogisticRegression()), shrinkage=np.inf)
    events = recorded(search, *DATA)
    assert "fit/fit/fit-final-estimator" in events
    assert not hasattr(search.best_estimator_, "_skl_callbacks")


def test_callbacks_see_every_end_when_time_is_over():
    with pytest.warns(UserWarning, match="max_time"):
        events = recorded(quick(max_time=1e-6), *DATA)
    assert events[:2] == ["fit", "fit/cross-fit without fold 0"]
    assert events[-3:] == ["fit/climb", "fit/climb/standardised", "fit/refit"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("n_calls", [1, 8, 12])
def test_callbacks_see_every_end_when_fit_raises(error, n_calls):
    left = [n_calls]

    def scoring(model, X, y):
        left[0] -= 1
        if left[0] == 0:
            raise error
        return 1.0

    with pytest.raises(error):
        recorded(quick(scoring=scoring), *DATA)


def test_metadata_reach_the_callbacks():
    pytest.importorskip("sklearn.callback")
    seen = []

    class Weights(Recorder):
        def on_fit_task_begin(self, estimator, context, *, metadata=None):
            seen.append(metadata["sample_weight"])

        def on_fit_task_end(self, estimator, context):
            pass

    weights = np.ones(150)
    quick(shrinkage=np.inf).set_callbacks(Weights()).fit(*DATA, sample_weight=weights)
    assert all(one is weights for one in seen)


def test_the_progress_bar_runs():
    pytest.importorskip("rich")
    callback = pytest.importorskip("sklearn.callback")
    search = quick(Ridge()).set_callbacks(callback.ProgressBar())
    assert hasattr(search.fit(*load_diabetes(return_X_y=True)), "alpha_")
