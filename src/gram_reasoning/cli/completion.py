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
OF_MODELS = ("eval", "export")
"""Commands that want a model first."""
SPEC = "COMPLETION_SPEC = "
"""Begins the line of tyro's script that holds what it knows, as a literal of Python."""


def script(shell: str) -> str:
    """The completion of `gram` for that shell, made by tyro. The options of a task are those of N-Queens."""
    check(shell in SHELLS, "--print-completion", shell, f"one of {', '.join(SHELLS)}")
    from gram_reasoning.recipes import RECIPES
    from gram_reasoning.storage.hub import bundled
    from gram_reasoning.tasks.configs import KINDS

    models = tuple(folder.name for folder in bundled())

    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="gram", args=["--tyro-print-completion", shell])
    lines = written.getvalue().splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith(SPEC)]
    lines[at] = lines[at].replace(r"\n", " ")  # a description with a line end would become two suggestions
    lines.insert(
        at + 1,
        f"""
# The name of a recipe or of a model is followed by what follows the command.
NAMES = {{"--task": {tuple(KINDS)}, "--checkpoint": {models}}}
PLUGIN = {{"flags": ["--plugin"], "description": "a Python file", "type": "path", "cascade": False, "nargs": 1}}
for name, command in COMPLETION_SPEC["subcommands"].items():
    for option in command["options"]:
        if option["flags"][0] in NAMES and option["nargs"] == 1 and "choices" not in option:
            option.update(type="choice", choices=NAMES[option["flags"][0]])
    command["options"].append(PLUGIN)
    first = {tuple(RECIPES)} if name in {OF_RECIPES} else {models} if name in {OF_MODELS} else ()
    if first:
        command["subcommands"] = {{one: {{**command, "description": ""}} for one in first}}
""",
    )
    if shell == "bash":
        lines.append("complete -o default -F _tyro_gram gram  # files where nothing else fits")
    return "\n".join(lines)
