"""Optional part of a task: its inputs and answers are read from text, from tables and from Python's values.

`gram solve` and `gram_reasoning.load` ask for it; training and evaluation need none.
"""

import io
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.configs import KINDS
from gram_reasoning.tasks.forms import (
    Block,
    Entry,
    begins_value,
    depth_of,
    header_of,
    is_list,
    table_rows,
    value_of,
)
from gram_reasoning.tasks.values import Values
from gram_reasoning.tasks.written import Written

LONGEST_BLOCK = 1000
"""Lines of an input: more in one block is no puzzle, but a file of another kind."""
LONGEST_VALUE = 1_000_000
"""Lines of a value, which may hold many inputs."""


@dataclass(frozen=True)
class Puzzle:
    """One input that was read."""

    place: str
    """Its name in messages."""
    tokens: Tensor  # (L,)
    answer: Tensor | None
    """The answer that came with it (L,), if any: right by the rules."""
    writer: Written
    """Writes it and its answers in the numbers of its author."""


class Text(Values):
    """A task that reads its inputs: from lines of its own, from a table with a header, or from values.

    A table is CSV (or parted by `;` or tabs) whose header names the column of the inputs and perhaps that of the
    answers (see forms.py). Values are nested lists, in JSON or from Python, or objects with the same names.
    """

    can = "read inputs as text"
    reads_format: bool = True
    """Whether an input is also read back as `format` writes it."""

    @classmethod
    def resembles(cls, line: str) -> bool:
        """Whether one row of a wrong input looks like this task's, so that it is worth saying what is wrong with it."""
        del line
        return False

    @abstractmethod
    def read_one(self, lines: Block, where: str) -> Tensor:
        """The tokens (L,) of one input from its lines and their numbers.

        Raises:
            UserError: what is wrong, with file, line and cell, and what was expected.
        """

    def read_answer(self, lines: Block, where: str) -> Tensor:
        """The tokens (L,) of an answer from its lines."""
        del lines
        raise UserError(f"{where}: the task {self.name} does not read answers, expected a file without them")

    def writer(self, lines: Block, where: str) -> Written:
        """The task as it writes the input of these lines: one with vertices or the like in its author's numbers."""
        del lines, where
        return self

    @classmethod
    def sized(cls, lines: Block, where: str) -> Self:
        """A task that such an input might be of, by its shape.

        Raises:
            UserError: the lines have another shape.
        """
        del lines, where
        return cls(KINDS[cls.name]())

    # -- texts into inputs -------------------------------------------------------------------------------------

    def read_entry(self, entry: Entry, where: str, answers: bool = False) -> Puzzle:
        """An input; if asked with the answer that came with it, which must be right by the rules."""
        where = entry.within(where)
        place = f"{where}, line {entry.question[0][0]}"
        tokens = self.read_one(entry.question, where)
        answer = None
        if answers and entry.answer is not None:
            answer = self.canonical(self.read_answer(entry.answer, where)[None], tokens[None])[0]
            reward = self.reward(answer[None], tokens[None])
            if reward is not None and float(reward[0]) != 1:
                raise UserError(f"{place}: the answer is not right for its question, expected one that is")
        return Puzzle(place, tokens, answer, self.writer(entry.question, where))

    def puzzles(self, lines: Iterable[str], where: str, answers: bool = False) -> Iterator[Puzzle]:
        """Read inputs while their lines come in, if asked with their answers."""
        return (self.read_entry(entry, where, answers) for entry in self.entries(lines, where))

    def read(self, lines: Iterable[str], where: str) -> Iterator[tuple[str, Tensor]]:
        """Read inputs while their lines come in: for each, its name in messages and its tokens (L,)."""
        return ((puzzle.place, puzzle.tokens) for puzzle in self.puzzles(lines, where))

    def parse(self, text: str, where: str) -> list[tuple[str, Tensor]]:
        """The inputs of a text, as `read` gives them; at least one."""
        found = list(self.read(io.StringIO(text), where))
        if not found:
            raise UserError(f"{where}: no input found, expected at least one")
        return found

    def read_value(self, value: Any, where: str) -> Puzzle:
        """One input from Python: its text, nested lists, a numpy array or a tensor."""
        if isinstance(value, str):
            found = list(self.puzzles(io.StringIO(value), where))
            if not found:
                raise UserError(f"{where}: no input found, expected at least one")
            if len(found) > 1:
                raise UserError(f"{where}: {len(found)} inputs in one text, expected one")
            return found[0]
        entries = list(self.entries_of(_plain(value), 1, where))
        if len(entries) > 1:
            raise UserError(f"{where}: {len(entries)} inputs in one value, expected one")
        return self.read_entry(entries[0], where)

    def problems_of(self, puzzles: Sequence[Puzzle], where: str) -> Problems:
        """Inputs that were read as problems, to judge a model on: with all their solutions where a task finds them.

        Else with the answers that came with them, if all have one; without answers no solution is known.

        Raises:
            UserError: an input has no solution.
        """
        del where
        inputs = torch.stack([puzzle.tokens for puzzle in puzzles]).to(torch.uint8)
        answers = [puzzle.answer for puzzle in puzzles if puzzle.answer is not None]
        if len(answers) == len(puzzles):
            return Problems.of_pairs(inputs, torch.stack(answers).to(torch.uint8), complete=False)
        none = torch.zeros(len(puzzles), dtype=torch.int64)
        return Problems(inputs, inputs[:0], none[:0], none, none, complete=False)

    @classmethod
    def blocks(cls, lines: Iterable[str], where: str) -> Iterator[Block]:
        """The lines of each input with their numbers."""
        return (entry.question for entry in cls.entries(lines, where))

    @classmethod
    def entries(cls, lines: Iterable[str], where: str) -> Iterator[Entry]:
        """The lines of each input, and of its answer if there is one, while they come in."""
        lines, before = iter(lines), []
        for number, line in enumerate(lines, 1):
            line = line.removeprefix("\ufeff") if number == 1 else line
            before.append(line)
            if (content := cls.solid(line)) and not content.startswith("#"):
                if (header := header_of(line, f"{where}, line {number}")) is not None:
                    for row, question, answer in table_rows(lines, header, number, where):
                        given = None if answer is None or not answer.strip() else cls._field(answer, row, where)
                        yield Entry(cls._field(question, row, where), given)
                    return
                break
        yield from cls._cut(chain(before, lines), where)

    @classmethod
    def _field(cls, text: str, number: int, where: str) -> Block:
        """The lines of a field of a table, all in its line."""
        if begins_value(text.strip()):
            place = f"{where}, line {number}"
            return cls._spelled(value_of(text.strip(), place), number, where)
        lines = text.splitlines() or [text]
        found = [(number, solid) for line in lines if (solid := cls.solid(line)) or len(lines) == 1]
        return found or [(number, "")]

    @classmethod
    def cleaned(cls, lines: Iterable[str]) -> Iterable[str]:
        """The lines of a text without a header, one for each; those that hold no puzzle empty or as comments."""
        return lines

    @classmethod
    def is_whole(cls, block: Block) -> bool:
        """Whether nothing can follow these lines in their input, though no empty line has come."""
        del block
        return False

    @classmethod
    def _cut(cls, lines: Iterable[str], where: str) -> Iterator[Entry]:
        """The inputs of lines without a header."""
        block: Block = []
        value: Block = []
        depth = 0
        for number, raw in enumerate(chain(cls.cleaned(lines), [""]), 1):
            if value or (not block and begins_value(raw.strip())):
                value.append((number, raw.strip()))
                depth += depth_of(raw)
                if depth <= 0:
                    first, text = value[0][0], "\n".join(line for _, line in value)
                    yield from cls.entries_of(value_of(text, f"{where}, line {first}"), first, where)
                    value, depth = [], 0
                elif len(value) > LONGEST_VALUE:
                    break
                continue
            line = cls.solid(raw)
            if line.startswith("#"):
                continue
            if line and not cls.stands_alone(line):
                block.append((number, line))
                if len(block) > LONGEST_BLOCK:
                    raise UserError(
                        f"{where}, line {block[0][0]}: more than {LONGEST_BLOCK} lines in one block, "
                        "expected an empty line between inputs"
                    )
                if cls.is_whole(block):
                    yield Entry(block)
                    block = []
                continue
            if block and line:
                raise UserError(
                    f"{where}, line {number}: an input of one line inside the block that begins in line "
                    f"{block[0][0]}, expected an empty line between them"
                )
            if one := block or ([(number, line)] if line else []):
                yield Entry(one)
            block = []
        if value:
            raise UserError(f"{where}, line {value[0][0]}: a list that does not end, expected its last bracket")


def _plain(value: Any) -> Any:
    """Nested lists of plain values."""
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return value.tolist()
    return [_plain(part) for part in value] if is_list(value) else value
