"""Puzzles from text, files and streams, line by line: nothing is read before it is wanted, nothing waits for more."""

import io
import os
import queue
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

from gram_reasoning.errors import UserError

LONGEST_LINE = 2**23
"""Bytes of a line: more is no puzzle, but a file of another kind."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Source:
    """Lines of puzzles, and what to call their origin in messages."""

    lines: Iterator[str]
    where: str
    is_stream: bool
    """More lines may come later, after a while: do not wait for them."""


def open_puzzle(puzzle: str) -> Source:
    """The lines of standard input (`-`), of a file, or of the text itself."""
    if not puzzle.strip():
        raise UserError("the argument: empty, expected a file, a board (rows joined by /) or - for standard input")
    if puzzle == "-":
        where = "standard input"
        if sys.stdin is None:
            raise UserError(f"{where}: closed, expected puzzles")
        return Source(_lines(_own_standard_input, where), where, is_stream=not _is_file(sys.stdin))
    where = os.fsencode(puzzle).decode(errors="backslashreplace")
    try:
        if "\n" not in puzzle and os.path.exists(puzzle):
            is_stream = not stat.S_ISREG(os.stat(puzzle).st_mode)
            return Source(_lines(Path(puzzle).open, where), where, is_stream)
    except (OSError, ValueError) as error:
        raise UserError(f"{where!r}: cannot be read ({error})") from error
    if not set("/,\n \t") & set(puzzle) and not set(puzzle) <= set("0123456789._*-"):  # a line of digits is a Sudoku
        raise UserError(f"{where!r}: no such file, and no puzzle (rows joined by /)")
    if Path(puzzle).suffix in (".txt", ".csv", ".col", ".json"):
        raise UserError(f"{where!r}: no such file, and no puzzle (rows joined by /)")
    return Source(io.StringIO(puzzle), "the argument", is_stream=False)


def _own_standard_input(mode: str) -> BinaryIO:
    """Standard input through a buffer of our own: a thread that waits for it holds no lock of sys.stdin at the end."""
    try:
        return open(sys.stdin.fileno(), mode, closefd=False)  # type: ignore[return-value]
    except io.UnsupportedOperation:  # replaced by an object in memory
        return sys.stdin.buffer


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except io.UnsupportedOperation:
        return True


def _lines(opens: Callable[[str], Any], where: str) -> Iterator[str]:
    number = 0
    try:
        with opens("rb") as file:
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    problem = f"longer than {LONGEST_LINE} bytes, expected puzzles as text"
                    raise UserError(f"{where}, line {number}: {problem}")
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        problem = f"not text (byte {error.start + 1} is not UTF-8), expected puzzles"
        raise UserError(f"{where}, line {number}: {problem}") from error
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class _End:
    error: Exception | None


def in_groups(items: Iterable[Item], most: int, patient: bool) -> Iterator[list[Item]]:
    """Lists of up to `most` items. An exception of the source is raised after the items that came before it.

    Args:
        patient: wait until a list is full, so that the lists are the same every time; otherwise hand on what has come,
            as soon as there is one item. A thread reads ahead.
    """
    waiting: queue.Queue[Item | _End] = queue.Queue(2 * most)

    def read_ahead() -> None:
        error = None
        try:
            for item in items:
                waiting.put(item)
        except Exception as caught:
            error = caught
        waiting.put(_End(error))

    threading.Thread(target=read_ahead, daemon=True).start()
    while True:
        group: list[Item] = []
        end = None
        while end is None and len(group) < most:
            try:
                item = waiting.get(block=patient or not group)
            except queue.Empty:
                break
            if isinstance(item, _End):
                end = item
            else:
                group.append(item)
        if group:
            yield group
        if end is not None:
            if end.error is not None:
                raise end.error
            return
