"""Studies: a question of the paper each, with its protocol and its runs as data; `gram study NAME` answers it.

A file a study; `definition.py` says what one is, `engine/` trains, judges and tells.
"""

from pathlib import Path

from gram_reasoning.errors import UserError
from gram_reasoning.studies.ablations import STUDY as ABLATIONS
from gram_reasoning.studies.arc import STUDY as ARC
from gram_reasoning.studies.boards import STUDY as BOARDS
from gram_reasoning.studies.coloring8 import STUDY as COLORING8
from gram_reasoning.studies.coloring10 import STUDY as COLORING10
from gram_reasoning.studies.definition import (
    PAPER,
    RELATIONS,
    Column,
    Judgement,
    Run,
    Study,
    chosen,
    load_study,
    over_seeds,
    recipe_of,
)
from gram_reasoning.studies.digits import STUDY as DIGITS
from gram_reasoning.studies.queens8 import STUDY as QUEENS8
from gram_reasoning.studies.queens10 import STUDY as QUEENS10
from gram_reasoning.studies.smoke import STUDY as SMOKE
from gram_reasoning.studies.sudoku import STUDY as SUDOKU
from gram_reasoning.studies.sudoku_ablations import STUDY as SUDOKU_ABLATIONS

__all__ = [
    "PAPER",
    "RELATIONS",
    "STUDIES",
    "Column",
    "Judgement",
    "Run",
    "Study",
    "chosen",
    "get_study",
    "over_seeds",
    "recipe_of",
]

_ALL = (QUEENS8, SUDOKU, ABLATIONS, SUDOKU_ABLATIONS, COLORING8, QUEENS10, COLORING10, BOARDS, DIGITS, ARC, SMOKE)
STUDIES: dict[str, Study] = {study.name: study for study in _ALL}


def get_study(name: str) -> Study:
    """The study of that name, or of a Python file of your own; UserError if there is none."""
    if name.endswith(".py"):
        return load_study(Path(name))
    if name not in STUDIES:
        raise UserError(f"unknown study {name!r}, expected one of {', '.join(STUDIES)}, or a Python file with a STUDY")
    return STUDIES[name]
