"""Losses: derivatives by differences, digits far out, two classes are two classes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sk_qnbo.problems import LOSSES, BinaryLogLoss, SoftmaxLogLoss


def made_loss(name, n=7, seed=0):
    rng = np.random.default_rng(seed)
    if name == "binary":
        return BinaryLogLoss(rng.integers(0, 2, size=(1, n))), 1
    if name == "softmax":
        return SoftmaxLogLoss(np.eye(4)[:, rng.integers(0, 4, size=n)]), 4
    return LOSSES[name](rng.normal(size=(3, n))), 3


@pytest.mark.parametrize("name", LOSSES)
def test_slope_and_bend_are_derivatives(name):
    loss, outputs = made_loss(name)
    rng = np.random.default_rng(1)
    z, q = rng.normal(size=(2, 2, outputs, 7))
    h = 1e-5
    ahead, behind = loss.at(z + h * q), loss.at(z - h * q)
    at = loss.at(z)
    assert_allclose((ahead.value - behind.value) / (2 * h), (at.slope * q).sum(axis=1), atol=1e-8)
    assert_allclose((ahead.slope - behind.slope) / (2 * h), at.bend_times(q), atol=1e-8)
    for c in range(outputs):
        e = np.zeros_like(z)
        e[:, c] = 1.0
        assert_allclose(at.bend_times(e)[:, c], at.bend[:, c], atol=1e-14)
    assert at.bend.max() <= loss.bend_bound + 1e-12


@pytest.mark.parametrize("name", ["binary", "softmax"])
@pytest.mark.parametrize("size", [40.0, 800.0, 1e8])
def test_far_out_nothing_overflows(name, size):
    loss, outputs = made_loss(name)
    z = size * np.random.default_rng(1).choice([-1.0, 1.0], size=(2, outputs, 7))
    at = loss.at(z)
    for array in (at.value, at.slope, at.bend, at.bend_times(z)):
        assert np.isfinite(array).all()
    assert (at.value >= 0).all() and at.value.max() <= 2.1 * size


def test_a_loss_near_zero_keeps_its_digits():
    z = np.array([37.0, 60.0, 300.0])
    binary = BinaryLogLoss(np.ones((1, 3))).at(z[None, None])
    assert_allclose(binary.value[0], np.exp(-z), rtol=1e-12)
    assert_allclose(binary.slope[0, 0], -np.exp(-z), rtol=1e-12)
    assert_allclose(binary.bend[0, 0], np.exp(-z), rtol=1e-12)
    softmax = SoftmaxLogLoss(np.array([[1.0] * 3, [0.0] * 3])).at(np.stack([z, 0 * z])[None])
    assert_allclose(softmax.value[0], np.exp(-z), rtol=1e-12)


def test_softmax_of_two_classes_is_the_binary_loss():
    rng = np.random.default_rng(0)
    y, z, q = rng.integers(0, 2, size=9), rng.normal(size=(2, 1, 9)), rng.normal(size=(2, 1, 9))
    one = BinaryLogLoss(y[None]).at(z)
    two = SoftmaxLogLoss(np.stack([1 - y, y])).at(np.concatenate([-z / 2, z / 2], axis=1))
    assert_allclose(two.value, one.value, rtol=1e-12)
    assert_allclose(two.slope[:, 1:], one.slope, atol=1e-14)
    assert_allclose(two.slope.sum(axis=1), 0.0, atol=1e-14)
    both = two.bend_times(np.concatenate([-q / 2, q / 2], axis=1))
    assert_allclose(both[:, 1:], one.bend_times(q), atol=1e-14)


def test_softmax_does_not_see_a_common_shift():
    loss, _ = made_loss("softmax")
    z = np.random.default_rng(1).normal(size=(2, 4, 7))
    assert_allclose(loss.at(z + 50.0).value, loss.at(z).value, rtol=1e-12)
