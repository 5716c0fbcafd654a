"""`gram train`: a recipe becomes a run, with every field of its configuration an option."""

import dataclasses
import json
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from gram_reasoning.cli.border import named, parse, progress, together
from gram_reasoning.config import EvalConfig, Recipe, TrainConfig, from_json
from gram_reasoning.errors import Failed, UserError, check
from gram_reasoning.models.configs import UNNAMED, ModelConfig
from gram_reasoning.tasks.configs import NQueensConfig, SourceConfig, TaskConfig


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Train a recipe; every field of its configuration is an option."""

    config: Path | None = None
    """In place of RECIPE: a JSON file with a recipe, such as the config.json of a run or of a model."""

    out: Path | None = None
    """Folder of the run; the default is runs/RECIPE."""
    resume: bool = False
    """Go on with the run in that folder; starts it if there is none."""
    init: str | None = None
    """Begin from the averaged weights of this run or model, whose shapes must be those of the recipe's model."""
    max_minutes: float | None = None
    """Save, judge and stop after so many minutes."""
    seed: int | None = None
    """Short for --train.seed."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = None
    """CPU threads; the default is torch's."""
    timeout: float = 600.0
    """Seconds after which one of several processes that does not answer counts as lost."""
    task: TaskConfig = field(default_factory=NQueensConfig)
    model: ModelConfig = field(default_factory=UNNAMED)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)


def read_recipe(path: Path) -> Recipe:
    """The recipe of a JSON file: its own fields, or those below `recipe`, as in a config.json.

    Name and summary may be left out: then the file gives the name.
    """
    if not path.is_file():
        raise UserError(f"--config {path}: no such file, expected a recipe in JSON")
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--config {path}: cannot be read as JSON ({error}), expected a recipe") from error
    value = value.get("recipe", value) if isinstance(value, dict) else value
    check(isinstance(value, dict), f"--config {path}", type(value).__name__, "an object with task, model and train")
    return from_json(Recipe, {"name": path.stem, "summary": f"From {path}.", **value}, f"--config {path}")


def beside(task: TaskConfig, arguments: list[str]) -> TaskConfig:
    """The task of a recipe beside the options: without what it says of generated puzzles if they name other sources."""
    if not isinstance(task, SourceConfig):
        return task
    sources = {"--task.train": task.train, "--task.test": task.test}
    for word, after in pairwise([*arguments, ""]):
        name, equals, value = word.partition("=")
        if name in sources:
            sources[name] = value if equals else after
    if "generated" in sources.values():
        return task
    unsaid = {f.name: f.default for f in dataclasses.fields(task) if f.name in task.of_generator}
    return dataclasses.replace(task, **unsaid)


def run(arguments: list[str]) -> int:
    example = "gram train nqueens7-pocket --out runs/seven --train.steps 2000"
    if arguments[:1] and arguments[0].partition("=")[0] == "--config":
        given = arguments[0].partition("=")[2]
        file, rest = (given, arguments[1:]) if given else ("".join(arguments[1:2]), arguments[2:])
        recipe = read_recipe(Path(file))
        name = recipe.name
    else:
        name, rest = named(
            arguments, "the name of a recipe, or --config FILE,", TrainOptions, "gram train RECIPE", example
        )
        from gram_reasoning.recipes import get_recipe

        recipe = get_recipe(name)
    default = TrainOptions(
        task=beside(recipe.task, rest), model=recipe.model, train=recipe.train, evaluation=recipe.evaluation
    )
    options = parse(TrainOptions, rest, f"gram train {name}", example, default)
    if options.config is not None:
        raise UserError(f"--config {options.config}: expected it in place of the recipe {name}, first")
    if options.max_minutes is not None and not options.max_minutes > 0:  # also refuses nan
        raise UserError(f"--max-minutes: got {options.max_minutes}, expected a number above 0")
    train = options.train if options.seed is None else dataclasses.replace(options.train, seed=options.seed)
    recipe = dataclasses.replace(
        recipe, task=options.task, model=options.model, train=train, evaluation=options.evaluation
    )

    from gram_reasoning.build import build_model, build_task, weights_for
    from gram_reasoning.training.compiler import check_compiles
    from gram_reasoning.training.trainer import Trainer

    run = options.out or Path("runs") / name
    with together(options.device, options.threads, options.timeout) as processes:
        check_compiles(processes.device, train.compile)
        task = build_task(recipe)
        model = build_model(recipe, task)
        init = None if options.init is None else weights_for(model, options.init)
        trainer = Trainer(recipe, task, model, run, processes, init=init)
        with progress(f"training {run}") as trainer.tick:
            how = trainer.fit(options.resume, options.max_minutes)
    if processes.first and not (run / "config.json").is_file():
        raise Failed(
            f"{run}: was removed while it trained; the model of step {trainer.step} lies in {run / 'model'}, "
            "but the run cannot go on with --resume"
        )
    print(f"{how} at step {trainer.step} of {recipe.train.steps} after {trainer.seconds:.0f} s of training; run: {run}")
    if how != "finished":
        print("go on with the same command and --resume")
    return 0 if trainer.stop_signal is None else 128 + trainer.stop_signal
