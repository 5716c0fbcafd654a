"""The folder of a run: begun anew, or gone on with if it is the same run."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from gram_reasoning import trees
from gram_reasoning.config import Recipe, from_json, to_json
from gram_reasoning.errors import UserError
from gram_reasoning.storage import checkpoint

MAY_CHANGE = ("steps", "log_every", "eval_every", "eval_inputs", "eval_samples", "checkpoint_every")
MAY_CHANGE += ("checkpoint_seconds", "tensorboard")
"""Settings of training that a resumed run may have otherwise than it began: how long, and what is watched and kept."""


def begun(run: Path) -> tuple[Recipe, str | None] | None:
    """The recipe that the run in a folder began with, and the digest of the weights it began from, if any."""
    config = run / "config.json"
    if not config.exists():
        return None
    values = checkpoint.load_json(config)
    start = values.pop("init_sha256", None) if isinstance(values, dict) else None
    return from_json(Recipe, values, str(config)), start


def open_run(
    run: Path, recipe: Recipe, resume: bool, stack: ExitStack, start: str | None = None
) -> tuple[Path | None, str]:
    """Start the folder and claim it as long as the stack lasts.

    Args:
        start: the digest of the weights to begin from; None for fresh ones, or for those that the run began from.

    Returns:
        The checkpoint to continue from, if there is one, and what a user should know of it.

    Raises:
        UserError: it holds another run, one that was not asked to be resumed, or something else.
    """
    config, before = run / "config.json", begun(run)
    if before is None:
        if run.exists() and (not run.is_dir() or any(p.name[0] != "." for p in run.iterdir())):
            raise UserError(f"{run}: exists and is no run of gram, expected a new or an empty folder for --out")
        _write(config, recipe, start)
        stack.enter_context(checkpoint.claimed(run))
        return None, f"{run}: no run yet, begins at step 0" if resume else ""
    if not resume:
        raise UserError(f"{run}: holds a run already; add --resume to go on with it, or name another --out")
    _refuse_another(before[0], recipe, config)
    if start not in (None, before[1]):
        raise UserError(f"{config}: the run began from other weights, expected the same --init, or none to resume it")
    stack.enter_context(checkpoint.claimed(run))
    checkpoint.sweep(run)
    existing = checkpoint.checkpoints(run)
    if not existing and start is None and before[1] is not None:
        raise UserError(f"{run}: has no checkpoint yet, expected the --init that it began from")
    done = checkpoint.step_of(existing[-1]) if existing else 0
    if recipe.train.steps < done:
        raise UserError(f"train.steps: got {recipe.train.steps}, expected at least {done}, which the run has done")
    if to_json(before[0]) != to_json(recipe):
        _write(config, recipe, before[1])
    if existing:
        return existing[-1], ""
    return None, f"{run}: no checkpoint to resume from, begins again at step 0"


def _write(config: Path, recipe: Recipe, start: str | None) -> None:
    checkpoint.save_json(config, to_json(recipe) | ({} if start is None else {"init_sha256": start}))


def _refuse_another(first: Recipe, asked: Recipe, config: Path) -> None:
    """UserError, with the first field that differs and may not, unless the run began as this one."""
    kept = {name: getattr(first.train, name) for name in MAY_CHANGE}
    asked = replace(asked, train=replace(asked.train, **kept), evaluation=first.evaluation, summary=first.summary)
    before, now = (trees.named(to_json(recipe)) for recipe in (first, asked))
    for name in now | before:
        if before.get(name) != now.get(name):
            raise UserError(
                f"{config}: the run has {name} {before.get(name)!r}, the options give {now.get(name)!r}; expected the "
                "same run to resume"
            )
