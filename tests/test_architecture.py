"""The house rules: imports point down, borrowed names are public, files and functions are short."""

import ast
import sys
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sk_qnbo"
FILES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): (
        path
    )
    for path in sorted(PACKAGE.rglob("*.py"))
}

# A layer imports from layers of a lower rank and from itself. "helpers" are the modules at the top
# whose name starts with an underscore and that have no rank of their own.
RANK = {
    "curvature": 0,
    "solvers": 1,
    "methods": 2,
    "upper": 2,
    "_minimize": 3,
    "linear_model": 4,
    "helpers": 4,
    "display": 4,
    "_ladder": 5,
    "_crossfit": 6,
    "_search": 7,
}
# These neighbours of one rank may use one another.
NEIGHBOURS = {"linear_model", "helpers", "display"}
# Below this rank a module knows a problem only as the protocol in problems.base.
KNOWS_DATA = RANK["linear_model"]
# What the upper loop needs besides the protocol: products counted.
PROBLEMS_FOR_ALL = {"base"}
PROBLEMS_FOR_THE_LOOP = {"base", "counting"}

THIRD_PARTY = {"numpy", "scipy", "sklearn", "joblib", "matplotlib"}
USES_SKLEARN = {"_search", "linear_model", "display", "helpers"}

LONGEST_FILE = 400
LONGEST_FUNCTION = 60


class Import(NamedTuple):
    """One imported name: ``from module import name`` or ``import module`` (name is None)."""

    module: str
    name: str | None
    line: int
    at_module_level: bool

    @property
    def parts(self):
        return self.module.split(".") + ([self.name] if self.name else [])

    @property
    def root(self):
        return self.module.split(".")[0]


def imports_of(source, package="sk_qnbo"):
    """Every import of a source text in ``package``, the ones inside functions too."""
    tree = ast.parse(source)
    top = set(map(id, tree.body))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(a.name, None, node.lineno, id(node) in top) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            found += [Import(module, a.name, node.lineno, id(node) in top) for a in node.names]
    return found


def imports_of_file(module):
    """Every import of one file of the package, relative ones resolved."""
    path = FILES[module]
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    return imports_of(path.read_text(encoding="utf-8"), package)


def layer_of(parts):
    """The layer that a dotted name inside the package belongs to; None for the package itself."""
    if len(parts) < 2:
        return None
    if parts[1] in RANK or parts[1] == "problems":
        return parts[1]
    return "helpers" if parts[1].startswith("_") else None


def may_use_problem(layer, parts):
    """Whether ``layer`` may import ``sk_qnbo.problems...``."""
    if layer == "problems" or RANK[layer] >= KNOWS_DATA:
        return True
    allowed = PROBLEMS_FOR_THE_LOOP if layer == "_minimize" else PROBLEMS_FOR_ALL
    return len(parts) > 2 and parts[2] in allowed


def arrow_is_allowed(layer, parts):
    """Whether a module of ``layer`` may import the dotted name ``parts`` of the package."""
    target = layer_of(parts)
    if target is None:  # the public front: importing it from inside would be a circle
        return parts[-1] == "__version__"
    if target == layer:
        return True
    if target == "problems":
        return may_use_problem(layer, parts)
    if layer == "problems":
        return False
    if {layer, target} <= NEIGHBOURS:
        return True
    return RANK[target] < RANK[layer]


def broken_rules(layer, found):
    """The rules that one import of a module in ``layer`` breaks, in words."""
    if found.root == "sk_qnbo":
        if not arrow_is_allowed(layer, found.parts):
            yield f"{layer} may not import {'.'.join(found.parts)}"
    elif found.root in THIRD_PARTY:
        if any(part.startswith("_") for part in found.parts):
            yield f"{'.'.join(found.parts)} is private"
        if found.root == "sklearn" and layer not in USES_SKLEARN:
            yield "scikit-learn stays in the front modules"
        if found.root == "joblib" and layer not in USES_SKLEARN:
            yield "joblib stays in the front modules"
        if found.root == "matplotlib" and (layer != "display" or found.at_module_level):
            yield "matplotlib is optional: import it inside a function of display"


def is_known(found):
    """Whether the import is of the package, of a dependency, or of the standard library."""
    return found.root in {"sk_qnbo", *THIRD_PARTY, *sys.stdlib_module_names}


@pytest.mark.parametrize("module", FILES)
def test_imports_keep_to_the_house(module):
    found = imports_of_file(module)
    layer = layer_of(module.split("."))
    unknown = [f"line {one.line}: {one.module}" for one in found if not is_known(one)]
    assert not unknown, f"{module} imports what the package does not depend on: {unknown}"
    if layer is None:  # sk_qnbo/__init__.py: the public names, from anywhere inside
        assert all(one.root not in THIRD_PARTY for one in found)
        return
    broken = [f"line {one.line}: {rule}" for one in found for rule in broken_rules(layer, one)]
    assert not broken, f"{module}: {broken}"


@pytest.mark.parametrize("module", FILES)
def test_files_and_functions_are_short(module):
    source = FILES[module].read_text(encoding="utf-8")
    n_lines = len(source.splitlines())
    assert n_lines <= LONGEST_FILE, f"{module} has {n_lines} lines, at most {LONGEST_FILE}: cut it"
    long = {name: n for name, n in function_lengths(source) if n > LONGEST_FUNCTION}
    assert not long, f"{module}: functions over {LONGEST_FUNCTION} lines: {long}"


def function_lengths(source):
    """Pairs (name, number of lines without the docstring) of all functions of a source text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno - 1
            yield node.name, node.end_lineno - start


def test_every_module_at_the_top_has_a_place():
    known = {*RANK, "problems"}
    strays = [
        path.name
        for path in PACKAGE.iterdir()
        if (path.is_dir() or path.suffix == ".py")
        and path.stem not in known
        and not path.name.startswith("_")
    ]
    assert not strays, f"{strays}: give them a rank in RANK, or a name that starts with '_'"


ALLOWED = [
    ("_search", "from sk_qnbo._ladder import climb"),
    ("_search", "from sklearn.base import BaseEstimator"),
    ("_ladder", "from sk_qnbo.problems.linear import LinearFolds"),
    ("_minimize", "from sk_qnbo.problems.counting import CountedProblem"),
    ("methods", "from sk_qnbo.curvature import bfgs"),
    ("methods", "from ..curvature.bfgs import BFGS"),
    ("methods", "from sk_qnbo.problems.base import BilevelProblem"),
    ("linear_model", "from sk_qnbo._validation import check_alpha"),
    ("problems", "from scipy.special import expit"),
    ("problems", "from sk_qnbo.problems.base import BilevelProblem"),
    ("display", "def plot():\n    import matplotlib.pyplot as plt"),
    ("helpers", "from sk_qnbo import __version__"),
]
REFUSED = [
    ("curvature", "from sk_qnbo.solvers import line_search"),
    ("curvature", "import sk_qnbo.solvers.line_search"),
    ("curvature", "from sk_qnbo import solvers"),
    ("curvature", "from ..solvers import line_search"),
    ("solvers", "from sk_qnbo._validation import check_alpha"),
    ("methods", "from sk_qnbo.problems.linear import LinearFolds"),
    ("methods", "from sk_qnbo.upper import lbfgs"),
    ("_minimize", "from sk_qnbo._search import QNBOSearchCV"),
    ("_minimize", "from sk_qnbo import QNBOSearchCV"),
    ("problems", "from sk_qnbo.curvature import bfgs"),
    ("problems", "def late():\n    from sklearn.utils import check_array"),
    ("solvers", "import joblib"),
    ("_search", "from sklearn.model_selection._search import BaseSearchCV"),
    ("_search", "from sklearn.utils.validation import _check_sample_weight"),
    ("solvers", "from scipy.optimize._lbfgsb_py import fmin_l_bfgs_b"),
    ("display", "import matplotlib.pyplot as plt"),
]


@pytest.mark.parametrize("layer, line", ALLOWED)
def test_allowed_imports_pass(layer, line):
    found = imports_of(line, package=f"sk_qnbo.{layer}")
    assert [rule for one in found for rule in broken_rules(layer, one)] == []


@pytest.mark.parametrize("layer, line", REFUSED)
def test_forbidden_imports_are_caught(layer, line):
    found = imports_of(line, package=f"sk_qnbo.{layer}")
    assert [rule for one in found for rule in broken_rules(layer, one)] != []
