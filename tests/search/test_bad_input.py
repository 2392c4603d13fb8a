"""What the search says of data, folds and arguments that it cannot work with, or hardly can."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import KFold, LeaveOneGroupOut, PredefinedSplit, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from sk_qnbo import MultiPenaltyLogisticRegression, MultiPenaltyRidge, QNBOSearchCV

INF = np.inf


def classes(n_samples=60, n_features=4, n_classes=2, seed=0):
    """Noisy labels, as many of each class."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    y = np.argsort(np.argsort(X[:, 0] + rng.normal(size=n_samples))) * n_classes // n_samples
    return X, y


def quick(model=None, **settings):
    """A search without a cross-fit."""
    settings = {"shrinkage": INF, "cv": 3} | settings
    return QNBOSearchCV(model or LogisticRegression(), **settings)


# ------------------------------------------------------------------------------------ the numbers


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["X", "sparse X", "y", "sample_weight"])
def test_nan_and_infinity_are_refused(bad, where):
    X, y = load_diabetes(return_X_y=True)
    weights = np.ones(len(y))
    spoilt = {"X": X, "sparse X": X, "y": y[:, None], "sample_weight": weights[:, None]}[where]
    spoilt[3, 0] = bad
    X = sparse.csr_matrix(X) if where == "sparse X" else X
    with pytest.raises(ValueError, match="NaN" if np.isnan(bad) else "infinity"):
        quick(Ridge()).fit(X, y, sample_weight=weights)


def test_nan_behind_transformers_names_the_column_and_an_imputer():
    X, y = classes()
    X[5, 1] = np.nan
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(ValueError, match="column 'b'.*SimpleImputer"):
        quick(model).fit(frame, y)
    model = make_pipeline(SimpleImputer(), LogisticRegression())
    assert quick(model).fit(frame, y).alpha_.shape == (4,)


def test_nan_in_sparse_columns_behind_transformers_is_named_too():
    X, y = classes()
    X[5, 1] = np.nan
    model = make_pipeline(FunctionTransformer(sparse.csr_matrix), LogisticRegression())
    with pytest.raises(ValueError, match="column 1"):
        quick(model).fit(X, y)


@pytest.mark.parametrize("factor", [1e200, 1e-200])
def test_targets_whose_squares_are_no_numbers_are_told(factor):
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(ValueError, match="y must have a standard deviation between 1e-75 and"):
        quick(Ridge()).fit(X, y * factor)
    scaled, plain = (quick(Ridge()).fit(X, y * f) for f in (factor**0.3, 1.0))
    assert_allclose(scaled.alpha_, plain.alpha_, rtol=1e-6)
    coef = [MultiPenaltyRidge().fit(X, y * f).coef_ / f for f in (factor, 1.0)]
    assert_allclose(coef[0], coef[1], rtol=1e-9)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_columns_whose_squares_are_no_numbers_are_told(form):
    X, y = load_diabetes(return_X_y=True)
    # penalties are squares too, and what a search tries is far from the best
    for model, largest in ((quick(Ridge()), 60), (MultiPenaltyRidge(), 150)):
        with pytest.raises(ValueError, match=f"X must hold numbers of at most 1e.{largest} in"):
            model.fit(form(X * 1e3 * 10.0**largest), y)


def test_strings_as_x_are_refused_by_the_name_of_their_column():
    X, y = classes()
    told = "could not convert string to float.*column {} does not.*OneHotEncoder"
    with pytest.raises(ValueError, match=told.format(0)):
        quick().fit(np.full((60, 2), "text"), y)
    frame = pd.DataFrame(X).add_prefix("x").assign(town="Rome")
    for model in (quick(), MultiPenaltyLogisticRegression()):
        with pytest.raises(ValueError, match=told.format("'town'")):
            model.fit(frame, y)
    with pytest.raises(ValueError, match="target of a regression must hold numbers.*classifier"):
        quick(Ridge()).fit(X, np.full(60, "text"))
    words = np.full(60, "text", dtype=object)
    with pytest.raises(ValueError, match="target of a regression must hold numbers.*classifier"):
        quick(Ridge()).fit(sparse.csr_matrix(X), words)
    with pytest.raises(ValueError) as told:
        quick().fit(words, y)
    assert "strict" not in str(told.value)  # what is no table is told of as such


def test_a_pipeline_needs_a_target_too():
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        quick(make_pipeline(StandardScaler(), Ridge())).fit(classes()[0], None)


@pytest.mark.parametrize("column", ["constant", "duplicate", "scale", "zero"])
@pytest.mark.parametrize("model", [LogisticRegression(), Ridge()], ids=["logistic", "ridge"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_awkward_columns_give_finite_results(column, model, form):
    X, y = classes()
    if column == "scale":
        X = X * [1e-4, 1e4, 1.0, 1.0]
    else:
        extra = {"constant": np.full(60, 7.0), "duplicate": X[:, 0], "zero": np.zeros(60)}[column]
        X = np.column_stack([X, extra])
    search = QNBOSearchCV(model, cv=3, max_iter=20).fit(form(X), y)
    assert np.isfinite(search.alpha_).all() and (search.alpha_ > 0).all()
    assert np.isfinite(search.best_estimator_.coef_).all()
    assert np.isfinite(search.best_score_)


def test_scales_that_differ_by_1e8_cost_nothing():
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[:150, :6], y[:150]
    scores = [
        quick(penalty="shared", scale=1).fit(X * scale, y).best_score_
        for scale in (1.0, np.logspace(-4, 4, 6))
    ]
    assert abs(scores[0] - scores[1]) < 1e-6 * abs(scores[0])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:rung .* scored")
@pytest.mark.parametrize("shrinkage", ["cv", 0, INF])
def test_separable_data_end_within_the_bounds(shrinkage):
    X, _ = classes()
    y = (X[:, 0] > 0).astype(int)
    search = quick(shrinkage=shrinkage, alpha_bounds=(1e-3, 1e6), max_iter=15).fit(X, y)
    spread = X.var(axis=0)
    slack = 1.5  # the bounds are for the variances in the folds
    assert np.isfinite(search.best_estimator_.coef_).all()
    if shrinkage != "cv":  # under a prior the departures go beyond the bounds of the level
        assert (search.alpha_ >= 1e-3 * spread.min() / slack).all()
        assert (search.alpha_ <= 1e6 * spread.max() * slack).all()
    assert search.score(X, y) > 0.95


# -------------------------------------------------------------------------------------- the classes


def test_one_class_alone_is_refused():
    X, y = classes()
    with pytest.raises(ValueError, match="two classes or more; got the one class.*DummyClass"):
        quick().fit(X, np.zeros(len(y)))


def test_one_class_in_a_training_fold_is_refused():
    X, y = classes()
    with pytest.raises(ValueError, match="fold 0 trains on the one class .*StratifiedKFold"):
        quick(cv=KFold(2)).fit(X, np.sort(y))


def test_one_class_in_a_fold_inside_the_cross_fit_is_refused():
    X, y = classes(40)
    groups = np.repeat([0, 1, 2], [10, 10, 20])
    y = (groups == 2).astype(int)
    y[0] = 1
    with pytest.raises(ValueError, match="inside the cross-fit without fold 0.*shrinkage"):
        QNBOSearchCV(LogisticRegression(), cv=LeaveOneGroupOut()).fit(X, y, groups=groups)


def test_a_class_of_weight_zero_does_not_count():
    X, y = classes()
    with pytest.raises(ValueError, match="the one class"):
        quick().fit(X, y, sample_weight=(y == 0).astype(float))


def test_a_class_that_a_fold_lacks_is_told():
    X, y = classes(60, n_classes=2)
    y[:2] = 2
    splits = list(KFold(3).split(X))
    with pytest.warns(UserWarning, match="the class 2 has no training row"):
        search = quick(cv=splits).fit(X, y)
    assert np.isfinite(search.best_score_)


def test_a_class_missing_in_a_validation_fold_is_fine_for_the_loss():
    X, y = classes()
    order = np.argsort(y, kind="stable")
    splits = [(order[10:], order[:10]), (order[:-10], order[-10:])]
    search = quick(cv=splits).fit(X, y)
    assert np.isfinite(search.best_score_)


@pytest.mark.filterwarnings("ignore:Only one class is present")
def test_a_score_that_is_no_number_is_told_with_a_way_out():
    X, y = classes()
    order = np.argsort(y, kind="stable")
    splits = [(order[10:], order[:10]), (order[:-10], order[-10:])]
    with pytest.raises(ValueError) as seen:
        quick(cv=splits, scoring="roc_auc").fit(X, y)
    told = str(seen.value) + " ".join(getattr(seen.value, "__notes__", []))
    assert "StratifiedKFold" in told


def test_an_error_of_the_scorer_keeps_its_type_and_gets_a_note():
    def broken(model, X, y):
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing") as seen:
        quick(scoring=broken).fit(*classes())
    assert "validation rows" in seen.value.__notes__[0]


@pytest.mark.parametrize("value", [None, "good", np.ones(3)], ids=["None", "text", "array"])
def test_a_scorer_that_returns_no_number_is_told(value):
    with pytest.raises(ValueError, match=f"must return a number; got .*{type(value).__name__}"):
        quick(scoring=lambda model, X, y: value).fit(*classes())
    with pytest.raises(ValueError, match="must return a number for the metric 'a'; got"):
        quick(scoring=lambda model, X, y: {"a": value}, refit="a").fit(*classes())


def test_a_score_may_be_an_array_of_one_number():
    search = quick(scoring=lambda model, X, y: np.array([0.5])).fit(*classes())
    assert search.best_score_ == 0.5


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_one_row_per_class_is_refused():
    X, _ = classes(6)
    with pytest.raises(ValueError, match="number of members in each class"):
        QNBOSearchCV(LogisticRegression()).fit(X, np.arange(6))
    with pytest.raises(ValueError, match="one class"):
        quick(cv=KFold(2)).fit(X[:2], [0, 1])


def test_class_weight_for_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match="class_weight names the class 'x'"):
        quick(LogisticRegression(class_weight={"x": 2.0})).fit(*classes())


@pytest.mark.parametrize("model", [LogisticRegression, RidgeClassifier])
def test_a_class_weight_of_zero_is_refused(model):
    X, y = classes(n_classes=3)
    with pytest.raises(ValueError, match="class_weight must be above zero; got 0 for the class 1"):
        quick(model(class_weight={1: 0.0})).fit(X, y)
    with pytest.raises(ValueError, match="class_weight must leave two classes or more"):
        MultiPenaltyLogisticRegression(class_weight={1: 0.0, 2: 0.0}).fit(X, y)


# --------------------------------------------------------------------------------------- the splits

ROWS = np.arange(60)
BAD_SPLITS = {
    "none": ([], "gives no split"),
    "overlap": ([(ROWS[:40], ROWS[30:])] * 2, "validates on 10 rows that it also trains on"),
    "empty": ([(ROWS[:40], ROWS[40:40])] * 2, "40 training and 0 validation rows"),
    "untrained": ([(ROWS[:0], ROWS[40:])] * 2, "0 training and 20 validation rows"),
    "outside": ([(ROWS[:40], [60, 61])] * 2, "rows that X does not have"),
    "repeated": ([(np.repeat(ROWS[:40], 2), ROWS[40:])] * 2, "more than once.*sample_weight"),
    "triples": ([(1, 2, 3)], r"split 0 must be a pair, .*; got \(1, 2, 3\)"),
    "numbers": ([5, 6], "split 0 must be a pair, .*; got 5"),
    "words": (["ab"], "split 0 must be a pair, .*; got 'ab'"),
    "one row": ([(ROWS[:40], 41)], r"split 0 validates on array\(41\), which is no list of rows"),
    "single": ([(ROWS[:40], ROWS[40:])], "Give more splits, or a number for shrinkage"),
}


@pytest.mark.parametrize("name", BAD_SPLITS)
def test_splits_of_no_use_are_refused(name):
    splits, message = BAD_SPLITS[name]
    with pytest.raises(ValueError, match=message):
        QNBOSearchCV(LogisticRegression(), cv=splits).fit(*classes())


def test_one_split_is_enough_without_a_cross_fit():
    fold = np.where(ROWS < 40, -1, 0)
    search = quick(cv=PredefinedSplit(fold)).fit(*classes())
    assert search.n_splits_ == 1


def test_a_generator_that_is_used_up_is_told():
    X, y = classes()
    search = quick(cv=StratifiedKFold(3).split(X, y)).fit(X, y)
    assert search.n_splits_ == 3
    with pytest.raises(ValueError, match="used up by its first fit"):
        search.fit(X, y)


def test_validation_rows_of_weight_zero_are_refused():
    X, y = classes()
    weights = np.r_[np.zeros(20), np.ones(40)]
    with pytest.raises(ValueError, match="0 validation rows of positive weight"):
        quick(cv=KFold(3)).fit(X, y, sample_weight=weights)


# ---------------------------------------------------------------------------------- the arguments

BAD_ARGUMENTS = [
    ("penalty", "each", "penalty must be .*got 'each'"),
    ("penalty", [0, 1, 1], r"shape \(3,\) but 4 features"),
    ("penalty", {"a": [0, 1], "b": [1, 2, 3]}, "column 1 into two groups"),
    ("penalty", {"a": [0, 1]}, "leaves 2 columns without a group, the first of them 2"),
    ("penalty", {"a": [0, 1, 2, 3], "b": []}, "group 'b' is empty"),
    ("penalty", {"a": [0, 1, 2, 9]}, "holds the position 9"),
    ("penalty", {"a": ["one"]}, "X has no column names"),
    ("scale", "standard", "scale must be 'learn' or a number"),
    ("scale", INF, "scale must be"),
    ("scale", 100, "scale must be 'learn' or a number from -5 to 5"),
    ("penalty", None, "penalty must be 'per_feature', 'shared', one group label"),
    ("cv", KFold, r"cv is the class KFold; give an instance: cv=KFold\(\)"),
    ("adaptive", "yes", "adaptive must be"),
    ("codata", np.ones((3, 1)), r"codata has shape \(3, 1\) but 4 features"),
    ("codata", [1.0, np.nan, 2.0, 3.0], "codata holds nan for feature 1"),
    ("codata", ["a", "b", "c", "d"], "codata must hold numbers"),
    ("unpenalized", [4], "holds the position 4"),
    ("unpenalized", [1.5], "neither a column name nor a position"),
    ("unpenalized", ["age"], "names the column 'age', but X has no column names"),
    ("unpenalized", [0, 1, 2, 3], "names all 4 columns"),
    ("unpenalized", {0: -1.0}, "at -1.0; it must be a number, finite and zero or more"),
    ("unpenalized", {0: None}, "at None"),
    ("shrinkage", "auto", "shrinkage must be 'cv' or a number"),
    ("shrinkage", -1.0, "shrinkage must be"),
    ("shrinkage", np.nan, "shrinkage must be"),
    ("alpha_bounds", (1.0, 0.1), "alpha_bounds must be two positive finite numbers"),
    ("alpha_bounds", (0.0, 0.1), "alpha_bounds must be"),
    ("alpha_bounds", None, "alpha_bounds must be"),
    ("alpha_bounds", (1.0, 2.0, 3.0), "alpha_bounds must be"),
    ("method", "newton", "method must be one of"),
    ("method", ["qnbo-bfgs"], "method must be one"),
    ("max_iter", 0, "max_iter == 0, must be >= 1"),
    ("max_iter", 1.5, "max_iter must be"),
    ("tol", -1e-3, "tol must be a finite number"),
    ("tol", np.nan, "tol must be"),
    ("max_time", 0.0, "max_time must be None or a positive number"),
    ("max_time", "60", "max_time must be None or a positive number"),
    ("max_time", np.nan, "max_time must be None or a positive number"),
    ("n_jobs", 1.5, "n_jobs must be"),
    ("random_state", "seed", "cannot be used to seed"),
    ("verbose", -1, "verbose == -1"),
    ("refit", 3, "refit must be True, False"),
    ("scoring", "speed", "scoring"),
    ("scoring", [], r"scoring must name one metric or more; got \[\]"),
    ("scoring", {}, "scoring must name one metric or more"),
    ("cv", "five", "cv"),
    ("cv", 1, "n_splits=1"),
]


@pytest.mark.parametrize("name, value, message", BAD_ARGUMENTS)
def test_arguments_of_no_use_are_refused(name, value, message):
    search = quick(**{name: value})
    with pytest.raises((ValueError, TypeError), match=message):
        search.fit(*classes())
    assert not hasattr(search, "cv_results_") and not hasattr(search, "n_features_in_")


@pytest.mark.parametrize("refit", [True, "log_loss"])
def test_several_metrics_need_one_that_decides(refit):
    with pytest.raises(ValueError, match=r"refit must name the metric .*'accuracy', 'roc_auc'"):
        quick(scoring=["accuracy", "roc_auc"], refit=refit).fit(*classes())
    with pytest.raises(ValueError, match="refit must name the metric"):
        quick(scoring=lambda m, X, y: {"a": 1.0, "b": 2.0}, refit=refit).fit(*classes())


@pytest.mark.parametrize("index, error", [(1.5, TypeError), (7, IndexError), (-1, IndexError)])
def test_a_callable_refit_must_return_a_row(index, error):
    with pytest.raises(error, match="refit returned"):
        quick(refit=lambda table: index).fit(*classes())


def test_unknown_names_of_columns_are_told_with_known_ones():
    X, y = classes()
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    with pytest.raises(
        ValueError, match="column 'age', but the linear model gets 'a', 'b', 'c', 'd'"
    ):
        quick(unpenalized=["age"]).fit(frame, y)
    longer = pd.DataFrame(np.hstack([X, X]), columns=[f"s{j}" for j in range(7)] + ["age_b"])
    with pytest.raises(ValueError, match="the linear model gets 'age_b', 's0', .*'s3', ...;"):
        quick(unpenalized=["age"]).fit(longer, y)
    with pytest.raises(ValueError, match="column 'b' into two groups, 'one' and 'two'"):
        quick(penalty={"one": ["a", "b"], "two": ["b", "c", "d"]}).fit(frame, y)
    with pytest.raises(ValueError, match="lacks 2 of the features, the first of them 'c'"):
        quick(codata=pd.Series([1.0, 2.0], index=["a", "b"])).fit(frame, y)


UNTUNABLE = [
    (SVC(), "estimator must be one of LogisticRegression"),
    ("ridge", "got 'ridge'"),
    (Pipeline([("model", "passthrough")]), "got 'passthrough'"),
    (make_pipeline(StandardScaler()), "got StandardScaler"),
    (LogisticRegression(solver="liblinear"), "liblinear penalises the intercept"),
    (Ridge(positive=True), "coefficients are not constrained"),
    (LogisticRegression(l1_ratio=0.5), "only the squared"),
]


@pytest.mark.parametrize("estimator, message", UNTUNABLE)
def test_estimators_that_cannot_be_tuned_are_told(estimator, message):
    with pytest.raises(ValueError, match=message):
        QNBOSearchCV(estimator).fit(*classes())


def test_a_step_that_resamples_rows_is_refused():
    class Resampler(StandardScaler):
        def fit_resample(self, X, y):
            return X, y

    with pytest.raises(ValueError, match="adds or drops rows"):
        quick(make_pipeline(Resampler(), LogisticRegression())).fit(*classes())


# ------------------------------------------------------------------------------- using it wrongly


def test_predicting_unfitted_is_told():
    X, y = classes()
    search = QNBOSearchCV(LogisticRegression())
    for call in (search.predict, search.predict_proba, search.decision_function):
        with pytest.raises(NotFittedError):
            call(X)
    with pytest.raises(NotFittedError):
        search.score(X, y)
    assert not hasattr(search, "classes_")


def test_another_number_of_features_at_predict_is_told():
    X, y = classes()
    with pytest.raises(ValueError, match="X has 3 features"):
        quick().fit(X, y).predict(X[:, :3])


def test_without_refit_there_is_nothing_to_predict_with():
    X, y = classes()
    search = quick(refit=False).fit(X, y)
    assert not hasattr(search, "predict") and not hasattr(search, "best_estimator_")
    with pytest.raises(AttributeError, match="refit=False"):
        search.score(X, y)
    assert search.alpha_.shape == (4,) and search.best_index_ >= 0


def test_unknown_fit_parameters_are_told():
    X, y = classes()
    with pytest.raises(TypeError, match="fit got .*'weights'.*enable_metadata_routing"):
        quick().fit(X, y, weights=np.ones(60))


# ---------------------------------------------------------------------------- what went not so well


def test_a_level_at_a_bound_is_told():
    X, y = classes()
    noise = np.random.default_rng(1).permutation(y)
    with pytest.warns(ConvergenceWarning, match="ended at the upper bound 1 "):
        quick(penalty="shared", alpha_bounds=(1e-6, 1.0)).fit(X, noise)


def test_a_rung_that_hits_its_iteration_limit_is_told():
    X, y = load_breast_cancer(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 .*raise max_iter"):
        quick(shrinkage=0, max_iter=1, tol=0.0).fit(X[:200], y[:200])


@pytest.mark.parametrize("method, kind", [("shine", "in error"), ("soba", "random, with an error")])
def test_a_rough_method_that_does_not_end_is_told_of_a_better_one(method, kind):
    data = classes()
    told = f"method='{method}' is declared to be {kind} of up to .*Choose a method of smaller"
    with pytest.warns(ConvergenceWarning, match=told) as seen:
        quick(method=method, shrinkage=1.0, max_iter=1, tol=0.0).fit(*data)
    assert "raise max_iter" not in str(seen[0].message)
    with pytest.warns(ConvergenceWarning, match="residual of the last estimate .*raise max_iter"):
        quick(shrinkage=1.0, max_iter=1, tol=0.0).fit(*data)


def test_a_search_that_fools_itself_is_told():
    rng = np.random.default_rng(0)
    X, noise = rng.normal(size=(60, 100)), rng.normal(size=60)
    y = noise + X[:, :5].sum(axis=1)
    settings = {"cv": 8, "scale": 1, "adaptive": False}
    freest = QNBOSearchCV(Ridge(), refit=lambda table: len(table["rung"]) - 1, **settings)
    with pytest.warns(UserWarning, match="rung 'tau=.*' scored .*trust the latter.*'shared'"):
        freest.fit(X, y)
    table = freest.cv_results_
    assert table["mean_fold_score"][-1] > table["mean_test_score"][-1]
    assert not hasattr(
        freest, "best_score_"
    )  # as in GridSearchCV: the callable may judge otherwise


def test_running_out_of_time_is_told_and_keeps_the_best():
    X, y = load_breast_cancer(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="max_time=1e-06 s was over after 1 of"):
        search = QNBOSearchCV(LogisticRegression(), cv=3, max_time=1e-6).fit(X, y)
    assert list(search.cv_results_["rung"]) == ["standardised"]
    assert search.predict(X).shape == y.shape


# ------------------------------------------------------------------------------------- interrupts


class Interrupting(StandardScaler):
    """Scaler that is interrupted when its n-th copy is fitted."""

    left = 0

    def fit(self, X, y=None, sample_weight=None):
        Interrupting.left -= 1
        if Interrupting.left == 0:
            raise KeyboardInterrupt
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("at", [1, 3, 6, 8])
def test_an_interrupt_leaves_the_search_as_it_was(at):
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(Interrupting(), LogisticRegression())
    search = QNBOSearchCV(pipeline, cv=3, penalty="shared", max_iter=5)
    Interrupting.left = at
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, y)
    assert not [name for name in vars(search) if name.endswith("_")]
    Interrupting.left = 0
    before = dict(vars(search.fit(X, y)))
    Interrupting.left = at
    with pytest.raises(KeyboardInterrupt):
        search.fit(X[:, :2], y)
    assert vars(search) == before
    assert search.predict(X).shape == y.shape


def test_a_new_fit_forgets_the_old_one():
    X, y = classes()
    search = quick().fit(pd.DataFrame(X, columns=list("abcd")), y)
    assert list(search.feature_names_in_) == list("abcd")
    search.set_params(refit=False).fit(X, y)
    assert not hasattr(search, "feature_names_in_") and not hasattr(search, "best_estimator_")
    assert clone(search).get_params()["refit"] is False


@pytest.mark.parametrize("weight", [-2.0, np.nan, INF])
def test_class_weights_below_zero_are_refused_by_name(weight):
    X, y = classes()
    model = LogisticRegression(class_weight={0: weight})
    with pytest.raises(ValueError, match="class_weight must be finite numbers, zero or more"):
        quick(model).fit(X, y)


@pytest.mark.filterwarnings("ignore:all columns whose penalty is tuned are constant")
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_columns_that_are_all_constant_say_what_the_classes_are(value):
    _, y = classes()
    search = quick().fit(np.full((len(y), 3), value), y)
    assert_allclose(search.predict_proba(np.ones((1, 3)))[0], np.bincount(y) / len(y), atol=1e-6)
