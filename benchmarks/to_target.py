"""How many steps and CPU seconds a recipe takes until its samples are right: the start of a block, and mixers.

    python benchmarks/to_target.py nqueens7-pocket --change model.token_mixer=units model.block_start=0.1 --minutes 4

Constant learning rate after the warm-up. Every 50 steps the averaged weights are judged by full prior rollouts, on at
most 200 validation inputs with 2 samples each; the run ends when they are right in `--target` percent twice running, or
after so many minutes of CPU. Time spent judging does not count. A line of JSON for each judgement, then a summary.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from gram_reasoning.build import build_model, build_task
from gram_reasoning.config import Recipe
from gram_reasoning.evaluation.evaluator import evaluate
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.nn.precision import chosen
from gram_reasoning.recipes import get_recipe
from gram_reasoning.training.trainer import Trainer


def changed(recipe: Recipe, changes: list[str]) -> Recipe:
    """The recipe with each `part.field=value`; values as JSON, else as text."""
    for change in changes:
        place, text = change.split("=", 1)
        part, field = place.split(".")
        try:
            value: Any = json.loads(text)
        except json.JSONDecodeError:
            value = text
        recipe = dataclasses.replace(recipe, **{part: dataclasses.replace(getattr(recipe, part), **{field: value})})
    return recipe


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--change", nargs="*", default=[], metavar="PART.FIELD=VALUE")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--target", type=float, default=95.0)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--inputs", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    torch.set_num_threads(1)
    recipe = changed(get_recipe(options.recipe), options.change)
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, lr_schedule="constant"))
    task = build_task(recipe)
    trainer = Trainer(recipe, task, build_model(recipe, task), Path(os.devnull))
    validation = task.split("validation")
    validation = validation.subset(torch.arange(min(len(validation), options.inputs)))
    precision = chosen(recipe.train.precision, trainer.device)
    sampler = SamplerConfig(samples=options.samples, steps=trainer.model.supervision_steps, precision=precision)
    lines: list[dict[str, Any]] = []
    means: dict[str, torch.Tensor] = {}
    seconds, reached = 0.0, 0
    while seconds < 60 * options.minutes and reached < 2:
        began = time.process_time()
        for _ in range(options.every - 1):
            trainer.train_step()
        means = trainer.train_step()
        seconds += time.process_time() - began
        trainer.finite.check(trainer.run)
        trainer.model.eval()
        with trainer.average.swapped():
            found = evaluate(trainer.model, task, validation, sampler)
        right = 100 * found["macro"]["single_sample_accuracy"]
        reached = reached + 1 if right >= options.target else 0
        told = {name: round(float(mean), 4) for name, mean in means.items()}
        coverage = found["macro"].get("coverage")
        lines.append({"step": trainer.step, "cpu_seconds": round(seconds, 1), "right": round(right, 2)})
        lines[-1] |= told | {"coverage": None if coverage is None else round(100 * coverage, 2)}
        print(json.dumps(lines[-1]), flush=True)
    summary = {
        "recipe": recipe.name,
        "changes": options.change,
        "reached": reached == 2,
        "steps": trainer.step,
        "cpu_seconds": round(seconds, 1),
        "right": lines[-1]["right"],
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "torch": torch.__version__,
    }
    print(json.dumps(summary), flush=True)
    if options.json:
        options.json.write_text(json.dumps({**summary, "curve": lines}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
