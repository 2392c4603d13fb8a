"""QNBOSearchCV against other ways to tune a penalty for every column or group of columns.

    python examples/benchmarks/competitors.py --quick
    python examples/benchmarks/competitors.py --repeats 3 --markdown competitors.md

Ours: ``default`` (ladder and cross-fit), ``rung`` (one penalty a column or group under a fixed
prior), ``free`` (``shrinkage=0``: what gradient methods of the field minimise, without a guard) and
``hoag``, which is ``free`` by ``method="hoag"``. Theirs: ``rivals.py``, where their settings
stand. All have the same matrix of standardised columns, the same five folds and the same objective
(mean log loss or squared error in the folds), one thread, and refit on all training rows.

``CV loss`` is that objective at the penalties found, computed by the same converged fits for all,
but for ``default`` and ``rung``: theirs is what the search tells of the folds (told again outside
the time where the cross-fit ended early), because their penalties differ from fold to fold.
``test loss`` is on 5,000 rows that nobody has seen. Seconds are of the CPU; ``jax`` is shown
without the seconds of compiling, ``jax compiled`` with them. Whoever takes more than five minutes
is given up.

A ratio counts as met where it is at most the target (0.1; 0.5 for himalaya and HOAG) *and* our CV
loss is at most theirs (within 0.1 %). A guarded search does not minimise the CV loss, so against
those who do, ``free`` is the one to compare, and the test loss tells what the guard is for.
"""

import warnings
from functools import cache, partial
from itertools import product
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd
from common import markdown, read, run_and_report, run_missing, sized_args
from contest import made, made_groups
from peers import time_limit
from rivals import EACH, GROUPED, RIVALS, compiled
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from sk_qnbo import QNBOSearchCV

TIME_LIMIT = 300
SLACK = 1.001  # of a CV loss that counts as equal
FREE = {"shrinkage": 0.0, "scale": 1}
OURS = {
    "default": {},
    "rung": {"shrinkage": 3.0, "scale": 1},
    "free": FREE,
    "hoag": FREE | {"method": "hoag"},
}
COMPARED = ("default", "rung", "free")
TARGETS = {"hoag": 0.5, "hoag scipy": 0.5, "himalaya": 0.5, "himalaya gradient": 0.5}
TARGET = 0.1
SHOWN = ("size", "model", "repeat", "method", "cpu", "cv_loss", "test_loss", "reason")

SHAPES = {"500x30": (500, 30), "5000x50": (5000, 50), "5000x500": (5000, 500)}
RACES = {
    (size, model): partial(made, *shape, model == "logistic")
    for size, shape in SHAPES.items()
    for model in ("logistic", "ridge")
}
GROUP_SHAPES = {"2000x300 in 5": (2000, 300), "300x2000 in 5": (300, 2000)}
RACES |= {(size, "ridge"): partial(made_groups, *s) for size, s in GROUP_SHAPES.items()}
SIZES = list(dict.fromkeys(size for size, _ in RACES))
QUICK_SIZES = ["500x30"]


# Running.


def methods_of(size):
    """Names of all who run on a size."""
    return [*OURS, *(GROUPED if size in GROUP_SHAPES else EACH)]


def run(args):
    """Run what the cache lacks, repeat by repeat, in turns."""
    settled = {(r["repeat"], r["size"], r["model"], r["method"]) for r in read(args.out)}
    races = product(range(args.repeats), (race for race in RACES if race[0] in args.sizes))
    keys = [(r, *race, method) for r, race in races for method in methods_of(race[0])]
    run_missing(run_one, [key for key in keys if key not in settled], args.out, SHOWN)


def run_one(repeat, size, model, method):
    """The record of one method on one race, in a list."""
    key = {"repeat": repeat, "size": size, "model": model, "method": method}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            warm_up(method, model, size in GROUP_SHAPES)
        except ImportError as reason:
            return [key | {"reason": str(reason)}]
        return [key | timed(method, race_of(size, model))]


@cache
def race_of(size, model):
    return RACES[size, model]()


@cache
def warm_up(method, model, grouped):
    """Once on a small set, so that nobody pays for what is imported late."""
    race = made_groups(60, 10) if grouped else made(60, 4, model == "logistic")
    tuned(method, race, n_trials=5)


def timed(method, race):
    """Seconds and losses of one method, or why there are none."""
    begun, cpu_begun = perf_counter(), process_time()
    try:
        with time_limit(TIME_LIMIT):
            found = tuned(method, race)
    except TimeoutError as reason:
        return {"reason": str(reason)}
    record = {"wall": perf_counter() - begun, "cpu": process_time() - cpu_begun}
    if method == "jax":
        record["compiling"] = compiled().compile_seconds
    return record | losses(method, race, found)


def tuned(method, race, **quick):
    """The fitted search, or the penalties that a rival found."""
    if method in RIVALS:
        return RIVALS[method](race, **(quick if method in ("optuna", *GROUPED) else {}))
    model = LogisticRegression(max_iter=1000) if race.classify else Ridge()
    penalty = "per_feature" if race.groups is None else race.groups
    search = QNBOSearchCV(model, penalty=penalty, cv=race.splitter, **OURS[method])
    return search.fit(race.X, race.y)


def losses(method, race, found):
    """Losses in the folds and on the test rows."""
    if method in RIVALS:
        return {"cv_loss": race.cv_loss(found), "test_loss": race.test_loss(race.refit(found))}
    own = {"default": told_of_all_folds, "rung": lambda race, search: -search.best_score_}
    cv_loss = own[method](race, found) if method in own else race.cv_loss(found.alpha_)
    return {"cv_loss": cv_loss, "test_loss": race.test_loss(found)}


def told_of_all_folds(race, search):
    """Loss of the chosen rung in all folds: a cross-fit that names its scorer skips none."""
    table = clone(search).set_params(scoring=race.scoring).fit(race.X, race.y).cv_results_
    return -table["mean_fold_score"][list(table["rung"]).index(search.best_rung_)]


# Reporting.


def report(args):
    """What all reached, and our seconds over theirs, as a markdown table."""
    records = pd.DataFrame([r for r in read(args.out) if r["size"] in args.sizes])
    parts = [
        "# Penalties for every column or group: CPU seconds and losses (medians)",
        "Last columns: our seconds over its own; a star where that meets the target at an equal or"
        " lower CV loss. Empty: given up, or not installed.",
        markdown(table(medians(records))),
    ]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if args.markdown:
        Path(args.markdown).write_text(text)


def medians(records):
    """Seconds and losses by race and method; JAX twice, without and with its compiling."""
    columns = ["cpu", "cv_loss", "test_loss"]
    records = records.reindex(columns=[*records.columns.union(["compiling", *columns])])
    whole = records[records["method"] == "jax"].assign(method="jax compiled")
    inside = records["compiling"].fillna(0)
    records = pd.concat([records.assign(cpu=records["cpu"] - inside), whole])
    index = ["size", "model", "method"]
    found = records.groupby(index, sort=False)[columns].median()
    return found.sort_index(key=_order)


def _order(level):
    rank = {name: k for k, name in enumerate([*SIZES, "logistic", *OURS, *RIVALS, "jax compiled"])}
    rank |= {"ridge": rank["logistic"] + 0.5, "jax compiled": rank["jax"] + 0.5}
    return level.map(rank)


def table(reached):
    """A row a method: seconds, losses, and our seconds over its own beside the target."""
    rows = {}
    for (size, model, method), found in reached.iterrows():
        row = {"CPU s": number(found["cpu"], 2)}
        row |= {"CV loss": number(found["cv_loss"], 4), "test loss": number(found["test_loss"], 4)}
        target = TARGETS.get(method, TARGET)
        for name in COMPARED:
            known = method not in COMPARED and (size, model, name) in reached.index
            ratio = compared(reached.loc[size, model, name], found, target) if known else ""
            row[f"{name} / it"] = ratio
        rows[size, model, method] = row | {"target": "" if method in COMPARED else str(target)}
    index = ["size", "model", "method"]
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index)


def number(value, digits):
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def compared(ours, theirs, target):
    """Ratio of seconds, with a star where it meets the target and the loss is no higher."""
    given_up = np.isnan(theirs["cpu"])
    if np.isnan(ours["cpu"]):
        return ""
    ratio = ours["cpu"] / (TIME_LIMIT if given_up else theirs["cpu"])
    met = ratio <= target and (given_up or ours["cv_loss"] <= SLACK * theirs["cv_loss"])
    return ("< " if given_up else "") + f"{ratio:.3f}" + (" *" if met else "")


def parse_args():
    told = "the smallest size, one repeat"
    return sized_args(__doc__, "competitors_results.jsonl", SIZES, QUICK_SIZES, 1, told)


if __name__ == "__main__":
    run_and_report(run, report, parse_args())
