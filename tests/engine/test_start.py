"""Start matrices: three roads to one inverse, and what happens where there is none."""

import numpy as np
import pytest
from engine.references import central_differences, dense_hessian, made
from numpy.testing import assert_allclose

from sk_qnbo.curvature import STARTS
from sk_qnbo.curvature.factor import DenseFactor

N_FOLDS = 3


def made_point(problem, seed=1):
    rng = np.random.default_rng(seed)
    return problem.at(0.3 * rng.normal(size=(problem.n_stack, problem.n_lower)))


def own_hessians(case, point, diagonal):
    """Block-diagonal Hessian of each fold, written out."""
    C, D = case.problem.shape[1:]
    same_block = np.kron(np.eye(C), np.ones((D, D)))
    zero = np.zeros(D)
    return np.stack(
        [
            dense_hessian(case, point.W[k], case.train[k], zero) * same_block + np.diag(diagonal[k])
            for k in range(len(case.train))
        ]
    )


SETTINGS = {
    "dense": {},
    "sparse": {"is_sparse": True},
    "unpenalised columns": {"fixed": 0.0},
    "sparse with unpenalised columns": {"fixed": 0.0, "is_sparse": True},
    "no intercept": {"intercept": False},
    "ridge": {"loss": "squared", "outputs": 2, "rows_only": True},
    "softmax": {"loss": "softmax", "outputs": 3},
    "softmax with unpenalised columns": {"loss": "softmax", "outputs": 3, "fixed": 0.0},
}


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("kind", ["cholesky", "woodbury"])
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("d", [6, 60], ids=["rows many", "rows few"])
def test_a_start_matrix_is_the_dense_inverse(d, name, kind, shared):
    case = made(d=d, **SETTINGS[name])
    problem, point = case.problem, made_point(case.problem)
    diagonal = problem.diagonal(case.theta)
    H = own_hessians(case, point, diagonal)
    if shared:  # one data Hessian; a dense factor keeps diagonals that are far apart
        own = np.stack([np.diag(row) for row in diagonal])
        apart = kind == "cholesky" and (diagonal.max(axis=0) > 2.0 * diagonal.min(axis=0)).any()
        H = (H - own).mean(axis=0) + (own if apart else own.mean(axis=0)) + 0.0 * own
    v = np.random.default_rng(2).normal(size=diagonal.shape)
    want = np.linalg.solve(H, v[..., None])[..., 0]
    got = STARTS[kind](problem, point, shared=shared).factor(diagonal).solve(v)
    scale = np.abs(want).max() * np.linalg.cond(H).max() / 1e3
    assert_allclose(got, want, rtol=1e-10, atol=1e-10 * max(scale, 1.0))


def test_the_diagonal_start_is_the_diagonal():
    case = made(is_sparse=True)
    problem, point = case.problem, made_point(case.problem)
    diagonal = problem.diagonal(case.theta)
    H = own_hessians(case, point, diagonal)
    v = np.ones_like(diagonal)
    got = STARTS["diagonal"](problem, point).factor(diagonal).solve(v)
    assert_allclose(got, 1.0 / np.diagonal(H, axis1=1, axis2=2), rtol=1e-12)
    multiple = STARTS["identity"](problem, point).factor(diagonal).solve(v)
    assert_allclose(multiple, got.min(axis=1, keepdims=True) * v, rtol=1e-12)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_the_full_softmax_hessian_is_the_dense_one_and_that_of_differences(is_sparse):
    case = made(loss="softmax", outputs=3, intercept=False, is_sparse=is_sparse)
    problem, point = case.problem, made_point(case.problem)
    got = problem.data_hessian(point, full=True)[:, 0]
    zero = np.zeros(case.X.shape[1])
    for k in range(N_FOLDS):
        assert_allclose(got[k], dense_hessian(case, point.W[k], case.train[k], zero), atol=1e-10)
    shared = problem.data_hessian(point, shared=True, full=True)
    assert_allclose(shared[0, 0], got.mean(axis=0), atol=1e-10)

    def gradient(w):
        array = problem.array(point).copy()
        array[0] = w
        far = -700.0 * np.eye(problem.n_upper)[0]  # a penalty of next to nothing
        return problem.lower(far, problem.at(array))[1][0]

    differences = central_differences(gradient, problem.array(point)[0])
    assert_allclose(got[0], differences, atol=1e-6)


def test_the_full_softmax_hessian_is_anchored_only_where_it_is_flat():
    case = made(loss="softmax", outputs=3)
    problem, point = case.problem, made_point(case.problem)
    got, zero = problem.data_hessian(point, full=True)[0, 0], np.zeros(case.X.shape[1])
    extra = got - dense_hessian(case, point.W[0], case.train[0], zero)
    flat = np.tile(np.eye(case.X.shape[1])[-1], 3)
    assert_allclose(extra, extra[-1, -1] * np.outer(flat, flat), atol=1e-10)
    assert extra[-1, -1] > 0.01


def test_many_unpenalised_columns_are_lifted_and_still_fitted():
    # 60 of 80 columns free, 32 training rows: the border would be singular
    case = made(d=80, labels=None)
    problem, point = case.problem, made_point(case.problem)
    diagonal = problem.diagonal(case.theta).copy()
    diagonal[:, :60] = 0.0
    factor = STARTS["woodbury"](problem, point).factor(diagonal)
    v = np.random.default_rng(2).normal(size=diagonal.shape)
    g = problem.data.train_hvp(point, v.reshape(problem.shape)).reshape(v.shape) + diagonal * v
    x = factor.solve(g)
    again = problem.data.train_hvp(point, x.reshape(problem.shape)).reshape(v.shape) + diagonal * x
    assert_allclose(again, g, atol=1e-4 * np.abs(g).max())
    assert (np.einsum("kl,kl->k", v, factor.solve(v)) > 0).all()


def test_free_columns_that_repeat_one_another_are_no_error():
    case = made(d=80)
    problem = case.problem
    problem.data.rows.X[:, 1] = problem.data.rows.X[:, 0]
    problem.data.rows.X[:, 2] = 1.0  # repeats the intercept
    diagonal = problem.diagonal(case.theta).copy()
    diagonal[:, :3] = 0.0
    point = made_point(problem)
    x = STARTS["woodbury"](problem, point).factor(diagonal).solve(np.ones_like(diagonal))
    assert np.isfinite(x).all()


@pytest.mark.parametrize("huge", [1.0, 1e12, 1e40])
def test_a_singular_matrix_is_lifted_and_a_huge_entry_lifts_nothing_else(huge):
    M = np.diag([2.0, 3.0, 0.0, 4.0, huge])
    M[0, 1] = M[1, 0] = 1.0
    M[3, 3] = 0.0
    v = np.array([1.0, 1.0, 0.0, 0.0, huge])
    x = DenseFactor(M[None, None]).solve(v[None, None])[0, 0]
    assert_allclose(x, [0.4, 0.2, 0.0, 0.0, 1.0], atol=1e-10)
