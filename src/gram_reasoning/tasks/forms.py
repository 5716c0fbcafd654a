"""The forms that puzzles of every task come in: tables with a header, and values as JSON or Python write them.

What a task's own text looks like is said by the task (see text.py).
"""

import ast
import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gram_reasoning.errors import UserError

Block = list[tuple[int, str]]
"""The lines of one input, each with its number."""

QUESTION = (
    *("question", "questions", "quiz", "quizzes", "puzzle", "puzzles", "problem", "problems", "board", "boards"),
    *("grid", "grids", "maze", "mazes", "graph", "graphs", "input", "inputs"),
)
ANSWER = ("answer", "answers", "solution", "solutions", "solved", "output", "outputs")
"""The names of the columns that hold inputs and their answers, in any case."""


@dataclass(frozen=True)
class Entry:
    """One input of a text, and the answer that the text gives to it, if any."""

    question: Block
    answer: Block | None = None
    part: str = ""
    """Which one of its line it is, in messages: `, puzzle 3`."""

    def within(self, where: str) -> str:
        """Where it stands, in messages, but for its line."""
        return f"{where}{self.part}"


@dataclass(frozen=True)
class Header:
    """The first row of a table."""

    fields: tuple[str, ...]
    delimiter: str
    question: int
    answer: int | None


def header_of(line: str, place: str) -> Header | None:
    """The header of a table; None if the line is none.

    Raises:
        UserError: it is one, but does not say which column holds the puzzles, or names two.
    """
    for delimiter in ",;\t":
        try:
            fields = tuple(field.strip() for field in next(csv.reader([line.strip("\r\n")], delimiter=delimiter), ()))
        except csv.Error:  # no row of a table: a return in its middle, or a field beyond all bounds
            continue
        names = [field.lower() for field in fields]
        found = {what: [i for i, n in enumerate(names) if n in known] for what, known in COLUMNS.items()}
        for what, columns in found.items():
            if len(columns) > 1:
                one, other = (fields[i] for i in columns[:2])
                raise UserError(f"{place}: {one!r} and {other!r} may both be the column of the {what}, expected one")
        if found["puzzles"]:
            return Header(fields, delimiter, found["puzzles"][0], next(iter(found["answers"]), None))
        if len(fields) > 1 and all(re.fullmatch(r"[A-Za-z_][\w -]+", field) for field in fields):
            raise UserError(
                f"{place}: a header ({', '.join(fields)[:80]}) without a column of puzzles, expected one that is "
                f"named question, quiz, puzzle, board, grid or input"
            )
    return None


COLUMNS = {"puzzles": QUESTION, "answers": ANSWER}


def table_rows(lines: Iterable[str], header: Header, first: int, where: str) -> Iterator[tuple[int, str, str | None]]:
    """The line number, question and answer of each row below the header, which stands in line `first`."""
    reader = csv.reader(lines, delimiter=header.delimiter, strict=True)
    empty = True
    while True:
        number = first + reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{where}, line {number}: not a CSV file ({error}), expected rows of {', '.join(header.fields)[:80]}"
            ) from error
        if row is None:
            break
        if not any(row):
            continue
        empty = False
        if len(row) != len(header.fields):
            expected = f"{len(header.fields)} as in the header"
            raise UserError(f"{where}, line {number}: {len(row)} fields, expected {expected}")
        yield number, row[header.question], None if header.answer is None else row[header.answer]
    if empty:
        raise UserError(f"{where}, line {first}: no puzzles, expected rows after the header")


def begins_value(line: str) -> bool:
    """Whether a line begins a list or an object as JSON or Python write them; `[Puzzle]` does not."""
    return re.match(r"[\[{(]\s*(?:$|[\[{(\]})\d\"'.-]|None|null|[Tt]rue|[Ff]alse)", line) is not None


def depth_of(line: str) -> int:
    """How many brackets a line opens, less those that it closes; those in quotes do not count."""
    bare = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", "", line)
    return len(re.findall(r"[\[{(]", bare)) - len(re.findall(r"[\]})]", bare))


def value_of(text: str, place: str) -> Any:
    """The value of a text in JSON, or of a literal of Python."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise UserError(f"{place}: {text[:40]!r} is no list that can be read, expected JSON or Python") from error


def is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def named_in(value: dict[Any, Any], names: Sequence[str], place: str) -> Any:
    """The entry of an object under one of the names; None without one."""
    found = [key for key in value if str(key).lower() in names]
    if len(found) > 1:
        raise UserError(f"{place}: {found[0]!r} and {found[1]!r} may both be what is asked for, expected one of them")
    return value[found[0]] if found else None


def whole(value: Any) -> int | None:
    """A whole number, also one that is written as a float or a truth value; None for anything else."""
    if isinstance(value, bool | int):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else None
