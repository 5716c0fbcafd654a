"""What a task is: an encoding, a set of problems with their solutions, and the rules.

Training, inference and evaluation see a task only through this file. Token 0 is padding in every task: a position of
a solution that holds it is no part of the answer, is not learnt and is not judged.
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.errors import UserError, check
from gram_reasoning.types import IGNORE, Kind

PAD = 0

LONGEST_BLOCK = 1000
"""Lines of an input: more in one block is no puzzle, but a file of another kind."""

Block = list[tuple[int, str]]
"""The lines of one input, each with its number."""


def learnt(solution: Tensor) -> Tensor:
    """A solution as the loss takes it: padding is ignored."""
    return solution.where(solution != PAD, IGNORE)


@dataclass(frozen=True)
class Problems:
    """M inputs and, for each, its known solutions: all that exist, unless `complete` is False.

    Solutions are stored once; input i has the solutions `members[first[i] : first[i] + count[i]]`.
    """

    inputs: Tensor  # (M, L) uint8
    solutions: Tensor  # (all solutions, L) uint8
    members: Tensor  # (sum of counts,) int64, into `solutions`
    first: Tensor  # (M,) int64
    count: Tensor  # n (M,) int64
    complete: bool = True  # whether the solutions are all there are; if not, coverage cannot be told
    identity: Tensor | None = None  # number of what each input belongs to (M,) int64, in a task with `owners`

    @classmethod
    def of_pairs(cls, inputs: Tensor, solutions: Tensor, complete: bool) -> "Problems":
        """M inputs with one known solution each, both (M, L)."""
        rows = torch.arange(len(inputs))
        return cls(inputs, solutions, rows, rows, torch.ones_like(rows), complete)

    @classmethod
    def of_table(cls, inputs: Tensor, solutions: Tensor, fits: Tensor) -> "Problems":
        """M inputs and all S solutions that any of them has, with the table (M, S) of which fits which."""
        count = fits.sum(1)
        return cls(inputs, solutions, fits.nonzero()[:, 1], count.cumsum(0) - count, count)

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> "Problems":
        names = ("inputs", "solutions", "members", "first", "count", "identity")
        tensors = {name: getattr(self, name) for name in names}
        return replace(self, **{name: None if t is None else t.to(device) for name, t in tensors.items()})

    def subset(self, index: Tensor) -> "Problems":
        """The problems at `index`; the solution table is shared."""
        identity = None if self.identity is None else self.identity[index]
        own = {name: getattr(self, name)[index] for name in ("inputs", "first", "count")}
        return replace(self, **own, identity=identity)

    def solution(self, index_B: Tensor, which_B: Tensor) -> Tensor:
        """Solution number `which` of problem `index`: (B, L) int64."""
        return self.solutions[self.members[self.first[index_B] + which_B]].long()

    def candidates(self, index_B: Tensor, limit: int, key_B: Tensor) -> tuple[Tensor, Tensor]:
        """Up to `limit` solutions of each problem, in a cyclic window that starts at a random one.

        Returns:
            candidates (B, C, L) int64 with C = min(limit, the largest count of all problems), and a mask (B, C) of
            those that exist.
        """
        width = min(limit, self._largest)
        offsets = torch.arange(width, device=index_B.device)
        count = self.count[index_B][:, None]
        which = (noise.choice(key_B, self.count[index_B])[:, None] + offsets) % count
        return self.solution(index_B[:, None], which), offsets < count

    @property
    def _largest(self) -> int:
        if not hasattr(self, "_largest_count"):  # one host sync a split, not one a step
            object.__setattr__(self, "_largest_count", int(self.count.max()))
        return self._largest_count  # type: ignore[attr-defined]

    def solution_sets(self, problem: int) -> Tensor:
        """The known solutions of one problem: (n, L) int64."""
        first, count = int(self.first[problem]), int(self.count[problem])
        return self.solutions[self.members[first : first + count]].long()


@dataclass(frozen=True)
class Shown:
    """An owner with its demonstrations and what is asked about it; both have identity 0."""

    name: str
    demonstrations: Problems
    questions: Problems
    known: tuple[bool, ...]
    """Whether the solution of each question is known; where not, it is padding."""


class Task(ABC):
    """One kind of puzzle.

    Inputs and answers have one length, `length`, over one vocabulary, `vocab`; the shorter of the two is padded.
    What a task must say comes first; what follows has a default that most tasks keep.
    """

    name: str
    """The `kind` of its config."""
    length: int
    vocab: int
    counted: slice | None = slice(None)
    """Tokens of an answer that count; None if that differs from answer to answer."""
    count_limit: int | None = None
    """`count_solutions` counts no further than this."""
    symbols: Sequence[str] = ()
    """For a task on boards, the characters that stand for each token; the first of them is written."""
    columns: int
    """For a task on boards, cells in a row."""
    names: int = 0
    """How many of the last tokens are names that may be exchanged, in input and answer alike, such as digits."""

    units: Sequence[Kind] = ()
    """Kinds of groups of positions that the rules are about, such as the rows and the columns; built into a model with
    `model.token_mixer` "units"."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def split(self, name: str) -> Problems:
        """The problems of "train", "validation" or "test": disjoint by input, the same in every process."""

    @abstractmethod
    def reward(self, prediction: Tensor, inputs: Tensor) -> Tensor | None:
        """How right each prediction (B, L) is, in [0, 1], (B,): 1 exactly if it satisfies every rule.

        None for a task without rules: it has no halt and no value loss, and is judged by `measures` alone.
        """

    # -- text --------------------------------------------------------------------------------------------------

    # As it stands, for boards: a character a cell, by `symbols`; rows on lines of their own or joined by `/`. A task on
    # anything else says what its text is by `stands_alone`, `read_one`, `format` and `compact`.

    @classmethod
    def stands_alone(cls, line: str) -> bool:
        """Whether a line of text is a whole input; other inputs are blocks of lines, with empty lines between."""
        return "/" in line

    def read_one(self, lines: Block, where: str) -> Tensor:
        """The tokens (L,) of one input from its lines and their numbers.

        Raises:
            UserError: what is wrong, with file, line and cell, and what was expected.
        """
        place = f"{where}, line {lines[0][0]}"
        rows = [(f"{where}, line {number}", row) for number, row in lines]
        if self.stands_alone(lines[0][1]):
            rows = [(f"{place}, row {r}", row) for r, row in enumerate(lines[0][1].split("/"), 1)]
        expected = self.length // self.columns
        if len(rows) != expected:
            raise UserError(f"{place}: a board of {len(rows)} rows, expected {expected} rows of {self.columns} cells")
        token_of = {symbol: token for token, symbols in enumerate(self.symbols) for symbol in symbols if token != PAD}
        tokens = []
        for here, row in rows:
            cells = "".join(row.split())
            if len(cells) != self.columns:
                raise UserError(f"{here}: {len(cells)} cells, expected {self.columns}")
            for c, cell in enumerate(cells, 1):
                if cell not in token_of:
                    raise UserError(f"{here}, cell {c}: {cell!r}, expected {self.legend}")
                tokens.append(token_of[cell])
        return torch.tensor(tokens)

    @property
    def legend(self) -> str:
        """What a cell may hold, in words, for messages."""
        return f"one of {' '.join(symbols[0] for symbols in self.symbols[PAD + 1 :])}"

    def read(self, lines: Iterable[str], where: str) -> Iterator[tuple[str, Tensor]]:
        """Read inputs while their lines come in: for each, its name in messages and its tokens (L,)."""
        for block in self.blocks(lines, where):
            yield f"{where}, line {block[0][0]}", self.read_one(block, where)

    @classmethod
    def blocks(cls, lines: Iterable[str], where: str) -> Iterator[Block]:
        """The lines of each input with their numbers; lines that start with `#` are comments."""
        block: Block = []
        for number, line in enumerate(map(str.strip, chain(lines, [""])), 1):
            if line.startswith("#"):
                continue
            if line and not cls.stands_alone(line):
                block.append((number, line))
                if len(block) > LONGEST_BLOCK:
                    raise UserError(
                        f"{where}, line {block[0][0]}: more than {LONGEST_BLOCK} lines in one block, "
                        "expected an empty line between inputs"
                    )
                continue
            if block and line:
                raise UserError(
                    f"{where}, line {number}: an input of one line inside the block that begins in line "
                    f"{block[0][0]}, expected an empty line between them"
                )
            if one := block or ([(number, line)] if line else []):
                yield one
            block = []

    def parse(self, text: str, where: str) -> list[tuple[str, Tensor]]:
        """The inputs of a text, as `read` gives them; at least one."""
        found = list(self.read(io.StringIO(text), where))
        if not found:
            raise UserError(f"{where}: no input found, expected at least one")
        return found

    def format(self, tokens: Sequence[int]) -> str:
        """An input or an answer as people write it, over several lines."""
        return "\n".join(" ".join(row) for row in self.rows(tokens))

    def compact(self, tokens: Sequence[int]) -> str:
        """The same on one line; `read` reads an input back."""
        return "/".join(self.rows(tokens))

    def rows(self, tokens: Sequence[int]) -> list[str]:
        """The rows of a board, a character a cell."""
        cells = "".join(self.symbols[token][0] for token in tokens)
        return [cells[i : i + self.columns] for i in range(0, self.length, self.columns)]

    # -- symmetry ----------------------------------------------------------------------------------------------

    def canonical(self, answers: Tensor, inputs: Tensor) -> Tensor:
        """The standard form of answers (B, L): those that count as one have one form, with PAD where nothing counts.

        Sampled answers are brought to it before they are counted or shown; solutions are stored in it.
        """
        del inputs
        return answers

    def augment(self, inputs: Tensor, solutions: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """A random symmetry of the task for each row, drawn from its key and applied to input and solutions alike.

        Training asks for it at every step with the same key for as long as a slot keeps its input, on the device.

        Args:
            inputs: (B, L).
            solutions: K solutions for each row (B, K, L), in standard form; so must be what is returned.
            key: see noise.py (B,).
        """
        del key
        return inputs, solutions

    # -- identity ----------------------------------------------------------------------------------------------

    # Where inputs belong to something that must be learnt from examples (the riddle of ARC), the model learns a vector
    # for each of these owners. A task may also show all inputs of an owner in a disguise, a symmetry that belongs to
    # the identity: identity number owner * disguises + k is the owner in disguise k, and k = 0 is none.

    disguises: int = 1
    """Identities of each owner."""
    attempts: int = 1
    """Answers to an input that may be handed in."""

    @property
    def owners(self) -> tuple[str, ...]:
        """Names of what inputs belong to, in the order of their numbers; none if inputs stand for themselves."""
        return ()

    def know(self, owners: tuple[str, ...]) -> None:
        """Number the owners as a trained model does; inputs of others are then refused."""
        if owners:
            raise UserError(f"{self.name}: a model that knows {owners[0]!r}, expected one of a task with owners")

    def read_shown(self, lines: Block, where: str) -> list[Shown]:
        """The owners with demonstrations in one input, for a task with owners: how `gram solve` reads it."""
        raise UserError(f"{where}, line {lines[0][0]}: {self.name} has no demonstrations")

    def handed_in(self, answers: Tensor) -> Any:
        """The best answers (attempts, L) to one input as they are handed in."""
        return [self.compact(answer.tolist()) for answer in answers]

    def disguise(self, inputs: Tensor, solutions: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (B, L) and their solutions (B, K, L) in the disguise of each identity (B,)."""
        del identity
        return inputs, solutions

    def undisguise(self, answers: Tensor, identity: Tensor) -> Tensor:
        """Answers (B, L) in a disguise as they are without, in standard form."""
        del identity
        return answers

    def disguised(self, problems: Problems, views: int) -> Problems:
        """Each of M problems in its first `views` disguises: M * views problems, in this order."""
        most = 1 if problems.identity is None else self.disguises
        check(1 <= views <= most, "views", views, f"1 to {most}, the disguises of an input")
        if problems.identity is None:
            return problems
        device = problems.identity.device
        seen = problems.subset(torch.arange(len(problems), device=device).repeat_interleave(views))
        rows = problems.identity.repeat_interleave(views)
        identity = rows + torch.arange(views, device=device).repeat(len(problems))
        parts = zip(seen.inputs.split(4096), identity.split(4096), strict=True)  # bounds the memory
        inputs = [self.disguise(x.long(), x[:, None].long(), n)[0].to(x.dtype) for x, n in parts]
        return replace(seen, inputs=torch.cat(inputs), identity=identity)

    # -- judging -----------------------------------------------------------------------------------------------

    def right(self, answers: Tensor, problems: Problems) -> Tensor | None:
        """Which of N answers (M, N, L) to each of M problems are right (M, N) bool; None if nobody can tell."""
        inputs = problems.inputs.to(answers.device).long().repeat_interleave(answers.shape[1], 0)
        reward = self.reward(answers.flatten(0, 1), inputs)
        return None if reward is None else (reward == 1).view(answers.shape[:2])

    def submission(self, problems: Problems, answers: Tensor) -> dict[str, Any] | None:
        """What is handed in, as JSON: the answers (M, attempts, L) to the problems of a split; None if nothing is."""
        del problems, answers
        return None

    def count_solutions(self, tokens: Sequence[int]) -> int | None:
        """How many valid answers an input has, counted exactly (up to `count_limit`); None if nobody can tell."""
        del tokens
        return None

    def conflicts(self, answers: Tensor, inputs: Tensor) -> Tensor | None:
        """Number of violated constraints of each answer (B, L), (B,), where a task reports it."""
        del answers, inputs
        return None

    def measures(self, answers: Tensor, problems: Problems) -> dict[str, Any]:
        """Further numbers that this task reports on N answers (M, N, L) to each of M problems."""
        del answers, problems
        return {}

    # -- inputs ------------------------------------------------------------------------------------------------

    def blank(self) -> Tensor | None:
        """The empty input (L,) of a task that generates; None for one that solves."""
        return None

    def to_puzzles(self, boards: Tensor, key: Tensor) -> Tensor | None:
        """Of generated answers (B, L) inputs with one solution each, drawn by keys (B,); None if nobody can tell."""
        del boards, key
        return None

    @classmethod
    def model_name(cls, lines: Block, where: str) -> str:
        """Name of the model in the package that fits an input: the kind, and the size if any."""
        del lines, where
        return cls.name

    def image(self, tokens: Tensor) -> Tensor | None:
        """The brightness of each pixel, from 0 to 1, of answers (..., L) that are images: (..., H, W)."""
        del tokens
        return None

    def cells(self, tokens: Sequence[int]) -> list[list[str]] | None:
        """What stands in each square of a board, by rows, for pictures; None for a task without one."""
        return [list(row.replace(".", " ")) for row in self.rows(tokens)] if self.symbols else None
