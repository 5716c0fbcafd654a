"""The folder of a run: begun anew, or gone on with if it is the same run."""

from contextlib import ExitStack
from pathlib import Path

from gram_reasoning import trees
from gram_reasoning.config import Recipe, from_json, to_json
from gram_reasoning.errors import UserError
from gram_reasoning.storage import checkpoint


def open_run(run: Path, recipe: Recipe, resume: bool, stack: ExitStack) -> Path | None:
    """Start the folder and claim it as long as the stack lasts; returns the checkpoint to continue from.

    Raises:
        UserError: it holds another run, one that was not asked to be resumed, or something else.
    """
    config = run / "config.json"
    if config.exists():
        if not resume:
            raise UserError(f"{run}: holds a run already; add --resume to go on with it, or name another --out")
        _refuse_another(from_json(Recipe, checkpoint.load_json(config), str(config)), recipe, config)
        stack.enter_context(checkpoint.claimed(run))
        checkpoint.sweep(run)
        existing = checkpoint.checkpoints(run)
        return existing[-1] if existing else None
    if run.exists() and (not run.is_dir() or any(p.name[0] != "." for p in run.iterdir())):
        raise UserError(f"{run}: exists and is no run of gram, expected a new or an empty folder for --out")
    checkpoint.save_json(config, to_json(recipe))
    stack.enter_context(checkpoint.claimed(run))
    return None


def _refuse_another(begun: Recipe, asked: Recipe, config: Path) -> None:
    """UserError, with the first field that differs, unless the run began as this one."""
    before, now = (trees.named(to_json(recipe)) for recipe in (begun, asked))
    for name in now | before:
        if before.get(name) != now.get(name):
            raise UserError(
                f"{config}: the run has {name} {before.get(name)!r}, the options give {now.get(name)!r}; expected the "
                "same run to resume"
            )
