"""What the commands share at the border to the user: options, input, output files, progress.

Whatever a user can get wrong here becomes a UserError, one line; nothing imports torch before it must.
"""

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any, TypeVar

import tyro

from gram_reasoning.errors import UserError

Options = TypeVar("Options")
PICTURES = (".png", ".pdf", ".svg", ".jpg")


def parse(options: type[Options], arguments: list[str], prog: str, example: str, default: Any = None) -> Options:
    """Parse with tyro; what it has to say about bad options becomes one line."""
    caught = io.StringIO()
    extra = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(caught):
            return tyro.cli(
                options,
                args=arguments,
                prog=prog,
                description=f"{options.__doc__}\n\nExample: {example}",
                **extra,
            )
    except SystemExit as error:
        if not error.code:
            raise
        lines = [line.strip("│╭╮╰╯─ ") for line in caught.getvalue().splitlines()]
        told = [line for line in lines[1:] if line and "full helptext" not in line]
        cut = next((i for i, line in enumerate(told) if line.startswith("Argument helptext")), len(told))
        raise UserError(f"{' '.join(told[:cut])} (see `{prog} --help`)") from None


def named(arguments: list[str], what: str, options: type, prog: str, example: str) -> tuple[str, list[str]]:
    """The positional argument that must come first, and the rest; `--help` in its place prints the help."""
    if arguments[:1] in (["-h"], ["--help"]):
        parse(options, ["--help"], prog, example)
    if not arguments or arguments[0].startswith("-"):
        raise UserError(f"{prog.split()[1]}: expected {what} first (see `{' '.join(prog.split()[:2])} --help`)")
    return arguments[0], arguments[1:]


def can_write(path: Path | None, suffixes: tuple[str, ...] = ()) -> None:
    """Refuse an output that cannot be written before the work, not after it."""
    if path is None or str(path) == "-":
        return
    if path.is_dir() or not path.absolute().parent.is_dir():
        what = "is a folder" if path.is_dir() else f"cannot be written (no folder {path.absolute().parent})"
        raise UserError(f"{path}: {what}, expected the name of a file in a folder that exists")
    if suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: no picture format, expected a name that ends in {', '.join(suffixes)}")


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file whole, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        temporary.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


@contextlib.contextmanager
def progress(label: str):
    """A progress bar on a terminal's stderr, as a function of (done, total); nothing where nobody looks."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        row = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


def set_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        if threads < 1:
            raise UserError(f"--threads: got {threads}, expected at least 1")
        torch.set_num_threads(threads)


def at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"--{name.replace('_', '-')}: got {value}, expected at least 1")


def read_puzzle(puzzle: str) -> tuple[str, str]:
    """The text of the input and its name in messages."""
    if not puzzle.strip():
        raise UserError("the argument: empty, expected a file, a board (rows joined by /) or - for standard input")
    try:
        if puzzle == "-":
            if sys.stdin is None:
                raise UserError("standard input: closed, expected boards")
            return sys.stdin.read(), "standard input"
        path = Path(puzzle)
        # A board of one line can be longer than a file name may be: then it is no file.
        if len(puzzle) < 256 and "\n" not in puzzle and path.exists():
            return path.read_text(encoding="utf-8"), puzzle
    except UnicodeDecodeError as error:
        name = "standard input" if puzzle == "-" else puzzle
        raise UserError(f"{name}: not text (byte {error.start} is not UTF-8), expected boards") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{puzzle!r}: cannot be read ({error})") from error
    is_text = re.search(r"[/,\s]", puzzle) or re.fullmatch(r"[\d._*-]+", puzzle)  # a line of digits is a Sudoku
    if not is_text or Path(puzzle).suffix in (".txt", ".csv", ".col", ".json"):
        raise UserError(f"{puzzle!r}: no such file, and no puzzle (rows joined by /)")
    return puzzle, "the argument"
