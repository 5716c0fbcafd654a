"""ARC: canvases, augmentations and judgement against judges written apart; splits; text."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fuzzing import fuzz
from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.tasks import arc_canvas as canvas
from gram_reasoning.tasks.arc import Arc
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.configs import ArcConfig
from gram_reasoning.tasks.demonstrations import augmented
from helpers import read_or_refused
from oracles import arc as oracle

DATA = Path(os.environ.get("GRAM_DATA_DIR", "nowhere"))
SHIPPED: dict[str, Any] = {"training": "shipped", "evaluation": "none", "concept": "none", "monitor": "demonstrations"}


def shipped(**changes: Any) -> Arc:
    return Arc(ArcConfig(**{**SHIPPED, "canvas": 10, "augmentations": 8, **changes}))


def grids(most: int) -> st.SearchStrategy[oracle.Grid]:
    sides = st.tuples(st.integers(1, most), st.integers(1, most))
    return sides.flatmap(
        lambda s: st.lists(st.lists(st.integers(0, 9), min_size=s[1], max_size=s[1]), min_size=s[0], max_size=s[0])
    )


def pair(one: oracle.Grid, other: oracle.Grid, side: int) -> tuple[Tensor, Tensor]:
    """An input (1, L) and its solution (1, 1, L)."""
    return canvas.write(one, side)[None].long(), canvas.write(other, side)[None, None].long()


# -- canvases and augmentations ------------------------------------------------------------------------------------


@given(grids(6), st.integers(0, 2))
def test_a_grid_is_written_and_read(grid: oracle.Grid, room: int):
    side = max(len(grid), len(grid[0])) + room
    tokens = canvas.write(grid, side)
    assert tokens.tolist() == oracle.write(grid, side)
    assert canvas.read(tokens) == oracle.read(tokens.tolist()) == grid


@settings(deadline=None)
@given(grids(7), grids(7), st.integers(0, 10_000))
def test_an_augmentation_is_a_turn_and_an_exchange_of_colours_and_is_undone(
    one: oracle.Grid, other: oracle.Grid, number: int
):
    task = shipped(canvas=8, augmentations=1000)
    identity = torch.tensor([number])
    turn, colors = task.symmetry(identity)
    moved, solution = task.apply_augmentation(*pair(one, other, 8), identity)
    for grid, seen in ((one, moved[0]), (other, solution[0, 0])):
        expected = oracle.turn(oracle.recolor(grid, colors[0].tolist()), int(turn))
        assert seen.tolist() == oracle.write(expected, 8)
        assert canvas.read(task.undo_augmentation(seen[None], identity)[0]) == grid
    assert sorted(colors[0].tolist()) == list(range(10))
    assert colors[0, 0] == 0, "the background stays"
    if number % 1000 == 0:
        assert int(turn) == 0
        assert colors[0].tolist() == list(range(10))


def test_augmentations_are_all_kinds_and_the_same_for_ever():
    task = shipped(augmentations=1000)
    turn, colors = task.symmetry(torch.arange(5000))
    assert set(turn.tolist()) == set(range(8))
    counts = turn.bincount()
    assert counts[1:].min() > 500
    assert len(colors.unique(dim=0)) > 4900
    assert torch.equal(task.symmetry(torch.tensor([4321]))[1], colors[4321:4322]), "whoever stands beside it"
    other = shipped(augmentations=1000, split_seed=1).symmetry(torch.arange(5000))[1]
    assert not torch.equal(other, colors)


@settings(deadline=None)
@given(grids(7), grids(7), st.integers(0, 2**40))
def test_input_and_solution_move_together(one: oracle.Grid, other: oracle.Grid, key: int):
    task = shipped(canvas=8)
    moved, solution = (t.flatten().tolist() for t in task.augment(*pair(one, other, 8), torch.tensor([key])))
    room = [8 - max(len(one), len(other)), 8 - max(len(one[0]), len(other[0]))]
    places = [(down, right) for down in range(room[0] + 1) for right in range(room[1] + 1)]
    fits = [p for p in places if oracle.write(one, 8, *p) == moved and oracle.write(other, 8, *p) == solution]
    assert len(fits) == 1


def test_every_place_comes_and_none_if_not_asked_for():
    task, still = shipped(canvas=6), shipped(canvas=6, translate=False)
    plain, solution = pair([[1, 2], [3, 4]], [[5]], 6)
    many = plain.expand(500, -1), solution.expand(500, -1, -1)
    keys = noise.keys(0, "test", torch.arange(500))
    assert len(task.augment(*many, keys)[0].unique(dim=0)) == 25
    assert torch.equal(still.augment(*many, keys)[0], many[0])


# -- judgement -----------------------------------------------------------------------------------------------------


def nearly(rng: random.Random, right: list[int], side: int) -> list[int]:
    """A right answer, one with other padding, one with few wrong tokens, or noise."""
    tokens = list(right)
    kind = rng.randrange(4)
    if kind == 1:  # what is not the grid does not count
        rows = oracle.read(right)
        for cell in range(side * side):
            r, c = divmod(cell, side)
            if r > len(rows) or c > len(rows[0]) or (r == len(rows) and c == len(rows[0])):
                tokens[cell] = rng.randrange(12)
    if kind == 2:
        for _ in range(rng.randrange(1, 4)):
            tokens[rng.randrange(side * side)] = rng.randrange(12)
    if kind == 3:
        tokens = [rng.choice([0, 1, *range(2, 12), *range(2, 12)]) for _ in tokens]
    return tokens


def test_ten_thousand_answers_are_judged_alike():
    rng = random.Random(0)
    side, each, number = 6, 20, 500
    outputs = [
        [[rng.randrange(10) for _ in range(width)] for _ in range(height)]
        for height, width in ((rng.randint(1, 6), rng.randint(1, 6)) for _ in range(number))
    ]
    answers = [[nearly(rng, oracle.write(grid, side), side) for _ in range(each)] for grid in outputs]
    task = shipped(canvas=side)
    solutions = torch.stack([canvas.write(grid, side) for grid in outputs])
    problems = Problems.of_pairs(torch.zeros_like(solutions), solutions, complete=False)
    given = torch.tensor(answers)
    canonical = task.canonical(given.flatten(0, 1), problems.inputs).view_as(given)
    right = task.right(canonical, problems)
    expected = [[oracle.read(a) == grid for a in own] for own, grid in zip(answers, outputs, strict=True)]
    assert right.tolist() == expected
    assert 2000 < right.sum() < 8000
    for own, clean in zip(answers[:100], canonical, strict=False):
        for answer, tokens in zip(own, clean, strict=True):
            grid = oracle.read(answer)
            assert tokens.tolist() == (oracle.write(grid, side) if grid else [0] * side**2)


def test_shipped_tasks_are_what_their_names_say():
    def fall(grid: oracle.Grid) -> oracle.Grid:
        columns = [[cell for cell in column if cell] for column in zip(*grid, strict=True)]
        full = [[0] * (len(grid) - len(column)) + column for column in columns]
        return [list(row) for row in zip(*full, strict=True)]

    def crop(grid: oracle.Grid) -> oracle.Grid:
        rows = [r for r, row in enumerate(grid) if any(row)]
        columns = [c for c in range(len(grid[0])) if any(row[c] for row in grid)]
        return [row[columns[0] : columns[-1] + 1] for row in grid[rows[0] : rows[-1] + 1]]

    def fill(grid: oracle.Grid) -> oracle.Grid:
        box = crop(grid)
        inner = [[4 if 0 < r < len(box) - 1 and 0 < c < len(box[0]) - 1 else 2 for c in range(len(box[0]))]
                 for r in range(len(box))]  # fmt: skip
        top, left = next((r, c) for r, row in enumerate(grid) for c, cell in enumerate(row) if cell)
        return [[inner[r - top][c - left] if 0 <= r - top < len(box) and 0 <= c - left < len(box[0]) else 0
                 for c in range(len(grid[0]))] for r in range(len(grid))]  # fmt: skip

    rules = {
        "mirror": lambda grid: oracle.turn(grid, 2),
        "exchange": lambda grid: oracle.recolor(grid, [0, 1, 2, 3, 4, 6, 5, 7, 8, 9]),
        "fall": fall, "crop": crop, "fill": fill,
    }  # fmt: skip
    riddles = shipped().riddles("training")
    assert {riddle.name for riddle in riddles} == rules.keys()
    for riddle in riddles:
        assert len(riddle.demonstrations) == 3
        for question, output in (*riddle.demonstrations, *riddle.tests):
            assert rules[riddle.name](question) == output, riddle.name


# -- splits --------------------------------------------------------------------------------------------------------


def test_splits_say_whose_inputs_they_are():
    task = shipped()
    train, test = task.split("train"), task.split("test")
    assert len(task.owners) == 5
    assert task.split("validation").inputs.equal(train.inputs)
    assert train.identity is not None
    assert test.identity is not None
    assert (train.identity // 8).tolist() == [i for i in range(5) for _ in range(3)]
    assert (test.identity // 8).tolist() == list(range(5))
    assert not {tuple(t) for t in test.inputs.tolist()} & {tuple(t) for t in train.inputs.tolist()}
    half = train.subset(torch.tensor([4, 1])).to("cpu")
    assert half.identity is not None
    assert half.identity.tolist() == [8, 0]
    with pytest.raises(UserError, match="unknown split"):
        task.split("other")


def test_views_are_augmentations_of_the_same_input():
    task = shipped()
    test = task.split("test")
    views = augmented(task, test, 8)
    assert views.identity is not None
    assert views.identity.tolist() == list(range(40))
    undone = task.undo_augmentation(views.inputs.long(), views.identity).view(5, 8, -1)
    assert (undone == test.inputs[:, None]).all()
    assert len(views.inputs.unique(dim=0)) > 20
    for bad in (0, 9):
        with pytest.raises(UserError, match=f"views: got {bad}, expected 1 to 8"):
            augmented(task, test, bad)


def test_a_model_numbers_its_tasks():
    task = shipped()
    names = task.owners[::-1]
    other = shipped()
    other.set_owners(names)
    identity = other.split("test").identity
    assert identity is not None
    assert identity.tolist() == [32, 24, 16, 8, 0]
    other.set_owners(names[1:])
    with pytest.raises(UserError, match="not trained on training/mirror"):
        other.split("test")
    with pytest.raises(UserError, match="a model without the names"):
        other.set_owners(())


BAD_CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"canvas": 31}, r"task\.canvas: got 31"),
    ({"augmentations": 0}, r"task\.augmentations"),
    ({"evaluation": "shipped"}, r"task\.evaluation: got 'shipped'"),
    ({"training": "none", "evaluation": "none"}, r"task\.training: got 'none'"),
    ({"evaluation": "none"}, r"task\.monitor: got 'tests'"),
    ({"concept": "shipped"}, r"task\.concept: got 'shipped'"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_CONFIGS)
def test_bad_configs(changes: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        ArcConfig(**changes)


def test_only_some_tasks_and_a_canvas_that_is_too_small():
    assert shipped(only="fill, mirror").owners == ("training/fill", "training/mirror")
    with pytest.raises(UserError, match=r"task\.only: got 'nothing', expected names of tasks such as crop"):
        shipped(only="nothing,fill").split("train")
    with pytest.raises(UserError, match=r"task crop: a grid of . x . cells, expected at most 5 x 5, the canvas"):
        shipped(canvas=5).split("train")


# -- text ----------------------------------------------------------------------------------------------------------

TASK = '{"train": [{"input": [[1]], "output": [[2, 3]]}], "test": [{"input": [[4]]}, {"input": [[5]]}]}'


def riddles(text: str, where: str = "file") -> list[Any]:
    task = shipped()
    return [r for block in task.blocks(text.splitlines(), where) for r in task.read_riddles(block, where)]


def test_text_forms():
    [riddle] = riddles(TASK)
    assert riddle.demonstrations == (([[1]], [[2, 3]]),)
    assert riddle.tests == (([[4]], None), ([[5]], None))
    spread = TASK.replace(", ", ",\n  ").replace("{", "{\n")
    both = riddles(f"# a comment\n\n{spread}\n\n{TASK}\n")
    assert [(r.demonstrations, r.tests) for r in both] == [(riddle.demonstrations, riddle.tests)] * 2
    assert [r.name for r in both] == ["line 3", f"line {len(spread.splitlines()) + 4}"]
    assert [r.name for r in riddles(TASK, "some/007bbfb7.json")] == ["007bbfb7"]
    [nothing] = riddles(TASK.replace("[[4]]}", '[[4]], "output": null}'))
    assert nothing.tests == riddle.tests
    named = riddles(f'{{"one": {TASK}, "t{{wo": {TASK}}}')
    assert [r.name for r in named] == ["one", "t{wo"]
    task = shipped()
    tokens = canvas.write([[1, 0], [2, 9]], 10).tolist()
    assert task.format(tokens) == "1 0\n2 9"
    assert task.compact(tokens) == "10/29"
    assert task.compact([0] * 100) == ""
    assert task.cells(tokens) == [["1", "0"], ["2", "9"]]


BAD_TEXTS = [
    ("{", "line 1: a JSON value that does not end"),
    ("nothing", "line 1: cannot be read as JSON"),
    ("[1, 2]", "a list, expected a task: an object with train and test"),
    ('{"train": []}', "an object with train, expected a task"),
    ('{"train": [], "test": []}', "train: nothing, expected a list of at least one pair"),
    ('{"train": [{"input": [[1]]}], "test": [{"input": [[1]]}]}', "train 1: an object, expected an object with input"),
    (TASK.replace("[[4]]", "[]"), "test 1, input: 0 rows, expected a grid"),
    (TASK.replace("[[4]]", "[[1, 2], [3]]"), "test 1, input, row 2: 1 cells, expected 2 as in the first row"),
    (TASK.replace("[[4]]", "[[10]]"), "test 1, input, row 1, cell 1: '10', expected a colour from 0 to 9"),
    (TASK.replace("[[4]]", "[[true]]"), "'True', expected a colour"),
    (TASK.replace("[[4]]", "[[1.0]]"), "'1.0', expected a colour"),
    (TASK.replace("[[4]]", str([[0] * 31])), "row 1: 31 cells, expected a list of 1 to 30"),
    (TASK.replace("[[4]]", str([[0] * 11])), "a grid of 1 x 11 cells, expected at most 10 x 10, the canvas"),
    (TASK.replace("[[4]]", "7"), "test 1, input: a number, expected a grid"),
    ('{"one": 7}', "task one: a number, expected a task"),
    ("[" * 100_000 + "]" * 100_000, "cannot be read as JSON"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TEXTS, ids=range(len(BAD_TEXTS)))
def test_bad_texts(text: str, message: str):
    with pytest.raises(UserError) as error:
        riddles(text)
    assert message in str(error.value)
    assert "file, line 1" in str(error.value)


values = st.recursive(
    st.integers(-1, 11) | st.none() | st.booleans() | st.text(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["train", "test", "a"]), inner),
    max_leaves=8,
)
tasks = st.fixed_dictionaries(
    {
        name: st.lists(st.fixed_dictionaries({"input": grids(3) | values, "output": grids(3) | values}), max_size=2)
        for name in ("train", "test")
    }
)


def spoilt(text: str, place: int, by: str) -> str:
    place %= len(text) + 1
    return text[:place] + by + text[place + 1 :]


texts = st.builds(json.dumps, values | tasks)
texts = (
    texts | st.builds(spoilt, texts | st.just(TASK), st.integers(0, 200), st.text(max_size=2)) | st.text(max_size=20)
)


@fuzz(150, 10_000, texts)
def test_any_text(text: str) -> None:
    read_or_refused(riddles, text)
