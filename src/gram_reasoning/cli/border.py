"""What the commands share at the border to the user: options, input, output files, progress.

Whatever a user can get wrong here becomes a UserError, one line; nothing imports torch before it must.
"""

import contextlib
import io
import os
import re
import sys
import typing
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import tyro

from gram_reasoning import __version__
from gram_reasoning.errors import UserError
from gram_reasoning.storage.files import write_whole
from gram_reasoning.typed import in_words

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
        raise UserError(
            f"{_in_our_words(caught.getvalue(), options, arguments, default)} (see `{prog} --help`)"
        ) from None


def _in_our_words(boxes: str, options: type, arguments: list[str], default: Any) -> str:
    """What tyro says about bad options, in our words: which option, what it got, what was expected."""
    lines = [line.strip("│╭╮╰╯─| ") for line in boxes.splitlines()]
    lines = [line for line in lines if not set(line) <= set("+-")]  # of a frame, where a terminal has no others
    text = " ".join(line for line in lines[1:] if "full helptext" not in line)
    if named := re.match(
        r"(?:Error parsing|invalid choice .* for argument|Missing value for argument) '?(--[\w.-]+)", text
    ):
        name = named[1]
        given = [a.partition("=")[2] or after for a, after in pairwise([*arguments, ""]) if _same(a, name)]
        got = "no value" if text.startswith("Missing") else f"got {given[-1]!r}" if given else "a bad value"
        return f"{name}: {got}, expected {_expected(name, options, default)}"
    if missing := re.match(r"Missing from [\w ]+: (--[\w.-]+)", text):
        return f"{missing[1]}: missing, expected it with {_expected(missing[1], options, default)}"
    if unknown := re.match(r"Unrecognized options: (.*?)(?: Perhaps you meant: (--[\w.-]+).*)?$", text):
        first = next((a for a in arguments if unknown[1].startswith(a)), unknown[1].split(", ")[0])
        meant = f" {unknown[2]}" if unknown[2] else ""
        if first.startswith("-"):
            return f"{first}: unknown option, expected{meant or ' one that is listed'}"
        return f"{first!r}: not expected here, expected an option"
    return re.sub(r"^(Error parsing )?[\w.]+: (?=[\w.]+: got )", "", text.partition(" Argument helptext:")[0])


def _same(argument: str, name: str) -> bool:
    return argument.partition("=")[0].replace("_", "-") == name


def _expected(name: str, options: type, default: Any) -> str:
    """What an option such as `--train.lr` takes, in words, from the types of the dataclasses."""
    hint: Any = options
    for part in name[2:].replace("-", "_").split("."):
        owner = hint if default is None else type(default)
        hint = typing.get_type_hints(owner).get(part)
        default = getattr(default, part, None)
        if hint is None:
            return "another value"
    return in_words(hint)


def named(arguments: list[str], what: str, options: type, prog: str, example: str) -> tuple[str, list[str]]:
    """The positional argument that must come first, and the rest; `--help` in its place prints the help."""
    if arguments[:1] in (["-h"], ["--help"]):
        parse(options, ["--help"], prog, example)
    if not arguments or arguments[0].startswith("-"):
        raise UserError(f"{prog.split()[1]}: expected {what} first (see `{' '.join(prog.split()[:2])} --help`)")
    return arguments[0], arguments[1:]


def can_write(path: Path | None, suffixes: tuple[str, ...] = ()) -> None:
    """Refuse an output that cannot be written before the work, not after it; `-` is standard output."""
    if path is None or (str(path) == "-" and not suffixes):
        return
    if os.path.isdir(path) or not os.path.isdir(path.absolute().parent):  # unlike Path's, these never raise
        what = "is a folder" if os.path.isdir(path) else f"cannot be written (no folder {path.absolute().parent})"
        raise UserError(f"{path}: {what}, expected the name of a file in a folder that exists")
    if suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: no picture format, expected a name that ends in {', '.join(suffixes)}")


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file whole, or not at all."""
    write_whole(path, "".join(f"{line}\n" for line in lines))


@contextlib.contextmanager
def progress(label: str):
    """A progress bar on a terminal's stderr, as a function of (done, total); nothing where nobody looks."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    silent = not (sys.stderr.isatty() and speaks())
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=silent) as bar:
        row = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


def speaks() -> bool:
    """Whether this process talks to the user: of several that a launcher started together, the first."""
    return os.environ.get("RANK", "0") == "0"


def tell(error: Exception) -> None:
    """One line on stderr. Of what all processes of a launch find before they meet, only the first one tells."""
    torch = sys.modules.get("torch")
    if speaks():
        print(f"gram: {error}", file=sys.stderr)
    elif torch is not None and torch.distributed.is_initialized():
        print(f"gram (process {os.environ['RANK']}): {error}", file=sys.stderr)


def out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed, on the CPU or on a GPU, as PyTorch words it."""
    return isinstance(error, MemoryError) or any(
        words in str(error).lower() for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


@contextlib.contextmanager
def together(device: str, threads: int | None, timeout: float):
    """The processes of this launch (one, if nobody launched several), and the device of this one."""
    from gram_reasoning.processes import choose_device, join

    if not timeout > 0:
        raise UserError(f"--timeout: got {timeout}, expected a number of seconds above 0")
    processes = join(choose_device(device), timeout)
    set_threads(threads)
    try:
        yield processes
    except BaseException:
        if processes.device.type == "cpu":  # on GPUs a group that lost a process may never let go
            processes.leave()
        raise
    processes.leave()


def set_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        in_range("threads", threads, 1, 1024)
        torch.set_num_threads(threads)


def in_range(name: str, value: int, low: int, high: int | None = None) -> None:
    """UserError unless the option `name` lies between the bounds, which belong to it."""
    if value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"{low} to {high}"
        raise UserError(f"--{name.replace('_', '-')}: got {value}, expected {bounds}")


def version() -> str:
    """What runs here: the package, Python, torch and the device."""
    import platform

    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    return f"gram {__version__} (Python {platform.python_version()}, torch {torch.__version__}, {device})"
