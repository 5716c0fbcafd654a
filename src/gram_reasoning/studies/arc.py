"""Twenty small tasks of ARC-AGI-1: is any test pair solved at this size, and do augmentations help?

Question: pass@2 on the test pairs of tasks whose demonstrations were learnt; reported even if it is 0.

Protocol: 20 tasks of the official training set, all of whose grids fit on a canvas of 10, taken by a hash of their
names; their demonstrations are learnt, their test pairs judge. The folder `data/arc/training` has a file a task
(GRAM_DATA_DIR names `data`). Equal CPU time; a rate is chosen on the demonstrations that are learnt, for there is no
validation set. With 16 augmentations of each task, whose answers vote, and without.

Budget: 10 core-minutes a run, one seed.
"""

from typing import Any

from gram_reasoning.studies.definition import PAPER, Changes, Column, Judgement, Run, Study
from gram_reasoning.studies.systems import COMMON, SAMPLES

TASKS = (
    "007bbfb7,0d3d703e,2281f1f4,28bf18c6,2bcee788,60b61512,63613498,6430c8c4,67a3c6ac,67e8384a,694f12f3,8d510a79,"
    "cbded52d,ce4f8723,d23f8c26,d631b094,dae9d2b5,dc1df850,e40b9e2f,f76d97a5"
)
LEARNT: Changes = {
    "task.training": "none",
    "task.evaluation": "{data}/arc/training",
    "task.concept": "none",
    "task.only": TASKS,
    "task.canvas": 10,
    "task.monitor": "demonstrations",
    "train.halt_target": "equal",
}
PREFIX = {"model.prefix_tokens": 28}  # 28 + 100 = 128 tokens


def both(name: str, recipe: str, samples: int, **model: Any) -> tuple[Run, Run]:
    """A system with augmentations and without."""
    changes = PREFIX | {f"model.{field}": value for field, value in model.items()}
    views = {True: 16, False: 1}
    runs = [
        Run(
            system=f"{name}{'' if augmented else ', no augmentation'}",
            recipe=recipe,
            block=PAPER,
            samples=samples,
            changes={
                **changes,
                "task.augmentations": views[augmented],
                "task.translate": augmented,
                "evaluation.views": views[augmented],
                "train.eval_samples": samples,
            },
        )
        for augmented in (True, False)
    ]
    return runs[0], runs[1]


STUDY = Study(
    name="arc",
    words=str(__doc__),
    recipe="arc-pocket",
    changes={**COMMON, **LEARNT, "train.eval_inputs": 30},
    core_minutes=10,
    runs=(
        *both("GRAM", "arc-pocket", 4),
        *both("twin", "arc-pocket", 1, guidance="none"),
        *both("TRM", "nqueens7-trm-pocket", 1),
    ),
    judgements=(Judgement(name="tests", options=SAMPLES),),
    columns=(
        Column("pass@1", "tests.pass.pass@1"),
        Column("pass@2", "tests.pass.pass@2"),
        Column("accuracy of a sample", "tests.macro.single_sample_accuracy"),
    ),
    curve="tests",
)
