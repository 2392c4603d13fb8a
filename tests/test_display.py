"""The displays draw what a fitted search says, and say what they draw."""

import sys

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_qnbo import MultiPenaltyRidge, QNBOSearchCV
from sk_qnbo.display import LadderDisplay, PenaltyDisplay

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def no_windows():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True, as_frame=True, scaled=False)


@pytest.fixture(scope="module")
def search(diabetes):
    return QNBOSearchCV(Ridge()).fit(*diabetes)


@pytest.fixture(scope="module")
def two_metrics():
    X, y = load_breast_cancer(return_X_y=True)
    metrics = {"accuracy": "accuracy", "neg_log_loss": "neg_log_loss"}
    few = {"penalty": "shared", "adaptive": False}
    return QNBOSearchCV(LogisticRegression(), scoring=metrics, refit="accuracy", **few).fit(X, y)


def heights(line):
    return np.asarray(line.get_ydata(), dtype=float)


# -- LadderDisplay ----------------------------------------------------------------------------
def test_ladder_shows_the_table(search):
    display = LadderDisplay.from_estimator(search)
    table = search.cv_results_
    line = display.errorbar_.lines[0]
    np.testing.assert_allclose(heights(line), -table["mean_test_score"])
    np.testing.assert_allclose(heights(display.fold_line_), -table["mean_fold_score"])
    assert display.chosen_.get_xdata()[0] == search.best_index_
    np.testing.assert_allclose(heights(display.chosen_), -search.best_score_)
    labels = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert labels == list(table["rung"])
    assert display.figure_ is display.ax_.figure
    assert display.gap_ is not None


def test_ladder_shows_a_loss_as_a_loss(search):
    display = LadderDisplay.from_estimator(search)
    assert display.ax_.get_ylabel() == "Mean squared error (lower is better)"
    assert (heights(display.fold_line_) > 0).all()


def test_ladder_shows_the_score_itself_on_request(search):
    display = LadderDisplay.from_estimator(search, negate_score=False)
    assert display.ax_.get_ylabel() == "Negative mean squared error (higher is better)"
    np.testing.assert_allclose(heights(display.fold_line_), search.cv_results_["mean_fold_score"])


def test_ladder_takes_a_label(search):
    display = LadderDisplay.from_estimator(search, score_name="loss in mmol")
    assert display.ax_.get_ylabel() == "loss in mmol"


@pytest.mark.parametrize(
    "estimator, scoring, label",
    [
        (LogisticRegression(), None, "Log loss (lower is better)"),
        (RidgeClassifier(), None, "Mean squared error (lower is better)"),
        (LogisticRegression(), "accuracy", "Accuracy (higher is better)"),
        (LogisticRegression(), "neg_brier_score", "Brier score (lower is better)"),
        (LogisticRegression(), lambda e, X, y: e.score(X, y), "<lambda> (higher is better)"),
    ],
)
def test_ladder_names_the_score(estimator, scoring, label):
    X, y = load_breast_cancer(return_X_y=True)
    few = {"penalty": "shared", "adaptive": False, "scale": 1.0}
    fitted = QNBOSearchCV(estimator, scoring=scoring, **few).fit(X, y)
    assert LadderDisplay.from_estimator(fitted).ax_.get_ylabel() == label


def test_ladder_negated_gain_is_called_so(two_metrics):
    display = LadderDisplay.from_estimator(two_metrics, negate_score=True)
    assert display.ax_.get_ylabel() == "Negative accuracy (lower is better)"


def test_ladder_shows_the_metric_that_chose(two_metrics):
    display = LadderDisplay.from_estimator(two_metrics)
    assert display.ax_.get_ylabel() == "Accuracy (higher is better)"
    assert display.fold_line_ is not None


def test_ladder_shows_another_metric_without_its_folds(two_metrics):
    display = LadderDisplay.from_estimator(two_metrics, metric="neg_log_loss")
    assert display.ax_.get_ylabel() == "Log loss (lower is better)"
    assert display.fold_line_ is None and display.gap_ is None
    line = display.errorbar_.lines[0]
    np.testing.assert_allclose(heights(line), -two_metrics.cv_results_["mean_test_neg_log_loss"])


def test_ladder_refuses_an_unknown_metric(two_metrics):
    with pytest.raises(ValueError, match=r"metric must be one of \['accuracy', 'neg_log_loss'\]"):
        LadderDisplay.from_estimator(two_metrics, metric="roc_auc")


def test_ladder_without_cross_fit_claims_none(diabetes):
    fitted = QNBOSearchCV(Ridge(), shrinkage=1.0).fit(*diabetes)
    display = LadderDisplay.from_estimator(fitted)
    assert display.fold_line_ is None and not display.cross_fitted
    assert display.errorbar_.get_label() == "in the folds that tuned it"


def test_ladder_without_a_choice_marks_none():
    X, y = load_breast_cancer(return_X_y=True)
    few = {"penalty": "shared", "adaptive": False, "scale": 1.0, "refit": False}
    fitted = QNBOSearchCV(LogisticRegression(), scoring=["accuracy", "roc_auc"], **few).fit(X, y)
    display = LadderDisplay.from_estimator(fitted)
    assert display.chosen_ is None
    assert display.ax_.get_ylabel() == "Accuracy (higher is better)"


def test_ladder_draws_where_it_is_told(search):
    _, ax = plt.subplots()
    display = LadderDisplay.from_estimator(search, ax=ax, color="red")
    assert display.ax_ is ax
    assert display.errorbar_.lines[0].get_color() == "red"


# -- PenaltyDisplay ---------------------------------------------------------------------------
def test_penalties_as_they_are(search):
    display = PenaltyDisplay.from_estimator(search, n_names=2)
    at = display.points_[0].get_offsets()
    np.testing.assert_allclose(at[:, 0], search.alpha_)
    np.testing.assert_allclose(at[:, 1], np.abs(search.best_estimator_.coef_))
    largest = np.argsort(-np.abs(search.best_estimator_.coef_))[:2]
    names = search.feature_names_in_[largest]
    assert [text.get_text() for text in display.texts_] == list(names)
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, lambda X: X])
def test_penalties_for_columns_of_unit_variance(search, diabetes, convert):
    X, _ = diabetes
    rows = X if convert(X) is X else convert(X.to_numpy())
    display = PenaltyDisplay(
        **_made(search, np.asarray(X).var(axis=0))
    ).plot()  # by hand, for comparison
    model = QNBOSearchCV(Ridge(), shrinkage=1.0).fit(X.to_numpy(), diabetes[1])
    model.alpha_, model.best_estimator_.coef_ = search.alpha_, search.best_estimator_.coef_
    seen = PenaltyDisplay.from_estimator(model, rows)
    assert "unit variance" in seen.ax_.get_xlabel()
    np.testing.assert_allclose(
        seen.points_[0].get_offsets(), display.points_[0].get_offsets(), rtol=1e-8
    )


def _made(search, variance):
    return {
        "alpha": search.alpha_ / variance,
        "sizes": np.abs(search.best_estimator_.coef_) * np.sqrt(variance),
        "feature_names": list(search.feature_names_in_),
        "scaled": True,
    }


def test_groups_have_colours_and_a_legend(diabetes):
    X, y = diabetes
    groups = {"blood": ["s1", "s2", "s3", "s4", "s5", "s6"], "body": ["age", "sex", "bmi", "bp"]}
    fitted = QNBOSearchCV(Ridge(), penalty=groups).fit(X, y)
    display = PenaltyDisplay.from_estimator(fitted, X)
    assert [len(points.get_offsets()) for points in display.points_] == [6, 4]
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["blood", "body"]
    assert (
        display.points_[0].get_facecolor().tolist() != display.points_[1].get_facecolor().tolist()
    )


def test_features_without_penalty_stand_at_the_left(diabetes):
    X, y = diabetes
    fitted = QNBOSearchCV(Ridge(), unpenalized=["age", "sex"], shrinkage=1.0).fit(X, y)
    display = PenaltyDisplay.from_estimator(fitted, X)
    penalised, free = (points.get_offsets() for points in display.points_)
    assert len(free) == 2
    assert free[:, 0].max() < penalised[:, 0].min()


def test_columns_with_a_fixed_penalty_need_no_group(diabetes):
    X, y = diabetes
    groups = {"blood": ["s1", "s2", "s3", "s4", "s5", "s6"], "body": ["bmi", "bp"]}
    fixed = {"age": 0.0, "sex": 3.0}
    fitted = QNBOSearchCV(Ridge(), penalty=groups, unpenalized=fixed, shrinkage=1.0).fit(X, y)
    display = PenaltyDisplay.from_estimator(fitted)
    sizes = {points.get_label(): len(points.get_offsets()) for points in display.points_}
    assert sizes == {"blood": 6, "body": 2, "no group": 1, "no penalty": 1}


def test_classes_are_joined_by_their_norm():
    X, y = load_iris(return_X_y=True)
    few = {"penalty": "shared", "adaptive": False, "scale": 1.0}
    fitted = QNBOSearchCV(LogisticRegression(), **few).fit(X, y)
    display = PenaltyDisplay.from_estimator(fitted)
    norm = np.linalg.norm(fitted.best_estimator_.coef_, axis=0)
    np.testing.assert_allclose(display.points_[0].get_offsets()[:, 1], norm)
    assert display.texts_[0].get_text() == f"x{norm.argmax()}"


@pytest.mark.parametrize("scaled", [False, True])
def test_names_come_through_a_pipeline(diabetes, scaled):
    X, y = diabetes
    some = ColumnTransformer([("z", StandardScaler(), ["bmi", "bp", "s5"])])
    fitted = QNBOSearchCV(make_pipeline(some, Ridge()), shrinkage=1.0).fit(X, y)
    display = PenaltyDisplay.from_estimator(fitted, X if scaled else None)
    assert {text.get_text() for text in display.texts_} == {"z__bmi", "z__bp", "z__s5"}


def test_constant_columns_and_zero_coefficients_are_drawn(diabetes):
    X, y = diabetes
    X = np.column_stack([X, np.ones(len(X))])
    fitted = QNBOSearchCV(Ridge(), shrinkage=1.0).fit(X, y)
    for rows in (None, X):
        at = PenaltyDisplay.from_estimator(fitted, rows).points_[0].get_offsets()
        assert len(at) == X.shape[1] and (at[:, 1] > 0).all() and np.isfinite(at).all()


# -- both -------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [LadderDisplay, PenaltyDisplay])
def test_an_unfitted_search_is_refused(kind):
    with pytest.raises(NotFittedError):
        kind.from_estimator(QNBOSearchCV(Ridge()))


@pytest.mark.parametrize("metrics", [None, ["r2", "neg_mean_squared_error"]])
def test_penalties_need_a_refit(diabetes, metrics):
    fitted = QNBOSearchCV(Ridge(), refit=False, shrinkage=1.0, scoring=metrics).fit(*diabetes)
    LadderDisplay.from_estimator(fitted)
    with pytest.raises(ValueError, match="has refit=False; fit it with refit=True"):
        PenaltyDisplay.from_estimator(fitted)


def test_other_estimators_are_refused_by_what_they_lack(diabetes):
    ridge, grid = Ridge().fit(*diabetes), GridSearchCV(Ridge(), {"alpha": [1.0]}).fit(*diabetes)
    for other in (ridge, make_pipeline(StandardScaler(), Ridge()).fit(*diabetes), grid):
        with pytest.raises(TypeError, match="one penalty per feature, which .* does not have; got"):
            PenaltyDisplay.from_estimator(other)
    for other in (ridge, grid, MultiPenaltyRidge().fit(*diabetes)):
        with pytest.raises(TypeError, match="shows the ladder of a QNBOSearchCV; got"):
            LadderDisplay.from_estimator(other)


def test_models_alone_are_shown(diabetes):
    X, y = diabetes
    alpha = np.logspace(0, 3, X.shape[1])
    with pytest.raises(NotFittedError):
        PenaltyDisplay.from_estimator(MultiPenaltyRidge())
    model = MultiPenaltyRidge(alpha=alpha).fit(X, y)
    display = PenaltyDisplay.from_estimator(model)
    assert_allclose(display.points_[0].get_offsets()[:, 0], alpha)
    assert {text.get_text() for text in display.texts_} <= set(X.columns)
    piped = make_pipeline(StandardScaler(), MultiPenaltyRidge(alpha=alpha)).fit(X, y)
    display = PenaltyDisplay.from_estimator(piped, X)
    assert_allclose(display.points_[0].get_offsets()[:, 0], alpha)


def test_rows_of_another_width_are_refused(search, diabetes):
    X, y = diabetes
    piped = make_pipeline(StandardScaler(), MultiPenaltyRidge()).fit(X, y)
    for fitted in (search, piped):
        with pytest.raises(ValueError, match="X has 4 columns but the model was fitted with 10"):
            PenaltyDisplay.from_estimator(fitted, X.iloc[:, :4])
    with pytest.raises(ValueError, match="the column 's6' where the model was fitted with 'age'"):
        PenaltyDisplay.from_estimator(search, X.iloc[:, ::-1])


@pytest.mark.parametrize("kind", [LadderDisplay, PenaltyDisplay])
def test_without_matplotlib_the_extra_is_named(kind, search, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"sk-qnbo\[plot\]"):
        kind.from_estimator(search)


@pytest.mark.parametrize("kind", [LadderDisplay, PenaltyDisplay])
def test_a_display_can_be_drawn_again(kind, search):
    display = kind.from_estimator(search)
    first = display.ax_
    assert display.plot() is display
    assert display.ax_ is not first
