"""One task in several sizes: inputs of every size lie in the upper left part of the largest one, padded around.

Mixed into a task before it. Tokens of a size n are those of the task of that size alone, at their places on the
canvas; what depends on the size (rules, splits, text) is asked of that task. Around them inputs and answers hold
padding, which a model learns to answer, so that it can be sure of a whole answer.
"""

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import PAD, Problems
from gram_reasoning.tasks.forms import Block
from gram_reasoning.tasks.text import Puzzle, Text
from gram_reasoning.types import IGNORE


class OfSizes(Text):
    """A task of all sizes from `config.smallest` to that of the canvas, which its config gives."""

    can = "come in several sizes"
    alone: ClassVar[type[Any]]
    """The task of one size."""
    least: int
    """The smallest size that can be read at all; sizes below `smallest` are not trained on."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.canvas: int = config.largest
        self._of_size: dict[int, Any] = {}

    @abstractmethod
    def places(self, size: int) -> Tensor:
        """Where the tokens of a size stand on the canvas (its length,)."""

    def of_size(self, size: int) -> Any:
        """The task of one size alone."""
        if size not in self._of_size:
            self._of_size[size] = self.alone(self.config.of_size(size))
        return self._of_size[size]

    # -- which size --------------------------------------------------------------------------------------------

    @cached_property
    def _size_at(self) -> Tensor:
        """The size of what has its last token at a place (L,): 0 where no size ends."""
        table = torch.zeros(self.length, dtype=torch.int64)
        for size in range(self.least, self.canvas + 1):
            for part in self.ends_of(size):
                table[self.places(size)[part]] = size
        return table

    def ends_of(self, size: int) -> Sequence[int]:
        """The last tokens that an input and an answer of a size have, by their numbers in the task of that size."""
        del size
        return (-1,)

    def sizes(self, tokens: Tensor) -> Tensor:
        """The size of each padded input or answer (B, L): (B,) int64, 0 where it is none."""
        last = (torch.arange(self.length, device=tokens.device) * (tokens != PAD)).amax(1)
        return self._size_at.to(tokens.device)[last]

    def _groups(self, inputs: Tensor) -> Iterator[tuple[Any, Tensor, Tensor]]:
        """The task of each size that occurs, the places of its tokens, and the rows of that size.

        Which sizes occur is asked of the device: on a GPU a training step of several sizes waits for that.
        """
        sizes = self.sizes(inputs)
        for size in sizes.unique().tolist():
            if size:
                yield self.of_size(size), self.places(size).to(inputs.device), (sizes == size).nonzero()[:, 0]

    def _own(self, tokens: Sequence[int]) -> tuple[Any, list[int]]:
        """The task and the tokens of what a padded input or answer holds; the whole canvas if it is padded nowhere."""
        row = torch.tensor([list(tokens)])
        size = int(self.sizes(row)[0]) or self.canvas
        return self.of_size(size), row[0, self.places(size)].tolist()

    def _padded(self, tokens: Tensor, size: int) -> Tensor:
        """Rows of a size (..., its length) on the canvas (..., L)."""
        row = tokens.new_full((*tokens.shape[:-1], self.length), PAD)
        row[..., self.places(size).to(tokens.device)] = tokens
        return row

    # -- rules -------------------------------------------------------------------------------------------------

    def learnt(self, solution: Tensor) -> Tensor:
        """The padding of an answer is learnt too, where answers stand."""
        ignored = solution == PAD
        ignored[..., self.counted or slice(None)] = False
        return solution.masked_fill(ignored, IGNORE)

    def reward(self, prediction: Tensor, inputs: Tensor) -> Tensor:
        reward = torch.zeros(len(inputs), device=inputs.device)
        for task, places, rows in self._groups(inputs):
            reward[rows] = task.reward(prediction[rows][:, places], inputs[rows][:, places])
        return reward

    def conflicts(self, answers: Tensor, inputs: Tensor) -> Any:
        found = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
        for task, places, rows in self._groups(inputs):
            conflicts = task.conflicts(answers[rows][:, places], inputs[rows][:, places])
            if conflicts is None:
                return None
            found[rows] = conflicts
        return found

    def canonical(self, answers: Tensor, inputs: Tensor) -> Tensor:
        form = torch.full_like(answers, PAD)
        for task, places, rows in self._groups(inputs):
            own = task.canonical(answers[rows][:, places], inputs[rows][:, places])
            form[rows[:, None], places] = own
        return form

    def augment(self, inputs: Tensor, solutions: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        inputs, solutions = inputs.clone(), solutions.clone()
        every = torch.arange(solutions.shape[1], device=inputs.device)[:, None]
        for task, places, rows in self._groups(inputs):
            there = rows[:, None, None], every, places
            moved = task.augment(inputs[rows][:, places], solutions[there], key[rows])
            inputs[rows[:, None], places], solutions[there] = moved
        return inputs, solutions

    def count_solutions(self, tokens: Sequence[int]) -> Any:
        task, own = self._own(tokens)
        return task.count_solutions(own)

    # -- data --------------------------------------------------------------------------------------------------

    def split_of(self, size: int, name: str) -> Problems:
        """A split of one size, padded; sizes that are not trained on have splits too."""
        problems = self.of_size(size).split(name)
        return self._on_canvas([(problems, size)])

    def make_split(self, name: str) -> Problems:
        """The splits of all sizes in turns; each size comes as often in training, so inputs of small ones repeat."""
        parts = [(self.of_size(size).split(name), size) for size in self.config.sizes]
        numbers = torch.tensor([len(part) for part, _ in parts])
        turns, starts = torch.arange(int(numbers.max()))[:, None], numbers.cumsum(0) - numbers
        once = turns < numbers if name != "train" else torch.ones_like(turns < numbers)
        return self._on_canvas(parts).subset((starts + turns % numbers)[once])

    def _on_canvas(self, parts: list[tuple[Problems, int]]) -> Problems:
        tables: dict[str, list[Tensor]] = {name: [] for name in ("inputs", "solutions", "members", "first", "count")}
        solutions = members = 0
        for part, size in parts:
            tables["inputs"].append(self._padded(part.inputs, size))
            tables["solutions"].append(self._padded(part.solutions, size))
            tables["members"].append(part.members + solutions)
            tables["first"].append(part.first + members)
            tables["count"].append(part.count)
            solutions, members = solutions + len(part.solutions), members + len(part.members)
        complete = all(part.complete for part, _ in parts)
        return Problems(**{name: torch.cat(tensors) for name, tensors in tables.items()}, complete=complete)

    def problems_of(self, puzzles: Sequence[Puzzle], where: str) -> Problems:
        sizes = self.sizes(torch.stack([puzzle.tokens for puzzle in puzzles]))
        parts, order = [], []
        for size in sizes.unique().tolist():
            rows = (sizes == size).nonzero()[:, 0]
            own = [self._alone(puzzles[row], size) for row in rows.tolist()]
            parts.append((self.of_size(size).problems_of(own, where), size))
            order.append(rows)
        return self._on_canvas(parts).subset(torch.cat(order).argsort())

    def _alone(self, puzzle: Puzzle, size: int) -> Puzzle:
        places = self.places(size)
        answer = None if puzzle.answer is None else puzzle.answer[places]
        return Puzzle(puzzle.place, puzzle.tokens[places], answer, puzzle.writer)

    # -- text --------------------------------------------------------------------------------------------------

    def read_one(self, lines: Block, where: str) -> Tensor:
        size = self._readable(lines, where)
        return self._padded(self.of_size(size).read_one(lines, where), size)

    def read_entry(self, entry: Any, where: str, answers: bool = False) -> Puzzle:
        """Read by the task of its size, which its answer cannot always tell."""
        size = self._readable(entry.question, where)
        own = self.of_size(size).read_entry(entry, where, answers)
        answer = None if own.answer is None else self._padded(own.answer, size)
        return Puzzle(own.place, self._padded(own.tokens, size), answer, self.writer(entry.question, where))

    def _readable(self, lines: Block, where: str) -> int:
        size = self.size_of(lines, where)
        if size is None or not self.least <= size <= self.canvas:
            raise UserError(
                f"{where}, line {lines[0][0]}: a size of {size}, expected {self.least} to {self.canvas}, "
                "the sizes of this model"
            )
        return size

    def writer(self, lines: Block, where: str) -> Any:
        """In the numbers that the task of its size finds."""
        own = copy.copy(self)
        size = self._readable(lines, where)
        own._of_size = {**self._of_size, size: self.of_size(size).writer(lines, where)}
        return own

    def format(self, tokens: Sequence[int]) -> str:
        task, own = self._own(tokens)
        return task.format(own)

    def compact(self, tokens: Sequence[int]) -> str:
        task, own = self._own(tokens)
        return task.compact(own)

    def cells(self, tokens: Sequence[int]) -> list[list[str]]:
        task, own = self._own(tokens)
        return task.cells(own)


def corner(size: int, canvas: int) -> Tensor:
    """The places of a square board in the upper left corner of a larger one, row by row: (size * size,)."""
    return torch.arange(canvas * canvas).view(canvas, canvas)[:size, :size].flatten()
