"""The card of a model: a README for the Hugging Face Hub, made of its config and of what `gram eval --json` wrote.

Nothing in it is typed by hand, so that it cannot drift from the numbers.
"""

import json
from collections.abc import Sequence
from typing import Any

from torch import nn

PAPER = "https://arxiv.org/abs/2605.19376"
COLUMNS = {"macro": "unique inputs (macro)", "paper": "paper protocol", "macro_several": "inputs with 2+ solutions"}
ROWS = {
    "single_sample_accuracy": "accuracy of a sample",
    "selected_accuracy": "accuracy of the choice ({select})",
    "best_of_samples_accuracy": "accuracy of the best of {samples}",
    "coverage": "coverage with {samples} samples",
    "independent_ceiling": "ceiling of {samples} independent samples",
    "no_repeat_ceiling": "ceiling of {samples} samples without repeats",
}

GRAM = f"""\
A GRAM model (Generative Recursive Reasoning, [arXiv 2605.19376]({PAPER})): a small network refines a latent state many
times, and every high-level step is a sample, so that several runs on one input find several of its solutions."""
RIVAL = f"""\
A model of kind `{{kind}}`, trained and judged as a GRAM model is (Generative Recursive Reasoning,
[arXiv 2605.19376]({PAPER})), to be set beside one."""

OF_PUZZLES = """\
Every answer is checked against the rules of the puzzle before it counts as a solution.

## Numbers

Full rollouts from the initial state under the prior, on inputs held out of training, in %. In the paper protocol an
input with n solutions counts n times, and coverage is the sum of found over the sum of existing solutions.
"""
OF_IMAGES = """\
## Numbers

Full rollouts from the initial state under the prior: inception score, and Frechet distance to the training images.
"""
LIMITS_OF_PUZZLES = """\
An exact solver is faster and always right where one exists: use this model to study learnt, sampled reasoning. It knows
inputs of its task alone, and of the sizes above. Answers that break a rule occur; do not use them without the check."""
LIMITS_OF_IMAGES = """\
It draws images of its task and size alone, some of which nobody can read; no rule checks them."""

DATA = {
    "sudoku-hub": "Sudoku-Extreme (sapientinc/sudoku-extreme on the Hugging Face Hub, whose licence was not checked)",
    "maze-hub": "Maze-Hard (sapientinc/maze-30x30-hard-1k on the Hugging Face Hub, whose licence was not checked)",
    "arc": "ARC-AGI (Apache-2.0)",
    "mnist": "MNIST by LeCun, Cortes and Burges (commonly given as CC BY-SA 3.0, not checked)",
}
"""Whose data a task learns from, by its kind and, where it has one, its source; all others make their own."""


def _data(task: dict[str, Any]) -> str:
    source = f"{task['kind']}-{task['train']}" if task.get("train") == "hub" else task["kind"]
    return DATA.get(source, "made by this package (Apache-2.0)")


def model_card(config: dict[str, Any], model: nn.Module, evaluations: Sequence[dict[str, Any]] = ()) -> str:
    """The card as text.

    Args:
        config: the model's config.json.
        evaluations: what `gram eval --json` wrote for this model, one object each.
    """
    recipe = config["recipe"]
    name, task, kind = recipe["name"], recipe["task"], recipe["model"].get("kind", "gram")
    settings = ", ".join(f"{key} {value}" for key, value in task.items() if key != "kind" and value is not None)
    parameters = sum(p.numel() for p in model.parameters())
    steps = config.get("step", recipe["train"]["steps"])
    images = [evaluation for evaluation in evaluations if "sets" in evaluation]
    by_size = [evaluation for evaluation in evaluations if "size" in evaluation]
    plain = [evaluation for evaluation in evaluations if "size" not in evaluation and "sets" not in evaluation]
    tables = [_table(evaluation) for evaluation in plain]
    if by_size:
        tables.append(_sizes_table(by_size, task))
    tables += [_images_table(evaluation) for evaluation in images]
    tables = tables or ["None have been stored with this model."]
    note = f"- Note: {config['note']}\n" if "note" in config else ""
    begun = ", from the weights of another run" if "init_sha256" in config else ""
    return f"""{_metadata(name, task["kind"], plain)}
# {name}

{GRAM if kind == "gram" else RIVAL.format(kind=kind)}

{recipe["summary"]}

- Task: {task["kind"]} ({settings}).
- Data: {_data(task)}.
- Model: {parameters:,} parameters, averaged over training; {_sizes(recipe["model"])}.
- Training: `gram train {name}`, seed {recipe["train"]["seed"]}, {steps:,} optimizer steps of \
{recipe["train"]["batch_size"]} slots{begun}.
{note}- Files: `config.json` and `model.safetensors`; nothing in them is run.

## Use

With the package gram-reasoning installed:

```python
import gram_reasoning

solver = gram_reasoning.load("OWNER/NAME")  # this repository, or a folder that holds its files
```

{OF_IMAGES if images else OF_PUZZLES}
{chr(10).join(tables)}

## Limits

{LIMITS_OF_IMAGES if images else LIMITS_OF_PUZZLES}
"""


def _sizes(model: dict[str, Any]) -> str:
    if model.get("kind", "gram") == "gram":
        width, transitions, steps = (model[name] for name in ("hidden_size", "transitions", "supervision_steps"))
        return f"width {width}, {transitions} transitions in a supervision step, {steps} steps"
    return ", ".join(f"{name} {value}" for name, value in model.items() if name != "kind" and value is not None)


def _table(evaluation: dict[str, Any]) -> str:
    columns = {key: label for key, label in COLUMNS.items() if key in evaluation}
    lines = [
        f"| {evaluation['inputs']} {evaluation['split']} inputs, {evaluation['steps']} steps | "
        + " | ".join(columns.values())
        + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for key, label in ROWS.items():
        values = [evaluation[column].get(key) for column in columns]
        if any(value is not None for value in values):
            cells = ("-" if value is None else f"{100 * value:.1f}" for value in values)
            lines.append(f"| {label.format(**evaluation)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", _made(evaluation), ""])


def _made(evaluation: dict[str, Any]) -> str:
    made = f"seed {evaluation['seed']}"
    for key, label in (("command", "`{}`"), ("commit", "commit {}"), ("device", "on {}"), ("seconds", "{:.0f} s")):
        if evaluation.get(key) is not None:
            made += ", " + label.format(evaluation[key])
    return f"({made})"


def _images_table(evaluation: dict[str, Any]) -> str:
    """What `gram fid` measured: images of the model between noise and real ones."""
    lines = ["| | images | inception score | distance (FID) |", "|---|---|---|---|"]
    for name, told in evaluation["sets"].items():
        score, distance = told["inception_score"], told["frechet_distance"]
        lines.append(f"| {name} | {told['images']} | {score:.2f} | {distance:.1f} |")
    measured = f"By {evaluation['features']}, distances to {evaluation['reference']}."
    return "\n".join([*lines, "", measured, _made(evaluation), ""])


def _sizes_table(evaluations: Sequence[dict[str, Any]], task: dict[str, Any]) -> str:
    """One row a size; those that were not trained on are marked."""
    first = evaluations[0]
    shown = [key for key in ROWS if any(e["macro"].get(key) is not None for e in evaluations)]
    labels = [ROWS[key].format(**first) for key in shown]
    lines = [f"| size | inputs | {' | '.join(labels)} |", "|---" * (len(shown) + 2) + "|"]
    largest = task.get("vertices", task.get("size"))
    for e in sorted(evaluations, key=lambda e: e["size"]):
        cells = ["-" if (value := e["macro"].get(key)) is None else f"{100 * value:.1f}" for key in shown]
        trained = task["smallest"] <= e["size"] <= largest
        lines.append(f"| {e['size']}{'' if trained else ' (not trained on)'} | {e['inputs']} | {' | '.join(cells)} |")
    made = f"seed {first['seed']}, {first['steps']} steps, unique inputs (macro); `{first['command']}` and so on"
    return "\n".join([*lines, "", f"({made}, on {first['device']})", ""])


def _metadata(name: str, kind: str, evaluations: Sequence[dict[str, Any]]) -> str:
    """The YAML block at the top; JSON is YAML, so strings are quoted as JSON."""
    lines = ["license: apache-2.0", "library_name: gram-reasoning", "tags:"]
    lines += [f"- {tag}" for tag in ("gram", "recursive-reasoning", "latent-reasoning", kind)]
    if evaluations:
        lines += ["model-index:", f"- name: {json.dumps(name)}", "  results:"]
    for evaluation in evaluations:
        lines += ["  - task:", "      type: puzzle-solving", f"      name: {json.dumps(kind)}", "    dataset:"]
        lines += [f"      type: {kind}", f"      name: {json.dumps(kind + ', ' + evaluation['split'])}", "    metrics:"]
        for column in ("macro", "paper"):
            for key in ("single_sample_accuracy", "selected_accuracy", "coverage"):
                if (value := evaluation.get(column, {}).get(key)) is not None:
                    label = f"{ROWS[key].format(**evaluation)}, {COLUMNS[column]}, {evaluation['steps']} steps"
                    lines += [f"    - type: {'coverage' if key == 'coverage' else 'accuracy'}"]
                    lines += [f"      value: {round(100 * value, 2)}", f"      name: {json.dumps(label)}"]
    return "\n".join(["---", *lines, "---"])
