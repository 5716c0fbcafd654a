"""What the pictures of `gram solve` and `gram generate` show, beside what the same command writes as JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from gram_reasoning.analysis.trajectories import record
from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.tasks.text import Text

EMPTY = "......./......./......./......./......./......./......."  # more solutions than a picture has room for
FEW = ".Q...../......./......./......./......./......./......."
SINGLE = "Q....../..Q..../....Q../......Q/.Q...../......./......."
NONE = "......Q/....Q../......./......./......./.....Q./......."
DARK, RED = "#1b1b1b", "#c8452f"
SAMPLES = 30


def solve(tmp_path: Path, capsys: pytest.CaptureFixture[str], boards: list[str], *options: str) -> list[dict[str, Any]]:
    """What the bundled model finds, and the figures it draws."""
    source, file = tmp_path / "boards.txt", tmp_path / "out.jsonl"
    source.write_text("\n\n".join(board.replace("/", "\n") for board in boards) + "\n")
    assert main(["solve", str(source), "--samples", str(SAMPLES), "--json", str(file), *options]) in (0, 1)
    capsys.readouterr()
    return [json.loads(line) for line in file.read_text().splitlines()]


def right(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [answer for answer in item["answers"] if answer["verified"]]


def assert_board(axes: Any, text: str, given: str) -> None:
    """A chequered board with each queen in its square, dark if given, else red."""
    rows, before = text.split("/"), given.split("/")
    found = {}
    for drawn in axes.texts:
        if drawn.get_text().strip():
            x, y = drawn.get_position()
            assert max(abs(x - round(x)), abs(y - round(y))) < 0.2
            found[round(y), round(x)] = to_hex(drawn.get_color())
    expected = {
        (r, c): DARK if before[r][c] == "Q" else RED
        for r, row in enumerate(rows)
        for c, cell in enumerate(row)
        if cell == "Q"
    }
    assert found == expected
    (squares,) = axes.get_images()
    shade = np.asarray(squares.get_array())
    assert shade.shape == (len(rows), len(rows[0]))
    assert len(np.unique(shade)) == 2
    assert (shade[1:] != shade[:-1]).all()
    assert (shade[:, 1:] != shade[:, :-1]).all()
    low, high = axes.get_xlim()
    assert low < 0 < len(rows[0]) - 1 < high
    bottom, top = axes.get_ylim()
    assert top < 0 < len(rows) - 1 < bottom, "the first row stands on top"


def grid_of(figure: Any) -> dict[tuple[int, int], Any]:
    places = {axes: axes.get_subplotspec() for axes in figure.axes}
    return {(place.rowspan.start, place.colspan.start): axes for axes, place in places.items()}


def test_solutions(tmp_path: Path, capsys: pytest.CaptureFixture[str], figures: list[Any]):
    """A row a board: itself with the count, then its best solutions with their votes; the rest stays empty."""
    boards, picture = [EMPTY, NONE, FEW, SINGLE], tmp_path / "boards.png"
    items = solve(tmp_path, capsys, boards, "--picture", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    (figure,) = figures
    grid = grid_of(figure)
    assert len(right(items[0])) > 6
    assert len(right(items[3])) == 1
    assert grid.keys() == {(row, column) for row in range(4) for column in range(7)}
    for row, (board, item) in enumerate(zip(boards, items, strict=True)):
        solutions = right(item)
        assert_board(grid[row, 0], board, board)
        assert grid[row, 0].get_title() == f"{len(solutions)} of {item['known_solutions']} found"
        for column, answer in enumerate(solutions[:6], 1):
            assert_board(grid[row, column], answer["answer"], board)
            assert grid[row, column].get_title() == f"{answer['votes']} of {SAMPLES} samples"
        for column in range(1 + len(solutions[:6]), 7):
            assert not grid[row, column].has_data()
            assert not grid[row, column].axison


@pytest.mark.parametrize("board", [EMPTY, FEW, SINGLE, NONE])
def test_trajectories(board: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], figures: list[Any]):
    """Each path has the colour of the solution it ends in, or grey; the plane is that of the ends' largest spread."""
    (item,) = solve(tmp_path, capsys, [board], "--steps", "3", "--trajectories", str(tmp_path / "paths.svg"))
    assert "<svg" in (tmp_path / "paths.svg").read_text()
    (figure,) = figures
    solutions = right(item)
    shown = solutions[:6]
    (plane,) = [axes for axes in figure.axes if "trajectories of 3 steps" in axes.get_title()]
    count = "one solution" if len(solutions) == 1 else f"{len(solutions)} solutions"
    assert plane.get_title() == f"{SAMPLES} trajectories of 3 steps end in {count}"

    lines = [(np.stack(line.get_data(), 1), line.get_color()) for line in plane.get_lines()]
    paths = [(points, colour) for points, colour in lines if len(points) == 4]
    ends = [(points[0], colour) for points, colour in lines if len(points) == 1 and colour != "black"]
    (start,) = [points[0] for points, colour in lines if colour == "black"]
    assert len(paths) == len(ends) == SAMPLES
    for (points, colour), (end, of_end) in zip(paths, ends, strict=True):
        assert colour == of_end
        assert np.allclose(points[0], start)
        assert np.allclose(points[-1], end)
    assert [annotation.get_text() for annotation in plane.texts] == ["start"]
    colours = [colour for _, colour in paths]
    for i, answer in enumerate(shown):
        assert colours.count(f"C{i}") == answer["votes"]
    assert len(colours) - sum(answer["votes"] for answer in shown) == len([c for c in colours if not c.startswith("C")])

    _, task, model = load_model("nqueens7")
    assert isinstance(task, Text)
    tokens = task.parse(board, "board")[0][1]
    states = record(model, tokens, SamplerConfig(samples=SAMPLES, steps=3))
    last = states[:, -1].flatten(1).double().numpy()
    last = last - last.mean(0)
    spread = np.sort(np.linalg.eigvalsh(last @ last.T))[::-1][:2]
    drawn = np.stack([end for end, _ in ends])
    assert np.linalg.eigvalsh((drawn - drawn.mean(0)).T @ (drawn - drawn.mean(0)))[::-1] == pytest.approx(
        spread, rel=1e-4
    )

    titled = {axes.get_title(): axes for axes in figure.axes}
    assert_board(titled[f"{len(solutions)} of {item['known_solutions']} found"], board, board)
    boards = [axes for axes in figure.axes if axes.get_title().endswith(f" of {SAMPLES}")]
    assert sorted(axes.get_title() for axes in boards) == sorted(f"{a['votes']} of {SAMPLES}" for a in shown)
    by_colour = {axes.title.get_color(): axes for axes in boards}
    for i, answer in enumerate(shown):
        axes = by_colour[f"C{i}"]
        assert axes.get_title() == f"{answer['votes']} of {SAMPLES}"
        assert_board(axes, answer["answer"], board)
        assert {to_hex(side.get_edgecolor()) for side in axes.spines.values()} == {to_hex(f"C{i}")}


def test_generated_boards(tmp_path: Path, capsys: pytest.CaptureFixture[str], figures: list[Any]):
    """The first answers in rows as long as the square has columns, each symbol in its square."""
    run = tmp_path / "run"
    train = ["--train.steps", "1", "--train.eval-every", "9", "--train.precision", "fp32", "--threads", "1"]
    assert main(["train", "sudoku4-boards-debug", "--out", str(run), "--task.boards", "1", *train]) == 0
    file, picture = tmp_path / "boards.jsonl", tmp_path / "boards.png"
    options = ["--count", "7", "--steps", "2", "--json", str(file), "--picture", str(picture), "--threads", "1"]
    main(["generate", "--checkpoint", str(run), *options])
    capsys.readouterr()
    answers = [json.loads(line)["answer"] for line in file.read_text().splitlines()[:-1]]
    assert len(set(answers)) > 1
    (figure,) = figures
    grid = grid_of(figure)
    assert grid.keys() == {(row, column) for row in range(3) for column in range(2)}
    for place, axes in grid.items():
        cells = torch.full((4, 4), 0)
        for drawn in axes.texts:
            x, y = drawn.get_position()
            if drawn.get_text().strip():
                cells[round(y), round(x)] = int(drawn.get_text())
        answer = answers[2 * place[0] + place[1]]
        assert cells.flatten().tolist() == [int(c) if c.isdigit() else 0 for c in answer.replace("/", "")]
