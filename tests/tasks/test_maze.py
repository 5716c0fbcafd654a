"""The maze task: rules against the oracle, paths against networkx, symmetries, sources, text."""

import gzip
import os
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from fuzzing import fuzz
from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import SPLITS
from gram_reasoning.tasks.configs import MazeConfig
from gram_reasoning.tasks.maze import COUNT_LIMIT, Maze
from gram_reasoning.tasks.maze_paths import flood
from helpers import read_or_refused
from oracles import maze as oracle

MADE: dict[str, Any] = {"train": "generated", "test": "generated", "train_puzzles": 200, "validation_puzzles": 10}
DATA = Path(os.environ.get("GRAM_DATA_DIR", "/nowhere"))
LETTERS = "?# SGo"


@lru_cache
def task(size: int = 8, **changes: Any) -> Maze:
    return Maze(MazeConfig(**{**MADE, "size": size, "test_puzzles": 40, **changes}))


def rows(tokens: torch.Tensor) -> oracle.Maze:
    n = round(len(tokens) ** 0.5)
    letters = "".join(LETTERS[t] for t in tokens.tolist())
    return [letters[i : i + n] for i in range(0, n * n, n)]


def tokens(maze: oracle.Maze) -> torch.Tensor:
    return torch.tensor([LETTERS.index(letter) for row in maze for letter in row])


def graph(maze: oracle.Maze) -> networkx.Graph:
    whole = networkx.grid_2d_graph(len(maze), len(maze[0]))
    return whole.subgraph([(r, c) for r, c in whole if maze[r][c] != "#"])


# -- rules -----------------------------------------------------------------------------------------------------


def changed(answer: torch.Tensor, maze: torch.Tensor, how: int, rng: np.random.Generator) -> torch.Tensor:
    """An answer made wrong in one of several ways; sometimes it stays right."""
    answer = answer.clone()
    marks, spaces = (answer == 5).nonzero()[:, 0], (answer == 2).nonzero()[:, 0]
    if how == 0:
        answer[rng.choice(marks)] = 2
    elif how == 1 and len(spaces):
        answer[rng.choice(spaces)] = 5
    elif how == 2:  # a mark moves
        answer[rng.choice(marks)] = 2
        answer[rng.choice((answer == 2).nonzero()[:, 0])] = 5
    elif how == 3:
        answer[rng.integers(len(answer))] = int(rng.integers(6))
    elif how == 4:
        answer = maze.clone()
    elif how == 5:  # as many marks as there should be, anywhere
        answer = maze.clone()
        open_ = (maze == 2).nonzero()[:, 0]
        answer[rng.choice(open_, len(marks), replace=False)] = 5
    else:  # some path, often a longer one
        board = rows(maze)
        stack = oracle.find(board, "S")
        before = {stack[0]: stack[0]}
        while board[stack[-1][0]][stack[-1][1]] != "G":
            here = stack.pop()
            onward = [square for square in oracle.beside(board, here) if square not in before]
            before |= dict.fromkeys(onward, here)
            stack += [onward[i] for i in rng.permutation(len(onward))]
        answer = maze.clone()
        here = before[stack[-1]]
        while board[here[0]][here[1]] != "S":
            answer[here[0] * len(board) + here[1]] = 5
            here = before[here]
    return answer


def test_judges_agree_on_10000_answers():
    rng = np.random.default_rng(0)
    own = task(5, min_path=4, walls=0.2)
    problems = own.split("train")
    index = rng.integers(len(problems), size=10_000)
    mazes, answers = [], []
    for i, m in enumerate(index):
        maze, paths = problems.inputs[m].long(), problems.solution_sets(int(m))
        answer = paths[rng.integers(len(paths))]
        answers.append(changed(answer, maze, i // 2 % 7, rng) if i % 2 else answer)
        mazes.append(maze)
    reward = own.reward(torch.stack(answers), torch.stack(mazes))
    expected = [oracle.is_shortest_path(rows(a), rows(m)) for a, m in zip(answers, mazes, strict=True)]
    assert ((reward == 1) == torch.tensor(expected)).all()
    assert 5000 < sum(expected) < 6500
    assert ((reward >= 0) & (reward <= 1)).all()
    assert (reward[~torch.tensor(expected)] <= 0.9).all()


RINGS = [
    "S  #    ",
    "## #    ",
    "#  #    ",
    "# ## ###",
    "#  # #  ",
    "## # #  ",
    "##  G#  ",
    "######  ",
]


def test_a_ring_beside_a_path_is_wrong():
    maze = tokens(RINGS)
    (path,) = oracle.shortest_paths(RINGS)
    answer = maze.clone()
    answer[[8 * r + c for r, c in path]] = 5
    assert task().reward(answer[None], maze[None]) == 1
    ring = answer.clone()
    ring[[6, 7, 14, 15]] = 5
    assert not oracle.is_shortest_path(rows(ring), RINGS)
    assert task().reward(ring[None], maze[None]) < 1


def test_ends_side_by_side_need_no_marks():
    maze = tokens(["SG ", "   ", "   "])
    assert task(3, min_path=1).reward(maze[None], maze[None]) == 1


def test_steps_and_ways_are_those_of_networkx():
    mazes = task(9, walls=0.3).split("train").inputs[:40].long()
    free, start = mazes.view(-1, 9, 9) != 1, mazes.view(-1, 9, 9) == 3
    steps, ways = flood(free, start)
    for maze, own_steps, own_ways in zip(mazes, steps, ways, strict=True):
        board = rows(maze)
        (origin,) = oracle.find(board, "S")
        expected = networkx.single_source_shortest_path_length(graph(board), origin)
        assert {(r, c): int(own_steps[r, c]) for r, c in expected} == expected
        assert int((own_steps >= 0).sum()) == len(expected)
        (goal,) = oracle.find(board, "G")
        number = len(list(networkx.all_shortest_paths(graph(board), origin, goal)))
        assert int(own_ways[goal]) == number == task(9).count_solutions(maze.tolist())


def test_a_snake_is_walked_to_its_end_and_many_ways_are_counted_to_the_limit():
    n = 10
    turns = [" " * 10, "#" * 9 + " ", " " * 10, " " + "#" * 9]
    snake = ["S" + " " * 9, *(turns * 2)[1:], " " * 10, "#" * 9 + "G"]
    maze = tokens(snake)
    expected = networkx.shortest_path_length(graph(snake), (0, 0), (9, 9))
    assert int(task(n)._steps(maze[None])) == expected == 5 * 9 + 9
    empty = tokens(["S" + " " * 9, *[" " * 10] * 8, " " * 9 + "G"])
    assert task(n).count_solutions(empty.tolist()) == COUNT_LIMIT, "48,620 exist"


# -- symmetry --------------------------------------------------------------------------------------------------


def test_symmetries():
    own = task(5, min_path=4)
    maze = own.split("train").inputs[:1].long()
    every = own.split("train").solution_sets(0)[None]
    key = noise.keys(0, "test", torch.arange(400))
    moved, solutions = own.augment(maze.expand(400, -1), every.expand(400, -1, -1), key)
    board = maze.view(5, 5).numpy()
    eight = {tuple(np.rot90(b, k).flatten().tolist()) for b in (board, board.T) for k in range(4)}
    assert {tuple(m) for m in moved.tolist()} == eight
    assert len(eight) == 8
    right = own.reward(solutions.flatten(0, 1), moved.repeat_interleave(every.shape[1], 0))
    assert (right == 1).all()
    still = task(5, min_path=4, augment=False)
    assert torch.equal(still.augment(maze, every, key[:1])[0], maze)


# -- data ------------------------------------------------------------------------------------------------------


def test_generated_splits_with_all_their_paths():
    own, seen = task(), set()
    for name, number in zip(SPLITS, (200, 10, 40), strict=True):
        problems = own.split(name)
        assert len(problems) == number
        assert problems.complete
        mazes = {tuple(m) for m in problems.inputs.tolist()}
        assert len(mazes) == number
        assert not mazes & seen, "no maze in two splits"
        seen |= mazes
        for i in range(0, number, 4):
            board = rows(problems.inputs[i])
            expected = set(oracle.shortest_paths(board))
            found = [frozenset(oracle.find(rows(s), "o")) for s in problems.solution_sets(i)]
            assert set(found) == expected
            assert 1 <= len(found) == len(expected) <= own.config.max_paths
            assert len(found[0]) + 1 >= own.config.shortest == 12
    with pytest.raises(UserError, match="unknown split 'exam'"):
        own.split("exam")
    with pytest.raises(UserError, match="only 0 distinct mazes of 5x5 squares whose shortest path takes 24 steps"):
        task(5, min_path=24).split("train")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """60 mazes with one path each as CSV, and 10 of them as text for the test."""
    problems = task().split("train")
    lines = ["source,question,answer,rating"]
    for i in range(60):
        maze, answer = rows(problems.inputs[i]), rows(problems.solution_sets(i)[0])
        lines.append(f",{''.join(maze)},{''.join(answer)},{i}")
    train, test = tmp_path / "train.csv.gz", tmp_path / "test.txt"
    train.write_bytes(gzip.compress("\n".join(lines).encode()))
    test.write_text("// ten\n" + "\n\n".join("\n".join(rows(problems.inputs[i])) for i in range(10)))
    return {"train": train, "test": test}


def from_files(files: dict[str, Path], **changes: Any) -> Maze:
    sizes = {"size": 8, "train_puzzles": 30, "validation_puzzles": 5, **changes}
    return Maze(MazeConfig(train=str(files["train"]), test=str(files["test"]), **sizes))


def test_files(files: dict[str, Path]):
    own = from_files(files)
    parts = {name: {tuple(m) for m in own.split(name).inputs.tolist()} for name in SPLITS}
    assert {name: len(part) for name, part in parts.items()} == {"train": 30, "validation": 5, "test": 10}
    assert not (parts["train"] | parts["validation"]) & parts["test"]
    train, test = own.split("train"), own.split("test")
    assert (train.complete, test.complete) == (False, True), "of a path that is given nobody says it is the only one"
    assert (train.count == 1).all()
    assert from_files(files, max_paths=1).split("test").complete is False
    label, other = train.solution_sets(0)[0], test.solution_sets(0)[0]
    answers = torch.stack([label, label, train.inputs[0].long()])[None].expand(30, -1, -1)
    measures = own.measures(answers, train)
    assert measures == pytest.approx({"exact_match_of_a_sample": 2 / 90, "exact_match_of_any_sample": 1 / 30})
    assert own.measures(other[None, None].expand(10, 1, -1), test) == {}


OPEN = "S" + " " * 62 + "G"
BAD_FILES = [
    ("", "no puzzles"),
    ("S..\n..G\n...", "a maze of 3 rows, expected 8"),
    ("question\n" + " " * 63, "line 2: 63 squares, expected 64"),
    ("question\n" + OPEN[:-1] + "X", "line 2, cell 64: 'X', expected one of"),
    ("question\n" + OPEN[:-1] + "é", "line 2, cell 64: 'é', expected one of"),
    ("question\n" + OPEN[:-1] + " ", "line 2: no G"),
    ("question\n" + OPEN + "\n" + OPEN[:-2] + "GG", "line 3: row 8, column 7 and row 8, column 8 both hold G"),
    ("question\n" + "S" + " " * 54 + "#" + " " * 6 + "#G", "line 2: no way leads from S to G"),
    ("question,answer\n" + f"{OPEN},{OPEN}", "line 2: the answer is no shortest path"),
    ("question,answer\n" + f"{OPEN},a", "line 2: 1 squares, expected 64"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES)
def test_bad_files(content: str, message: str, files: dict[str, Path]):
    files["test"].write_text(content)
    with pytest.raises(UserError) as error:
        from_files(files).split("test")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_truncated_file_and_no_network(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    files["train"].write_bytes(files["train"].read_bytes()[:-20])
    with pytest.raises(UserError, match="cannot be read"):
        from_files(files).split("train")
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"sapientinc/maze-30x30-hard-1k/train.csv: not in the cache.*expected"):
        Maze(MazeConfig()).split("train")


BAD_CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"size": 2}, r"task\.size: got 2, expected 3 to 64"),
    ({"size": 10}, r"task\.train: got 'hub', expected generated or a file, unless 30x30"),
    ({**MADE, "test_puzzles": 4, "walls": 1.0}, r"task\.walls"),
    ({**MADE, "test_puzzles": 4, "size": 4, "min_path": 16}, r"task\.min_path"),
    ({**MADE, "test_puzzles": 4, "max_paths": 0}, r"task\.max_paths"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_CONFIGS)
def test_bad_configs(changes: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        MazeConfig(**changes)


# -- text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 12])
def test_text_forms(size: int):
    own = task(size)
    for maze in own.split("test").inputs[:10].long():
        board = rows(maze)
        line = "".join(board)
        forms = [
            own.format(maze.tolist()),
            own.compact(maze.tolist()),
            "\n".join(board) + "\r\n",
            "/".join(board).replace("#", "█").replace(" ", "_"),
            "// mine\n\n" + "\n".join(board).replace(" ", "."),
            *([line, f"source,question,answer,rating\n,{line},{line},7"] if size == 12 else []),
        ]
        for form in forms:
            [(place, read)] = own.parse(form, "file")
            assert torch.equal(read, maze), form
            assert place.startswith("file, line ")
            block = next(Maze.blocks(form.splitlines(), "file"))
            assert Maze.model_name(block, "file") == f"maze{size}"
        assert own.format(maze.tolist()) == "\n".join(board)
    two = "\n\n".join("\n".join(rows(maze)) for maze in own.split("test").inputs[:2])
    assert [place for place, _ in own.parse(two, "file")] == ["file, line 1", f"file, line {size + 2}"]


GOOD = ["S  ", " # ", "  G"]
BAD_MAZES = [
    ("", "no input found"),
    ("S  /   /   ", "no G, expected one"),
    ("   /   /  G", "no S, expected one"),
    ("S G/   /  G", "row 1, column 3 and row 3, column 3 both hold G, expected one G"),
    ("S S/   /  G", "row 1, column 1 and row 1, column 3 both hold S"),
    ("S  \n x \n  G", "line 2, square 2: 'x', expected one of # . S G"),
    ("S  /ooo/  G", "row 2, square 1: 'o'"),
    ("S  /    /  G", "row 2: 4 squares, expected 3"),
    ("S  \n   ", "a maze of 2 rows, expected 3"),
    ("S# /## /  G", "no way leads from S (row 1, column 1) to G (row 3, column 3), expected one"),
    ("S" * 65, "65 squares, expected as many rows as columns"),
    ("S,G,x", "5 squares, expected 9"),
]


@pytest.mark.parametrize(("given_text", "message"), BAD_MAZES)
def test_bad_mazes(given_text: str, message: str):
    with pytest.raises(UserError) as error:
        task(3, min_path=1).parse(given_text, "file")
    assert message in str(error.value)


def model_names(given_text: str, where: str) -> list[str]:
    return [Maze.model_name(block, where) for block in Maze.blocks(given_text.splitlines(), where)]


square = st.sampled_from("#. _█SG")
lines = st.lists(st.text(square, min_size=3, max_size=3), min_size=3, max_size=3)
texts = (
    st.text(alphabet=st.sampled_from("#. SGo/,\n█x"), max_size=80)
    | st.text(max_size=20)
    | lines.map("\n".join)
    | lines.map("/".join)
)


contents = (
    st.binary(max_size=60)
    | texts.map(str.encode)
    | lines.map(lambda rows: f"question,answer\n{''.join(rows)},{''.join(rows)}".encode())
)


@fuzz(100, 10_000, texts)
def test_any_text(given_text: str) -> None:
    read_or_refused(task(3, min_path=1).parse, given_text)
    read_or_refused(model_names, given_text)


@fuzz(50, 10_000, contents)
def test_any_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any"
        path.write_bytes(content)
        read_or_refused(lambda _, where: task(3, min_path=1).read_file(path), "")


# -- the real set ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_maze_hard_goes_through(capsys: pytest.CaptureFixture[str]):
    """2,000 mazes: file -> tokens -> text -> tokens; every label is a shortest path, by our rules and by the oracle."""
    folder = DATA / "maze-hard"
    if not folder.is_dir():
        pytest.skip("GRAM_DATA_DIR does not point to the mazes")
    start = time.perf_counter()
    own = Maze(MazeConfig(train=str(folder / "train.csv.gz"), test=str(folder / "test.csv.gz")))
    splits = [own.split(name) for name in SPLITS]
    assert [len(problems) for problems in splits] == [900, 100, 1000]
    for problems in splits:
        assert not problems.complete
        mazes, labels = problems.inputs.long(), problems.solutions[problems.members[problems.first]].long()
        assert (own.reward(labels, mazes) == 1).all()
        again = [own.parse(own.compact(maze), "file")[0][1] for maze in mazes.tolist()]
        assert torch.equal(torch.stack(again), mazes)
        assert all(oracle.is_shortest_path(rows(a), rows(m)) for a, m in zip(labels, mazes, strict=True))
        assert all(own.count_solutions(maze) > 1 for maze in mazes.tolist()), "none has one shortest path only"
    with capsys.disabled():
        print(f"\n2,000 mazes of Maze-Hard: {time.perf_counter() - start:.1f} s")
