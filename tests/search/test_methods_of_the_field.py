"""QNBOSearchCV with methods other than its own."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, Ridge

from sk_qnbo import METHODS, QNBOSearchCV

# these methods are stopped long before they are done
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_breast_cancer(return_X_y=True)
X, y = X[::3], y[::3]
NULL = -np.log(2.0)


def tuned(method, random_state=0, **settings):
    search = QNBOSearchCV(
        LogisticRegression(), method=method, cv=3, random_state=random_state, **settings
    )
    return search.fit(X, y)


@pytest.mark.parametrize("method", ["soba", "aid-cg", "pzobo", "amigo-gd", "nbo-gd", "f2sa"])
def test_the_search_is_sane_with_every_kind_of_method(method):
    search = tuned(method, max_iter=10)
    assert search.best_score_ > 0.25 * NULL
    assert search.alpha_.shape == (30,) and (search.alpha_ > 0).all()
    assert search.score(X, y) > 0.93


@pytest.mark.parametrize("method", METHODS)
def test_every_method_tunes_one_penalty(method):
    search = tuned(method, penalty="shared", shrinkage=np.inf, scale=1, max_iter=3)
    assert search.best_score_ > 0.35 * NULL


def test_the_random_state_reaches_a_stochastic_method():
    settings = {"shrinkage": 10.0, "max_iter": 5}
    one, same, other = (tuned("soba", seed, **settings).alpha_ for seed in (1, 1, 2))
    assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    one, other = (tuned("nbo-gd", seed, **settings).alpha_ for seed in (1, 2))
    assert_array_equal(one, other)


def test_ridge_takes_batches_of_its_rows():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(150, 6))
    b = A[:, 0] + 0.5 * rng.normal(size=150)
    search = QNBOSearchCV(Ridge(), method="saba", cv=3, max_iter=10, random_state=0).fit(A, b)
    assert search.best_score_ > -0.35
