"""What a run's folder may hold before the run begins, and what may be asked of it later."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from gram_reasoning.config import Recipe
from gram_reasoning.errors import UserError
from gram_reasoning.training.run_folder import MAY_CHANGE, open_run
from helpers import debug_recipe


def opened(run: Path, recipe: Recipe, resume: bool = False) -> None:
    with ExitStack() as stack:
        open_run(run, recipe, resume, stack)


def test_hidden_files_alone_are_an_empty_folder(tmp_path: Path):
    (tmp_path / ".hidden").touch()
    opened(tmp_path, debug_recipe())
    assert (tmp_path / "config.json").is_file()


def test_other_files_are_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="exists and is no run of gram"):
        opened(tmp_path, debug_recipe())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("field", MAY_CHANGE)
def test_what_is_watched_may_change(field: str, tmp_path: Path):
    recipe = debug_recipe()
    opened(tmp_path, recipe)
    other = replace(recipe, train=replace(recipe.train, **{field: getattr(recipe.train, field) + 1}))
    opened(tmp_path, other, resume=True)


def test_what_is_learnt_may_not_change(tmp_path: Path):
    recipe = debug_recipe()
    opened(tmp_path, recipe)
    with pytest.raises(UserError, match=r"train\.lr"):
        opened(tmp_path, replace(recipe, train=replace(recipe.train, lr=0.5)), resume=True)
