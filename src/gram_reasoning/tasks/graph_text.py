"""Graphs from text: edge lists, neighbours of each vertex, matrices, and DIMACS `.col` files."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gram_reasoning.errors import Ambiguous, UserError
from gram_reasoning.tasks.forms import Block, is_list, whole

Place = tuple[str, str]
"""A line and where it stands."""
PROBLEM = "`p edge VERTICES EDGES`"


@dataclass(frozen=True)
class Graph:
    """Vertices from 0, and the number that its author gives to the first one."""

    size: int
    edges: set[tuple[int, int]]  # the smaller vertex first
    first: int


def without_gaps(lines: Iterable[str]) -> Iterator[str]:
    """The same lines, with DIMACS comments, and empty lines in a DIMACS file, as comments."""
    dimacs = False
    for line in lines:
        first = line.split()[:1]
        dimacs = dimacs or first == ["p"]
        yield "#" if first in (["c"], ["C"]) or (dimacs and not first) else line


def read_graph(lines: Block, where: str) -> Graph:
    """The graph of one block; UserError with the line if there is none."""
    places = [(f"{where}, line {number}", part) for number, line in lines for part in line.split("/")]
    if lines[0][1].split()[:1] in (["p"], ["e"]):
        return _read_dimacs(places)
    if all(":" in line for _, line in places):
        return _graph([_neighbours(line, place) for place, line in places], places)
    return _read_edges(places)


def spell(value: Any, place: str) -> list[str]:
    """The lines of a graph that came as a list of edges, a matrix of 0 and 1, or the neighbours of each vertex."""
    expected = "a list of edges (two vertices each), a matrix of 0 and 1, or an object with neighbours"
    if isinstance(value, dict):
        near = [(str(vertex), others) for vertex, others in value.items()]
        if near and all(is_list(others) or isinstance(others, dict | set) for _, others in near):
            return [f"{vertex}: {' '.join(str(other) for other in others)}" for vertex, others in near]
    if is_list(value) and value and all(isinstance(row, str) for row in value):
        return list(value)
    if not is_list(value) or not value or not all(is_list(row) for row in value):
        raise UserError(f"{place}: {str(value)[:40]!r}, expected {expected}")
    rows = [[whole(cell) for cell in row] for row in value]
    n = len(rows)
    if n > 2 and all(len(row) == n and set(row) <= {0, 1} for row in rows):
        if any(rows[a][b] != rows[b][a] for a in range(n) for b in range(a + 1)) or any(rows[a][a] for a in range(n)):
            raise UserError(f"{place}: a matrix of a graph with directions or loops, expected one that is symmetric")
        edges = [f"{a + 1} {b + 1}" for a in range(n) for b in range(a + 1, n) if rows[a][b]]
        return [*edges, *(str(v + 1) for v in range(n))]
    if not all(len(row) in (1, 2) and None not in row for row in rows):
        raise UserError(f"{place}: {str(value)[:40]!r}, expected {expected}")
    return [f"{row[0]}: {' '.join(map(str, row[1:]))}" for row in rows]  # as neighbours: a list has no header


def _read_edges(lines: list[Place]) -> Graph:
    """A graph whose every line is an edge or a vertex; or a vertex with its neighbours, where that is certain."""
    wanted = "an edge (two vertices) or a vertex"
    rows = [_numbers(line, place, None, wanted) for place, line in lines]
    if len(rows[0]) == 1 and any(len(row) > 1 for row in rows):
        place, line = lines[0]
        raise Ambiguous(
            f"{place}: {line[:40]!r} may be the number of vertices, or a vertex without edges; expected "
            f"`p edge {line.strip()} EDGES` with lines `e A B` for the number, or this vertex below the edges"
        )
    if len(rows) == 1 and len(rows[0]) != 2:
        place, line = lines[0]
        raise Ambiguous(_alone(rows[0], line.strip(), place))
    if all(len(row) <= 2 for row in rows):
        named = _without_header(rows, lines)
        return _graph(named, lines, counted=named is not rows)  # by a header
    place, line = next(one for one, row in zip(lines, rows, strict=True) if len(row) > 2)
    if any(len(row) > 3 for row in rows):
        return _graph(rows, lines)
    a, b, c = _numbers(line, place, (3,), wanted)
    raise Ambiguous(
        f"{place}: {line[:40]!r} may be an edge {a} {b} of weight {c}, or the neighbours {b} and {c} of {a}; expected "
        f"{a} {b} for the edge, or {a}: {b} {c} for the neighbours"
    )


def _alone(row: list[int], line: str, place: str) -> str:
    """What one line may be that is no edge."""
    if len(row) == 1:
        return f"{place}: {line[:40]!r} may be a vertex without edges, or their number; expected edges"
    rest = " ".join(map(str, row[1:]))
    return (
        f"{place}: {line[:40]!r} may be vertex {row[0]} and its neighbours, several edges, or the columns of queens; "
        f"expected `{row[0]}: {rest}` for the neighbours, edges parted by /, or the columns joined by commas"
    )


def _without_header(rows: list[list[int]], lines: list[Place]) -> list[list[int]]:
    """The rows that are edges or vertices: a first one that counts vertices and edges is none.

    Raises:
        UserError: it may be either.
    """
    edges = rows[1:]
    if len(rows[0]) != 2 or not edges or any(len(row) != 2 for row in edges):
        return rows
    vertices, count = rows[0]
    lowest, highest = min(map(min, edges)), max(map(max, edges))
    if count != len(edges) or highest > vertices or (lowest == 0 and highest == vertices):
        return rows
    if vertices == count:  # an edge joins two vertices
        last = vertices if lowest > 0 else vertices - 1
        return [[last], *edges]  # there are as many vertices, whether edges name them or not
    raise Ambiguous(
        f"{lines[0][0]}: {lines[0][1][:40]!r} may be a header of {vertices} vertices and {count} edges, or an edge; "
        f"expected `p edge {vertices} {count}` with lines `e A B` for the header, or this edge below another"
    )


def _graph(rows: list[list[int]], lines: list[Place], counted: bool = False) -> Graph:
    """A graph from rows of a vertex and those that it is joined to, each from its line.

    Raises:
        UserError: the lowest vertex is neither 0 nor 1, and nothing has `counted` those below.
    """
    named = [v for row in rows for v in row]
    first = 0 if 0 in named else 1
    if min(named) > 1 and not counted:
        raise UserError(
            f"{lines[0][0]}: vertices {min(named)} to {max(named)}, expected one numbered 0 or 1; "
            "a vertex without edges stands on a line of its own, below the edges"
        )
    edges = {_edge([row[0], v], first, place) for (place, _), row in zip(lines, rows, strict=True) for v in row[1:]}
    return Graph(max(named) + 1 - first, edges, first)


def _neighbours(line: str, place: str) -> list[int]:
    """A vertex and its neighbours, `1: 2 3`."""
    vertex, _, others = line.partition(":")
    expected = "a vertex and its neighbours, such as `1: 2 3`"
    found = _numbers(others, place, None, expected) if others.strip() else []
    return [*_numbers(vertex, place, (1,), expected), *found]


def _read_dimacs(lines: list[Place]) -> Graph:
    """DIMACS .col: a line `p edge VERTICES EDGES`, then lines `e A B`, vertices from 1."""
    size, edges, told, found, header = -1, set(), 0, 0, lines[0]
    for place, line in lines:
        kind, *rest = line.split() or [""]
        if kind == "p":
            if size >= 0:
                raise UserError(f"{place}: a second line p, expected one graph a file")
            numbers = rest[1:] if rest[:1] in (["edge"], ["edges"], ["col"]) else rest
            if len(numbers) != 2:
                raise UserError(f"{place}: {line[:40]!r}, expected {PROBLEM}")
            size, told = _numbers(" ".join(numbers), place, (2,), "two numbers after `p edge`")
            header = (place, line)
        elif kind == "e":
            if size < 0:
                raise UserError(f"{place}: an edge first, expected the line {PROBLEM}")
            weighted = len(rest) == 3 and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", rest[2]) is not None
            pair = _numbers(" ".join(rest[:2] if weighted else rest), place, (2,), "two vertices after e")
            if not all(1 <= v <= size for v in pair):
                raise UserError(f"{place}: an edge {pair[0]} {pair[1]}, expected vertices from 1 to {size}")
            edges.add(_edge(pair, 1, place))
            found += 1
        elif kind not in ("n", "d", "v", "x"):  # values and places of nodes, which colouring has no use for
            raise UserError(f"{place}: {line[:40]!r}, expected a line that begins with c, p or e")
    if told not in (found, len(edges), 2 * len(edges)):  # some count each edge once, some in both directions
        raise UserError(f"{header[0]}: {header[1][:40]!r}, expected as many lines e, but {found} follow: cut off?")
    return Graph(size, edges, 1)


def _numbers(line: str, place: str, count: tuple[int, ...] | None, expected: str) -> list[int]:
    """The numbers of a line, as many as one of `count`; what an edge weighs or carries in braces is no vertex."""
    bare = re.sub(r"\s*\{[^{}]*\}$|(?<=[0-9])\s+[0-9]*\.[0-9]+$", "", line.strip())
    words = re.split(r" *[,;\t] *| +|(?<=\d)-+(?=\d)", bare)
    if (count and len(words) not in count) or not all(re.fullmatch(r"[0-9]{1,9}", word) for word in words):
        raise UserError(f"{place}: {line[:40]!r}, expected {expected}")
    return [int(word) for word in words]


def _edge(numbers: list[int], first: int, place: str) -> tuple[int, int]:
    """Two vertices, numbered from `first`, as an edge."""
    if numbers[0] == numbers[1]:
        raise UserError(f"{place}: vertex {numbers[0]} joined to itself, expected two different vertices")
    return min(numbers) - first, max(numbers) - first
