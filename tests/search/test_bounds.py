"""Shared coefficients that end at a bound: which of them are told, and how."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from sk_qnbo import QNBOSearchCV, _bounds, _ladder
from sk_qnbo._bounds import at_bounds, level_end
from sk_qnbo._ladder import Rung
from sk_qnbo._stack import ADAPTIVE, CODATA, LEVEL, SCALE

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 20))
SIZES = np.logspace(0.0, 0.3, 20)
SMALL = X[:, :3].sum(axis=1) + 0.5 * RNG.normal(size=120)


def quick(**settings):
    settings = {"penalty": "shared", "adaptive": False, "shrinkage": np.inf, "cv": 3} | settings
    return QNBOSearchCV(Ridge(), **settings)


def told(search, *data):
    """The warnings of a fit."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        search.fit(*data)
    assert all(one.category is ConvergenceWarning for one in seen)
    return [str(one.message) for one in seen]


def test_a_scale_exponent_at_a_bound_is_told_with_a_way_out():
    (text,) = told(quick(), X * SIZES, SMALL)
    assert "scale exponent of rung 'learned scale' ended at its bound 3;" in text
    log_variance = np.log((X * SIZES).var(axis=0))
    out = quick(codata=log_variance, scale=1)
    assert told(out, X * SIZES, SMALL) == []
    assert out.best_score_ > quick(scale=3.0).fit(X * SIZES, SMALL).best_score_


def test_the_lower_bound_of_the_scale_exponent_is_told_too():
    wide, noise = X * np.logspace(0.0, 0.5, 20), np.random.default_rng(1).normal(size=120)
    (text,) = told(quick(), wide, X[:, -3:].sum(axis=1) + 0.2 * noise)
    assert "scale exponent of rung 'learned scale' ended at its bound -1;" in text


def test_an_exponent_that_says_nothing_is_not_told():
    assert told(quick(), X / X.std(axis=0), SMALL) == []


def test_only_the_chosen_rung_is_told_of():
    assert told(quick(shrinkage="cv", refit=lambda table: 0), X * SIZES, SMALL) == []


def narrowed(monkeypatch, index, bound):
    def box(*args):
        low, high = real(*args)
        if low[index] < high[index]:
            high[index] = bound
        return low, high

    real = _ladder._box
    monkeypatch.setattr(_ladder, "_box", box)


def test_an_adaptive_term_at_its_bound_is_told(monkeypatch):
    narrowed(monkeypatch, ADAPTIVE, 0.1)
    monkeypatch.setattr(_bounds, "_NARROW", 0.0)
    (text,) = told(quick(scale=1, adaptive=True, shrinkage=3.0), X[:35], SMALL[:35])
    assert "adaptive term of rung 'adaptive' ended at its bound 0.1" in text
    assert "adaptive=False" in text


def test_an_adaptive_term_of_zero_is_not_told():
    X, y = load_diabetes(return_X_y=True)
    noise = np.random.default_rng(3).permutation(y)
    search = quick(scale=1, adaptive=True, shrinkage=3.0)
    assert [t for t in told(search, X, noise) if "adaptive" in t] == []


@pytest.mark.parametrize("named", ["known", 0])
def test_a_codata_weight_at_its_bound_is_told(monkeypatch, named):
    known = -(np.arange(20) < 3).astype(float)
    narrowed(monkeypatch, CODATA, 0.5)
    codata = known if named == 0 else pd.DataFrame({"known": known})
    (text,) = told(quick(codata=codata, scale=1), X, SMALL)
    assert f"codata column {named!r} on rung 'codata' ended at its bound 0.5" in text
    series = known if named == 0 else pd.Series(known, name="known")
    assert f"column {named!r}" in told(quick(codata=series, scale=1), X, SMALL)[0]


def test_what_counts_as_a_bound():
    rung = Rung("some", (SCALE, ADAPTIVE, CODATA))
    low, high = np.array([-9.0, -2.0, 0.0, -5.0]), np.array([9.0, 6.0, 3.0, 5.0])
    within = np.array([1.0, 1.0, 1.0, 1.0])

    def ended(rung, theta, slope=1.0):
        result = SimpleNamespace(theta=theta, gradient=np.full(4, slope), value=2.0)
        return at_bounds(rung, result, low, high, 2.0)

    assert ended(rung, within) == ()
    assert ended(rung, low) == ((SCALE, -1.0), (CODATA, -5.0))
    assert ended(rung, high) == ((SCALE, 3.0), (ADAPTIVE, 3.0), (CODATA, 5.0))
    assert ended(rung, high, slope=0.01) == ()  # half a percent of the loss a unit
    assert ended(Rung("held"), low) == ()  # what is not free stands at its value: no bound
    level = np.where(np.arange(4) == LEVEL, high, within)  # the level has a warning of its own
    assert ended(rung, level) == ()


@pytest.mark.parametrize("cv", [3, "loo"])
def test_bounds_above_where_anything_is_fitted_are_told(cv):
    (text,) = told(quick(scale=1, cv=cv, alpha_bounds=(1e8, 1e10)), X, SMALL)
    assert "common level of the penalties of rung 'shared' ended at the lower bound 1e+08" in text
    assert "the weaker the penalty, the better" in text and "Lower the bound" in text


def test_a_level_at_its_upper_bound_says_that_features_say_nothing():
    noise = np.random.default_rng(5).normal(size=120)
    (text,) = told(quick(scale=1, alpha_bounds=(1e-6, 1.0)), X, noise)
    assert "ended at the upper bound 1 " in text and "X may tell nothing of y" in text


def test_a_level_at_its_lower_bound_says_that_no_penalty_is_wanted():
    apart = X[np.abs(X[:, 0]) > 0.5, :2]
    model = QNBOSearchCV(LogisticRegression(), penalty="shared", shrinkage=np.inf, scale=1, cv=3)
    (text,) = told(model, apart, (apart[:, 0] > 0).astype(int))
    assert "ended at the lower bound 1e-06" in text and "separates the classes" in text
    assert "nothing" not in text


def test_without_a_prior_one_warning_tells_of_the_penalties_that_say_something():
    free = {"shrinkage": 0.0, "penalty": "per_feature", "scale": 1}
    (text,) = told(quick(**free), X[:, :4], X[:, :4].sum(axis=1))
    assert "most penalties of rung 'tau=0' ended at the lower bound" in text
    search = quick(**free)
    assert told(search, X, SMALL) == []  # columns left out are what is asked for
    assert (search.alpha_ > 1e8).any()


def test_when_a_level_is_said_to_end_at_a_bound():
    low, high = np.array([-9.0, -4.0, -4.0, -4.0]), np.array([9.0, 4.0, 4.0, 4.0])
    departures = np.array([1, 2, 3])

    def end(tau, *theta):
        theta = np.array(theta, dtype=float)
        return level_end(Rung("some", tau=tau), theta, (low, high), (-9.0, 9.0), departures)

    assert [end(np.inf, level, 0, 0, 0) for level in (-9, 0, 9)] == ["lower", None, "upper"]
    assert end(1.0, -9, 1, 1, 1) == "lower"
    assert end(0.0, -9, 1, 1, 1) is None and end(0.0, -9, 1, 0, 0) == "lower"
    assert end(0.0, 0, -4, -4, 1) == "lower" and end(0.0, 0, -4, 1, 1) is None
    assert end(0.0, 0, 4, 4, 1) is None and end(0.0, 0, 4, 4, 4) == "upper"


def test_constant_columns_alone_are_told_in_the_place_of_bounds():
    ones = np.ones((120, 2))
    with pytest.warns(UserWarning, match="all columns whose penalty is tuned are constant") as seen:
        quick(unpenalized=[0]).fit(np.column_stack([X[:, 0], ones]), SMALL)
    assert len(seen) == 1
    with pytest.warns(UserWarning, match="tuned are constant") as seen:
        quick().fit(ones, SMALL)
    assert len(seen) == 1
    model = Ridge(fit_intercept=False)  # whose intercept they are
    assert told(QNBOSearchCV(model, shrinkage=np.inf, cv=3), ones, SMALL + 5.0) == []


@pytest.mark.parametrize("how", [{"scale": 0}, {"scale": 0, "cv": "loo"}, {}])
def test_free_penalties_keep_to_their_bounds_whatever_the_columns_measure(how):
    """Raw columns begin with one penalty, which is far outside for those of another unit."""
    A, y = load_breast_cancer(return_X_y=True)
    search = QNBOSearchCV(LogisticRegression(), alpha_bounds=(0.1, 1e3), shrinkage=0, **how)
    alpha = search.fit(A[:200], y[:200]).alpha_ / A[:200].var(axis=0)
    assert 0.08 < alpha.min() and alpha.max() < 1.25e3  # variances of folds differ from that of all
