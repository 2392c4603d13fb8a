"""Tables and pictures from the recorded races."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from common import read
from matplotlib.ticker import NullFormatter

SHORT = {
    "seconds": "s",
    "gradients": "gradients",
    "hessian products": "H v",
    "products": "products",
}
NEAR = 0.01  # to be within this of the best judged score is to have arrived
NEARER = 0.001  # and to be within this, really
WORK = ("seconds", "gradients", "hessian products", "products")
FLOOR = 1e-4  # of the gap that is drawn
N_DRAWN = 16  # methods in one picture
N_BANDS = 3  # the best, and the default, whose bands are drawn: more hide each other
AXES = {
    "seconds": "CPU seconds",
    "work": "gradients + products H v",
    "products": "products with X",
}


# Scores of a run: the judged loss, or another number where more is better.


def scores(race, run):
    """What is minimised, a number a moment."""
    if race.score == "loss":
        return np.array([m["loss"] for m in run["moments"]], dtype=float)
    return -np.array([m.get(race.score, np.nan) for m in run["moments"]], dtype=float)


def targets(race, records, near=NEAR):
    """The best score of every seed, and what counts as having arrived."""
    best = {}
    for run in records:
        low = np.nanmin(np.r_[scores(race, run), np.inf])
        best[run["seed"]] = min(low, best.get(run["seed"], np.inf))
    return {
        s: (b, b + near * abs(b) if race.score == "loss" else b + near) for s, b in best.items()
    }


def arrival(race, run, target):
    """Work until the run arrived for good; infinite where its end is beyond.

    Who merely passes through has not arrived: nobody could tell it to stop there.
    """
    beyond = np.flatnonzero(~(scores(race, run) <= target))
    first = beyond[-1] + 1 if len(beyond) else 0
    if first == len(run["moments"]):
        return dict.fromkeys(WORK, np.inf)
    return {name: run["moments"][first][name] for name in WORK}


def table(race, records):
    """A row a method, the fastest to arrive first."""
    goal, nearer, rows = targets(race, records), targets(race, records, NEARER), []
    for method in dict.fromkeys(run["method"] for run in records):
        runs = [run for run in records if run["method"] == method]
        row = {"method": f"`{method}`", "steps": _steps(runs[0]["choice"])}
        ends = np.array([run["moments"][-1]["loss"] for run in runs], dtype=float)
        row["judged loss at the end"] = _band(ends)
        last = runs[0]["moments"][-1]
        for name in [k for k in MEASURES if k in last or k == race.score]:
            values = np.array([run["moments"][-1].get(name, np.nan) for run in runs])
            row[name] = _short(np.nanmedian(values))
        arrived = [arrival(race, run, goal[run["seed"]][1]) for run in runs]
        median = {name: float(np.median([a[name] for a in arrived])) for name in WORK}
        row["arrived"] = f"{sum(np.isfinite(a['seconds']) for a in arrived)} of {len(runs)}"
        row |= {f"{SHORT[name]} to 1 %": _short(median[name]) for name in WORK}
        later = [arrival(race, run, nearer[run["seed"]][1])["seconds"] for run in runs]
        row["s to 0.1 %"] = _short(np.median(later))
        row["_key"] = (median["seconds"], np.median([scores(race, run)[-1] for run in runs]))
        rows.append(row)
    rows.sort(key=lambda row: tuple(np.nan_to_num(row["_key"], nan=np.inf, posinf=1e300)))
    return [{"rank": k, **row} for k, row in enumerate(rows, 1)]


MEASURES = ("test loss", "accuracy", "f1", "auc")


def _steps(choice):
    if not choice:
        return "line search"
    return f"{choice['rel_step']:g}, {choice['upper_step']:g}"


def _band(values):
    if not np.isfinite(values).all():
        return "failed"
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    if len(values) == 1 or high - low < 1e-5:
        return f"{middle:.4f}"
    return f"{middle:.4f} ({low:.4f} to {high:.4f})"


def _short(value):
    return "not" if not np.isfinite(value) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def markdown(rows):
    names = [name for name in rows[0] if not name.startswith("_")]
    lines = [names, ["---"] * len(names)] + [[str(row[n]) for n in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rules(race):
    """How long, how often, and what steps were tried."""
    factors = ", ".join(f"{factor:g}" for factor in race.upper_factors)
    return (
        f"{race.seconds:g} CPU seconds, {race.seeds} seeds, {race.n_judged} moments judged; upper "
        f"steps times {factors}, each tried for {race.trial_share:.0%} of the time."
    )


def told(records):
    """What the arenas told besides, medians over the seeds, one line."""
    found = pd.DataFrame([run["told"] for run in records if run.get("told")]).median()
    return "; ".join(f"{name}: {value:.4f}" for name, value in found.items())


# Pictures.


def drawn(rows, records):
    """The records of the best few and of the family: more lines cannot be told apart."""
    names = [row["method"].strip("`") for row in rows]
    return [
        run
        for run in records
        if run["method"] in names[:N_DRAWN] or run["method"].startswith("qnbo")
    ]


def draw(race, rows, records, path):
    """The gap to the best over CPU seconds and over work; what is shown besides."""
    records = drawn(rows, records)
    goal = targets(race, records)
    counted = any(m["products"] for run in records for m in run["moments"])
    panels = [p for p in AXES if counted or p != "products"] + (["shown"] if race.shown else [])
    _, axes = plt.subplots(1, len(panels), figsize=(5 * len(panels), 4.2))
    styles = _styles(dict.fromkeys(run["method"] for run in records))
    banded = [row["method"].strip("`") for row in rows[:N_BANDS]]
    for panel, axis in zip(panels, axes, strict=True):
        for method, style in styles.items():
            runs = [run for run in records if run["method"] == method]
            x, low, middle, high = _course(race, runs, goal, panel)
            axis.plot(x, middle, label=method, **style)
            if method in banded or method == "qnbo-bfgs":
                axis.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
        axis.set(xscale="log", xlabel=AXES.get(panel, AXES["seconds"]))
        axis.xaxis.set_minor_formatter(NullFormatter())
        if panel == "shown":
            axis.set(title=f"{race.shown}, judged")
            _focus(axis, race, records)
        else:
            axis.set(yscale="log" if race.score == "loss" else "linear", title=_gap_title(race))
    axes[-1].legend(bbox_to_anchor=(1.02, 1.0), loc="upper left", fontsize=8, handlelength=4)
    plt.suptitle(race.title, y=1.03)
    plt.savefig(path, dpi=80, bbox_inches="tight")
    plt.close()


def _gap_title(race):
    return "judged loss / best - 1" if race.score == "loss" else f"best {race.score} - {race.score}"


def _styles(methods):
    colors = plt.get_cmap("tab20").colors
    out = {}
    for k, method in enumerate(methods):
        own = method.startswith("qnbo")
        dashes = {"qnbo-bfgs": "-", "qnbo-sr1": "--", "qnbo-amortised": "-."}
        out[method] = {
            "color": "black" if own else colors[k % 20],
            "linestyle": dashes.get(method, "-"),
            "linewidth": 2.2 if own else 1.3,
        }
    return out


def _course(race, runs, goal, panel):
    """Quantiles over the seeds on a common grid; between moments the last one holds."""
    courses = []
    for run in runs:
        moments = run["moments"]
        if panel == "work":
            x = np.array([m["gradients"] + m["hessian products"] for m in moments])
        else:
            x = np.array([m["products" if panel == "products" else "seconds"] for m in moments])
        if panel == "shown":
            y = np.array([m.get(race.shown, np.nan) for m in moments], dtype=float)
        else:
            best = goal[run["seed"]][0]
            gap = scores(race, run) - best
            y = np.maximum(gap / abs(best), FLOOR) if race.score == "loss" else gap
        courses.append((np.maximum(x, 1e-3), y))
    low, high = max(x[0] for x, _ in courses), max(x[-1] for x, _ in courses)
    grid = np.geomspace(low, max(high, 1.001 * low), 60)
    at = [y[np.clip(np.searchsorted(x, grid, side="right") - 1, 0, None)] for x, y in courses]
    return grid, *np.nanquantile(np.array(at), [0.1, 0.5, 0.9], axis=0)


def _focus(axis, race, records):
    """Leave out what ran away."""
    values = [m.get(race.shown, np.nan) for run in records for m in run["moments"]]
    values = np.array(values, dtype=float)
    low, high = np.nanquantile(values[np.isfinite(values)], [0.0, 0.9])
    axis.set(ylim=(low - 0.05 * (high - low), high + 0.1 * (high - low)))


def draw_quadratic(records, path):
    """Error over the budget by condition; error over the distance."""
    frame = pd.DataFrame(records)
    budgets, newton = (frame[frame["part"] == part] for part in ("budgets", "newton"))
    conditions = sorted(budgets["condition"].unique())
    _, axes = plt.subplots(1, len(conditions) + 1, figsize=(4 * (len(conditions) + 1), 3.8))
    for condition, axis in zip(conditions, axes):
        some = budgets[budgets["condition"] == condition]
        for reading, part in some.groupby("reading"):
            line = part.groupby("products")["error"].median()
            axis.semilogy(line.index, line.clip(lower=1e-8), "o-", ms=3, label=reading)
        axis.set(title=f"condition {condition:g}", xlabel="products; 0 is SHINE", ylim=(1e-8, 2))
    axes[0].set_ylabel("error of the hypergradient, relative")
    axes[-2].legend(fontsize=7, loc="lower left")
    for estimate, part in newton.groupby("estimate"):
        line = part.groupby("distance")["error"].median()
        axes[-1].loglog(line.index, line, "o-", ms=3, label=estimate)
    axes[-1].set(title="logistic, per feature", xlabel="distance of w from the solution, relative")
    axes[-1].legend(fontsize=7)
    plt.savefig(path, dpi=80, bbox_inches="tight")
    plt.close()


def quadratic_tables(records):
    """Errors and cosines by condition and budget; orders of decay of the three estimates."""
    frame = pd.DataFrame(records)
    budgets, newton = (frame[frame["part"] == part] for part in ("budgets", "newton"))
    rows = []
    for (condition, reading), part in budgets.groupby(["condition", "reading"]):
        row = {"condition": f"{condition:g}", "pairs": reading}
        by = part.groupby("products")[["error", "cosine"]].median()
        row |= {f"{q} products": f"{by['error'][q]:.0e}" for q in by.index}
        rows.append(row | {"cosine of SHINE": f"{by['cosine'][0]:.3f}"})
    orders = []
    for estimate, part in newton.groupby("estimate"):
        line = part.groupby("distance")["error"].median()
        near = line[line.index <= 0.03]
        order = np.polyfit(np.log(near.index), np.log(near), 1)[0]
        orders.append({"estimate": estimate, "order of decay": f"{order:.2f}"})
    return markdown(rows) + "\n\n" + markdown(orders)


# The whole.


def summary(races, tables):
    """Ranks of every method, a column an experiment; who ran in more of them stands first."""
    ranks = {}
    for race in races:
        for row in tables.get(race.name, []):
            arrived = row["s to 1 %"] != "not"
            mark = str(row["rank"]) if arrived else f"({row['rank']})"
            ranks.setdefault(row["method"], {})[race.name] = mark
    names = [race.name for race in races if race.name in tables]
    rows = [{"method": m, **{n: r.get(n, "") for n in names}} for m, r in ranks.items()]
    rows = [{"method": r["method"], "races": sum(bool(r[n]) for n in names), **r} for r in rows]
    rows.sort(key=lambda row: (-row["races"], _mean_rank(row, tables)))
    return markdown(rows) if rows else ""


def _mean_rank(row, tables):
    """Mean of rank over the number of methods."""
    shares = [int(row[n].strip("()")) / len(tables[n]) for n in row if n in tables and row[n]]
    return float(np.mean(shares))


def report(folder, races, with_quadratic):
    """The report as markdown, also written to the folder with its pictures."""
    parts, tables = [], {}
    if with_quadratic and read(folder / "quadratic.jsonl"):
        records = read(folder / "quadratic.jsonl")
        draw_quadratic(records, folder / "bilevel_quadratic.png")
        parts += ["## quadratic", quadratic_tables(records)]
    for race in races:
        records = read(folder / f"{race.name}.jsonl")
        if not records:
            continue
        tables[race.name] = table(race, records)
        draw(race, tables[race.name], records, folder / f"bilevel_{race.name}.png")
        parts += [f"## {race.name}: {race.title}", rules(race), markdown(tables[race.name])]
        parts.append(told(records))
    parts = ["# Ranks: CPU seconds to 1 % of the best", summary(races, tables), *parts]
    text = "\n\n".join(part for part in parts if part) + "\n"
    (folder / "bilevel.md").write_text(text)
    return text
