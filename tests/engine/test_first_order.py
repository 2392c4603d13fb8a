"""Methods that step on both levels at once: their equations, and the unit that f is counted in."""

from dataclasses import replace

import numpy as np
import pytest
from engine.references import central_differences, dense_hypergradient, made, relative_error
from engine.test_contract import CASES, held_still, referenced, settled_gradient, small
from engine.test_more_problems import few_shot, places, theta_for
from numpy.testing import assert_allclose

from sk_qnbo.methods import METHODS
from sk_qnbo.methods.bamm import Averaged
from sk_qnbo.methods.scale import bound_of
from sk_qnbo.problems import Quadratic

BOTH_LEVELS = ["bome", "f2sa", "f3sa", "bamm-nbo"]


class InOtherUnits:
    """A problem whose upper objective is counted in another unit."""

    def __init__(self, problem, factor):
        self.problem, self.factor = problem, factor

    def __getattr__(self, name):
        return getattr(self.problem, name)

    def batch(self, part, n_parts):
        return InOtherUnits(self.problem.batch(part, n_parts), self.factor)

    def upper(self, theta, w):
        return tuple(self.factor * x for x in self.problem.upper(theta, w))


@pytest.mark.parametrize("factor", [1e-4, 1e4])
@pytest.mark.parametrize("name", METHODS)
def test_the_unit_of_the_upper_objective_does_not_matter(name, factor):
    problem, theta, _ = referenced("binary per feature")
    method = small(name)
    one = held_still(method, problem, theta, 5)[-1]
    other = held_still(method, InOtherUnits(problem, factor), theta, 5)[-1]
    assert_allclose(other.gradient, factor * one.gradient, rtol=1e-5, atol=1e-7 * factor)
    assert other.value == pytest.approx(factor * one.value, rel=1e-6)
    assert other.residual == pytest.approx(one.residual, rel=1e-3)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
@pytest.mark.parametrize("name", BOTH_LEVELS)
def test_an_upper_level_of_much_more_or_less_curvature_is_followed(name, factor):
    problem = Quadratic.made(condition=5.0, n_lower=8, n_upper=4, n_stack=2)
    theta, method = np.linspace(-1.0, 1.0, 4), METHODS[name]
    got = settled_gradient(method, InOtherUnits(problem, factor), theta)
    want = factor * problem.hypergradient(theta)
    assert relative_error(got, want) < method.accuracy
    assert got @ want > 0.0


@pytest.mark.parametrize("n_moves", [1, 40])
@pytest.mark.parametrize("name", BOTH_LEVELS)
def test_the_curvature_of_the_upper_level_is_followed_as_penalties_fall(name, n_moves):
    """Beside the lower level under high penalties it is nothing, under low ones as much."""
    case, method = made(**CASES["ridge"] | {"intercept": False}), METHODS[name]
    if method.noisy:
        method = replace(method, batch_size=None)
    begun = case.theta + 8.0 * np.eye(len(case.theta))[0]
    memory = method.start(case.problem, begun)
    for k in range(n_moves + 100):
        theta = begun + min((k + 1) / n_moves, 1.0) * (case.theta - begun)
        seen = method.estimate(case.problem, theta, memory)
        memory = seen.memory
    want = dense_hypergradient(case, case.theta)
    assert relative_error(seen.gradient, want) < method.accuracy


def penalty_rise(problem, theta, a, b):
    """How much more the lower value rises with theta at a than at b, by differences."""

    def mean(t, w):
        return problem.lower_value(t, problem.at(w)).sum() / problem.unit / problem.n_stack

    return central_differences(lambda t: mean(t, a) - mean(t, b), theta)


@pytest.mark.parametrize("case", CASES)
def test_f2sa_takes_its_hypergradient_where_its_variables_end(case):
    problem, theta, _ = referenced(case)
    method = METHODS["f2sa"]
    seen = held_still(method, problem, theta, 2)[-1]
    z, y = seen.memory.w, seen.memory.extra.y
    sigma = seen.memory.scale.bend * method.sigma * 2.0**method.growth
    want = problem.upper(theta, problem.at(y))[1] + sigma * penalty_rise(problem, theta, y, z)
    assert_allclose(seen.gradient, want, rtol=1e-4, atol=1e-7)
    assert seen.value == problem.upper(theta, problem.at(z))[0]


def test_momentum_without_noise_changes_nothing():
    """STORM corrects what it remembers to where it is: of everything, to the truth."""
    problem, theta, _ = referenced("softmax")
    plain = replace(METHODS["f3sa"], batch_size=None, momentum=1.0, n_steps=2, growth=0.0)
    slow = replace(plain, momentum=0.1)
    a, b = (method.start(problem, theta) for method in (plain, slow))
    for k in range(5):
        moved = theta + 0.2 * k
        one, other = plain.estimate(problem, moved, a), slow.estimate(problem, moved, b)
        a, b = one.memory, other.memory
        assert_allclose(other.gradient, one.gradient, rtol=1e-8, atol=1e-12)
        assert_allclose(other.memory.w, one.memory.w, rtol=1e-8, atol=1e-12)


def test_momentum_lowers_the_noise_of_f3sa():
    problem, theta, _ = referenced("ridge")
    spread = {}
    for momentum in (0.1, 1.0):
        method = replace(small("f3sa"), momentum=momentum)
        seen = held_still(method, problem, theta, 300)
        spread[momentum] = np.std([one.gradient for one in seen[100:]], axis=0).mean()
    assert spread[0.1] < 0.7 * spread[1.0]


@pytest.mark.parametrize("eta", [0.0, 0.5, 5.0])
@pytest.mark.parametrize("side", [-0.3, 0.3])
def test_bome_is_the_joint_step_of_its_barrier(side, eta):
    """``d = grad f + rho grad q`` with ``<d, grad q> >= eta |grad q|^2``, rho the least."""
    problem, theta, _ = referenced("binary per feature")
    method = replace(METHODS["bome"], eta=eta)
    w = method.start(problem, theta).w
    b = problem.upper(theta, problem.at(w))[2]
    memory = replace(method.start(problem, theta), w=w + side * b / np.abs(b).max())
    seen = method.estimate(problem, theta, memory)
    w, bend = memory.w, seen.memory.scale.bend
    # coordinates of unit lower curvature; q is a mean over the stack
    s = problem.unit / (memory.scale.overlap * bound_of(problem, theta))
    _, grad_theta, b = problem.upper(theta, problem.at(w))
    f_w = problem.n_stack * b
    q_w = problem.lower(theta, problem.at(w))[1] / problem.unit
    q_theta = penalty_rise(problem, theta, w, seen.w)
    agree = (s * f_w * q_w).sum() / problem.n_stack + grad_theta @ q_theta
    size = (s * q_w * q_w).sum() / problem.n_stack + q_theta @ q_theta
    rho = max(eta * bend - agree / size, 0.0)
    assert_allclose(seen.gradient, grad_theta + rho * q_theta, rtol=1e-4, atol=1e-8)
    assert_allclose(seen.memory.w, w - s / (bend + rho) * (f_w + rho * q_w), rtol=1e-5, atol=1e-9)


def test_bomes_barrier_is_idle_where_the_upper_descent_serves_the_lower_level():
    problem, theta, _ = referenced("binary per feature")
    method = replace(METHODS["bome"], eta=0.0)
    rhos = []
    for side in (-0.3, 0.3):
        memory = method.start(problem, theta)
        b = problem.upper(theta, problem.at(memory.w))[2]
        memory = replace(memory, w=memory.w + side * b / np.abs(b).max())
        seen = method.estimate(problem, theta, memory)
        grad_theta = problem.upper(theta, problem.at(memory.w))[1]
        rhos.append(np.linalg.norm(seen.gradient - grad_theta))
    assert min(rhos) == 0.0 < max(rhos)


@pytest.mark.parametrize("make", [few_shot, lambda: made(labels=2).problem])
def test_the_average_of_both_levels_is_a_problem(make):
    problem = Averaged(make(), 0.4, 0.3)
    theta, (w, v), h = theta_for(problem.problem), places(problem), 1e-5
    (low, high), (behind, ahead) = (
        [part(problem.lower(theta, problem.at(w + t * v))) for t in (-h, h)]
        for part in (lambda x: x[0], lambda x: x[1])
    )
    value, gradient = problem.lower(theta, problem.at(w))
    # f is one number for the stack: its sum is right, not its shares
    slope = ((high - low) / (2 * h)).sum()
    assert (gradient * v).sum() == pytest.approx(slope, rel=1e-6)
    got = problem.hvp(theta, problem.at(w), v)
    assert_allclose(got, (ahead - behind) / (2 * h), rtol=1e-4, atol=1e-6)
    pull = central_differences(lambda t: (problem.lower(t, problem.at(w))[1] * v).sum(), theta)
    assert_allclose(problem.cross(theta, problem.at(w), v), pull, rtol=1e-4, atol=1e-6)
