"""Which task an input is of, told from its first lines: a task whose reader takes them, if there is only one."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from gram_reasoning.errors import Ambiguous, UserError
from gram_reasoning.tasks.forms import begins_value, depth_of

if TYPE_CHECKING:
    from gram_reasoning.tasks.forms import Block

ENOUGH = 200
"""Lines that tell a task."""


def first_lines(lines: Iterator[str]) -> list[str]:
    """The lines up to the end of the first input, or of the first row of a table, whatever the task; no more."""
    taken: list[str] = []
    content = depth = 0
    for line in lines:
        taken.append(line)
        text = line.strip()
        depth += depth_of(text) if depth or begins_value(text) else 0
        if content and not text:
            break
        content += bool(text) and not _is_comment(text)
        alone = "/" in text and not text.startswith(("#", "//"))
        if text and depth == 0 and (alone or begins_value(text)):
            break
        if len(taken) == ENOUGH:
            break
    return taken


def _is_comment(text: str) -> bool:
    """Whether a line is a comment and no row of a maze with its walls of `#`."""
    return text.startswith("//") or re.match(r"#.*[A-Za-z]{2}", text) is not None


def fitting(lines: list[str], where: str) -> tuple[list[str], dict[str, UserError]]:
    """The tasks that read the first input of these lines, and those whose shape alone it has, with what is wrong.

    Raises:
        Ambiguous: one task finds two readings, and no other reads it.
    """
    from gram_reasoning.build import TASKS
    from gram_reasoning.tasks.configs import KINDS
    from gram_reasoning.tasks.demonstrations import DemonstrationText
    from gram_reasoning.tasks.text import Text

    read: list[str] = []
    shaped: dict[str, UserError] = {}
    ambiguous: Ambiguous | None = None
    for name, kind in TASKS.items():
        try:
            if issubclass(kind, DemonstrationText):
                block = next(kind.blocks(iter(lines), where), None)
                if block is not None and kind(KINDS[name]()).read_episodes(block, where):
                    read.append(name)
            elif issubclass(kind, Text) and (block := next(kind.blocks(iter(lines), where), None)) is not None:
                task = kind.sized(block, where)
                try:
                    task.read_one(block, where)
                    read.append(name)
                except Ambiguous:
                    raise
                except UserError as error:
                    shaped[name] = error
        except Ambiguous as error:
            ambiguous = error
        except UserError:  # another task's input
            continue
    if ambiguous is not None and not read:
        raise ambiguous
    return read, shaped


def task_of(lines: Iterator[str], where: str) -> tuple[str, Iterator[str]]:
    """The kind of task of an input, and all its lines.

    Raises:
        UserError: there is no input, or more than one task reads it, or none.
    """
    taken = first_lines(lines)
    read, shaped = fitting(taken, where)
    if not read and all(_is_comment(line.strip()) or not line.strip() for line in taken):
        raise UserError(f"{where}: no input found, expected at least one")
    found = read or list(shaped)
    if len(read) == 1:
        return read[0], chain(taken, lines)
    if len(found) == 1:
        raise UserError(f"{shaped[found[0]]} (read as {found[0]}; --task names another)")
    options = " or ".join(f"--task {name}" for name in found)
    if found:
        what = "may be an input of" if read else "looks like a wrong input of"
        raise UserError(f"{where}: {what} {' or of '.join(found)}, expected {options}")
    head = next(text for line in taken if (text := line.strip()) and not _is_comment(text))[:40]
    rows = f", {head.count('/') + 1} rows" if "/" in head else ""
    raise UserError(
        f"{where}: {head!r}{rows}: no task reads this, expected a puzzle of one (--task says why it is none)"
    )


def told(error: UserError, block: "Block", where: str, own: str) -> UserError:
    """The same error, with the other tasks that would read the input."""
    if isinstance(error, Ambiguous):
        return error
    try:
        others = [name for name in fitting([line for _, line in block], where)[0] if name != own]
    except Ambiguous:
        return error
    if not others:
        return error
    return UserError(f"{error}; it looks like {' or '.join(others)}, which --task {others[0]} takes")
