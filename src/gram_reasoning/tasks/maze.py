"""Mazes: mark a shortest path from S to G through the open squares of a board, in steps to one of four sides.

Tokens: 0 pad, 1 wall, 2 open, 3 S, 4 G, 5 path; a board is read row by row. An answer is the maze with its path.
"""

import re
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.errors import Broken, UserError
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.configs import LONGEST_SIDE, MazeConfig
from gram_reasoning.tasks.forms import Block
from gram_reasoning.tasks.maze_paths import flood, neighbours, path
from gram_reasoning.tasks.pictures import Boards
from gram_reasoning.tasks.prepared import with_counts
from gram_reasoning.tasks.sizes import OfSizes, corner
from gram_reasoning.tasks.sources import SourcedTask, as_cells
from gram_reasoning.tasks.text import Text

WALL, OPEN, START, GOAL, PATH = range(1, 6)
CODE = {"#": WALL, "█": WALL, " ": OPEN, ".": OPEN, "_": OPEN}
CODE |= dict.fromkeys("Ss", START) | dict.fromkeys("GgEe", GOAL)
COUNT_LIMIT = 10_000
"""Shortest paths are counted no further: a board without walls has millions."""
SQUARES_AT_ONCE = 2**17
"""Squares of the mazes that are drawn or walked together: what a processor's cache holds."""


class Maze(SourcedTask, Text, Boards):
    """See MazeConfig."""

    name = "maze"
    hub = "sapientinc/maze-30x30-hard-1k"
    count_limit = COUNT_LIMIT

    def __init__(self, config: MazeConfig) -> None:
        super().__init__(config)
        n = self.size = config.size
        self.length, self.vocab = n * n, PATH + 1
        self._part = SQUARES_AT_ONCE // self.length
        board = torch.arange(n * n).view(n, n)
        turned = [board.rot90(k) for k in range(4)]
        # which old square each new one takes, for the eight symmetries of the square (8, L)
        self._symmetries = torch.stack([b.flatten() for turn in turned for b in (turn, turn.T)])

    # -- rules -------------------------------------------------------------------------------------------------

    def reward(self, prediction: Tensor, inputs: Tensor) -> Tensor:
        """1 for a shortest path, whichever; otherwise at most 0.9, by what is kept, joined and of the right length.

        Marked squares with two neighbours on the path each, between ends with one each, are a path from S to G and
        perhaps rings beside it; as many of them as a shortest path has leave no square for rings.
        """
        marked, ends = prediction == PATH, (inputs == START) | (inputs == GOAL)
        kept = (prediction == inputs) | (marked & (inputs == OPEN))
        beside = neighbours(self._board(marked | ends).float()).flatten(1)
        joined = torch.where(ends, beside == 1, (beside == 2) | ~marked)
        length, least = marked.sum(1) + 1, self._steps(inputs)
        valid = kept.all(1) & joined.all(1) & (length == least)
        counted = marked | ends
        partial = (joined & counted).sum(1) / counted.sum(1).clamp(min=1) * kept.float().mean(1)
        partial = 0.9 * partial * torch.minimum(length, least).clamp(min=0) / torch.maximum(length, least)
        return torch.where(valid, torch.ones_like(partial), partial)

    def _board(self, x: Tensor) -> Tensor:
        return x.view(-1, self.size, self.size)

    def _flood(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return flood(self._board(inputs != WALL), self._board(inputs == START))

    def _steps(self, inputs: Tensor) -> Tensor:
        """Steps of a shortest path (B,); -1 where there is none."""
        steps = self._flood(inputs)[0].flatten(1)
        return steps.masked_fill(inputs != GOAL, -1).amax(1)

    def count_solutions(self, tokens: Sequence[int]) -> int:
        inputs = torch.tensor([tokens])
        ways = int(self._flood(inputs)[1].flatten(1)[inputs == GOAL])
        return min(ways, COUNT_LIMIT)

    def measures(self, answers: Tensor, problems: Problems) -> dict[str, Any]:
        """Where the source gives one path of many: how often an answer is exactly that one."""
        if problems.complete:
            return {}
        label = problems.solution(torch.arange(len(problems)), torch.zeros(len(problems), dtype=torch.int64))
        same = (answers == label.to(answers.device)[:, None]).all(2).float()
        return {
            "exact_match_of_a_sample": float(same.mean()),
            "exact_match_of_any_sample": float(same.amax(1).mean()),
        }

    # -- symmetry ----------------------------------------------------------------------------------------------

    def augment(self, inputs: Tensor, solutions: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        if not self.config.augment:
            return inputs, solutions
        squares = self._symmetries.to(key.device)[noise.choice(key, 8)]  # (B, L)
        return inputs.gather(1, squares), solutions.gather(2, squares[:, None].expand_as(solutions))

    # -- data --------------------------------------------------------------------------------------------------

    def read_lines(self, texts: Sequence[str], numbers: list[int], path: Path, what: str) -> np.ndarray:
        code = {letter: token for letter, token in CODE.items() if letter.isascii()}
        code |= {"o": PATH} if what == "answer" else {}
        expected = "one of # . S G, or a space" if what == "question" else "one of # . S G o"
        texts = [text.replace("█", "#") for text in texts]
        return as_cells(texts, numbers, path, code, self.length, what, expected)

    def check_questions(self, questions: np.ndarray, numbers: list[int], path: Path) -> None:
        for row, number in zip(questions, numbers, strict=True):
            self._refuse_wrong_ends(row, f"{path}, line {number}")
        walked = self._in_parts(self._steps, torch.from_numpy(questions))
        if (walked < 0).any():
            number = numbers[int((walked < 0).int().argmax())]
            raise UserError(f"{path}, line {number}: no way leads from S to G, expected one")

    def check_answers(self, questions: np.ndarray, answers: np.ndarray, numbers: list[int], path: Path) -> None:
        both = torch.from_numpy(np.concatenate([answers, questions], 1))
        right = self._in_parts(lambda rows: self.reward(*rows.chunk(2, 1)), both) == 1
        if not right.all():
            number = numbers[int((~right).int().argmax())]
            raise UserError(f"{path}, line {number}: the answer is no shortest path of o from S to G, expected one")

    def _in_parts(self, function: Any, rows: Tensor) -> Tensor:
        return torch.cat([function(part.long()) for part in rows.split(self._part)])

    def generate(self, number: int) -> np.ndarray:
        """Random walls, a random S, and a random G far enough with few enough shortest paths; no maze comes twice."""
        c, found = self.config, np.zeros((0, self.length), np.uint8)
        drawn = 0
        while len(found) < number:
            if drawn > 100 * (len(found) + 1000):
                raise UserError(
                    f"task: only {len(found)} distinct mazes of {self.size}x{self.size} squares whose shortest path "
                    f"takes {c.shortest} steps or more in {drawn} draws, expected {number}; ask for fewer, or for "
                    "another --task.min-path, --task.max-paths or --task.walls"
                )
            both = np.concatenate([found, self._draw(torch.arange(drawn, drawn + self._part))])
            drawn += self._part
            found = both[np.sort(np.unique(both, axis=0, return_index=True)[1])]
        return found[:number]

    def _draw(self, ids: Tensor) -> np.ndarray:
        """What mazes these numbers give: some give none."""
        c, squares = self.config, ids[:, None] * self.length + torch.arange(self.length)

        def uniform(purpose: str) -> Tensor:
            return noise.uniform(noise.keys(c.split_seed, f"maze {purpose}", squares.flatten())).view(squares.shape)

        mazes = torch.where(uniform("walls") < c.walls, WALL, OPEN)
        mazes.scatter_(1, uniform("start").where(mazes == OPEN, -1.0).argmax(1, keepdim=True), START)
        steps, ways = (x.flatten(1) for x in self._flood(mazes))
        fits = (steps >= c.shortest) & (ways <= c.max_paths)
        mazes.scatter_(1, uniform("goal").where(fits, -1.0).argmax(1, keepdim=True), GOAL)
        return mazes[fits.any(1)].to(torch.uint8).numpy()

    def solved(self, questions: np.ndarray, answers: np.ndarray | None, source: str) -> Problems:
        """Mazes with the path of their source alone; those without one with all shortest paths, if these are few."""
        del source  # what was read has been checked
        mazes = torch.from_numpy(questions)
        if answers is not None:
            return Problems.of_pairs(mazes, torch.from_numpy(answers), complete=False)
        parts = [self._all_paths(part.long()) for part in mazes.split(self._part)]
        solutions, ways = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        count = ways.clamp(max=self.config.max_paths)
        return with_counts(mazes, solutions, count, complete=bool((count == ways).all()))

    def _all_paths(self, mazes: Tensor) -> tuple[Tensor, Tensor]:
        """The answers to mazes (M, L), up to `max_paths` to each, one maze after the other, and how many exist (M,)."""
        steps, ways = self._flood(mazes)
        goal = (mazes == GOAL).int().argmax(1)
        exist = ways.flatten(1).gather(1, goal[:, None])[:, 0].long()
        count = exist.clamp(max=self.config.max_paths)
        rows = torch.arange(len(mazes)).repeat_interleave(count)
        which = torch.arange(len(rows)) - (count.cumsum(0) - count)[rows]
        taken = path(steps[rows], ways[rows], goal[rows], which)
        return mazes[rows].masked_fill(taken, PATH).to(torch.uint8), exist

    # -- text --------------------------------------------------------------------------------------------------

    # A maze is n lines of n squares, or one line: its rows joined by `/`, or all squares. A wall is `#` or `█`; an open
    # square is a space, `.` or `_`, so spaces count; the ends are S and G, or E for the goal. A line that begins with
    # `//` is a comment.

    @classmethod
    def stands_alone(cls, line: str) -> bool:
        return "/" in line or len(line) > LONGEST_SIDE

    @classmethod
    def solid(cls, line: str) -> str:
        """`#` begins a comment in other texts, and spaces at the ends are dropped there; here both are squares."""
        line = line.rstrip("\r\n")
        return "#" if line.startswith("//") else line.replace("#", "█").replace(" ", ".")

    @classmethod
    def resembles(cls, line: str) -> bool:
        return re.fullmatch(r"[█.SGEsge_]*[█SGEsge][█.SGEsge_]*", line) is not None

    def read_one(self, lines: Block, where: str) -> Tensor:
        place = f"{where}, line {lines[0][0]}"
        tokens = self._squares(lines, where, CODE, "one of # . S G, or a space")
        self._refuse_wrong_ends(tokens, place)
        maze = torch.tensor(tokens)
        if self._steps(maze[None]) < 0:
            ends = (self._square(tokens.index(end)) for end in (START, GOAL))
            raise Broken(f"{place}: no way leads from S ({next(ends)}) to G ({next(ends)}), expected one")
        return maze

    def read_answer(self, lines: Block, where: str) -> Tensor:
        """A maze with its path marked by `o`."""
        return torch.tensor(self._squares(lines, where, CODE | {"o": PATH, "O": PATH}, "one of # . S G o, or a space"))

    def _squares(self, lines: Block, where: str, code: dict[str, int], expected: str) -> list[int]:
        place, n = f"{where}, line {lines[0][0]}", self.size
        rows = _rows(lines, where, n)
        if len(lines) == len(rows) == 1:
            raise UserError(f"{place}: {len(rows[0][1])} squares, expected {n * n}, or {n} lines of {n}")
        if len(rows) != n:
            raise UserError(f"{place}: a maze of {len(rows)} rows, expected {n} rows of {n} squares")
        tokens = []
        for here, row in rows:
            if len(row) != n:
                raise UserError(f"{here}: {len(row)} squares, expected {n}")
            for c, letter in enumerate(row, 1):
                if letter not in code:
                    raise UserError(f"{here}, square {c}: {letter!r}, expected {expected}")
                tokens.append(code[letter])
        return tokens

    def _refuse_wrong_ends(self, tokens: Sequence[int], place: str) -> None:
        """UserError unless there is one S and one G."""
        for letter, token in (("S", START), ("G", GOAL)):
            squares = [i for i, t in enumerate(tokens) if t == token]
            if not squares:
                raise UserError(f"{place}: no {letter}, expected one")
            if len(squares) > 1:
                one, other = (self._square(i) for i in squares[:2])
                raise UserError(f"{place}: {one} and {other} both hold {letter}, expected one {letter}")

    def _square(self, i: int) -> str:
        return f"row {i // self.size + 1}, column {i % self.size + 1}"

    @classmethod
    def size_of(cls, lines: Block, where: str) -> int:
        """The number of rows."""
        return len(_rows(lines, where))

    @classmethod
    def of(cls, config: MazeConfig) -> "Maze":
        return cls(config) if config.smallest is None else MazeOfSizes(config)

    @classmethod
    def sized(cls, lines: Block, where: str) -> Self:
        """Without walls and ends nothing is taken for a maze."""
        if not any(set(line) & set("█#SsGgEe") for _, line in lines):
            raise UserError(f"{where}, line {lines[0][0]}: no walls and no ends, expected a maze")
        made = {"train": "generated", "test": "generated", "test_puzzles": 1, "min_path": 1}
        return cls(MazeConfig(size=len(_rows(lines, where)), **made))

    def cells(self, tokens: Sequence[int]) -> list[list[str]]:
        n = self.size
        letters = ["?█ SGo"[t] for t in tokens]
        return [letters[i : i + n] for i in range(0, self.length, n)]

    def format(self, tokens: Sequence[int]) -> str:
        return "\n".join("".join(row).replace("█", "#") for row in self.cells(tokens))

    def compact(self, tokens: Sequence[int]) -> str:
        return self.format(tokens).replace(" ", ".").replace("\n", "/")


class MazeOfSizes(OfSizes, Maze):
    """Mazes of several sizes, each in the upper left corner of the largest."""

    alone = Maze
    least = 3

    def places(self, size: int) -> Tensor:
        return corner(size, self.size)


def _rows(lines: Block, where: str, side: int | None = None) -> list[tuple[str, str]]:
    """The rows of a maze, each with its place; all squares on one line are cut into rows (of `side` squares)."""
    number, line = lines[0]
    if len(lines) > 1 or not (Maze.stands_alone(line) or len(line) == (side or 0) ** 2):
        return [(f"{where}, line {n}", row) for n, row in lines]
    side = isqrt(len(line))
    if "/" not in line and (side == 0 or side * side != len(line)):
        raise UserError(f"{where}, line {number}: {len(line)} squares, expected as many rows as columns")
    rows = line.split("/") if "/" in line else [line[i : i + side] for i in range(0, len(line), side)]
    return [(f"{where}, line {number}, row {r}", row) for r, row in enumerate(rows, 1)]
