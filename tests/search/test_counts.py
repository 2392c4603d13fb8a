"""What a search costs, in products with X: the gains of the engine, held."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, make_regression
from sklearn.linear_model import LogisticRegression, Ridge

from sk_qnbo import QNBOSearchCV
from sk_qnbo._ladder import Settings
from sk_qnbo._scan import may_rise

# measured, and a tenth more: products of the climb on all folds at the end of each rung
LOGISTIC = {
    "standardised": 1310,
    "raw": 3340,
    "learned scale": 3650,
    "adaptive": 3960,
    "adaptive twice": 3990,
    "tau=10": 4190,
}
WIDE_RIDGE = {
    "standardised": 358,
    "raw": 720,
    "learned scale": 2090,
    "adaptive": 5520,  # the level goes further down here; the rungs behind it start from better
    "adaptive twice": 7570,
    "tau=10": 8280,
}


def products(model, X, y):
    # scorers of the user see all rungs
    scoring = "neg_log_loss" if isinstance(model, LogisticRegression) else "r2"
    search = QNBOSearchCV(model, cv=5, scoring=scoring).fit(X, y)
    rungs, counts = search.history_["rung"], search.history_["products"]
    return {rung: int(counts[rungs == rung].max()) for rung in LOGISTIC}


def cancer():
    return LogisticRegression(), *load_breast_cancer(return_X_y=True)


def wide():
    X, y = make_regression(60, 300, n_informative=10, noise=20.0, random_state=0)
    return Ridge(), X * np.geomspace(0.3, 3.0, 300), y


@pytest.mark.filterwarnings("ignore:rung .* scored:UserWarning")
@pytest.mark.parametrize("case, limits", [(cancer, LOGISTIC), (wide, WIDE_RIDGE)])
def test_products_with_x_do_not_grow(case, limits):
    spent = products(*case())
    assert all(spent[rung] <= limit for rung, limit in limits.items()), spent


def test_many_rows_look_for_no_better_place_to_begin():
    stack = SimpleNamespace(spec=SimpleNamespace(n_features=3), n_rows=4000.0)
    assert not may_rise(stack, 0.5, 1.0, Settings())
    assert may_rise(stack, 0.5, 1.0, Settings(sharp=True))  # a free search always does
    assert may_rise(stack, 0.05, 1.0, Settings())  # a small log loss feels them
    assert not may_rise(stack, 0.05, 0.1, Settings())  # a squared one is in units of itself
