"""What the benchmarks share: options, a cache of JSON lines, loss ratios and markdown tables."""

import argparse
import json
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.metrics import log_loss, mean_squared_error

FLOOR = 1e-3  # losses below count as this: a ratio of two perfect fits says nothing


def parser_of(doc, out):
    """Parser with the first line of a benchmark's text and the options that all have."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("--out", default=out, help="cache of results")
    parser.add_argument("--report", action="store_true", help="print tables, run nothing")
    parser.add_argument("--markdown", help="also write the report to this file")
    return parser


def sized_args(doc, out, sizes, quick, repeats, told):
    """Options of a benchmark over sizes: all of them, or with ``--quick`` some, once."""
    parser = parser_of(doc, out)
    parser.add_argument("--sizes", nargs="+", default=sizes, choices=sizes)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--quick", action="store_true", help=told)
    args = parser.parse_args()
    if args.quick:
        args.sizes, args.repeats = quick, 1
    return args


def run_and_report(run, report, args):
    """Run what the cache lacks, unless only the report is asked for, and report."""
    if not args.report:
        run(args)
    report(args)


def read(path):
    """The records of a cache file, if there is one."""
    path = Path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_missing(job, keys, path, shown, n_jobs=1):
    """Call ``job(*key)`` for every key; append the records it returns to the cache at once."""
    keys = list(keys)
    print(f"{len(keys)} runs to do")
    if n_jobs == 1:
        results = (job(*key) for key in keys)
    else:
        workers = Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
        results = workers(delayed(job)(*key) for key in keys)
    with open(path, "a") as out:
        for done, records in enumerate(results, 1):
            for record in records:
                out.write(json.dumps(record, default=float) + "\n")
                print(done, *(f"{key}={record[key]}" for key in shown if key in record), flush=True)
            out.flush()


def test_loss(model, data):
    """Log loss or mean squared error on the test rows."""
    if data.classify:
        return log_loss(data.y_test, model.predict_proba(data.X_test), labels=model.classes_)
    return mean_squared_error(data.y_test, model.predict(data.X_test))


def ratio_table(losses, reference):
    """Geometric mean over the splits of loss / reference loss; sets by methods."""
    levels = [name for name in losses.index.names if name != "split"]
    logs = np.log(losses.div(losses[reference], axis=0))
    return np.exp(logs.groupby(level=levels).mean())


def geometric_mean(ratios):
    """Geometric mean of the ratios there are."""
    return np.exp(np.log(ratios).mean())


def markdown(frame):
    """A data frame as a markdown table."""
    frame = frame.reset_index()
    lines = [frame.columns, ["---"] * frame.shape[1], *frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value):
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.3f}"
    return str(value)
