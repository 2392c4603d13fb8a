"""The quadratic, data cleaning and few-shot problems: oracles against differences, batches."""

import numpy as np
import pytest
from engine.references import central_differences, made, relative_error
from numpy.testing import assert_allclose
from scipy import sparse

from sk_qnbo import judge, minimize_bilevel
from sk_qnbo.methods import METHODS
from sk_qnbo.problems import BilevelProblem, CountedProblem, DataCleaning, FewShot, Quadratic
from sk_qnbo.problems.batches import deal


def quadratic():
    return Quadratic.made(condition=30.0, n_lower=12, n_upper=5, n_stack=3)


def rows(n, d, n_classes, rng, shift=None):
    """Rows around one center a class, and their one-hot classes."""
    centers = rng.normal(size=(n_classes, d)) if shift is None else shift
    labels = rng.integers(n_classes, size=n)
    return centers[labels] + 0.7 * rng.normal(size=(n, d)), labels


def one_hot(labels, n_classes):
    return np.eye(n_classes)[:, labels]


def cleaning(loss="softmax", n=60, n_valid=25, corrupted=0.5, is_sparse=False, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(3, 6))
    X, y = rows(n, 6, 3, rng, centers)
    X_valid, y_valid = rows(n_valid, 6, 3, rng, centers)
    wrong = rng.uniform(size=n) < corrupted
    given = np.where(wrong, (y + 1) % 3, y)
    T, T_valid = one_hot(given, 3), one_hot(y_valid, 3)
    if loss == "binary":
        T, T_valid = T[:1], T_valid[:1]
    if is_sparse:
        X, X_valid = sparse.csr_array(X), sparse.csr_array(X_valid)
    return DataCleaning(X, T, X_valid, T_valid, loss, ridge=0.05), wrong


def few_shot(loss="softmax", tasks=4, n_rows=(6, 10), seed=0):
    """Classes differ in 2 of 8 directions, the others are noise."""
    rng = np.random.default_rng(seed)
    sets = []
    for n in n_rows:
        centers = np.zeros((tasks, 3, 8))
        centers[..., :2] = 2.0 * np.random.default_rng(seed + 1).normal(size=(tasks, 3, 2))
        labels = np.tile(np.arange(n) % 3, (tasks, 1))
        X = np.take_along_axis(centers, labels[..., None], axis=1)
        X = X + rng.normal(size=X.shape)
        sets += [X, np.eye(3)[labels].transpose(0, 2, 1)]
    if loss == "binary":
        sets[1], sets[3] = sets[1][:, :1], sets[3][:, :1]
    return FewShot(*sets, np.eye(8)[:5] + 0.1 * rng.normal(size=(5, 8)), loss, decay=0.1)


PROBLEMS = {
    "quadratic": quadratic,
    "cleaning": lambda: cleaning()[0],
    "cleaning, binary": lambda: cleaning("binary")[0],
    "cleaning, squared": lambda: cleaning("squared")[0],
    "cleaning, sparse": lambda: cleaning(is_sparse=True)[0],
    "a batch of cleaning": lambda: cleaning()[0].batch(1, 3),
    "few-shot": few_shot,
    "few-shot, ridge": lambda: few_shot("squared"),
    "few-shot, binary": lambda: few_shot("binary"),
    "a batch of few-shot": lambda: few_shot().batch(1, 2),
}


def places(problem, n=2, seed=3):
    rng = np.random.default_rng(seed)
    return 0.3 * rng.normal(size=(n, problem.n_stack, problem.n_lower))


def theta_for(problem, seed=4):
    rng = np.random.default_rng(seed)
    start = problem.start() if isinstance(problem, FewShot) else np.zeros(problem.n_upper)
    return start + 0.3 * rng.normal(size=problem.n_upper)


@pytest.mark.parametrize("name", PROBLEMS)
def test_oracles_agree_with_differences(name):
    problem = PROBLEMS[name]()
    theta, (w, v), h = theta_for(problem), places(problem), 1e-5

    def at(t):
        return problem.at(w + t * v)

    def difference(function):
        return (function(at(h)) - function(at(-h))) / (2 * h)

    value, gradient = problem.lower(theta, at(0))
    slope = difference(lambda p: problem.lower_value(theta, p))
    assert_allclose((gradient * v).sum(axis=1), slope, rtol=1e-6, atol=1e-7)
    assert_allclose(problem.lower_value(theta, at(0)), value, rtol=1e-12)
    bent = difference(lambda p: problem.lower(theta, p)[1])
    assert_allclose(problem.hvp(theta, at(0), v), bent, rtol=1e-5, atol=1e-6)
    pull = central_differences(lambda t: (problem.lower(t, at(0))[1] * v).sum(), theta)
    assert_allclose(problem.cross(theta, at(0), v), pull, rtol=1e-5, atol=1e-6)
    _, grad_theta, grad_w = problem.upper(theta, at(0))
    upper = difference(lambda p: problem.upper(theta, p)[0])
    assert (grad_w * v).sum() == pytest.approx(upper, rel=1e-6, abs=1e-8)
    want = central_differences(lambda t: problem.upper(t, at(0))[0], theta)
    assert_allclose(grad_theta, want, rtol=1e-5, atol=1e-7)
    E = np.eye(problem.n_lower)
    hessian = [problem.hvp(theta, at(0), np.tile(e, (problem.n_stack, 1))) for e in E]
    diagonal = np.einsum("jkj->kj", np.array(hessian))
    assert (diagonal <= problem.curvature_bound(theta) + 1e-9).all()
    moved = problem.line(at(0), v)(np.full(problem.n_stack, 0.5))
    assert_allclose(problem.array(moved), w + 0.5 * v, rtol=1e-12)
    assert_allclose(problem.lower(theta, moved)[1], problem.lower(theta, at(0.5))[1], atol=1e-10)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_default_method_finds_the_slope_of_the_judged_value(name):
    problem = PROBLEMS[name]()
    theta, method = theta_for(problem), METHODS["exact" if name == "quadratic" else "hoag"]
    memory = method.start(problem, theta)
    for _ in range(80 if method.tol_decay < 1 else 1):
        seen = method.estimate(problem, theta, memory)
        memory = seen.memory

    def value(t):
        result = minimize_bilevel(problem, t, max_iter=0, tol=1e-12, final=False)
        return judge(problem, result, tol=1e-11).value

    direction = seen.gradient / np.linalg.norm(seen.gradient)
    h = 1e-3
    slope = (value(theta + h * direction) - value(theta - h * direction)) / (2 * h)
    assert slope == pytest.approx(np.linalg.norm(seen.gradient), rel=1e-3)


def test_the_quadratic_is_its_closed_form():
    problem, theta = quadratic(), np.linspace(-1, 1, 5)
    assert_allclose(problem.lower(theta, problem.solution(theta))[1], 0.0, atol=1e-10)
    want = central_differences(problem.value, theta)
    assert relative_error(problem.hypergradient(theta), want) < 1e-6
    assert_allclose(problem.hypergradient(problem.best()), 0.0, atol=1e-10)
    values = np.linalg.eigvalsh(problem.A)
    assert_allclose(values.max(axis=1) / values.min(axis=1), 30.0, rtol=1e-6)
    result = minimize_bilevel(problem, np.zeros(5), tol=1e-10)
    assert_allclose(result.theta, problem.best(), rtol=1e-2, atol=1e-3)


def test_cleaning_tells_wrong_labels_from_right_ones():
    problem, wrong = cleaning(n=150, n_valid=60)
    result = minimize_bilevel(problem, np.zeros(problem.n_upper), bounds=(-6.0, 6.0), max_iter=60)
    weights = problem.weights(result.theta)
    assert weights[~wrong].mean() > weights[wrong].mean() + 0.3
    assert result.value < 0.8 * minimize_bilevel(problem, 0 * result.theta, max_iter=0).value


def test_what_many_tasks_share_helps_with_tasks_never_seen():
    seen, unseen = few_shot(tasks=100), few_shot(tasks=100, seed=7)
    unseen = seen.on(unseen.X, unseen.targets, unseen.X_query, unseen.targets_query)
    learnt = minimize_bilevel(seen, seen.start(), bounds=(-10.0, 10.0), max_iter=15).theta
    before, after = (minimize_bilevel(unseen, t, max_iter=0).value for t in (seen.start(), learnt))
    assert after < 0.95 * before


def test_tasks_and_targets_must_match():
    problem = few_shot()
    with pytest.raises(ValueError, match="4 tasks of 6 rows but targets 4 of 10"):
        FewShot(problem.X, problem.targets_query, problem.X, problem.targets, problem.embedding)


@pytest.mark.parametrize(
    "problem",
    [
        made(labels=2, weighted=True, n=50).problem,
        made(loss="softmax", outputs=3, is_sparse=True, labels=2, n=50).problem,
        made(loss="squared", outputs=2, n=50).problem,
        cleaning()[0],
        cleaning(is_sparse=True)[0],
        few_shot(n_rows=(9, 10)),
    ],
    ids=["binary", "softmax", "squared", "cleaning", "cleaning, sparse", "few-shot"],
)
@pytest.mark.parametrize("n_parts", [2, 7])
def test_the_mean_over_batches_is_the_whole(problem, n_parts):
    theta, (w, v) = theta_for(problem), places(problem)

    def answers(p):
        value, gradient = p.lower(theta, p.at(w))
        upper = p.upper(theta, p.at(w))
        seconds = p.hvp(theta, p.at(w), v), p.cross(theta, p.at(w), v), p.curvature_bound(theta)
        return [value, gradient, *map(np.asarray, upper), *seconds]

    parts = [answers(problem.batch(i, n_parts)) for i in range(n_parts)]
    for got, want in zip(zip(*parts, strict=True), answers(problem), strict=True):
        assert_allclose(np.mean(got, axis=0), want, rtol=1e-9, atol=1e-9)
    assert problem.batch(0, 1) is problem
    assert problem.batch(1, n_parts) is problem.batch(1, n_parts)
    assert problem.batch(1, n_parts).unit == problem.unit


def test_batches_share_every_role_evenly():
    roles = np.repeat(np.eye(3), [10, 20, 30], axis=0)
    parts = deal(roles, 10)
    assert sorted(np.concatenate(parts)) == list(range(60))
    for part in parts:
        assert_allclose(roles[part].sum(axis=0), [1, 2, 3])


def test_a_call_on_a_batch_counts_as_its_share():
    problem = CountedProblem(made(n=48, rows_only=True).problem)
    theta, w = np.zeros(problem.n_upper), np.zeros((3, problem.n_lower))
    before = problem.products
    part = problem.batch(1, 4)
    part.lower(theta, part.at(w))
    assert problem.calls["lower"] == pytest.approx(0.25)
    # one product and one transposed for each of three folds, on a quarter of the rows
    assert problem.products - before == pytest.approx(6 / 4)


def test_a_problem_that_cannot_be_cut_says_so():
    class Plain(BilevelProblem):
        pass

    assert Plain().batch(0, 1).n_terms == 1
    with pytest.raises(ValueError, match="Plain cannot be cut into 3 batches"):
        Plain().batch(0, 3)
