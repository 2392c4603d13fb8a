"""Quasi-Newton matrices: the textbook's recursions, pairs that move with theta, refusals."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_qnbo.curvature import BFGS, CURVATURES, SR1
from sk_qnbo.curvature.base import dot

STACK, LENGTH = 3, 6


class Scaling:
    """A start matrix that is a diagonal."""

    def __init__(self, inverse):
        self.inverse = inverse

    def solve(self, v):
        return self.inverse * v


def made_pairs(n_pairs, seed=0):
    """Hessians of quadratics, steps, and what the Hessians make of them."""
    rng = np.random.default_rng(seed)
    R = rng.normal(size=(STACK, LENGTH, LENGTH))
    H = R @ R.transpose(0, 2, 1) + np.eye(LENGTH)
    steps = rng.normal(size=(n_pairs, STACK, LENGTH))
    return H, [(s, np.einsum("kij,kj->ki", H, s)) for s in steps]


def made_curvature(formula, pairs=(), limit=None, diagonal=None, inverse=0.5):
    diagonal = np.zeros((STACK, LENGTH)) if diagonal is None else diagonal
    curvature = CURVATURES[formula](Scaling(inverse), diagonal, limit=limit)
    for s, y in pairs:
        curvature = curvature.update(s, y)
    return curvature


def matrix_of(curvature):
    """Columns of the inverse Hessian of each member, ``(n_stack, n_lower, n_lower)``."""
    unit = np.eye(LENGTH)
    return np.stack([curvature.solve(np.tile(e, (STACK, 1))) for e in unit], axis=2)


@pytest.mark.parametrize("formula", CURVATURES)
def test_the_newest_pair_is_kept_exactly(formula):
    _, pairs = made_pairs(4)
    for n in range(1, 5):
        s, y = pairs[n - 1]
        assert_allclose(made_curvature(formula, pairs[:n]).solve(y), s, rtol=1e-9, atol=1e-9)


def test_bfgs_equals_the_dense_recursion():
    _, pairs = made_pairs(8)
    got = matrix_of(made_curvature("bfgs", pairs))
    for k in range(STACK):
        M = 0.5 * np.eye(LENGTH)
        for s, y in pairs:
            V = np.eye(LENGTH) - np.outer(s[k], y[k]) / (s[k] @ y[k])
            M = V @ M @ V.T + np.outer(s[k], s[k]) / (s[k] @ y[k])
        assert_allclose(got[k], M, rtol=1e-9, atol=1e-9)


def test_bfgs_stays_symmetric_and_positive():
    M = matrix_of(made_curvature("bfgs", made_pairs(8)[1]))
    assert_allclose(M, M.transpose(0, 2, 1), atol=1e-10)
    assert np.linalg.eigvalsh(M).min() > 0


def test_sr1_keeps_every_pair_of_a_quadratic():
    _, pairs = made_pairs(4)
    curvature = made_curvature("sr1", pairs)
    for s, y in pairs:
        assert_allclose(curvature.solve(y), s, rtol=1e-8, atol=1e-8)


def test_sr1_is_the_inverse_after_as_many_pairs_as_coefficients():
    H, pairs = made_pairs(LENGTH)
    got = matrix_of(made_curvature("sr1", pairs))
    assert_allclose(got @ H, np.tile(np.eye(LENGTH), (STACK, 1, 1)), atol=1e-6)


@pytest.mark.parametrize("formula", CURVATURES)
def test_pairs_moved_along_theta_are_the_pairs_made_there(formula):
    A, pairs = made_pairs(3)
    rng = np.random.default_rng(1)
    old, new = rng.uniform(0.1, 9.0, size=(2, STACK, LENGTH))
    there = [(s, y + old * s) for s, y in pairs]  # exact pairs of A + diag(old)
    moved = made_curvature(formula, there, diagonal=old).at(Scaling(0.7), new)
    made = made_curvature(formula, [(s, y + new * s) for s, y in pairs], diagonal=new, inverse=0.7)
    assert_allclose(matrix_of(moved), matrix_of(made), rtol=1e-9, atol=1e-9)
    H = A + new[:, :, None] * np.eye(LENGTH)
    s = pairs[-1][0]
    assert_allclose(moved.solve(np.einsum("kij,kj->ki", H, s)), s, atol=1e-9)


@pytest.mark.parametrize("formula", CURVATURES)
@pytest.mark.parametrize("what", ["a step of zero", "a step that learns nothing"])
def test_a_refused_pair_leaves_the_others_of_the_stack_alone(formula, what):
    _, pairs = made_pairs(2)
    before = made_curvature(formula, pairs[:1])
    s, y = (a.copy() for a in pairs[1])
    if what == "a step of zero":
        s[0], y[0] = 0.0, 0.0
    elif formula == "bfgs":
        y[0] = -s[0]
    else:
        s[0] = before.solve(y)[0]  # nothing is left to correct: s - H y is zero
    after = before.update(s, y)
    v = np.random.default_rng(2).normal(size=(STACK, LENGTH))
    assert_allclose(after.solve(v)[0], before.solve(v)[0], rtol=1e-12)
    full = before.update(*pairs[1])
    assert_allclose(after.solve(v)[1:], full.solve(v)[1:], rtol=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("formula", CURVATURES)
def test_a_pair_whose_products_underflow_is_refused(formula):
    _, pairs = made_pairs(2)
    before = made_curvature(formula, pairs[:1])
    after = before.update(*(1e-157 * array for array in pairs[1]))
    assert_array_equal(matrix_of(after), matrix_of(before))


@pytest.mark.parametrize("formula", CURVATURES)
def test_the_limit_keeps_the_newest_pairs(formula):
    _, pairs = made_pairs(5)
    limited = made_curvature(formula, pairs, limit=2)
    assert len(limited.pairs) == len(limited.terms) == 2
    assert_allclose(matrix_of(limited), matrix_of(made_curvature(formula, pairs[3:])), atol=1e-10)
    assert made_curvature(formula, pairs, limit=0).pairs == ()


class Rough(Scaling):
    rough = True


def made_rough(pairs, limit=None):
    curvature = SR1(Rough(100.0), np.zeros((STACK, LENGTH)), limit=limit)
    for s, y in pairs:
        curvature = curvature.update(s, y)
    return curvature


@pytest.mark.parametrize("limit", [None, 1, 3, 4])
def test_sr1_over_a_rough_start_is_positive_and_sized_below_its_pairs(limit):
    H, pairs = made_pairs(9)
    curvature = made_rough(pairs, limit)
    assert np.linalg.eigvalsh(matrix_of(curvature)).min() > 0
    assert (curvature.size < 0.01 / np.linalg.eigvalsh(H).min(axis=1)[:, None]).all()
    s, y = pairs[-1]
    assert_allclose(curvature.solve(y), s, rtol=1e-6, atol=1e-8)
    g = curvature.solve(s)
    assert_allclose(curvature.square(s, g), dot(s, g))


def test_sr1_over_a_rough_start_is_the_formula_over_that_start_as_it_is_sized():
    H, pairs = made_pairs(LENGTH - 2)
    got = made_rough(pairs)
    same = made_curvature("sr1", got.pairs, inverse=100.0 * got.size)
    assert len(got.pairs) > 1
    assert_allclose(matrix_of(got), matrix_of(same), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("limit", range(1, 7))
def test_sr1_that_is_full_lets_the_older_half_go(limit):
    _, pairs = made_pairs(20)
    curvature, seen = made_curvature("sr1", limit=limit), []
    for s, y in pairs:
        curvature = curvature.update(s, y)
        seen.append(len(curvature.pairs))
        assert curvature.pairs[-1][0] is s
    assert max(seen) == limit
    assert min(seen[limit:]) == limit - (limit + 1) // 2 + 1


@pytest.mark.parametrize("formula", [BFGS, SR1])
def test_an_update_leaves_the_old_matrix_as_it_was(formula):
    _, pairs = made_pairs(2)
    old = formula(Scaling(0.5), np.zeros((STACK, LENGTH))).update(*pairs[0])
    before = matrix_of(old)
    old.update(*pairs[1])
    old.at(Scaling(0.1), np.ones((STACK, LENGTH)))
    assert_array_equal(matrix_of(old), before)


@pytest.mark.parametrize("length", [1, 8191, 8192, 8193, 20000])
def test_inner_products_of_any_length(length):
    a, b = np.random.default_rng(length).normal(size=(2, 3, length))
    assert_allclose(dot(a, b), np.einsum("kn,kn->k", a, b), rtol=1e-10)


@pytest.mark.parametrize("unit", [1e-60, 1.0, 1e60])
@pytest.mark.parametrize("formula", CURVATURES)
def test_long_pairs_take_half_the_memory_and_say_the_same(formula, unit):
    rng = np.random.default_rng(0)
    bends = np.exp(rng.normal(size=(2, 30_000)))
    steps = unit * rng.normal(size=(4, *bends.shape))
    curvature = CURVATURES[formula](Scaling(0.5), 0.0 * bends + 0.1)
    for step in steps:
        curvature = curvature.update(step, bends * step)
    kept = sum(array.nbytes for pair in curvature.pairs for array in pair)
    assert kept == steps.nbytes
    # the secant equation of the newest pair, as far as single precision goes
    assert_allclose(curvature.solve(bends * step) / unit, step / unit, atol=1e-5)
    # and of the same pairs under another theta
    moved = curvature.at(Scaling(0.5), 0.0 * bends + 0.7)
    assert_allclose(moved.solve((bends + 0.6) * step) / unit, step / unit, atol=1e-5)
