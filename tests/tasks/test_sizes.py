"""Several sizes of a task on one canvas: what each size alone says, on any canvas, in any company."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gram_reasoning import noise
from gram_reasoning.cli import main
from gram_reasoning.errors import UserError
from gram_reasoning.recipes import get_recipe
from gram_reasoning.tasks.base import PAD
from gram_reasoning.tasks.configs import GraphColoringConfig, MazeConfig, NQueensConfig
from gram_reasoning.tasks.contract import broken
from gram_reasoning.tasks.graph_coloring import GraphColoring
from gram_reasoning.tasks.maze import Maze
from gram_reasoning.tasks.nqueens import NQueens, QueensOfSizes
from gram_reasoning.types import IGNORE

MADE = {"train": "generated", "test": "generated", "train_puzzles": 60, "test_puzzles": 20, "validation_puzzles": 20}
CONFIGS = {
    "nqueens": NQueensConfig(size=7, smallest=5, max_removed=7),
    "coloring": GraphColoringConfig(
        vertices=7,
        smallest=5,
        graphs=300,
        edge_probability=0.45,
        answer_at="appended",
        renumber=True,
        any_names=True,
    ),
    "maze": MazeConfig(size=8, smallest=6, min_path=3, **MADE),
}
KINDS = {"nqueens": NQueens, "coloring": GraphColoring, "maze": Maze}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAM_CACHE_DIR", str(tmp_path))


@pytest.fixture(params=CONFIGS)
def kind(request) -> str:
    return request.param


def mixed_queens(config: NQueensConfig) -> QueensOfSizes:
    task = NQueens.of(config)
    assert isinstance(task, QueensOfSizes)
    return task


def both(kind: str, size: int, split: str = "test"):
    """The task of all sizes, that of one, the problems of one, and their tokens on the canvas."""
    config = CONFIGS[kind]
    mixed, one = KINDS[kind].of(config), KINDS[kind].of(config.of_size(size))
    problems = one.split(split)
    return mixed, one, problems, mixed.split_of(size, split)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_size_on_the_canvas_is_the_size_alone(kind: str, step: int):
    size = CONFIGS[kind].smallest + step
    mixed, one, problems, padded = both(kind, size)
    x, place = problems.inputs.long(), mixed.places(size)
    assert (mixed.sizes(padded.inputs.long()) == size).all()
    assert torch.equal(padded.inputs[:, place].long(), x)
    outside = torch.ones(mixed.length, dtype=torch.bool)
    outside[place] = False
    assert (padded.inputs[:, outside] == PAD).all()
    assert (padded.solutions[:, outside] == PAD).all()
    guesses = torch.randint(one.vocab, (len(x), one.length), generator=torch.Generator().manual_seed(size))
    first = problems.solution(torch.arange(len(x)), torch.zeros(len(x), dtype=torch.int64))
    for answers in (guesses, first):
        canvas = torch.randint(mixed.vocab, (len(x), mixed.length), generator=torch.Generator().manual_seed(1))
        canvas[:, place] = answers  # whatever stands outside counts nothing
        assert torch.equal(mixed.reward(canvas, padded.inputs.long()), one.reward(answers, x))
        form = mixed.canonical(canvas, padded.inputs.long())
        assert torch.equal(form[:, place], one.canonical(answers, x))
        assert (form[:, outside] == PAD).all()
        if (conflicts := one.conflicts(answers, x)) is not None:
            assert torch.equal(mixed.conflicts(canvas, padded.inputs.long()), conflicts)
    key = noise.keys(3, "some", torch.arange(len(x)))
    moved = mixed.augment(padded.inputs.long(), first.new_zeros(len(x), 1, mixed.length), key)
    own = one.augment(x, first.new_zeros(len(x), 1, one.length), key)
    assert torch.equal(moved[0][:, place], own[0])
    assert (moved[0][:, outside] == PAD).all()
    row, tokens = x[0].tolist(), padded.inputs[0].tolist()
    assert mixed.count_solutions(tokens) == one.count_solutions(row)
    assert mixed.format(tokens) == one.format(row)
    assert mixed.compact(tokens) == one.compact(row)
    answer = mixed.canonical(mixed._padded(first[:1], size), padded.inputs[:1].long())[0]
    assert mixed.compact(answer.tolist()) == one.compact(first[0].tolist())


def test_the_contract_holds(kind: str):
    assert list(broken(KINDS[kind].of(CONFIGS[kind]))) == []


def test_every_size_is_trained_as_often_and_judged_once(kind: str):
    config, task = CONFIGS[kind], KINDS[kind].of(CONFIGS[kind])
    sizes = task.sizes(task.split("train").inputs.long())
    assert len({int((sizes == size).sum()) for size in config.sizes}) == 1
    test, seen = task.split("test"), set()
    for row in test.inputs.tolist():
        assert tuple(row) not in seen
        seen.add(tuple(row))
    assert len(test) == sum(len(KINDS[kind].of(config.of_size(size)).split("test")) for size in config.sizes)
    assert set(task.sizes(test.inputs[:3].long()).tolist()) == set(config.sizes)  # the first few stand for all
    assert not seen & set(map(tuple, task.split("train").inputs.tolist()))


def test_what_recipes_hold_out_stays_held_out():
    mixed = mixed_queens(NQueensConfig(size=8, smallest=5, max_removed=8))
    trained = set(map(tuple, mixed.split("train").inputs.tolist()))
    for name in ("nqueens8", "nqueens8-pocket", "nqueens7-pocket"):
        config = get_recipe(name).task
        assert isinstance(config, NQueensConfig)
        held = mixed._padded(NQueens(config).split("test").inputs, config.size)
        assert len(held) > 200
        assert not trained & set(map(tuple, held.tolist()))


@pytest.mark.parametrize("name", ["coloring6", "coloring8", "coloring10"])
def test_what_recipes_of_graphs_hold_out_stays_held_out(name: str):
    own, mixed = get_recipe(name).task, get_recipe("coloring-sizes").task
    assert isinstance(own, GraphColoringConfig)
    assert isinstance(mixed, GraphColoringConfig)
    one = GraphColoring(mixed.of_size(own.vertices))

    def graphs(task: GraphColoring, split: str) -> set[str]:
        return {task.compact(row) for row in task.split(split).inputs.tolist()}

    held = graphs(GraphColoring(own), "test")
    assert len(held) > 150
    assert not held & graphs(one, "train")


def test_padding_is_learnt_where_answers_stand(kind: str):
    task = KINDS[kind].of(CONFIGS[kind])
    problems = task.split("test")
    solution = problems.solution(torch.arange(3), torch.zeros(3, dtype=torch.int64))
    targets = task.learnt(solution)
    counted = torch.zeros(task.length, dtype=torch.bool)
    counted[task.counted] = True
    assert torch.equal(targets[:, counted], solution[:, counted])
    assert (targets[:, ~counted] == IGNORE).all()


def test_one_file_with_several_sizes_is_read_and_judged(kind: str):
    config, task = CONFIGS[kind], KINDS[kind].of(CONFIGS[kind])
    texts, expected = [], []
    for size in (config.largest, config.smallest, config.largest):
        one = KINDS[kind].of(config.of_size(size))
        row = one.split("test").inputs[len(texts)].tolist()
        texts.append(one.compact(row))
        expected.append(one.count_solutions(row))
    puzzles = list(task.puzzles("\n".join(texts).splitlines(keepends=True), "here"))
    assert [p.writer.compact(p.tokens.tolist()) for p in puzzles] == texts
    problems = task.problems_of(puzzles, "here")
    assert torch.equal(problems.inputs.long(), torch.stack([p.tokens for p in puzzles]))
    assert problems.count.tolist() == expected
    for n, count in enumerate(expected):
        index, which = torch.full((count,), n), torch.arange(count)
        assert (task.reward(problems.solution(index, which), problems.inputs[index].long()) == 1).all()


def test_vertices_keep_their_own_numbers():
    task = GraphColoring.of(CONFIGS["coloring"])
    puzzle = task.read_value("0 1\n1 2\n2 3\n3 4", "here")
    assert puzzle.writer.compact(puzzle.tokens.tolist()) == "0 1/1 2/2 3/3 4"


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("nqueens", "/".join(["." * 9] * 9), "a size of 9, expected 4 to 7"),
        ("coloring", "1 2/8 9", "a size of 9, expected 3 to 7"),
        ("maze", "/".join(["S" + "." * 8] + ["." * 9] * 7 + ["." * 8 + "G"]), "a size of 9, expected 3 to 8"),
    ],
)
def test_a_larger_one_is_refused(kind: str, text: str, said: str):
    task = KINDS[kind].of(CONFIGS[kind])
    with pytest.raises(UserError, match=said):
        task.parse(text, "here")


@given(size=st.integers(4, 7), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_a_board_comes_back_from_the_canvas(size: int, seed: int):
    task = mixed_queens(NQueensConfig(size=7, smallest=5, max_removed=7))
    tokens = torch.randint(1, 3, (1, size * size), generator=torch.Generator().manual_seed(seed))
    padded = task._padded(tokens, size)
    assert task.sizes(padded).tolist() == [size]
    assert task.format(padded[0].tolist()) == NQueens(NQueensConfig(size=size)).format(tokens[0].tolist())


@pytest.mark.parametrize(
    "changes", [{"size": 7, "smallest": 3}, {"size": 7, "smallest": 7}, {"size": 7, "smallest": 8}]
)
def test_wrong_smallest_sizes_are_refused(changes: dict[str, int]):
    with pytest.raises(UserError, match=r"task\.smallest"):
        NQueensConfig(**changes)
    with pytest.raises(UserError, match=r"task\.answer_at"):
        GraphColoringConfig(vertices=8, smallest=5)
    with pytest.raises(UserError, match=r"task\.train"):
        MazeConfig(size=30, smallest=10)


# -- gram eval --size --------------------------------------------------------------------------------------------


def judged(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, *words: str) -> dict[str, Any] | str:
    """What `gram eval` writes, or the line that it refuses with."""
    file = tmp_path / "eval.json"
    code = main(["eval", name, "--samples", "1", "--steps", "1", "--threads", "1", "--json", str(file), *words])
    told = capsys.readouterr()
    return json.loads(file.read_text()) if code == 0 else told.err


@pytest.mark.parametrize(("size", "inputs"), [(5, 34), (6, 25), (11, 3)])
def test_a_model_is_judged_on_one_size(size: int, inputs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """One of them larger than all that it was trained on: the same weights on a larger canvas."""
    result = judged(capsys, tmp_path, "nqueens", "--size", str(size), "--limit", str(inputs))
    assert isinstance(result, dict)
    assert (result["size"], result["inputs"]) == (size, inputs)


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("nqueens7", ["--size", "7"], "--size: got 7, expected nothing for nqueens7, a model of one size"),
        ("nqueens", ["--size", "3"], "--size: got 3, expected at least 4"),
        ("nqueens", ["--size", "6", "--puzzles", "x.txt"], "--size: got 6, expected nothing beside --puzzles"),
        ("nqueens", ["--size", "13"], "task.size: got 13"),
    ],
)
def test_a_size_that_cannot_be_judged(
    name: str, words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert said in str(judged(capsys, tmp_path, name, *words))
