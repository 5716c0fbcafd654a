"""Pictures, drawn with matplotlib from stored values only."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only: no display is needed
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gram_reasoning.errors import UserError
from gram_reasoning.inference.solve import Solved

GIVEN, FOUND = "#1b1b1b", "#c8452f"


def draw_board(axes: Axes, tokens: Sequence[int], given: Sequence[int]) -> None:
    """One N-Queens board; given queens dark, the model's red."""
    size = round(len(tokens) ** 0.5)
    squares = np.indices((size, size)).sum(0) % 2
    axes.imshow(squares, cmap="Greys", vmin=-0.6, vmax=4, interpolation="nearest")
    for cell, token in enumerate(tokens):
        if token == 2:
            row, column = divmod(cell, size)
            colour = GIVEN if given[cell] == 2 else FOUND
            axes.text(
                column, row + 0.07, "♛", ha="center", va="center", fontsize=15, color=colour, family="DejaVu Sans"
            )
    axes.set_xticks([])
    axes.set_yticks([])


def picture_of_solutions(solved: Sequence[Solved], path: Path, most: int = 6, boards: int = 8) -> None:
    """Up to `boards` inputs, one a row: the input, then up to `most` distinct valid solutions with their votes."""
    rows = list(solved)[:boards]
    columns = 1 + max(1, min(most, max(len(s.solutions) for s in rows)))
    figure, grid = plt.subplots(
        len(rows), columns, figsize=(1.55 * columns, 1.9 * len(rows)), squeeze=False, layout="constrained"
    )
    for line, item in zip(grid, rows, strict=True):
        for axes in line:
            axes.axis("off")
        line[0].axis("on")
        draw_board(line[0], item.tokens, item.tokens)
        found = item.solutions
        line[0].set_title(f"{len(found)} of {item.known_solutions} found", fontsize=9, fontweight="bold")
        for axes, answer in zip(line[1:], found, strict=False):
            axes.axis("on")
            draw_board(axes, answer.tokens, item.tokens)
            axes.set_title(f"{answer.votes} of {item.samples} samples", fontsize=8)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure; an unwritable path or an unknown format is a UserError."""
    try:
        if not path.suffix:
            raise ValueError("no format, expected a name that ends in .png, .pdf or .svg")
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    finally:
        plt.close(figure)
