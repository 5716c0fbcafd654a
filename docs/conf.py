"""The manual: `make docs` builds it, a test holds that it builds without a warning."""

import posixpath
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from sphinx.ext.napoleon.docstring import GoogleDocstring

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


def as_rst(app: Any, what: Any, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with Args, Returns and Raises: what else looks like markup is escaped."""
    lines[:] = [line.replace("*", r"\*").replace("|", r"\|").replace("_ ", r"\_ ") for line in lines]
    if what != "attribute":  # what stands below a field is prose: a colon in it ends no type
        lines[:] = GoogleDocstring(lines, what=what, name=name, obj=item).lines()


OUTSIDE = {"readme": "README.md", "files": "results/README.md"}
"""Pages that stand elsewhere in the repository, by the name of their page here."""


def from_outside(app: Any, page: str, source: list[str]) -> None:
    """A page of OUTSIDE is read from its place; links between pages here and there lead to their pages."""
    folder = PurePosixPath("docs")
    if page in OUTSIDE:
        file = PurePosixPath(OUTSIDE[page])
        source[0] = Path(app.srcdir.parent, file).read_text(encoding="utf-8")
        folder = file.parent
    pages = {file: name for name, file in OUTSIDE.items()}

    def mended(link: re.Match[str]) -> str:
        path, mark, anchor = link[1].partition("#")
        there = posixpath.normpath(folder / path)
        if there in pages:
            return f"]({pages[there]}.md{mark}{anchor})"
        here = there.removeprefix("docs/") if there.startswith("docs/") else f"../{there}"
        return f"]({here}{mark}{anchor})"

    source[0] = re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", mended, source[0])


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", as_rst)
    app.connect("source-read", from_outside)
