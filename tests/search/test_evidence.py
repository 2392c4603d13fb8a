"""What judged rows tell: which rungs are worse, and when enough is known."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold

import sk_qnbo._crossfit as crossfit
import sk_qnbo._evidence as evidence
from sk_qnbo import QNBOSearchCV
from sk_qnbo._crossfit import Judged

ROWS = count()


def judged(losses, weights=None):
    n = losses.shape[1]
    rows = np.array([next(ROWS) for _ in range(n)])
    weights = np.ones(n) if weights is None else weights
    return Judged(("a", "b"), rows, weights, losses, {}, np.zeros(2), 0.0)


def kept(folds, early=True):
    """Candidates when these folds are judged, and some speak for all."""
    return evidence.candidates(folds, early)


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
    assert not evidence.settled(folds)


def finally_kept(folds):
    """Candidates when these are all folds, whose rows may be alike."""
    return evidence.candidates(folds, early=False, complete=True)


def three(gap, n_rows=100, spread=1.0, seed=0, loss=10.0):
    """A fold's losses of a simple rung and two with departures, the last behind by a gap."""
    noise = np.random.default_rng(seed).normal(size=(3, n_rows))
    noise -= noise.mean(axis=1, keepdims=True)
    losses = loss + np.array([[0.0], [0.0], [gap]]) + spread * noise
    return replace(judged(losses), names=("adaptive", "tau=10", "tau=1"), fit_seconds=np.ones(3))


def test_a_rung_that_is_clearly_worse_is_no_candidate():
    assert kept([three(9.0)]) == 3  # one fold does not decide for all
    assert kept([three(9.0, seed=k) for k in range(2)]) == 2
    assert kept([three(0.1, seed=k) for k in range(2)]) == 3
    # rungs without departures stay, whatever their losses
    assert kept([replace(three(9.0, seed=k), n_simple=3) for k in range(2)]) == 3
    # no test where rows are a handful, and those that folds judge again are no more rows
    assert kept([three(9.0, n_rows=3, seed=k) for k in range(2)]) == 3
    again = three(0.25, seed=1)
    assert kept([again, replace(three(0.25, seed=2), rows=again.rows)]) == 3
    assert kept([again, three(0.25, seed=2)]) == 2


def test_folds_that_disagree_throw_out_nothing():
    apart = [three(gap, seed=k) for k, gap in enumerate((1.0, 3.0))]
    assert kept(apart) == 3  # two errors of two folds, which Student allows
    assert kept([three(gap, seed=k) for k, gap in enumerate((1.9, 2.1))]) == 2
    # but for losses beyond all: few rows have them, so that no test tells
    assert kept([three(gap, seed=k, loss=1.0) for k, gap in enumerate((0.2, 6.0))]) == 2


def test_what_is_out_stays_out_and_looks_are_few():
    """Or the number of workers would count: folds tuned side by side know more than one by one."""
    early = [three(9.0, seed=k, loss=100.0) for k in range(2)]
    late = [three(-40.0, seed=k, loss=100.0) for k in range(2, 6)]
    assert kept([*early, *late]) == 2
    worse_at_three = [three(-0.5), three(0.5, seed=1), three(9.0, seed=2), three(-9.0, seed=3)]
    assert kept(worse_at_three) == 3


def test_folds_of_rows_that_may_be_alike_are_judged_together():
    folds = [three(9.0, seed=k, loss=100.0) for k in range(2)]
    folds += [three(-40.0, seed=k, loss=100.0) for k in range(2, 6)]
    assert evidence.candidates(folds, early=False) == finally_kept(folds) == 3
    assert finally_kept(folds[:2]) == 2
    # folds count alike, as in the score that chooses, whatever their sizes
    large = three(3.0, n_rows=1000)
    small = [three(-3.5, n_rows=20, seed=k) for k in range(1, 4)]
    assert finally_kept([large, *small]) == 3


def test_rungs_that_time_left_out_are_told_from_those_that_do_not_pay():
    cut = replace(three(0.0), names=("adaptive",), missing=2)
    assert evidence.wanted([three(0.0), cut], 1) == 3
    given_less = replace(cut, missing=1)  # evidence had left out the last when this fold began
    assert evidence.wanted([three(0.0), given_less], 1) == 2
    assert evidence.wanted([three(0.0), three(0.0)], 2) == 2


def test_weights_of_rows_count():
    """A row of weight zero is none."""
    a, b = (three(gap, seed=k, spread=3.0) for k, gap in enumerate((0.7, 1.0)))
    rng = np.random.default_rng(0)
    wild = 10.0 + 50.0 * rng.normal(size=(3, 40))
    zeros = [
        replace(
            one,
            rows=np.r_[one.rows, -np.arange(1, 41) - 100 * k],
            weights=np.r_[np.ones(100), np.zeros(40)],
            losses=np.c_[one.losses, wild],
        )
        for k, one in enumerate((a, b))
    ]
    for levels in (evidence._ONE_ERROR, (0.98, 0.9)):
        for got, want in zip(behind(zeros, levels), behind([a, b], levels), strict=True):
            np.testing.assert_allclose(got, want, rtol=0.02)  # the degrees of freedom
    corr = [evidence._correlation(*evidence._pooled(folds, 3)[:2]) for folds in (zeros, [a, b])]
    np.testing.assert_allclose(*corr, rtol=1e-10)


def behind(folds, levels):
    return evidence._behind(folds, *evidence._pooled(folds, 3), levels)


@pytest.mark.parametrize("gap, n_rows, behind", [
    (-0.01, 600, False), (0.0, 600, False), (0.01, 600, True), (9.0, 499, False),
])  # fmt: skip
def test_many_rows_of_one_fold_tell_that_a_rung_is_no_better(gap, n_rows, behind):
    fold = replace(three(0.0, n_rows), scores={"score": -np.array([10.0, 11.0, 10.0 + gap])})
    assert evidence.is_behind(fold) == behind


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


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
@pytest.mark.parametrize("cv", [3, "given"])
def test_rungs_behind_one_that_is_behind_are_not_tuned(cv, scoring, monkeypatch):
    seen, real = [], crossfit.fit_outer
    monkeypatch.setattr(crossfit, "is_behind", lambda judged: True)
    monkeypatch.setattr(crossfit, "fit_outer", lambda *work: seen.append(real(*work)) or seen[-1])
    X, y = make_classification(120, 30, n_informative=3, flip_y=0.2, random_state=0)
    cv = list(StratifiedKFold(3).split(X, y)) if cv == "given" else cv
    search = QNBOSearchCV(LogisticRegression(), cv=cv, scoring=scoring).fit(X, y)
    # scorers of the user see every rung, and rows of given splits may be alike
    n_rungs = 6 if scoring is None and cv == 3 else 7
    for fold in seen:
        assert len(fold.names) == len(fold.losses) == n_rungs
        assert (fold.n_simple, fold.late, fold.missing) == (5, (), 0)
    if scoring or cv == 3:
        assert len(search.cv_results_["rung"]) == n_rungs


def test_a_rung_that_is_out_unsettles_nothing():
    rng = np.random.default_rng(0)
    losses = 1.0 + 0.01 * rng.normal(size=(3, 1200))
    losses[2] = 0.0
    losses[2, ::100] = 210.0  # of a few rows, so that it might be ahead
    folds = [
        replace(judged(half), names=("adaptive", "tau=10", "tau=1"))
        for half in np.split(losses, 2, axis=1)
    ]
    assert kept(folds) == 2 and evidence.settled(folds)
    assert not evidence.settled([replace(one, n_simple=3) for one in folds])


@pytest.mark.parametrize("factor", [1e-80, 1e80, np.nan])
def test_losses_beyond_squaring_are_judged_all_the_same(factor):
    folds = [three(gap, 400, seed=k) for k, gap in enumerate((0.9, 1.0))]
    folds = [replace(one, losses=factor * (one.losses + [[0.0], [1.0], [1.0]])) for one in folds]
    assert evidence.settled(folds) == np.isfinite(factor)


def test_scores_that_do_not_serve_are_told_by_the_first_fold(monkeypatch):
    tuned, real = [], crossfit.fit_outer
    monkeypatch.setattr(crossfit, "fit_outer", lambda *work: tuned.append(0) or real(*work))
    X, y = make_regression(60, 8, noise=30.0, random_state=0)
    with pytest.raises(ValueError, match="scoring gives nan"):
        QNBOSearchCV(Ridge(), cv=5, scoring=lambda model, X, y: np.nan).fit(X, y)
    assert len(tuned) == 1
