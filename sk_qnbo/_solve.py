"""The fit of a linear model under given penalties, by the engine."""

import numpy as np

from ._minimum_norm import least_norm, many_minima
from .methods import QNBO
from .methods.qnbo import QNBOMemory
from .problems import (
    LOSSES,
    LinearProblem,
    LogLinearPenalty,
    RowSpaceProblem,
    linear_data,
    row_space_pays,
)
from .problems.design import Design
from .solvers.newton import finished

# penalties beyond this are infinite for every purpose, and products with them must not overflow
_LARGEST = 1e130
# pairs of the quasi-Newton matrix: a fit that stands alone is asked for more digits than a search's
_N_PAIRS = 30
# columns a row from which on vectors as long as the rows take fewer steps for a squared error too
_WIDE = 1.5


def solve(X, targets, loss, alpha, weights, fit_intercept, tol, max_iter):
    """Coefficients that minimise a weighted sum of losses plus a quadratic penalty.

    Minimises ``sum_i s_i loss(t_i, W x_i + b) + 1/2 sum_j alpha_j sum_k W_kj^2`` with the squared
    loss halved, so that it shares its minimiser with the objective of ridge regression.

    Parameters
    ----------
    X : {ndarray, CSR matrix or array} of shape (n_samples, n_features), dtype float64
        Never changed, never densified when sparse.
    targets : ndarray of shape (n_outputs, n_samples)
        0 and 1 for "binary" (one output), one-hot for "softmax", the targets for "squared".
    loss : {"binary", "softmax", "squared"}
    alpha : ndarray of shape (n_features,)
    weights : ndarray of shape (n_samples,)
    fit_intercept : bool
    tol : float
        Stop when the residual is this small.
    max_iter : int

    Returns
    -------
    coef : ndarray of shape (n_outputs, n_features)
        Under the softmax the columns sum to zero.
    intercept : ndarray of shape (n_outputs,)
    n_iter : int
    residual : float
        Root mean square, over the weighted rows, of the change of the linear predictor that is
        still to come, ``sqrt(g' H^-1 g / sum of weights)`` with gradient g and Hessian H; for the
        squared loss in units of the targets' standard deviation.
    """
    center, scale = np.zeros(len(targets)), np.ones(len(targets))
    if loss == "squared":
        center, scale = _location(targets, weights, fit_intercept)
        targets = (targets - center[:, None]) / scale[:, None]
        if many_minima(X, alpha, weights):
            coef, intercept = least_norm(X, targets, alpha, weights, fit_intercept)
            return coef * scale[:, None], intercept * scale + center, 1, 0.0
    design = Design.of(X, weights[None] > 0, fit_intercept)
    W, n_iter, residual = None, 0, np.inf
    for problem, share in _problems(design, targets, loss, alpha, weights):
        left = int(share * (max_iter - n_iter))
        if residual <= tol or left == 0:
            continue
        method = QNBO(tol=tol, max_iter=left, n_refine=0, n_pairs=_N_PAIRS)
        begin = None if W is None else QNBOMemory(problem.at(W.reshape(1, -1)))
        fit, _ = method.fit_lower(problem, np.zeros(0), begin)
        if getattr(fit.curvature.factor, "rough", False):
            fit = finished(problem, np.zeros(0), fit, tol, left - fit.n_iter)
        W, n_iter, residual = fit.point.W, n_iter + fit.n_iter, fit.residual
    if loss == "softmax":  # a shift of all classes alike changes no prediction
        W = W - W.mean(axis=1, keepdims=True)
    coef, intercept = (part[0] for part in design.raw(W))
    coef, intercept = coef * scale[:, None], intercept * scale + center
    return coef, intercept, max(n_iter, 1), residual


def _location(targets, weights, fit_intercept):
    """Center and spread of each target, its weighted mean and standard deviation."""
    share = weights / weights.sum()
    center = targets @ share if fit_intercept else np.zeros(len(targets))
    rest = targets - center[:, None]
    largest = np.abs(rest).max(axis=1)  # whose square may be beyond doubles
    largest = np.where(largest > 0.0, largest, 1.0)
    scale = largest * np.sqrt(np.square(rest / largest[:, None]) @ share)
    # what is left of a constant target is rounding
    constant = scale <= 1e-14 * np.abs(center)
    return center, np.where(constant | (scale == 0.0), 1.0, scale)


def _problems(design, targets, loss, alpha, weights):
    """Stacks of one lower problem whose penalties stand still, and their shares of the steps left.

    Where but a diagonal start matrix is affordable and columns are many more than rows, vectors as
    long as the rows take a fraction of the steps, but may miss the last digits; the columns find
    these from there. Nothing is judged.
    """
    alpha = np.minimum(alpha / design.scale[0] ** 2, _LARGEST)
    penalty = LogLinearPenalty(np.zeros((1, design.n_features)), (), fixed=alpha)
    data = linear_data(design.rows, LOSSES[loss](targets), weights[None], None)
    problem = LinearProblem(data, penalty, intercept=design.intercept)
    wide = _WIDE * data.rows.n_rows <= data.n_columns
    rough = problem.start_plan.kind == "diagonal"
    if wide and rough and row_space_pays(data, alpha, design.intercept):
        yield RowSpaceProblem(data, penalty, intercept=design.intercept), 0.5
    yield problem, 1.0
