"""Does the machinery of studies work? A toy that runs in a minute; its numbers say nothing of the systems.

Question: none. It is small enough to be run by anyone, and by the tests, all the way from nothing to the table.

Protocol: 5x5 queens with 2 to 4 of them taken away, GRAM and TRM on two seeds, each with the same CPU time of optimizer
steps on one thread; three learning rates a system on validation inputs, a third of the budget each; 8 samples an input.

Budget: 0.05 core-minutes a run, together about 0.4 core-minutes of training. So little time cannot be kept equal within
5%: the rule is 100% here.
"""

from typing import Any

from gram_reasoning.studies.definition import RELATIONS, Column, Judgement, Run, Study, over_seeds

SMALL: dict[str, Any] = {"model.hidden_size": 32, "model.num_heads": 2, "model.mixer_size": 32}
UNITS: dict[str, Any] = {"model.token_mixer": "units", "model.block_start": 0.1, "model.prefix_tokens": 7}

STUDY = Study(
    name="smoke",
    words=str(__doc__),
    recipe="nqueens7-pocket",
    changes={"task.size": 5, "train.batch_size": 32, "train.precision": "fp32", "train.eval_inputs": 16},
    core_minutes=0.05,
    screen_share=1 / 3,
    tolerance=1.0,
    runs=(
        *over_seeds(
            Run(
                system="GRAM",
                recipe="nqueens7-pocket",
                block=RELATIONS,
                samples=8,
                changes={**SMALL, **UNITS, "model.mlp_size": 32, "train.eval_samples": 4},
                keep=True,
            ),
            2,
        ),
        *over_seeds(
            Run(
                system="TRM",
                recipe="nqueens7-trm-pocket",
                block=RELATIONS,
                samples=1,
                changes={**SMALL, **UNITS, "model.mlp_size": 256},
            ),
            2,
        ),
    ),
    judgements=(Judgement(name="samples"),),
    columns=(
        Column("accuracy of a sample", "samples.macro.single_sample_accuracy"),
        Column("coverage, macro", "samples.macro.coverage"),
        Column("coverage, paper", "samples.paper.coverage"),
        Column("ceiling, paper", "samples.paper.independent_ceiling"),
    ),
)
