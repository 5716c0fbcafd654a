"""The studies as data: every run makes a recipe, systems of a block are of one size, what is unknown is left out."""

from dataclasses import replace
from pathlib import Path

import pytest

from gram_reasoning.build import build_model, build_task
from gram_reasoning.cli import main
from gram_reasoning.errors import UserError
from gram_reasoning.recipes import get_recipe
from gram_reasoning.studies import STUDIES, Run, Study, chosen, get_study, over_seeds, recipe_of
from gram_reasoning.studies.engine import plan
from gram_reasoning.studies.engine.table import told

GROUPS = [(name, group) for name, study in STUDIES.items() for group in study.groups(study.known())]
NEEDS_FILES = {"arc"}
OWN = """
from gram_reasoning.studies import Column, Run, Study
STUDY = Study(
    name="own", words="Mine.", recipe="nqueens7-pocket", core_minutes=0.01, rates=(),
    runs=(Run(system="Nobody", recipe="nobody-pocket"),), columns=(Column("a", "samples.macro.coverage"),),
)
"""


@pytest.mark.parametrize("name", STUDIES)
def test_no_run_of_the_package_is_left_out(name: str):
    assert list(STUDIES[name].unknown()) == []


@pytest.mark.parametrize(("name", "group"), GROUPS, ids=str)
def test_every_run_makes_a_recipe_on_the_task_of_its_study(name: str, group: str):
    study = STUDIES[name]
    runs = study.groups(study.known())[group]
    recipes = [plan.run_recipe(study, run, plan.Timing(0.1, 1, ""), 1e-3) for run in runs]
    kind = get_recipe(study.recipe).task.kind
    for run, recipe in zip(runs, recipes, strict=True):
        assert recipe.task.kind == kind
        assert recipe.train.steps == round(600 * study.core_minutes)
        assert (recipe.train.lr, recipe.train.seed) == (1e-3, run.seed)
        assert replace(recipe, train=replace(recipe.train, seed=0)) == recipes[0]
        assert recipe.train.precision != "auto", "a study says how it computes"


@pytest.mark.parametrize("name", STUDIES)
def test_all_systems_learn_from_the_same(name: str):
    study = STUDIES[name]
    recipes = [recipe_of(study, run, {}) for run in study.known()]
    for field in ("batch_size", "examples", "precision", "ema"):
        assert len({getattr(recipe.train, field) for recipe in recipes}) == 1, field
    tasks = {repr(recipe.task) for recipe in recipes}
    assert len(tasks) == (2 if name == "arc" else 1)  # with augmentations and without


@pytest.mark.parametrize("name", sorted(STUDIES.keys() - NEEDS_FILES))
def test_systems_of_a_block_are_of_one_size(name: str):
    study, timings = STUDIES[name], {}
    for group, runs in study.groups(study.known()).items():
        if not runs[0].exempt:
            recipe = recipe_of(study, runs[0], {})
            model = build_model(recipe, build_task(recipe))
            timings[group] = plan.Timing(0.1, sum(p.numel() for p in model.parameters()), "")
    assert plan.parameter_faults(study, timings) == []
    if len(timings) > 1:
        last = [*timings][-1]
        timings[last] = plan.Timing(0.1, 2 * timings[last].parameters, "")
        [fault] = plan.parameter_faults(study, timings)
        assert last in fault
        assert "expected within 20%" in fault


@pytest.mark.parametrize("name", STUDIES)
def test_every_column_is_of_a_judgement(name: str):
    study = STUDIES[name]
    judgements = {one.name for one in study.judgements}
    for column in study.columns:
        assert column.measure.partition(".")[0] in judgements
    for word in ("Question:", "Protocol:", "Budget:"):
        assert word in study.words


def test_a_recipe_that_is_unknown_is_left_out_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    options = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    for more in (["--dry-run"], []):
        assert main(["study", str(file), *options, *more]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "nobody-relations: skipped, there is no recipe 'nobody-pocket' yet" in lines
    assert "| Nobody | 0 of 1 | not run |" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize("text", ["STUDY = 3", "", None])
def test_a_file_without_a_study(text: str | None, tmp_path: Path):
    file = tmp_path / "none.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match="expected"):
        get_study(str(file))


def test_the_list(capsys: pytest.CaptureFixture[str]):
    assert main(["study"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(STUDIES)]] == [*STUDIES]
    assert main(["study", "nobody"]) == 2
    assert main(["study", "--dry-run"]) == 2


def test_changes_that_have_no_place():
    study = STUDIES["smoke"]
    run = study.runs[0]
    for place, message in (("model.depth", "model.depth"), ("train", "train"), ("train.steps", "steps")):
        with pytest.raises(UserError, match=message):
            recipe_of(study, replace(run, changes={place: "many"}), {})


def test_files_of_a_study_lie_where_the_user_says(monkeypatch: pytest.MonkeyPatch):
    study = STUDIES["digits"]
    monkeypatch.setenv("GRAM_DATA_DIR", "/elsewhere")
    assert recipe_of(study, study.runs[0], {}).task.source == "/elsewhere/mnist"  # type: ignore[attr-defined]


def test_only():
    study = STUDIES["queens8"]
    names = {run.name for run in chosen(study, ["TRM", "relations", "s0", "s2"])}
    assert names == {"trm-relations-s0", "trm-relations-s2"}
    assert {run.name for run in chosen(study, ["gram", "twin"])} == {
        "gram-relations-s0",
        "gram-paper-s0",
        "twin-relations-s0",
    }
    assert [run.name for run in chosen(study, ["ar-paper-s0"])] == ["ar-paper-s0"]
    assert chosen(study, []) == study.runs
    with pytest.raises(UserError, match="leaves no run"):
        chosen(study, ["twin", "s2"])


def test_core_minutes_that_are_not_equal():
    study = STUDIES["queens8"]
    assert plan.minute_faults(study, {"a": 15.0, "b": 15.7}, "spent") == []
    [line] = plan.minute_faults(study, {"a": 15.0, "b": 15.0, "c": 15.8}, "spent")
    assert line == "spent core-minutes: c 15.8, a 15, 5.3% apart, expected within 5%"


def test_two_runs_of_one_name():
    run = Run(system="GRAM", recipe="nqueens7-pocket")
    with pytest.raises(UserError, match="gram-relations-s0"):
        Study(name="x", words="x", recipe="nqueens7-pocket", core_minutes=1, runs=(run, run), columns=())
    kept = over_seeds(replace(run, keep=True), 3)
    assert [(one.seed, one.keep) for one in kept] == [(0, True), (1, False), (2, False)]


def test_how_values_are_told():
    assert told([], True) == "not run"
    assert told([0.5], True) == "50.0"
    assert told([1.0, 3.0], False) == "2.00 ± 12.71"
