"""Sudoku puzzles that no training has seen, as lines: 200 of 9x9 with 36 givens, or of 4x4 with several solutions.

python benchmarks/own_sudokus.py > 36-givens.txt
python benchmarks/own_sudokus.py --several 300 > several4.txt
"""

import argparse
import random

from gram_reasoning.tasks.configs import SudokuConfig
from gram_reasoning.tasks.sudoku import Sudoku

MOST = 20
"""Solutions of a 4x4 puzzle."""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--several", type=int, help="so many puzzles of 4x4 with 2 to 20 solutions each, all different")
options = parser.parse_args()

source = {"train": "generated", "test": "generated", "train_puzzles": 10, "validation_puzzles": 10, "split_seed": 7}
if options.several is None:
    task = Sudoku(SudokuConfig(**source, test_puzzles=200, min_blanks=45, max_blanks=45))
    for tokens in task.split("test").inputs.tolist():
        print(task.compact(tokens))
else:
    task = Sudoku(SudokuConfig(**source, size=4, test_puzzles=10))
    board = [3, 4, 5, 2, 5, 2, 3, 4, 4, 5, 2, 3, 2, 3, 4, 5]  # tokens: 1 is blank, 2 to 5 are the digits
    draw = random.Random(7)
    seen = set()
    while len(seen) < options.several:
        digits = draw.sample(range(2, 6), 4)
        rows = [r for band in draw.sample([(0, 1), (2, 3)], 2) for r in draw.sample(band, 2)]
        columns = [c for stack in draw.sample([(0, 1), (2, 3)], 2) for c in draw.sample(stack, 2)]
        cells = [digits[board[4 * r + c] - 2] for r in rows for c in columns]
        for cell in draw.sample(range(16), draw.randint(8, 12)):
            cells[cell] = 1
        solutions = task.count_solutions(cells)
        if tuple(cells) not in seen and solutions is not None and 2 <= solutions <= MOST:
            seen.add(tuple(cells))
            print(task.compact(cells))
