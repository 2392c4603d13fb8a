"""Data hyper-cleaning: half of the labels are redrawn, a few rows can be trusted."""

from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from threadpoolctl import threadpool_limits

from sk_qnbo.problems import DataCleaning

from .penalties import one_hot, stored
from .runner import Arena, Race

SIZES = {False: (2500, 500), True: (400, 100)}  # doubtful and trusted rows, full and quick
REDRAWN, RIDGE = 0.5, 1e-2


def arena_of(name):
    """A function that makes the arena of a set for a seed."""
    return lambda seed, quick, folder: cleaning(*stored(name, folder), seed, quick)


def cleaning(X, y, seed, quick):
    """Rows, labels of which some are wrong, rows that judge, rows that test."""
    rng = np.random.default_rng(seed)
    n, m = SIZES[quick]
    n, m = min(n, len(y) // 2), min(m, len(y) // 8)
    X = np.column_stack([X / X.max(), np.ones(len(X))])
    train, valid, test = np.split(rng.permutation(len(y)), [n, n + m])
    given, drawn = y[train].copy(), rng.random(n) < REDRAWN
    given[drawn] = rng.integers(y.max() + 1, size=drawn.sum())
    clean, Y = given == y[train], one_hot(y)
    problem = DataCleaning(X[train], one_hot(given, len(Y)), X[valid], Y[:, valid], ridge=RIDGE)

    def measure(theta, judged):
        W = judged.w.reshape(len(Y), -1)
        right = (X[test] @ W.T).argmax(axis=1) == y[test]
        kept = problem.weights(theta) > 0.5
        found = {"f1": f1_score(clean, kept), "auc": roc_auc_score(clean, theta)}
        return {"accuracy": float(right.mean())} | found

    told = partial(references, X, y, given, train, valid, test)
    return Arena(problem, np.zeros(n), (-8.0, 8.0), measure, told)


def references(X, y, given, train, valid, test):
    """Accuracies without cleaning, with the same ridge: what cleaning must lie between."""
    fits = {
        "trusted rows alone": (X[valid], y[valid]),
        "all rows as given": (X[train], given),
        "all rows, clean labels": (X[train], y[train]),
    }
    out = {}
    for name, (rows, labels) in fits.items():
        model = LogisticRegression(C=1.0 / (RIDGE * len(rows)), fit_intercept=False, max_iter=500)
        with threadpool_limits(1):
            out[name] = float(model.fit(rows, labels).score(X[test], y[test]))
    return out


METHODS = tuple(
    "qnbo-bfgs qnbo-amortised shine aid-cg amigo-gd amigo-cg amigo-sgd soba nsbo-sgd bome "
    "f2sa".split()
)
RACES = tuple(
    Race(
        f"cleaning-{short}",
        f"cleaning {name}, half of the labels redrawn",
        arena_of(name),
        METHODS,
        seconds=5.0,
        seeds=10,
        n_judged=9,
        tol=3e-5,
        shown="accuracy",
    )
    for short, name in (("mnist", "mnist_10k"), ("fashion", "fashion_mnist_10k"))
)
