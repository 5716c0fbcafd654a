"""Mazes from the rules alone, sharing nothing with the package: a queue of squares, and plain recursion.

A maze is a list of rows of letters: `#` a wall, a space, S, G; in an answer also `o`. Any other letter is no square.
"""

from collections import deque
from collections.abc import Iterator

Maze = list[str]
Square = tuple[int, int]


def find(maze: Maze, letter: str) -> list[Square]:
    return [(r, c) for r, row in enumerate(maze) for c, x in enumerate(row) if x == letter]


def beside(maze: Maze, square: Square) -> list[Square]:
    """The walkable squares next to one."""
    r, c = square
    near = [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]
    return [(a, b) for a, b in near if 0 <= a < len(maze) and 0 <= b < len(maze[0]) and maze[a][b] != "#"]


def distances(maze: Maze, start: Square) -> dict[Square, int]:
    found, queue = {start: 0}, deque([start])
    while queue:
        square = queue.popleft()
        for other in beside(maze, square):
            if other not in found:
                found[other] = found[square] + 1
                queue.append(other)
    return found


def shortest_paths(maze: Maze) -> Iterator[frozenset[Square]]:
    """The squares between S and G of every shortest path."""
    (start,), (goal,) = find(maze, "S"), find(maze, "G")
    left = distances(maze, goal)

    def walk(square: Square, passed: tuple[Square, ...]) -> Iterator[frozenset[Square]]:
        for other in beside(maze, square):
            if left.get(other) == left[square] - 1:
                if other == goal:
                    yield frozenset(passed)
                else:
                    yield from walk(other, (*passed, other))

    if start in left:
        yield from walk(start, ())


def is_shortest_path(answer: Maze, maze: Maze) -> bool:
    """The answer is the maze with some spaces marked, and one can walk from S to G on marks alone in fewest steps."""
    marks = find(answer, "o")
    if any(maze[r][c] != " " for r, c in marks):
        return False
    if any(a != b and a != "o" for row, own in zip(answer, maze, strict=True) for a, b in zip(row, own, strict=True)):
        return False
    (start,), (goal,) = find(maze, "S"), find(maze, "G")
    on_marks = ["".join("#" if x == " " else x for x in row) for row in answer]
    here, there = distances(on_marks, start), distances(maze, start)
    return goal in here and here[goal] == there[goal] == len(marks) + 1
