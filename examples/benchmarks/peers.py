"""What a user would pick instead of QNBOSearchCV, each tuned as its documentation advises.

``PEERS`` maps a name to a function of a ``datasets.Split``. It returns ``{method: record}``, where
a record holds at least the test ``loss`` and the cross-validated ``score`` (a loss too).

The L2 grids give what ``GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), ...)``
gives with converged fits, in a fraction of the time: an L2 fit depends on X through its principal
axes only, and along a path of penalties each fit starts where the last one ended. Centring changes
nothing for a fit with a free intercept, so sparse columns may be centred after the rotation.
"""

import signal
import warnings
from contextlib import contextmanager
from functools import partial
from time import process_time

import numpy as np
from scipy.linalg import eigvalsh, svd
from scipy.optimize import minimize
from scipy.sparse import issparse
from scipy.special import expit
from sklearn.linear_model import (
    ARDRegression,
    ElasticNetCV,
    LassoCV,
    MultiTaskElasticNetCV,
    MultiTaskLassoCV,
    RidgeCV,
)
from sklearn.preprocessing import StandardScaler

ALPHAS = np.logspace(6, -4, 30)  # logistic regression, largest first; alpha = 1 / C
RIDGE_ALPHAS = np.logspace(6, -8, 30)
L1_RATIOS = (0.1, 0.5)
ARD_MAX_FEATURES = 1000
TIME_LIMIT = 120


class NotApplicableError(Exception):
    """This peer does not do this kind of task or size."""


@contextmanager
def time_limit(seconds):
    """Raise TimeoutError after so many CPU seconds (where the platform has such an alarm)."""

    def expire(signum, frame):
        raise TimeoutError(f"more than {seconds} CPU seconds")

    if not hasattr(signal, "SIGPROF"):
        yield
        return
    before = signal.signal(signal.SIGPROF, expire)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# The grids of one L2 penalty.


def grid(data):
    """30 penalties on scaled columns, on raw columns, and the better of the two by CV."""
    records = {}
    for scaler in ("scaled", "raw"):
        started = process_time()
        records[scaler] = _grid_half(data, scaler == "scaled")
        records[scaler]["seconds"] = process_time() - started
    best = min(records, key=lambda scaler: records[scaler]["score"])
    total = sum(record["seconds"] for record in records.values())
    records["on_off"] = {**records[best], "scaler": best, "seconds": total}
    return records


def _grid_half(data, scaled):
    alphas = ALPHAS if data.classify else RIDGE_ALPHAS
    if not scaled:
        alphas = _in_units_of(data.X_train, alphas)
    losses_of = partial(_l2_path_losses, scaled=scaled, classify=data.classify)
    scores = _cv_losses(data, partial(losses_of, alphas=alphas))
    best = int(np.argmin(scores))
    everything = (data.X_train, data.y_train, data.X_test, data.y_test)
    loss = losses_of(*everything, alphas=alphas[: best + 1])[-1]
    return {"loss": loss, "score": scores[best], "alpha": alphas[best], "index": best}


def _in_units_of(X, alphas):
    """As many penalties for raw columns: from the mean variance down to the median one."""
    variances = StandardScaler(with_mean=False).fit(X).var_
    low = min(variances.mean(), np.median(variances[variances > 0]))
    return np.geomspace(alphas[0] * variances.mean(), alphas[-1] * low, len(alphas))


def _cv_losses(data, losses_of):
    """Mean over the folds of ``losses_of(X_train, y_train, X_validation, y_validation)``."""
    X, y = data.X_train, data.y_train
    folds = data.folds.split(X, y)
    return np.mean([losses_of(X[a], y[a], X[b], y[b]) for a, b in folds], axis=0)


def _l2_path_losses(X, y, X_new, y_new, alphas, scaled, classify):
    """Loss on the new rows under each alpha, largest first."""
    basis, offset = _principal_axes(X, scaled)
    Z, Z_new = X @ basis - offset, X_new @ basis - offset
    if not classify:
        Y, Y_new = y.reshape(len(y), -1), y_new.reshape(len(y_new), -1)
        return [np.mean((Y_new - fit) ** 2) for fit in _ridge_path(Z, Y, Z_new, alphas)]
    A, A_new = _with_intercept(Z), _with_intercept(Z_new)
    return [_log_loss(A_new @ W, y_new) for W in _logistic_path(A, _one_hot(y), alphas)]


def _principal_axes(X, scaled):
    """``basis, offset`` such that ``X @ basis - offset`` are the principal components of X."""
    scale = StandardScaler(with_mean=False).fit(X).scale_ if scaled else np.ones(X.shape[1])
    dense = _dense(X)
    mean = dense.mean(axis=0)
    _, s, Vt = svd((dense - mean) / scale, full_matrices=False, check_finite=False)
    keep = s > s[0] * max(X.shape) * np.finfo(float).eps
    basis = (Vt[keep] / scale).T
    return basis, mean @ basis


def _ridge_path(Z, Y, Z_new, alphas):
    """Predictions of ridge regression on orthogonal, centred columns, alpha by alpha."""
    mean = Y.mean(axis=0)
    products, squares = Z.T @ (Y - mean), (Z**2).sum(axis=0)[:, None]
    for alpha in alphas:
        yield mean + Z_new @ (products / (squares + alpha))


def _logistic_path(A, Y, alphas):
    """Coefficients of L2-penalised (multinomial) logistic regression, alpha by alpha."""
    W = np.zeros((A.shape[1], Y.shape[1]))
    for alpha in alphas:
        W = _fit_logistic(A, Y, alpha, W)
        yield W


def _fit_logistic(A, Y, alpha, W):
    """L-BFGS, preconditioned by the diagonal of the Hessian at the start."""
    n = len(A)
    penalty = np.full((A.shape[1], 1), alpha)
    penalty[0] = 0.0
    P = _loss_and_residual(A @ W, Y)[1] + Y
    scale = np.sqrt(((A**2).T @ (P * (1 - P)) + penalty) / n)

    def objective(v):
        V = v.reshape(W.shape) / scale
        loss, R = _loss_and_residual(A @ V, Y)
        gradient = (A.T @ R + penalty * V) / scale
        return (loss + 0.5 * np.sum(penalty * V**2)) / n, gradient.ravel() / n

    options = {"maxiter": 5000, "maxfun": 10000, "gtol": 1e-6, "ftol": 1e-13, "maxcor": 20}
    start = (W * scale).ravel()
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(W.shape) / scale


def _loss_and_residual(scores, Y):
    """Summed log loss and its derivative by the scores; one column means two classes."""
    if Y.shape[1] == 1:
        return np.logaddexp(0, scores).sum() - np.sum(Y * scores), expit(scores) - Y
    shifted = scores - scores.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    total = powers.sum(axis=1, keepdims=True)
    return np.log(total).sum() - np.sum(Y * shifted), powers / total - Y


def _log_loss(scores, y):
    """Mean log loss of the scores of the fits above."""
    classes = scores.shape[1]
    Y = _one_hot(y, classes + (classes == 1))
    return _loss_and_residual(scores, Y)[0] / len(y)


def _one_hot(y, classes=None):
    classes = classes or y.max() + 1
    if classes == 2:
        return (y[:, None] == 1).astype(float)
    return (y[:, None] == np.arange(classes)).astype(float)


def _with_intercept(Z):
    return np.hstack([np.ones((len(Z), 1)), Z])


# L1 and elastic net on scaled columns.


def l1(data):
    """L1 penalty by CV: logistic regression with 10 penalties, or LassoCV."""
    if data.classify:
        return {"l1": _sparse_logistic(data, (1.0,))}
    model = LassoCV if data.y_train.ndim == 1 else MultiTaskLassoCV
    search = model(alphas=30, eps=1e-4, cv=data.folds, max_iter=5000)
    return {"l1": _fit_and_score(data, search)}


def elastic_net(data):
    """L1 and L2 together by CV: as ``l1`` for each of two ratios."""
    if data.classify:
        return {"elastic_net": _sparse_logistic(data, L1_RATIOS)}
    model = ElasticNetCV if data.y_train.ndim == 1 else MultiTaskElasticNetCV
    search = model(l1_ratio=L1_RATIOS, alphas=30, eps=1e-4, cv=data.folds, max_iter=5000)
    return {"elastic_net": _fit_and_score(data, search)}


def _fit_and_score(data, model):
    """Test loss of a regression model behind a scaler; sparse columns are scaled, then filled."""
    scaler = StandardScaler(with_mean=not issparse(data.X_train)).fit(data.X_train)
    X, X_new = (_dense(scaler.transform(part)) for part in (data.X_train, data.X_test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ends of paths that have not converged
        model.fit(X, data.y_train)
    score = model.mse_path_.mean(axis=-1).min() if hasattr(model, "mse_path_") else None
    return {"loss": np.mean((model.predict(X_new) - data.y_test) ** 2), "score": score}


def _dense(X):
    return X.toarray() if issparse(X) else X


def _sparse_logistic(data, ratios):
    """The best of 10 penalties and the given shares of L1 by CV; ratio 1 is the lasso."""
    A, Y = _with_intercept(_standardised(data.X_train)[0]), _one_hot(data.y_train)
    alpha_max = np.abs(A.T @ (Y - Y.mean(axis=0))).max()
    decades = 4 if len(A) > A.shape[1] else 3
    paths = [(alpha_max / ratio * np.logspace(0, -decades, 10), ratio) for ratio in ratios]
    scores = np.array([_cv_losses(data, partial(_sparse_losses, path=path)) for path in paths])
    i, j = np.unravel_index(scores.argmin(), scores.shape)
    alphas, ratio = paths[i]
    everything = (data.X_train, data.y_train, data.X_test, data.y_test)
    loss = _sparse_losses(*everything, (alphas[: j + 1], ratio))[-1]
    return {"loss": loss, "score": scores[i, j], "alpha": alphas[j], "index": j, "l1_ratio": ratio}


def _standardised(X):
    """Centred, scaled, dense columns, with their means and scales."""
    scale = StandardScaler(with_mean=False).fit(X).scale_
    dense = _dense(X)
    mean = dense.mean(axis=0)
    return (dense - mean) / scale, mean, scale


def _sparse_losses(X, y, X_new, y_new, path):
    """Log loss on the new rows along a path of penalties, largest first, at one ratio."""
    alphas, ratio = path
    Z, mean, scale = _standardised(X)
    A, Y = _with_intercept(Z), _one_hot(y)
    W, losses = np.zeros((A.shape[1], Y.shape[1])), []
    for alpha in alphas:
        W = _fit_sparse(A, Y, alpha, ratio, W)
        slopes = W[1:] / scale[:, None]
        losses.append(_log_loss(X_new @ slopes + (W[0] - mean @ slopes), y_new))
    return losses


def _fit_sparse(A, Y, alpha, ratio, W):
    """Elastic net logistic regression on a growing set of columns until none is missing."""
    W = W.copy()
    working = W.any(axis=1)
    working[0] = True
    while True:
        W[working] = _fista(A[:, working], Y, alpha, ratio, W[working])
        gradient = A.T @ _loss_and_residual(A[:, working] @ W[working], Y)[1]
        missing = ~working & (np.abs(gradient).max(axis=1) > 1.001 * alpha * ratio)
        if not missing.any():
            return W
        working |= missing


def _fista(A, Y, alpha, ratio, W, max_iter=1000):
    """Accelerated proximal gradient with restarts; column 0 is the intercept."""
    l1, l2 = np.full((2, len(W), 1), alpha) * np.array([ratio, 1 - ratio])[:, None, None]
    l1[0] = l2[0] = 0.0
    gram = A @ A.T if A.shape[0] < A.shape[1] else A.T @ A
    last = len(gram) - 1
    bound = eigvalsh(gram, subset_by_index=(last, last))[0] / (4 if Y.shape[1] == 1 else 2)
    bound += alpha * (1 - ratio)
    V, momentum = W, 1.0
    for _ in range(max_iter):
        gradient = A.T @ _loss_and_residual(A @ V, Y)[1] + l2 * V
        new = V - gradient / bound
        new = np.sign(new) * np.maximum(np.abs(new) - l1 / bound, 0)
        if np.abs(new - V).max() * bound <= 1e-2 * alpha:
            return new
        if np.sum((V - new) * (new - W)) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        V, W = new + (momentum - 1) / following * (new - W), new
        momentum = following
    return W


# Others for regression.


def ard(data):
    """ARDRegression: one penalty a column by evidence, single target."""
    if data.kind != "regression" or data.X_train.shape[1] > ARD_MAX_FEATURES:
        raise NotApplicableError("single target, at most 1000 columns")
    return {"ard": _fit_and_score(data, ARDRegression())}


def ridgecv_loo(data):
    """RidgeCV: 30 penalties by exact leave-one-out."""
    if data.classify:
        raise NotApplicableError("regression only")
    return {"ridgecv_loo": _fit_and_score(data, RidgeCV(alphas=RIDGE_ALPHAS))}


PEERS = {
    "grid": grid,
    "ridgecv_loo": ridgecv_loo,
    "ard": ard,
    "l1": l1,
    "elastic_net": elastic_net,
}
