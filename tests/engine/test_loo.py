"""Leave-one-out without refitting: against refits and differences, and from either side."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from engine.references import (
    CASES,
    central_differences,
    dense_fit,
    dense_hessian,
    link,
    made,
    penalties,
    relative_error,
    solved,
    value_of,
)
from numpy.testing import assert_allclose
from scipy import sparse

from sk_qnbo import minimize_bilevel
from sk_qnbo.methods import METHODS, QNBO
from sk_qnbo.problems import (
    LOSSES,
    LogLinearPenalty,
    LooProblem,
    leverages,
    linear_data,
    loo,
    rows_of,
)

SHARP = QNBO(tol=1e-12, adjoint_tol=1e-10, n_refine=200, max_iter=1000)
MORE = {
    "binary, rows few, without intercept": {"n": 30, "d": 66, "intercept": False},
    "binary, rows few, free columns": {"n": 30, "d": 66, "fixed": 0.0, "labels": 3},
    "softmax with free columns": {"loss": "softmax", "outputs": 3, "n": 90, "fixed": 0.0},
    "softmax, rows few, free columns": {
        "loss": "softmax", "outputs": 3, "n": 70, "d": 75, "fixed": 0.0, "weighted": True,
    },
    "softmax sparse": {"loss": "softmax", "outputs": 3, "n": 60, "is_sparse": True},
    "ridge with fixed penalties": {"loss": "squared", "fixed": 0.7, "weighted": True},
    "ridge, rows few, without intercept": {
        "loss": "squared", "n": 30, "d": 66, "intercept": False, "weighted": True,
    },
}  # fmt: skip
LOO_CASES = CASES | MORE


def left_out(**how):
    """A made case with one "fold" that trains on all rows, and its leave-one-out problem."""
    case = made(**how)
    weights = np.maximum(case.train, case.valid)[:1]
    case = replace(
        case, train=weights, valid=weights, columns=case.columns[:1], offset=case.offset[:1]
    )
    return case, problem_of(case)


def problem_of(case, rows=None):
    columns = tuple(np.moveaxis(case.columns, 2, 0))
    penalty = LogLinearPenalty(case.offset, columns, case.labels, case.n_labels, case.fixed)
    rows = case.problem.data.rows if rows is None else rows
    data = linear_data(rows, LOSSES[case.loss](case.T), case.train, None)
    return LooProblem(
        data, case.valid, penalty, case.precision, case.center, intercept=case.intercept
    )


def estimate(problem, theta, method=SHARP):
    return method.estimate(problem, theta, method.start(problem, theta))


def without(case, i):
    return replace(case, train=np.where(np.arange(len(case.X)) == i, 0.0, case.train))


def refitted(case, theta):
    """Predictions of each row by a model fitted again without it."""
    fits = [dense_fit(without(case, i), theta, 0)[0] @ x for i, x in enumerate(case.X)]
    return np.array(fits).T


def one_newton_step(case, theta):
    """Predictions of each row after a dense Newton step of the fit without it."""
    W, _ = dense_fit(case, theta, 0)
    alpha, out = penalties(case, theta)[0][0], []
    for i, x in enumerate(case.X):
        weights = without(case, i).train[0]
        gradient = (weights * (link(case.loss, W @ case.X.T) - case.T)) @ case.X + alpha * W
        H = dense_hessian(case, W, weights, alpha)
        out.append((W - solved(H, gradient.ravel()).reshape(W.shape)) @ x)
    return np.array(out).T


def value_at(case, theta, predictions):
    weights = case.valid[0]
    value = weights @ value_of(case.loss, predictions, case.T) / weights.sum()
    value /= len(case.T) if case.loss == "squared" else 1
    return value + 0.5 * (case.precision * (theta - case.center) ** 2).sum()


@pytest.mark.parametrize("name", LOO_CASES)
def test_value_is_one_newton_step_for_each_row(name):
    case, problem = left_out(**LOO_CASES[name])
    want = value_at(case, case.theta, one_newton_step(case, case.theta))
    assert_allclose(estimate(problem, case.theta).value, want, rtol=1e-7)


@pytest.mark.parametrize("name", [n for n in LOO_CASES if "ridge" in n])
def test_ridge_is_exact(name):
    case, problem = left_out(**LOO_CASES[name])
    seen = estimate(problem, case.theta)
    want = refitted(case, case.theta)
    assert_allclose(seen.value, value_at(case, case.theta, want), rtol=1e-10)
    got = problem.predictions(case.theta, seen.point)
    if case.loss == "squared":
        assert_allclose(got, want, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["binary", "binary with sample weights", "softmax"])
def test_log_loss_is_near_the_refits(name):
    case, problem = left_out(**LOO_CASES[name])
    seen = estimate(problem, case.theta)
    want = value_at(case, case.theta, refitted(case, case.theta))
    inside = value_at(case, case.theta, dense_fit(case, case.theta, 0)[0] @ case.X.T)
    assert want > inside
    assert abs(seen.value - want) < 0.03 * (want - inside)


@pytest.mark.parametrize("name", LOO_CASES)
def test_hypergradient_agrees_with_differences(name):
    case, problem = left_out(**LOO_CASES[name])
    seen = estimate(problem, case.theta)
    want = central_differences(lambda theta: estimate(problem, theta).value, case.theta, 3e-5)
    assert_allclose(seen.gradient, want, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_works_on_it(method):
    case, problem = left_out(labels=2, n=60)
    want, method = estimate(problem, case.theta), METHODS[method]
    memory, seen = method.start(problem, case.theta), []
    for _ in range(400 if method.noisy else 60):
        seen.append(method.estimate(problem, case.theta, memory))
        memory = seen[-1].memory
    late = seen[200:] if method.noisy else seen[-1:]  # of random ones the mean
    gradient = np.mean([one.gradient for one in late], axis=0)
    assert relative_error(gradient, want.gradient) < max(method.accuracy, 1e-5)


@pytest.mark.parametrize("loss, outputs", [("binary", 1), ("softmax", 3), ("squared", 2)])
@pytest.mark.parametrize("fixed", [None, 0.0])
@pytest.mark.parametrize("intercept", [True, False])
def test_both_sides_say_the_same(loss, outputs, fixed, intercept):
    case, problem = left_out(
        loss=loss, outputs=outputs, n=40, d=9, fixed=fixed, intercept=intercept, weighted=True
    )
    (member,) = problem._left_out(case.theta, estimate(problem, case.theta).point)
    columns, alpha = member.side, problem._alpha(case.theta)[0, 0]
    bends = problem._contrasted(member.loss.blocks[0]) * case.train[0][:, None, None]
    rows = leverages.KernelSide(problem.rows, alpha, bends)
    assert isinstance(columns, leverages.ColumnSide)
    assert_allclose(rows.Q, columns.Q, rtol=1e-7, atol=1e-10)
    assert_allclose(rows.left, columns.left, rtol=1e-7, atol=1e-10)
    W = np.random.default_rng(0).normal(size=bends.shape)
    W = W + np.swapaxes(W, 1, 2)
    (a, R), (b, S) = columns.spread(W), rows.spread(W)
    assert_allclose(b[alpha > 0], a[alpha > 0], rtol=1e-6)
    assert_allclose(S, R, rtol=1e-6, atol=1e-9 * np.abs(R).max())


@pytest.mark.parametrize("name", ["binary", "softmax", "ridge sparse", "ridge sparse, rows few"])
def test_blocks_of_rows_and_columns_change_nothing(name, monkeypatch):
    case, problem = left_out(**LOO_CASES[name])
    want = estimate(problem, case.theta)
    monkeypatch.setattr(leverages, "_KEPT", 10)
    monkeypatch.setattr(leverages, "_BLOCK", 150)
    got = estimate(problem_of(case), case.theta)
    assert_allclose(got.value, want.value, rtol=1e-12)
    assert_allclose(got.gradient, want.gradient, rtol=1e-8, atol=1e-12)


def test_sparse_rows_stay_sparse():
    n, d = 60, 200_000
    rng = np.random.default_rng(0)
    X = sparse.random(n, d, density=5e-4, random_state=0, format="csr")
    T = rng.normal(size=(1, n))
    penalty = LogLinearPenalty(np.zeros((1, d)), (np.ones((1, d)),))
    data = linear_data(rows_of(X), LOSSES["squared"](T), np.ones((1, n)), None)
    problem = LooProblem(data, np.ones((1, n)), penalty, intercept=False)
    tracemalloc.start()
    estimate(problem, np.zeros(1), METHODS["qnbo-bfgs"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * (8 * n * d)  # of a dense copy


def test_sizes_without_a_dense_factor_are_refused(monkeypatch):
    monkeypatch.setattr(loo, "MAX_SIDE", 20)
    with pytest.raises(ValueError, match="smaller of 48 rows and 21 columns.*cv=5"):
        left_out(d=20)
    with pytest.raises(ValueError, match="times 2 .the classes less one"):
        left_out(loss="softmax", outputs=3, d=11)
    left_out(d=19)


@pytest.mark.parametrize("name", [n for n in LOO_CASES if "ridge" in n])
def test_values_along_the_level_are_those_of_the_fits(name):
    case, problem = left_out(**LOO_CASES[name])
    levels = np.array([-4.0, -1.0, 0.5, 3.0])
    got = problem.values_along(case.theta, 0, levels)
    if case.fixed is not None and (case.fixed > 0).any():
        assert got is None  # penalties that stand do not move with the level
        return
    want = [estimate(problem, np.r_[level, case.theta[1:]]).value for level in levels]
    assert_allclose(got, want, rtol=1e-9)


def test_values_along_are_left_to_the_fits_elsewhere():
    case, problem = left_out()
    assert problem.values_along(case.theta, 0, np.zeros(2)) is None
    case, problem = left_out(loss="squared")
    assert problem.values_along(case.theta, 1, np.zeros(2)) is None


@pytest.mark.parametrize("name", ["binary", "ridge", "ridge, rows few", "softmax"])
def test_minimising_ends_where_the_gradient_vanishes(name):
    case, problem = left_out(**LOO_CASES[name])
    found = minimize_bilevel(problem, case.theta, tol=1e-10, bounds=(-6.0, 6.0))
    assert found.value < estimate(problem, case.theta).value
    free = (found.theta > -6.0) & (found.theta < 6.0)
    assert np.abs(found.gradient[free]).max() < 1e-4
    assert_allclose(found.value, estimate(problem, found.theta).value, rtol=1e-8)


@pytest.mark.parametrize("name", ["binary", "softmax", "ridge", "ridge, rows few"])
def test_members_judge_the_rows_they_are_given(name):
    how = {"labels": 2} | LOO_CASES[name]
    case = made(**how)  # penalties of their own for each of three members
    group = np.arange(len(case.X)) % 3 == np.arange(3)[:, None]
    weights = np.maximum(case.train, case.valid)[:1]
    data = linear_data(case.problem.data.rows, LOSSES[case.loss](case.T), weights, None)
    judge = group * weights
    parts = (case.problem.penalty, case.precision, case.center)
    problem = LooProblem(data, judge, *parts, intercept=case.intercept)
    seen = estimate(problem, case.theta)
    out = np.empty((len(case.T), len(case.X)))
    for k in range(3):
        own = replace(case, train=weights, offset=case.offset[[k]], columns=case.columns[[k]])
        out[:, group[k]] = one_newton_step(own, case.theta)[:, group[k]]
    want = value_at(replace(case, valid=weights), case.theta, out)
    assert_allclose(seen.value, want, rtol=1e-7)
    got = problem.predictions(case.theta, seen.point)
    shift = out.mean(axis=0) if case.loss == "softmax" else 0.0
    assert_allclose(got, out - shift, rtol=1e-5, atol=1e-6)
    slopes = central_differences(lambda theta: estimate(problem, theta).value, case.theta, 3e-5)
    assert_allclose(seen.gradient, slopes, atol=1e-6 * np.abs(slopes).max())


@pytest.mark.parametrize("level", [-14.0, -9.0, 14.0])
@pytest.mark.parametrize("d", [20, 66])
def test_ridge_is_exact_at_the_ends(level, d):
    case, problem = left_out(loss="squared", n=30, d=d, outputs=2, weighted=True, adaptive=False)
    theta = np.r_[level, 0.0]
    method = METHODS["qnbo-bfgs"]  # fits no sharper than a search's
    seen = estimate(problem, theta, replace(method, adjoint_tol=1e-6))
    want = value_at(case, theta, refitted(case, theta))
    assert_allclose(seen.value, want, rtol=1e-5)
    assert_allclose(problem.values_along(theta, 0, theta[:1]), want, rtol=1e-5)
    slopes = central_differences(lambda t: estimate(problem, t, method).value, theta, 1e-3)
    assert_allclose(seen.gradient, slopes, atol=1e-4 * np.abs(slopes).max() + 1e-9)
