"""Every gallery example runs to its end, without a window and without a warning."""

import runpy
import sys
from pathlib import Path

import pytest

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
