"""How the time of a search grows with rows, with stored numbers of a sparse X, and with columns.

    python examples/benchmarks/scaling.py --quick
    python examples/benchmarks/scaling.py --repeats 3 --figure docs/images/scaling.png
    python examples/benchmarks/scaling.py --axes workers --repeats 3

``rows``: 500 to 50,000 rows of 30 columns; ``nonzeros``: 200 to 20,000 rows of 50 words among
10,000; ``columns``: 100 rows of 300 to 30,000 columns. The searches are the default and one rung of
``speed.py`` beside its grid of ten penalties, on made sets, one thread, in CPU seconds; whoever
takes more than five minutes is given up. An exponent is the slope of a line through the logarithms:
over all sizes, and over the upper half of them, where what every search costs at least is hidden no
longer. The target is 1.1.

``workers`` is the wall time of the default search with ``n_jobs=2`` over that with one, on
20,000 x 200 (target 0.65); it needs two idle cores.
"""

import warnings
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from common import markdown, parser_of, read, run_and_report, run_missing
from sklearn.linear_model import LogisticRegression, Ridge
from speed import OURS, Case, dense, grid, made_counts, timed, warm_up
from threadpoolctl import threadpool_limits

from sk_qnbo import QNBOSearchCV

METHODS = ("default", "rung", "grid")
BOTH = ("logistic", "ridge")
TARGET, WORKERS_TARGET = 1.1, 0.65
SHOWN = ("axis", "size", "model", "repeat", "method", "cpu", "seconds", "reason")


def texts(n, classify):
    """Made counts, as those of ``speed.py`` where there are no texts."""
    return Case(*made_counts(n, 10_000, 50, (0.5, 0.5)), classify)


class Axis(NamedTuple):
    """What grows, its sizes, the case of a size, and who is timed."""

    label: str
    sizes: tuple
    case: object
    models: tuple = BOTH
    methods: tuple = METHODS


AXES = {
    "rows": Axis(
        "rows (30 columns)", (500, 1500, 5000, 15_000, 50_000), lambda n, c: dense(n, 30, c)
    ),
    "nonzeros": Axis("stored numbers", (200, 600, 2000, 6000, 20_000), texts, ("logistic",)),
    "columns": Axis(
        "columns (100 rows)", (300, 1000, 3000, 10_000, 30_000), lambda d, c: dense(100, d, c)
    ),
    "workers": Axis(
        "rows", (20_000,), lambda n, c: dense(n, 200, c), methods=("n_jobs=1", "n_jobs=2")
    ),
}
PANELS = ("rows", "nonzeros", "columns")
QUICK = 3  # sizes of an axis


# Running.


def run(args):
    """Run what the cache lacks, repeat by repeat, in turns."""
    settled = {(r["repeat"], r["axis"], r["size"], r["model"], r["method"]) for r in read(args.out)}
    keys = [
        (repeat, axis, *rest)
        for repeat, axis in product(range(args.repeats), args.axes)
        for rest in product(AXES[axis].sizes[: args.n_sizes], AXES[axis].models, AXES[axis].methods)
    ]
    run_missing(run_one, [key for key in keys if key not in settled], args.out, SHOWN)


def run_one(repeat, axis, size, model, method):
    """The record of one search on one size, in a list."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm_up(model)
        case = AXES[axis].case(size, model == "logistic")
        length = case.X.nnz if axis == "nonzeros" else size
        key = {"axis": axis, "size": size, "length": length, "model": model, "repeat": repeat}
        return [key | timed(method, search_of(method, case), case)]


def search_of(method, case):
    """The search of a name."""
    model = LogisticRegression(max_iter=1000) if case.classify else Ridge()
    if method == "grid":
        return grid(case, model)
    how = {"n_jobs": int(method[-1])} if method.startswith("n_jobs") else OURS[method]
    return QNBOSearchCV(model, cv=case.folds, **how)


# Reporting.


def report(args):
    """Exponents, seconds and the ratio of two workers as markdown tables, and the picture."""
    records = pd.DataFrame([r for r in read(args.out) if r["axis"] in args.axes])
    grown = records[records["axis"].isin(PANELS)]
    parts = ["# Growth of the time (CPU seconds of one thread, medians)"]
    if len(grown):
        seconds = seconds_of(grown)
        parts += ["## Exponents: all sizes, upper half (target 1.1)", markdown(exponents(seconds))]
        parts += ["## Seconds", markdown(seconds.unstack("method")[list(METHODS)])]
        if args.figure:
            draw(seconds, args.figure)
    if len(grown) < len(records):
        parts += [
            "## Wall time of n_jobs=2 over n_jobs=1 (target 0.65)",
            markdown(workers(records)),
        ]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if args.markdown:
        Path(args.markdown).write_text(text)


def seconds_of(records):
    """Median CPU seconds by axis, model, length and method; NaN where someone was given up."""
    records = records.reindex(columns=[*records.columns.union(["cpu"])])
    index = ["axis", "model", "length", "method"]
    return records.groupby(index, sort=False)["cpu"].median().rename("seconds")


def exponents(seconds):
    """Slopes of log seconds by log length."""
    rows = []
    for (axis, model, method), part in seconds.groupby(["axis", "model", "method"], sort=False):
        lengths, values = part.index.get_level_values("length").to_numpy(float), part.to_numpy()
        half = len(lengths) // 2
        row = {"axis": axis, "model": model, "method": method, "all": slope(lengths, values)}
        rows.append(row | {"upper half": slope(lengths[half:], values[half:])})
    return pd.DataFrame(rows).set_index(["axis", "model", "method"])


def slope(lengths, values):
    """Exponent of a power law by least squares, of what was not given up."""
    there = ~np.isnan(values)
    if there.sum() < 2:
        return np.nan
    return np.polyfit(np.log(lengths[there]), np.log(values[there]), 1)[0]


def workers(records):
    """Wall seconds of both and their ratio."""
    part = records[records["axis"] == "workers"]
    wide = part.pivot_table(index=["size", "model", "repeat"], columns="method", values="seconds")
    wide["ratio"] = wide["n_jobs=2"] / wide["n_jobs=1"]
    return wide.groupby(["size", "model"]).median()


def draw(seconds, path):
    """A panel an axis, log-log; whole lines are logistic regression, broken ones ridge."""
    import matplotlib.pyplot as plt

    axes = seconds.index.unique("axis")
    size = {"figsize": (3.7 * len(axes), 3.6), "squeeze": False}
    figure, panels = plt.subplots(1, len(axes), sharey=True, **size)
    for axis, panel in zip(axes, panels[0]):
        draw_panel(panel, seconds.xs(axis, level="axis"), AXES[axis].label)
    panels[0, 0].set_ylabel("CPU seconds")
    panels[0, 0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_panel(panel, seconds, label):
    """The lines of one axis."""
    colors = dict(zip(METHODS, ("tab:blue", "tab:orange", "tab:gray")))
    names = {"default": "default search", "rung": "one rung", "grid": "GridSearchCV(10)"}
    for (model, method), part in seconds.groupby(["model", "method"], sort=False):
        style = {"ls": "-", "label": names[method]} if model == "logistic" else {"ls": "--"}
        lengths = part.index.get_level_values("length")
        panel.loglog(lengths, part, color=colors[method], marker=".", **style)
    panel.set_xlabel(label)
    panel.grid(alpha=0.3)


def parse_args():
    parser = parser_of(__doc__, "scaling_results.jsonl")
    parser.add_argument("--axes", nargs="+", default=PANELS, choices=AXES)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--figure", help="also draw the picture into this file")
    parser.add_argument("--quick", action="store_true", help="three sizes an axis, one repeat")
    args = parser.parse_args()
    args.n_sizes = QUICK if args.quick else None
    args.repeats = 1 if args.quick else args.repeats
    return args


if __name__ == "__main__":
    run_and_report(run, report, parse_args())
