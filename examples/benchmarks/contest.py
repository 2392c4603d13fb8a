"""The data sets, folds and losses that ``competitors.py`` shares among all who are timed.

    race = made(500, 30, classify=True)
    race.cv_loss(alpha), race.test_loss(race.refit(alpha))

Columns are standardised by the training rows once, for everybody, so that everybody works on the
same matrix. A penalty is a vector ``alpha`` in scikit-learn's units; whatever a competitor tunes
(scalings of columns, kernel weights) is turned into one, and judged by the same converged fits.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from common import test_loss
from sklearn.datasets import make_classification, make_regression
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from sk_qnbo.linear_model import MultiPenaltyLogisticRegression, MultiPenaltyRidge

N_TEST = 5000
LEVELS = np.logspace(-3, 5, 9)  # penalties that all columns share: where gradients may start


@dataclass(frozen=True)
class Race:
    """Training rows, test rows, and the groups of columns that may be told."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    classify: bool
    groups: np.ndarray | None = None

    @property
    def splitter(self):
        return (StratifiedKFold if self.classify else KFold)(5, shuffle=True, random_state=0)

    @cached_property
    def folds(self):
        """Pairs of training and validation rows."""
        return list(self.splitter.split(self.X, self.y))

    @property
    def scoring(self):
        return "neg_log_loss" if self.classify else "neg_mean_squared_error"

    def model(self, alpha):
        """The linear model under given penalties."""
        return (MultiPenaltyLogisticRegression if self.classify else MultiPenaltyRidge)(alpha)

    def cv_loss(self, alpha):
        """Mean over the folds of the validation loss: what tuning minimises."""
        return np.mean([self._fold_loss(alpha, *fold) for fold in self.folds])

    def _fold_loss(self, alpha, train, rest):
        model = self.model(alpha).fit(self.X[train], self.y[train])
        if self.classify:
            return log_loss(self.y[rest], model.predict_proba(self.X[rest]), labels=model.classes_)
        return mean_squared_error(self.y[rest], model.predict(self.X[rest]))

    def refit(self, alpha):
        """The model of all training rows."""
        return self.model(alpha).fit(self.X, self.y)

    def test_loss(self, model):
        """Loss on rows that no search has seen."""
        return test_loss(model, self)


def made(n, d, classify, n_test=N_TEST):
    """A set of which half the columns, at most 50, matter."""
    useful = min(d // 2, 50)
    if classify:
        options = {"n_informative": useful, "n_redundant": 0, "flip_y": 0.05, "random_state": 0}
        X, y = make_classification(n + n_test, d, **options)
    else:
        options = {"n_informative": useful, "noise": 50.0, "random_state": 0}
        X, y = make_regression(n + n_test, d, **options)
    return raced(X, y, n, classify)


def made_groups(n, d, n_groups=5, n_test=N_TEST):
    """Regression on groups of columns, each group half as strong as the one before it."""
    rng = np.random.default_rng(0)
    groups = np.arange(d) * n_groups // d
    X = rng.standard_normal((n + n_test, d))
    w = rng.standard_normal(d) * 0.5**groups
    clean = X @ w
    y = clean + clean.std() * rng.standard_normal(len(X))
    return raced(X, y, n, False, groups)


def raced(X, y, n, classify, groups=None):
    """The first rows for training, standardised; regression targets too."""
    scaler = StandardScaler().fit(X[:n])
    X = scaler.transform(X)
    if not classify:
        y = (y - y[:n].mean()) / y[:n].std()
    return Race(X[:n], y[:n], X[n:], y[n:], classify, groups)
