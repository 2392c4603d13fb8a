"""Every gallery example runs to its end, without a window and without a warning.

The benchmarks run on tiny sets, and what they compare with is checked by another road.
"""

import json
import runpy
import sys
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score

plt = pytest.importorskip("matplotlib.pyplot")
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# the comparison takes its data sets as arguments; two quick ones show that it runs
ARGUMENTS = {
    "plot_against_grid_search": ["--splits", "1", "--sets", "diabetes", "diabetes, products"]
}
SLOW = {"plot_text"}
PATHS = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])
    for path in sorted(EXAMPLES.glob("plot_*.py"))
]


@pytest.mark.parametrize("path", PATHS)
def test_example_runs(path, monkeypatch, capsys):
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.setattr(sys, "argv", [str(path), *ARGUMENTS.get(path.stem, [])])
    names = runpy.run_path(str(path), run_name="__main__")
    assert names["__doc__"].strip().startswith("===")
    assert plt.get_fignums()
    plt.close("all")
    assert capsys.readouterr().out


def test_the_comparison_prints_markdown_and_saves_its_picture(monkeypatch, capsys, tmp_path):
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    path, picture = EXAMPLES / "plot_against_grid_search.py", tmp_path / "picture.png"
    options = ["--splits", "2", "--sets", "diabetes", "--markdown", "--figure", str(picture)]
    monkeypatch.setattr(sys, "argv", [str(path), *options])
    runpy.run_path(str(path), run_name="__main__")
    plt.close("all")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(lines) == 3 and len({line.count("|") for line in lines}) == 1
    assert picture.stat().st_size > 1000


def test_theta_is_held_still_from_the_command_line(monkeypatch, capsys, tmp_path):
    plt.switch_backend("Agg")
    path, picture = EXAMPLES / "benchmarks" / "hold_still.py", tmp_path / "picture.png"
    options = ["--methods", "exact", "soba", "--estimates", "1", "3", "--figure", str(picture)]
    monkeypatch.setattr(sys, "argv", [str(path), *options])
    runpy.run_path(str(path), run_name="__main__")
    plt.close("all")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert picture.stat().st_size > 1000


@pytest.mark.parametrize(
    "options",
    [
        ["--experiment", "quadratic"],
        ["--experiment", "covtype", "--methods", "qnbo-bfgs", "soba"],
        ["--experiment", "shared", "--methods", "hoag"],
        ["--experiment", "cleaning-mnist", "--methods", "qnbo-amortised"],
        ["--experiment", "few-shot", "--methods", "itd"],
    ],
    ids=lambda options: options[1],
)
def test_bilevel_methods_race_on_made_data(options, monkeypatch, capsys, tmp_path):
    plt.switch_backend("Agg")
    folder = EXAMPLES / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("SK_QNBO_DATASETS", str(tmp_path))  # there are none
    monkeypatch.setattr(sys, "argv", ["bilevel.py", "--quick", "--out", str(tmp_path), *options])
    runpy.run_path(str(folder / "bilevel.py"), run_name="__main__")
    out, name, methods = capsys.readouterr().out, options[1], options[3:]
    assert "made data stand in" in out
    lines = (tmp_path / f"{name}.jsonl").read_text().splitlines()
    ends = [record["moments"][-1] for record in map(json.loads, lines) if methods]
    assert len(ends) == len(methods) and np.isfinite([end["loss"] for end in ends]).all()
    assert all(f"| `{method}` |" in out for method in methods)
    assert (tmp_path / f"bilevel_{name}.png").stat().st_size > 1000


# Benchmarks.


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a module of examples/benchmarks by its name; they import one another the same way."""
    folder = EXAMPLES / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    names = [path.stem for path in folder.glob("*.py")]
    yield import_module
    for name in names:
        sys.modules.pop(name, None)


def tables(printed):
    """The markdown tables, without their rules, as lists of cells."""
    lines = [line for line in printed.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def run_main(module, monkeypatch, *options):
    """What a benchmark does from the command line."""
    monkeypatch.setattr(sys, "argv", [module.__file__, *options])
    module.run_and_report(module.run, module.report, module.parse_args())


@pytest.mark.parametrize("classify", [True, False])
def test_a_race_is_judged_as_scikit_learn_would(benchmark, classify):
    race = benchmark("contest").made(80, 5, classify, n_test=40)
    model = LogisticRegression(C=0.5, tol=1e-10) if classify else Ridge(2.0)
    scores = cross_val_score(model, race.X, race.y, cv=race.splitter, scoring=race.scoring)
    assert race.cv_loss(np.full(5, 2.0)) == pytest.approx(-scores.mean(), rel=1e-6)


@pytest.mark.parametrize("classify", [True, False])
def test_the_hoag_of_the_benchmark_has_the_gradient_of_the_folds(benchmark, classify):
    race = benchmark("contest").made(80, 5, classify, n_test=40)
    fits = [benchmark("rivals").FoldFit(race, *fold) for fold in race.folds]
    theta = np.linspace(-1.0, 3.0, 5)
    gradient = np.mean([fit.estimate(np.exp(theta), 1e-9)[1] for fit in fits], axis=0)
    assert gradient == pytest.approx(differences(race, theta), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("classify", [True, False])
def test_the_jax_of_the_benchmark_has_the_gradient_of_the_folds(benchmark, classify):
    pytest.importorskip("jax")
    race = benchmark("contest").made(80, 5, classify, n_test=40)
    run, starts, _ = benchmark("rivals_jax").compile_for(race)
    theta = np.linspace(-1.0, 3.0, 5)
    (value, _), gradient = run(theta, starts)
    assert value == pytest.approx(race.cv_loss(np.exp(theta)), rel=1e-6)
    assert np.asarray(gradient) == pytest.approx(differences(race, theta), rel=1e-4, abs=1e-7)


def differences(race, theta, h=1e-3):
    """Gradient of the loss in the folds by log alpha."""
    steps = h * np.eye(len(theta))
    above, below = (
        np.array([race.cv_loss(np.exp(theta + sign * step)) for step in steps]) for sign in (1, -1)
    )
    return (above - below) / (2 * h)


def test_competitors_race_on_a_tiny_set(benchmark, monkeypatch, capsys, tmp_path):
    competitors, races = benchmark("competitors"), benchmark("contest")
    tiny = {("tiny", "ridge"): partial(races.made, 60, 4, False, n_test=50)}
    monkeypatch.setattr(competitors, "RACES", tiny)
    monkeypatch.setattr(competitors, "SIZES", ["tiny"])
    monkeypatch.setattr(competitors, "EACH", ["random", "hoag scipy"])
    monkeypatch.setattr(competitors, "warm_up", lambda *key: None)
    run_main(competitors, monkeypatch, "--out", str(tmp_path / "cache.jsonl"))
    rows = [row[2:] for row in tables(capsys.readouterr().out) if row[0] == "tiny"]
    assert [row[0] for row in rows] == [*competitors.OURS, "random", "hoag scipy"]
    worst = races.made(60, 4, False, n_test=50).cv_loss(np.full(4, 1e6))
    assert max(float(row[2]) for row in rows) < 0.5 * worst


def test_methods_are_compared_inside_of_a_search(benchmark, monkeypatch, capsys, tmp_path):
    options = ["--methods", "qnbo-bfgs", "qnbo-sr1", "--out", str(tmp_path / "cache.jsonl")]
    run_main(benchmark("in_search"), monkeypatch, *options)
    header, *rows = tables(capsys.readouterr().out)
    assert {row[0] for row in rows} == {"qnbo-bfgs", "qnbo-sr1"}
    folds, cross_fitted = (header.index(name) for name in ("folds", "cross-fitted"))
    ends = [float(row[folds]) for row in rows]
    assert np.ptp(ends) < 1e-3  # two roads down one objective
    assert max(ends) < min(float(row[cross_fitted]) for row in rows)


def test_a_ratio_meets_its_target_by_time_and_loss(benchmark):
    compared = benchmark("competitors").compared
    ours = {"cpu": 1.0, "cv_loss": 0.5}
    assert compared(ours, {"cpu": 20.0, "cv_loss": 0.5}, 0.1) == "0.050 *"
    assert compared(ours, {"cpu": 20.0, "cv_loss": 0.4}, 0.1) == "0.050"
    assert compared(ours, {"cpu": 5.0, "cv_loss": 0.5}, 0.1) == "0.200"
    assert compared(ours, {"cpu": np.nan, "cv_loss": np.nan}, 0.1) == "< 0.003 *"


def test_scaling_tells_exponents_and_draws(benchmark, monkeypatch, capsys, tmp_path):
    scaling, picture = benchmark("scaling"), tmp_path / "picture.png"
    monkeypatch.setattr(scaling, "METHODS", ("rung", "grid"))
    monkeypatch.setattr(scaling, "warm_up", lambda model: None)
    axis = scaling.AXES["rows"]._replace(sizes=(40, 80), methods=("rung", "grid"))
    monkeypatch.setitem(scaling.AXES, "rows", axis)
    cache = tmp_path / "cache.jsonl"
    plt.switch_backend("Agg")
    options = ["--axes", "rows", "--out", str(cache), "--figure", str(picture)]
    run_main(scaling, monkeypatch, *options)
    rows = tables(capsys.readouterr().out)[1:5]
    cpu = {(r["model"], r["method"], r["size"]): r["cpu"] for r in scaling.read(cache)}
    for (_, *key, told, _), name in zip(rows, product(("logistic", "ridge"), ("rung", "grid"))):
        assert tuple(key) == name
        assert float(told) == pytest.approx(np.log2(cpu[*name, 80] / cpu[*name, 40]), abs=1e-3)
    assert picture.stat().st_size > 1000


def test_an_exponent_is_that_of_the_power_law(benchmark):
    slope = benchmark("scaling").slope
    lengths = np.array([10.0, 100.0, 1000.0])
    assert slope(lengths, 3 * lengths**0.7) == pytest.approx(0.7)
    assert slope(lengths, np.array([1.0, 10.0, np.nan])) == pytest.approx(1.0)
    assert np.isnan(slope(lengths, np.array([1.0, np.nan, np.nan])))


def test_speed_on_a_tiny_sparse_set_marks_what_meets_its_target(
    benchmark, monkeypatch, capsys, tmp_path
):
    speed = benchmark("speed")
    case = speed.Case(*speed.made_counts(90, 40, 8, (0.5, 0.5)), True)
    ours = {name: speed.OURS[name] for name in ("rung", "shared")}
    monkeypatch.setattr(speed, "OURS", ours)
    monkeypatch.setattr(speed, "CASES", {("tiny", "logistic"): lambda: case})
    monkeypatch.setattr(speed, "SIZES", ["tiny"])
    run_main(speed, monkeypatch, "--out", str(tmp_path / "cache.jsonl"), "--repeats", "1")
    header, row = tables(capsys.readouterr().out)[:2]
    seconds = dict(zip(header, row))
    ratio = seconds["rung/grid"].removesuffix(" *")
    want = float(seconds["rung"]) / float(seconds["grid"])
    assert float(ratio) == pytest.approx(want, rel=0.1)
    assert seconds["rung/grid"].endswith("*") == (float(ratio) <= 0.25)
    assert not seconds["rung/own"].endswith("*")  # has no target


@pytest.mark.parametrize("name, sparse", [("500x30", False), ("tiny", True)])
def test_memory_is_measured_on_the_matrix_that_was_prepared(
    benchmark, monkeypatch, tmp_path, name, sparse
):
    memory, speed = benchmark("memory"), benchmark("speed")
    X, y = speed.made_counts(50, 20, 5, (0.5, 0.5))
    monkeypatch.setitem(memory.CASES, ("tiny", "logistic"), lambda: speed.Case(X, y, True))
    told = memory.prepare(name, "logistic", tmp_path)
    case = memory.prepared("logistic", tmp_path)
    assert case.X.shape == (told["n"], told["d"]) and (case.scaler is None) == sparse
    record = memory.measure("plain", name, "logistic", tmp_path)
    assert record["finished"] and record["fit MiB"] >= 0
