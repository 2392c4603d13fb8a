"""Adaptive rungs: their pilots, and the pilots of those."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, Ridge

from sk_qnbo import MultiPenaltyRidge, QNBOSearchCV
from sk_qnbo._features import penalty_spec
from sk_qnbo._given import Given
from sk_qnbo._ladder import RungModels, Settings, climb
from sk_qnbo._rungs import ladder
from sk_qnbo._stack import ADAPTIVE, EPS_ADAPTIVE, LEVEL, SCALE, Stack

CANCER = load_breast_cancer(return_X_y=True)


def sparse_signal(n=100, d=40, n_signals=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    y = 2.0 * X[:, :n_signals].sum(axis=1) + 3.0 * rng.normal(size=n)
    return X * np.exp(0.3 * rng.normal(size=d)), y


MADE = sparse_signal()


def climbed(model, X, y):
    """The stack of all folds, and the fits of its rungs up to the second adaptive one."""
    search = QNBOSearchCV(model, cv=4, penalty="shared")
    given = Given.of(search, X, y, {})
    source = given.source(True)
    spec, *_ = penalty_spec(search, source, True)
    stack = given.tuning.stack(source, spec, precise=True)
    rungs = search._rungs(spec, given.kind.family, stack.one_scale)
    fits = list(climb(stack, rungs, Settings(sharp=True, final=True)))
    assert [fit.rung.name for fit in fits[-2:]] == ["adaptive", "adaptive twice"]
    return source, given, stack, fits


@pytest.mark.parametrize("model, data", [(LogisticRegression(), CANCER), (Ridge(), MADE)])
def test_models_fitted_elsewhere_have_the_penalties_of_both_pilots(model, data):
    source, given, stack, fits = climbed(model, *data)
    rows = given.tuning.train[[0]]
    one = Stack(source.folds(rows, rows, stack.folds.names), stack.spec, stack)
    models = RungModels(one, stack.reference(), "qnbo-bfgs", tol=1e-10)
    assert max(fit.theta[ADAPTIVE] for fit in fits) > 0.05  # or nothing is seen
    for fit in fits:
        np.testing.assert_allclose(models.alpha(fit), stack.raw_alpha(fit)[0], rtol=1e-4)
        np.testing.assert_allclose(
            models.coefficients(fit), fit.result.point.W[0], rtol=1e-3, atol=1e-5
        )


def test_penalties_of_the_second_rung_are_those_of_its_formula():
    """By scikit-learn-like fits on raw columns alone: two pilots, one after the other."""
    X, y = MADE
    search = QNBOSearchCV(Ridge(), cv=4, penalty="shared", scoring="r2", tol=1e-6).fit(X, y)
    source, given, stack, fits = climbed(Ridge(), X, y)
    mean, spread = stack.reference()
    log_variance = np.log(X.var(axis=0))

    def penalties(theta, coef):
        size = 0.0 * log_variance if coef is None else coef**2 * np.exp(log_variance)
        phi = 0.0 * size
        if coef is not None:
            phi = -np.log(size / size.mean() + EPS_ADAPTIVE)
            phi -= (size * phi).sum() / size.sum()
        scale = theta[SCALE] * (log_variance - mean) / spread
        return np.exp(theta[LEVEL] + scale + theta[ADAPTIVE] * phi)

    everything = np.ones((1, len(y)), dtype=bool)
    one = Stack(source.folds(everything, everything), stack.spec, stack)
    models = RungModels(one, stack.reference(), "qnbo-bfgs", tol=1e-10)
    learned, first, second = fits[-3:]
    coef = None
    for fit in (learned, first, second):
        alpha = penalties(fit.theta, coef)
        np.testing.assert_allclose(models.alpha(fit), alpha, rtol=1e-5)
        coef = MultiPenaltyRidge(alpha=alpha).fit(X, y).coef_
    assert "adaptive twice" in search.cv_results_["rung"]


def test_a_given_shrinkage_has_one_adaptive_rung():
    search = QNBOSearchCV(Ridge(), shrinkage=3.0, cv=3).fit(*MADE)
    rungs = ["standardised", "raw", "learned scale", "adaptive", "tau=3"]
    assert list(search.cv_results_["rung"]) == rungs


def test_the_second_rung_leans_further_towards_few_columns():
    search = QNBOSearchCV(Ridge(), scale=1, penalty="shared", cv=5).fit(*MADE)
    table = search.cv_results_
    at = {name: i for i, name in enumerate(table["rung"])}
    apart = [np.median(np.log(a)) - np.log(a[:3]).max() for a in table["param_alpha"]]
    assert apart[at["adaptive twice"]] > apart[at["adaptive"]] > 1.0
    score = table["mean_test_score"]
    assert score[at["adaptive twice"]] > score[at["adaptive"]] > score[at["shared"]]


def test_pilots_of_leave_one_out_are_fitted_under_the_penalties_of_theirs():
    X, y = MADE
    search = QNBOSearchCV(Ridge(), cv="loo", penalty="shared")
    given = Given.of(search, X, y, {})
    source = given.source(True)
    spec, *_ = penalty_spec(search, source, True)
    stack = given.tuning.stack(source, spec, precise=True)
    fits = list(
        climb(stack, search._rungs(spec, given.kind.family, stack.one_scale), Settings(sharp=True))
    )
    first = fits[-1].base
    assert first.rung.name == "adaptive" and first.theta[ADAPTIVE] > 0.1
    models = RungModels(stack.pilots, stack.reference(), "qnbo-bfgs", tol=1e-10)
    np.testing.assert_allclose(stack.pilot(first), models._phi(first), atol=1e-4)
    plain = RungModels(stack.pilots, stack.reference(), "qnbo-bfgs", tol=1e-10)
    assert np.abs(stack.pilot(first) - plain._phi(replace(first, base=None))).max() > 0.1


def test_departures_begin_at_the_better_adaptive_rung():
    after = {rung.name: rung.after for rung in ladder()}
    assert after["adaptive twice"] == ("adaptive",)
    assert after["tau=10"] == ("adaptive", "adaptive twice") and after["tau=1"] == ("tau=10",)
