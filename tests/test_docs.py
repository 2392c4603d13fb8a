"""The python blocks of README.md and docs/*.md run, each page from top to bottom."""

import re
import tomllib
from pathlib import Path

import pytest

from sk_qnbo import METHODS

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks_of(text):
    """Pairs of a block's first line number and its code."""
    return [(text[: m.start(1)].count("\n") + 1, m.group(1)) for m in BLOCK.finditer(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page):
    namespace = {"__name__": "__main__"}
    for line, code in blocks_of(page.read_text(encoding="utf-8")):
        # empty lines in front make the line numbers of an error those of the page
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_method_stands_in_the_docs_with_its_source():
    lines = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").splitlines()
    head = lines.index("| name | fit | adjoint | source | theta moves by |")
    rows = [line.split(" | ") for line in lines[head + 2 : lines.index("", head)]]
    cited = [names for names, _, _, source, _ in rows if re.search(r"arXiv \d{4}|doi", source)]
    for name in METHODS:
        known = any(f"`{name}`" in names for names in cited)
        assert known or name == "exact", f"{name} has no source in docs/methods.md"


def test_a_method_takes_less_than_fifty_lines():
    text = (ROOT / "docs" / "adding_a_method.md").read_text(encoding="utf-8")
    (code,) = (code for _, code in blocks_of(text) if "class Truncated" in code)
    assert len(code.splitlines()) < 50


def test_blocks_are_found():
    text = "a\n```python\nx = 1\n```\n```bash\nls\n```\n```python\ny = x\n```\n"
    assert blocks_of(text) == [(3, "x = 1\n"), (9, "y = x\n")]


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem in {*index, "index"}, f"{page.name} is not in docs/index.md"


def test_the_source_distribution_holds_what_its_scripts_source():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    for script in (ROOT / "tests" / "run.sh", ROOT / "examples" / "run.sh"):
        sourced = re.findall(r"^source (\S+)", script.read_text(encoding="utf-8"), re.MULTILINE)
        assert sourced
        assert all(f"/{Path(name).parts[0]}" in included for name in sourced)
