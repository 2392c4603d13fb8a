"""Rows held apart are a stack of one fold; plateaus do not slow the upper level down."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sk_qnbo import METHODS, minimize_bilevel
from sk_qnbo.problems import (
    LOSSES,
    HeldOut,
    LinearProblem,
    LogLinearPenalty,
    RowData,
    rows_of,
)
from sk_qnbo.upper import UPPER_STEPS, Box

N, M, D = 40, 25, 4


def penalty():
    return LogLinearPenalty(np.zeros((1, D)), (), np.arange(D), n_labels=D)


def made(loss, seed=0):
    """The same problem twice: rows held apart, and one matrix with roles."""
    rng = np.random.default_rng(seed)
    X, V = (np.column_stack([rng.standard_normal((n, D)), np.ones(n)]) for n in (N, M))
    if loss == "softmax":
        Y, YV = (np.eye(3)[:, rng.integers(3, size=n)] for n in (N, M))
    else:
        Y, YV = (rng.integers(2, size=(1, n)).astype(float) for n in (N, M))
    apart = HeldOut(X, Y, V, YV, penalty(), loss, intercept=True)
    train = np.r_[np.ones(N), np.zeros(M)][None]
    data = RowData(rows_of(np.vstack([X, V])), LOSSES[loss](np.hstack([Y, YV])), train, 1 - train)
    return apart, LinearProblem(data, penalty())


@pytest.mark.parametrize("loss", ["binary", "softmax", "squared"])
def test_rows_held_apart_are_a_stack_of_one_fold(loss):
    apart, whole = made(loss)
    rng = np.random.default_rng(1)
    theta, (w, v) = rng.standard_normal(D), rng.standard_normal((2, 1, apart.n_lower))
    a, b = apart.at(w), whole.at(w)
    for got, want in zip(apart.lower(theta, a), whole.lower(theta, b), strict=True):
        assert_allclose(got, want, rtol=1e-12)
    for got, want in zip(apart.upper(theta, a), whole.upper(theta, b), strict=True):
        assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    assert_allclose(apart.hvp(theta, a, v), whole.hvp(theta, b, v), rtol=1e-12)
    assert_allclose(apart.cross(theta, a, v), whole.cross(theta, b, v), rtol=1e-12)
    moved = [p.line(at, v)(np.array([0.3])) for p, at in ((apart, a), (whole, b))]
    assert_allclose(apart.upper(theta, moved[0])[0], whole.upper(theta, moved[1])[0], rtol=1e-12)


@pytest.mark.parametrize("n_parts", [2, 7, M])
def test_shares_of_rows_held_apart_average_to_the_whole(n_parts):
    problem, _ = made("binary")
    theta, w = np.zeros(D), np.random.default_rng(1).standard_normal((1, problem.n_lower))
    parts = [problem.batch(i, n_parts) for i in range(n_parts)]
    gradient = np.mean([p.lower(theta, p.at(w))[1] for p in parts], axis=0)
    assert_allclose(gradient, problem.lower(theta, problem.at(w))[1], rtol=1e-10)
    upper = [p.upper(theta, p.at(w)) for p in parts]
    want = problem.upper(theta, problem.at(w))
    assert_allclose(np.mean([u[0] for u in upper]), want[0], rtol=1e-10)
    assert_allclose(np.mean([u[2] for u in upper], axis=0), want[2], atol=1e-12)


def test_the_fit_reads_no_row_that_only_judges():
    problem, _ = made("binary")
    point = problem.at(np.ones((1, problem.n_lower)))
    problem.lower(np.zeros(D), point)
    assert problem.data.valid_rows.products == 0
    before = problem.products
    problem.upper(np.zeros(D), point)
    assert problem.data.valid_rows.products == 2  # predictions and one pull
    assert problem.products - before == pytest.approx(2 * M / (N + M))


def test_both_problems_end_at_the_same_penalties():
    ends = [minimize_bilevel(p, np.zeros(D), bounds=(-5.0, 5.0), tol=1e-9) for p in made("binary")]
    assert_allclose(ends[0].value, ends[1].value, rtol=1e-6)
    assert METHODS["qnbo-bfgs"].upper == "lbfgs"


def plateaus(theta):
    """Sum of steps down, each far away behind a plateau of its own; its gradient."""
    s = 1.0 / (1.0 + np.exp(-theta))
    weights = 10.0 ** -np.arange(len(theta))
    return float(weights @ s), weights * s * (1.0 - s)


def test_where_the_way_is_concave_slopes_scale_the_coordinates():
    step, theta = UPPER_STEPS["lbfgs"], np.full(4, 12.0)
    box = Box(np.full(4, -12.0), np.full(4, 12.0))
    state = step.begin(theta, *plateaus(theta), box)
    moves = []
    for _ in range(8):
        trial = step.trial(state, box)
        moves.append(trial - state.theta)
        state = step.advance(state, trial, *plateaus(trial), box)
    assert state.concave
    # slopes differ by a thousand, moves by no more than the floor of the scale lets them
    assert abs(moves[0][1] / moves[0][0]) < 0.2
    assert_allclose(moves[2][1] / moves[2][0], 1.0, rtol=1e-6)


def test_an_average_that_pushes_against_a_bound_is_no_rest():
    step, box = UPPER_STEPS["adam"], Box(np.array([-1.0]), np.array([1.0]))
    state = step.begin(np.array([0.9]), 1.0, np.array([-1.0]), box)
    theta = step.trial(state, box)
    assert theta[0] == 1.0
    state = step.advance(state, theta, 1.0, np.array([0.1]), box)
    assert step.trial(state, box)[0] == 1.0  # the average still points out, the gradient in
    assert state.decrease > 0.0
    state = step.advance(state, theta, 1.0, np.array([-0.1]), box)
    assert state.decrease == 0.0  # here the bound holds
