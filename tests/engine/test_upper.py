"""How theta moves by L-BFGS: what it believes before it has seen a coordinate move."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sk_qnbo.upper import Box, UpperLBFGS
from sk_qnbo.upper.lbfgs import LBFGSState

FREE = Box(np.full(3, -np.inf), np.full(3, np.inf))


def first_step(step, gradient, theta=(0.0, 0.0, 0.0)):
    theta = np.array(theta)
    return step.trial(step.begin(theta, 1.0, np.array(gradient), FREE), FREE) - theta


def test_without_pairs_the_first_step_is_along_the_gradient_as_far_as_allowed():
    move = first_step(UpperLBFGS(first_move=np.array([1.0, 0.5, 0.3])), [-0.2, 0.4, -0.6])
    assert_allclose(move, -0.5 * np.array([-0.2, 0.4, -0.6]), rtol=1e-12)


def test_a_pair_says_nothing_of_coordinates_that_it_did_not_move():
    pair = np.array([0.1, 0.0, 0.0]), np.array([1e-4, 0.0, 0.0])  # so flat that steps are long
    step = UpperLBFGS(pairs=(pair,), first_move=np.array([1.0, 1.0, 0.3]), precision=0.1)
    move = first_step(step, [1e-3, -0.02, 0.6])
    assert move[0] == pytest.approx(-1.0)  # Newton along the pair
    scale = 0.3 / (0.6 / 0.7)  # what the third coordinate may, for all that are new
    assert_allclose(move[1:], [scale * 0.02 / 0.12, -0.3], rtol=1e-12)


def minimum(H, g, step, theta, n_steps=30):
    """Where the steps end on ``g'x + x'Hx / 2``, and the steps' promises."""
    H, g, theta = np.array(H), np.array(g), np.array(theta)
    box = Box(np.full(len(g), -np.inf), np.full(len(g), np.inf))
    state = step.begin(theta, 0.0, g + H @ theta, box)
    promises = [state.decrease]
    for _ in range(n_steps):
        theta = step.trial(state, box)
        state = step.advance(state, theta, g @ theta + theta @ H @ theta / 2, g + H @ theta, box)
        promises.append(state.decrease)
    return state.theta, promises


def test_what_a_pair_says_of_new_coordinates_does_not_lead_uphill():
    H, g = np.array([[1e-3, 1e-3], [1e-3, 0.05]]), np.array([0.005, 0.02])
    step = UpperLBFGS(precision=np.array([0.0, 0.05]), pairs=((np.array([1.0, 0.0]), H[:, 0]),))
    theta, promises = minimum(H, g, step, [0.0, 0.0])
    assert promises[0] > 0
    assert_allclose(theta, np.linalg.solve(H, -g), rtol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_any_pair_leads_downhill(seed):
    rng = np.random.default_rng(seed)
    pair = np.array([*rng.normal(size=2), 0.0, 0.0]), rng.normal(size=4)
    if pair[0] @ pair[1] < 0:
        pair = -pair[0], pair[1]
    g = rng.normal(size=4) * [1e-3, 1.0, 1e-2, 1.0]
    box = Box(np.full(4, -np.inf), np.full(4, np.inf))
    step = UpperLBFGS(pairs=(pair,), precision=np.array([0.0, 0.0, 0.1, 0.1]))
    assert step.begin(np.zeros(4), 1.0, g, box).decrease > 0


def test_a_concave_pair_is_no_knowledge():
    pair = np.array([1.0, 0.0, 0.0]), np.array([-1e-3, 0.0, 0.0])
    assert_allclose(
        first_step(UpperLBFGS(pairs=(pair,)), [-4e-3, 0.0, 0.0]),
        first_step(UpperLBFGS(), [-4e-3, 0.0, 0.0]),
    )


def test_noise_of_a_flat_coordinate_does_not_move_it():
    pair = np.array([1.0, 0.0, 0.0]), np.array([0.1, 0.0, 0.0])
    move = first_step(UpperLBFGS(pairs=(pair,)), [0.01, 0.02, -1e-12])
    assert abs(move[2]) < 1e-6


def test_after_a_step_that_was_shortened_the_next_is_at_most_twice_as_long():
    def value(theta):
        return 0.5 * theta @ np.array([1e-4, 0.0, 0.0]) * theta[0] - 1e-3 * theta[0]

    def gradient(theta):
        return np.array([1e-4 * theta[0] - 1e-3, 0.0, 0.0])

    step = UpperLBFGS(max_move=3.0)
    theta = np.zeros(3)
    state = step.begin(theta, value(theta), gradient(theta), FREE)
    tried = step.trial(state, FREE)
    state = step.advance(state, tried, value(theta) + 1.0, gradient(tried), FREE)  # a failure
    shorter = step.trial(state, FREE)
    state = step.advance(state, shorter, value(shorter), gradient(shorter), FREE)
    move = step.trial(state, FREE) - shorter
    assert state.failures == 0 and 0.0 < np.abs(shorter).max() < np.abs(tried).max()
    assert np.abs(move).max() == pytest.approx(2.0 * np.abs(shorter).max())
    longer = shorter + move
    state = step.advance(state, longer, value(longer), gradient(longer), FREE)
    again = np.abs(step.trial(state, FREE) - longer).max()
    assert again == pytest.approx(2.0 * np.abs(move).max())  # trust grows where a step holds


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_where_the_value_falls_ever_faster_steps_at_least_double(noise):
    step, box = UpperLBFGS(max_move=100.0), Box(np.full(1, -np.inf), np.full(1, np.inf))
    known = np.array([1.0]), np.array([1.0])  # of before, where steps were short
    state = LBFGSState(np.zeros(1), 0.0, np.array([-0.1]), np.array([0.1]), (known,))
    theta = step.trial(state, box)
    value, gradient = -0.1 * theta - 0.05 * theta**2, -0.1 - 0.1 * theta
    new = step.advance(state, theta, value[0], gradient, box, noise)
    # within the noise it may not have fallen at all: then as long as the pair says
    assert_allclose(new.step, -gradient if noise else 2.0 * theta)
    assert_allclose(new.decrease, -(new.step @ gradient))
