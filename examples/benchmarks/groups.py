"""What groups of features and co-data are worth to QNBOSearchCV, on real and on made data.

    python examples/benchmarks/groups.py
    python examples/benchmarks/groups.py --report --markdown groups.md

One guarded search (``shrinkage="cv"``) for each thing that a user may tell it of the features:

* ``shared``: nothing; one common level, besides the learned scale and adaptivity;
* ``groups``: the groups that the source of the data gives (variables behind indicator columns,
  clinical and genes, chromosomes, positions), each with a departure of its own;
* ``codata``: numbers known of each feature (results of an earlier study);
* ``per_feature``: a departure for each feature.

The sets are all those of the folder with groups or co-data (``datasets.py`` says where it is), but
for ijcnn1_test (a part of ijcnn1), nutrimouse (eight rows a class) and three that take minutes a
search: covtype_20k, leaf_flavia (32 classes) and mice_genomic (10346 columns). At most 400 training
rows, the same rows and folds for all; losses are on rows that no search has seen; a search of more
than a minute of CPU time is given up. In the two made sets the groups truly differ: few columns of
signal, many of noise. They count apart.
"""

from functools import cache
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
    run_and_report,
    run_missing,
    test_loss,
)
from datasets import Task, default_folder, load_set, split
from peers import time_limit
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from sk_qnbo import QNBOSearchCV

REAL = (
    "abalone adult_onehot ames_housing autompg bank_marketing blog_feedback chem_process "
    "codata_methylation_ecpc codata_mirna_crc dna_splice ijcnn1 nhl_hockey nki70 "
    "pd_speech promoters residential_building solubility spambase tcga_breast_blocks "
    "ticdata_caravan"
).split()
MADE = {"made_binary": "binary", "made_regression": "regression"}
SPLITS = 3
TIME_LIMIT = 60
METHODS = ("shared", "groups", "codata", "per_feature")
SHOWN = ("set", "split", "method", "loss", "seconds", "rung", "reason")

N_TRAIN, N_TEST, N_SIGNAL, N_NOISE = 200, 2000, 20, 400


# Data and what is known of the features.


def task_of(name, folder):
    """A set of the folder, or a made one."""
    return made(MADE[name]) if name in MADE else load_set(name, "small", folder)


def made(kind):
    """20 columns that matter and 400 that do not, all of unit variance."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_TRAIN + N_TEST, N_SIGNAL + N_NOISE))
    clean = X[:, :N_SIGNAL] @ rng.choice([-0.6, 0.6], N_SIGNAL)
    if kind == "binary":
        y = (clean + rng.logistic(size=len(X)) > 0).astype(np.int64)
    else:
        y = clean + rng.standard_normal(len(X))
    return Task(f"made_{kind}", kind, X, y, N_TRAIN)


@cache
def known(name, folder):
    """What a set tells of its features, as arguments of the search by method."""
    if name in MADE:
        return {"groups": {"penalty": np.repeat(["signal", "noise"], [N_SIGNAL, N_NOISE])}}
    with np.load(Path(folder) / f"{name}.npz", allow_pickle=False) as stored:
        found = {"groups": {"penalty": stored["groups"]}} if "groups" in stored else {}
        keys = [key for key in stored if key.startswith("codata_")]
        if keys:
            columns = [covariates(key, stored[key].astype(float)) for key in keys]
            found["codata"] = {"penalty": "shared", "codata": np.hstack(columns)}
    return found


def covariates(name, values):
    """Columns of one covariate: chances as logarithms, coefficients by size, NaN marked."""
    if "pval" in name or "fdr" in name:
        values = np.log10(values)
    elif "coeff" in name:
        values = np.abs(values)
    missing = np.isnan(values)
    filled = np.where(missing, np.nanmedian(values), values)
    return np.column_stack([filled, missing] if missing.any() else [filled])


# Running.


def run(args):
    """Run what the cache lacks."""
    settled = {_key(r) for r in read(args.out)}
    keys = product(range(args.splits), args.sets, METHODS)
    keys = [k for k in keys if k not in settled and _applies(k, args.data)]
    run_missing(run_one, ((*key, args.data) for key in keys), args.out, SHOWN)


def _key(record):
    return record["split"], record["set"], record["method"]


def _applies(key, folder):
    _, name, method = key
    return method not in ("groups", "codata") or method in known(name, folder)


def run_one(seed, name, method, folder=None):
    """The record of one search on one split, in a list."""
    task = task_of(name, folder)
    settings = {"penalty": method, **known(name, folder).get(method, {})}
    with threadpool_limits(1):
        data = split(task, seed)
        record = {"set": name, "split": seed, "method": method, "kind": task.kind, "loss": None}
        record |= {"n_train": data.X_train.shape[0], "d": data.X_train.shape[1]}
        try:
            with time_limit(TIME_LIMIT):
                return [record | searched(data, settings)]
        except TimeoutError as reason:
            return [record | {"reason": str(reason)}]


def searched(data, settings):
    """What one guarded search gives."""
    model = LogisticRegression() if data.classify else Ridge()
    started = process_time()
    search = QNBOSearchCV(model, cv=data.folds, **settings).fit(data.X_train, data.y_train)
    outcome = {"seconds": process_time() - started, "loss": test_loss(search, data)}
    outcome |= {"score": -search.best_score_, "rung": search.best_rung_}
    return outcome | {"n_groups": len(search.groups_) if search.groups_ else None}


# Reporting.


def report(args):
    """Ratios to the shared penalty by set and overall, and how often each rung was chosen."""
    records = pd.DataFrame([r for r in read(args.out) if r["set"] in args.sets])
    losses = records.pivot_table(index=["set", "split"], columns="method", values="loss")
    ratios = ratio_table(losses.clip(lower=FLOOR), "shared").drop(columns="shared")
    mean_loss = losses["shared"].groupby(level="set").mean().rename("shared loss")
    records["n_groups"] = records["n_groups"].where(records["method"] == "groups")
    about = records.groupby("set")[["kind", "n_train", "d", "n_groups"]].agg(_first)
    is_made = ratios.index.isin(MADE)
    parts = ["# Test loss over that of a shared penalty, all searches guarded"]
    parts += ["## Real sets", markdown(overview(ratios[~is_made]))]
    parts += ["## By set (geometric means over the splits)"]
    parts += [markdown(about.join([mean_loss, ratios[part]])[part]) for part in (~is_made, is_made)]
    parts += ["## Rungs chosen", markdown(_counts(records))]
    parts += ["## CPU seconds", markdown(records.groupby("method")["seconds"].describe())]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if args.markdown:
        Path(args.markdown).write_text(text)


def _first(column):
    values = column.dropna()
    return (
        "" if values.empty else f"{values.iloc[0]:.0f}" if column.name[0] == "n" else values.iloc[0]
    )


def overview(ratios):
    """Every method over the real sets that it applies to."""
    rows = {}
    for method, column in ratios.items():
        ratio = column.dropna()
        row = {"sets": len(ratio), "geometric mean": geometric_mean(ratio)}
        row["best"] = f"{ratio.min():.3f} {ratio.idxmin()}"
        row["worst"] = f"{ratio.max():.3f} {ratio.idxmax()}"
        row["wins (below 0.99)"] = (ratio < 0.99).sum()
        row["losses (above 1.01)"] = (ratio > 1.01).sum()
        rows[method] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _counts(records):
    return records.groupby(["rung", "method"]).size().unstack(fill_value=0)


def parse_args():
    parser = parser_of(__doc__, "groups_results.jsonl")
    parser.add_argument("--data", default=default_folder(), type=Path, help="folder of data sets")
    parser.add_argument("--sets", nargs="+", help="only these sets")
    parser.add_argument("--splits", type=int, default=SPLITS, help="how many random splits")
    args = parser.parse_args()
    args.sets = args.sets or [*(REAL if args.data else ()), *MADE]
    return args


if __name__ == "__main__":
    run_and_report(run, report, parse_args())
