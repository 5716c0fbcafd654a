"""Trajectories on one input: what each sampled rollout would answer after every supervision step, and their picture."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.analysis.figures import draw_input, save
from gram_reasoning.errors import UserError
from gram_reasoning.inference.sampler import SamplerConfig, as_asked
from gram_reasoning.inference.solve import Solved
from gram_reasoning.models.base import Model
from gram_reasoning.tasks.written import Written
from gram_reasoning.trees import Tree

MOST = 6
"""Solutions that get a colour and a board."""
ELSE = "#b9b4ac"


@torch.no_grad()
def record(model: Model, tokens: Tensor, config: SamplerConfig) -> Tensor:
    """The rollouts of `sample` on its first input (L,), with what they decode to on the way.

    Raises:
        UserError: trajectories that halt, or a model that draws its tokens one by one.

    Returns:
        probabilities of every token before the first and after each supervision step: (N, steps + 1, L, V).
    """
    assert not config.halting, "rollouts that halt have no common length"
    device, model = next(model.parameters()).device, as_asked(model, config)
    parts = []
    for start in range(0, config.samples, config.chunk):
        numbers = torch.arange(start, min(start + config.chunk, config.samples), device=device)
        context = model.encode(tokens.to(device).long().expand(len(numbers), -1))
        state = model.initial_state(len(numbers))
        path = [_probabilities(model, state)]
        for step in range(config.steps):
            first = torch.zeros_like(numbers)
            keys = noise.keys(config.seed, "sample", first, numbers, first + step)
            state = model.step(context, state, noise.normal(keys, model.step_noise_shape()), first + step)
            path.append(_probabilities(model, state))
        parts.append(torch.stack(path, 1).cpu())
    return torch.cat(parts)


def _probabilities(model: Model, state: Tree) -> Tensor:
    logits = model.answer(state).logits
    if logits is None:
        raise UserError(f"{type(model).__name__} decodes no whole answers on its way, expected a model that does")
    return logits.softmax(-1)


def picture_of_trajectories(task: Written, item: Solved, paths: Tensor, path: Path) -> None:
    """The input, all trajectories in the plane that best separates where they end, and the solutions they found.

    A trajectory has the colour of the solution it ends in, or grey. The plane is spanned by the first two principal
    components of the trajectories' last decoded distributions.

    Args:
        item: what `solve` gave for this input with the same settings.
        paths: what `record` gave (N, steps + 1, L, V).
    """
    inputs = torch.tensor(item.tokens).expand(len(paths), -1)
    ends = [tuple(answer) for answer in task.canonical(paths[:, -1].argmax(-1), inputs).tolist()]
    drawn = item.solutions[:MOST]
    colours = {answer.tokens: f"C{i}" for i, answer in enumerate(drawn)}

    points = paths.flatten(2).double().numpy()
    centre = points[:, -1].mean(0)
    _, _, directions = np.linalg.svd(points[:, -1] - centre, full_matrices=False)
    plane = (points - centre) @ directions[:2].T
    if plane.shape[-1] < 2:  # one trajectory alone spans no plane
        plane = np.pad(plane, [(0, 0), (0, 0), (0, 2 - plane.shape[-1])])

    columns = max(1, (len(drawn) + 1) // 2)
    figure = Figure(figsize=(7.6 + 1.7 * columns, 4.4), layout="constrained")
    left, middle, right = np.asarray(figure.subfigures(1, 3, width_ratios=[1.9, 5.7, 1.75 * columns]))
    draw_input(left.subplots(), item)
    axes = middle.subplots()
    for line, end in sorted(zip(plane, ends, strict=True), key=lambda pair: pair[1] in colours):
        _draw_path(axes, line, colours.get(end, ELSE))
    axes.plot(*plane[0, 0], "o", color="black", ms=5, zorder=5)
    axes.annotate("start", plane[0, 0], textcoords="offset points", xytext=(6, 6), fontsize=9)
    found = f"{len(item.solutions)} solutions" if len(item.solutions) != 1 else "one solution"
    axes.set_title(f"{item.samples} trajectories of {item.steps} steps end in {found}", fontsize=11)
    axes.set_xticks([])
    axes.set_yticks([])
    boards = right.subplots(2 if len(drawn) > 1 else 1, columns, squeeze=False).T.flat
    for axes in boards[len(drawn) :]:
        axes.axis("off")
    for axes, answer in zip(boards, drawn, strict=False):
        draw_input(axes, item, answer)
        axes.set_title(f"{answer.votes} of {item.samples}", fontsize=9, color=colours[answer.tokens])
        for side in axes.spines.values():
            side.set(visible=True, color=colours[answer.tokens], linewidth=2.5)
    save(figure, path)


def _draw_path(axes: Axes, line: np.ndarray, colour: str) -> None:
    axes.plot(line[:, 0], line[:, 1], color=colour, lw=0.7, alpha=0.45)
    axes.plot(line[-1, 0], line[-1, 1], "o", color=colour, ms=4.5, alpha=0.8, mew=0)
