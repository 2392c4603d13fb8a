"""Races on penalties of linear models: text, one shared weight, ijcnn1, covtype."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from datasets import loader_of
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler, normalize

from sk_qnbo import METHODS
from sk_qnbo.problems import HeldOut, LogLinearPenalty

from .runner import Arena, Race

QUICK_ROWS = 2000


@lru_cache(maxsize=4)
def stored(name, folder):
    """Rows and labels of a set; made ones of the kind where there is no folder."""
    if folder is None:
        n, d, classes = MADE[name]
        X, y = make_classification(
            n, d, n_informative=d // 2, n_classes=classes, flip_y=0.1, random_state=len(name)
        )
        return (sp.csr_array(np.maximum(X, 0.0).round()) if "news" in name else X), y
    X, y, _ = loader_of(folder).load(name)
    return X, y


MADE = {
    "ijcnn1": (600, 10, 2),
    "ijcnn1_test": (600, 10, 2),
    "covtype_20k": (1000, 20, 4),
    "news20_train": (600, 60, 4),
    "news20_test": (400, 60, 4),
    "mnist_10k": (1200, 30, 4),
    "fashion_mnist_10k": (1200, 30, 4),
    "omniglot_small1": (480, 40, 16),
}


def one_hot(y, n_classes=None):
    return np.eye(n_classes or int(y.max()) + 1)[:, y]


def per_feature(d):
    """A log penalty for each column."""
    return LogLinearPenalty(np.zeros((1, d)), (), np.arange(d), n_labels=d)


def shared(d):
    """One log penalty for all columns."""
    return LogLinearPenalty(np.zeros((1, d)), (np.ones(1),), None)


def test_scores(X, y, shape):
    """Measures log loss and accuracy of the judged coefficients on test rows."""
    classes = shape[0]

    def measure(theta, judged):
        z = X @ judged.w.reshape(shape).T
        z = np.column_stack([np.zeros(len(z)), z]) if classes == 1 else z
        log_p = z - np.logaddexp.reduce(z, axis=1)[:, None]
        loss = -float(log_p[np.arange(len(y)), y].mean())
        return {"test loss": loss, "accuracy": float((z.argmax(axis=1) == y).mean())}

    return measure


# ijcnn1: the test file is the validation set, as in the literature.


def ijcnn1(seed, quick, folder):
    (X, y), (V, yv) = stored("ijcnn1", folder), stored("ijcnn1_test", folder)
    if quick:
        X, y, V, yv = X[:QUICK_ROWS], y[:QUICK_ROWS], V[:QUICK_ROWS], yv[:QUICK_ROWS]
    n, d = X.shape
    problem = HeldOut(X, y[None], V, yv[None], per_feature(d), "binary")
    # rows are given, so seeds differ by where they begin: what one way happens to meet is luck
    start = np.log(n) + 0.5 * np.random.default_rng(seed).standard_normal(d)
    return Arena(problem, start, (np.log(n) - 12.0, np.log(n) + 12.0))


# covtype: one weight a class.


class ClassWeights(HeldOut):
    """A softmax with one log penalty for each class instead of each column."""

    def __init__(self, X, targets, X_valid, targets_valid):
        super().__init__(X, targets, X_valid, targets_valid, shared(X.shape[1]), "softmax")
        self.n_upper = len(targets)
        none = np.zeros(self.n_upper)
        self.precision, self.center, self.one_sided = none, none, none.astype(bool)

    def _compute_alpha(self, theta):
        return np.broadcast_to(np.exp(theta)[None, :, None], self.shape)

    def cross(self, theta, w, u):
        return np.exp(theta) * np.einsum("kcd,kcd->c", w.W, u.reshape(self.shape))


def covtype(seed, quick, folder):
    X, y = stored("covtype_20k", folder)
    if quick:
        X, y = X[:QUICK_ROWS], y[:QUICK_ROWS]
    rest, test = train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=seed)
    train, valid = train_test_split(rest, test_size=0.2, stratify=y[rest], random_state=seed)
    X, classes = StandardScaler().fit(X[train]).transform(X), int(y.max()) + 1
    Y = one_hot(y, classes)
    problem = ClassWeights(X[train], Y[:, train], X[valid], Y[:, valid])
    start = np.full(classes, np.log(len(train)) - 2.0)
    measure = test_scores(X[test], y[test], (classes, X.shape[1]))
    center = np.log(len(train))
    return Arena(problem, start, (center - 12.0, center + 12.0), measure)


# 20 newsgroups.


def _known(X, *others, often=1):
    """Columns that occur in X (the weights of the others stay zero in any fit), so often."""
    at = np.flatnonzero(np.bincount(X.indices, minlength=X.shape[1]) >= often)
    return [sp.csr_array(M)[:, at] for M in (X, *others)]


def text(seed, quick, folder):
    """The split of the literature: half of the official training part validates."""
    (X, y), (T, yt) = stored("news20_train", folder), stored("news20_test", folder)
    X, T = (normalize(sp.csr_array(M)) for M in (X, T))
    train, valid = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=seed)
    if quick:
        train, valid = train[: QUICK_ROWS // 2], valid[: QUICK_ROWS // 2]
    A, V, T = _known(X[train], X[valid], T, often=3)
    n, d = A.shape
    Y = one_hot(y)
    problem = HeldOut(A, Y[:, train], V, Y[:, valid], per_feature(d), "softmax")
    # lambda = 0 of the literature, whose penalty is a mean over all coefficients
    start = np.full(d, np.log(n / (d * len(Y))))
    return Arena(problem, start, (start[0] - 4.0, 16.0), test_scores(T, yt, (len(Y), d)))


def shared_weight(seed, quick, folder):
    """All documents, classes below half against the rest, 90/5/5, one weight."""
    parts = [stored(f"news20_{part}", folder) for part in ("train", "test")]
    X, y = sp.vstack([p[0] for p in parts], "csr"), np.concatenate([p[1] for p in parts])
    y = (y >= (int(y.max()) + 1) // 2).astype(int)
    X = normalize(sp.csr_array(X))
    order = np.random.default_rng(seed).permutation(len(y))[: QUICK_ROWS if quick else None]
    train, valid, test = np.split(order, (len(order) * np.array([0.9, 0.95])).astype(int))
    A, V, T = _known(X[train], X[valid], X[test])
    problem = HeldOut(A, y[None, train], V, y[None, valid], shared(A.shape[1]), "binary")
    measure = test_scores(T, y[test], (1, A.shape[1]))
    return Arena(problem, np.zeros(1), (-12.0, 12.0), measure)


FIELD = tuple(
    "qnbo-bfgs qnbo-sr1 qnbo-amortised shine hoag aid-cg amigo-gd amigo-sgd stocbio soba saba "
    "ma-saba nbo-gd nsbo-sgd nsbo-saga ma-nsbo-saga f2sa".split()
)
# covtype takes the least time, so there every method runs
EVERYONE = tuple(
    "exact shine-opa shine-refine jacobian-free aid-neumann amigo-cg itd ma-soba pzobo pzobo-s "
    "nbo-cg bome f3sa bamm-nbo".split()
)
# what momentum does shows beside the same method with the same upper step
WITHOUT_ADAM = {
    f"{name}, descent": replace(METHODS[name], upper="descent") for name in ("saba", "nsbo-saga")
}
HOAGS_STEP = "hoag, its own step"
RACES = (
    Race(
        "ijcnn1",
        "ijcnn1, a penalty a feature",
        ijcnn1,
        (*FIELD, *WITHOUT_ADAM),
        seconds=6.0,
        seeds=10,
        settings=WITHOUT_ADAM,
    ),
    Race(
        "covtype",
        "covtype, a penalty a class",
        covtype,
        FIELD + EVERYONE,
        seconds=5.0,
        seeds=10,
        n_judged=12,
        shown="test loss",
    ),
    Race(
        "shared",
        "20 newsgroups in two classes, one penalty",
        shared_weight,
        ("qnbo-bfgs", "qnbo-amortised", "hoag", HOAGS_STEP, "shine", "shine-refine"),
        seconds=4.0,
        seeds=10,
        n_judged=8,
        settings={HOAGS_STEP: replace(METHODS["hoag"], upper="hoag")},
        tol=1e-6,  # at 1e-3 the same theta is judged 1 % apart, by where the last one left the fit
        shown="test loss",
    ),
    Race(
        "text",
        "20 newsgroups, a penalty a word",
        text,
        tuple("qnbo-bfgs qnbo-sr1 qnbo-amortised shine pzobo bome f2sa amigo-gd aid-cg".split()),
        seconds=12.0,
        seeds=10,
        n_judged=9,
        tol=3e-3,
        trial_share=0.4,
        shown="test loss",
    ),
)
