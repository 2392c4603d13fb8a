"""Few-shot meta-learning on Omniglot: 5 ways, 5 shots, tested on characters never seen."""

from functools import partial

import numpy as np

from sk_qnbo import minimize_bilevel
from sk_qnbo.problems import FewShot

from .penalties import stored
from .runner import Arena, Race

WAYS, SHOTS, QUERIES = 5, 5, 5
N_TASKS, N_TESTS, N_EMBEDDED = {False: 200, True: 8}, {False: 100, True: 10}, {False: 40, True: 8}
UNSEEN = 0.3  # share of the characters that no training task shows


def tasks(X, y, classes, n, rng):
    """Support and query rows and one-hot targets of n random tasks."""
    members = {c: np.flatnonzero(y == c) for c in classes}
    rows = np.empty((2, n, WAYS, SHOTS), dtype=int)
    for k in range(n):
        for way, c in enumerate(rng.choice(classes, WAYS, replace=False)):
            drawn = rng.choice(members[c], SHOTS + QUERIES, replace=False)
            rows[0, k, way], rows[1, k, way] = drawn[:SHOTS], drawn[SHOTS:]
    targets = np.broadcast_to(np.repeat(np.eye(WAYS), SHOTS, axis=1), (n, WAYS, WAYS * SHOTS))
    support, query = (X[r.reshape(n, -1)] for r in rows)
    return support, targets, query, targets


def principal(X, n):
    """The first principal directions, scaled so that embedded rows have unit mean square length."""
    V = np.linalg.svd(X, full_matrices=False)[2][:n]
    return V / np.sqrt(np.square(X @ V.T).sum(axis=1).mean())


def few_shot(seed, quick, folder):
    X, y = stored("omniglot_small1", folder)
    X = X / X.max()
    X, rng = X - X.mean(axis=0), np.random.default_rng(seed)
    classes = rng.permutation(int(y.max()) + 1)
    cut = max(int(UNSEEN * len(classes)), WAYS)
    unseen, seen = classes[:cut], classes[cut:]
    some = X[np.isin(y, seen)]
    embedding = principal(some[rng.permutation(len(some))[:800]], N_EMBEDDED[quick])
    problem = FewShot(*tasks(X, y, seen, N_TASKS[quick], rng), embedding)
    test = problem.on(*tasks(X, y, unseen, N_TESTS[quick], rng))

    def measure(theta, judged=None):
        fit = minimize_bilevel(test, theta, max_iter=0, final=False)
        right = test.scores(theta, fit.w).argmax(axis=1) == test.targets_query.argmax(axis=1)
        return {"accuracy": float(right.mean()), "test loss": fit.value}

    start = problem.start(np.log(0.1))
    return Arena(problem, start, (-10.0, 10.0), measure, partial(untaught, problem, measure))


def untaught(problem, measure):
    """Accuracy of heads on the given embedding under the best common weight."""
    starts = [problem.start(a) for a in np.log(10.0) * np.arange(-4, 2)]
    return {"no meta-learning": max(measure(theta)["accuracy"] for theta in starts)}


RACES = (
    Race(
        "few-shot",
        "Omniglot, 5 ways, 5 shots",
        few_shot,
        tuple("qnbo-bfgs qnbo-sr1 qnbo-amortised shine pzobo aid-cg itd amigo-cg".split()),
        seconds=8.0,
        tol=3e-5,
        seeds=10,
        n_judged=10,
        shown="accuracy",
        score="accuracy",
    ),
)
