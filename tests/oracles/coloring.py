"""Graph colouring from the rules alone, sharing nothing with the package: graphs as edge sets, search over products.

Vertices are 0..n-1, colours 0..k-1; anything else is no colour.
"""

from itertools import product

Edges = set[tuple[int, int]]


def violations(colors: list[int], edges: Edges, k: int) -> int:
    """Vertices without a colour, and edges whose two ends have one colour."""
    without = sum(1 for c in colors if c not in range(k))
    within = sum(1 for a, b in edges if colors[a] == colors[b] and colors[a] in range(k))
    return without + within


def is_solution(colors: list[int], edges: Edges, k: int) -> bool:
    return violations(colors, edges, k) == 0


def classes(colors: list[int]) -> frozenset[frozenset[int]]:
    """The colouring without the names of its colours: which vertices go together."""
    return frozenset(frozenset(v for v, c in enumerate(colors) if c == color) for color in set(colors))


def colorings(vertices: int, edges: Edges, k: int) -> set[frozenset[frozenset[int]]]:
    """Every proper colouring, up to a permutation of the colours."""
    return {classes(list(c)) for c in product(range(k), repeat=vertices) if is_solution(list(c), edges, k)}
