"""What a study is: a question, a protocol and a budget in words, and its runs as data. Imports no torch."""

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from gram_reasoning.config import Recipe, from_json, to_json
from gram_reasoning.errors import UserError, check

Changes = Mapping[str, Any]
"""New values of fields of a recipe by their place, such as {"train.lr": 1e-3}; `{data}` in a text is GRAM_DATA_DIR."""

PAPER, RELATIONS = "paper mixers", "relations"
"""The two blocks of a table: tokens that see each other as in the paper, or by the relations that a task names."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One training: a recipe and what is changed in it, on the task of the study."""

    system: str
    """The row of the table, such as GRAM."""
    recipe: str
    """The recipe that the run derives from; a run whose recipe is unknown is skipped, and that is said."""
    changes: Changes = field(default_factory=dict)
    seed: int = 0
    block: str = RELATIONS
    samples: int = 20
    """Answers to each input; 1 for a model whose answers to an input are all the same."""
    exempt: bool = False
    """From the rule that parameters agree within 20%."""
    keep: bool = False
    """Keep its averaged weights beside the table, if they take at most 2 MB."""

    @property
    def group(self) -> str:
        """What runs that differ in the seed alone have in common; the name of their folder."""
        return f"{_slug(self.system)}-{_slug(self.block.split()[0])}"

    @property
    def name(self) -> str:
        return f"{self.group}-s{self.seed}"


def over_seeds(run: Run, seeds: int) -> tuple[Run, ...]:
    """The run with the seeds 0, 1, ...; the weights are kept of seed 0 alone."""
    return tuple(replace(run, seed=seed, keep=run.keep and seed == 0) for seed in range(seeds))


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One way to judge a trained model: a command of `gram` that writes what it finds to `--json`."""

    name: str
    options: tuple[str, ...] = ("--samples", "{samples}")
    """Of the command; `{samples}` is the run's, `{few}` at most 4 of them, `{runs}` the folder of the study."""
    command: str = "eval"
    systems: tuple[str, ...] = ()
    """Of whom; of all, if none is named."""

    def of(self, run: Run) -> bool:
        return not self.systems or run.system in self.systems


@dataclass(frozen=True)
class Column:
    """A column of the table: a measure, named as `judgement.path.in.its.json`."""

    heading: str
    measure: str
    percent: bool = True


@dataclass(frozen=True, kw_only=True)
class Study:
    """See the fields; the docstring of its module is what it says in words."""

    name: str
    words: str
    """Question, protocol and budget."""
    recipe: str
    """The recipe whose task all systems are trained and judged on."""
    runs: tuple[Run, ...]
    core_minutes: float
    """CPU time of the optimizer steps of a run, on one thread, the same for all."""
    judgements: tuple[Judgement, ...] = (Judgement(name="samples"),)
    columns: tuple[Column, ...]
    changes: Changes = field(default_factory=dict)
    """Of every run, the task among them; a run's own come after."""
    rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    """Learning rates of the screen; with less than two there is none, and the recipe's or the one is taken."""
    screen_share: float = 0.1
    """Of the budget, for each rate."""
    screen: Judgement = Judgement(name="screen", options=("--samples", "{few}", "--limit", "200"))
    """How a rate is judged, on the validation split."""
    choose: str = "macro.single_sample_accuracy"
    """The number of that judgement that is to be large."""
    setup: tuple[tuple[str, ...], ...] = ()
    """Commands of `gram` to be run once before, each with its `--out` below `{runs}`."""
    tolerance: float = 0.05
    """How far apart the core-minutes of two runs may lie."""
    curve: str = "samples"
    """The judgement whose coverage by samples and accuracy by solutions are drawn."""

    def __post_init__(self) -> None:
        names = [run.name for run in self.runs]
        twice = next((name for name in names if names.count(name) > 1), None)
        check(twice is None, f"study {self.name}", twice, "runs that differ in system, block or seed")
        check(self.core_minutes > 0, f"study {self.name}: core_minutes", self.core_minutes, "above 0")

    @property
    def title(self) -> str:
        return self.words.strip().splitlines()[0]

    def groups(self, runs: Sequence[Run] | None = None) -> dict[str, list[Run]]:
        """Runs that differ in the seed alone, by their folder."""
        found: dict[str, list[Run]] = {}
        for run in self.runs if runs is None else runs:
            found.setdefault(run.group, []).append(run)
        return found

    def known(self) -> tuple[Run, ...]:
        """The runs whose recipe exists today."""
        from gram_reasoning.recipes import RECIPES

        return tuple(run for run in self.runs if run.recipe in RECIPES)

    def unknown(self) -> Iterator[str]:
        """A line for each run that is left out."""
        for group, runs in self.groups(tuple(run for run in self.runs if run not in self.known())).items():
            yield f"{group}: skipped, there is no recipe {runs[0].recipe!r} yet"


def recipe_of(study: Study, run: Run, more: Changes) -> Recipe:
    """The recipe that a run trains: its own, on the task of the study, with all that is changed.

    Args:
        more: the last changes, such as the number of steps.

    Raises:
        UserError: the first change that the recipe has no place for.
    """
    from gram_reasoning.recipes import get_recipe

    base = replace(get_recipe(run.recipe), task=get_recipe(study.recipe).task)
    values = to_json(base)
    where = f"study {study.name}, {run.name}"
    for place, value in {**study.changes, **run.changes, "train.seed": run.seed, **more}.items():
        part, _, name = place.partition(".")
        check(name in values.get(part, {}), f"{where}: change", place, f"a field of recipe {run.recipe}")
        data = os.environ.get("GRAM_DATA_DIR", "data")
        values[part][name] = value.replace("{data}", data) if isinstance(value, str) else value
    values |= {"name": f"{study.name}-{run.group}", "summary": f"{run.system}, {run.block}: {study.title}"}
    return from_json(Recipe, values, where)


def chosen(study: Study, only: Sequence[str]) -> tuple[Run, ...]:
    """The runs that `--only` names: by system, block, seed (s0) or their own name; kinds are joined by "and"."""
    kinds: list[dict[str, str]] = [{}, {}, {}, {}]
    for run in study.runs:
        words = (_slug(run.system), _slug(run.block.split()[0]), f"s{run.seed}", run.name)
        for kind, word in zip(kinds, words, strict=True):
            kind[run.name] = word
    for word in only:
        if not any(_slug(word) in kind.values() for kind in kinds):
            known = ", ".join(sorted({word for kind in kinds[:3] for word in kind.values()}))
            raise UserError(f"--only: got {word!r}, expected some of {known}, or the name of a run")
    runs = study.runs
    for kind in kinds:
        if wanted := {_slug(word) for word in only} & set(kind.values()):
            runs = tuple(run for run in runs if kind[run.name] in wanted)
    if not runs:
        raise UserError(f"--only: {' '.join(only)} leaves no run, expected another choice")
    return runs


def load_study(path: Path) -> Study:
    """The study of a Python file of your own, called `STUDY` there."""
    if not path.is_file():
        raise UserError(f"{path}: no such file, expected a Python file with a STUDY")
    name = f"gram_study_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise UserError(f"{path}: no STUDY, expected one (gram_reasoning.studies.Study)")
    return study


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower()).strip("-")
