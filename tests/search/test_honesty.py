"""What is tuned without a fold does not know the fold's rows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

import sk_qnbo._crossfit as crossfit
from sk_qnbo import QNBOSearchCV

FOLDS = 4


def made(seed, n=80, d=40):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    beta = rng.normal(size=d) * (rng.random(d) < 0.2)
    y = X @ beta + 3.0 * np.linalg.norm(beta) * rng.normal(size=n)
    return X * np.exp(rng.normal(size=d)), y


def penalties_without_first_fold(X, y, monkeypatch):
    """Log penalties of every rung, tuned without the rows of fold 0."""
    seen, real = [], crossfit._judge_all

    def spy(stack, fold, fits, models, scoring):
        if models[0][1] is not None:  # in the climb on all folds only scorers ask for them
            seen.append(np.log([alpha for _, alpha in models]))
        return real(stack, fold, fits, models, scoring)

    with monkeypatch.context() as patch:
        patch.setattr(crossfit, "_judge_all", spy)
        QNBOSearchCV(Ridge(), penalty="shared", cv=FOLDS).fit(X, y)
    return seen[0]


@pytest.mark.parametrize("seed", [40, 41, 42, 43])
def test_penalties_tuned_without_a_fold_do_not_depend_on_its_targets(seed, monkeypatch):
    X, y = made(seed)
    other = y.copy()
    other[: len(y) // FOLDS] = y[: len(y) // FOLDS][::-1]  # of the same mean and spread
    first, second = (penalties_without_first_fold(X, t, monkeypatch) for t in (y, other))
    np.testing.assert_allclose(first, second, rtol=1e-6)


def judged(losses):
    n = losses.shape[1]
    return crossfit.Judged(("a", "b"), np.arange(n), np.ones(n), losses, {}, np.zeros(2), 0.0)


@pytest.mark.parametrize("alike", [False, True])
def test_folds_that_disagree_settle_nothing(alike):
    """Rows of a fold may be alike; then their number says little, and the folds' does."""
    noise = np.random.default_rng(0).normal(size=(2, 1000))
    gaps = (0.7, 0.02) if alike else (0.35, 0.37)
    folds = [
        judged(np.stack([np.ones(1000), 1.0 + gap + 0.1 * rows]))
        for gap, rows in zip(gaps, noise, strict=True)
    ]
    assert crossfit.settled(folds) is not alike


@pytest.mark.parametrize("gap, error", [(0.0, 0.1), (0.1, 0.1), (0.3, 0.1), (2.0, 0.01)])
def test_what_choosing_now_may_cost_is_that_of_a_normal_difference(gap, error):
    want, _ = quad(lambda z: -z * norm.pdf(z, gap, error), gap - 40 * error, 0.0, epsabs=0.0)
    got = crossfit._opportunity_cost(np.array([gap]), np.array([error]))
    np.testing.assert_allclose(got, want if gap < 40 * error else 0.0, rtol=1e-6, atol=1e-200)


def test_many_rungs_that_may_be_ahead_settle_less_than_one():
    rng = np.random.default_rng(0)
    rungs = 1.0 + np.r_[np.zeros((1, 2000)), 0.1 * rng.normal(size=(8, 2000))]
    rungs[1:] += 2e-3 - rungs[1:].mean(axis=1, keepdims=True) + 1.0  # each behind by as much

    def folds(n):
        halves = np.split(rungs[:n], 2, axis=1)
        return [replace(judged(half), names=tuple("abcdefghi"[:n])) for half in halves]

    assert crossfit.settled(folds(2))
    assert not crossfit.settled(folds(9))


@pytest.mark.parametrize("as_list", [False, True])
def test_folds_with_groups_are_all_judged(as_list):
    rng = np.random.default_rng(1)
    groups = np.arange(1500) % 10
    X = rng.normal(size=(1500, 10)) + 1.5 * rng.normal(size=(10, 10))[groups]
    beta = rng.normal(size=10) + 0.7 * rng.normal(size=(10, 10))[groups]
    y = (X * beta).sum(axis=1) + rng.normal(size=1500)
    cv, told = GroupKFold(5), {"groups": groups}
    if as_list:
        cv, told = list(cv.split(X, y, groups)), {}
    search = QNBOSearchCV(Ridge(), penalty="shared", cv=cv).fit(X, y, **told)
    table = search.cv_results_
    assert np.isfinite([table[f"split{k}_test_score"][0] for k in range(5)]).all()
