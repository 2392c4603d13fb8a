"""What is tuned without a fold does not know the fold's rows."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

import sk_qnbo._crossfit as crossfit
from sk_qnbo import QNBOSearchCV

FOLDS = 4


def made(seed, n=80, d=40):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    beta = rng.normal(size=d) * (rng.random(d) < 0.2)
    y = X @ beta + 3.0 * np.linalg.norm(beta) * rng.normal(size=n)
    return X * np.exp(rng.normal(size=d)), y


def penalties_without_first_fold(X, y, monkeypatch):
    """Log penalties of every rung, tuned without the rows of fold 0."""
    seen, real = [], crossfit.judge_fold

    def spy(stack, fold, fit, W, alpha, scoring):
        if len(stack.folds.train) == 1:  # not in the climb on all folds
            seen.append(np.log(alpha))
        return real(stack, fold, fit, W, alpha, scoring)

    with monkeypatch.context() as patch:
        patch.setattr(crossfit, "judge_fold", spy)
        search = QNBOSearchCV(Ridge(), penalty="shared", cv=FOLDS).fit(X, y)
    return np.stack(seen[: len(search.cv_results_["rung"])])


@pytest.mark.parametrize("seed", [40, 41, 42, 43])
def test_penalties_tuned_without_a_fold_do_not_depend_on_its_targets(seed, monkeypatch):
    X, y = made(seed)
    other = y.copy()
    other[: len(y) // FOLDS] = y[: len(y) // FOLDS][::-1]  # of the same mean and spread
    first, second = (penalties_without_first_fold(X, t, monkeypatch) for t in (y, other))
    np.testing.assert_allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize("as_list", [False, True])
def test_folds_with_groups_are_all_judged(as_list):
    rng = np.random.default_rng(1)
    groups = np.arange(1500) % 10
    X = rng.normal(size=(1500, 10)) + 1.5 * rng.normal(size=(10, 10))[groups]
    beta = rng.normal(size=10) + 0.7 * rng.normal(size=(10, 10))[groups]
    y = (X * beta).sum(axis=1) + rng.normal(size=1500)
    cv, told = GroupKFold(5), {"groups": groups}
    if as_list:
        cv, told = list(cv.split(X, y, groups)), {}
    search = QNBOSearchCV(Ridge(), penalty="shared", cv=cv).fit(X, y, **told)
    table = search.cv_results_
    assert np.isfinite([table[f"split{k}_test_score"][0] for k in range(5)]).all()
