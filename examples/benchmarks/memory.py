"""Peak memory of a search on text over that of one plain fit on the same matrix.

    python examples/benchmarks/memory.py

The matrix is that of ``speed.py``. Every fit runs in a process of its own, which reads the prepared
matrix from a file; what the process held after its imports and with the data (its peak until then)
is subtracted from its peak after the fit, so a fit that reuses freed memory shows as zero.
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
from scipy.sparse import load_npz, save_npz
from sklearn.linear_model import LogisticRegression
from speed import OURS, TIME_LIMIT, Case, grid, text

from sk_qnbo import QNBOSearchCV

MIB = 2.0**20
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
FITS = ("plain", "grid", *OURS)


def prepare(folder):
    """Write the matrix and its classes."""
    case = text()
    save_npz(folder / "X.npz", case.X, compressed=False)
    np.save(folder / "y.npy", case.y)
    return {"n": case.X.shape[0], "d": case.X.shape[1], "stored": case.X.nnz}


def measure(name, folder):
    """Peak memory of one fit in this process, beyond what it held before."""
    case = Case(load_npz(folder / "X.npz"), np.load(folder / "y.npy"), True)
    model = model_of(name, case)
    before, begun = peak(), perf_counter()
    finished = fitted_in_time(model, case)
    X = case.X
    size = (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / MIB
    record = {"before MiB": before, "peak MiB": peak(), "fit MiB": peak() - before}
    return {
        "fit": name,
        "X MiB": size,
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
    model = LogisticRegression(max_iter=1000)
    if name in OURS:
        return QNBOSearchCV(model, cv=case.folds, **OURS[name])
    return model if name == "plain" else grid(case, model)


def peak():
    """Peak resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / MIB


def child(step, folder):
    """Result of a step done in another process, or None where it failed."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def run(args):
    """Every fit in its own process; the table as markdown, the records as JSON lines."""
    with tempfile.TemporaryDirectory() as folder:
        print(child("prepare", folder))
        found = {name: child(name, folder) for name in args.fits}
    records = [record for record in found.values() if record is not None]
    print("failed:", [name for name in found if found[name] is None])
    with open(args.out, "a") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)
    frame = pd.DataFrame(records).set_index("fit")
    if "plain" in frame.index:
        frame["over plain"] = frame["fit MiB"] / frame.loc["plain", "fit MiB"]
    print(markdown(frame))


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="memory_results.jsonl", help="where records are added")
    parser.add_argument("--fits", nargs="+", default=FITS, choices=FITS)
    parser.add_argument("--step", choices=("prepare", *FITS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main(args):
    """The whole benchmark, or one step of it in a child process."""
    if args.step is None:
        run(args)
    elif args.step == "prepare":
        print(json.dumps(prepare(args.folder)))
    else:
        print(json.dumps(measure(args.step, args.folder)))


if __name__ == "__main__":
    main(parse_args())
