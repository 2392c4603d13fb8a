"""Implicit differentiation of the folds in JAX: what ``competitors.py`` runs against.

    alpha = tune(race)

One log penalty a column; the folds are mapped over (``vmap``) as weights of rows, in double
precision, compiled once for a shape (``compile_for``; its seconds are told apart). The lower level
is Newton's method, warm from the last theta, with a backtracking on eight step lengths at once; the
gradient goes through it by the implicit function theorem (``custom_vjp``): conjugate gradients for
the adjoint, preconditioned by the last Newton factor, so that one or two steps do. Squared losses
hold each fold's Gram matrix and pay nothing for rows. The outer loop is SciPy's L-BFGS-B from the
best of nine common penalties, under the bounds of ``QNBOSearchCV``.
"""

import os
from time import process_time
from typing import NamedTuple

import numpy as np
from contest import LEVELS
from scipy.optimize import minimize

# One thread, as all others have; read when the backend starts.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax.scipy.linalg import cho_factor, cho_solve  # noqa: E402

jax.config.update("jax_enable_x64", True)

BOUNDS = (np.log(1e-6), np.log(1e10))
TOL = 1e-7  # of the lower gradient, a row
MAX_NEWTON = 50
STEPS = 0.5 ** np.arange(8)


class Rows(NamedTuple):
    """Logistic loss of weighted rows; the last column of A is ones."""

    A: jax.Array
    y: jax.Array
    weight: jax.Array

    def value(self, w):
        z = self.A @ w
        return self.weight @ (jnp.logaddexp(0, z) - self.y * z)

    def gradient(self, w):
        return self.A.T @ (self.weight * (jax.nn.sigmoid(self.A @ w) - self.y))

    def hessian(self, w):
        chance = jax.nn.sigmoid(self.A @ w)
        return (self.A.T * (self.weight * chance * (1 - chance))) @ self.A

    @staticmethod
    def axes():
        return Rows(None, None, 0)


class Gram(NamedTuple):
    """Squared loss of weighted rows through its Gram matrix."""

    matrix: jax.Array
    right: jax.Array
    square: jax.Array

    def value(self, w):
        return 0.5 * (w @ self.matrix @ w + self.square) - self.right @ w

    def gradient(self, w):
        return self.matrix @ w - self.right

    def hessian(self, w):
        return self.matrix

    @staticmethod
    def axes():
        return Gram(0, 0, 0)


def penalised(theta):
    return jnp.append(jnp.exp(theta), 0.0)


def newton(theta, data, w, n_rows):
    """Minimiser and the factor of the last Hessian."""
    penalty = penalised(theta)

    def value(w):
        return data.value(w) + 0.5 * penalty @ w**2

    def gradient(w):
        return data.gradient(w) + penalty * w

    def factor_at(w):
        return cho_factor(data.hessian(w) + jnp.diag(penalty))[0]

    def body(state):
        w, g, _, i = state
        factor = factor_at(w)
        direction = -cho_solve((factor, False), g)
        trials = w + jnp.asarray(STEPS)[:, None] * direction
        w = trials[jnp.argmin(jax.vmap(value)(trials))]
        return w, gradient(w), factor, i + 1

    def unfinished(state):
        _, g, _, i = state
        return (i == 0) | ((jnp.abs(g).max() > TOL * n_rows) & (i < MAX_NEWTON))

    start = (w, gradient(w), jnp.eye(len(w)), 0)
    w, _, factor, _ = jax.lax.while_loop(unfinished, body, start)
    return w, factor


@jax.custom_vjp
def fitted(theta, data, start, n_rows):
    return newton(theta, data, start, n_rows)[0]


def fitted_forward(theta, data, start, n_rows):
    w, factor = newton(theta, data, start, n_rows)
    return w, (theta, data, w, factor)


def fitted_backward(saved, right):
    theta, data, w, factor = saved

    def slope(theta, w):
        return data.gradient(w) + penalised(theta) * w

    def bend(v):
        return jax.jvp(lambda w: slope(theta, w), (w,), (v,))[1]

    u, _ = jax.scipy.sparse.linalg.cg(
        bend, right, tol=1e-8, maxiter=300, M=lambda v: cho_solve((factor, False), v)
    )
    (pull,) = jax.vjp(lambda theta: slope(theta, w), theta)[1](-u)
    return pull, None, None, None


fitted.defvjp(fitted_forward, fitted_backward)


def objective(theta, data, judge, starts, n_rows, axes):
    """Mean validation loss and the fits of all folds."""
    fit = jax.vmap(fitted, in_axes=(None, axes, 0, None))
    fits = fit(theta, data, starts, n_rows)
    return jnp.mean(jax.vmap(lambda part, w: part.value(w), in_axes=(axes, 0))(judge, fits)), fits


def stacked(race):
    """Training and validation data of all folds, and the axes of the folds."""
    A = np.hstack([race.X, np.ones((len(race.X), 1))])
    train, rest = np.zeros((2, len(race.folds), len(A)))
    for k, (fit, judge) in enumerate(race.folds):
        train[k, fit], rest[k, judge] = 1.0, 1.0 / len(judge)
    y = race.y.astype(float)
    if race.classify:
        return Rows(jnp.array(A), jnp.array(y), jnp.array(train)), Rows(
            jnp.array(A), jnp.array(y), jnp.array(rest)
        )
    return grams(A, y, train), grams(A, y, 2 * rest)  # validation errors are not halved


def grams(A, y, weights):
    matrices = np.stack([(A.T * weight) @ A for weight in weights])
    return Gram(jnp.array(matrices), jnp.array((weights * y) @ A), jnp.array(weights @ y**2))


def compile_for(race):
    """The objective with its gradient, and the CPU seconds that compiling took."""
    data, judge = stacked(race)
    n_folds, d = len(race.folds), race.X.shape[1]
    starts = jnp.zeros((n_folds, d + 1))
    n_rows = float(len(race.y)) * (1 - 1 / n_folds)
    step = jax.value_and_grad(objective, has_aux=True)
    begun = process_time()
    run = jax.jit(step, static_argnums=(4, 5)).lower(
        jnp.zeros(d), data, judge, starts, n_rows, data.axes()
    )
    run = run.compile()
    return (lambda theta, starts: run(theta, data, judge, starts)), starts, process_time() - begun


compile_seconds = 0.0  # of the last call of tune


def tune(race):
    """The penalties found."""
    global compile_seconds
    run, starts, compile_seconds = compile_for(race)

    def value_and_gradient(theta):
        nonlocal starts
        (value, starts), gradient = run(jnp.asarray(theta), starts)
        return float(value), np.asarray(gradient)

    levels = [np.full(race.X.shape[1], np.log(level)) for level in LEVELS[::-1]]
    start = min(levels, key=lambda theta: value_and_gradient(theta)[0])
    # L-BFGS-B tries the gradient itself as its first step: make that a step of length one
    unit = np.linalg.norm(value_and_gradient(start)[1])

    def scaled(theta):
        value, gradient = value_and_gradient(theta)
        return value / unit, gradient / unit

    found = minimize(
        scaled,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[BOUNDS] * len(start),
        options={"ftol": 1e-6, "gtol": 0.0, "maxiter": 100},
    )
    return np.exp(found.x)
