"""Legal but unusual use: how columns, labels, metadata and numbers may come."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_diabetes, load_iris
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import (
    KFold,
    PredefinedSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from sk_qnbo import QNBOSearchCV
from sk_qnbo._report import _optimism

X, Y = load_diabetes(return_X_y=True)
X, Y = X[:150] * 50.0, Y[:150]
NAMES = load_diabetes().feature_names
FRAME = pd.DataFrame(X, columns=NAMES)


def quick(model=None, **settings):
    settings = {"shrinkage": np.inf, "penalty": "shared", "scale": 1, "cv": 3} | settings
    return QNBOSearchCV(model or Ridge(), **settings)


# ------------------------------------------------------------------------------ columns and groups


@pytest.mark.parametrize(
    "columns",
    [slice(0, 2), slice(None, -8), {"age", "sex"}, frozenset([0, 1]), pd.Index(["age", "sex"])]
    + [dict.fromkeys(["age", "sex"], 0.0).keys(), (name for name in ["age", "sex"])],
    ids=["slice", "slice to the end", "set", "frozenset", "index", "keys", "generator"],
)
def test_columns_may_come_in_any_collection(columns):
    search = quick(unpenalized=columns).fit(FRAME, Y)
    assert_array_equal(np.flatnonzero(search.alpha_ == 0), [0, 1])


def test_groups_may_be_slices():
    search = quick(penalty={"a": slice(0, 5), "b": slice(5, None)}, shrinkage=1.0, adaptive=False)
    assert_array_equal(search.fit(FRAME, Y).group_labels_, np.repeat([0, 1], 5))


@pytest.mark.parametrize("columns", [slice("age", "bmi"), slice(None, "bmi")])
def test_slices_of_names_are_refused(columns):
    with pytest.raises(ValueError, match="unpenalized holds slice.*neither a column name"):
        quick(unpenalized=columns).fit(FRAME, Y)


def _with_dummies(n_columns, kind):
    """Ten columns behind dummies of five categories, one of them rare, and their target."""
    rng = np.random.default_rng(0)
    category = rng.integers(0, 4, 300)
    category[:12] = 4
    Z = rng.standard_normal((300, 10))
    y = Z[:, 0] + category % 3 + rng.standard_normal(300)
    y = {"ridge": y, "binary": y > 1, "softmax": np.digitize(y, [0, 1])}[kind]
    return np.column_stack([np.eye(5)[category][:, :n_columns], Z]), y


@pytest.mark.parametrize("cv, how", [(3, "one penalty"), (3, "ladder"), ("loo", "one penalty")])
@pytest.mark.parametrize("to_format", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("kind", ["ridge", "binary", "softmax"])
def test_unpenalised_dummies_of_all_categories_are_those_of_all_but_one(kind, to_format, cv, how):
    """They add up to the intercept: without curvature the fits went on for minutes, to elsewhere.

    With folds in the order of the rows, the first fit never sees the rare category.
    """
    settings = {} if how == "ladder" else {"penalty": "shared", "scale": 1, "shrinkage": np.inf}
    model = Ridge() if kind == "ridge" else LogisticRegression()
    scores, predicted = [], []
    for k in (4, 5):
        A, y = _with_dummies(k, kind)
        splits = "loo" if cv == "loo" else KFold(cv)
        search = QNBOSearchCV(model, unpenalized=range(k), cv=splits, **settings)
        scores.append(search.fit(to_format(A), y).best_score_)
        predicted.append(search.predict(A))
        assert (search.alpha_[:k] == 0).all()
    assert_allclose(scores[1], scores[0], rtol=2e-3 if how == "ladder" else 1e-6)
    if kind == "ridge" and how == "one penalty":
        assert_allclose(predicted[1], predicted[0], atol=1e-3)


def test_unpenalised_columns_that_are_nearly_others_are_not_taken_for_them():
    """Powers of a year differ by a thousandth, and say what those of the year less its mean say."""
    rng = np.random.default_rng(0)
    year = rng.integers(2000, 2021, 200).astype(float)
    Z, late = rng.standard_normal((200, 5)), (year - 2010.0) / 10.0
    y = 3.0 * late**3 - 2.0 * late + Z[:, 0] + 0.5 * rng.standard_normal(200)
    raw, centred = (np.column_stack([t, t**2, t**3, Z]) for t in (year, late))
    scores = [quick(unpenalized=[0, 1, 2]).fit(A, y).best_score_ for A in (raw, centred)]
    assert_allclose(scores[0], scores[1], rtol=1e-2)


MISSING = [None, np.nan, pd.NA]


@pytest.mark.parametrize("label", MISSING, ids=["None", "nan", "NA"])
def test_a_feature_without_a_label_is_told(label):
    labels = np.array(["a"] * 9 + [label], dtype=object)
    with pytest.raises(ValueError, match="no group label for 1 features, the first of them 9"):
        quick(penalty=labels).fit(FRAME, Y)


def test_labels_that_cannot_be_sorted_are_told():
    with pytest.raises(ValueError, match="cannot be sorted together"):
        quick(penalty=np.array(["a"] * 9 + [1], dtype=object)).fit(FRAME, Y)


@pytest.mark.parametrize("columns", [[-1], [False, True]], ids=["negative", "mask"])
def test_positions_do_not_count_columns_that_only_folds_have(columns):
    rng = np.random.default_rng(0)
    Z, y = rng.normal(size=(40, 8)), rng.normal(size=40)
    model = make_pipeline(SelectKBest(f_regression, k=2), Ridge())
    cv = KFold(4)
    selected = [model[:1].fit(Z[fit], y[fit]).get_feature_names_out() for fit, _ in cv.split(Z)]
    everywhere = set(model[:1].fit(Z, y).get_feature_names_out())
    assert set(np.concatenate(selected)) - everywhere  # some fold has a column of its own
    search = quick(model, cv=cv, unpenalized=columns).fit(Z, y)
    assert_array_equal(search.alpha_ == 0, [False, True])
    groups = {"a": [0], "b": columns}
    assert_array_equal(quick(model, cv=cv, penalty=groups).fit(Z, y).group_labels_, [0, 1])


def test_codata_may_be_sparse():
    known = np.eye(10)[:, :2]
    found = quick(codata=sparse.csr_array(known)).fit(X, Y)
    assert_array_equal(found.alpha_, quick(codata=known).fit(X, Y).alpha_)


# ---------------------------------------------------------------------------------------- metadata


class Particular(TransformerMixin, BaseEstimator):
    """Scaler that wants a flag, and a table with one entry a row."""

    def fit(self, X, y=None, flag=None, table=None):
        assert flag is True and len(table) == len(X)
        self.mean_ = np.mean(X, axis=0)
        return self

    def transform(self, X):
        return np.asarray(X) - np.asarray(self.mean_)


@pytest.mark.parametrize("form", [list, np.asarray, pd.Series])
def test_metadata_that_are_not_of_rows_go_as_they_are(form):
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(Particular().set_fit_request(flag=True, table=True), Ridge())
        search = quick(model, shrinkage="cv").fit(FRAME, Y, flag=True, table=form(range(150)))
    assert search.predict(FRAME).shape == (150,)


def test_a_scorer_may_ask_for_metadata_that_are_not_of_rows():
    def score(model, X, y, level=None, weight=None):
        assert level == 3.0 and len(weight) == len(y)
        return model.score(X, y)

    scorer = sklearn.metrics.make_scorer(lambda y, p, level, weight: -np.mean(level * weight))
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = scorer.set_score_request(level=True, weight=True)
        search = quick(scoring=scorer).fit(FRAME, Y, level=3.0, weight=np.ones(150))
    assert search.best_score_ == -3.0


def test_a_callable_scorer_sees_names_where_transformers_give_frames():
    def scorer(model, frame, y):
        assert list(model[-1].feature_names_in_) == NAMES
        return model.score(frame, y)  # would warn of names that the model was not fitted with

    model = make_pipeline(StandardScaler(), Ridge()).set_output(transform="pandas")
    quick(model, scoring=scorer).fit(FRAME, Y)


# ------------------------------------------------------------------------------------- the numbers


def sparse_frame(S):
    return pd.DataFrame.sparse.from_spmatrix(S, columns=NAMES)


def with_long_indices(S):
    S = sparse.csr_matrix(S)
    S.indices, S.indptr = S.indices.astype(np.int64), S.indptr.astype(np.int64)
    return S


def backwards(S):
    return S[:, ::-1][:, ::-1]  # whose indices are not sorted


FORMS = [
    sparse.csc_matrix, sparse.coo_matrix, sparse.csr_array, sparse.coo_array, sparse.lil_matrix,
    sparse.bsr_array, with_long_indices, backwards, sparse_frame,
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("piped", [False, True])
def test_every_sparse_form_finds_the_same(form, piped):
    S = sparse.csr_matrix(np.where(np.abs(X) > 1, X, 0.0))
    model = make_pipeline(MaxAbsScaler(), Ridge()) if piped else Ridge()
    wanted, found = (quick(model).fit(form_(S), Y) for form_ in (sparse.csr_matrix, form))
    assert_allclose(found.alpha_, wanted.alpha_, rtol=1e-10)
    assert_allclose(found.predict(form(S)), wanted.predict(S))


@pytest.mark.parametrize("dtype", ["Float64", "Int64", "float32", "int64"])
def test_every_dtype_of_a_frame_serves(dtype):
    frame = FRAME.round().astype(dtype)
    wanted = quick().fit(FRAME.round(), Y)
    assert_allclose(quick().fit(frame, Y).alpha_, wanted.alpha_, rtol=1e-4)
    labels = pd.Series(Y > 140).astype("boolean")
    search = quick(LogisticRegression()).fit(frame, labels)
    assert list(search.classes_) == [False, True]


def test_floats_of_single_precision_come_back_so():
    for model in (Ridge(), LogisticRegression(), RidgeClassifier()):
        search = quick(model).fit(X.astype(np.float32), (Y > 140).astype(int))
        assert search.best_estimator_.coef_.dtype == np.float32
        assert search.alpha_.dtype == np.float64


def test_read_only_data_are_left_alone():
    data, y = X.copy(), Y.copy()
    data.flags.writeable = y.flags.writeable = False
    S = sparse.csr_array(data)
    for part in (S.data, S.indices, S.indptr):
        part.flags.writeable = False
    assert_allclose(quick().fit(data, y).alpha_, quick().fit(S, y).alpha_, rtol=1e-4)


# -------------------------------------------------------------------------------- folds and classes


def test_folds_whose_test_rows_overlap_serve():
    rows = np.arange(150)
    cv = [(rows[:100], rows[100:]), (np.r_[rows[:80], rows[130:]], rows[80:130])]
    cv.append((rows[50:], rows[:50]))
    for model in (Ridge(), make_pipeline(StandardScaler(), Ridge())):
        search = quick(model, cv=cv, shrinkage="cv").fit(FRAME, Y)
        assert np.isfinite([search.cv_results_[f"split{k}_test_score"] for k in range(3)]).all()


@pytest.mark.parametrize(
    "cv", [PredefinedSplit(np.r_[np.full(60, -1), np.arange(90) % 3]), TimeSeriesSplit(4)]
)
def test_rows_that_are_never_judged_serve(cv):
    plain, piped = (
        quick(model, cv=cv, shrinkage="cv").fit(FRAME, Y)
        for model in (Ridge(), make_pipeline(StandardScaler(with_std=False), Ridge()))
    )
    assert_allclose(piped.best_score_, plain.best_score_, rtol=1e-3)


def test_classes_are_weighted_by_their_labels():
    Z, y = load_iris(return_X_y=True)
    words = np.array(["x", "y", "z"])[y]
    cv = StratifiedKFold(3)
    for model in (LogisticRegression, RidgeClassifier):
        by_word = quick(model(class_weight={"x": 3.0, "z": 0.5}), cv=cv).fit(Z, words)
        weights = np.select([y == 0, y == 2], [3.0, 0.5], 1.0)
        by_row = quick(model(), cv=cv).fit(Z, words, sample_weight=weights)
        # the fits are the same; the judgement weighs rows by sample_weight alone
        coef = [s.best_estimator_.set_params(alpha=1.0) for s in (by_word, by_row)]
        assert_allclose(
            coef[0].fit(Z, words).coef_, coef[1].fit(Z, words, weights).coef_, rtol=1e-6
        )
        assert by_word.alpha_.shape == (4,) and by_word.best_score_ != by_row.best_score_


# ------------------------------------------------------------------ what a walk of the level meets


def test_a_ridge_of_outliers_before_the_valley_does_not_end_the_walk():
    """Decades in a row are worse than no fit here, as a few rows far out are all of it."""
    rng = np.random.RandomState(0)
    Z = np.exp(3.0 * rng.standard_normal((300, 20)))
    y = np.log(Z[:, 0]) + rng.standard_normal(300) > 0
    search = quick(LogisticRegression(), shrinkage="cv", adaptive=False, cv=5).fit(Z, y)
    assert search.cv_results_["mean_fold_score"][0] > -0.6  # no fit: 0.69


def test_folds_in_an_order_that_means_something_are_all_judged():
    """The first two folds here have an error a hundred times that of the rest."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((1500, 10))
    noise = rng.standard_normal(1500)
    y = A.sum(axis=1) + noise * np.where(np.arange(1500) < 600, 0.1, 3.0)
    search = QNBOSearchCV(Ridge()).fit(A, y)
    scores = [search.cv_results_[f"split{k}_test_score"][search.best_index_] for k in range(5)]
    assert np.isfinite(scores).all() and search.best_score_ < -4.0


@pytest.mark.parametrize("n_columns", [10, 500])
def test_folds_in_an_order_that_means_nothing_need_not_all_be_judged(n_columns):
    """However much worse a fit on fewer rows is."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((1500, n_columns))
    search = QNBOSearchCV(Ridge(), penalty="shared")
    search.fit(A, A[:, :10].sum(axis=1) + rng.standard_normal(1500))
    assert np.isnan(search.cv_results_["split4_test_score"]).all()


def test_a_score_that_the_climb_on_all_folds_missed_is_told():
    search = QNBOSearchCV(Ridge())
    search.best_rung_, search.best_index_, search.refit = "raw", 0, True
    table = {"mean_test_score": [-0.45], "mean_fold_score": [-0.69], "se_test_score": [0.03]}
    search.cv_results_ = {key: np.array(value) for key, value in table.items()}
    assert "ended at a worse place" in _optimism(search)
    # a fold that went astray makes the error large; that is no excuse
    table = {"mean_test_score": [-36.7], "mean_fold_score": [-0.64], "se_test_score": [25.0]}
    search.cv_results_ = {key: np.array(value) for key, value in table.items()}
    assert "trust the latter" in _optimism(search)
    # scores near zero are small beside their error, and that says nothing
    table = {"mean_test_score": [0.0022], "mean_fold_score": [0.0288], "se_test_score": [0.039]}
    search.scoring, search.cv_results_ = "r2", {k: np.array(v) for k, v in table.items()}
    assert _optimism(search) is None


@pytest.mark.parametrize("cv", [4, "loo"])
@pytest.mark.parametrize("spread", [1e-6, 1e-9])
def test_a_column_far_from_zero_is_as_good_as_a_centred_one(spread, cv):
    """Doubles tell its values apart, and so does a StandardScaler."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(120, 6))
    y = Z[:, 0] + 0.5 * rng.normal(size=120)
    far = Z.copy()
    far[:, 0] = 1.0 + spread * Z[:, 0]
    near = far - [1.0, 0, 0, 0, 0, 0]
    scores = [QNBOSearchCV(Ridge(), cv=cv, penalty="shared").fit(X, y) for X in (near, far)]
    assert_allclose(scores[1].best_score_, scores[0].best_score_, rtol=1e-4)
    assert scores[1].score(far, y) > 0.8


@pytest.mark.parametrize("value", [0.1, 3.3, -1e8])
def test_a_column_of_one_value_has_no_weight(value):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(60, 3)), np.full(60, value)])
    search = QNBOSearchCV(Ridge(), penalty="shared").fit(X, X[:, 0] + rng.normal(size=60))
    assert abs(search.best_estimator_.coef_[-1] * value) < 1e-10


@pytest.mark.parametrize("value", [0.0, 3.3, -1e5])
def test_a_constant_target_is_fitted_without_a_word(value, recwarn):
    X = np.random.default_rng(0).normal(size=(60, 3))
    search = QNBOSearchCV(Ridge()).fit(X, np.full(60, value))
    assert_allclose(search.predict(X), value)
    assert not recwarn.list and search.best_score_ == 0.0


def test_gaps_of_rounding_are_not_told(recwarn):
    X = np.random.default_rng(0).normal(size=(120, 6)) * np.arange(1, 7)
    search = QNBOSearchCV(Ridge(), penalty="shared").fit(X, X @ [1, 2, 0, 0, 0, 3.0] + 5)
    assert abs(search.best_score_) < 1e-10
    assert not [w for w in recwarn.list if "it had not seen" in str(w.message)]


def test_codata_that_is_the_same_for_all_features_is_told():
    X, y = load_diabetes(return_X_y=True)
    codata = np.column_stack([np.arange(10.0), np.ones(10)])
    search = QNBOSearchCV(Ridge(), codata=codata, penalty="shared", shrinkage=np.inf, cv=3)
    with pytest.warns(UserWarning, match="column 1 of codata is the same for all features"):
        search.fit(X, y)
