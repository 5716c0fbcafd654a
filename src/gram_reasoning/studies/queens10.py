"""Queens on 10x10: does what holds on 8x8 hold where an input has up to a hundred solutions?

Question: Table 2 of the paper, N-Queens 10x10.

Protocol: as queens8, 7 to 9 queens taken away. Of the held-out inputs all with one queen given are judged and 485 of
the others, evenly from all of them; each number is weighted back to the whole split.

Budget: 30 core-minutes a run, by relations: GRAM rolled out on three seeds, TRM, AR and MDLM on one. What does not fit:
the paper's mixers, HRM, Looped TF and Direct.
"""

from gram_reasoning.studies.definition import RELATIONS, Judgement, Study, over_seeds
from gram_reasoning.studies.queens8 import STUDY as QUEENS8
from gram_reasoning.studies.systems import COMMON, SAMPLERS, SAMPLES, WHOLE, sets, system

STUDY = Study(
    name="queens10",
    words=str(__doc__),
    recipe="nqueens10",
    changes=COMMON,
    core_minutes=30,
    runs=(
        *over_seeds(system("GRAM rolled out", RELATIONS, 64), 3),
        system("TRM", RELATIONS, 384),
        system("AR", RELATIONS, 64, num_heads=2),
        system("MDLM", RELATIONS, 160),
    ),
    judgements=(
        Judgement(name="samples", options=(*SAMPLES, "--thin", "485")),
        Judgement(name="sets", options=(*sets(), "--thin", "485"), systems=SAMPLERS),
        Judgement(name="sets", options=(*sets(2000), "--thin", "485"), systems=WHOLE),
    ),
    columns=QUEENS8.columns,
)
