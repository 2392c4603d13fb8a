"""Coordinates of the engine: sparse columns far from zero are as accurate as dense ones."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_qnbo import MultiPenaltyLogisticRegression, MultiPenaltyRidge, QNBOSearchCV
from sk_qnbo.problems.design import Design
from sk_qnbo.problems.rows import DenseRows, SparseRows

RNG = np.random.default_rng(0)
NEAR = RNG.normal(size=(300, 6))
NEAR[:, 1:] *= RNG.random((300, 5)) < 0.3
NEAR = NEAR.round(3)
Y = NEAR @ [2.0, 1.0, 0, 0, 0, 0] + RNG.normal(size=300)
LABELS = (Y > 0).astype(int)


def far(ratio):
    """The same columns, the first with a mean that is so many times its standard deviation."""
    return NEAR + [ratio, 0, 0, 0, 0, 0]


def decision(model, X):
    return getattr(model, "decision_function", model.predict)(X)


@pytest.mark.parametrize("ratio", [1e3, 1e5, 1e7])
@pytest.mark.parametrize(
    "model, y", [(MultiPenaltyRidge(2.0), Y), (MultiPenaltyLogisticRegression(2.0), LABELS)]
)
def test_a_mean_far_beyond_the_spread_costs_sparse_fits_nothing(model, y, ratio):
    wanted = decision(model.fit(NEAR, y), NEAR)  # a shift of a column changes no prediction
    X = sparse.csr_array(far(ratio))
    found = decision(model.fit(X, y), X)
    # what is left is the rounding of x * coef + intercept; it was 2e-1 for ridge at 1e7
    assert_allclose(found, wanted, atol=1e-15 * ratio * np.abs(wanted).max() + 1e-10)


@pytest.mark.filterwarnings("ignore:the scale exponent")  # rare entries matter little here
@pytest.mark.parametrize("model, y", [(Ridge(), Y), (LogisticRegression(), LABELS)])
@pytest.mark.parametrize("piped", [False, True])
def test_a_mean_far_beyond_the_spread_costs_sparse_searches_nothing(model, y, piped):
    if piped:
        model = make_pipeline(FunctionTransformer(accept_sparse=True), model)
    settings = {"cv": 3, "penalty": "shared", "adaptive": False}
    wanted = QNBOSearchCV(model, **settings).fit(far(1e7), y)
    found = QNBOSearchCV(model, **settings).fit(sparse.csr_array(far(1e7)), y)
    # products in single precision: the last digits are the processor's
    assert_allclose(found.best_score_, wanted.best_score_, rtol=3e-6)
    assert_allclose(found.alpha_, wanted.alpha_, rtol=1e-3)


@pytest.mark.parametrize("to_format", [np.asarray, sparse.csr_array])
def test_variances_are_those_of_columns_near_zero(to_format):
    used = RNG.random((3, 300)) < 0.7
    design = Design.of(to_format(far(1e7)), used, True)
    variances = [NEAR[rows].var(axis=0) for rows in used]
    assert_allclose(np.exp(design.log_variance(used.astype(float))), variances, rtol=1e-6)


def test_only_columns_with_next_to_no_zeros_are_centred():
    X = far(1e5)
    X[:2, 0] = 0.0  # two of 300 rows lack the entry: the spread is no longer small
    X = np.column_stack([X, far(30.0)[:, 0], np.full(300, 7.0)])
    matrix = sparse.csr_array(X)
    design = Design.of(matrix, np.ones((1, 300), dtype=bool), True)
    assert_array_equal(np.flatnonzero(design.center[0]), [0, 6, 7])
    assert design.rows.size <= 1.01 * matrix.nnz
    dense = (X - design.center) / design.scale
    assert_allclose(design.rows.predict(np.eye(9)[None])[0, :8].T, dense, atol=1e-9)
    without = Design.of(matrix, np.ones((1, 300), dtype=bool), False)
    assert not without.center.any() and without.rows.size == matrix.nnz


def test_sparse_text_stays_as_sparse_as_it_is():
    X = sparse.random(200, 5000, density=0.01, random_state=0, format="csr")
    design = Design.of(X, np.ones((1, 200), dtype=bool), True)
    assert not design.center.any() and design.rows.size == X.nnz


def test_entries_given_twice_are_summed():
    X = sparse.csr_array(far(1e5))
    twice = sparse.csr_array(
        (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape
    )
    wanted = MultiPenaltyRidge(2.0).fit(X, Y).coef_
    assert_allclose(MultiPenaltyRidge(2.0).fit(twice, Y).coef_, wanted, rtol=1e-9)
    used = np.ones((1, 300), dtype=bool)
    once, again = (Design.of(matrix, used, True).scale for matrix in (X, twice))
    assert_allclose(again, once, rtol=1e-12)


def test_single_precision_is_made_once():
    X = np.random.default_rng(0).normal(size=(20, 3))
    for matrix in (X, sparse.csr_array(X), [X, sparse.csr_array(X)]):
        folds = 2 if isinstance(matrix, list) else 1
        single = Design.of(matrix, np.ones((folds, 20), dtype=bool), True).single()
        assert single.single() is single


@pytest.mark.parametrize("unit", [1e-40, 1e-25, 1e25, 1e40])
def test_units_beyond_single_precision_cost_sparse_rows_nothing(unit):
    rng = np.random.default_rng(0)
    X = sparse.random(50, 6, 0.4, "csr", random_state=0)
    used, W = np.ones((1, 50), dtype=bool), rng.normal(size=(1, 1, 7))
    want, seen = (Design.of(X * scale, used, True).single().rows for scale in (1.0, unit))
    assert_allclose(seen.predict(W), want.predict(W), rtol=1e-5, atol=1e-5)
    assert_allclose(seen.squares(np.ones((1, 50))), want.squares(np.ones((1, 50))), rtol=1e-5)


def test_moments_of_sparse_rows_take_no_more_memory_than_twice_the_rows():
    X = sparse.random(6_000, 500, density=0.3, format="csr", random_state=0)
    weights = np.random.default_rng(0).uniform(size=(3, 6_000))
    rows = SparseRows(X)
    tracemalloc.start()
    mean, variance = rows.moments(weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * (X.data.nbytes + X.indices.nbytes)
    want = DenseRows(X.toarray()).moments(weights)
    assert_allclose(mean, want[0], rtol=1e-12)
    assert_allclose(variance, want[1], rtol=1e-12)


@pytest.mark.parametrize("density", [0.1, 0.6])
@pytest.mark.parametrize("numbers", [1e6, 200])
def test_squares_of_sparse_rows_are_those_of_dense_ones_however_full(monkeypatch, density, numbers):
    monkeypatch.setattr("sk_qnbo.problems.rows._DENSE", numbers)
    rng = np.random.default_rng(0)
    X, scale = sparse.random(60, 40, density, format="csr", random_state=0), rng.uniform(1, 2, 40)
    sparse_rows = SparseRows(X, scale, intercept=True)
    dense = DenseRows(np.column_stack([X.toarray() / scale, np.ones(60)]))
    h, inverse = rng.uniform(size=(3, 60)), rng.uniform(size=(2, 41))
    assert_allclose(sparse_rows.gram(h), dense.gram(h), rtol=1e-12)
    assert_allclose(sparse_rows.kernel(inverse), dense.kernel(inverse), rtol=1e-12)
