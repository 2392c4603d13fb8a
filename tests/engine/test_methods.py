"""What is special about qNBO and its relatives; the contract of all methods is test_contract."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from engine.references import (
    CASES,
    central_differences,
    dense_hypergradient,
    dense_value,
    made,
    relative_error,
)
from engine.test_more_problems import cleaning, few_shot, theta_for
from numpy.testing import assert_allclose, assert_array_equal

from sk_qnbo.curvature import BFGS, SR1, STARTS
from sk_qnbo.curvature.base import dot
from sk_qnbo.methods import METHODS, QNBO, ShineOPA
from sk_qnbo.methods.qnbo import QNBOMemory
from sk_qnbo.problems import CountedProblem, DataCleaning, Quadratic
from sk_qnbo.problems.base import BilevelProblem
from sk_qnbo.solvers.linear_systems import REFINEMENTS, refine_by_steps

FAMILY = [name for name, method in METHODS.items() if isinstance(method, QNBO)]
SOME = ["binary per feature", "softmax", "ridge", "binary, rows few", "binary sparse"]


def held_still(method, case, times=8):
    memory = method.start(case.problem, case.theta)
    for _ in range(times):
        seen = method.estimate(case.problem, case.theta, memory)
        memory = seen.memory
    return seen


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("case", SOME)
def test_holding_theta_still_approaches_the_hypergradient(case, name):
    case = made(**CASES[case])
    times = 80 if METHODS[name].tol_decay < 1 else 8
    seen = held_still(METHODS[name], case, times)
    want = dense_hypergradient(case, case.theta)
    assert relative_error(seen.gradient, want) < METHODS[name].accuracy
    assert seen.value == pytest.approx(dense_value(case, case.theta), rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_the_exact_hypergradient_is_that_of_differences(case):
    case = made(**CASES[case])
    got = held_still(METHODS["exact"], case, times=2).gradient
    want = central_differences(lambda theta: dense_value(case, theta), case.theta, 1e-4)
    assert relative_error(got, want) < 1e-6
    assert relative_error(got, dense_hypergradient(case, case.theta)) < 1e-6


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("case", ["binary per feature", "ridge, rows few"])
def test_an_estimate_is_pure(case, name):
    case, method = made(**CASES[case]), METHODS[name]
    memory = held_still(method, case, times=1).memory
    theta, kept = case.theta + 0.1, copy.deepcopy(memory)
    one, two = (method.estimate(case.problem, theta, memory) for _ in range(2))
    assert one.value == two.value
    assert_array_equal(one.gradient, two.gradient)
    assert_array_equal(one.point.W, two.point.W)
    assert_array_equal(memory.point.W, kept.point.W)
    assert memory.n_thetas == kept.n_thetas and len(memory.pairs) == len(kept.pairs)
    for pair, was in zip(memory.pairs, kept.pairs):
        assert_array_equal(pair, was)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("loss, outputs", [("binary", 1), ("softmax", 3), ("squared", 2)])
def test_equal_folds_are_one_fold(loss, outputs, name):
    many, one = (
        made(loss=loss, outputs=outputs, folds=folds, equal_folds=True, prior=0.0)
        for folds in (3, 1)
    )
    one = replace(one, theta=many.theta)
    penalty = many.problem.penalty
    columns = tuple(column[:1] for column in penalty.columns)
    one.problem.penalty = replace(penalty, offset=penalty.offset[:1], columns=columns)
    a, b = held_still(METHODS[name], many, 3), held_still(METHODS[name], one, 3)
    assert a.value == pytest.approx(b.value, rel=1e-9)
    assert_allclose(a.gradient, b.gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", FAMILY)
def test_products_stay_within_the_budget(name):
    case = made(**CASES["binary sparse"])
    counted, method = CountedProblem(case.problem), METHODS[name]
    memory = method.start(counted, case.theta)
    seen = method.estimate(counted, case.theta, memory)
    assert 1 <= counted.calls["upper"] <= method.cost["upper"]
    assert 1 <= counted.calls["hvp"] <= method.cost["hvp"]
    assert counted.calls["cross"] == 1
    assert seen.n_iter <= method.max_iter
    assert counted.products == case.problem.products > 0


@pytest.mark.parametrize("name", FAMILY)
def test_a_warm_start_spends_no_more_than_a_cold_one(name):
    case, method = made(**CASES["binary per feature"]), METHODS[name]
    near = case.theta + 0.01
    warm = method.estimate(case.problem, near, held_still(method, case, 1).memory)
    cold = method.estimate(case.problem, near, method.start(case.problem, near))
    assert warm.n_iter <= cold.n_iter + (method.tol_decay < 1)


# --------------------------------------------------------------------------- what refinement does


def adjoint_system(case):
    """The lower fit at theta, the right-hand side, and an empty BFGS matrix on a start."""
    problem, theta = case.problem, case.theta
    fit, _ = METHODS["exact"].fit_lower(problem, theta)
    b = problem.upper(theta, fit.point)[2]
    diagonal = problem.diagonal(theta)
    return fit.point, b, BFGS(STARTS["diagonal"](problem, fit.point).factor(diagonal), diagonal)


def preconditioned_cg(hvp, solve, b, u, n):
    """Iterates of conjugate gradients on each member of a stack, from Hestenes and Stiefel."""
    r = b - hvp(u)
    z = solve(r)
    p = z
    for _ in range(n):
        Hp, rz = hvp(p), (r * z).sum(axis=1, keepdims=True)
        t = rz / (p * Hp).sum(axis=1, keepdims=True)
        u, r = u + t * p, r - t * Hp
        z = solve(r)
        p = z + (r * z).sum(axis=1, keepdims=True) / rz * p
        yield u


@pytest.mark.parametrize("refinement", ["steps", "cg"])
@pytest.mark.parametrize("case", ["binary per feature", "ridge, rows few"])
def test_exact_steps_without_shared_pairs_are_conjugate_gradients(case, refinement):
    case = made(**CASES[case])
    problem, theta = case.problem, case.theta
    point, b, curvature = adjoint_system(case)
    u0 = curvature.solve(b)
    want = preconditioned_cg(
        lambda v: problem.hvp(theta, point, v), curvature.factor.solve, b, u0, 5
    )
    for n, u in enumerate(want, start=1):
        refined = REFINEMENTS[refinement](problem, theta, point, b, curvature, u0, 0.0, n + 1)
        assert refined.n_products == n + 1
        assert relative_error(refined.u, u) < 1e-8


@pytest.mark.parametrize("refinement", REFINEMENTS)
def test_refinement_ends_at_the_solution(refinement):
    case = made(**CASES["binary per feature"])
    point, b, curvature = adjoint_system(case)
    args = (case.problem, case.theta, point, b, curvature, curvature.solve(b))
    refined = REFINEMENTS[refinement](*args, 1e-8, 60)
    assert refined.residual <= 1e-8
    assert relative_error(case.problem.hvp(case.theta, point, refined.u), b) < 1e-6
    assert REFINEMENTS[refinement](*args, 1e-1, 60).n_products < refined.n_products


@pytest.mark.parametrize("formula", ["bfgs", "sr1"])
@pytest.mark.parametrize("case", ["binary sparse", "ridge"])
def test_one_product_of_the_direction_is_one_pair_for_the_upper_level(case, formula):
    case = made(**CASES[case])
    settings = {"formula": formula, "max_iter": 1000, "tol": 1e-8}
    opa = ShineOPA(every=1000, **settings)
    one = QNBO(refinement="direction", n_refine=1, adjoint_tol=0.0, **settings)
    want, got = (
        m.estimate(case.problem, case.theta, m.start(case.problem, case.theta)) for m in (opa, one)
    )
    assert_allclose(got.gradient, want.gradient, rtol=1e-10)
    shine = replace(one, n_refine=0)
    less = shine.estimate(case.problem, case.theta, shine.start(case.problem, case.theta))
    errors = [
        relative_error(seen.gradient, dense_hypergradient(case, case.theta)) for seen in (got, less)
    ]
    assert errors[0] < max(0.7 * errors[1], 1e-6)


class Identity:
    """The identity as start matrix."""

    def solve(self, v):
        return v


class Plain(BilevelProblem):
    """A diagonal lower Hessian, and a factor on what product number ``slip`` says."""

    def __init__(self, bends, slip=0, factor=1.0):
        self.bends, self.left, self.factor = np.atleast_2d(bends), slip, factor

    def hvp(self, theta, w, v):
        self.left -= 1
        return self.bends * v * (self.factor if self.left == 0 else 1.0)


@pytest.mark.parametrize("refinement", ["steps", "direction"])
def test_a_matrix_that_is_not_positive_does_not_hide_a_residual(refinement):
    down = np.array([[0.0, 1.0]])
    turned = SR1(Identity(), np.zeros((1, 2))).update(down, -down)  # diag(1, -1)
    problem, b, u = Plain([1.0, 2.0]), np.array([[2.0, 3.001]]), np.ones((1, 2))
    r = b - problem.hvp(None, None, u)
    assert abs(dot(r, turned.solve(r))) < 2e-3 * dot(r, r)
    refined = REFINEMENTS[refinement](problem, None, None, b, turned, u, 0.05, 10)
    assert refined.residual <= 0.05
    assert relative_error(problem.hvp(None, None, refined.u), b) < 0.1


def test_steps_that_a_false_product_drives_away_begin_again_without_their_pairs():
    bends = np.geomspace(0.1, 1.0, 20)
    b = np.random.default_rng(0).normal(size=(1, 20))
    for slip in (3, 4, 6, 8):
        problem = Plain(bends, slip, 1e-8)
        curvature = BFGS(Identity(), np.zeros((1, 20)))
        refined = refine_by_steps(problem, None, None, b, curvature, b, 1e-8, 60)
        assert problem.left < 0
        assert refined.residual < 1e-8 and refined.n_products <= 60
        assert_allclose(refined.u, b / bends, rtol=1e-6)


def test_zero_refinement_is_shine():
    case = made(**CASES["binary per feature"])
    problem, method = case.problem, QNBO(n_refine=0)
    seen = method.estimate(problem, case.theta, method.start(problem, case.theta))
    fit, _ = method.fit_lower(problem, case.theta)
    _, grad_theta, b = problem.upper(case.theta, fit.point)
    u = fit.curvature.solve(b)
    want = grad_theta - problem.cross(case.theta, fit.point, u)
    assert_allclose(seen.gradient, want, rtol=1e-12)
    assert METHODS["shine"] == replace(method, accuracy=METHODS["shine"].accuracy)


@pytest.mark.parametrize("case", ["binary per feature", "softmax", "ridge"])
def test_the_value_of_a_rough_fit_is_off_by_second_order_only(case):
    case = made(**CASES[case])
    problem, theta = case.problem, case.theta
    best = held_still(METHODS["exact"], case, 2)
    w = problem.array(best.point)
    off = np.random.default_rng(0).normal(size=w.shape)
    method = QNBO(max_iter=0, n_refine=200, adjoint_tol=1e-10)
    errors, plain = [], []
    for size in (1e-2, 1e-3):
        point = problem.at(w + size * off)
        seen = method.estimate(problem, theta, QNBOMemory(point))
        errors.append(abs(seen.value - best.value))
        plain.append(abs(problem.upper(theta, point)[0] - best.value))
    assert errors[0] > 30 * errors[1]
    assert errors[1] < 0.1 * plain[1]


def test_pairs_are_carried_from_theta_to_theta():
    case = made(**CASES["binary sparse"])
    seen = held_still(METHODS["qnbo-bfgs"], case, 1)
    assert 0 < len(seen.memory.pairs) <= METHODS["qnbo-bfgs"].n_pairs
    assert held_still(METHODS["hoag"], case, 1).memory.pairs == ()


def test_near_interpolation_the_value_is_as_accurate_as_it_says():
    """Training rows hardly feel there what a fit owes; the rows that judge do."""
    case = made(n=60, d=30, loss="softmax", outputs=3)
    theta = case.theta.copy()
    theta[0] -= 9.0
    problem, loose = case.problem, QNBO(tol=1e-3, adjoint_tol=1e-3)
    seen = loose.estimate(problem, theta, loose.start(problem, theta))
    sharp = QNBO(tol=1e-10, adjoint_tol=1e-8, n_refine=400, max_iter=3000)
    want = sharp.estimate(problem, theta, sharp.start(problem, theta))
    assert abs(seen.value / want.value - 1.0) < 1e-3


@pytest.mark.parametrize("name", ["stocbio", "amigo-sgd", "nsbo-sgd", "nsbo-saga"])
def test_batches_do_not_bias_a_theta_that_weighs_their_rows(name):
    """Where theta weighs rows, the cross term's batch must not be the one that u answers.

    With one batch for both the mean was off by 0.2 to 0.7 of its length; SAGA, where u no longer
    answers any one batch when it has settled, may have one.
    """
    rng = np.random.default_rng(0)
    n, d, classes = 96, 5, 3
    X, V = rng.normal(size=(n, d)), rng.normal(size=(60, d))
    T, TV = (np.eye(classes)[:, Z[:, :classes].argmax(axis=1)] for Z in (X, V))
    problem = DataCleaning(X, T, V, TV, ridge=0.1)
    theta = 0.5 * rng.normal(size=n)
    exact = QNBO(tol=1e-10, adjoint_tol=1e-9, n_refine=500, max_iter=2000)
    want = exact.estimate(problem, theta, exact.start(problem, theta)).gradient
    method = replace(METHODS[name], batch_size=24)
    memory, total = method.start(problem, theta), np.zeros(n)
    for k in range(1500):
        seen = method.estimate(problem, theta, memory)
        memory, total = seen.memory, total + (k >= 100) * seen.gradient
    most = 0.12 if name != "nsbo-saga" else 0.002
    assert np.linalg.norm(total / 1400 - want) < most * np.linalg.norm(want)


WITH_A_DIAGONAL = {
    "quadratic": lambda: Quadratic.made(condition=1000.0, n_stack=2),
    "cleaning": lambda: cleaning()[0],
    "few-shot": few_shot,
}


@pytest.mark.parametrize("name", WITH_A_DIAGONAL)
def test_exact_is_exact_where_a_diagonal_is_all_there_is_to_start_from(name):
    problem, exact = WITH_A_DIAGONAL[name](), METHODS["exact"]
    theta, sharp = theta_for(problem), QNBO(tol=1e-11, adjoint_tol=1e-10, n_refine=900)
    if name == "quadratic":
        want = problem.hypergradient(theta)
    else:
        want = sharp.estimate(problem, theta, sharp.start(problem, theta)).gradient
    got = exact.estimate(problem, theta, exact.start(problem, theta)).gradient
    assert relative_error(got, want) < exact.accuracy
