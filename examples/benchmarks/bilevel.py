"""Every bilevel method on the experiments of the literature.

    python examples/benchmarks/bilevel.py --experiment all --out results
    python examples/benchmarks/bilevel.py --experiment ijcnn1 --quick --out results
    python examples/benchmarks/bilevel.py --experiment all --report --out results

Results go to ``results/NAME.jsonl``, a line for each method and seed, tables to
``results/bilevel.md``, pictures to ``results/bilevel_NAME.png``; what is there already is not run
again. ``--data`` is the folder of data sets (``datasets.py`` says where it is looked for); where
there is none, made data of the same kind stand in, which says nothing of the claims.
``--quick`` gives every run a tenth of its time, one seed and fewer rows.

Seconds are CPU seconds of the process. A run writes down theta at moments ever further apart;
these are judged afterwards (the lower level solved again, sharply), which is in nobody's time.
"""

import argparse
import json
from pathlib import Path

from datasets import default_folder
from races import cleaning, few_shot, penalties, quadratic
from races.report import report
from races.runner import race_of_one
from threadpoolctl import threadpool_limits

RACES = {race.name: race for race in (*penalties.RACES, *cleaning.RACES, *few_shot.RACES)}
EXPERIMENTS = ("quadratic", *RACES)


def run(name, args):
    """Run what an experiment lacks in the folder of results."""
    path = args.out / f"{name}.jsonl"
    if name == "quadratic":
        if not path.exists():
            path.write_text("".join(json.dumps(r) + "\n" for r in quadratic.records(args.quick)))
        return
    race, there = RACES[name], path.read_text() if path.exists() else ""
    there = {json.loads(line)["method"] for line in there.splitlines()}
    for method in args.methods or race.methods:
        if method in there:
            continue
        records = list(race_of_one(race, method, args.quick, args.data))
        with open(path, "a") as out:
            out.writelines(json.dumps(record, default=float) + "\n" for record in records)
        end = records[-1]["moments"][-1]
        print(name, method, f"loss {end['loss']:.5f} after {end['seconds']:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--experiment", default="all", choices=("all", *EXPERIMENTS))
    parser.add_argument("--methods", nargs="+", help="only these, of a race")
    parser.add_argument("--quick", action="store_true", help="less time, fewer rows, one seed")
    parser.add_argument("--data", type=Path, default=default_folder(), help="folder of data sets")
    parser.add_argument("--out", type=Path, default=Path("bilevel_results"))
    parser.add_argument("--report", action="store_true", help="tables and pictures, run nothing")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.data is None:
        print("no folder of data sets: made data stand in")
    names = EXPERIMENTS if args.experiment == "all" else (args.experiment,)
    with threadpool_limits(1):
        for name in () if args.report else names:
            run(name, args)
    print(report(args.out, [RACES[name] for name in names if name in RACES], "quadratic" in names))


if __name__ == "__main__":
    main()
