"""Leave-one-out tuning of one penalty against RidgeCV and, where it is installed, bbai.

    python examples/benchmarks/loo.py --quick
    python examples/benchmarks/loo.py --repeats 9 --markdown loo.md

Ours is ``QNBOSearchCV(model, penalty="shared", shrinkage=inf, scale=0, cv="loo")``; theirs is
``RidgeCV`` over 30 penalties, and ``bbai.glm.LogisticRegression`` (R. Burn, arXiv 2011.10218),
which optimises the same approximate leave-one-out loss in C++. Columns are standardised beforehand
for all. Methods take turns within a repeat, one thread each, and ratios are taken within it; the
table holds medians of wall times. The loss is the left-out one that each reports of itself.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from common import markdown
from sklearn.datasets import load_breast_cancer, make_classification, make_regression
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sk_qnbo import QNBOSearchCV

try:
    from bbai.glm import LogisticRegression as BbaiLogistic
except ImportError:
    BbaiLogistic = None

ALPHAS = np.logspace(-3, 5, 30)
SIZES = {"ridge": [(500, 30), (5000, 50), (200, 2000)]}
SIZES["logistic"] = [(500, 30), (5000, 50), (200, 400), "breast cancer"]
QUICK = {"ridge": [(500, 30), (200, 2000)], "logistic": [(500, 30)]}


def made(model, size):
    """Standardised columns and the target."""
    if size == "breast cancer":
        X, y = load_breast_cancer(return_X_y=True)
    elif model == "ridge":
        n, d = size
        X, y = make_regression(n, d, n_informative=min(d // 2, 50), noise=50.0, random_state=0)
    else:
        n, d = size
        options = {"n_informative": min(d // 2, 50), "n_redundant": 0, "flip_y": 0.05}
        X, y = make_classification(n, d, random_state=0, **options)
    return StandardScaler().fit_transform(X), y


def ours(model, X, y):
    """Left-out loss of the search."""
    search = QNBOSearchCV(model, penalty="shared", shrinkage=np.inf, scale=0, cv="loo")
    return -search.fit(X, y).best_score_


def ridge_cv(X, y):
    return -RidgeCV(ALPHAS).fit(X, y).best_score_


def bbai(X, y):
    return BbaiLogistic().fit(X, y).aloocv_


def methods(model):
    if model == "ridge":
        return {"ours": lambda X, y: ours(Ridge(), X, y), "theirs": ridge_cv}
    found = {"ours": lambda X, y: ours(LogisticRegression(), X, y)}
    return found if BbaiLogistic is None else found | {"theirs": bbai}


def timed(method, X, y):
    begun = perf_counter()
    loss = method(X, y)
    return perf_counter() - begun, loss


def case(model, size, repeats):
    """One row of the table."""
    X, y = made(model, size)
    row = {"model": model, "size": size if isinstance(size, str) else "{}x{}".format(*size)}
    seconds = {name: [] for name in methods(model)}
    for _ in range(repeats + 1):  # the first one pays for what is imported late
        for name, method in methods(model).items():
            one, row[f"{name} loss"] = timed(method, X, y)
            seconds[name].append(one)
    rows = {name: np.array(found[1:]) for name, found in seconds.items()}
    row |= {f"{name} ms": 1e3 * np.median(found) for name, found in rows.items()}
    if "theirs" in rows:
        row["ratio"] = np.median(rows["ours"] / rows["theirs"])
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="three sizes, three repeats")
    parser.add_argument("--markdown", help="also write the table to this file")
    args = parser.parse_args()
    sizes, repeats = (QUICK, 3) if args.quick else (SIZES, args.repeats)
    with threadpool_limits(1):
        rows = [case(model, size, repeats) for model in sizes for size in sizes[model]]
    table = pd.DataFrame(rows).set_index(["model", "size"])
    columns = ["ours ms", "theirs ms", "ratio", "ours loss", "theirs loss"]
    text = markdown(table.reindex(columns=columns)) + "\n"
    print(text)
    if args.markdown:
        Path(args.markdown).write_text(text)


if __name__ == "__main__":
    main()
