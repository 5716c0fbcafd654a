"""Pictures, drawn with matplotlib from stored values only.

They are files, so pyplot stays out: a `Figure` needs no backend, and a notebook that draws beside us keeps its own.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.inference.solve import Answer, Solved
from gram_reasoning.storage.files import write_whole
from gram_reasoning.tasks.pictures import Boards, Images
from gram_reasoning.tasks.written import Written

GIVEN, FOUND = "#1b1b1b", "#c8452f"


def panels(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure of that many inches and its axes (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def draw_board(axes: Axes, cells: Sequence[Sequence[str]], given: Sequence[Sequence[str]]) -> None:
    """One board of the symbols in its squares; given ones dark, the model's red."""
    squares = np.indices((len(cells), len(cells[0]))).sum(0) % 2
    size = min(15, 120 / len(cells))
    axes.imshow(squares, cmap="Greys", vmin=-0.6, vmax=4, interpolation="nearest")
    for row, line in enumerate(cells):
        for column, symbol in enumerate(line):
            colour = GIVEN if given[row][column] == symbol else FOUND
            axes.text(
                column, row + 0.07, symbol, ha="center", va="center", fontsize=size, color=colour, family="DejaVu Sans"
            )
    axes.set_xticks([])
    axes.set_yticks([])


def _draw(axes: Axes, task: Written, tokens: Sequence[int], given: Sequence[int]) -> None:
    """A board where the task has one, else its text."""
    axes.axis("on")
    if isinstance(task, Boards):
        draw_board(axes, task.cells(tokens), task.cells(given))
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        text = task.format(tokens)
        axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, family="DejaVu Sans Mono")


def draw_input(axes: Axes, item: Solved, answer: Answer | None = None) -> None:
    """The input of `item` with the count of its solutions, or one answer to it."""
    _draw(axes, item.writer, item.tokens if answer is None else answer.tokens, item.tokens)
    if answer is None:
        of = "" if item.known_solutions is None else f" of {item.known_solutions}"
        axes.set_title(f"{len(item.solutions)}{of} found", fontsize=9, fontweight="bold")


def picture_of_answers(task: Written, answers: Tensor, path: Path) -> None:
    """Answers (rows, columns, L) as a grid: images as they are, boards drawn, others as text."""
    rows, columns = answers.shape[:2]
    images = task.image(answers) if isinstance(task, Images) else None
    side = 1.55 if images is None else 0.5
    figure, grid = panels(rows, columns, side * columns, side * rows)
    for r, line in enumerate(grid):
        for c, axes in enumerate(line):
            if images is None:
                _draw(axes, task, answers[r, c].tolist(), answers[r, c].tolist())
            else:
                axes.imshow(images[r, c].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                axes.axis("off")
    save(figure, path)


def picture_of_solutions(solved: Sequence[Solved], path: Path, most: int = 6, boards: int = 8) -> None:
    """Up to `boards` inputs, one a row: the input, then up to `most` distinct valid solutions with their votes.

    Where none was found the best answer stands there, marked as no solution.
    """
    rows = list(solved)[:boards]
    columns = 1 + max(1, min(most, max(len(s.solutions) for s in rows)))
    figure, grid = panels(len(rows), columns, 1.55 * columns, 1.9 * len(rows))
    for line, item in zip(grid, rows, strict=True):
        for axes in line:
            axes.axis("off")
        draw_input(line[0], item)
        for axes, answer in zip(line[1:], item.solutions or filter(None, [item.miss]), strict=False):
            draw_input(axes, item, answer)
            title = f"{answer.votes} of {item.samples} samples" if answer.verified else "not a solution"
            axes.set_title(title, fontsize=8)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure; an unwritable path or an unknown format is a UserError."""
    content = io.BytesIO()
    try:
        if not path.suffix:
            raise ValueError("no format, expected a name that ends in .png, .pdf or .svg")
        figure.savefig(content, format=path.suffix[1:].lower(), dpi=120)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    write_whole(path, content.getvalue())
