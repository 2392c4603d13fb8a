"""Hold theta still: how near every method comes to the hypergradient, and what it pays.

    python examples/benchmarks/hold_still.py --markdown hold_still.md --figure hold_still.png
    python examples/benchmarks/hold_still.py --methods soba saba --estimates 1 100

On each problem theta stays where it is and a method is asked again and again, its memory handed
on. The error is that of the hypergradient relative to the true one (a closed form for the
quadratics, else Newton's method and dense solves); of methods whose estimates are random,
that of the mean over the later half. The cost is in gradients and products with the Hessian of the
whole lower level for one estimate; a batch counts as its share.
"""

import argparse
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.datasets import load_breast_cancer

from sk_qnbo import METHODS, CountedProblem
from sk_qnbo.problems import LOSSES, LinearProblem, LogLinearPenalty, Quadratic, RowData, rows_of

SECONDS = 20.0  # of a method on a problem


def breast_cancer(log_alpha=1.0, spread=1.5, n_folds=5):
    """One penalty a feature on standardised columns, spread over some decades; the true answer."""
    X, y = load_breast_cancer(return_X_y=True)
    n, d = X.shape
    X = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(n)])
    fold = np.random.default_rng(0).permutation(n) % n_folds
    valid = (fold == np.arange(n_folds)[:, None]).astype(float)
    penalty = LogLinearPenalty(np.zeros((n_folds, d)), (), np.arange(d), n_labels=d)
    data = RowData(rows_of(X), LOSSES["binary"](y[None]), 1.0 - valid, valid)
    theta = log_alpha + spread * np.random.default_rng(1).standard_normal(d)
    return LinearProblem(data, penalty), theta, dense_hypergradient(X, y, valid, theta)


def dense_hypergradient(X, y, valid, theta):
    """The implicit function theorem fold by fold, by Newton's method and dense solves."""
    alpha, total = np.append(np.exp(theta), 0.0), 0.0
    for judged in valid:
        w, fitted = np.zeros(X.shape[1]), 1.0 - judged
        for _ in range(30):
            p = expit(X @ w)
            H = (X.T * (fitted * p * (1.0 - p))) @ X + np.diag(alpha)
            w = w - np.linalg.solve(H, X.T @ (fitted * (p - y)) + alpha * w)
        b = X.T @ (judged * (expit(X @ w) - y)) / judged.sum()
        total = total - alpha * w * np.linalg.solve(H, b) / len(valid)
    return total[:-1]


def problems():
    """Problem, theta and true hypergradient by name."""
    for condition in (10, 1000):
        problem = Quadratic.made(condition=float(condition), n_lower=50, n_upper=10, n_stack=2)
        theta = np.linspace(-1.0, 1.0, problem.n_upper)
        yield f"quadratic, condition {condition}", problem, theta, problem.hypergradient(theta)
    yield "breast cancer, per feature", *breast_cancer()


@dataclass(frozen=True)
class Course:
    """Errors of a method on a problem after so many estimates, and what one of them costs."""

    errors: dict
    gradients: float
    products: float

    def after(self, n):
        return self.errors.get(n, np.nan)


def course(method, problem, theta, want, marks):
    """Ask again and again, theta held still."""
    counted, seen, found = CountedProblem(problem), [], {}
    memory, begun = method.start(counted, theta), perf_counter()
    counted.calls.clear()
    for k in range(1, max(marks) + 1):
        estimate = method.estimate(counted, theta, memory)
        memory = estimate.memory
        seen.append(estimate.gradient)
        if k in marks:
            got = np.mean(seen[k // 2 :], axis=0) if method.noisy else seen[-1]
            found[k] = float(np.linalg.norm(got - want) / np.linalg.norm(want))
        if perf_counter() - begun > SECONDS:
            break
    return Course(found, counted.calls["lower"] / k, counted.calls["hvp"] / k)


def courses(names, marks, batch_size):
    """Pairs of a method's name and its course on every problem, by problem."""
    made = list(problems())
    for name in names:
        method = METHODS[name]
        if getattr(method, "batch_size", None):
            method = replace(method, batch_size=batch_size)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield name, {title: course(method, *rest, marks) for title, *rest in made}


def row(name, found, shown):
    """Cells of the markdown table: errors of all problems, the cost on the last."""
    cells = [" / ".join(_short(one.after(n)) for n in shown) for one in found.values()]
    last = list(found.values())[-1]
    cost = f"{last.gradients:.3g}, {last.products:.3g}"
    return [f"`{name}`", f"{METHODS[name].accuracy:g}", *cells, cost]


def _short(error):
    return "-" if np.isnan(error) else f"{error:.0e}"


def draw(results, path):
    """Error over gradients and products spent, a panel a problem."""
    titles = list(next(iter(results.values())))
    _, axes = plt.subplots(1, len(titles), figsize=(5 * len(titles), 4.5), sharey=True)
    styles = [f"C{color}{dash}" for dash in ("-", "--", ":", "-.") for color in range(10)]
    for axis, title in zip(axes, titles, strict=True):
        for name, style in zip(results, styles, strict=False):
            one = results[name][title]
            cost = max(one.gradients + one.products, 1e-3)
            x, error = zip(*((k * cost, max(e, 1e-14)) for k, e in one.errors.items()))
            axis.loglog(x, error, style, label=name)
        axis.set(title=title, xlabel="gradients + products with the Hessian", ylim=(1e-9, 3.0))
    axes[0].set_ylabel("error of the hypergradient, relative")
    axes[-1].legend(bbox_to_anchor=(1.02, 1.0), loc="upper left", fontsize=8, ncols=2)
    plt.savefig(path, dpi=80, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--estimates", nargs="+", type=int, default=[1, 10, 100, 1000])
    parser.add_argument("--batch-size", type=int, default=64, help="rows of a stochastic step")
    parser.add_argument("--markdown", type=Path, help="where the table is written")
    parser.add_argument("--figure", type=Path, help="where the picture is written")
    options = parser.parse_args()
    shown = sorted(options.estimates)
    marks = {*shown, *np.unique(np.geomspace(1, shown[-1], 25).astype(int)).tolist()}
    results, lines = {}, []

    def say(cells):
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)

    titles = [f"{title}: {' / '.join(map(str, shown))}" for title, *_ in problems()]
    say(["method", "accuracy", *titles, "gradients, products"])
    say(["---"] * (len(titles) + 3))
    for name, found in courses(options.methods, marks, options.batch_size):
        results[name] = found
        say(row(name, found, shown))
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")
    if options.figure:
        draw(results, options.figure)


if __name__ == "__main__":
    main()
