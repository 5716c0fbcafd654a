"""200 Sudoku puzzles with 36 givens, from our generator, as lines: python benchmarks/own_sudokus.py > FILE"""

from gram_reasoning.tasks.configs import SudokuConfig
from gram_reasoning.tasks.sudoku import Sudoku

task = Sudoku(
    SudokuConfig(
        train="generated",
        test="generated",
        train_puzzles=10,
        validation_puzzles=10,
        test_puzzles=200,
        min_blanks=45,
        max_blanks=45,
        split_seed=7,
    )
)
for tokens in task.split("test").inputs.tolist():
    print(task.compact(tokens))
