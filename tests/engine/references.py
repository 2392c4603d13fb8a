"""Small tuning problems, and the same objective written a second time, dense and by Newton."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sk_qnbo.problems import LOSSES, LinearProblem, LogLinearPenalty, RowData, linear_data, rows_of


@dataclass(frozen=True)
class Case:
    """Ingredients of a problem as plain arrays, and the problem built of them."""

    X: np.ndarray  # with the column of ones, if any
    T: np.ndarray
    loss: str
    train: np.ndarray
    valid: np.ndarray
    columns: np.ndarray
    offset: np.ndarray
    labels: np.ndarray | None
    n_labels: int
    fixed: np.ndarray | None
    precision: np.ndarray
    center: np.ndarray
    intercept: bool
    theta: np.ndarray
    problem: LinearProblem


def made(
    loss="binary", n=48, d=5, outputs=1, folds=3, intercept=True, weighted=False, labels=None,
    fixed=None, adaptive=True, codata=False, is_sparse=False, equal_folds=False, prior=0.02,
    rows_only=False, seed=0,
):  # fmt: skip
    """A random case; every column of the penalty model is in it unless told otherwise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    if is_sparse:
        X[np.abs(X) < 0.7] = 0.0
    Z = X[:, :3] @ rng.normal(size=(3, outputs)) + rng.normal(size=(n, outputs))
    if loss == "binary":
        T = (Z[:, :1].T > 0).astype(float)
    elif loss == "softmax":
        T = np.eye(outputs)[:, Z.argmax(axis=1)]
    else:
        T = Z.T + 0.5
    X = np.column_stack([X, np.ones(n)]) if intercept else X
    fold = np.zeros(n, dtype=int) if equal_folds else np.arange(n) % folds
    valid = fold == (np.zeros if equal_folds else np.arange)(folds)[:, None]
    if equal_folds:
        valid = np.tile(np.arange(n) % 3 == 0, (folds, 1))
    weights = rng.uniform(0.3, 2.0, size=n) if weighted else np.ones(n)
    train, valid = ~valid * weights, valid * weights
    columns = [np.ones((folds, d)), rng.normal(size=(folds, d))]
    columns += [rng.normal(size=(folds, d))] * adaptive
    columns += [np.tile(rng.normal(size=d), (folds, 1))] * codata
    if equal_folds:
        columns = [np.tile(c[:1], (folds, 1)) for c in columns]
    columns, offset = np.stack(columns, axis=2), np.tile(rng.normal(size=d), (folds, 1))
    labels = None if labels is None else np.arange(d) % labels
    n_labels = 0 if labels is None else int(labels.max()) + 1
    fixed = None if fixed is None else np.where(np.arange(d) % 7 == 0, fixed, np.nan)
    shared = tuple(np.moveaxis(columns, 2, 0))
    penalty = LogLinearPenalty(offset, shared, labels, n_labels, fixed)
    rows, kind = rows_of(sparse.csr_array(X) if is_sparse else X), LOSSES[loss](T)
    data = (RowData if rows_only else linear_data)(rows, kind, train, valid)
    precision, center = prior * rng.uniform(size=penalty.n_upper), rng.normal(size=penalty.n_upper)
    problem = LinearProblem(data, penalty, precision, center, intercept=intercept)
    theta = 0.3 * rng.normal(size=penalty.n_upper) + np.eye(penalty.n_upper)[0]
    return Case(
        X, T, loss, train, valid, columns, offset, labels, n_labels, fixed, precision,
        center, intercept, theta, problem,
    )  # fmt: skip


CASES = {
    "binary": {},
    "binary without intercept": {"intercept": False},
    "binary per feature": {"labels": 5},
    "binary in groups": {"labels": 2, "codata": True},
    "binary with sample weights": {"weighted": True, "labels": 2},
    "binary with fixed penalties": {"fixed": 0.0, "labels": 5},
    "binary sparse": {"is_sparse": True, "codata": True},
    "binary, rows few": {"n": 30, "d": 66, "labels": 4},
    "binary, rows few, sparse": {"n": 30, "d": 66, "is_sparse": True},
    "softmax": {"loss": "softmax", "outputs": 3, "n": 90, "labels": 2},
    "softmax without intercept": {"loss": "softmax", "outputs": 4, "n": 90, "intercept": False},
    "softmax, rows few": {"loss": "softmax", "outputs": 3, "n": 30, "d": 66},
    "ridge": {"loss": "squared", "labels": 5},
    "ridge without intercept": {"loss": "squared", "intercept": False, "adaptive": False},
    "ridge, several targets": {"loss": "squared", "outputs": 3, "weighted": True},
    "ridge, rows few": {"loss": "squared", "outputs": 2, "n": 30, "d": 66, "fixed": 0.0},
    "ridge sparse": {"loss": "squared", "is_sparse": True, "labels": 2},
    "ridge sparse, rows few": {"loss": "squared", "n": 30, "d": 66, "is_sparse": True},
}


# --------------------------------------------------------------- the same objective, written again


def penalties(case, theta):
    """Penalty of each fold and column, zero for the intercept; and its logarithm's slopes."""
    q, (folds, d) = case.columns.shape[2], case.offset.shape
    jacobian = np.zeros((folds, d, len(theta)))
    jacobian[:, :, :q] = case.columns
    if case.labels is not None:
        for j, label in enumerate(case.labels):
            jacobian[:, j, q + label] = 1.0
    alpha = np.exp(case.offset + jacobian @ theta)
    if case.fixed is not None:
        held = ~np.isnan(case.fixed)
        alpha[:, held], jacobian[:, held] = case.fixed[held], 0.0
    if case.intercept:
        alpha = np.column_stack([alpha, np.zeros(folds)])
        jacobian = np.concatenate([jacobian, np.zeros((folds, 1, len(theta)))], axis=1)
    return alpha, jacobian


def link(loss, Z):
    """Mean prediction of linear predictors ``(n_outputs, n_rows)``."""
    if loss == "squared":
        return Z
    if loss == "binary":
        return 1.0 / (1.0 + np.exp(-Z))
    E = np.exp(Z - Z.max(axis=0))
    return E / E.sum(axis=0)


def value_of(loss, Z, T):
    """Loss of each row."""
    if loss == "squared":
        return 0.5 * ((Z - T) ** 2).sum(axis=0)
    if loss == "binary":
        return (np.log1p(np.exp(Z)) - T * Z)[0]
    return np.log(np.exp(Z).sum(axis=0)) - (T * Z).sum(axis=0)


def dense_hessian(case, W, weights, alpha):
    """Hessian of one fold over all outputs as one matrix."""
    P, (C, D) = link(case.loss, W @ case.X.T), W.shape
    H = np.kron(np.eye(C), np.diag(alpha))
    for a in range(C):
        for b in range(C):
            bend = {
                "squared": float(a == b) * np.ones(len(case.X)),
                "binary": P[a] * (1 - P[a]),
                "softmax": P[a] * ((a == b) - P[b]),
            }[case.loss]
            block = case.X.T * (weights * bend) @ case.X
            H[a * D : (a + 1) * D, b * D : (b + 1) * D] += block
    return H


def solved(H, b):
    """``H^-1 b``, of least norm along the flat direction that a softmax with intercepts has."""
    values, vectors = np.linalg.eigh(H)
    kept = values > 1e-10 * values.max()
    inverse = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    return vectors @ (inverse * (vectors.T @ b))


def dense_fit(case, theta, fold):
    """Coefficients of one fold by Newton steps with halving, and the Hessian there."""
    alpha, weights = penalties(case, theta)[0][fold], case.train[fold]

    def objective(W):
        return weights @ value_of(case.loss, W @ case.X.T, case.T) + 0.5 * (alpha * W * W).sum()

    W = np.zeros((len(case.T), case.X.shape[1]))
    for _ in range(50):
        gradient = (weights * (link(case.loss, W @ case.X.T) - case.T)) @ case.X + alpha * W
        H = dense_hessian(case, W, weights, alpha)
        step, t = solved(H, gradient.ravel()).reshape(W.shape), 1.0
        while t > 1e-4 and objective(W - t * step) > objective(W) + 1e-9:
            t /= 2
        W = W - t * step
        if t * np.abs(step).max() < 1e-8 and t == 1.0:  # its square is what is still to come
            break
    return W, dense_hessian(case, W, weights, alpha)


def dense_value(case, theta):
    """The upper objective."""
    total = 0.0
    for k, valid in enumerate(case.valid):
        losses = value_of(case.loss, dense_fit(case, theta, k)[0] @ case.X.T, case.T)
        total += valid @ losses / valid.sum() / len(case.valid)
    total /= len(case.T) if case.loss == "squared" else 1
    return total + 0.5 * (case.precision * (theta - case.center) ** 2).sum()


def dense_hypergradient(case, theta):
    """Its gradient through the implicit function theorem."""
    alpha, jacobian = penalties(case, theta)
    out = case.precision * (theta - case.center)
    mean_over = len(case.T) if case.loss == "squared" else 1
    for k, valid in enumerate(case.valid):
        W, H = dense_fit(case, theta, k)
        share = valid / valid.sum() / len(case.valid) / mean_over
        b = (share * (link(case.loss, W @ case.X.T) - case.T)) @ case.X
        u = solved(H, b.ravel()).reshape(W.shape)
        out -= (alpha[k] * (W * u).sum(axis=0)) @ jacobian[k]
    return out


def central_differences(function, x, step=1e-5):
    """Derivatives of an array-valued function along each coordinate of a vector, first axis."""
    E = step * np.eye(len(x))
    return np.array([(function(x + e) - function(x - e)) / (2 * step) for e in E])


def relative_error(got, want):
    return np.linalg.norm(np.ravel(got) - np.ravel(want)) / np.linalg.norm(want)
