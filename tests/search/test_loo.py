"""``cv="loo"``: against RidgeCV and refits, and what a search says of itself then."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_linnerud, load_wine
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, RidgeCV
from sklearn.metrics import get_scorer, make_scorer, mean_absolute_error
from sklearn.model_selection import KFold, LeaveOneOut, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from sk_qnbo import MultiPenaltyRidge, QNBOSearchCV
from sk_qnbo._features import penalty_spec
from sk_qnbo._given import Given
from sk_qnbo._rungs import Rung
from sk_qnbo.problems import loo

X, Y = load_diabetes(return_X_y=True)
X, Y = X[:120] * 50.0, Y[:120]
CANCER = load_breast_cancer(return_X_y=True)
CANCER = StandardScaler().fit_transform(CANCER[0][:120, :6]), CANCER[1][:120]
CANCER = CANCER[0] * np.linspace(1.0, 2.0, 6), CANCER[1]
WIDE = np.random.default_rng(0).normal(size=(40, 90))
WIDE_Y = WIDE[:, :5].sum(axis=1) + np.random.default_rng(1).normal(size=40)


def shared(model=None, **settings):
    """The analogue of RidgeCV: one penalty, no cross-fit."""
    settings = {"penalty": "shared", "shrinkage": np.inf, "scale": 0, "cv": "loo"} | settings
    return QNBOSearchCV(model or Ridge(), **settings)


def table_scores(search):
    return search.cv_results_["mean_test_score"]


# ------------------------------------------------------------------------------------ one penalty


CENTRED = Y - Y.mean()


@pytest.mark.parametrize(
    "rows", [(X, CENTRED), (WIDE, WIDE_Y), (X, np.c_[CENTRED, X[:, 0] - CENTRED])]
)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_shared_penalty_is_as_good_as_the_best_of_a_hundred(rows, fit_intercept):
    model = Ridge(fit_intercept=fit_intercept)
    grid = RidgeCV(alphas=np.logspace(-4, 6, 100), fit_intercept=fit_intercept).fit(*rows)
    search = shared(model).fit(*rows)
    assert search.best_score_ >= grid.best_score_ * (1 + 1e-12)
    assert abs(np.log10(search.alpha_[0] / grid.alpha_)) < 0.1
    again = Ridge(alpha=search.alpha_[0], fit_intercept=fit_intercept)
    left = cross_val_predict(again, *rows, cv=LeaveOneOut())
    assert_allclose(search.best_score_, -np.mean((left - rows[1]) ** 2), rtol=1e-8)


def test_sample_weights_count_in_the_fit_and_in_the_judgement():
    weights = np.random.default_rng(0).uniform(0.2, 3.0, size=len(Y))
    weights[5] = 0.0
    search = shared().fit(X, Y, sample_weight=weights)
    error = []
    for i in range(len(Y)):
        rest = np.arange(len(Y)) != i
        fit = Ridge(alpha=search.alpha_[0]).fit(X[rest], Y[rest], sample_weight=weights[rest])
        error.append((fit.predict(X[[i]])[0] - Y[i]) ** 2)
    assert_allclose(search.best_score_, -np.average(error, weights=weights), rtol=1e-8)
    grid = RidgeCV(alphas=np.logspace(-4, 6, 100)).fit(X, Y, sample_weight=weights)
    assert abs(np.log10(search.alpha_[0] / grid.alpha_)) < 0.2


def test_repeated_rows_of_weight_one_are_left_out_apart():
    doubled = shared().fit(np.r_[X, X], np.r_[Y, Y])
    assert doubled.best_score_ > shared().fit(X, Y).best_score_


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_sparse_columns_give_the_same(fit_intercept):
    thin = np.where(np.abs(WIDE) > 1.0, WIDE, 0.0)
    for rows in ((thin, WIDE_Y), (thin[:, :12], WIDE_Y)):
        dense = shared(Ridge(fit_intercept=fit_intercept)).fit(*rows)
        same = shared(Ridge(fit_intercept=fit_intercept)).fit(sparse.csr_array(rows[0]), rows[1])
        assert_allclose(same.alpha_, dense.alpha_, rtol=1e-3)
        assert_allclose(same.best_score_, dense.best_score_, rtol=1e-6)


@pytest.mark.parametrize("load", [lambda: CANCER, lambda: load_wine(return_X_y=True)])
def test_log_loss_is_near_that_of_refits(load):
    rows = load()
    rows = StandardScaler().fit_transform(rows[0]), rows[1]
    search = shared(LogisticRegression(max_iter=1000)).fit(*rows)

    def refits(factor):
        model = LogisticRegression(C=factor / search.alpha_[0], max_iter=1000, tol=1e-8)
        logs = cross_val_predict(model, *rows, cv=LeaveOneOut(), method="predict_log_proba")
        return np.mean(logs[np.arange(len(rows[1])), rows[1]])

    assert_allclose(search.best_score_, refits(1.0), rtol=0.08)
    # and no other penalty would have been clearly better
    assert refits(1.0) > 1.03 * max(refits(0.5), refits(2.0))


def test_a_ridge_classifier_is_tuned_on_its_squared_error():
    search = shared(RidgeClassifier()).fit(*CANCER)
    signs = 2.0 * CANCER[1] - 1.0
    grid = RidgeCV(alphas=np.logspace(-4, 6, 100)).fit(CANCER[0], signs)
    assert search.best_score_ >= grid.best_score_ * (1 + 1e-12)


def test_fixed_and_free_penalties_take_part():
    search = shared(unpenalized={0: 0.0, 1: 3.0}).fit(X, Y)
    assert search.alpha_[0] == 0.0 and search.alpha_[1] == pytest.approx(3.0)
    model = MultiPenaltyRidge(alpha=search.alpha_)
    score = cross_val_score(model, X, Y, cv=LeaveOneOut(), scoring="neg_mean_squared_error")
    assert_allclose(search.best_score_, score.mean(), rtol=1e-6)


# ------------------------------------------------------------------------------------- the ladder


@pytest.mark.filterwarnings("ignore:rung .* scored:UserWarning")  # 40 rows overfit their folds
@pytest.mark.filterwarnings("ignore:the common level")  # and wide ones may interpolate
@pytest.mark.parametrize(
    "model, rows",
    [
        (Ridge(), (X, Y)),
        (Ridge(), (WIDE, WIDE_Y)),
        (LogisticRegression(), CANCER),
        (LogisticRegression(), load_wine(return_X_y=True)),
    ],
)
def test_the_ladder_is_cross_fitted_on_default_folds(model, rows):
    search = QNBOSearchCV(model, cv="loo").fit(*rows)
    folds = QNBOSearchCV(model, cv=5).fit(*rows)
    assert search.n_splits_ == 5
    assert sorted(search.cv_results_) == sorted(folds.cv_results_)
    rungs = [list(one.cv_results_["rung"]) for one in (search, folds)]
    both = min(map(len, rungs))  # how far freedom pays may differ
    assert rungs[0][:both] == rungs[1][:both] and both >= 5
    assert "split4_test_score" in search.cv_results_
    # the same rows judge, so the scores can be compared
    assert_allclose(table_scores(search)[:both], table_scores(folds)[:both], rtol=0.4)


def test_believed_scores_are_those_of_left_out_rows():
    search = QNBOSearchCV(Ridge(), cv="loo", adaptive=False).fit(X, Y)
    for alpha, believed in zip(
        search.cv_results_["param_alpha"], search.cv_results_["mean_fold_score"], strict=True
    ):
        score = cross_val_score(
            MultiPenaltyRidge(alpha=alpha), X, Y, cv=LeaveOneOut(), scoring="neg_mean_squared_error"
        )
        assert_allclose(believed, score.mean(), rtol=1e-5)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("model", [Ridge(), LogisticRegression()])
def test_a_pilot_has_not_seen_the_rows_that_its_penalties_are_judged_on(model, twice):
    y = Y if isinstance(model, Ridge) else (Y > np.median(Y)).astype(int)
    search = QNBOSearchCV(model, cv="loo")

    def pilots(target):
        given = Given.of(search, X, target, {})
        source = given.source(True)
        spec, *_ = penalty_spec(search, source, True)
        stack = given.tuning.stack(source, spec, precise=True)
        simple = SimpleNamespace(rung=Rung("simple"), theta=np.zeros(3 + X.shape[1]), base=None)
        theta = np.r_[0.0, 0.0, 0.5, np.zeros(X.shape[1])]
        second = SimpleNamespace(rung=Rung("second"), theta=theta, base=simple)
        return (stack.pilot(second) if twice else stack.pilot(simple)), given.tuning

    before, tuning = pilots(y)
    own = tuning.valid[0]
    changed = y.copy()
    changed[own] = changed[own][::-1]
    after, again = pilots(changed)
    same = (tuning.valid[0] == again.valid[0]).all()
    assert before.shape == (5, X.shape[1])
    if same:  # stratified folds depend on the classes
        assert_allclose(after[0], before[0], atol=1e-4)
    assert np.abs(after[1:] - before[1:]).max() > 1e-2


def test_one_penalty_a_feature_lowers_the_left_out_error():
    # no prior and no adaptive column, which is that of pilots in the score, of all rows in alpha_
    free = QNBOSearchCV(Ridge(), shrinkage=0, cv="loo").fit(X, Y)
    score = cross_val_score(
        MultiPenaltyRidge(alpha=free.alpha_), X, Y, cv=LeaveOneOut(),
        scoring="neg_mean_squared_error",
    )  # fmt: skip
    assert_allclose(free.best_score_, score.mean(), rtol=1e-5)
    assert free.best_score_ > shared(scale="learn").fit(X, Y).best_score_


@pytest.mark.parametrize("method", ["exact", "hoag", "qnbo-sr1"])
def test_every_method_finds_it(method):
    want = shared(LogisticRegression()).fit(*CANCER)
    got = shared(LogisticRegression(), method=method).fit(*CANCER)
    assert_allclose(got.best_score_, want.best_score_, rtol=1e-4)


# ----------------------------------------------------------------------------- what is said of it


def test_without_a_cross_fit_all_rows_are_one_split():
    search = shared().fit(X, Y)
    assert search.n_splits_ == 1
    assert search.cv_results_["split0_test_score"] == search.best_score_
    assert search.cv_results_["se_test_score"][0] > 0
    assert len(search.history_["value"]) >= 1


@pytest.mark.parametrize("scoring", ["r2", make_scorer(mean_absolute_error)])
def test_scorers_see_left_out_predictions(scoring):
    search = shared(scoring=scoring).fit(X, Y)
    left = cross_val_predict(Ridge(alpha=search.alpha_[0]), X, Y, cv=LeaveOneOut())
    want = get_scorer("r2")._score_func(Y, left) if scoring == "r2" else 0.0
    want = want or mean_absolute_error(Y, left)
    assert_allclose(search.best_score_, want, rtol=1e-8)


def test_several_scorers_of_classes():
    search = shared(
        LogisticRegression(), scoring=["roc_auc", "accuracy", "neg_log_loss"], refit="roc_auc"
    ).fit(*CANCER)
    loss = shared(LogisticRegression()).fit(*CANCER)
    table = search.cv_results_
    assert_allclose(table["mean_test_neg_log_loss"], loss.best_score_, rtol=1e-8)
    assert 0.5 < search.best_score_ == table["mean_test_roc_auc"][0] <= 1.0
    wine = load_wine(return_X_y=True)
    assert shared(LogisticRegression(), scoring="accuracy", scale=1).fit(*wine).best_score_ > 0.9


def test_a_scorer_chooses_the_rung_by_cross_fit():
    search = QNBOSearchCV(Ridge(), cv="loo", scoring="r2", adaptive=False).fit(X, Y)
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()
    assert np.isfinite(search.cv_results_["mean_fold_score"]).all()


def test_several_targets():
    rows = load_linnerud(return_X_y=True)
    search = shared(scale=1).fit(*rows)
    left = cross_val_predict(MultiPenaltyRidge(alpha=search.alpha_), *rows, cv=LeaveOneOut())
    assert_allclose(search.best_score_, -np.mean((left - rows[1]) ** 2), rtol=1e-6)


def test_class_weights_belong_to_the_fit_alone():
    plain = shared(LogisticRegression()).fit(*CANCER)
    search = shared(LogisticRegression(class_weight={0: 5.0, 1: 1.0})).fit(*CANCER)
    assert search.best_score_ < plain.best_score_


# ----------------------------------------------------------------------------- what is not possible


def test_transformers_that_learn_are_refused():
    for step in (StandardScaler(), make_pipeline(Normalizer(), PCA(3))):
        with pytest.raises(ValueError, match="cv='loo' fits once, but the pipeline step .* cv=5"):
            shared(make_pipeline(step, Ridge())).fit(X, Y)


@pytest.mark.parametrize("shrinkage", ["cv", np.inf])
def test_stateless_transformers_are_welcome(shrinkage):
    settings = {"shrinkage": shrinkage, "scale": 1, "adaptive": False}
    plain = shared(**settings).fit(np.abs(X) ** 0.5, Y)
    root = FunctionTransformer(lambda Z: np.abs(Z) ** 0.5)
    piped = shared(make_pipeline("passthrough", root, Ridge()), **settings).fit(X, Y)
    assert_allclose(piped.alpha_, plain.alpha_, rtol=1e-6)
    assert_allclose(piped.best_score_, plain.best_score_, rtol=1e-6)
    assert piped.predict(X).shape == Y.shape


def test_stateless_transformers_and_pilots():
    plain = QNBOSearchCV(Ridge(), penalty="shared", cv="loo").fit(X * 2.0, Y)
    double = FunctionTransformer(lambda Z: Z * 2.0)
    piped = QNBOSearchCV(make_pipeline(double, Ridge()), penalty="shared", cv="loo").fit(X, Y)
    assert_allclose(table_scores(piped), table_scores(plain), rtol=1e-3)


def test_groups_cannot_be_left_out_row_by_row():
    with pytest.raises(ValueError, match="cannot keep groups together; use cv=GroupKFold"):
        shared().fit(X, Y, groups=np.arange(len(Y)) // 2)


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="cv must be 'loo', a number of folds"):
        shared(cv="leave-one-out").fit(X, Y)


def test_sizes_without_a_dense_factor_are_refused(monkeypatch):
    monkeypatch.setattr(loo, "MAX_SIDE", 8)
    with pytest.raises(ValueError, match="120 rows and 11 columns.*Use cv=5"):
        shared().fit(X, Y)


def test_a_row_that_alone_determines_a_free_column():
    dummy = np.c_[X, np.arange(len(Y)) == 7]
    with pytest.raises(ValueError, match="leaves out row 7 .* not determined .1 such.*cv=5"):
        shared(unpenalized=[10]).fit(dummy, Y)
    shared(unpenalized={10: 1e-3}).fit(dummy, Y)
    shared(unpenalized=[9]).fit(dummy, Y)


@pytest.mark.parametrize("classes", [2, 3])
def test_free_columns_that_separate_the_classes(classes):
    """The fit they ask for is infinitely far; a Newton step from where it stopped said -9."""
    A, y = load_iris(return_X_y=True)
    A, y = A[y < classes], y[y < classes]
    model = LogisticRegression()
    with pytest.raises(ValueError, match="separate the classes.*unpenalized={column: 1e-3}.*cv=5"):
        shared(model, unpenalized=[2]).fit(A, y)
    assert shared(model, scoring="neg_log_loss", unpenalized={2: 1e-2}).fit(A, y).best_score_ > -0.2
    # widths of the sepals overlap
    assert shared(model, scoring="neg_log_loss", unpenalized=[1]).fit(A, y).best_score_ > -0.4


def test_a_row_alone_in_its_class():
    y = np.zeros(30, dtype=int)
    y[3] = 1
    with pytest.raises(ValueError, match="leave-one-out of row 3 trains on the one class"):
        shared(LogisticRegression()).fit(X[:30], y)
    y[:15] = 2
    y[20] = 1
    with pytest.warns(UserWarning, match="class 1 has no training row"):
        shared(LogisticRegression()).fit(X[:30], np.where(y == 1, 0, y) + (np.arange(30) == 20))


def test_metadata_routing_knows_no_splitter():
    with sklearn.config_context(enable_metadata_routing=True):
        model = Ridge().set_fit_request(sample_weight=True)
        weights = np.linspace(0.5, 2.0, len(Y))
        routed = shared(model).fit(X, Y, sample_weight=weights)
    assert_allclose(routed.alpha_, shared().fit(X, Y, sample_weight=weights).alpha_, rtol=1e-8)


def test_it_clones_and_nests():
    search = shared(scale=1)
    assert clone(search).cv == "loo"
    assert cross_val_score(search, X, Y, cv=KFold(3)).shape == (3,)


@pytest.mark.filterwarnings("ignore:The least populated class", "ignore:the class .* has no")
def test_a_class_that_outer_rows_lack_costs_no_more_than_itself():
    """Its intercept has a curvature of rounding; leverages that divide by it were no numbers."""
    X, y = load_wine(return_X_y=True)
    few = np.r_[np.flatnonzero(y < 2), np.flatnonzero(y == 2)[:1]]
    search = QNBOSearchCV(LogisticRegression(), cv="loo").fit(X[few], y[few])
    assert -0.5 < search.best_score_ < 0.0


@pytest.mark.parametrize("scale", [0, 1])
@pytest.mark.parametrize("to_format", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(("odd", "seed"), [(1e-6, 0), (1e-6, 2), (1e6, 0), (1e6, 2)])
@pytest.mark.filterwarnings("ignore:the common level .* ended at the lower bound")
def test_a_column_of_another_size_does_not_lead_ridge_into_rounding(odd, seed, scale, to_format):
    """What a row leaves of itself is as small as the penalties where columns are more than rows."""
    rng = np.random.default_rng(seed)
    column = np.append(odd, np.zeros(39)) if odd < 1 else odd * rng.standard_normal(40)
    A, y = np.column_stack([rng.standard_normal((40, 300)), column]), rng.standard_normal(40)
    search = shared(scale=scale).fit(to_format(A), y)
    model = MultiPenaltyRidge(alpha=search.alpha_)
    score = cross_val_score(model, A, y, cv=LeaveOneOut(), scoring="neg_mean_squared_error").mean()
    assert_allclose(search.best_score_, score, rtol=1e-4)


def test_ridge_of_very_many_columns_needs_no_matrix_of_them():
    A = sparse.random(40, 20_000, 0.01, format="csr", random_state=0)
    search = QNBOSearchCV(Ridge(), cv="loo", shrinkage=1.0, adaptive=False, max_iter=2)
    tracemalloc.start()
    try:
        search.fit(A, np.random.default_rng(0).standard_normal(40))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e8  # a square matrix of the columns takes 3.2e9
