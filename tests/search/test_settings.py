"""What the user may ask for: penalties, folds, weights, metrics, pipelines, metadata."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_linnerud
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import get_scorer, make_scorer, mean_absolute_error
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from sk_qnbo import MultiPenaltyLogisticRegression, MultiPenaltyRidge, QNBOSearchCV

X, Y = load_diabetes(return_X_y=True)
X, Y = X[:150] * 50.0, Y[:150]
FRAME = pd.DataFrame(X, columns=load_diabetes().feature_names)
NAMES = list(FRAME.columns)
CANCER = load_breast_cancer(return_X_y=True)
CANCER = CANCER[0][:150, :6], CANCER[1][:150]


def quick(model=None, **settings):
    """A search without a cross-fit."""
    settings = {"shrinkage": np.inf, "scale": 1, "cv": 3} | settings
    return QNBOSearchCV(model or Ridge(), **settings)


def relative(alpha, X=X):
    """Penalties over the columns' variances."""
    return alpha / np.var(X, axis=0)


# ---------------------------------------------------------------------------------------- penalties


def test_a_shared_penalty_is_one_for_standardised_columns():
    shared = quick(penalty="shared").fit(X, Y)
    assert np.ptp(np.log(relative(shared.alpha_))) < 1e-6
    assert (
        np.ptp(quick(penalty="shared", scale=0, tol=1e-6).fit(X, Y).alpha_)
        < 1e-9 * shared.alpha_.max()
    )
    assert shared.group_labels_ is None and shared.groups_ == []


@pytest.mark.parametrize(
    "penalty",
    [
        np.repeat(["b", "a"], 5),
        pd.Series(np.repeat(["b", "a"], 5), index=NAMES)[::-1],
        {"b": NAMES[:5], "a": NAMES[5:]},
        {"b": range(5), "a": np.arange(5, 10)},
        {"b": np.arange(10) < 5, "a": np.arange(10) >= 5},
    ],
    ids=["labels", "series", "names", "positions", "masks"],
)
def test_groups_share_a_penalty_however_they_are_named(penalty):
    search = quick(penalty=penalty, shrinkage=1.0, adaptive=False).fit(FRAME, Y)
    found = np.log(relative(search.alpha_))
    assert np.ptp(found[:5]) < 1e-6 and np.ptp(found[5:]) < 1e-6
    assert abs(found[0] - found[5]) > 1e-3
    assert [search.groups_[i] for i in search.group_labels_] == ["b"] * 5 + ["a"] * 5


def test_per_feature_penalties_differ():
    search = quick(shrinkage=1.0).fit(FRAME, Y)
    assert len(np.unique(relative(search.alpha_).round(6))) == 10
    assert search.groups_ == NAMES


@pytest.mark.parametrize("how", ["names", "positions", "negative", "mask", "mapping"])
def test_unpenalized_columns_stay_so(how):
    mask = np.isin(NAMES, ["sex", "s6"])
    unpenalized = {
        "names": ["sex", "s6"], "positions": [1, 9], "negative": (1, -1), "mask": mask,
        "mapping": {"sex": 0.0, 9: 0.0},
    }[how]  # fmt: skip
    search = quick(unpenalized=unpenalized).fit(FRAME, Y)
    assert_array_equal(search.alpha_ == 0, mask)
    assert_array_equal(search.best_params_["alpha"], search.alpha_)


def test_a_fixed_penalty_is_kept_and_the_model_is_its_minimum():
    search = quick(unpenalized={"bmi": 3.5}, penalty="shared").fit(FRAME, Y)
    assert search.alpha_[NAMES.index("bmi")] == 3.5
    divided = Ridge(alpha=1.0).fit(X / np.sqrt(search.alpha_), Y)
    found = search.best_estimator_.coef_ * np.sqrt(search.alpha_)
    assert_allclose(found, divided.coef_, rtol=1e-6)


def test_a_mapping_may_leave_out_fixed_columns():
    groups = {"a": NAMES[1:5], "b": NAMES[5:]}
    search = quick(penalty=groups, unpenalized="age", shrinkage=0.0).fit(FRAME, Y)
    assert search.alpha_[0] == 0 and (search.alpha_[1:] > 0).all()


def test_codata_are_matched_by_name_and_explain_the_penalties():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(150, 10))
    y = Z[:, :3] @ [3.0, -3.0, 3.0] + rng.normal(size=150)
    frame = pd.DataFrame(Z, columns=NAMES)
    known = np.r_[1.0, 1.0, 1.0, np.zeros(7)]
    plain = quick(codata=known, penalty="shared").fit(frame, y)
    assert plain.alpha_[:3].max() < 0.1 * plain.alpha_[3:].min()
    named = pd.DataFrame({"known": known}, index=NAMES)[::-1]
    assert_allclose(quick(codata=named, penalty="shared").fit(frame, y).alpha_, plain.alpha_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("shrinkage, last", [(0, "tau=0"), (2.5, "tau=2.5"), (np.inf, "shared")])
def test_a_number_for_shrinkage_ends_at_its_rung(shrinkage, last):
    search = quick(shrinkage=shrinkage).fit(X, Y)
    assert search.best_rung_ == last and search.best_index_ == len(search.cv_results_["rung"]) - 1
    assert search.best_score_ == search.cv_results_["mean_fold_score"][-1]


# ------------------------------------------------------------------------------------------- folds

GROUPS = np.arange(150) % 6
SPLITTERS = {
    "KFold": KFold(3, shuffle=True, random_state=0),
    "RepeatedKFold": RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
    "ShuffleSplit": ShuffleSplit(3, random_state=0),
    "TimeSeriesSplit": TimeSeriesSplit(4),
    "GroupKFold": GroupKFold(3),
    "PredefinedSplit": PredefinedSplit(GROUPS // 2),
    "list": list(KFold(3).split(X)),
    "masks": [(GROUPS > k, GROUPS == k) for k in range(4)],
}


@pytest.mark.parametrize("name", SPLITTERS)
def test_any_splitter_serves(name):
    groups = {"groups": GROUPS} if name == "GroupKFold" else {}
    search = QNBOSearchCV(Ridge(), penalty="shared", cv=SPLITTERS[name]).fit(X, Y, **groups)
    assert np.isfinite(search.best_score_) and search.n_splits_ >= 2


def test_groups_are_kept_together():
    groups = np.arange(150) // 10
    wanted = list(GroupKFold(3).split(X, Y, groups))
    searches = [
        quick(cv=GroupKFold(3)).fit(X, Y, groups=groups),
        quick(cv=wanted).fit(X, Y),
    ]
    assert_array_equal(searches[0].alpha_, searches[1].alpha_)


# ----------------------------------------------------------------------------------------- metrics


def test_a_scorer_is_given_what_grid_search_would_give_it():
    seen = []

    def scorer(model, frame, y):
        assert list(frame.columns) == NAMES and isinstance(model, Pipeline)
        seen.append(len(y))
        return -mean_absolute_error(y, model.predict(frame))

    model = make_pipeline(StandardScaler(), Ridge())
    search = quick(model, scoring=scorer, penalty="shared").fit(FRAME, Y)
    assert sorted(set(seen)) == [50]
    by_name = quick(model, scoring="neg_mean_absolute_error", penalty="shared").fit(FRAME, Y)
    assert_allclose(search.best_score_, by_name.best_score_, rtol=1e-10)
    made = make_scorer(mean_absolute_error, greater_is_better=False)
    plain = quick(scoring=made, penalty="shared").fit(FRAME, Y)
    assert_allclose(plain.best_score_, by_name.best_score_, rtol=1e-4)
    assert plain.score(FRAME, Y) == get_scorer("neg_mean_absolute_error")(plain, FRAME, Y)


@pytest.mark.parametrize(
    "scoring",
    [
        ["accuracy", "roc_auc"],
        ("accuracy", "roc_auc"),
        {"accuracy": "accuracy", "roc_auc": "roc_auc"},
        lambda m, X, y: {"accuracy": m.score(X, y), "roc_auc": get_scorer("roc_auc")(m, X, y)},
    ],
    ids=["list", "tuple", "dict", "callable"],
)
def test_several_metrics_and_one_that_decides(scoring):
    search = quick(LogisticRegression(), scoring=scoring, refit="roc_auc").fit(*CANCER)
    table = search.cv_results_
    assert search.best_score_ == table["mean_test_roc_auc"][search.best_index_]
    assert "mean_test_accuracy" in table and search.multimetric_
    assert_allclose(search.score(*CANCER), get_scorer("roc_auc")(search, *CANCER))


def test_several_metrics_without_refit_choose_nothing():
    search = quick(LogisticRegression(), scoring=["accuracy", "roc_auc"], refit=False).fit(*CANCER)
    assert not hasattr(search, "best_index_") and not hasattr(search, "alpha_")
    assert search.cv_results_["mean_test_accuracy"][0] > 0.8


def test_a_callable_refit_chooses_the_row():
    search = QNBOSearchCV(Ridge(), penalty="shared", cv=3, refit=lambda table: 1).fit(X, Y)
    assert search.best_index_ == 1 and search.best_rung_ == "raw"
    assert np.ptp(search.alpha_) < 1e-9 * search.alpha_.max()
    assert not hasattr(search, "best_score_")


def test_columns_on_one_scale_have_no_rungs_of_their_scale():
    """Whatever the exponent, the model is the same then: it is tuned once."""
    scaled = make_pipeline(StandardScaler(), Ridge())
    search = QNBOSearchCV(scaled, cv=3, penalty="shared").fit(*CANCER)
    assert list(search.cv_results_["rung"]) == ["standardised", "adaptive", "adaptive twice"]
    fixed = QNBOSearchCV(scaled, cv=3, penalty="shared", scale=1).fit(*CANCER)
    assert_allclose(search.alpha_, fixed.alpha_)
    raw = QNBOSearchCV(Ridge(), cv=3, penalty="shared").fit(*CANCER)
    assert list(raw.cv_results_["rung"])[:3] == ["standardised", "raw", "learned scale"]


@pytest.mark.parametrize("sd, one", [(1.05, True), (1.2, False)])
def test_one_scale_is_within_a_fifth_of_the_variance(sd, one):
    X = StandardScaler().fit_transform(np.random.default_rng(0).normal(size=(600, 5)))
    search = QNBOSearchCV(Ridge(), cv=3, penalty="shared", shrinkage=np.inf)
    y = X[:, 0] + np.random.default_rng(1).normal(size=600)
    search.fit(X * [1.0, 1.0, 1.0, 1.0, sd], y)
    assert ("raw" in search.cv_results_["rung"]) is not one


# --------------------------------------------------------------------------------- models' settings


def test_what_the_model_says_is_honoured():
    search = quick(Ridge(fit_intercept=False)).fit(X, Y)
    assert search.best_estimator_.intercept_ == 0
    model = LogisticRegression(fit_intercept=False, class_weight={0: 3.0}, max_iter=77)
    search = quick(model).fit(*CANCER)
    best = search.best_estimator_
    assert (best.max_iter, best.class_weight) == (77, {0: 3.0}) and best.intercept_[0] == 0
    model = MultiPenaltyRidge(fit_intercept=False, max_iter=55, tol=1e-9)
    best = quick(model).fit(X, Y).best_estimator_
    assert (best.fit_intercept, best.max_iter, best.tol) == (False, 55, 1e-9)


@pytest.mark.parametrize("tol, kept", [(0.5, 1e-8), (1e-4, 1e-8), (1e-10, 1e-10), (0.0, 1e-12)])
def test_a_stricter_tolerance_holds_for_the_refit(tol, kept):
    for model, data in ((Ridge(tol=tol), (X, Y)), (LogisticRegression(tol=tol), CANCER)):
        assert quick(model).fit(*data).best_estimator_.tol == kept
    assert quick(MultiPenaltyRidge(tol=0.5)).fit(X, Y).best_estimator_.tol == 0.5


@pytest.mark.filterwarnings("ignore:MultiPenaltyLogisticRegression stopped after 1 steps")
def test_limits_of_the_estimator_hold_for_the_refit_alone():
    free = quick(LogisticRegression(max_iter=1000)).fit(*CANCER)
    short = quick(LogisticRegression(max_iter=1, tol=0.5)).fit(*CANCER)
    assert_array_equal(short.alpha_, free.alpha_)
    assert short.best_score_ == free.best_score_
    assert short.best_estimator_.n_iter_ == 1 < free.best_estimator_.n_iter_
    model = MultiPenaltyLogisticRegression(max_iter=1)
    assert_array_equal(quick(model).fit(*CANCER).alpha_, free.alpha_)


def test_a_refit_that_is_cut_short_is_told():
    with pytest.warns(ConvergenceWarning, match="stopped after 1 steps.*Raise max_iter"):
        quick(LogisticRegression(max_iter=1)).fit(*CANCER)


def test_a_tolerance_that_is_none_is_refused():
    with pytest.raises(TypeError, match="LogisticRegression.tol"):
        quick(LogisticRegression(tol="tight")).fit(*CANCER)
    with pytest.raises(ValueError, match="Ridge.tol == -1"):
        quick(Ridge(tol=-1)).fit(X, Y)


def test_a_deterministic_method_leaves_the_seed_alone():
    generator = np.random.RandomState(0)
    before = generator.get_state()[1].copy()
    seeded = quick(shrinkage="cv", random_state=generator, max_iter=5, penalty="shared").fit(X, Y)
    assert_array_equal(generator.get_state()[1], before)
    other = quick(shrinkage="cv", random_state=7, max_iter=5, penalty="shared").fit(X, Y)
    assert_array_equal(seeded.alpha_, other.alpha_)


def test_targets_of_all_kinds():
    assert quick().fit(*load_linnerud(return_X_y=True)).best_estimator_.coef_.shape == (3, 3)
    assert (
        quick().fit(X, Y[:, None]).predict(X).shape == Ridge().fit(X, Y[:, None]).predict(X).shape
    )
    Z, y = load_iris(return_X_y=True)
    labels = np.array(["x", "y", "z"])[y]
    for model in (LogisticRegression(), RidgeClassifier(), MultiPenaltyLogisticRegression()):
        search = quick(model).fit(Z, labels)
        assert_array_equal(search.classes_, ["x", "y", "z"])
        assert search.score(Z, labels) > 0.8
        assert_allclose(search.alpha_, quick(model).fit(Z, y).alpha_)


# ---------------------------------------------------------------------------------------- pipelines

TEXT = [("good fine " if i % 2 else "bad poor ") + f"word{i % 7} rare{i}" for i in range(60)]
MIXED = pd.DataFrame({"size": X[:, 0], "kind": [f"kind{i % 30}" for i in range(150)]})


def uneven(Z):
    return Z[:, : 2 + (len(Z) > 100)]


def test_a_vocabulary_may_differ_from_fold_to_fold():
    labels = [i % 2 if i % 5 else 1 - i % 2 for i in range(60)]
    search = quick(make_pipeline(TfidfVectorizer(), LogisticRegression()), scale=0, adaptive=False)
    search.fit(TEXT, labels)
    assert search.alpha_.shape == (len(search.best_estimator_[0].vocabulary_),)
    assert search.predict(["good unseen"])[0] == 1
    assert not hasattr(search, "n_features_in_")


@pytest.mark.filterwarnings("ignore:the scale exponent")  # of columns of ones and a column of sizes
def test_categories_selections_and_components_may_differ_too():
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["kind"]), remainder=StandardScaler()
    )
    cv = KFold(3, shuffle=True, random_state=0)
    search = QNBOSearchCV(make_pipeline(columns, Ridge()), cv=cv).fit(MIXED, Y)
    assert search.alpha_.shape == (31,) and list(search.feature_names_in_) == ["size", "kind"]
    for step in (SelectKBest(k=3), PCA(0.7)):
        model = make_pipeline(StandardScaler(), step, Ridge())
        search = QNBOSearchCV(model, cv=cv, penalty="shared").fit(X, Y)
        assert search.alpha_.shape == search.best_estimator_[-1].coef_.shape


def test_columns_that_only_folds_have_do_not_show():
    model = make_pipeline(SelectKBest(k=2), Ridge())
    groups = quick(model, penalty=["a", "b"], codata=[1.0, 2.0], shrinkage=1.0).fit(FRAME, Y)
    assert groups.alpha_.shape == (2,) and groups.groups_ == ["a", "b"]
    assert_array_equal(groups.group_labels_, [0, 1])


def test_names_that_reach_the_model_can_be_named():
    columns = make_column_transformer((StandardScaler(), ["age", "bmi"]), ("passthrough", ["sex"]))
    model = make_pipeline(columns, Ridge())
    search = quick(model, unpenalized=["standardscaler__bmi"]).fit(FRAME, Y)
    assert_array_equal(search.alpha_ == 0, [False, True, False])
    assert_array_equal(search.best_params_["ridge__alpha"], search.alpha_)


def test_transformers_without_names_are_matched_by_position():
    model = make_pipeline(FunctionTransformer(np.log1p), Ridge())
    assert quick(model).fit(np.abs(X), Y).alpha_.shape == (10,)
    with pytest.raises(ValueError, match="no names to match them by"):
        quick(make_pipeline(FunctionTransformer(uneven), Ridge()), cv=3).fit(X, Y)


def test_columns_with_equal_names_are_told_apart():
    class Twins(FunctionTransformer):
        def get_feature_names_out(self, input_features=None):
            return np.array(["a", "a"], dtype=object)

    model = make_pipeline(Twins(lambda Z: Z[:, :2]), Ridge())
    assert quick(model).fit(X, Y).groups_ == ["a", "a (2)"]


@pytest.mark.parametrize("dense", [True, False])
def test_set_output_and_sparse_output_are_respected(dense):
    if dense:
        seen = []

        def look(frame):
            seen.append(type(frame))
            return frame

        model = make_pipeline(
            StandardScaler().set_output(transform="pandas"), FunctionTransformer(look), Ridge()
        )
        assert quick(model).fit(FRAME, Y).alpha_.shape == (10,)
        assert set(seen) == {pd.DataFrame}
    else:
        model = make_pipeline(FunctionTransformer(sparse.csr_matrix), Ridge())
        assert_allclose(
            quick(model, penalty="shared", cv=3).fit(X, Y).alpha_,
            quick(penalty="shared", cv=3).fit(X, Y).alpha_, rtol=0.05,
        )  # fmt: skip


def test_pipelines_that_only_hold_a_model_and_nested_ones():
    plain = quick(penalty="shared").fit(FRAME, Y)
    for model, key in [
        (make_pipeline(Ridge()), "ridge__alpha"),
        (make_pipeline("passthrough", None, Ridge()), "ridge__alpha"),
        (make_pipeline(make_pipeline("passthrough", Ridge())), "pipeline__ridge__alpha"),
    ]:
        search = quick(model, penalty="shared").fit(FRAME, Y)
        assert_array_equal(search.alpha_, plain.alpha_)
        assert list(search.best_params_) == [key]
    nested = make_pipeline(StandardScaler(), make_pipeline(PCA(3), Ridge()))
    assert quick(nested).fit(X, Y).alpha_.shape == (3,)


def test_a_pipeline_keeps_its_cache(tmp_path):
    model = make_pipeline(StandardScaler(), Ridge(), memory=str(tmp_path))
    search = quick(model).fit(X, Y)
    assert search.best_estimator_.memory == str(tmp_path) and any(tmp_path.iterdir())


# ----------------------------------------------------------------------------------------- metadata


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


WEIGHTS = np.random.default_rng(0).uniform(0.5, 2.0, size=150)


def test_weights_by_name_reach_the_last_step():
    wanted = quick(penalty="shared", scale=0, tol=1e-6).fit(X, Y, sample_weight=WEIGHTS)
    assert (
        np.abs(
            wanted.alpha_ / quick(penalty="shared", scale=0, tol=1e-6).fit(X, Y).alpha_ - 1
        ).max()
        > 1e-3
    )
    model = make_pipeline(FunctionTransformer(), Ridge())
    search = quick(model, penalty="shared", scale=0, tol=1e-6).fit(X, Y, sample_weight=WEIGHTS)
    assert_allclose(search.alpha_, wanted.alpha_, rtol=1e-3)
    assert_allclose(search.predict(X), wanted.predict(X), rtol=1e-3)


def weighted(step=None, **params):
    """The penalties of a pipeline whose fit gets such parameters, and its fitted scaler."""
    model = make_pipeline(StandardScaler(), Ridge())
    model = model if step is None else make_pipeline(StandardScaler(with_std=False), model)
    search = quick(model, penalty="shared", scale=0, tol=1e-6).fit(X, Y, **params)
    scaler = search.best_estimator_[0] if step is None else search.best_estimator_[-1][0]
    return search.alpha_, scaler.mean_


def test_parameters_of_steps_are_named_as_in_grid_search():
    plain, mean = weighted(sample_weight=WEIGHTS)
    by_step = weighted(ridge__sample_weight=WEIGHTS)
    assert_array_equal(by_step[0], plain)
    assert_allclose(by_step[1], mean)
    both, mean = weighted(ridge__sample_weight=WEIGHTS, standardscaler__sample_weight=WEIGHTS)
    assert_allclose(mean, np.average(X, axis=0, weights=WEIGHTS))
    assert not np.array_equal(both, plain)  # scaled by weighted variances in the folds too


def test_parameters_of_nested_steps_are_named_along_their_way():
    outer = np.average(X, axis=0, weights=WEIGHTS)
    names = "standardscaler__sample_weight", "pipeline__standardscaler__sample_weight"
    for name, wanted in zip(names, (X.mean(axis=0) - outer, outer - X.mean(axis=0))):
        params = {name: WEIGHTS, "pipeline__ridge__sample_weight": WEIGHTS}
        _, mean = weighted("nested", **params)
        assert_allclose(mean, wanted, atol=1e-9)


@pytest.mark.parametrize("name", ["ridge__flag", "scaler__sample_weight", "standardscaler", "w"])
def test_parameters_that_no_step_takes_are_told_with_those_that_work(name):
    told = f"fit got .'{name}'.*sample_weight .or ridge__sample_weight., groups, and <step>__"
    with pytest.raises(TypeError, match=told):
        weighted(**{name: WEIGHTS})


def test_the_same_weights_twice_are_told():
    with pytest.raises(TypeError, match="sample_weight and ridge__sample_weight.*give one"):
        weighted(sample_weight=WEIGHTS, ridge__sample_weight=WEIGHTS)


def test_routed_weights_reach_model_transformer_scorer_and_score(routing):
    scaler = StandardScaler().set_fit_request(sample_weight=True)
    model = Ridge().set_fit_request(sample_weight=True)
    scorer = get_scorer("neg_mean_squared_error").set_score_request(sample_weight=True)
    search = quick(
        make_pipeline(scaler, model), scoring=scorer, penalty="shared", scale=0, tol=1e-6
    )
    search.fit(X, Y, sample_weight=WEIGHTS)
    smooth = quick(make_pipeline(scaler, model), penalty="shared", scale=0, tol=1e-6)
    smooth.fit(X, Y, sample_weight=WEIGHTS)
    assert_allclose(search.best_score_, smooth.best_score_, rtol=1e-6)
    assert_allclose(search.best_estimator_[0].mean_, np.average(X, axis=0, weights=WEIGHTS))
    residual = np.square(search.predict(X) - Y)
    got = search.score(X, Y, sample_weight=WEIGHTS)
    assert_allclose(got, -np.average(residual, weights=WEIGHTS))
    unweighted = quick(
        make_pipeline(StandardScaler(), Ridge()), penalty="shared", scale=0, tol=1e-6
    )
    assert abs(search.best_score_ / unweighted.fit(X, Y).best_score_ - 1) > 1e-4


def test_routed_weights_under_another_name(routing):
    model = Ridge().set_fit_request(sample_weight="importance")
    by_alias = quick(
        make_pipeline(FunctionTransformer(), model), penalty="shared", scale=0, tol=1e-6
    )
    by_alias.fit(X, Y, importance=WEIGHTS)
    plain = quick(Ridge().set_fit_request(sample_weight=True), penalty="shared", scale=0, tol=1e-6)
    plain.fit(X, Y, sample_weight=WEIGHTS)
    assert_allclose(by_alias.alpha_, plain.alpha_, rtol=1e-3)


def test_routed_groups_reach_the_splitter(routing):
    groups = np.arange(150) // 10
    search = quick(cv=GroupKFold(3)).fit(X, Y, groups=groups)
    wanted = quick(cv=list(GroupKFold(3).split(X, Y, groups))).fit(X, Y)
    assert_array_equal(search.alpha_, wanted.alpha_)


def test_weights_that_nobody_asked_for_are_told(routing):
    with pytest.raises(Exception, match="sample_weight.* are passed but are not explicitly set"):
        quick().fit(X, Y, sample_weight=WEIGHTS)
    with pytest.raises(TypeError, match="unexpected|got unexpected argument"):
        quick().fit(X, Y, groups=GROUPS)


def test_score_takes_weights_without_routing():
    search = quick(penalty="shared").fit(X, Y)
    wanted = search.best_estimator_.score(X, Y, sample_weight=WEIGHTS)
    assert search.score(X, Y, sample_weight=WEIGHTS) == wanted


def test_stratified_folds_are_the_default_for_classifiers():
    Z, y = CANCER
    wanted = list(StratifiedKFold(5).split(Z, y))
    model = LogisticRegression()
    assert_array_equal(
        quick(model, cv=None).fit(Z, y).alpha_, quick(model, cv=wanted).fit(Z, y).alpha_
    )


@pytest.mark.parametrize("how", [{}, {"shrinkage": 1.0}])
@pytest.mark.parametrize("to_format", [np.asarray, sparse.csr_array])
def test_classes_of_an_unpenalised_column_are_fitted_to_the_end(to_format, how):
    """A shift of all classes alike costs nothing there: single precision ran along it."""
    X, y = load_iris(return_X_y=True)
    free, tiny = (
        QNBOSearchCV(LogisticRegression(), unpenalized=given, **how).fit(to_format(X), y)
        for given in ([0], {0: 1e-6})
    )
    assert_allclose(free.best_score_, tiny.best_score_, rtol=0.05)
    assert_allclose(free.predict_proba(X), tiny.predict_proba(X), atol=0.05)
