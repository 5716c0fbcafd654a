"""ARC-AGI: learn from a few demonstrations what to do with a grid.

Grids lie on a square canvas (arc_canvas.py). The model sees one input at a time, with a learnt vector of the task that
it belongs to: one for each task in each augmentation (a turn or mirror image, and an exchange of colours). An answer
is right if its grid is the output. Solved in several augmentations, an input gets a vote from each.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.errors import UserError, check
from gram_reasoning.tasks import arc_canvas as canvas
from gram_reasoning.tasks.arc_data import Riddle, parse_json, read_set, refuse_leak, riddles_of
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.configs import ArcConfig
from gram_reasoning.tasks.demonstrations import DemonstrationText, Episode
from gram_reasoning.tasks.forms import Block
from gram_reasoning.tasks.pictures import Boards

SETS = ("training", "evaluation", "concept")


class Arc(DemonstrationText, Boards):
    """See ArcConfig."""

    name = "arc"
    vocab = canvas.VOCAB
    attempts = 2
    counted = None

    def __init__(self, config: ArcConfig) -> None:
        super().__init__(config)
        self.side = config.canvas
        self.length = self.side**2
        self.augmentations = config.augmentations
        if config.monitor == "demonstrations":
            self.held_out = ("test",)
        self._sets: dict[str, list[Riddle]] | None = None
        self._owners: tuple[str, ...] | None = None

    # -- rules -------------------------------------------------------------------------------------------------

    def reward(self, prediction: Tensor, inputs: Tensor) -> None:
        """None: what is right depends on the task, not on the input alone."""
        del prediction, inputs

    def right(self, answers: Tensor, problems: Problems) -> Tensor:
        rows = torch.arange(len(problems), device=problems.first.device)
        outputs = problems.solution(rows, torch.zeros_like(rows)).to(answers.device)
        return (answers == outputs[:, None]).all(2)

    def canonical(self, answers: Tensor, inputs: Tensor) -> Tensor:
        """The largest rectangle of colours in the corner is the grid; what stands elsewhere does not count."""
        del inputs
        return canvas.clean(answers)

    # -- symmetry ----------------------------------------------------------------------------------------------

    def symmetry(self, identity: Tensor) -> tuple[Tensor, Tensor]:
        """The augmentation of each identity (B,): a turn (B,), and the new colour of each colour (B, 10); 0 stays 0."""
        # The purpose decides the draws, so it keeps its old word.
        key = noise.keys(self.config.split_seed, "arc disguise", identity)
        plain = identity % self.augmentations == 0
        turn = noise.choice(noise.keys(0, "turn", key), canvas.TURNS).where(~plain, 0)
        others = 1 + noise.permutation(noise.keys(0, "colours", key), canvas.COLORS - 1)
        colors = torch.cat([torch.zeros_like(others[:, :1]), others], 1)
        return turn, colors.where(~plain[:, None], torch.arange(canvas.COLORS, device=key.device))

    def apply_augmentation(self, inputs: Tensor, solutions: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        turn, colors = self.symmetry(identity)
        B, K, L = solutions.shape
        both = torch.cat([inputs[:, None], solutions], 1).view(-1, L)
        both = canvas.recolored(both, colors.repeat_interleave(1 + K, 0))
        both = canvas.turned(both, turn.repeat_interleave(1 + K)).view(B, 1 + K, L)
        return both[:, 0], both[:, 1:]

    def undo_augmentation(self, answers: Tensor, identity: Tensor) -> Tensor:
        turn, colors = self.symmetry(identity)
        back = torch.tensor(canvas.BACK, device=turn.device)
        return canvas.recolored(canvas.turned(answers, back[turn]), colors.argsort(1))

    def augment(self, inputs: Tensor, solutions: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Input and solutions at one random place of the canvas, if the config asks for it."""
        if not self.config.translate:
            return inputs, solutions
        B, K, L = solutions.shape
        both = torch.cat([inputs[:, None], solutions], 1).view(-1, L)
        room = [self.side - size.view(B, 1 + K).amax(1) for size in canvas.sizes(both)]
        shift = [noise.choice(noise.keys(0, what, key), r + 1) for what, r in zip(("down", "right"), room, strict=True)]
        both = canvas.moved(both, *(s.repeat_interleave(1 + K) for s in shift)).view(B, 1 + K, L)
        return both[:, 0], both[:, 1:]

    # -- data --------------------------------------------------------------------------------------------------

    @property
    def owners(self) -> tuple[str, ...]:
        """`training/007bbfb7` and so on: every task whose demonstrations are learnt."""
        if self._owners is None:
            self._owners = tuple(f"{part}/{riddle.name}" for part, riddle in self._learnt())
        return self._owners

    def set_owners(self, owners: tuple[str, ...]) -> None:
        if not owners:
            raise UserError("arc: a model without the names of its tasks, expected `owners` in its config.json")
        self._owners, self._splits = owners, {}

    def _learnt(self) -> list[tuple[str, Riddle]]:
        return [(part, riddle) for part in SETS for riddle in self.riddles(part)]

    def riddles(self, part: str) -> list[Riddle]:
        """The tasks of a set."""
        if self._sets is None:
            c = self.config
            sets = {name: read_set(name, getattr(c, name), c.version) for name in SETS}
            if not c.allow_leak:
                refuse_leak({name: sets[name] for name in ("training", "concept")}, sets["evaluation"])
            if c.only is not None:
                sets = _named(c.only, sets)
            for name, found in sets.items():
                for riddle in found:
                    self._check_fit(riddle, f"--task.{name} {getattr(c, name)}, task {riddle.name}")
            self._sets = sets
        return self._sets[part]

    def _check_fit(self, riddle: Riddle, where: str) -> None:
        grids = [grid for pair in (*riddle.demonstrations, *riddle.tests) for grid in pair if grid is not None]
        for grid in grids:
            height, width = len(grid), len(grid[0])
            if max(height, width) > self.side:
                raise UserError(
                    f"{where}: a grid of {height} x {width} cells, expected at most {self.side} x {self.side}, the "
                    "canvas (task.canvas)"
                )

    def make_split(self, name: str) -> Problems:
        """Train: all demonstrations. Validation: see `monitor`. Test: the evaluation set's test pairs.

        Without an evaluation set those of the training set are the test.
        """
        c = self.config
        demonstrations = [(f"{part}/{r.name}", pair) for part, r in self._learnt() for pair in r.demonstrations]
        tests = {
            part: [(f"{part}/{r.name}", pair) for r in self.riddles(part) for pair in r.tests] for part in SETS[:2]
        }
        splits = {
            "train": demonstrations,
            "validation": demonstrations if c.monitor == "demonstrations" else tests["training"],
            "test": tests["evaluation"] or tests["training"],
        }
        return self._problems(splits[name])

    def _problems(self, pairs: list[tuple[str, Any]]) -> Problems:
        numbers = {owner: i for i, owner in enumerate(self.owners)}
        if unknown := next((owner for owner, _ in pairs if owner not in numbers), None):
            raise UserError(f"task: the model was not trained on {unknown}, expected tasks that it has a vector for")
        identity = torch.tensor([numbers[owner] * self.augmentations for owner, _ in pairs])
        return replace(self._canvases([pair for _, pair in pairs]), identity=identity)

    def submission_entry(self, answers: Tensor) -> dict[str, canvas.Grid]:
        """Two answers to one test input as the official format has them; [[0]] stands for no grid."""
        return {f"attempt_{k}": canvas.read(answer) or [[0]] for k, answer in enumerate(answers, 1)}

    def submission(self, problems: Problems, answers: Tensor) -> dict[str, Any]:
        """Entries by the name of each task, as a submission.json has them."""
        assert problems.identity is not None
        entries: dict[str, Any] = {}
        for identity, own in zip(problems.identity.tolist(), answers, strict=True):
            owner = self.owners[identity // self.augmentations].partition("/")[2]
            entries.setdefault(owner, []).append(self.submission_entry(own))
        return entries

    # -- text --------------------------------------------------------------------------------------------------

    # An input is a JSON object: a task with train and test, or several tasks by name. It may stand on one line or on
    # many.

    @classmethod
    def blocks(cls, lines: Iterable[str], where: str) -> Iterator[Block]:
        """The lines of each JSON value: it ends where its brackets are closed."""
        block: Block = []
        depth = 0
        for number, line in enumerate(chain(lines, [""]), 1):
            text = line.strip()
            if not block and (not text or text.startswith("#")):
                continue
            block.append((number, text))
            bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
            depth += len(re.findall(r"[\[{]", bare)) - len(re.findall(r"[\]}]", bare))
            if depth <= 0:
                yield block
                block, depth = [], 0
        if block:
            raise UserError(f"{where}, line {block[0][0]}: a JSON value that does not end, expected ARC tasks")

    def read_riddles(self, lines: Block, where: str) -> list[Riddle]:
        """The tasks of one block."""
        place = f"{where}, line {lines[0][0]}"
        text = "\n".join(line for _, line in lines)
        name = Path(where).stem if where.endswith(".json") else f"line {lines[0][0]}"
        riddles = riddles_of(parse_json(text, place), place, name)
        for riddle in riddles:
            self._check_fit(riddle, f"{place}, task {riddle.name}")
        return riddles

    def read_episodes(self, lines: Block, where: str) -> list[Episode]:
        return [
            Episode(
                name=riddle.name,
                demonstrations=self._canvases(riddle.demonstrations),
                questions=self._canvases([(i, o) for i, o in riddle.tests]),
                known=tuple(output is not None for _, output in riddle.tests),
            )
            for riddle in self.read_riddles(lines, where)
        ]

    def _canvases(self, pairs: Sequence[tuple[canvas.Grid, canvas.Grid | None]]) -> Problems:
        """Pairs of one task, the first and only owner; padding where an output is not known."""
        inputs = torch.stack([canvas.write(given, self.side) for given, _ in pairs])
        outputs = [torch.zeros_like(inputs[0]) if o is None else canvas.write(o, self.side) for _, o in pairs]
        problems = Problems.of_pairs(inputs, torch.stack(outputs), complete=False)
        return replace(problems, identity=torch.zeros(len(pairs), dtype=torch.int64))

    def format(self, tokens: Sequence[int]) -> str:
        return "\n".join(" ".join(row) for row in self.cells(tokens))

    def compact(self, tokens: Sequence[int]) -> str:
        return "/".join("".join(row) for row in self.cells(tokens))

    def cells(self, tokens: Sequence[int]) -> list[list[str]]:
        return [[str(color) for color in row] for row in canvas.read(torch.tensor(tokens))]


def _named(only: str, sets: dict[str, list[Riddle]]) -> dict[str, list[Riddle]]:
    """The tasks whose names are listed."""
    names = [name.strip() for name in only.split(",")]
    known = {riddle.name for found in sets.values() for riddle in found}
    unknown = [name for name in names if name not in known]
    check(not unknown, "task.only", ", ".join(unknown), f"names of tasks such as {min(known, default='none')}")
    return {part: [r for r in found if r.name in names] for part, found in sets.items()}
