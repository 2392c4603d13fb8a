"""Values of ridge along one level: from eigendecompositions, those of the fits."""

from copy import copy

import numpy as np
import pytest
from engine.references import made
from numpy.testing import assert_allclose

from sk_qnbo.methods import QNBO
from sk_qnbo.problems import LinearProblem, RowSideProblem
from sk_qnbo.problems import linear as linear_module

SHARP = QNBO(tol=1e-10, adjoint_tol=1e-8, n_refine=400, max_iter=2000)
LEVELS = np.array([-6.0, -1.0, 0.5, 3.0])
RIDGES = {
    "ridge": {},
    "two targets": {"outputs": 2},
    "sparse": {"is_sparse": True},
    "no intercept": {"intercept": False},
    "free column": {"fixed": 0.0},
    "groups": {"labels": 5},
}


def rows_side(**how):
    """A case of ridge with fewer rows than columns, and its problem on the rows' side."""
    case = made(d=60, loss="squared", rows_only=True, **how)
    p = case.problem
    return case, RowSideProblem(p.data, p.penalty, p.precision, p.center, p.one_sided, p.intercept)


def columns_side(**how):
    """A case of ridge with fewer columns than rows, from moments."""
    case = made(loss="squared", **how)
    return case, case.problem


SIDES = {"rows": rows_side, "columns": columns_side}


def fitted(problem, theta):
    return SHARP.estimate(problem, theta, SHARP.start(problem, theta)).value


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", RIDGES)
def test_values_along_the_level_are_those_of_the_fits(name, side):
    case, problem = SIDES[side](**RIDGES[name])
    got = problem.values_along(case.theta, 0, LEVELS)
    want = [fitted(problem, np.r_[level, case.theta[1:]]) for level in LEVELS]
    assert_allclose(got, want, rtol=1e-8)


@pytest.mark.parametrize("side", SIDES)
def test_they_are_left_to_the_fits_where_penalties_move_apart(side):
    for how, q in (({}, 1), ({"fixed": 2.0}, 0)):
        case, problem = SIDES[side](**how)
        assert problem.values_along(case.theta, q, np.zeros(2)) is None


def test_they_are_left_to_the_fits_of_other_losses_and_of_many_columns(monkeypatch):
    for case in (made(d=60), made()):
        assert case.problem.values_along(case.theta, 0, np.zeros(2)) is None
    case, problem = columns_side()
    monkeypatch.setattr(linear_module, "MAX_SPECTRUM", problem.data.n_columns - 1)
    assert problem.values_along(case.theta, 0, np.zeros(2)) is None


def test_a_column_given_twice_and_one_of_zeros_do_no_harm():
    case, problem = columns_side()
    data = copy(problem.data)
    data.G, data.c, data.Gv, data.cv = (m.copy() for m in (data.G, data.c, data.Gv, data.cv))
    for m in (data.G, data.Gv):
        m[:, 1], m[:, 2] = m[:, 0], 0.0
        m[:, :, 1], m[:, :, 2] = m[:, :, 0], 0.0
    for m in (data.c, data.cv):
        m[..., 1], m[..., 2] = m[..., 0], 0.0
    problem = LinearProblem(data, problem.penalty)
    got = problem.values_along(case.theta, 0, LEVELS)
    want = [fitted(problem, np.r_[level, case.theta[1:]]) for level in LEVELS]
    assert_allclose(got, want, rtol=1e-7)


def test_rows_of_weight_zero_and_rows_given_twice_do_no_harm():
    case, problem = rows_side()
    data = copy(problem.data)
    data.train = data.train.copy()
    data.train[:, :5] = 0.0
    rng = np.random.default_rng(0)
    twice = rng.permutation(np.tile(np.arange(data.rows.n_rows // 2), 2))
    data.rows = data.rows.part(twice, 1.0)
    problem.data = data
    got = problem.values_along(case.theta, 0, case.theta[:1])
    assert_allclose(got, fitted(problem, case.theta), rtol=1e-7)
