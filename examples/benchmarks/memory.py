"""Peak memory of a search over that of one plain fit on the same matrix, dense or sparse.

    python examples/benchmarks/memory.py
    python examples/benchmarks/memory.py --sizes 20000x200 text --fits plain default

The matrices are those of ``speed.py``. Every fit runs in a process of its own, which reads the
prepared matrix from a file; what the process held after its imports and with the data (its peak
until then) is subtracted from its peak after the fit, so a fit that reuses freed memory shows as
zero. The target of the search is twice a plain fit, with X counted on both sides.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from common import markdown
from peers import time_limit
from scipy.sparse import issparse, load_npz, save_npz
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from speed import CASES, OURS, SIZES, TIME_LIMIT, Case, grid

from sk_qnbo import QNBOSearchCV

MIB = 2.0**20
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
FITS = ("plain", "grid", *OURS)
DEFAULT_SIZES = ("20000x200", "100x12000", "2000x2000", "text")


def prepare(size, model, folder):
    """Write the matrix and its target."""
    case = CASES[size, model]()
    if issparse(case.X):
        save_npz(folder / "X.npz", case.X, compressed=False)
    else:
        np.save(folder / "X.npy", case.X)
    np.save(folder / "y.npy", case.y)
    return {"n": case.X.shape[0], "d": case.X.shape[1]}


def prepared(model, folder):
    """What ``prepare`` wrote."""
    sparse = folder / "X.npz"
    X = load_npz(sparse) if sparse.exists() else np.load(folder / "X.npy")
    scaler = None if issparse(X) else StandardScaler()
    return Case(X, np.load(folder / "y.npy"), model == "logistic", scaler)


def measure(name, size, kind, folder):
    """Peak memory of one fit in this process, beyond what it held before."""
    case = prepared(kind, folder)
    model = model_of(name, case)
    before, begun = peak(), perf_counter()
    finished = fitted_in_time(model, case)
    X = case.X
    parts = (X.data, X.indices, X.indptr) if issparse(X) else (X,)
    record = {"before MiB": before, "peak MiB": peak(), "fit MiB": peak() - before}
    return {
        "size": size,
        "model": kind,
        "fit": name,
        "X MiB": sum(part.nbytes for part in parts) / MIB,
        **record,
        "seconds": perf_counter() - begun,
        "finished": finished,
    }


def fitted_in_time(model, case):
    """Whether the fit ended before it was given up; its peak until then counts either way."""
    try:
        with time_limit(TIME_LIMIT):
            model.fit(case.X, case.y)
    except TimeoutError:
        return False
    return True


def model_of(name, case):
    """What is fitted, by name."""
    model = LogisticRegression(max_iter=1000) if case.classify else Ridge()
    if name in OURS:
        return QNBOSearchCV(model, cv=case.folds, **OURS[name])
    return model if name == "plain" else grid(case, model)


def peak():
    """Peak resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / MIB


def child(step, size, model, folder):
    """Result of a step done in another process, or None where it failed."""
    options = ["--step", step, "--sizes", size, "--model", model, "--folder", str(folder)]
    command = [sys.executable, __file__, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def run(args):
    """Every fit in its own process; the table as markdown, the records as JSON lines."""
    cases = [case for case in CASES if case[0] in args.sizes]
    records = [record for case in cases for record in run_case(*case, args)]
    frame = pd.DataFrame(records).set_index(["size", "model", "fit"])
    plain = frame["fit MiB"].xs("plain", level="fit") if "plain" in args.fits else np.nan
    frame["over plain"] = frame["fit MiB"] / plain
    frame["over plain, with X"] = (frame["X MiB"] + frame["fit MiB"]) / (frame["X MiB"] + plain)
    print(markdown(frame))


def run_case(size, model, args):
    """The records of all fits on one matrix."""
    with tempfile.TemporaryDirectory() as folder:
        print(size, model, child("prepare", size, model, folder))
        found = {name: child(name, size, model, folder) for name in args.fits}
    print("failed:", [name for name in found if found[name] is None])
    records = [record for record in found.values() if record is not None]
    with open(args.out, "a") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)
    return records


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="memory_results.jsonl", help="where records are added")
    parser.add_argument("--sizes", nargs="+", default=DEFAULT_SIZES, choices=SIZES)
    parser.add_argument("--fits", nargs="+", default=FITS, choices=FITS)
    parser.add_argument("--step", choices=("prepare", *FITS), help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main(args):
    """The whole benchmark, or one step of it in a child process."""
    if args.step is None:
        run(args)
    elif args.step == "prepare":
        print(json.dumps(prepare(*args.sizes, args.model, args.folder)))
    else:
        print(json.dumps(measure(args.step, *args.sizes, args.model, args.folder)))


if __name__ == "__main__":
    main(parse_args())
