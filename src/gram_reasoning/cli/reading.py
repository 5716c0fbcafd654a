"""Puzzles from text, files and streams, line by line: nothing is read before it is wanted, nothing waits for more."""

import io
import os
import queue
import re
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, TypeVar

from gram_reasoning.errors import UserError
from gram_reasoning.storage.lines import lines_of

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
        return Source(lines_of(_own_standard_input, where), where, is_stream=not _is_file(sys.stdin))
    where = os.fsencode(puzzle).decode(errors="backslashreplace")
    try:
        if "\n" not in puzzle and os.path.exists(puzzle):
            is_stream = not stat.S_ISREG(os.stat(puzzle).st_mode)
            return Source(lines_of(Path(puzzle).open, where), where, is_stream)
    except (OSError, ValueError) as error:
        raise UserError(f"{where!r}: cannot be read ({error})") from error
    if _is_path(puzzle):
        raise UserError(f"{where!r}: no such file, and no puzzle (rows joined by /)")
    return Source(io.StringIO(puzzle), "the argument", is_stream=False)


def _is_path(text: str) -> bool:
    """Whether a text names a file rather than being a puzzle: by a word in it, an ending, or nothing of a puzzle."""
    if "\n" in text or re.match(r"\s*[\[{(]", text):
        return False
    words = (word for word in re.findall(r"[A-Za-z]{3,}", text) if not set(word) <= set("QqSsGgEeoOx"))
    if next(words, None) or re.search(r"\.(txt|csv|tsv|col|json|jsonl|sdm|sdk|gz|npy)$", text, re.IGNORECASE):
        return True
    return not set("/,; \t") & set(text) and not set(text) <= set("0123456789._*?-")


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
