"""qNBO as its paper has it: its own settings are settings of the one dataclass."""

from dataclasses import replace

import numpy as np
import pytest
from engine.references import made, relative_error
from engine.test_contract import CASES, held_still, referenced
from numpy.testing import assert_allclose

from sk_qnbo import minimize_bilevel
from sk_qnbo.methods import QNBO
from sk_qnbo.problems import CountedProblem, Quadratic
from sk_qnbo.upper import UpperDescent

# algorithms 1 to 3 (arXiv 2502.01076) with P = 5, T = 20, Q_k = k + 1, begun anew at each theta
PAPER = QNBO(
    start_kind="identity",
    share=False,
    adjoint_from_fit=False,
    n_pairs=None,
    n_warm=5,
    max_iter=25,
    line_search=False,
    n_refine=1,
    refine_growth=1,
    tol=0.0,
    adjoint_tol=0.0,
    upper="descent",
)
READINGS = [(formula, b) for formula in ("bfgs", "sr1") for b in ("direction", "unit steps")]


@pytest.mark.parametrize("formula, refinement", READINGS)
@pytest.mark.parametrize("case", [*CASES, "quadratic"])
def test_the_papers_settings_approach_the_hypergradient(case, formula, refinement):
    method = replace(PAPER, formula=formula, refinement=refinement)
    if case == "quadratic":
        problem = Quadratic.made(condition=10.0, n_lower=20, n_upper=4, n_stack=2)
        theta = np.linspace(-1.0, 1.0, 4)
        want = problem.hypergradient(theta)
    else:
        problem, theta, want = referenced(case)
    seen = held_still(method, problem, theta, 50)
    errors = [relative_error(one.gradient, want) for one in seen]
    assert errors[-1] < method.accuracy < errors[0]


@pytest.mark.parametrize("refinement", ["direction", "unit steps"])
def test_they_spend_what_the_paper_counts(refinement):
    case = made(**CASES["binary per feature"])
    method = replace(PAPER, refinement=refinement)
    counted = CountedProblem(case.problem)
    memory = method.start(counted, case.theta)
    for k in range(4):
        counted.calls.clear()
        memory = method.estimate(counted, case.theta + 0.1 * k, memory).memory
        assert counted.calls["hvp"] == k + 1
        # a gradient a step, and one where the steps along the start matrix end and the others begin
        assert counted.calls["lower"] == method.max_iter + 2
        assert memory.start is None and memory.pairs == ()
    plain = replace(method, n_warm=0)
    counted.calls.clear()
    plain.estimate(counted, case.theta, plain.start(counted, case.theta))
    assert counted.calls["lower_value"] == 0  # steps of length one ask for no value


@pytest.mark.parametrize("formula, refinement", READINGS)
def test_they_find_the_minimum(formula, refinement):
    problem = Quadratic.made(condition=10.0, n_lower=20, n_upper=5)
    method = replace(PAPER, formula=formula, refinement=refinement)
    upper = UpperDescent(step=1.0)
    result = minimize_bilevel(problem, np.zeros(5), method=method, upper=upper, max_iter=40)
    assert result.value < 1.05 * problem.value(problem.best())


def test_a_growing_refinement_declares_no_bound():
    assert PAPER.cost["hvp"] == np.inf
    assert np.isfinite(replace(PAPER, refine_growth=0).cost["hvp"])


def test_the_adjoint_may_begin_with_the_start_matrix_alone():
    case = made(**CASES["binary per feature"])
    problem, theta = case.problem, case.theta
    method = QNBO(n_refine=0, adjoint_from_fit=False, start_kind="diagonal")
    seen = method.estimate(problem, theta, method.start(problem, theta))
    fit, _ = method.fit_lower(problem, theta)
    _, grad_theta, b = problem.upper(theta, fit.point)
    u = fit.curvature.factor.solve(b)
    assert len(fit.curvature.pairs) > 0
    assert_allclose(seen.gradient, grad_theta - problem.cross(theta, fit.point, u), rtol=1e-12)


def test_steps_along_the_start_matrix_teach_nothing():
    case = made(**CASES["binary per feature"])
    method = QNBO(start_kind="identity", n_warm=3, max_iter=5, n_pairs=None, tol=0.0)
    fit, _ = method.fit_lower(case.problem, case.theta)
    assert fit.n_iter == 5
    assert len(fit.curvature.pairs) == 2
    only = replace(method, n_warm=5).fit_lower(case.problem, case.theta)[0]
    assert only.n_iter == 5 and only.curvature.pairs == ()
