"""Time of QNBOSearchCV over that of the grid searches a user would run instead, one thread.

    python examples/benchmarks/speed.py --quick
    python examples/benchmarks/speed.py --sizes 500x30 5000x50 digits --repeats 3
    python examples/benchmarks/speed.py --report --markdown speed.md

Sets are made, but for digits and the sparse ones: ``text`` is the 20 newsgroups, one against the
rest, ``news20`` all twenty (``datasets.py`` says where they are; without them, made counts).

Ours: ``default`` is ``QNBOSearchCV(model, cv=folds)`` on raw columns with its whole ladder and
cross-fit; ``rung`` tunes one penalty a feature with a fixed prior; ``shared`` tunes one penalty.
Theirs: ``grid`` is ``GridSearchCV`` over 10 penalties on the same folds, behind a scaler where
columns are dense (or of different units); ``own`` is ``LogisticRegressionCV(Cs=10)`` with the
faster of two solvers, or ``RidgeCV`` by leave-one-out. Nobody refits less than once. A star marks a
ratio that meets its target.

Methods take turns within a repeat and ratios are taken within it, so that they share what else the
machine does; the table holds medians over the repeats. A search is given up after five minutes of
CPU time. Products are those of X with a vector for every fold and output, as the search on all
folds counts them (``history_``, without the cross-fit); forming X'WX counts a product a column.
"""

import warnings
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd
from common import markdown, read, run_and_report, run_missing, sized_args
from datasets import default_folder, load_set
from peers import time_limit
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sk_qnbo import QNBOSearchCV

TIME_LIMIT = 300
CS, ALPHAS = np.logspace(-4, 4, 10), np.logspace(-3, 5, 10)
OURS = {
    "default": {},
    "rung": {"penalty": "per_feature", "shrinkage": 3.0, "scale": 1},
    "shared": {"penalty": "shared", "shrinkage": np.inf, "scale": 1},
}
THEIRS = ("grid", "own")
TARGETS = {
    "logistic": {"default/grid": 1.0, "rung/grid": 0.25, "default/own": 2.0}
    | {"shared/grid": 0.3, "shared/own": 0.3},
    "ridge": {"default/grid": 1.0, "rung/grid": 0.25, "shared/grid": 0.1},
}
SHOWN = ("size", "model", "repeat", "method", "seconds", "cpu", "products", "reason")


# Data.


@dataclass(frozen=True)
class Case:
    """A data set to time on, with its folds and the scaler that a grid needs."""

    X: object
    y: np.ndarray
    classify: bool
    scaler: object = None

    @property
    def folds(self):
        return (StratifiedKFold if self.classify else KFold)(5, shuffle=True, random_state=0)

    @property
    def n_classes(self):
        return len(np.unique(self.y)) if self.classify else 0

    def scaled(self, model):
        """The model behind the scaler."""
        steps = [] if self.scaler is None else [self.scaler]
        return make_pipeline(*steps, model)


def dense(n, d, classify):
    """A made set of which half the columns, at most 50, matter."""
    useful = min(d // 2, 50)
    if not classify:
        X, y = make_regression(n, d, n_informative=useful, noise=50.0, random_state=0)
    else:
        options = {"n_informative": useful, "n_redundant": 0, "flip_y": 0.05, "random_state": 0}
        X, y = make_classification(n, d, **options)
    return Case(X, y, classify, StandardScaler())


def digits():
    return Case(*load_digits(return_X_y=True), True, StandardScaler())


def text(folder=None):
    """TF-IDF of the 20 newsgroups, the first against the rest."""
    counts, y = counted("news20_train", folder, 10_000, 100_000, 120, shares=(0.95, 0.05))
    y = y == 0 if len(np.unique(y)) > 2 else y
    return Case(TfidfTransformer().fit_transform(counts), y.astype(int), True)


def news20(folder=None):
    """TF-IDF of the 20 newsgroups, all of them."""
    counts, y = counted("news20_train", folder, 10_000, 100_000, 120, shares=[1 / 20] * 20)
    return Case(TfidfTransformer().fit_transform(counts), y, True)


def farm_ads(folder=None):
    """Which words an advertisement holds."""
    X, y = counted("farm_ads", folder, 4000, 55_000, 200, shares=(0.5, 0.5))
    return Case(X, y, True)


def adult(folder=None):
    """Indicator columns and a few numbers, of different units."""
    X, y = counted("adult_onehot", folder, 50_000, 123, 14, shares=(0.75, 0.25))
    return Case(X, y, True, StandardScaler(with_mean=False))


def counted(name, folder, *shape, shares):
    """A sparse set of the folder, or made counts where there is no folder."""
    folder = folder or default_folder()
    if folder is None:
        return made_counts(*shape, shares)
    task = load_set(name, "full", folder)
    return task.X, task.y


def made_counts(n, d, words, shares):
    """Rare and common words, every tenth used by one class alone; a tenth of the classes wrong."""
    rng = np.random.default_rng(0)
    y = rng.choice(len(shares), n, p=shares)
    columns = (d * rng.random((n, words)) ** 4).astype(int)
    used = (columns % 10 > 0) | (columns // 10 % len(shares) == y[:, None])
    y = np.where(rng.random(n) < 0.1, rng.choice(len(shares), n, p=shares), y)
    rows = np.broadcast_to(np.arange(n)[:, None], columns.shape)
    ones = np.ones(used.sum())
    return csr_matrix((ones, (rows[used], columns[used])), shape=(n, d)), y


SHAPES = {"500x30": (500, 30), "5000x50": (5000, 50), "60x2000": (60, 2000)}
SHAPES |= {"5000x500": (5000, 500), "20000x200": (20_000, 200), "2000x2000": (2000, 2000)}
SHAPES |= {"100000x20": (100_000, 20), "100x12000": (100, 12_000)}
CASES = {
    (size, model): partial(dense, *shape, model == "logistic")
    for size, shape in SHAPES.items()
    for model in ("logistic", "ridge")
}
REAL = {"digits": digits, "adult": adult, "farm_ads": farm_ads, "text": text, "news20": news20}
CASES |= {(name, "logistic"): case for name, case in REAL.items()}
SIZES = list(dict.fromkeys(size for size, _ in CASES))
QUICK_SIZES = ["500x30", "5000x50", "60x2000"]


# Methods.


def searches(case):
    """What is timed on a case, by name, in the order of the turns."""
    model = LogisticRegression(max_iter=1000) if case.classify else Ridge()
    found = {name: QNBOSearchCV(model, cv=case.folds, **how) for name, how in OURS.items()}
    return {"grid": grid(case, model), **found, **dict(own(case))}


def grid(case, model):
    """Ten penalties by GridSearchCV."""
    values = {"C": CS} if case.classify else {"alpha": ALPHAS}
    scoring = "neg_log_loss" if case.classify else "neg_mean_squared_error"
    step = type(model).__name__.lower()
    return GridSearchCV(
        case.scaled(model),
        {f"{step}__{name}": value for name, value in values.items()},
        scoring=scoring,
        cv=case.folds,
        error_score="raise",  # also lets the time limit through
    )


def own(case):
    """The cross-validated estimators of scikit-learn; newton-cholesky is for tall X."""
    if not case.classify:
        yield "own", case.scaled(RidgeCV(ALPHAS))
        return
    n, d = case.X.shape
    for solver in ("lbfgs", "newton-cholesky") if n > d else ("lbfgs",):
        options = {"Cs": 10, "cv": case.folds, "scoring": "neg_log_loss", "max_iter": 1000}
        yield f"own {solver}", case.scaled(LogisticRegressionCV(solver=solver, **options))


# Running.


def run(args):
    """Run what the cache lacks, repeat by repeat."""
    settled = {(r["repeat"], r["size"], r["model"]) for r in read(args.out)}
    cases = [case for case in CASES if case[0] in args.sizes]
    keys = [(r, *case) for r, case in product(range(args.repeats), cases)]
    run_missing(run_one, [key for key in keys if key not in settled], args.out, SHOWN)


def run_one(repeat, size, model):
    """The records of all methods on one case, each timed once."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm_up(model)
        case = CASES[size, model]()
        common = {"size": size, "model": model, "repeat": repeat, "n_classes": case.n_classes}
        common |= {"n": case.X.shape[0], "d": case.X.shape[1]}
        return [common | timed(name, search, case) for name, search in searches(case).items()]


@cache
def warm_up(model):
    """Fit everything once, so that nobody pays for what is imported late."""
    case = dense(100, 5, model == "logistic")
    for search in searches(case).values():
        search.fit(case.X, case.y)


def timed(name, search, case):
    """Seconds of one fit, or why there are none."""
    begun, cpu_begun = perf_counter(), process_time()
    try:
        with time_limit(TIME_LIMIT):
            search = clone(search).fit(case.X, case.y)
    except TimeoutError as reason:
        search, outcome = None, {"reason": str(reason)}
    else:
        outcome = {"seconds": perf_counter() - begun, "cpu": process_time() - cpu_begun}
    if isinstance(search, QNBOSearchCV):
        outcome["products"] = search.history_["products"][-1]
        outcome["steps"] = len(search.history_["products"])
    return {"method": name, **outcome}


# Reporting.


def report(args):
    """Seconds and ratios as markdown tables."""
    records = pd.DataFrame([r for r in read(args.out) if r["size"] in args.sizes])
    of_clock = {clock: table(records, clock) for clock in ("seconds", "cpu")}
    parts = ["# Speed, one thread (medians; empty: given up, or not applicable)"]
    for clock, words in {"seconds": "Wall time", "cpu": "CPU time"}.items():
        rows = starred(of_clock[clock])
        parts += [f"## {words} in seconds, and over that of theirs (* meets its target)"]
        parts += [markdown(rows)]
    parts += ["## Products with X and upper iterations", markdown(work(records))]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if args.markdown:
        Path(args.markdown).write_text(text)


def table(records, clock):
    """Medians over the repeats of the seconds of all and of the ratios of ours to theirs."""
    index = ["size", "model", "repeat"]
    wide = records.pivot_table(index=index, columns="method", values=clock, sort=False)
    wide["own"] = wide[[name for name in wide if name.startswith("own")]].min(axis=1)
    wide = wide.reindex(columns=[*THEIRS, *OURS])
    for theirs, ours in product(THEIRS, OURS):
        wide[f"{ours}/{theirs}"] = wide[ours] / wide[theirs]
    return wide.groupby(level=["size", "model"], sort=False).median()


def starred(ratios):
    """Three digits, and a star where a ratio meets its target."""

    def cell(model, name, value):
        if np.isnan(value):
            return ""
        star = " *" if value <= TARGETS[model].get(name, -np.inf) else ""
        return f"{value:.3f}{star}"

    rows = {
        key: {name: cell(key[1], name, value) for name, value in row.items()}
        for key, row in ratios.iterrows()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["size", "model"])


def work(records):
    """Products with X and upper iterations of our searches."""
    ours = records[records["method"].isin(OURS)].dropna(subset="seconds")
    index = ["size", "model", "n", "d", "n_classes"]
    values = ["products", "steps"]
    wide = ours.pivot_table(index=index, columns="method", values=values, sort=False)
    wide.columns = [f"{method} {value}" for value, method in wide.columns]
    return wide.apply(lambda column: ["" if np.isnan(n) else f"{n:.0f}" for n in column])


def parse_args():
    told = "three small sizes, one repeat"
    return sized_args(__doc__, "speed_results.jsonl", SIZES, QUICK_SIZES, 3, told)


if __name__ == "__main__":
    run_and_report(run, report, parse_args())
