"""Folds of a pipeline: which transformers are fitted how often, what is kept, which columns."""

import pickle
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sk_qnbo import QNBOSearchCV
from sk_qnbo._folds import PenaltySpec, inner_splits
from sk_qnbo._pipeline_source import PipelineSource
from sk_qnbo._sources import RowWeights
from sk_qnbo._stack import Stack

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 4))
Y = X @ [3.0, 1.0, 0.5, 0.0] + RNG.normal(size=100)


class Counting(StandardScaler):
    """Scaler that counts how often it was fitted on which rows."""

    fits = Counter()

    def fit(self, X, y=None, sample_weight=None):
        Counting.fits[X.tobytes()] += 1
        return super().fit(X, y, sample_weight)


def split(cv, n_rows=100):
    """Masks of a splitter's folds."""
    train, valid = np.zeros((2, cv.get_n_splits(), n_rows), dtype=bool)
    for k, (fit, judge) in enumerate(cv.split(np.zeros(n_rows))):
        train[k, fit], valid[k, judge] = True, True
    return train, valid


def source_of(transformer, train, valid, X=X, y=Y):
    weights = RowWeights(np.ones(len(y)))
    args = make_pipeline(transformer), X, y, y[None], "squared", weights, train, valid, True, None
    return PipelineSource(*args)


def fits_of(cv, **settings):
    Counting.fits.clear()
    settings = {"penalty": "shared", "adaptive": False, "scale": 1} | settings
    QNBOSearchCV(make_pipeline(Counting(), Ridge()), cv=cv, **settings).fit(X, Y)
    return Counting.fits


def test_the_same_rows_are_fitted_once_as_far_as_memory_allows():
    fits = fits_of(KFold(5))
    # all rows (and once more for the refit), 5 folds, 10 pairs of folds left out
    assert len(fits) == 16
    everything, main = fits.pop(X.tobytes()), [X[fit].tobytes() for fit, _ in KFold(5).split(X)]
    assert everything == 2 and all(fits.pop(rows) == 1 for rows in main)
    assert set(fits.values()) <= {1, 2} and sum(fits.values()) <= 13  # it was 38 in all


def test_folds_that_hold_others_are_fitted_once():
    fits = fits_of(TimeSeriesSplit(5))
    assert fits.pop(X.tobytes()) == 2 and set(fits.values()) == {1} and len(fits) == 5


def test_without_a_cross_fit_no_fold_inside_is_fitted():
    fits = fits_of(KFold(5), shrinkage=np.inf)
    assert fits.pop(X.tobytes()) == 2 and list(fits.values()) == [1] * 5


def test_what_is_kept_ends_with_the_work_and_has_a_limit():
    train, valid = split(KFold(5))
    source = source_of(StandardScaler(), train, valid)
    made, main = source.made, 8 * 4 * (100 + 5 * 80)
    assert made.size == main
    source.folds(train, valid)
    assert made.size == main  # they serve the cross-fits too
    largest = 0
    for k in range(5):
        source.folds(*inner_splits(train, valid, k))
        source.folds(train[k : k + 1], valid[k : k + 1])
        largest = max(largest, made.size)
    assert main - 8 * 4 * 80 < largest <= 1.25 * main
    assert made.size == 8 * 4 * 100
    source.folds(np.ones((1, 100), dtype=bool), np.ones((1, 100), dtype=bool))
    assert made.size == 0
    assert pickle.loads(pickle.dumps(source_of(StandardScaler(), train, valid))).made.size == 0


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_a_stack_has_only_rows_that_its_folds_use(form):
    train, valid = split(TimeSeriesSplit(4))
    source = source_of(FunctionTransformer(), train, valid, X=form(X))
    inner = inner_splits(train, valid, 2)
    stack = Stack(source.folds(*inner), PenaltySpec(4))
    assert stack.design.rows.n_rows == train[2].sum() < 100
    assert_array_equal(stack.folds.index, np.flatnonzero(train[2]))
    for k, judge in enumerate(inner[1]):  # of the raw matrices only what will be judged remains
        stored = [part.shape[0] for _, part in stack.folds.X[k].parts]
        assert stored == [judge.sum()]
        seen = stack.folds.take(k, np.flatnonzero(judge[stack.folds.index]))
        assert_array_equal(seen.toarray() if sparse.issparse(seen) else seen, X[judge])


class Leaking(TransformerMixin, BaseEstimator):
    """Gives its training rows something else than other rows, as a ``TargetEncoder`` does."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X) + 1000.0

    def transform(self, X):
        return X


def test_training_rows_are_what_fit_transform_made_of_them():
    train, valid = split(KFold(5))
    source = source_of(Leaking(), train, valid)
    for masks in [(train, valid), inner_splits(train, valid, 1), (train[1:2], valid[1:2])] * 2:
        folds = source.folds(*masks)
        for one, fit, judge in zip(folds.X, *masks, strict=True):
            everything = np.zeros((100, 4))
            everything[folds.index] = one.placed(np.arange(len(folds.index)))
            assert_array_equal(everything[fit], X[fit] + 1000.0)
            assert_array_equal(everything[judge], X[judge])


# ------------------------------------------------------------------- columns that few folds have


def lonely_columns():
    """Data of which a fold inside a cross-fit selects a column that no larger set of rows does."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        Z = pd.DataFrame(rng.normal(size=(40, 6)), columns=list("abcdef"))
        y = rng.normal(size=40) + Z.to_numpy() @ [0.5, 0.5, 0.5, 0.0, 0.0, 0.0]
        train, valid = split(KFold(4), 40)
        source = source_of(SelectKBest(f_regression, k=2), train, valid, Z, y)
        for outer in range(4):
            inner = inner_splits(train, valid, outer)
            folds = source.folds(*inner)
            if folds.n_features > source.n_features:
                return Z, y, source, train, valid, outer, inner, folds
    raise AssertionError("no such data")


def test_columns_that_only_a_fold_inside_has_count_there():
    Z, _, source, train, valid, outer, inner, folds = lonely_columns()
    (lonely,) = set(folds.names) - set(source.names)
    for one, fit in zip(folds.X, inner[0], strict=True):
        matrix = one.placed(np.arange(len(folds.index)))
        chosen = [folds.names[j] for j in np.flatnonzero(matrix.any(axis=0))]
        assert len(chosen) == 2  # none of the selected columns is dropped
        rows = fit[folds.index]
        assert_array_equal(matrix[rows][:, one.columns], Z[one.own(np.array(folds.names))][fit])
    assert any(lonely in one.own(np.array(folds.names)) for one in folds.X)
    own = slice(outer, outer + 1)
    judged = source.folds(train[own], valid[own], folds.names)
    assert judged.names == folds.names
    column = judged.take(0, np.arange(10))[:, folds.names.index(lonely)]
    assert_array_equal(column, 0.0)


@pytest.mark.parametrize("penalty", ["per_feature", "shared", "groups"])
def test_a_search_with_such_columns_gives_a_penalty_to_each_that_is_left(penalty):
    Z, y, source, *_ = lonely_columns()
    kept = source.names[: source.n_final]
    labels = kept if penalty == "groups" else penalty
    model = make_pipeline(SelectKBest(f_regression, k=2), Ridge())
    settings = {"penalty": labels, "codata": np.arange(2.0), "cv": KFold(4), "max_iter": 5}
    search = QNBOSearchCV(model, scoring=scored, refit=lambda table: 0, **settings)
    assert search.fit(Z, y).alpha_.shape == (2,)


def scored(model, frame, y):
    assert model[-1].alpha_.shape == (2,)
    return model.score(frame, y)


def test_a_wider_penalty_model_leaves_the_old_columns_alone():
    fixed = np.array([0.0, np.nan, np.nan])
    spec = PenaltySpec(3, np.array([0, 1, 0]), 2, np.arange(3.0)[:, None], fixed)
    wide = spec.wider(5)
    assert (wide.n_features, wide.n_labels) == (5, 3)
    assert_array_equal(wide.labels, [0, 1, 0, 2, 2])
    assert_array_equal(wide.codata[:, 0], [0, 1, 2, 0, 0])
    assert_array_equal(wide.fixed, [0, np.nan, np.nan, np.nan, np.nan])
    assert spec.wider(3) is spec and PenaltySpec(3).wider(4) == PenaltySpec(4)


class Uneven(TransformerMixin, BaseEstimator):
    """Gives more columns the more rows it was fitted on, and no names."""

    def fit(self, X, y=None):
        self.n_kept_ = 3 + (len(X) > 60)
        return self

    def transform(self, X):
        return X[:, : self.n_kept_]


def test_folds_inside_without_names_must_have_the_same_columns():
    model = make_pipeline(Uneven(), Ridge())
    settings = {"penalty": "shared", "adaptive": False, "max_iter": 3}
    QNBOSearchCV(model, cv=KFold(3), shrinkage=np.inf, **settings).fit(X, Y)
    with pytest.raises(ValueError, match="3 to 4 columns in different folds and no names"):
        QNBOSearchCV(model, cv=KFold(3), **settings).fit(X, Y)


def test_a_pipeline_that_changes_nothing_finds_what_the_model_alone_finds():
    settings = {"cv": KFold(4), "penalty": "shared", "scale": 0, "adaptive": False}
    alone = QNBOSearchCV(Ridge(), **settings).fit(X, Y)
    piped = QNBOSearchCV(make_pipeline(FunctionTransformer(), Ridge()), **settings).fit(X, Y)
    assert_allclose(piped.alpha_, alone.alpha_, rtol=0.05)
    assert_allclose(piped.best_score_, alone.best_score_, rtol=1e-3)


@pytest.mark.parametrize("model", [Ridge(), LogisticRegression()])
def test_unpenalised_columns_of_wide_pipelines_are_those_of_the_plain_search(model):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 150))
    y = X[:, :3].sum(axis=1) + rng.normal(size=60)
    y = y if isinstance(model, Ridge) else (y > 0).astype(int)
    settings = {"penalty": "shared", "scale": 0.0, "shrinkage": np.inf, "cv": 3}
    plain, piped = (
        QNBOSearchCV(est, unpenalized=[0, 5], **settings).fit(X, y)
        for est in (model, make_pipeline(FunctionTransformer(), model))
    )
    assert_allclose(piped.alpha_, plain.alpha_, rtol=1e-3)
