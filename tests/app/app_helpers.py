"""What the tests of the page share: the server, the names of tasks, and judges that import nothing from the package."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gram_reasoning.app.bundled import choices
from oracles import coloring, maze, nqueens, sudoku


@dataclass(frozen=True)
class Served:
    """The process with the page."""

    address: str
    pid: int
    folder: Path
    """Where it notes whom it called."""

    def called(self) -> list[str]:
        """Hosts other than this machine that it looked up or connected to."""
        noted = self.folder / "called.txt"
        return noted.read_text().splitlines() if noted.exists() else []


def label_of(name: str) -> str:
    """What the page calls a model of the package."""
    return next(choice.label for choice in choices() if choice.name == name)


def oracle(name: str) -> Callable[[str, str], bool]:
    """Whether a text is an answer to a text, by the task's rules alone."""
    kinds = {"nqueens": _queens, "coloring": _colours, "maze": _path, "sudoku": _sudoku}
    return next(judge for kind, judge in kinds.items() if name.startswith(kind))


def _queens(puzzle: str, answer: str) -> bool:
    board, given = ([[1 + (cell == "Q") for cell in row] for row in text.split("/")] for text in (answer, puzzle))
    return nqueens.is_solution(board, given)


def _colours(puzzle: str, answer: str) -> bool:
    edges = {(int(a) - 1, int(b) - 1) for a, b in (line.split() for line in puzzle.split("\n"))}
    return coloring.is_solution(["abc".find(colour) for colour in answer], edges, 3)


def _path(puzzle: str, answer: str) -> bool:
    return maze.is_shortest_path(answer.replace(".", " ").split("/"), puzzle.replace(".", " ").split("/"))


def _sudoku(puzzle: str, answer: str) -> bool:
    board, given = ([int(cell) if cell.isdigit() else 0 for cell in text.replace("/", "")] for text in (answer, puzzle))
    return sudoku.is_solution(board, given)
