"""`gram --print-completion SHELL`: what a shell must know to complete commands, recipes, options and their values."""

import contextlib
import io

import tyro

from gram_reasoning.cli.app import AppOptions
from gram_reasoning.cli.bench import BenchOptions
from gram_reasoning.cli.check import CheckOptions
from gram_reasoning.cli.classifier import ClassifierOptions
from gram_reasoning.cli.data import DataOptions
from gram_reasoning.cli.evaluate import EvalOptions
from gram_reasoning.cli.export import ExportOptions
from gram_reasoning.cli.fid import FidOptions
from gram_reasoning.cli.generate import GenerateOptions
from gram_reasoning.cli.recipes import RecipesOptions
from gram_reasoning.cli.report import ReportOptions
from gram_reasoning.cli.solve import SolveOptions
from gram_reasoning.cli.study import StudyOptions
from gram_reasoning.cli.train import TrainOptions
from gram_reasoning.errors import check

SHELLS = ("bash", "zsh")
COMMANDS: dict[str, type] = {
    "solve": SolveOptions,
    "generate": GenerateOptions,
    "classifier": ClassifierOptions,
    "fid": FidOptions,
    "train": TrainOptions,
    "eval": EvalOptions,
    "export": ExportOptions,
    "data": DataOptions,
    "check": CheckOptions,
    "report": ReportOptions,
    "bench": BenchOptions,
    "recipes": RecipesOptions,
    "study": StudyOptions,
    "app": AppOptions,
}
"""What may follow each command."""
OF_RECIPES = ("train", "data", "bench")
"""Commands that want the name of a recipe first."""
SPEC = "COMPLETION_SPEC = "
"""Begins the line of tyro's script that holds what it knows, as a literal of Python."""


def script(shell: str) -> str:
    """The completion of `gram` for that shell, made by tyro. The options of a task are those of N-Queens."""
    check(shell in SHELLS, "--print-completion", shell, f"one of {', '.join(SHELLS)}")
    from gram_reasoning.recipes import RECIPES

    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="gram", args=["--tyro-print-completion", shell])
    lines = written.getvalue().splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith(SPEC)]
    lines[at] = lines[at].replace(r"\n", " ")  # a description with a line end would become two suggestions
    lines.insert(
        at + 1,
        f"""
# The name of a recipe is followed by what follows the command.
for name in {OF_RECIPES}:
    command = COMPLETION_SPEC["subcommands"][name]
    command["subcommands"] = {{recipe: {{**command, "description": ""}} for recipe in {tuple(RECIPES)}}}
""",
    )
    if shell == "bash":
        lines.append("complete -o default -F _tyro_gram gram  # files where nothing else fits")
    return "\n".join(lines)
