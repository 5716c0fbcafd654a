"""The manual: `make docs` builds it, a test holds that it builds without a warning."""

import sys
from pathlib import Path
from typing import Any

from sphinx.ext.napoleon import GoogleDocstring

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from gram_reasoning import __version__

project = "gram"
author = "the authors of gram"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "commands"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"gram {version}"
html_show_sourcelink = html_show_copyright = False

myst_heading_anchors = 3

nitpicky = True
nitpick_ignore_regex = [("py:class", r"(torch|numpy|pathlib|collections\.abc|gram_reasoning)\..*")]  # no page here

default_role = "code"  # docstrings write names as `name`
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
python_use_unqualified_type_names = True


def as_rst(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with Args, Returns and Raises: what else looks like markup is escaped."""
    lines[:] = [line.replace("*", r"\*").replace("|", r"\|").replace("_ ", r"\_ ") for line in lines]
    if what != "attribute":  # what stands below a field is prose: a colon in it ends no type
        lines[:] = GoogleDocstring(lines, what=what, name=name, obj=item).lines()


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", as_rst)
