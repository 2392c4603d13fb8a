"""Other ways to tune one penalty a feature or a group, each at its documented best settings.

``RIVALS`` maps a name to a function of a ``contest.Race`` that tunes, refits on all training rows
and returns the penalties found, in scikit-learn's units. A rival whose package is missing raises
ImportError; it is imported when it is asked for.

* ``optuna``: TPE with the sampler's defaults (multivariate since 5.0), 100 trials over
  the logarithms of C and of one scaling a column. Its first trial leaves the columns alone.
* ``random``: ``RandomizedSearchCV``, 100 draws from the same space.
* ``jax`` (``rivals_jax.py``): implicit differentiation, compiled; the outer L-BFGS-B of SciPy.
* ``himalaya``: ``GroupRidgeCV`` by random search, its default 100 draws from the simplex, ten
  penalties each, jittered; with fewer rows than columns ``MultipleKernelRidgeCV`` with one linear
  kernel a group, as its warning there advises.
* ``himalaya gradient``: that model with ``hyper_gradient``, as its gallery sets it (start from
  RidgeCV, direct gradient, tolerance 1e-3, 30 steps; 100 up to a thousand rows).
* ``hoag scipy``: Pedregosa (ICML 2016, arXiv 1602.02355, Algorithm 1): L-BFGS of SciPy and
  conjugate gradients, both warm, scaled by the Hessian's diagonal and to a tolerance that falls by
  0.9 a step; a step is halved where the loss does not fall by enough, and else grows.

Scalings stay within a factor of e^2 from 1; narrower draws reached no lower losses in the folds.
scikit-learn's logistic fits use newton-cholesky, the fastest solver for tall X. Gradients start at
the best of nine penalties that all columns share.
"""

from functools import cache
from inspect import signature

import numpy as np
from contest import LEVELS
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import expit
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

N_TRIALS = 100
WIDTH = 2.0  # of the logarithms of the scalings, either side
LEVEL = (1e-4, 1e4)  # of C and of alpha
LOW, HIGH = np.log(1e-6), np.log(1e10)  # of gradient methods, as those of the search

# what cg calls its tolerance: SciPy renamed it
_RELATIVE = "rtol" if "rtol" in signature(cg).parameters else "tol"


# Trials: columns scaled, then one penalty.


class Scale(TransformerMixin, BaseEstimator):
    """Columns times exp(theta)."""

    def __init__(self, theta=0.0):
        self.theta = theta

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X * np.exp(self.theta)


class Scalings:
    """Distribution of the logarithms of one scaling a column."""

    def __init__(self, d):
        self.d = d

    def rvs(self, random_state=None):
        return random_state.uniform(-WIDTH, WIDTH, self.d)


def scaled_model(race):
    """A pipeline and the name of its penalty."""
    if not race.classify:
        return make_pipeline(Scale(), Ridge()), "ridge__alpha"
    tall = len(race.X) > race.X.shape[1]
    model = LogisticRegression(solver="newton-cholesky" if tall else "lbfgs", max_iter=1000)
    return make_pipeline(Scale(), model), "logisticregression__C"


def penalties(race, theta, level):
    """What a scaling and C (or alpha) amount to."""
    return np.exp(-2 * theta) * (1 / level if race.classify else level)


def random_search(race, n_trials=N_TRIALS):
    model, level = scaled_model(race)
    space = {"scale__theta": Scalings(race.X.shape[1]), level: loguniform(*LEVEL)}
    options = {"scoring": race.scoring, "cv": race.folds, "error_score": "raise"}
    search = RandomizedSearchCV(model, space, n_iter=n_trials, random_state=0, **options)
    found = search.fit(race.X, race.y).best_params_
    return penalties(race, found["scale__theta"], found[level])


def optuna_tpe(race, n_trials=N_TRIALS):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    model, level = scaled_model(race)
    names = [f"theta{j}" for j in range(race.X.shape[1])]

    def params(of):
        return {
            "scale__theta": np.array([of(name, -WIDTH, WIDTH) for name in names]),
            level: of("level", *LEVEL, log=True),
        }

    def score(trial):
        model.set_params(**params(trial.suggest_float))
        scores = cross_val_score(
            model, race.X, race.y, cv=race.folds, scoring=race.scoring, error_score="raise"
        )
        return scores.mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial({**dict.fromkeys(names, 0.0), "level": 1.0})
    study.optimize(score, n_trials=n_trials)
    best = study.best_params
    found = params(lambda name, *_, **__: best[name])
    model.set_params(**found).fit(race.X, race.y)
    return penalties(race, found["scale__theta"], found[level])


# himalaya: one penalty a group.


def himalaya(race, n_trials=N_TRIALS):
    from himalaya.ridge import GroupRidgeCV

    params = {"n_iter": n_trials, "alphas": np.logspace(-4, 6, 10), "jitter_alphas": True}
    if len(race.X) < race.X.shape[1]:
        return of_kernels(race, "random_search", params)
    params |= {"progress_bar": False}
    model = GroupRidgeCV(race.groups, solver_params=params, cv=race.splitter, random_state=0)
    deltas = model.fit(race.X, race.y).deltas_
    return np.exp(-np.ravel(deltas))[race.groups]


def himalaya_gradient(race, n_trials=None):
    max_iter = n_trials or (30 if len(race.X) > 1000 else 100)
    params = {"max_iter": max_iter, "tol": 1e-3, "initial_deltas": "ridgecv"}
    return of_kernels(race, "hyper_gradient", params | {"hyper_gradient_method": "direct"})


def of_kernels(race, solver, params):
    """One linear kernel a group."""
    from himalaya.kernel_ridge import MultipleKernelRidgeCV

    parts = [race.X[:, race.groups == group] for group in np.unique(race.groups)]
    model = MultipleKernelRidgeCV(
        kernels="precomputed",
        solver=solver,
        solver_params=params | {"progress_bar": False},
        cv=race.splitter,
        random_state=0,
    )
    deltas = model.fit(np.stack([part @ part.T for part in parts]), race.y).deltas_
    return np.exp(-np.ravel(deltas))[race.groups]


# HOAG: approximate gradients whose accuracy grows.


class FoldFit:
    """One fold's lower problem: warm fits and warm adjoints to a tolerance."""

    def __init__(self, race, train, rest):
        ones = np.ones((len(race.X), 1))
        A = np.hstack([race.X, ones])
        self.A, self.y = A[train], race.y[train]
        self.A_rest, self.y_rest = A[rest], race.y[rest]
        self.classify = race.classify
        self.squares = (self.A**2).sum(axis=0) * (0.25 if self.classify else 1.0)
        self.w, self.u = np.zeros((2, A.shape[1]))

    def estimate(self, alpha, tol):
        """Validation loss and its gradient by log alpha."""
        penalty = np.append(alpha, 0.0)
        # without scales, penalties that span decades would take L-BFGS a thousand steps
        scale = np.sqrt(self.squares / len(self.y) + penalty / len(self.y))
        found = minimize(
            self._lower,
            self.w * scale,
            (penalty, scale),
            jac=True,
            method="L-BFGS-B",
            options={"gtol": tol, "ftol": 0.0, "maxiter": 1000},
        )
        self.w = found.x / scale
        loss, slope = self._loss(self.A_rest @ self.w, self.y_rest)
        factor = 1.0 if self.classify else 2.0  # the squared error is judged whole
        right = self.A_rest.T @ slope * (factor / len(slope))
        self.u = self._adjoint(penalty, right, tol)
        return factor * loss / len(slope), -(penalty * self.w * self.u)[:-1]

    def _loss(self, z, y):
        """Summed loss and its derivative by the scores."""
        if self.classify:
            return np.logaddexp(0, z).sum() - y @ z, expit(z) - y
        return 0.5 * np.sum((z - y) ** 2), z - y

    def _lower(self, v, penalty, scale):
        w, n = v / scale, len(self.y)
        loss, slope = self._loss(self.A @ w, self.y)
        return (loss + 0.5 * penalty @ w**2) / n, (self.A.T @ slope + penalty * w) / (n * scale)

    def _adjoint(self, penalty, right, tol):
        chance = expit(self.A @ self.w) if self.classify else None
        bend = chance * (1 - chance) if self.classify else np.ones(len(self.y))
        H = LinearOperator(
            (len(right), len(right)), lambda v: self.A.T @ (bend * (self.A @ v)) + penalty * v
        )
        diagonal = bend @ self.A**2 + penalty
        M = LinearOperator(H.shape, lambda v: v / diagonal)
        return cg(H, right, x0=self.u, maxiter=300, M=M, atol=0.0, **{_RELATIVE: tol})[0]


def hoag_scipy(race, max_iter=N_TRIALS, decay=0.9, tol=1e-3):
    fits = [FoldFit(race, *fold) for fold in race.folds]

    def estimate(theta, tol):
        values, gradients = zip(*(fit.estimate(np.exp(theta), tol) for fit in fits))
        return np.mean(values), np.mean(gradients, axis=0)

    levels = [np.full(race.X.shape[1], np.log(level)) for level in LEVELS[::-1]]
    theta = min(levels, key=lambda theta: estimate(theta, tol)[0])
    value, gradient = estimate(theta, tol)
    step, still = 1 / np.linalg.norm(gradient), 0
    for _ in range(max_iter):
        tol = max(decay * tol, 1e-8)
        new = np.clip(theta - step * gradient, LOW, HIGH)
        new_value, new_gradient = estimate(new, tol)
        # rough values may be wrong by their tolerance
        enough = np.sum((new - theta) ** 2) / (4 * step) - 0.1 * tol * abs(value)
        if value - new_value < enough:
            step /= 2
            value, gradient = estimate(theta, tol)  # the old value may have been too low
            continue
        # while estimates are rough they stand still for no reason
        small = tol <= 1e-5 and abs(value - new_value) < 1e-5 * abs(value)
        still = still + 1 if small else 0
        theta, value, gradient, step = new, new_value, new_gradient, 1.5 * step
        if still == 3:
            break
    race.refit(np.exp(theta))
    return np.exp(theta)


@cache
def compiled():
    """The module with JAX in it, so that nothing else needs JAX."""
    import rivals_jax

    return rivals_jax


def jax_implicit(race):
    alpha = compiled().tune(race)
    race.refit(alpha)
    return alpha


EACH = {
    "optuna": optuna_tpe,
    "random": random_search,
    "jax": jax_implicit,
    "hoag scipy": hoag_scipy,
}
GROUPED = {"himalaya": himalaya, "himalaya gradient": himalaya_gradient}
RIVALS = EACH | GROUPED
