"""Sudoku: is sampling 20 trajectories of 16 steps worth more than one trajectory of 320?

Question: Table 1 of the paper and its headline, GRAM with 20 samples at 16 steps against TRM at 320 steps.

Protocol: 9x9 puzzles of one band of the public set's rating, the guesses of an exact solver: 1,000 to train on with
symmetries, 200 for validation, at most 500 to judge. The band is chosen on validation so that TRM is right in 30 to
90%; `python benchmarks/sudoku_band.py data/sudoku-band FILES --high RATING` cuts it out (GRAM_DATA_DIR names `data`).
The rest is as in queens8. GRAM is rolled out: where an input has one solution there is nothing to choose. Numbers for
1, 5 and 20 samples at 16 steps and for 1 at up to 320; of 20 samples the choice by votes, by the value head (LPRM), and
by the gap of the decoder's logits (margin).

Budget: 30 core-minutes a run, by relations: GRAM and TRM on three seeds, HRM, Looped TF and Direct 8 on one. What does
not fit: the paper's mixers, AR and MDLM.
"""

from typing import Any

from gram_reasoning.studies.definition import RELATIONS, Column, Judgement, Study, over_seeds
from gram_reasoning.studies.systems import BF16, COMMON, SAMPLES, system

SOURCES = {
    "task.train": "{data}/sudoku-band/train.csv",
    "task.validation": "{data}/sudoku-band/validation.csv",
    "task.test": "{data}/sudoku-band/test.csv",
}
REFINE = ("GRAM rolled out", "TRM", "HRM")
"""Systems that may go on for more steps than in training."""
SIXTEEN: dict[str, Any] = {"supervision_steps": 16}

STUDY = Study(
    name="sudoku",
    words=str(__doc__),
    recipe="sudoku-extreme",
    changes={**COMMON, **SOURCES, "train.batch_size": 48},
    core_minutes=30,
    runs=(
        *over_seeds(system("GRAM rolled out", RELATIONS, 64, wishes=False, **SIXTEEN), 3),
        *over_seeds(system("TRM", RELATIONS, 336, **SIXTEEN), 3),
        system("HRM", RELATIONS, 64, **SIXTEEN),
        system("Looped TF", RELATIONS, 336),
        system("Direct 8", RELATIONS, 48, hidden_size=48, mixer_size=48),
    ),
    judgements=(
        Judgement(name="samples", options=SAMPLES),
        Judgement(name="lprm", options=("--samples", "20", "--select", "lprm", *BF16), systems=("GRAM rolled out",)),
        Judgement(name="five", options=("--samples", "5", *BF16), systems=("GRAM rolled out",)),
        Judgement(
            name="scores",
            options=("--answers", "20", "--budget", "320", "--choose", "model", "--explore", "none", *BF16),
            systems=("GRAM rolled out",),
        ),
        *(
            Judgement(name=f"steps{steps}", options=("--samples", "1", "--steps", str(steps), *BF16), systems=REFINE)
            for steps in (16, 40, 80, 160, 320)
        ),
    ),
    columns=(
        Column("a sample, 16 steps", "samples.macro.single_sample_accuracy"),
        Column("votes of 5", "five.macro.selected_accuracy"),
        Column("votes of 20", "samples.macro.selected_accuracy"),
        Column("LPRM of 20", "lprm.macro.selected_accuracy"),
        Column("margin of 320 steps", "scores.independent.by_score.margin.selected_accuracy"),
        Column("best of 20", "samples.macro.best_of_samples_accuracy"),
        *(Column(f"1 x {steps} steps", f"steps{steps}.macro.single_sample_accuracy") for steps in (40, 80, 160, 320)),
    ),
)
