"""Graphs of 10 vertices in three colours: does what holds for 8 vertices hold where a graph has hundreds of colourings?

Question: Table 2 of the paper, graph colouring with 10 vertices.

Protocol: as coloring8, on 1,280 labelled graphs, each edge there with probability 0.42.

Budget: 5 core-minutes a run, by relations: GRAM rolled out on three seeds, MDLM on one. What does not fit: 25 minutes,
the other rivals, and the paper's mixers.
"""

from gram_reasoning.studies.coloring8 import COLORING, COLUMNS, JUDGEMENTS
from gram_reasoning.studies.definition import RELATIONS, Study, over_seeds
from gram_reasoning.studies.systems import COMMON, system

STUDY = Study(
    name="coloring10",
    words=str(__doc__),
    recipe="coloring10",
    changes={**COMMON, **COLORING},
    core_minutes=5,
    runs=(
        *over_seeds(system("GRAM rolled out", RELATIONS, 64), 3),
        system("MDLM", RELATIONS, 128, positions="learned"),
    ),
    judgements=JUDGEMENTS,
    columns=COLUMNS,
)
