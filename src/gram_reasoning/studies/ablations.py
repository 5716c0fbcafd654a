"""What does each part of GRAM bring: guidance, deep supervision, hierarchy, noise, mean, recursion?

Question: Table 3 of the paper, on 8x8 queens.

Protocol: as queens8, every row GRAM with the paper's mixers and one setting changed; with guidance off a row trains as
the deterministic systems do, by rollouts that do not see the target. 5 samples an input, as in the paper. Parameters
differ as the parts that are left out do. The same rows on Sudoku are `sudoku-ablations`.

Budget: 10 core-minutes a run, one seed.
"""

from collections.abc import Mapping
from typing import Any

from gram_reasoning.studies.definition import PAPER, Column, Judgement, Run, Study
from gram_reasoning.studies.systems import COMMON, SAMPLES

ONCE: dict[str, Any] = {
    "supervision_steps": 1,
    "transitions": 8,
    "low_steps": 1,
    "gradient_transitions": 8,
    "charged_transitions": "all",
}
PORTIONS: dict[str, Any] = {"kl_budget_first": 1.5, "kl_budget_open": 0.0}
UNGUIDED: dict[str, Any] = {"train.prior_share": 1.0, "train.prior_target": "drawn"}


def row(name: str, samples: int = 5, model: Mapping[str, Any] | None = None, **more: Any) -> Run:
    """One row: GRAM with these settings of its model."""
    settings = {"hidden_size": 64, "mlp_size": 64, "prefix_tokens": 32, **(model or {})}
    guided = settings.get("guidance", "gaussian") == "gaussian"
    changes = {f"model.{field}": value for field, value in settings.items()} | ({} if guided else UNGUIDED)
    return Run(
        system=name, recipe="nqueens7-pocket", block=PAPER, samples=samples, exempt=True, changes={**changes, **more}
    )


def one(name: str, recipe: str, **more: Any) -> Run:
    """One row of another model."""
    return Run(
        system=name, recipe=recipe, block=PAPER, samples=5, exempt=True, changes={"model.prefix_tokens": 32, **more}
    )


NONE = {"guidance": "none"}
ROWS = (
    row("GRAM"),
    row("guidance, supervision", model={"core": "flat"}),
    row("guidance, hierarchy", model={**ONCE, **PORTIONS}),
    row("guidance", model={"core": "flat", **ONCE, **PORTIONS}),
    row("supervision, hierarchy", 1, model=NONE),
    row("supervision", 1, model={**NONE, "core": "flat"}),
    row("hierarchy", 1, model={**NONE, **ONCE}),
    row("none of the three", 1, model={**NONE, "core": "flat", **ONCE}),
    row("noise alone", model={"guidance": "noise"}),
    row("mean alone", 1, model={"guidance": "mean"}),
    row("no recursion", model={"low_steps": 1, "transitions": 1}),
    one("TRM, tokens drawn", "nqueens7-trm-pocket", **{"evaluation.draw_tokens": True}),
    one("TRM, z0 drawn", "nqueens7-trm-pocket", **{"model.start": "drawn"}),
)
COLUMNS = (
    Column("accuracy", "samples.macro.single_sample_accuracy"),
    Column("choice of 5", "samples.macro.selected_accuracy"),
    Column("accuracy, paper", "samples.paper.single_sample_accuracy"),
    Column("coverage, paper", "samples.paper.coverage"),
)

STUDY = Study(
    name="ablations",
    words=str(__doc__),
    recipe="nqueens8",
    changes={**COMMON, "train.eval_samples": 1},
    core_minutes=10,
    runs=ROWS,
    judgements=(Judgement(name="samples", options=SAMPLES),),
    columns=COLUMNS,
)
