"""Test loss of QNBOSearchCV on raw columns against tuned peers, on many real data sets.

Run everything, or only a part (finished results in the cache are never repeated):

    python examples/benchmarks/quality.py --jobs 2
    python examples/benchmarks/quality.py --quick --methods grid qnbo
    python examples/benchmarks/quality.py --report --markdown quality.md

Every set is split at random five times, at most 400 training rows (configuration "small") or 5000
(configuration "full", fewer sets). All methods see the same rows, the same raw columns and the same
five folds, and are judged on rows that no search has seen: log loss for classes, squared error for
targets standardised by the training rows. ``seconds`` are CPU seconds of one thread.

Methods: ``scaled`` is a grid of 30 penalties behind a StandardScaler, ``on_off`` the same grid with
the scaler as a second choice; the others are described in ``peers.py``. ``scaled``, ``raw`` and
``on_off`` come out of the one job ``grid``. Each result is one line of JSON in the file ``--out``;
the report reads that file alone.
"""

from itertools import product
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
from common import (
    FLOOR,
    geometric_mean,
    markdown,
    parser_of,
    ratio_table,
    read,
    run_missing,
    test_loss,
)
from datasets import default_folder, list_sets, load_set, split
from peers import PEERS, TIME_LIMIT, NotApplicableError, time_limit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

SPLITS = 5
QUICK_SPLITS = 2
RUNG = "rung: "
REFERENCES = {"scaled": "the scaled grid", "on_off": "the grid with the scaler on or off"}


def qnbo(data):
    """Our search, with the test loss of every rung of its ladder."""
    from sk_qnbo import QNBOSearchCV

    model = LogisticRegression() if data.classify else Ridge()
    started = process_time()
    search = QNBOSearchCV(model, cv=data.folds).fit(data.X_train, data.y_train)
    seconds = process_time() - started
    chosen = search.cv_results_["rung"][search.best_index_]
    record = {"loss": test_loss(search, data), "score": -search.best_score_, "rung": str(chosen)}
    return {"qnbo": {**record, "seconds": seconds, "rungs": _rungs(search, data)}}


def _rungs(search, data):
    """Test, cross-fitted and in-fold loss of every rung, refitted on all training rows."""
    table, rungs = search.cv_results_, {}
    for i, params in enumerate(table["params"]):
        model = clone(search.best_estimator_).set_params(**params).fit(data.X_train, data.y_train)
        rungs[str(table["rung"][i])] = {
            "test": test_loss(model, data),
            "crossfit": -table["mean_test_score"][i],
            "fold": -table["mean_fold_score"][i],
        }
    return rungs


JOBS = {"grid": PEERS["grid"], "qnbo": qnbo, **PEERS}


# Running.


def run(args):
    """Run what the cache lacks; write each result as it arrives."""
    keys = ((*key, args.data) for key in missing(args))
    run_missing(run_one, keys, args.out, SHOWN, args.jobs)


SHOWN = ("set", "config", "split", "method", "loss", "seconds", "rung", "reason")


def missing(args):
    """(job, set, config, split) in the order of the work: by job, then by split."""
    tasks = [(s, c) for c in ("small", "full") for s in list_sets(c, args.quick, args.data)]
    tasks = [task for task in tasks if not args.sets or task[0] in args.sets]
    settled = {_key(r) for r in read(args.out) if r["status"] != "failed"}
    for job, seed, (name, config) in product(args.methods, args.splits, tasks):
        if (job, name, config, seed) not in settled:
            yield job, name, config, seed


def _key(record):
    return record["job"], record["set"], record["config"], record["split"]


def run_one(job, name, config, seed, folder=None):
    """The records of one job on one split: usually one, three for the grid."""
    task = load_set(name, config, folder)
    common = {"job": job, "set": name, "config": config, "split": seed, "kind": task.kind}
    with threadpool_limits(1):
        data = split(task, seed)
        common |= {"n_train": data.X_train.shape[0], "n_test": data.X_test.shape[0]}
        common["d"] = data.X_train.shape[1]
        started = process_time()
        results = _attempt(job, data)
        seconds = process_time() - started
    return [common | {"method": m, "seconds": seconds} | result for m, result in results.items()]


def _attempt(job, data):
    """The results of a job; what cannot be had is a record with a reason instead of a loss."""
    try:
        if job not in PEERS:
            results = JOBS[job](data)
        else:
            with time_limit(TIME_LIMIT):
                results = JOBS[job](data)
    except (NotApplicableError, TimeoutError) as reason:
        return {job: {"status": "skipped", "loss": None, "reason": str(reason)}}
    except Exception as error:  # one failure must not end an hour of work
        return {job: {"status": "failed", "loss": None, "reason": repr(error)}}
    return {method: {"status": "ok", **result} for method, result in results.items()}


# Reporting.


def report(args):
    """Tables of loss ratios as text, and as markdown where asked."""
    records = [r for r in read(args.out) if _wanted(r, args)]
    losses, about = loss_table(records)
    over = {reference: ratio_table(losses, reference) for reference in REFERENCES}
    parts = ["# Quality benchmark", *overview(over), *by_group(over["on_off"], about)]
    parts += [*outcomes(records), *rung_choice(records)]
    for reference, words in REFERENCES.items():
        table = about.join(over[reference].drop(columns=reference))
        parts += [f"## Test loss over that of {words}, by set", markdown(table)]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if args.markdown:
        Path(args.markdown).write_text(text)


def _wanted(record, args):
    sets = args.sets or (list_sets("small", True, args.data) if args.quick else [record["set"]])
    return record["split"] in args.splits and record["set"] in sets


def loss_table(records):
    """Losses by (set, config, split) and method, and a table describing every set."""
    rows = {}
    for r in records:
        row = rows.setdefault((r["set"], r["config"], r["split"]), {})
        if r["loss"] is not None:
            row[r["method"]] = r["loss"]
        row |= {RUNG + name: rung["test"] for name, rung in r.get("rungs", {}).items()}
    losses = pd.DataFrame.from_dict(rows, orient="index").clip(lower=FLOOR)
    losses.index = pd.MultiIndex.from_tuples(losses.index, names=["set", "config", "split"])
    about = pd.DataFrame(records).groupby(["set", "config"])[["kind", "n_train", "d"]].first()
    return losses, about


def overview(over):
    """Every method over all sets: geometric means, worst sets, how often near the best peer."""
    peers = over["scaled"][[m for m in PEER_METHODS if m in over["scaled"]]]
    near_best = 1.02 * peers.min(axis=1)
    rows = {}
    for method in over["scaled"]:
        row = {"sets": over["scaled"][method].count()}
        for reference, ratios in over.items():
            ratio = ratios[method].dropna()
            row[f"over {reference}"] = geometric_mean(ratio)
            row[f"worst over {reference}"] = f"{ratio.max():.3f} {ratio.idxmax()[0]}"
        ratio = over["scaled"][method].dropna()
        rows[method] = row | {"within 2 % of best peer": (ratio <= near_best[ratio.index]).mean()}
    table = markdown(pd.DataFrame.from_dict(rows, orient="index"))
    return "## Overall (geometric means over the sets)", table


def by_group(ratios, about):
    """Geometric means by kind of task, by shape and by configuration."""
    shape = pd.Series(np.where(about["d"] > about["n_train"] / 2, "wide", "tall"), about.index)
    config = pd.Series(about.index.get_level_values("config"), about.index)
    groups = [ratios.groupby(key).agg(geometric_mean) for key in (about["kind"], shape, config)]
    words = "wide: more columns than half the training rows"
    return f"## Over on_off, by group ({words})", markdown(pd.concat(groups).T)


PEER_METHODS = ("scaled", "on_off", *(name for name in PEERS if name != "grid"))


def outcomes(records):
    """CPU seconds by method, and what was skipped or failed."""
    frame = pd.DataFrame(records)
    seconds = frame[frame["status"] == "ok"].groupby("method")["seconds"]
    table = frame.groupby(["method", "status"]).size().unstack(fill_value=0)
    table = seconds.agg(["sum", "median", "max"]).join(table, how="right")
    return "## CPU seconds and outcomes", markdown(table)


def rung_choice(records):
    """How often each rung was chosen, and what the choice cost against the best on test rows."""
    frames = []
    for r in records:
        if r.get("rungs"):
            test = {name: max(rung["test"], FLOOR) for name, rung in r["rungs"].items()}
            best = min(test, key=test.get)
            frames.append({"chosen": r["rung"], "best": best, "cost": test[r["rung"]] / test[best]})
    if not frames:
        return ()
    frame = pd.DataFrame(frames)
    counts = pd.DataFrame({key: frame[key].value_counts() for key in ("chosen", "best")})
    hits, cost = (frame["chosen"] == frame["best"]).mean(), np.exp(np.log(frame["cost"]).mean())
    words = f"The chosen rung was the best on the test rows in {hits:.0%} of {len(frame)} splits;"
    words += f" its loss was {cost:.3f} times that of the best (geometric mean)."
    return "## Choice of the rung", words, markdown(counts.fillna(0).astype(int))


def parse_args():
    parser = parser_of(__doc__, "quality_results.jsonl")
    parser.add_argument("--data", default=default_folder(), type=Path, help="folder of data sets")
    parser.add_argument("--methods", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--sets", nargs="+", help="only these sets")
    parser.add_argument("--splits", nargs="+", type=int, help="numbers of the random splits")
    parser.add_argument("--quick", action="store_true", help="12 sets, 2 splits")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    args.splits = args.splits or list(range(QUICK_SPLITS if args.quick else SPLITS))
    return args


if __name__ == "__main__":
    arguments = parse_args()
    (report if arguments.report else run)(arguments)
