"""The upper loop on a bilevel problem whose solution is known in closed form."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_qnbo._minimize import judge, minimize_bilevel
from sk_qnbo.methods import METHODS, QNBO
from sk_qnbo.problems import BilevelProblem, CountedProblem
from sk_qnbo.upper import UPPER_STEPS


class Shrinkage(BilevelProblem):
    """Lower ``a/2 |w - c|^2 + 1/2 sum_j e^theta_j w_j^2``, upper ``1/2 mean_k |w_k - t|^2``.

    Closed form: ``w_kj = a_j c_kj / (a_j + e^theta_j)``; for one fold the best
    ``theta_j = log(a_j c_j / t_j - a_j)``.
    """

    def __init__(self, folds=1, d=4, knows_diagonal=True, seed=0):
        rng = np.random.default_rng(seed)
        self.n_stack, self.n_lower, self.n_upper = folds, d, d
        self.a, self.t = rng.uniform(1.0, 5.0, size=d), rng.uniform(0.5, 1.0, size=d)
        self.c = self.t * rng.uniform(1.2, 3.0, size=(folds, d))
        self.knows_diagonal = knows_diagonal

    def lower(self, theta, w):
        s = np.exp(theta)
        value = 0.5 * (self.a * (w - self.c) ** 2 + s * w**2).sum(axis=1)
        return value, self.a * (w - self.c) + s * w

    def hvp(self, theta, w, v):
        return (self.a + np.exp(theta)) * v

    def cross(self, theta, w, u):
        return (np.exp(theta) * w * u).sum(axis=0)

    def upper(self, theta, w):
        value = 0.5 * np.square(w - self.t).sum() / self.n_stack
        return value, np.zeros(self.n_upper), (w - self.t) / self.n_stack

    def curvature_bound(self, theta):
        return np.tile(self.a + np.exp(theta), (self.n_stack, 1))

    def diagonal(self, theta):
        return np.tile(np.exp(theta), (self.n_stack, 1)) if self.knows_diagonal else None

    def fitted(self, theta):
        return self.a * self.c / (self.a + np.exp(theta))

    def value(self, theta):
        return 0.5 * np.square(self.fitted(theta) - self.t).sum() / self.n_stack

    def best(self):
        """Zero of each coordinate's derivative: a weighted mean of the folds' ``c``."""
        return np.log(self.a * (self.c**2).sum(axis=0) / (self.c.sum(axis=0) * self.t) - self.a)


# methods whose steps of theta are judged by accurate values
SHARP = [n for n, m in METHODS.items() if isinstance(m, QNBO) and m.upper == "lbfgs"]


@pytest.mark.parametrize("knows_diagonal", [True, False])
@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("method", SHARP)
def test_the_minimum_is_the_closed_form(method, folds, knows_diagonal):
    problem = Shrinkage(folds, knows_diagonal=knows_diagonal)
    result = minimize_bilevel(problem, np.zeros(4), method=method, tol=1e-9, max_iter=200)
    want = problem.value(problem.best())
    # who may be half off cannot know when it is there
    assert result.converged or METHODS[method].accuracy >= 0.5, result.message
    assert result.value - want < 1e-5
    if METHODS[method].accuracy <= 1e-3:
        assert_allclose(result.theta, problem.best(), atol=2e-2)
    assert_allclose(result.w, problem.fitted(result.theta), atol=1e-4)


@pytest.mark.parametrize("method", [n for n in METHODS if n not in SHARP])
def test_the_field_comes_near_the_minimum_with_its_own_upper_steps(method):
    problem = Shrinkage(3)
    start, best = (problem.value(theta) for theta in (np.zeros(4), problem.best()))
    result = minimize_bilevel(problem, np.zeros(4), method=method, max_iter=300, tol=1e-9)
    assert result.value - best < 0.02 * (start - best)
    assert_allclose(result.w, problem.fitted(result.theta), atol=1e-4)


@pytest.mark.parametrize("upper", UPPER_STEPS)
def test_every_upper_step_goes_down_and_keeps_the_bounds(upper):
    problem = Shrinkage(3)
    low, high = problem.best() - 0.5, problem.best() + np.array([3.0, 3.0, 3.0, -0.2])
    start = np.clip(np.zeros(4), low, high)
    result = minimize_bilevel(
        problem, start, upper=upper, bounds=(low, high), max_iter=300, tol=1e-9
    )
    want = problem.value(np.clip(problem.best(), low, high))
    assert result.value - want < 0.02 * (problem.value(start) - want)
    assert result.theta[3] == pytest.approx(high[3])


def test_an_unknown_upper_step_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match="upper must be one of .*adam.* got 'newton'"):
        minimize_bilevel(Shrinkage(), np.zeros(4), upper="newton")


def test_the_upper_step_is_the_methods_own_unless_one_is_given():
    problem = Shrinkage(3)
    own, named, other = (
        minimize_bilevel(problem, np.zeros(4), method="nbo-gd", upper=upper, max_iter=5)
        for upper in (None, METHODS["nbo-gd"].upper, "descent")
    )
    assert_array_equal(own.theta, named.theta)
    assert not np.array_equal(own.theta, other.theta)


def test_random_states_are_those_of_scikit_learn():
    problem = Shrinkage(3)

    def ran(random_state):
        how = {"method": "pzobo", "max_iter": 5, "random_state": random_state}
        return minimize_bilevel(problem, np.zeros(4), **how).theta

    assert_array_equal(ran(np.random.RandomState(0)), ran(np.random.RandomState(0)))
    assert not np.array_equal(ran(np.random.RandomState(0)), ran(np.random.RandomState(1)))
    assert np.isfinite(ran(None)).all()


def test_the_random_state_reaches_the_method():
    problem = Shrinkage(3)
    one, same, other = (
        minimize_bilevel(problem, np.zeros(4), method="pzobo", random_state=seed, max_iter=5)
        for seed in (1, 1, 2)
    )
    assert_array_equal(one.theta, same.theta)
    assert not np.array_equal(one.theta, other.theta)


def test_a_method_that_runs_away_ends_no_worse_than_it_began():
    problem = Shrinkage(3)
    wild = replace(METHODS["saba"], rel_step=100.0)
    with np.errstate(all="ignore"):
        result = minimize_bilevel(problem, problem.best() + 0.1, method=wild, max_iter=30)
    assert_array_equal(result.theta, problem.best() + 0.1)
    assert result.value == pytest.approx(problem.value(result.theta), rel=1e-6)
    assert "no better than where it began" in result.message


@dataclass(frozen=True)
class Boastful(QNBO):
    """Sure of itself, and wrong: what it claims to lower rises."""

    begun: float = 0.0

    def estimate(self, problem, theta, memory):
        seen = super().estimate(problem, theta, memory)
        return replace(seen, value=2.0 * self.begun - seen.value, gradient=-seen.gradient)


def test_a_method_that_is_sure_of_wrong_values_ends_no_worse_than_it_began():
    problem = Shrinkage(3)
    begun = problem.best() + 0.1
    box = begun - 1.0, begun + 1.0
    method = Boastful(begun=problem.value(begun))
    result = minimize_bilevel(problem, begun, method=method, bounds=box, max_iter=30)
    assert result.history[-1]["value"] < result.history[0]["value"]
    assert_array_equal(result.theta, begun)
    assert result.value == pytest.approx(problem.value(begun), rel=1e-6)


def test_the_toy_is_consistent():
    problem, theta = Shrinkage(3), np.linspace(-1, 1, 4)
    method = METHODS["exact"]
    seen = method.estimate(problem, theta, method.start(problem, theta))
    h = 1e-5
    want = [(problem.value(theta + e) - problem.value(theta - e)) / (2 * h) for e in h * np.eye(4)]
    assert_allclose(seen.gradient, want, rtol=1e-6, atol=1e-9)
    assert_allclose(problem.lower(theta, problem.fitted(theta))[1], 0.0, atol=1e-12)


def test_bounds_are_kept_and_reached():
    problem = Shrinkage()
    best = problem.best()
    low, high = best - np.array([5.0, 5.0, -0.5, 5.0]), best + np.array([5.0, -0.5, 5.0, 5.0])
    low[3] = high[3] = best[3] + 1.0  # stands still
    start = np.clip(np.zeros(4), low, high)
    seen = []
    result = minimize_bilevel(
        problem, start, bounds=(low, high), tol=1e-9, callback=lambda row: seen.append(row)
    )
    want = np.clip(best, low, high)
    assert_allclose(result.theta, want, atol=2e-2)
    assert_array_equal(result.theta[1:], want[1:])
    assert result.stationarity < 1e-3
    assert len(seen) == len(result.history)


def test_a_start_outside_the_bounds_is_moved_inside():
    result = minimize_bilevel(Shrinkage(), np.full(4, 9.0), bounds=(-1.0, 1.0), max_iter=0)
    assert_array_equal(result.theta, np.ones(4))


def test_crossed_bounds_are_an_error_that_names_the_coordinate():
    with pytest.raises(
        ValueError, match=r"coordinate 2 \(3\) is not at or below its upper bound \(1\)"
    ):
        minimize_bilevel(Shrinkage(), np.zeros(4), bounds=([0, 0, 3, 0], np.ones(4)))


BAD_STARTS = [
    ([0, np.nan, 0, 0], "theta0 must be finite; got nan for coordinate 1"),
    ([0, 0, 0, -np.inf], "theta0 must be finite; got -inf for coordinate 3"),
    (np.zeros(3), r"theta0 must have shape \(4,\), as problem.n_upper=4; got shape \(3,\)"),
    (np.zeros((4, 1)), r"got shape \(4, 1\)"),
    (0.0, r"got shape \(\)"),
    (["a"] * 4, r"theta0 must hold numbers; got \['a', 'a', 'a', 'a'\]"),
    ([None] * 4, "theta0 must be finite; got nan for coordinate 0"),
    ([[0.0], [0.0, 1.0]], "theta0 must hold numbers"),
]


@pytest.mark.parametrize(
    "limit, message",
    [
        ({"max_iter": -1}, "max_iter must be a whole number, zero or more; got -1"),
        ({"max_iter": 2.5}, "max_iter must be a whole number, zero or more; got 2.5"),
        ({"tol": -1e-3}, "tol must be a number, zero or more; got -0.001"),
        ({"tol": "small"}, "tol must be a number, zero or more; got 'small'"),
        ({"tol": np.nan}, "tol must be a number, zero or more; got nan"),
    ],
)
def test_a_limit_of_no_use_is_an_error_that_names_it(limit, message):
    with pytest.raises(ValueError, match=message):
        minimize_bilevel(Shrinkage(), np.zeros(4), **limit)


@pytest.mark.parametrize("theta0, message", BAD_STARTS)
def test_a_start_of_no_use_is_an_error_that_names_it(theta0, message):
    with pytest.raises(ValueError, match=message):
        minimize_bilevel(Shrinkage(), theta0)


def test_bounds_that_are_no_numbers_are_told():
    with pytest.raises(ValueError, match=r"coordinate 0 \(nan\) is not at or below"):
        minimize_bilevel(Shrinkage(), np.zeros(4), bounds=(np.nan, 1.0))


def test_a_result_is_printed_in_a_few_words():
    result = minimize_bilevel(Shrinkage(3, d=500), np.zeros(500), max_iter=3)
    assert len(repr(result)) < 400 and result.message in repr(result)
    assert "w (3, 500)" in repr(result)
    for again in (result, minimize_bilevel(Shrinkage(), np.zeros(4))):
        assert type(again.converged) is bool


def test_an_unknown_method_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match="method must be one of .*qnbo-bfgs.* got 'newton'"):
        minimize_bilevel(Shrinkage(), np.zeros(4), method="newton")


def test_time_is_kept():
    result = minimize_bilevel(Shrinkage(), np.zeros(4), max_time=0.0)
    assert len(result.history) == 1 and not result.converged
    assert "max_time" in result.message
    assert_array_equal(result.theta, np.zeros(4))


def test_max_iter_is_kept():
    result = minimize_bilevel(Shrinkage(), np.zeros(4), max_iter=2, tol=1e-12)
    assert result.n_iter == 2 and len(result.history) == 3 and not result.converged
    assert "max_iter=2" in result.message


def test_the_callback_sees_rows_and_can_stop():
    rows = []
    result = minimize_bilevel(
        Shrinkage(), np.zeros(4), callback=lambda row: rows.append(row) or len(rows) == 3
    )
    assert len(rows) == len(result.history) == 3 and not result.converged
    assert "callback" in result.message
    wanted = {"value", "gradient_norm", "residual", "lower_iterations", "products", "seconds"}
    assert wanted <= set(rows[0])
    assert np.all(np.diff([row["seconds"] for row in rows]) >= 0)


@pytest.mark.parametrize("method", METHODS)
def test_the_judge_says_the_value_of_a_sharp_fit(method):
    problem = Shrinkage(3)
    rough = minimize_bilevel(problem, np.zeros(4), method=method, max_iter=1, final=False)
    judged = judge(problem, rough)
    assert judged.value == pytest.approx(problem.value(rough.theta), rel=1e-6)
    assert_allclose(judged.w, problem.fitted(rough.theta), atol=1e-6)
    assert_array_equal(judged.theta, rough.theta)


def test_going_on_from_a_memory_is_cheaper_than_anew():
    problem = Shrinkage(3)
    result = minimize_bilevel(problem, np.zeros(4), final=False)
    again = minimize_bilevel(problem, result.theta, memory=result.memory, final=False)
    anew = minimize_bilevel(problem, result.theta, final=False)
    assert again.history[0]["lower_iterations"] <= anew.history[0]["lower_iterations"]
    assert_allclose(again.value, result.value, rtol=1e-3, atol=1e-8)


def test_calls_of_oracles_are_counted():
    problem = CountedProblem(Shrinkage())
    theta, w = np.zeros(4), np.zeros((1, 4))
    problem.lower(theta, w)
    problem.lower(theta, w)
    problem.hvp(theta, w, w)
    problem.cross(theta, w, w)
    assert dict(problem.calls) == {"lower": 2, "hvp": 1, "cross": 1}
    assert problem.n_upper == 4 and problem.products == 0


def test_a_fixed_theta_takes_one_estimate():
    problem = CountedProblem(Shrinkage())
    result = minimize_bilevel(problem, np.zeros(4), bounds=(0.0, 0.0), final=False)
    assert problem.calls["upper"] == 1 and result.n_iter == 0 and result.converged
