"""The tuning problem: oracles against differences, one answer from every kind of data."""

import numpy as np
import pytest
from engine.references import (
    CASES,
    central_differences,
    dense_fit,
    dense_value,
    made,
    penalties,
    relative_error,
)
from numpy.testing import assert_allclose
from scipy import sparse

from sk_qnbo.methods import METHODS
from sk_qnbo.problems import (
    LOSSES,
    FoldRows,
    LinearProblem,
    MomentData,
    RowData,
    SparseRows,
    rows_of,
)
from sk_qnbo.problems.design import Design


def made_arrays(problem, n=2, seed=1):
    rng = np.random.default_rng(seed)
    return 0.3 * rng.normal(size=(n, problem.n_stack, problem.n_lower))


def with_data(case, rows, kind=RowData):
    data = kind(rows, LOSSES[case.loss](case.T), case.train, case.valid)
    return LinearProblem(
        data, case.problem.penalty, case.precision, case.center, intercept=case.intercept
    )


def answers(problem, theta, seed=1):
    """What every oracle says at one place."""
    w, v = made_arrays(problem, seed=seed)
    point = problem.at(w)
    value, gradient = problem.lower(theta, point)
    upper, grad_theta, grad_w = problem.upper(theta, point)
    return {
        "value": value,
        "gradient": gradient,
        "hvp": problem.hvp(theta, point, v),
        "cross": problem.cross(theta, point, v),
        "upper": np.array(upper),
        "grad_theta": grad_theta,
        "grad_w": grad_w,
        "fold values": problem.fold_values(theta, point),
        "data diagonal": problem.data_diagonal(point),
        "bound": problem.curvature_bound(theta),
    }


def assert_same_answers(a, b, theta, tol=1e-9):
    a, b = answers(a, theta), answers(b, theta)
    for name in a:
        assert_allclose(a[name], b[name], rtol=tol, atol=tol, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_oracles_agree_with_differences(name):
    case = made(**CASES[name])
    problem, theta = case.problem, case.theta
    w, v = made_arrays(problem)
    seen, h = answers(problem, theta), 1e-5

    def at(t):
        return problem.at(w + t * v)

    value = (problem.lower(theta, at(h))[0] - problem.lower(theta, at(-h))[0]) / (2 * h)
    assert_allclose((seen["gradient"] * v).sum(axis=1), value, rtol=1e-6, atol=1e-6)
    slope = (problem.lower(theta, at(h))[1] - problem.lower(theta, at(-h))[1]) / (2 * h)
    assert_allclose(seen["hvp"], slope, rtol=1e-6, atol=1e-6)
    pull = central_differences(lambda t: (problem.lower(t, at(0))[1] * v).sum(), theta)
    assert_allclose(seen["cross"], pull, rtol=1e-6, atol=1e-6)
    upper = (problem.upper(theta, at(h))[0] - problem.upper(theta, at(-h))[0]) / (2 * h)
    assert_allclose((seen["grad_w"] * v).sum(), upper, rtol=1e-6, atol=1e-8)
    prior = central_differences(lambda t: problem.upper(t, at(0))[0], theta)
    assert_allclose(seen["grad_theta"], prior, atol=1e-8)
    hessian = central_differences(lambda x: problem.lower(theta, problem.at(w + x))[1][0], 0 * w[0])
    assert (np.diagonal(hessian) <= seen["bound"][0] + 1e-6).all()
    assert_allclose(problem.lower_value(theta, at(0)), seen["value"], rtol=1e-12)
    assert_allclose(
        np.diagonal(hessian),
        (seen["data diagonal"] + problem.diagonal(theta))[0],
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("name", CASES)
def test_penalties_are_the_formula(name):
    case = made(**CASES[name])
    want = np.tile(penalties(case, case.theta)[0][:, None], (1, case.problem.shape[1], 1))
    got = case.problem.diagonal(case.theta)
    assert_allclose(got, want.reshape(got.shape), rtol=1e-12)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_moments_say_of_ridge_what_the_rows_say(outputs, is_sparse):
    case = made(loss="squared", outputs=outputs, weighted=True, is_sparse=is_sparse)
    assert isinstance(case.problem.data, MomentData)
    assert_same_answers(case.problem, with_data(case, case.problem.data.rows), case.theta)


LEFT_OUT = {"once": [0, 1, 2], "some never": [0, 1, 2, -1], "some twice": [0, 1, 2, 0]}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_moments_of_a_fold_are_those_of_its_rows_however_often_rows_are_left_out(name):
    rng, n, d = np.random.default_rng(0), 48, 5
    X, y, weights = rng.normal(size=(n, d)), rng.normal(size=(1, n)), rng.uniform(0.3, 2.0, n)
    fold = np.resize(LEFT_OUT[name], n)
    valid = fold == np.arange(3)[:, None]
    if name == "some twice":
        valid[1] |= valid[0] & (np.arange(n) < n // 2)
    rows, train, valid = rows_of(X), ~valid * weights, valid * weights
    data = MomentData(rows, LOSSES["squared"](y), train, valid)
    assert_allclose(data.G, np.einsum("kn,ni,nj->kij", train, X, X), rtol=1e-12, atol=1e-12)
    assert_allclose(data.c, np.einsum("kn,ni,cn->kci", train, X, y), rtol=1e-12, atol=1e-12)
    assert_allclose(data.yy, train @ y[0] ** 2, rtol=1e-12)
    # the parts of K folds are the whole: the Gram matrix of all rows is not formed again
    assert (rows.products <= d + 3) == (name == "once")


@pytest.mark.parametrize("name", ["binary sparse", "ridge sparse", "ridge sparse, rows few"])
def test_sparse_rows_say_what_dense_rows_say(name):
    case = made(**CASES[name])
    assert isinstance(case.problem.data.rows, SparseRows)
    assert_same_answers(case.problem, with_data(case, rows_of(case.X)), case.theta)


@pytest.mark.parametrize("loss, outputs", [("binary", 1), ("softmax", 3), ("squared", 2)])
@pytest.mark.parametrize("d", [5, 66])
@pytest.mark.parametrize("to_format", [np.asarray, sparse.csr_array])
def test_equal_matrices_a_fold_are_one_matrix(loss, outputs, d, to_format):
    case = made(loss=loss, outputs=outputs, d=d, rows_only=True)
    own = with_data(case, FoldRows([rows_of(to_format(case.X))] * 3))
    assert_same_answers(own, with_data(case, rows_of(case.X)), case.theta)
    one, many = (METHODS["exact"].estimate(p, case.theta, METHODS["exact"].start(p, case.theta))
                 for p in (case.problem, own))  # fmt: skip
    assert one.value == pytest.approx(many.value, rel=1e-8)
    assert relative_error(many.gradient, one.gradient) < 1e-6


@pytest.mark.parametrize("name", ["binary", "softmax", "ridge", "binary, rows few"])
def test_the_order_of_the_folds_does_not_matter(name):
    case = made(**CASES[name])
    order = [2, 0, 1]
    penalty = case.problem.penalty
    moved = LinearProblem(
        type(case.problem.data)(
            case.problem.data.rows, case.problem.data.loss, case.train[order], case.valid[order]
        ),
        type(penalty)(
            penalty.offset[order],
            [column[order] for column in penalty.columns],
            penalty.labels,
            penalty.n_labels,
        ),
        case.precision,
        case.center,
        intercept=case.intercept,
    )
    method = METHODS["exact"]
    one, other = (
        method.estimate(p, case.theta, method.start(p, case.theta)) for p in (case.problem, moved)
    )
    assert other.value == pytest.approx(one.value, rel=1e-9)
    assert relative_error(other.gradient, one.gradient) < 1e-7


@pytest.mark.parametrize("name", CASES)
def test_value_and_fit_are_those_of_a_dense_newton(name):
    case = made(**CASES[name])
    method = METHODS["exact"]
    seen = method.estimate(case.problem, case.theta, method.start(case.problem, case.theta))
    assert seen.value == pytest.approx(dense_value(case, case.theta), rel=1e-7)
    for k in range(3):
        Z, got = dense_fit(case, case.theta, k)[0] @ case.X.T, seen.point.W[k] @ case.X.T
        if case.loss == "softmax":  # free up to a common shift
            Z, got = Z - Z.mean(axis=0), got - got.mean(axis=0)
        assert_allclose(got, Z, atol=1e-6)


# ------------------------------------------------------------------------------------ coordinates


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("to_format", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_raw_coefficients_predict_what_the_internal_ones_do(to_format, intercept):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 4)) * [1e-3, 1.0, 50.0, 0.0] + [0.0, 1e3, 2.0, 7.0]
    used = np.arange(20) < np.array([[15], [18]])
    design = Design.of(to_format(X), used, intercept)
    W = rng.normal(size=(2, 3, design.rows.n_columns))
    coef, bias = design.raw(W)
    want = np.einsum("kcd,nd->kcn", coef, X) + bias[..., None]
    assert_allclose(design.rows.predict(W), want, rtol=1e-9, atol=1e-9)
    of_folds = design.log_variance(used.astype(float))
    assert_allclose(of_folds[0, :3], np.log(X[:15].var(axis=0)[:3]), rtol=1e-6, atol=1e-6)
    assert np.isfinite(of_folds).all()


def test_a_matrix_a_fold_has_coordinates_a_fold():
    rng = np.random.default_rng(0)
    matrices = [rng.normal(size=(20, 4)) * (k + 1) + k for k in range(2)]
    used = np.arange(20) < np.array([[15], [18]])
    design = Design.of(matrices, used, True)
    W = rng.normal(size=(2, 1, 5))
    for k, X in enumerate(matrices):
        coef, bias = design.raw(W, fold=k)
        want = coef[k] @ X.T + bias[k][:, None]
        assert_allclose(design.rows.predict(W)[k], want, rtol=1e-9, atol=1e-9)
        got = design.log_variance(used.astype(float))[k]
        assert_allclose(got, np.log(X[used[k]].var(axis=0)), atol=1e-9)
