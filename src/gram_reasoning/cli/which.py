"""Which task an input is of, told from its first lines: a task whose reader takes them, if there is only one."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from gram_reasoning.errors import Ambiguous, Broken, UserError
from gram_reasoning.tasks.forms import begins_value, depth_of, header_of

if TYPE_CHECKING:
    from gram_reasoning.tasks.forms import Block

ENOUGH = 200
"""Lines that tell a task, comments not counted."""


def first_lines(lines: Iterator[str]) -> list[str]:
    """The lines up to the end of the first input, or of the first row of a table, whatever the task; no more."""
    taken: list[str] = []
    content = depth = 0
    for line in lines:
        taken.append(line)
        text = line.strip()
        depth += depth_of(text) if depth or begins_value(text) else 0
        if depth > 0:  # the value goes on, over empty lines too
            continue
        if content and not line.strip("\r\n") and not (content == 1 and _is_header(taken)):
            break  # a row of spaces may be open squares
        content += bool(text) and not _is_comment(text)
        alone = "/" in text and not text.startswith(("#", "//"))
        if text and depth == 0 and (alone or begins_value(text)):
            break
        if content == ENOUGH:
            break
    return taken


def _is_comment(text: str) -> bool:
    """Whether a line is a comment and no row of a maze with its walls of `#`."""
    return text.startswith("//") or re.match(r"#.*[A-Za-z]{2}", text) is not None


def _is_header(lines: list[str]) -> bool:
    """Whether the one line with content is the header of a table."""
    line = next(line for line in lines if line.strip() and not _is_comment(line.strip()))
    try:
        return header_of(line, "") is not None
    except UserError:
        return True


@dataclass
class Fit:
    """What the tasks say of an input: the kinds that read it, and the others with what is wrong for them."""

    read: list[str] = field(default_factory=list)
    broken: dict[str, UserError] = field(default_factory=dict)
    """The form is theirs; the content breaks their rules."""
    wrong: dict[str, UserError] = field(default_factory=dict)
    alike: dict[str, tuple[bool, float]] = field(default_factory=dict)
    """Of those in `wrong`: whether the shape is theirs, and the share of rows that look so, if it is half or more."""
    uncut: list[str] = field(default_factory=list)
    """What is wrong where no input could be cut out of the lines."""
    ambiguous: Ambiguous | None = None


def fitting(lines: list[str], where: str) -> Fit:
    """What the tasks say of the first input of these lines.

    Raises:
        Ambiguous: one task finds two readings, and no other reads it.
    """
    from gram_reasoning.build import TASKS
    from gram_reasoning.tasks.configs import KINDS
    from gram_reasoning.tasks.demonstrations import DemonstrationText
    from gram_reasoning.tasks.text import Text

    fit = Fit()
    for name, kind in TASKS.items():
        shaped, block, here = False, None, where
        try:
            if issubclass(kind, DemonstrationText):
                block = next(kind.blocks(iter(lines), where), None)
                if block is not None and kind(KINDS[name]()).read_episodes(block, where):
                    fit.read.append(name)
            elif issubclass(kind, Text) and (entry := next(kind.entries(iter(lines), where), None)) is not None:
                block, here = entry.question, entry.within(where)
                task = kind.sized(block, here)
                shaped = True
                task.read_one(block, here)
                fit.read.append(name)
        except Ambiguous as error:
            fit.ambiguous = error
        except Broken as error:
            fit.broken[name] = error
        except UserError as error:
            if issubclass(kind, Text):
                texts = [kind.solid(line) for line in lines] if block is None else [line for _, line in block]
                rows = [row for text in texts for row in text.split("/") if row]
                share = sum(map(kind.resembles, rows)) / max(len(rows), 1)
                of_config = str(error).startswith("task.")  # no task has such a size
                first = 1 if block is None else block[0][0]
                place = f"{here}, line {first}: {str(error).removeprefix('task.')}"
                fit.wrong[name] = UserError(place) if of_config else error
                if block is None:
                    fit.uncut.append(str(error))
                if share >= 0.5:
                    fit.alike[name] = (shaped, share)
    if fit.ambiguous is not None and not fit.read:
        raise fit.ambiguous
    return fit


def task_of(lines: Iterator[str], where: str) -> tuple[str, Iterator[str]]:
    """The kind of task of an input, and all its lines.

    Raises:
        UserError: there is no input, or more than one task reads it, or none.
    """
    taken = first_lines(lines)
    fit = fitting(taken, where)
    if not fit.read and all(_is_comment(line.strip()) or not line.strip() for line in taken):
        raise UserError(f"{where}: no input found, expected at least one")
    if len(fit.read) == 1 and not fit.broken:
        return fit.read[0], chain(taken, lines)
    if fit.read:
        wrong = [f"a wrong one of {name} ({_apart(error, where)})" for name, error in fit.broken.items()]
        readings = " or ".join([*(f"of {name}" for name in fit.read), *wrong])
        raise UserError(f"{where}: may be an input {readings}, expected {_options([*fit.read, *fit.broken])}")
    [(fault, tasks)] = Counter(fit.uncut).most_common(1) or [("", 0)]
    if tasks > 1 and not fit.broken:  # several tasks find the same fault: it is the file's
        raise UserError(fault)
    best = max(fit.alike.values(), default=None)
    found = fit.broken or {name: fit.wrong[name] for name, how in fit.alike.items() if how == best}
    if len(found) == 1:
        [(name, error)] = found.items()
        raise UserError(f"{error} (read as {name}; --task names another)")
    if found:
        readings = " or of ".join(f"{name} ({_apart(error, where)})" for name, error in found.items())
        raise UserError(f"{where}: looks like a wrong input of {readings}, expected {_options(found)}")
    head = next(text for line in taken if (text := line.strip()) and not _is_comment(text))[:40]
    rows = f", {head.count('/') + 1} rows" if "/" in head else ""
    raise UserError(
        f"{where}: {head!r}{rows}: no task reads this, expected a puzzle of one (--task says why it is none)"
    )


def _options(names: Iterable[str]) -> str:
    return " or ".join(f"--task {name}" for name in names)


def _apart(error: UserError, where: str) -> str:
    """What is wrong, without the file."""
    return str(error).removeprefix(f"{where}, ")


def told(error: UserError, block: "Block", where: str, own: str) -> UserError:
    """The same error, with the other tasks that would read the input."""
    if isinstance(error, Ambiguous):
        return error
    try:
        others = [name for name in fitting([line for _, line in block], where).read if name != own]
    except Ambiguous:
        return error
    if not others:
        return error
    return UserError(f"{error}; it looks like {' or '.join(others)}, which --task {others[0]} takes")
