"""`{gram} solve`: what `gram solve --help` prints, asked of the parser itself when the pages are built."""

import contextlib
import io
import os
from typing import Any, ClassVar
from unittest import mock

from docutils import nodes
from docutils.parsers.rst import Directive

from gram_reasoning.cli import main

COLUMNS = "110"


def help_of(arguments: list[str]) -> str:
    """What a command prints for `--help`, in plain characters."""
    printed = io.StringIO()
    wide = mock.patch.dict(os.environ, {"COLUMNS": COLUMNS, "NO_COLOR": "1", "TERM": "dumb"})
    with wide, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*arguments, "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines())


class GramHelp(Directive):
    """The directive; its argument are the words between `gram` and `--help`."""

    optional_arguments = 10
    final_argument_whitespace: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        text = help_of(self.arguments)
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("gram", GramHelp)
    return {"parallel_read_safe": False}
