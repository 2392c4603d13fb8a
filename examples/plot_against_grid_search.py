"""
================================================
One line for another: against a grid of penalties
================================================

A linear model in scikit-learn is usually tuned by scaling the columns and searching a grid of
penalties. :class:`~sk_qnbo.QNBOSearchCV` takes the raw columns, moves the penalties along a
gradient, and decides by cross-fitting how much freedom the data can pay for. Both are fitted here
on the same training rows and judged on the same rows kept out, over several random splits.

The data are scikit-learn's own sets with at least a hundred rows, none left out for its result
(of the digits, 500 images, even against odd), and two that are made from one of them: with the
squares and products of its columns, and with fifty shuffled columns beside the real ones, where the
search is told which columns are which and the grid has no way to know.
"""

# %%
# The data
# --------
import argparse
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sk_qnbo import QNBOSearchCV
from sk_qnbo.display import LadderDisplay

parser = argparse.ArgumentParser(description="QNBOSearchCV beside GridSearchCV, on rows kept out.")
parser.add_argument("--splits", type=int, default=3, help="random splits of every data set")
parser.add_argument("--sets", nargs="*", help="some of the data sets, by name; default all")
parser.add_argument("--markdown", action="store_true", help="print the table as markdown")
parser.add_argument("--figure", help="file to save the picture in")
args = parser.parse_args()


def digits():
    """Five hundred images, raw pixels; is the digit even or odd?"""
    X, y = load_digits(return_X_y=True)
    rows = np.random.default_rng(0).choice(len(y), 500, replace=False)
    return X[rows], y[rows] % 2


def diabetes():
    return load_diabetes(return_X_y=True, scaled=False)


def diabetes_products():
    X, y = diabetes()
    return PolynomialFeatures(2, include_bias=False).fit_transform(X), y


def diabetes_shuffled():
    """Every real column also comes five times in a random order of the rows."""
    X, y = diabetes()
    rng = np.random.default_rng(0)
    return np.column_stack([X, *(rng.permutation(c) for c in np.tile(X, 5).T)]), y


SETS = {
    "iris": lambda: load_iris(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "digits, even or odd": digits,
    "diabetes": diabetes,
    "diabetes, products": diabetes_products,
    "diabetes, 50 shuffled": diabetes_shuffled,
}
GROUPS = {"diabetes, 50 shuffled": {"real": range(10), "shuffled": range(10, 60)}}

# %%
# The two searches
# ----------------
# Both use five folds and the same loss: log loss for classes, squared error for numbers. The grid
# has 17 penalties over eight decades and gets standardised columns; the search gets them raw.
PENALTIES = np.logspace(-4, 4, 17)


def searches(is_classifier, groups):
    """The grid over a scaled pipeline, and the search by gradient on raw columns."""
    penalty = "per_feature" if groups is None else groups
    if is_classifier:
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        grid = {"logisticregression__C": 1.0 / PENALTIES}
        return (
            GridSearchCV(pipeline, grid, cv=5, scoring="neg_log_loss"),
            QNBOSearchCV(LogisticRegression(), penalty=penalty, cv=5),
        )
    grid = {"ridge__alpha": PENALTIES}
    return (
        GridSearchCV(
            make_pipeline(StandardScaler(), Ridge()), grid, cv=5, scoring="neg_mean_squared_error"
        ),
        QNBOSearchCV(Ridge(), penalty=penalty, cv=5),
    )


def test_loss(search, X, y, is_classifier):
    """Log loss, or the part of the variance that is left unexplained."""
    if is_classifier:
        return log_loss(y, search.predict_proba(X))
    return 1.0 - r2_score(y, search.predict(X))


def compare(X, y, groups, seed):
    """Losses on rows kept out and seconds of both, and the rung that was chosen."""
    is_classifier = len(np.unique(y)) < 20
    strata = y if is_classifier else None
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=seed, stratify=strata)
    losses, seconds = [], []
    for search in searches(is_classifier, groups):
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a grid's extremes may not converge
            search.fit(X, y)
        seconds.append(time.perf_counter() - begun)
        losses.append(test_loss(search, X_test, y_test, is_classifier))
    return losses, seconds, search.best_rung_


# %%
# Rows kept out
# -------------
results = {}
for name in args.sets or SETS:
    X, y = SETS[name]()
    runs = [compare(X, y, GROUPS.get(name), seed) for seed in range(args.splits)]
    losses, seconds = (np.array([run[i] for run in runs]) for i in (0, 1))
    results[name] = X.shape, losses, seconds
    print(f"{name}: rungs chosen {', '.join(run[2] for run in runs)}", flush=True)

# %%
# A ratio below one says that the search by gradient did better on rows that neither had seen.
# Its mean is the geometric one.


def table(results, markdown):
    """Rows of text: what each search lost on rows kept out, and what it cost."""
    head = ["data", "rows x columns", "grid: loss", "search: loss", "ratio (range)",
            "won", "grid: s", "search: s"]  # fmt: skip
    body = []
    for name, ((n, d), losses, seconds) in results.items():
        ratio = losses[:, 1] / losses[:, 0]
        body.append([
            name, f"{n} x {d}", *(f"{v:.3f}" for v in losses.mean(axis=0)),
            f"{np.exp(np.log(ratio).mean()):.2f} ({ratio.min():.2f} to {ratio.max():.2f})",
            f"{(ratio < 1).sum()} of {len(ratio)}", *(f"{v:.1f}" for v in seconds.mean(axis=0)),
        ])  # fmt: skip
    if markdown:
        rows = [head, ["---"] * 2 + ["---:"] * 6, *body]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths)) for row in [head, *body]]
    return "\n".join(lines)


print()
print(table(results, args.markdown))
ratios = np.concatenate([losses[:, 1] / losses[:, 0] for _, losses, _ in results.values()])
print(
    f"\n{args.splits} splits of {len(results)} data sets: test loss over that of the grid "
    f"{np.exp(np.log(ratios).mean()):.3f} (geometric mean), lower in {(ratios < 1).sum()} of "
    f"{len(ratios)}."
)

# %%
# The picture: left, every split of every data set; right, why the ladder is needed. On the
# breast cancer data the loss in the folds falls with every freedom the penalties get. On rows that
# had no part in the tuning it rises again, and by those rows the search chooses.
figure, (left, right) = plt.subplots(
    1, 2, figsize=(10.5, 4.2), layout="constrained", gridspec_kw={"width_ratios": [1, 1.1]}
)
left.axvline(1.0, color="0.3", linewidth=1)
for height, (_, losses, _) in enumerate(results.values()):
    ratio = losses[:, 1] / losses[:, 0]
    left.plot(ratio, np.full(len(ratio), height), "o", color="C0", alpha=0.35, markeredgewidth=0)
    left.plot(np.exp(np.log(ratio).mean()), height, "D", color="C0", markersize=8)
left.set_yticks(range(len(results)), list(results))
left.invert_yaxis()
left.set_xscale("log")
left.set_xlim(min(0.6, 0.9 * ratios.min()), max(1.6, 1.1 * ratios.max()))
low, high = left.get_xlim()
ticks = [t for t in (0.01, 0.05, 0.2, 0.5, 0.7, 1.0, 1.4, 2.0, 5.0, 20.0) if low < t < high]
left.set_xticks(ticks, [f"{t:g}" for t in ticks])
left.minorticks_off()
left.set_xlabel("test loss, as multiple of GridSearchCV's\n(dots: splits; diamonds: their mean)")
left.set_title("Rows kept out: left of the line is better", fontsize=10)
left.grid(axis="x", alpha=0.3)

X, y = load_breast_cancer(return_X_y=True)
# by a scorer of one's own all rungs are tuned in every fold, those too that do not pay
ladder = QNBOSearchCV(LogisticRegression(), scoring="neg_log_loss").fit(X, y)
LadderDisplay.from_estimator(ladder, ax=right)
right.set_title("Breast cancer: each rung of the ladder", fontsize=10)
if args.figure:
    figure.savefig(args.figure, dpi=80)
plt.show()
