"""Full Sudoku boards from nothing: are they valid, and all different?

Question: the paper's generation of 9x9 boards, beside D3PM.

Protocol: 50,000 random boards to learn from; 10,000 generated and judged, of D3PM, whose answer takes many steps,
1,000: valid by the rules, distinct among the valid, not among the 50,000. Equal CPU time, rates and sizes as in
queens8; a rate is chosen by the share of valid ones among 256. "GRAM rolled out" has no solution to go to from nothing,
so GRAM is the paper's here, in small portions.

Budget: 60 core-minutes a run, one seed.
"""

from typing import Any

from gram_reasoning.studies.definition import RELATIONS, Column, Judgement, Run, Study
from gram_reasoning.studies.systems import BF16, COMMON, system

PORTIONS: dict[str, Any] = {
    "transitions": 1,
    "supervision_steps": 16,
    "kl_budget_first": 4.0,
    "kl_budget_open": 0.0,
    "kl_budget": 4.0,
}
MANY, FEW = ("GRAM",), ("D3PM uniform", "D3PM absorbing")

STUDY = Study(
    name="boards",
    words=str(__doc__),
    recipe="sudoku9-boards",
    changes={**COMMON, "train.batch_size": 48, "train.eval_inputs": 1},
    core_minutes=60,
    runs=(
        system("GRAM", RELATIONS, 64, **PORTIONS),
        Run(system="D3PM uniform", recipe="sudoku4-boards-d3pm-uniform-pocket"),
        Run(system="D3PM absorbing", recipe="sudoku4-boards-d3pm-absorbing-pocket"),
    ),
    judgements=(
        Judgement(name="boards", options=("--samples", "10000", "--steps", "64", *BF16), systems=MANY),
        Judgement(name="boards", options=("--samples", "1000", *BF16), systems=FEW),
    ),
    screen=Judgement(name="screen", options=("--samples", "256", *BF16)),
    choose="measures.validity",
    columns=(
        Column("valid", "boards.measures.validity"),
        Column("distinct of valid", "boards.measures.distinct_of_valid"),
        Column("new of valid", "boards.measures.new_of_valid"),
    ),
    curve="boards",
)
