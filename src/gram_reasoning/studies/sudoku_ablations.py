"""What does each part of GRAM bring where a puzzle has one solution?

Question: Table 3 of the paper, on Sudoku: the six rows that matter.

Protocol: as ablations, on the puzzles of the study `sudoku`.

Budget: 10 core-minutes a run, one seed.
"""

from dataclasses import replace

from gram_reasoning.studies.ablations import ROWS
from gram_reasoning.studies.definition import Column, Judgement, Study
from gram_reasoning.studies.sudoku import SOURCES
from gram_reasoning.studies.systems import COMMON, SAMPLES

SIX = ("GRAM", "guidance, supervision", "guidance, hierarchy", "supervision, hierarchy", "noise alone", "mean alone")

STUDY = Study(
    name="sudoku-ablations",
    words=str(__doc__),
    recipe="sudoku-extreme",
    changes={**COMMON, **SOURCES, "train.batch_size": 48, "train.eval_samples": 1},
    core_minutes=10,
    runs=tuple(replace(run, changes={**run.changes, "model.prefix_tokens": 15}) for run in ROWS if run.system in SIX),
    judgements=(Judgement(name="samples", options=SAMPLES),),
    columns=(
        Column("accuracy", "samples.macro.single_sample_accuracy"),
        Column("choice of 5", "samples.macro.selected_accuracy"),
    ),
)
