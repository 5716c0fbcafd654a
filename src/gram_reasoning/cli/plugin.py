"""`--plugin FILE`: a file of your own that registers a task or a model, for any command."""

import importlib.util
import os
import sys
from pathlib import Path

from gram_reasoning.errors import UserError

OPTION = "--plugin"


def take_plugins(arguments: list[str]) -> list[str]:
    """Run the files that the option names, and return the other arguments."""
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name != OPTION:
            rest.append(word)
            continue
        file = value if equals else next(words, "")
        if not file:
            raise UserError(f"{OPTION}: got no value, expected a Python file that registers a task or a model")
        _run(Path(file))
    return rest


def _run(path: Path) -> None:
    """Import a file; what it raises itself keeps its traceback."""
    if not path.is_file() or path.suffix != ".py":
        what = "no such file" if not path.is_file() else "not a Python file"
        raise UserError(f"{OPTION} {path}: {what}, expected one that registers a task or a model")
    from gram_reasoning import build

    before = {**build.TASKS}, {**build.MODELS}
    name = f"gram_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    sys.path.insert(0, os.fspath(path.resolve().parent))  # as `python FILE` has it
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}, expected Python") from error
    if before == (build.TASKS, build.MODELS):
        raise UserError(f"{OPTION} {path}: registers nothing, expected a call of register_task or register_model")
