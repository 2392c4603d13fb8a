"""What an estimate of the hypergradient is worth: budgets, shared memory, one Newton step."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from sk_qnbo.methods import QNBO
from sk_qnbo.problems import HeldOut, Quadratic

from .penalties import per_feature

CONDITIONS, BUDGETS = (10.0, 100.0, 1000.0, 10000.0), (0, 2, 5, 10, 20, 40, 80)
# Readings of the paper's subroutine B; all but two learn from the fit's last 30 pairs. A budget of
# 0 is SHINE then, which is the same for all of one formula.
READINGS = {
    "BFGS, along the estimate": {"refinement": "direction"},
    "BFGS, exact steps": {"refinement": "steps"},
    "BFGS, unit steps": {"refinement": "unit steps"},
    "BFGS, exact steps without the fit's pairs": {"refinement": "steps", "adjoint_from_fit": False},
    "BFGS, exact steps from the identity": {
        "refinement": "steps",
        "start_kind": "identity",
        "adjoint_from_fit": False,
    },
    "SR1, along the estimate": {"refinement": "direction", "formula": "sr1"},
    "SR1, exact steps": {"refinement": "steps", "formula": "sr1"},
    "conjugate gradients": {"refinement": "cg"},
}
DISTANCES = np.geomspace(1e-3, 1.0, 10)


def records(quick):
    """Errors by condition, reading and budget; then errors by distance from the solution."""
    seeds, n = (1, 20) if quick else (10, 100)
    for seed in range(seeds):
        for condition in CONDITIONS[: 2 if quick else None]:
            problem = Quadratic.made(condition, n_lower=n, n_upper=10, seed=seed)
            yield from budgets(problem, condition, seed, BUDGETS[: 4 if quick else None])
        yield from newton(seed)


def budgets(problem, condition, seed, products):
    """Error and cosine of the hypergradient where the lower level is solved."""
    theta = np.random.default_rng(seed).standard_normal(problem.n_upper)
    want = problem.hypergradient(theta)
    common = {"n_pairs": 30, "tol": 1e-9, "adjoint_tol": 0.0, "max_iter": 5000, "share": False}
    for name, reading in READINGS.items():
        for n_refine in products:
            method = QNBO(**common, **reading, n_refine=n_refine)
            got = method.estimate(problem, theta, method.start(problem, theta)).gradient
            cosine = float(got @ want / np.linalg.norm(got) / np.linalg.norm(want))
            yield {
                "part": "budgets",
                "condition": condition,
                "reading": name,
                "products": n_refine,
                "seed": seed,
                "error": float(np.linalg.norm(got - want) / np.linalg.norm(want)),
                "cosine": cosine,
            }


class Dense:
    """A problem's oracles at one theta by dense algebra, one fit."""

    def __init__(self, problem, theta):
        self.problem, self.theta = problem, theta

    def hessian(self, w):
        point, eye = self.problem.at(w), np.eye(self.problem.n_lower)
        return np.vstack([self.problem.hvp(self.theta, point, e[None]) for e in eye])

    def newton(self, w):
        gradient = self.problem.lower(self.theta, self.problem.at(w))[1]
        return w - np.linalg.solve(self.hessian(w), gradient[0])[None]

    def adjoint(self, w):
        b = self.problem.upper(self.theta, self.problem.at(w))[2]
        return np.linalg.solve(self.hessian(w), b[0])[None]

    def gradient(self, w, u):
        return -self.problem.cross(self.theta, self.problem.at(w), u)


def newton(seed):
    """Errors of three estimates from coefficients at a distance from the solution."""
    X, y = load_breast_cancer(return_X_y=True)
    X, rng = StandardScaler().fit_transform(X), np.random.default_rng(seed)
    train, valid = np.array_split(rng.permutation(len(y)), 2)
    penalty = per_feature(X.shape[1])
    problem = HeldOut(X[train], y[None, train], X[valid], y[None, valid], penalty, "binary")
    dense = Dense(problem, rng.standard_normal(problem.n_upper))
    best = problem.initial()
    for _ in range(50):
        best = dense.newton(best)
    want = dense.gradient(best, dense.adjoint(best))
    away = rng.standard_normal(best.shape)
    away *= np.linalg.norm(best) / np.linalg.norm(away)
    for distance in DISTANCES:
        w = best + distance * away
        ahead = dense.newton(w)
        estimates = {
            "no step": dense.gradient(w, dense.adjoint(w)),
            "Newton step, adjoint from before it": dense.gradient(ahead, dense.adjoint(w)),
            "Newton step, adjoint after it": dense.gradient(ahead, dense.adjoint(ahead)),
        }
        for name, got in estimates.items():
            error = float(np.linalg.norm(got - want) / np.linalg.norm(want))
            where = {"part": "newton", "estimate": name, "distance": distance}
            yield where | {"seed": seed, "error": error}
