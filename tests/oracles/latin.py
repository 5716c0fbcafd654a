"""Latin squares from the rules alone, sharing nothing with the package: sets of symbols, search over permutations.

Squares are lists of rows; 0 is blank, 1..n a symbol, and anything else is no square.
"""

from itertools import permutations, product

Square = list[list[int]]


def is_solution(square: Square, given: Square) -> bool:
    """Every row and every column holds every symbol, and what was given is kept."""
    symbols = set(range(1, len(square) + 1))
    kept = all(g in (0, cell) for row, old in zip(square, given, strict=True) for cell, g in zip(row, old, strict=True))
    lines = [*square, *map(list, zip(*square, strict=True))]
    return kept and all(set(line) == symbols for line in lines)


def completions(given: Square) -> list[Square]:
    """Every solution that keeps what is given."""
    every = [list(row) for row in permutations(range(1, len(given) + 1))]
    fitting = [[row for row in every if all(g in (0, c) for g, c in zip(old, row, strict=True))] for old in given]
    return [list(rows) for rows in product(*fitting) if is_solution(list(rows), given)]
