"""The limit on time: how it is shared, and what is said when it is over."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from sk_qnbo import QNBOSearchCV, _crossfit, _deadline
from sk_qnbo._deadline import Deadline, rounds

X, Y = load_diabetes(return_X_y=True)
X = X * np.linspace(1.0, 3.0, 10)  # on one scale there are fewer rungs
CANCER = load_breast_cancer(return_X_y=True)


class Clock:
    """Wall clock that stands still until it is told."""

    time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_deadline, "now", clock)
    return clock


def test_what_a_part_leaves_goes_to_those_behind_it(clock):
    whole = Deadline.after(12.0)
    first = whole.part(4)
    assert first.left == 3.0
    clock.time += 1.0
    assert first.left == 2.0 and whole.part(3).left == pytest.approx(11.0 / 3.0)
    clock.time += 20.0
    assert first.left == whole.left == whole.part(2).left == 0.0


def test_without_a_limit_nothing_ends():
    assert Deadline.after(None).left is None and Deadline().part(3).left is None
    assert pickle.loads(pickle.dumps(Deadline(3.0))) == Deadline(3.0)


@pytest.mark.parametrize("n_workers, wanted", [(1, 5), (2, 3), (4, 2), (5, 1), (8, 1)])
def test_tasks_side_by_side_are_fewer_rounds(n_workers, wanted):
    assert rounds(5, n_workers) == wanted


@pytest.fixture
def climbs(monkeypatch, clock):
    """The seconds that each climb is given; each takes two of them, fitting one rung."""
    given = []

    def climb(stack, rungs, settings, *progress):
        given.append(settings.seconds)
        clock.time += 2.0
        yield from real(stack, rungs, settings, *progress)

    real = _crossfit.climb
    monkeypatch.setattr(_crossfit, "climb", climb)
    return given


def searched(model=None, data=(X, Y), **settings):
    model = Ridge() if model is None else model
    return QNBOSearchCV(model, penalty="shared", adaptive=False, **settings).fit(*data)


def test_each_climb_has_a_share_of_what_those_before_leave(climbs):
    searched(cv=4, max_time=102.0)
    # a fifth for the first fold, which takes two seconds; then a quarter of 100, a third of 98, ...
    np.testing.assert_allclose(climbs, [102 / 5, 100 / 4, 98 / 3, 96 / 2, 94])


def test_workers_side_by_side_are_given_more(climbs):
    searched(cv=4, max_time=90.0, n_jobs=2)
    assert climbs[0] == 90.0 / 3  # two rounds of two cross-fits, and the climb
    assert len(climbs) == 5 and min(climbs[1:]) > 90.0 / 5


def test_without_a_cross_fit_the_climb_has_all(climbs):
    searched(cv=4, max_time=10.0, shrinkage=np.inf)
    assert climbs == [10.0]


def test_without_a_limit_climbs_have_none(climbs):
    searched(cv=3)
    assert climbs == [None] * 4


def test_rungs_that_a_fold_did_not_reach_are_left_out(monkeypatch):
    seen = []

    def two(stack, rungs, settings, *progress):
        seen.append(len(rungs))
        for fit, _ in zip(real(stack, rungs, settings, *progress), range(2)):
            yield fit

    real = _crossfit.climb
    monkeypatch.setattr(_crossfit, "climb", two)
    with pytest.warns(ConvergenceWarning, match="max_time=100 s was over after 2 of 3 rungs; the"):
        search = searched(cv=3, max_time=100.0)
    assert seen == [3, 2, 2, 2] and list(search.cv_results_["rung"]) == ["standardised", "raw"]


def test_rungs_cut_short_in_a_cross_fit_are_told(climbs, monkeypatch):
    monkeypatch.setattr(_crossfit, "climb", without_limit(_crossfit.climb))
    with pytest.warns(ConvergenceWarning) as seen:
        # ridge is through with one level in one estimate
        search = searched(LogisticRegression(), CANCER, cv=3, max_time=1e-9)
    assert len(seen) == 1
    assert "was over after 1 of 3 rungs, and cut short 'standardised'" in str(seen[0].message)
    assert len(search.cv_results_["rung"]) == 1


def without_limit(climb):
    def unlimited(stack, rungs, settings, *progress):
        if progress:  # the climb on all folds
            settings = type(settings)(sharp=settings.sharp)
        return climb(stack, rungs, settings, *progress)

    return unlimited


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_it_stops_cleanly_in_any_worker(backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        with pytest.warns(ConvergenceWarning, match="max_time=1e-06 s was over after 1 of 7 rungs"):
            search = QNBOSearchCV(LogisticRegression(), cv=3, max_time=1e-6).fit(*CANCER)
    assert search.predict(CANCER[0]).shape == CANCER[1].shape


def test_time_enough_changes_nothing_and_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        limited, free = (searched(cv=3, max_time=t) for t in (1000.0, None))
    np.testing.assert_array_equal(limited.alpha_, free.alpha_)


def test_an_infinite_limit_is_none(climbs):
    searched(cv=3, max_time=np.inf)
    assert climbs == [None] * 4
