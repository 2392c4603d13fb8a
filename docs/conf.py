"""Settings of Sphinx: the pages of this folder and the docstrings, as HTML.

From the repository root: pip install -e ".[docs]" && sphinx-build -W docs docs/_build
"""

project = "sk_qnbo"
author = "sk_qnbo developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
html_theme = "alabaster"
exclude_patterns = ["_build"]

# links to a heading of a page, such as math.md#leave-one-out
myst_heading_anchors = 3
# pages link to examples and other files of the repository, which are no pages
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
numpydoc_show_class_members = False
