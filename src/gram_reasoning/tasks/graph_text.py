"""Graphs from text: edge lists and DIMACS `.col` files."""

import re
from collections.abc import Iterable, Iterator

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.text import Block

Graph = tuple[int, set[tuple[int, int]]]
"""The number of vertices, and the edges (smaller vertex first, from 0)."""


def without_gaps(lines: Iterable[str]) -> Iterator[str]:
    """The same lines, with DIMACS comments, and empty lines in a DIMACS file, as comments."""
    dimacs = False
    for line in lines:
        first = line.split()[:1]
        dimacs = dimacs or first == ["p"]
        yield "#" if first == ["c"] or (dimacs and not first) else line


def read_graph(lines: Block, where: str) -> Graph:
    """The graph of one block; UserError with the line if there is none."""
    places = [(f"{where}, line {number}", line) for number, line in lines]
    if lines[0][1].split()[0] in ("p", "e"):
        return _read_dimacs(places)
    return _read_edges([(place, part) for place, line in places for part in line.split("/")])


def _read_edges(lines: list[tuple[str, str]]) -> Graph:
    """A graph whose every line is an edge or a vertex."""
    rows = [_numbers(line, place, (1, 2), "an edge (two vertices) or a vertex") for place, line in lines]
    named = [v for row in rows for v in row]
    base = 0 if 0 in named else 1
    edges = {_edge(row, base, place) for (place, _), row in zip(lines, rows, strict=True) if len(row) == 2}
    return max(named) + 1 - base, edges


def _read_dimacs(lines: list[tuple[str, str]]) -> Graph:
    """DIMACS .col: a line `p edge VERTICES EDGES`, then lines `e A B`, vertices from 1."""
    size, edges = -1, set()
    for place, line in lines:
        kind, *rest = line.split()
        if kind == "p":
            if size >= 0:
                raise UserError(f"{place}: a second line p, expected one graph a file")
            if len(rest) != 3 or rest[0] not in ("edge", "edges", "col"):
                raise UserError(f"{place}: {line[:40]!r}, expected `p edge VERTICES EDGES`")
            size, _ = _numbers(" ".join(rest[1:]), place, (2,), "two numbers after `p edge`")
        elif kind == "e":
            if size < 0:
                raise UserError(f"{place}: an edge first, expected the line `p edge VERTICES EDGES`")
            pair = _numbers(" ".join(rest), place, (2,), "two vertices after e")
            if not all(1 <= v <= size for v in pair):
                raise UserError(f"{place}: an edge {pair[0]} {pair[1]}, expected vertices from 1 to {size}")
            edges.add(_edge(pair, 1, place))
        elif kind != "n":  # node values, which colouring has no use for
            raise UserError(f"{place}: {line[:40]!r}, expected a line that begins with c, p or e")
    return size, edges


def _numbers(line: str, place: str, count: tuple[int, ...], expected: str) -> list[int]:
    words = re.split(r"[\s,]+|(?<=\d)-(?=\d)", line.strip())
    if len(words) not in count or not all(re.fullmatch(r"[0-9]{1,9}", word) for word in words):
        raise UserError(f"{place}: {line[:40]!r}, expected {expected}")
    return [int(word) for word in words]


def _edge(numbers: list[int], base: int, place: str) -> tuple[int, int]:
    """Two vertices, numbered from `base`, as an edge."""
    if numbers[0] == numbers[1]:
        raise UserError(f"{place}: vertex {numbers[0]} joined to itself, expected two different vertices")
    return min(numbers) - base, max(numbers) - base
