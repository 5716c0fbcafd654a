"""Queens on 8x8: does GRAM find all solutions where deterministic systems find one, and how near is it to AR and MDLM?

Question: Table 2 of the paper, N-Queens 8x8: accuracy and coverage with 20 samples, by system.

Protocol: 5 to 7 queens taken away, 15% of the unique inputs held out (split_seed 0), all of them judged. Every run has
the same CPU time of optimizer steps on one thread, from a timing of 50 steps on the machine that runs it; three
learning rates a system, chosen on validation inputs, each on a tenth of that time. Parameters agree within 20%. Pocket
sizes (width 64), not the paper's. "GRAM" is the paper's objective within our bounds; "GRAM rolled out" has noise that
is not learnt, and wishes: it learns the solution that a part of its first noise favours. 20 samples an input, of
deterministic systems one; accuracy is that of a sample, over unique inputs; the paper's protocol stands beside it.
Sets: 20 answers for at most 320 steps; of AR and MDLM, whose steps do less and answer at the last, for at most 1280.

Budget: 15 core-minutes a run. By relations GRAM rolled out, TRM, AR and MDLM on three seeds, the others on one; with
the paper's mixers GRAM, TRM, AR and MDLM on one. What does not fit: more seeds of the latter, Direct 32.
"""

from gram_reasoning.studies.definition import PAPER, RELATIONS, Column, Judgement, Study, over_seeds
from gram_reasoning.studies.systems import COMMON, SAMPLERS, SAMPLES, WHOLE, sets, system

STUDY = Study(
    name="queens8",
    words=str(__doc__),
    recipe="nqueens8",
    changes=COMMON,
    core_minutes=15,
    runs=(
        *over_seeds(system("GRAM rolled out", RELATIONS, 64), 3),
        system("GRAM", RELATIONS, 32),
        *over_seeds(system("TRM", RELATIONS, 400), 3),
        *over_seeds(system("AR", RELATIONS, 96), 3),
        *over_seeds(system("MDLM", RELATIONS, 176), 3),
        system("twin", RELATIONS, 64),
        system("Looped TF", RELATIONS, 400),
        system("HRM", RELATIONS, 64),
        system("Direct 8", RELATIONS, 48, hidden_size=48, mixer_size=48),
        system("Looped Flows", RELATIONS, 400),
        system("GRAM", PAPER, 64, prefix=32),
        system("TRM", PAPER, 400, prefix=32),
        system("AR", PAPER, 320),
        system("MDLM", PAPER, 208, prefix=32),
    ),
    judgements=(
        Judgement(name="samples", options=SAMPLES),
        Judgement(name="sets", options=sets(), systems=SAMPLERS),
        Judgement(name="sets", options=sets(1280), systems=WHOLE),
    ),
    columns=(
        Column("accuracy", "samples.macro.single_sample_accuracy"),
        Column("coverage, macro", "samples.macro.coverage"),
        Column("ceiling, macro", "samples.macro.independent_ceiling"),
        Column("accuracy, paper", "samples.paper.single_sample_accuracy"),
        Column("coverage, paper", "samples.paper.coverage"),
        Column("ceiling, paper", "samples.paper.independent_ceiling"),
        Column("sets: coverage, paper", "sets.paper.coverage"),
        Column("no-repeat ceiling, paper", "samples.paper.no_repeat_ceiling"),
    ),
)
