"""`gram check`: every task here keeps its promises, and a task that breaks one of them is caught at it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gram_reasoning.build import TASKS
from gram_reasoning.cli import main
from gram_reasoning.recipes import RECIPES
from gram_reasoning.tasks.arc import Arc
from gram_reasoning.tasks.base import Problems, Task
from gram_reasoning.tasks.configs import ArcConfig, GraphColoringConfig, MNISTConfig, NQueensConfig
from gram_reasoning.tasks.contract import PROMISES, broken
from gram_reasoning.tasks.forms import Block
from gram_reasoning.tasks.graph_coloring import GraphColoring
from gram_reasoning.tasks.mnist import MNIST
from gram_reasoning.tasks.nqueens import NQueens

DEBUG = {recipe.task: name for name, recipe in RECIPES.items() if name.endswith("-debug")}
QUEENS = NQueensConfig(size=5)
ARC = ArcConfig().small()
DIGITS = MNISTConfig(size=14).small()
COLORING = GraphColoringConfig(vertices=4, graphs=30, hold_out="graphs")


@pytest.mark.parametrize("name", DEBUG.values())
def test_every_task_keeps_its_promises(name: str):
    recipe = RECIPES[name]
    assert list(broken(TASKS[recipe.task.kind](recipe.task), limit=40)) == []


# -- tasks with one fault each -----------------------------------------------------------------------------------------


def splits(base: type[Task], change: Callable[[Any, str, Problems], Problems]) -> dict[str, Any]:
    """A method that changes what the splits of a task are."""
    return {"make_split": lambda self, name: change(self, name, base.make_split(self, name))}


def fields(base: type[Task], **changes: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """The same for fields of the problems."""
    return splits(base, lambda _, __, p: replace(p, **{f: change(getattr(p, f)) for f, change in changes.items()}))


def shuffled(_: Any, __: str, problems: Problems) -> Problems:
    return problems.subset(torch.randperm(len(problems)))


def leaking(self: Any, name: str, problems: Problems) -> Problems:
    return self.split("train").subset(torch.tensor([3])) if name == "test" else problems


def twice(_: Any, __: str, problems: Problems) -> Problems:
    first, count = problems.count.cumsum(0) * 2 - 2 * problems.count, 2 * problems.count
    rows = [problems.members[f : f + c] for f, c in zip(problems.first, problems.count, strict=True)]
    return replace(problems, members=torch.cat([r for row in rows for r in (row, row)]), first=first, count=count)


def in_place(self: Any, answers: Tensor, inputs: Tensor) -> Tensor:
    answers[:, 0] = 1
    return answers


def full(inputs: Tensor) -> Tensor:
    """1, but 0.9 for boards with an odd number of queens."""
    return 1 - 0.1 * ((inputs == 2).sum(1) % 2)


def beside(self: Any, inputs: Tensor, solutions: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Turns every board if the first key is odd."""
    if key[0] % 2:
        return inputs.view(-1, 5, 5).mT.flatten(1), solutions.unflatten(2, (5, 5)).mT.flatten(2)
    return inputs, solutions


def renamed(self: Any, inputs: Tensor, solutions: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Exchanges two colours: right, but not in standard form."""
    return inputs, torch.where(solutions == 3, 4, torch.where(solutions == 4, 3, solutions))


def misread(self: Any, lines: Block, where: str) -> Tensor:
    return NQueens.read_one(self, lines, where).flip(0)


def compact_for_all(self: Any, tokens: Any) -> str:
    return "board"


def brighter(self: Any, tokens: Tensor) -> Tensor:
    return 2 * MNIST.image(self, tokens)


def in_two_steps(self: Any, answers: Tensor, inputs: Tensor) -> Tensor:
    """Takes away one queen above five each time."""
    queens = answers == 2
    last = queens.cumsum(1) == queens.sum(1, keepdim=True)
    return torch.where(last & queens & (queens.sum(1, keepdim=True) > 5), 1, answers)


def one_further(self: Any, inputs: Tensor, solutions: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
    return Arc.apply_augmentation(self, inputs, solutions, identity + 1)


@dataclass
class Fault:
    base: type[Task]
    config: Any
    methods: dict[str, Any]
    line: str

    def task(self) -> Task:
        return type("Spoilt", (self.base,), self.methods)(self.config)


def queens(line: str, methods: dict[str, Any] | None = None, **more: Any) -> Fault:
    return Fault(NQueens, QUEENS, {**(methods or {}), **more}, line)


def arc(line: str, methods: dict[str, Any] | None = None, **more: Any) -> Fault:
    return Fault(Arc, ARC, {**(methods or {}), **more}, line)


def digits(line: str, methods: dict[str, Any] | None = None, **more: Any) -> Fault:
    return Fault(MNIST, DIGITS, {**(methods or {}), **more}, line)


FAULTS = [
    queens("encoding: train split: inputs are int64", fields(NQueens, inputs=Tensor.long)),
    queens("encoding: train split: solutions are uint8 (10, 24)", fields(NQueens, solutions=lambda t: t[:, 1:])),
    queens("encoding: train split: inputs are uint8 (0, 25)", fields(NQueens, inputs=lambda t: t[:0])),
    queens("encoding: train split: solutions hold token 3", fields(NQueens, solutions=lambda t: t + 1)),
    queens("encoding: train split: `count` is int32", fields(NQueens, count=Tensor.int)),
    queens("encoding: train split: input 0 has 0 solutions", fields(NQueens, count=lambda t: 0 * t)),
    queens("encoding: train split: `members` has 10, expected", fields(NQueens, members=lambda t: 0 * t + 10)),
    queens("encoding: train split: there is an identity", fields(NQueens, identity=lambda _: torch.zeros(3))),
    arc("encoding: train split: `identity` is None", fields(Arc, identity=lambda _: None)),  # type: ignore[arg-type, return-value]
    arc("input 0 has identity 1, expected a multiple of 4", fields(Arc, identity=lambda t: t + 1)),
    queens("shapes: `reward` gives bool", reward=lambda self, p, x: NQueens.reward(self, p, x) == 1),
    queens("shapes: `reward` gives float32 (", reward=lambda self, p, x: NQueens.reward(self, p, x)[:, None]),
    queens("shapes: `canonical` makes int32", canonical=lambda self, a, x: a.int()),
    queens("shapes: `canonical` gives token 3", canonical=lambda self, a, x: a + 1),
    queens("shapes: `augment` makes int64", augment=lambda self, x, y, key: (x, y[:, :1])),
    queens("shapes: `reward`, `canonical` or `augment` changes its arguments", canonical=in_place),
    queens("the same in every process: the train split has other inputs", splits(NQueens, shuffled)),
    queens("disjoint splits: test input 0 (", splits(NQueens, leaking)),
    arc("disjoint splits: test input 0 (", splits(Arc, leaking)),
    queens("reward: 1.61333 for an answer to train input", reward=lambda self, p, x: 2 * NQueens.reward(self, p, x)),
    queens("reward: nan for", reward=lambda self, p, x: NQueens.reward(self, p, x) / 0 * 0),
    queens("reward: 1 for padding alone", reward=lambda self, p, x: torch.ones(len(p))),
    queens("known solutions: ", fields(NQueens, members=lambda t: (t + 1) % 10)),
    queens("known solutions: ", reward=lambda self, p, x: 0.99 * NQueens.reward(self, p, x)),
    arc("known solutions: ", right=lambda self, a, p: Arc.right(self, a, p) & (p.first > 2)[:, None]),
    queens("number of solutions: 0 counted for train input", count_solutions=lambda self, tokens: 0),
    queens("number of solutions: 99 counted for train input", count_solutions=lambda self, tokens: 99),
    queens("number of solutions: train input", splits(NQueens, twice)),
    queens("standard form: solution ", canonical=lambda self, a, x: a.flip(1)),
    queens("standard form: answer ", canonical=in_two_steps),
    queens("equivalents: `equivalents` makes ", equivalents=lambda self, s: s[:, :0]),
    queens("equivalents: ", equivalents=lambda self, s: s.flip(2)),
    queens("standard form: `canonical` changes the reward", canonical=lambda self, a, x: torch.where(a == 0, 2, a)),
    queens("open cells: train input 0 (", open_token=2),
    queens("with one of its tokens filled in", reward=lambda self, p, x: NQueens.reward(self, p, x) * full(x)),
    queens("comes out otherwise for the same key beside other rows", augment=beside),
    queens("augmentation: ", augment=lambda self, x, y, key: (x, y.flip(2))),
    Fault(GraphColoring, COLORING, {"augment": renamed}, "augmentation: "),
    arc("identities: augmentation 0 changes", apply_augmentation=one_further),
    arc("identities: augmentation ", undo_augmentation=lambda self, a, n: a),
    queens("text: ..Q..\\n.....", compact=lambda self, tokens: "\n".join(self.rows(tokens))),
    digits("text: two solutions of", compact=compact_for_all),
    queens("as `compact` writes it is refused (text, line 1", compact=lambda self, t: NQueens.compact(self, t) + "/"),
    queens("as `compact` writes it is read as", read_one=misread),
    queens("as `compact` writes it is read as nothing", compact=lambda self, t: "#" + NQueens.compact(self, t)),
    queens("as `format` writes it is refused", format=lambda self, t: "a board"),
    queens("pictures: the squares of", cells=lambda self, t: [[""], []]),
    digits("pictures: images are", image=brighter),
    digits("generation: the train split has train input 0", fields(MNIST, inputs=lambda t: t + 1)),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.line for fault in FAULTS])
def test_a_broken_promise_is_named_with_its_first_example(fault: Fault):
    found = list(broken(fault.task(), limit=20))
    assert any(fault.line in line for line in found), found


def test_every_promise_is_broken_by_some_task():
    named = {line.split(":")[0] for fault in FAULTS for line in broken(fault.task(), limit=20)}
    assert named == {"encoding", "the same in every process", "disjoint splits", *PROMISES}


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    assert main(["check", "nqueens7-pocket-debug", "--limit", "5", "--task.size", "5", "--task.max-removed", "5"]) == 0
    assert capsys.readouterr().out == (
        "nqueens7-pocket-debug: the task keeps its promises, on up to 5 inputs of each split\n"
    )
    monkeypatch.setattr(NQueens, "compact", lambda self, tokens: "\n".join(self.rows(tokens)))
    monkeypatch.setattr(NQueens, "cells", lambda self, tokens: [[""], []])
    assert main(["check", "nqueens7-pocket-debug", "--limit", "5"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["nqueens7-pocket-debug", "text"],
        ["nqueens7-pocket-debug", "pictures"],
    ]
    assert all(line.isprintable() for line in lines)
    assert err == ""
    for arguments in (["check"], ["check", "no-such"], ["check", "nqueens7-pocket", "--limit", "0"]):
        assert main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
