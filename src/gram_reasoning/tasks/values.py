"""Optional part of a task: inputs and answers that come as values, in JSON or from Python."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.forms import ANSWER, QUESTION, Block, Entry, is_list, named_in, whole
from gram_reasoning.tasks.written import Blocks


class Values(Blocks):
    """A task that spells a value as lines of its text: nested lists, or objects that name the input and its answer."""

    @classmethod
    @abstractmethod
    def stands_alone(cls, line: str) -> bool:
        """Whether a line of text is a whole input; other inputs are blocks of lines, with empty lines between."""

    @classmethod
    def solid(cls, line: str) -> str:
        """A line without what does not count at its ends; one that begins with `#` is a comment."""
        return line.strip()

    @classmethod
    def spell(cls, value: Any, place: str) -> list[str]:
        """The lines of an input or an answer that came as nested lists."""
        if isinstance(value, str):
            return value.splitlines()
        rows = value if is_list(value) else []
        if rows and all(isinstance(row, str) for row in rows):
            return list(rows)
        if rows and all(is_list(row) for row in rows):
            return ["".join(cls.cell(cell, place) for cell in row) for row in rows]
        raise UserError(f"{place}: {str(value)[:40]!r}, expected a list of rows, each a text or a list of cells")

    @classmethod
    def cell(cls, value: Any, place: str) -> str:
        """The character of a cell that came as a value; None and an empty text stand for an open one."""
        if value is None or value == "":
            return "."
        text = str(value if (number := whole(value)) is None else number)
        if len(text) != 1:
            raise UserError(f"{place}: a cell {text[:40]!r}, expected one character or digit")
        return text

    @classmethod
    def _spelled(cls, value: Any, number: int, where: str) -> Block:
        spelled = cls.spell(value, f"{where}, line {number}")
        return [(number, solid) for line in spelled if (solid := cls.solid(line))] or [(number, "")]

    @classmethod
    def entry_of(cls, value: Any, number: int, where: str) -> Entry:
        """The input of a value, and its answer if it is an object that has one."""
        place = f"{where}, line {number}"
        if isinstance(value, dict) and (question := named_in(value, QUESTION, place)) is not None:
            answer = named_in(value, ANSWER, place)
            spelled = None if answer is None else cls._spelled(answer, number, where)
            return Entry(cls._spelled(question, number, where), spelled)
        return Entry(cls._spelled(value, number, where))

    @classmethod
    def is_input(cls, value: Any) -> bool:
        """Whether an entry of a list is a whole input, not a row of one."""
        if isinstance(value, str):
            return "\n" in value.strip() or (value.strip() != "" and cls.stands_alone(cls.solid(value)))
        rows = value if is_list(value) else []
        return isinstance(value, dict) or any(is_list(row) or (isinstance(row, str) and len(row) > 1) for row in rows)

    @classmethod
    def entries_of(cls, value: Any, number: int, where: str) -> Iterator[Entry]:
        """The inputs of a value: one, a list of them, or an object with such a list and their answers."""
        place = f"{where}, line {number}"
        answers: Any = None
        listed = value
        if isinstance(value, dict):
            listed, answers = named_in(value, QUESTION, place), named_in(value, ANSWER, place)
        if not (is_list(listed) and any(map(cls.is_input, listed))):  # the others are faulty inputs then
            yield cls.entry_of(value, number, where)
            return
        if answers is not None and not (is_list(answers) and len(answers) == len(listed)):
            raise UserError(f"{place}: {len(listed)} puzzles, expected a list of as many answers")
        for i, one in enumerate(listed):
            part = f", puzzle {i + 1}"
            entry = cls.entry_of(one, number, where + part)
            given = entry.answer if answers is None else cls._spelled(answers[i], number, where + part)
            yield Entry(entry.question, given, part)
