"""What judged rows tell: which rungs are worse, and when enough is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

import sk_qnbo._evidence as evidence
from sk_qnbo import QNBOSearchCV
from sk_qnbo._crossfit import Judged


def judged(losses):
    n = losses.shape[1]
    return Judged(("a", "b"), np.arange(n), np.ones(n), losses, {}, np.zeros(2), 0.0)


@pytest.mark.parametrize("alike", [False, True])
def test_folds_that_disagree_settle_nothing(alike):
    """Rows of a fold may be alike; then their number says little, and the folds' does."""
    noise = np.random.default_rng(0).normal(size=(2, 1000))
    gaps = (0.7, 0.02) if alike else (0.35, 0.37)
    folds = [
        judged(np.stack([np.ones(1000), 1.0 + gap + 0.1 * rows]))
        for gap, rows in zip(gaps, noise, strict=True)
    ]
    assert evidence.settled(folds) is not alike


@pytest.mark.parametrize("gap, error", [(0.0, 0.1), (0.1, 0.1), (0.3, 0.1), (2.0, 0.01)])
def test_what_choosing_now_may_cost_is_that_of_a_normal_difference(gap, error):
    want, _ = quad(lambda z: -z * norm.pdf(z, gap, error), gap - 40 * error, 0.0, epsabs=0.0)
    one = np.array([0.0, gap]), np.array([0.0, error])
    near = {"rtol": 0.04, "atol": 1e-3 * error}  # of 20,000 draws
    got = evidence._opportunity_cost(*one, np.diag([0.0, 1.0]))
    np.testing.assert_allclose(got, want if gap < 40 * error else 0.0, **near)
    # rungs that are alike cost no more than one; of two that are not, the lower one counts
    alike = evidence._opportunity_cost(*(np.r_[a, a[1]] for a in one), np.ones((3, 3)))
    np.testing.assert_allclose(alike, want if gap < 40 * error else 0.0, **near)
    apart = evidence._opportunity_cost(*(np.r_[a, a[1]] for a in one), np.diag([0.0, 1.0, 1.0]))
    want, _ = quad(lambda z: norm.cdf(z, gap, error) ** 2 - 2 * norm.cdf(z, gap, error), -9.0, 0.0)
    if gap < 40 * error:  # the mean of the lower one's negative part is the integral of its cdf
        np.testing.assert_allclose(apart, -want, **near)


def rungs_that_may_be_ahead(alike):
    rng = np.random.default_rng(0)
    rungs = 1.0 + np.r_[np.zeros((1, 2000)), 0.1 * rng.normal(size=(8, 2000))]
    rungs[2:] = rungs[1] if alike else rungs[2:]
    rungs[1:] += 2e-3 - rungs[1:].mean(axis=1, keepdims=True) + 1.0  # each behind by as much
    return rungs


@pytest.mark.parametrize("alike", [False, True])
def test_many_rungs_that_may_be_ahead_settle_less_than_one(alike):
    rungs = rungs_that_may_be_ahead(alike)

    def folds(n):
        halves = np.split(rungs[:n], 2, axis=1)
        return [replace(judged(half), names=tuple("abcdefghi"[:n])) for half in halves]

    assert evidence.settled(folds(2))
    assert evidence.settled(folds(9)) is alike


def test_what_is_far_below_the_noise_of_the_loss_is_settled():
    """A loss of a few rows: a choice that costs 0.4 % of it matters less than another sample."""
    rng = np.random.default_rng(0)
    rows = np.where(rng.random(2000) < 0.02, 50.0, 0.0) + 1e-3
    other = rows + 3e-3 * rows.mean() + 0.15 * rng.normal(size=2000) * rows.mean()
    folds = [judged(half) for half in np.split(np.stack([rows, other]), 2, axis=1)]
    assert evidence.settled(folds)
    even = np.full(2000, rows.mean())
    folds = [judged(half) for half in np.split(np.stack([even, other - rows + even]), 2, axis=1)]
    assert evidence.settled(folds) == (evidence.standard_errors(folds[0].losses)[1] < 1e-3)


def three(gap, n_rows=100, spread=1.0, seed=0, loss=10.0):
    """A fold's losses of a simple rung and two with departures, the last behind by a gap."""
    noise = np.random.default_rng(seed).normal(size=(3, n_rows))
    noise -= noise.mean(axis=1, keepdims=True)
    losses = loss + np.array([[0.0], [0.0], [gap]]) + spread * noise
    return replace(judged(losses), names=("adaptive", "tau=10", "tau=1"))


def test_a_rung_that_is_clearly_worse_is_no_candidate():
    assert evidence.candidates([three(9.0)]) == 3  # one fold does not decide for all
    assert evidence.candidates([three(9.0, seed=k) for k in range(2)]) == 2
    assert evidence.candidates([three(0.1, seed=k) for k in range(2)]) == 3
    # rungs without departures stay, whatever their losses
    simple = [replace(three(9.0, seed=k), n_simple=3) for k in range(2)]
    assert evidence.candidates(simple) == 3


def test_folds_that_disagree_throw_out_nothing():
    apart = [three(gap, seed=k) for k, gap in enumerate((0.2, 6.0, 0.1))]
    assert evidence.candidates(apart) == 3
    alike = [three(gap, seed=k) for k, gap in enumerate((2.2, 2.0, 2.1))]
    assert evidence.candidates(alike) == 2
    # but for losses beyond all: few rows have them, so that no test tells
    folds = [three(gap, seed=k, loss=1.0) for k, gap in enumerate((0.2, 6.0))]
    assert evidence.candidates(folds) == 2


def test_what_is_out_stays_out():
    """Or the number of workers would count: folds tuned side by side know more than one by one."""
    folds = [three(9.0), three(9.0, seed=1), *(three(-40.0, seed=k) for k in range(2, 6))]
    assert evidence.candidates(folds) == 2


def test_rungs_that_no_fold_tuned_are_not_tuned_on_all():
    fold = replace(three(0.0), fit_seconds=np.array([1.0, 1.0, 0.0]))
    assert evidence.worth_tuning([fold, fold], None) == 2
    assert evidence.worth_tuning([fold, replace(fold, fit_seconds=np.ones(3))], None) == 3
    assert evidence.worth_tuning([three(9.0), three(9.0)], object()) == 3  # scorers see all


@pytest.mark.parametrize("gap, n_rows, worse", [
    (-0.01, 600, False), (0.01, 600, True),  # many rows need no test
    (0.01, 100, False), (0.5, 100, True), (0.11, 9, True), (0.09, 9, False), (5.0, 7, False),
])  # fmt: skip
def test_how_much_worse_ends_the_climb_of_a_fold(gap, n_rows, worse):
    fold = three(gap, n_rows, loss=1.0)
    means = fold.losses.mean(axis=1)
    assert evidence.is_worse(replace(fold, scores={"score": -means})) == worse


def test_freedom_that_does_not_pay_is_not_tuned_on_all_rows():
    X, y = make_classification(3000, 20, n_informative=2, flip_y=0.5, random_state=1)
    one, two = (QNBOSearchCV(LogisticRegression(), cv=5, n_jobs=n).fit(X, y) for n in (1, 2))
    rungs = list(one.cv_results_["rung"])
    assert "adaptive twice" in rungs and "tau=1" not in rungs
    assert set(one.history_["rung"]) == set(rungs)
    scored = QNBOSearchCV(LogisticRegression(), cv=5, scoring="neg_log_loss").fit(X, y)
    table = scored.cv_results_
    assert list(table["rung"]) == [*rungs, *(r for r in ("tau=10", "tau=1") if r not in rungs)]
    for key in ("n_iter", "split0_test_score"):
        np.testing.assert_allclose(table[key][: len(rungs)], one.cv_results_[key], rtol=1e-12)
    assert table["mean_test_score"][len(rungs) :].max() < 0.998 * scored.best_score_
    for key in ("mean_test_score", "se_test_score", "mean_fold_score"):
        np.testing.assert_array_equal(one.cv_results_[key], two.cv_results_[key])
