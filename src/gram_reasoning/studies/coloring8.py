"""Graphs of 8 vertices in three colours: how many conflicts are left, and how many colourings are found?

Question: Table 2 of the paper, graph colouring with 8 vertices.

Protocol: as queens8, on 1,700 labelled graphs, each edge there with probability 0.55, 15% held out as labelled graphs
(the paper's reading; isomorphic ones may be in both parts). Answers stand at positions of their own. Conflicts are
summed over the test graphs: of the majority of 20 samples, and of single samples, their sum divided by 20.

By relations no vertex has a number, so a system cannot know which one the stored colourings name first: TRM and HRM
learn the nearest colouring with its colours exchanged in any way, as GRAM rolled out does; GRAM, MDLM and
AR, whose targets are stored ones, know the positions. Sets: 320 steps for all.

Budget: 5 core-minutes a run; by relations GRAM rolled out on three seeds, GRAM, TRM, HRM, AR and MDLM on one. What
does not fit: 20 minutes, the paper's mixers, Looped TF and Direct.
"""

from typing import Any

from gram_reasoning.studies.definition import RELATIONS, Changes, Column, Judgement, Study, over_seeds
from gram_reasoning.studies.systems import COMMON, SAMPLERS, SAMPLES, WHOLE, sets, system

NEAREST = {"prior_target": "nearest"}
COLORING: Changes = {"task.hold_out": "graphs", "task.answer_at": "appended", "task.any_names": True}
PORTIONS: dict[str, Any] = {
    "transitions": 1,
    "supervision_steps": 12,
    "kl_budget_first": 1.0,
    "kl_budget_open": 0.0,
    "kl_budget": 0.5,
}
"""Of GRAM's posterior, as in coloring6: little at a time."""
COLUMNS = (
    Column("conflicts of the majority", "samples.conflicts.selected_sum_over_inputs", percent=False),
    Column("conflicts of a sample", "samples.conflicts.sum_over_inputs", percent=False),
    Column("accuracy", "samples.macro.single_sample_accuracy"),
    Column("coverage, macro", "samples.macro.coverage"),
    Column("coverage, paper", "samples.paper.coverage"),
    Column("ceiling, paper", "samples.paper.independent_ceiling"),
    Column("sets: coverage, paper", "sets.paper.coverage"),
    Column("no-repeat ceiling, paper", "samples.paper.no_repeat_ceiling"),
)
JUDGEMENTS = (
    Judgement(name="samples", options=SAMPLES),
    Judgement(name="sets", options=sets(), systems=(*SAMPLERS, *WHOLE)),
)

STUDY = Study(
    name="coloring8",
    words=str(__doc__),
    recipe="coloring8",
    changes={**COMMON, **COLORING},
    core_minutes=5,
    runs=(
        *over_seeds(system("GRAM rolled out", RELATIONS, 64), 3),
        system("GRAM", RELATIONS, 32, positions="learned", **PORTIONS),
        system("TRM", RELATIONS, 272, train=NEAREST),
        system("HRM", RELATIONS, 64, train=NEAREST),
        system("AR", RELATIONS, 160),
        system("MDLM", RELATIONS, 128, positions="learned"),
    ),
    judgements=JUDGEMENTS,
    columns=COLUMNS,
)
