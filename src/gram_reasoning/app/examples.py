"""Puzzles for the example button, drawn anew each time; no data are prepared for them."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gram_reasoning.tasks.graph_coloring import GraphColoring
from gram_reasoning.tasks.maze import Maze
from gram_reasoning.tasks.nqueens import EMPTY, QUEEN, NQueens, all_solutions
from gram_reasoning.tasks.sudoku import Sudoku
from gram_reasoning.tasks.text import Text

LARGEST_SEED = 2**31


def _queens(task: NQueens, draw: random.Random) -> Tensor:
    """A solution with one to three of its queens left on the board."""
    columns = draw.choice(all_solutions(task.size))
    tokens = torch.full((task.size, task.size), EMPTY)
    for row in draw.sample(range(task.size), draw.choice((1, 1, 2, 3))):
        tokens[row, int(columns[row])] = QUEEN
    return tokens.flatten()


def _graph(task: GraphColoring, draw: random.Random) -> str:
    """Edges between the classes of a random colouring, so that one exists; every vertex has an edge."""
    vertices = list(range(1, task.vertices + 1))
    draw.shuffle(vertices)
    colour = {v: i % task.config.colors for i, v in enumerate(vertices)}
    across = [(a, b) for a in vertices for b in vertices if a < b and colour[a] != colour[b]]
    edges = {edge for edge in across if draw.random() < 0.5}
    for v in vertices:
        if not any(v in edge for edge in edges):
            edges.add(draw.choice([edge for edge in across if v in edge]))
    return "\n".join(f"{a} {b}" for a, b in sorted(edges))


def _maze(task: Maze, draw: random.Random) -> Tensor:
    """What the task's own generator makes from another seed."""
    other = Maze(replace(task.config, split_seed=draw.randrange(LARGEST_SEED)))
    return torch.from_numpy(other.generate(1)[0]).long()


SUDOKUS = {
    4: ("413.2..1.42.....", ".432...4..2.3.4."),
    9: (
        ".9.13..2.....4.5892.785......468....53...4...9.6..3.7...29.5.68...3.274..53.7.1..",
        "..1.6974...75231..63941..5.....7.5..7.594.3...863.1..7.1.7.2685...1.5..95..694...",
    ),
}
"""Puzzles with one solution each, by their side."""


def _sudoku(task: Sudoku, draw: random.Random) -> Tensor:
    """One of the puzzles in another of its many guises: rows, columns and digits exchanged."""
    puzzle = task.read_value(draw.choice(SUDOKUS[task.size]), "example").tokens
    cells, digits = task.symmetry(torch.tensor([draw.randrange(LARGEST_SEED)]))
    return digits[0][puzzle[cells[0]]]


EXAMPLES: dict[type[Text], Callable[[Any, random.Random], Tensor | str]] = {
    NQueens: _queens,
    GraphColoring: _graph,
    Maze: _maze,
    Sudoku: _sudoku,
}


def example(task: Text, draw: random.Random) -> str | None:
    """An input of a task of one size, as text; None for a kind of task that nobody has made one for."""
    make = next((make for kind, make in EXAMPLES.items() if isinstance(task, kind)), None)
    if make is None:
        return None
    made = make(task, draw)
    return made if isinstance(made, str) else task.compact(made.tolist())
