"""Inputs and answers as HTML: boards as grids, graphs as SVG, images as PNG within the page, others as text."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import torch
from PIL import Image

from gram_reasoning.tasks.base import PAD
from gram_reasoning.tasks.graph_coloring import GraphColoring
from gram_reasoning.tasks.graph_text import read_graph
from gram_reasoning.tasks.pictures import Boards, Images
from gram_reasoning.tasks.sizes import OfSizes
from gram_reasoning.tasks.written import Written

COLOURS = ("#4c78a8", "#f2a93b", "#59a14f", "#b279a2")
"""Of a graph's vertices; the letter stands in each too, for those who tell no colours apart."""


@dataclass(frozen=True)
class Drawer:
    """Draws what belongs to one input: the input itself and its answers, whole or on their way."""

    task: Written
    """Of the input's own size, in the numbers of its author."""
    places: torch.Tensor | slice
    """Where the tokens of that size stand."""
    given: tuple[int, ...]
    """The input (L,)."""

    @classmethod
    def of(cls, writer: Written, tokens: torch.Tensor) -> "Drawer":
        """For an input (L,) of a task."""
        given = tuple(tokens.tolist())
        if not isinstance(writer, OfSizes):
            return cls(writer, slice(None), given)
        size = int(writer.sizes(tokens[None])[0])
        return cls(writer.of_size(size), writer.places(size), given)

    def draw(self, tokens: Sequence[int]) -> str:
        """The input or an answer (L,) as HTML; the caller names it for those who do not see it."""
        own, given = self._own(tokens), self._own(self.given)
        if isinstance(self.task, Images):
            return _image(self.task.image(torch.tensor(own)))
        if isinstance(self.task, GraphColoring):
            return _graph(self.task.compact(given), None if own == given else self.task.compact(own))
        if isinstance(self.task, Boards):
            return _board(self.task, own, given)
        return f"<pre>{escape(self.task.format(own))}</pre>"

    def text(self, tokens: Sequence[int]) -> str:
        """The same on one line, as `gram solve --json` writes it."""
        return self.task.compact(self._own(tokens))

    def _own(self, tokens: Sequence[int]) -> list[int]:
        return torch.tensor(tuple(tokens))[self.places].tolist()

    def rows(self) -> str | None:
        """The input's rows of characters joined by `/`, as the board that is edited takes them; None without one."""
        if not isinstance(self.task, Boards):
            return None
        return "/".join("".join(_letter(cell) for cell in row) for row in self.task.cells(self._own(self.given)))


def _letter(cell: str) -> str:
    """The character of a cell in text."""
    return {"": ".", " ": ".", "█": "#", "♛": "Q"}.get(cell, cell)


def _board(task: Boards, tokens: Sequence[int], given: Sequence[int]) -> str:
    cells, before = task.cells(tokens), task.cells(given)
    columns = len(cells[0])
    squares = []
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            letter = _letter(cell)
            token = tokens[row * columns + column]
            kind = "unknown" if token == PAD else "given" if cell == before[row][column] else "found"
            odd = " odd" if (row + column) % 2 else ""
            squares.append(f'<i class="{kind}{odd}" data-s="{escape(letter)}"></i>')
    return f'<div class="board {task.name}" style="--n:{columns}">{"".join(squares)}</div>'


def _graph(edges: str, colours: str | None) -> str:
    """Vertices on a circle, each with its number, and its colour where there is one."""
    graph = read_graph([(1, edges)], "graph")
    at = [_on_circle(v, graph.size) for v in range(graph.size)]
    lines = []
    for a, b in sorted(graph.edges):
        clash = colours is not None and colours[a] == colours[b]
        (x1, y1), (x2, y2) = at[a], at[b]
        kind = ' class="clash"' if clash else ""
        lines.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{kind}/>')
    for v, (x, y) in enumerate(at):
        letter = "" if colours is None else colours[v]
        fill = COLOURS["abcd".index(letter)] if letter in tuple("abcd") else "none"
        style = f' style="fill:{fill}"' if fill != "none" else ""
        lines.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9"{style}/>'
            f'<text x="{x:.1f}" y="{y + 3.2:.1f}">{v + graph.first}{letter if fill != "none" else ""}</text>'
        )
    return f'<svg class="graph" viewBox="0 0 120 120">{"".join(lines)}</svg>'


def _on_circle(v: int, size: int) -> tuple[float, float]:
    turn = 2 * math.pi * v / size - math.pi / 2
    return 60 + 48 * math.cos(turn), 60 + 48 * math.sin(turn)


def _image(pixels: torch.Tensor) -> str:
    """Brightness (H, W) as a PNG that stands in the page itself."""
    written = io.BytesIO()
    Image.fromarray((pixels * 255).to(torch.uint8).numpy()).save(written, format="PNG")
    data = base64.b64encode(written.getvalue()).decode()
    return f'<img class="pixels" alt="" src="data:image/png;base64,{data}">'
