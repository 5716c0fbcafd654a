"""Graphs of 8 vertices in three colours: how many conflicts are left, and how many colourings are found?

Question: Table 2 of the paper, graph colouring with 8 vertices.

Protocol: as queens8, on 1,700 labelled graphs, each edge there with probability 0.55, 15% held out as labelled graphs
(the paper's reading; isomorphic ones may be in both parts). Answers stand at positions of their own. Conflicts are
summed over the test graphs: of the majority of 20 samples, and of single samples, their sum divided by 20.

Budget: 20 core-minutes a run; by relations GRAM rolled out on three seeds, GRAM, TRM, HRM, AR and MDLM on one. What
does not fit: the paper's mixers, Looped TF and Direct.
"""

from gram_reasoning.studies.definition import RELATIONS, Column, Judgement, Study, over_seeds
from gram_reasoning.studies.systems import COMMON, SAMPLERS, SAMPLES, SETS, system

PORTIONS = {"transitions": 1, "supervision_steps": 12, "kl_budget_first": 1.0, "kl_budget_open": 0.0, "kl_budget": 0.5}
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
    Judgement(name="sets", options=SETS, systems=SAMPLERS),
)

STUDY = Study(
    name="coloring8",
    words=str(__doc__),
    recipe="coloring8",
    changes={**COMMON, "task.hold_out": "graphs", "task.answer_at": "appended"},
    core_minutes=20,
    runs=(
        *over_seeds(system("GRAM rolled out", RELATIONS, 64), 3),
        system("GRAM", RELATIONS, 32, **PORTIONS),
        system("TRM", RELATIONS, 272),
        system("HRM", RELATIONS, 64),
        system("AR", RELATIONS, 160),
        system("MDLM", RELATIONS, 128),
    ),
    judgements=JUDGEMENTS,
    columns=COLUMNS,
)
