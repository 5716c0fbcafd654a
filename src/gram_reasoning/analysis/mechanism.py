"""How an answer gets into the latent: a linear probe of h for y, step by step, and the KL of each transition.

On inputs with several solutions the solution set leaves y open. The probe says which share of that uncertainty a linear
map reads from h. Under the posterior it may read some: that is what the KL pays for. A model that knows all of y after
the first step was given it; under the prior h knows nothing of a y that was drawn apart from it.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib import colormaps
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.analysis.figures import panels, save
from gram_reasoning.models.base import RecursiveModel
from gram_reasoning.tasks.base import Problems
from gram_reasoning.types import IGNORE, Batch


class _NoReferee:
    """Nothing to learn and nothing to judge: the probe only follows the states."""

    def targets(self, logits: Tensor, wishes: Tensor | None = None) -> Tensor:
        del wishes
        return torch.full(logits.shape[:2], IGNORE, device=logits.device)

    def reward(self, prediction: Tensor) -> Tensor | None:
        return None

    def ends(self, sure: Tensor) -> Tensor:
        return torch.zeros_like(sure)


@torch.no_grad()
def states(
    model: RecursiveModel, problems: Problems, samples: int, posterior: bool, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Trajectories of training, each towards a solution drawn for it.

    Returns:
        h at the answer's tokens after each supervision step (steps, R, L, D), with R = inputs * samples; the drawn
        solutions (R, L); and how often each token value stands at each place among the input's solutions (R, L, V).
    """
    rows = torch.arange(len(problems) * samples)
    index = rows // samples
    drawn = noise.choice(noise.keys(seed, "probe target", rows), problems.count[index])
    targets = problems.solution(index, drawn)
    inputs = problems.inputs[index].long()
    vocab = int(max(targets.max(), inputs.max())) + 1
    marginals = [F.one_hot(problems.solution_sets(i), vocab).float().mean(0) for i in range(len(problems))]
    guided, is_open = torch.full((len(rows),), posterior), problems.is_open(index)
    carry = model.initial_carry(len(rows))
    high = []
    for step in range(model.supervision_steps):
        done = torch.full_like(rows, step)
        draws = noise.normal(noise.keys(seed, "probe noise", rows, done), model.noise_shape())
        carry = model(Batch(inputs, targets, guided, is_open, done), carry, draws, _NoReferee()).carry
        high.append(model.latent(carry).float())
    return torch.stack(high), targets, torch.stack(marginals)[index]


def read_share(
    known: tuple[Tensor, Tensor, Tensor], held_out: tuple[Tensor, Tensor, Tensor], decay: float = 1e-3
) -> float:
    """Which share of the uncertainty about y a linear map reads from h: 1 all of it, 0 nothing.

    The probe is a softmax of a linear map of h_i plus the log marginal of token i, fitted on `known` by L-BFGS and
    judged on `held_out`, on the tokens that the solution set leaves open. Each is (h (R, L, D), y (R, L), marginals
    (R, L, V)).
    """

    def open_tokens(high: Tensor, targets: Tensor, marginals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        undecided = marginals.max(-1).values < 1
        return high[undecided], targets[undecided], marginals[undecided].clamp(min=1e-4).log()

    x, y, offset = open_tokens(*known)
    mean, std = x.mean(0), x.std(0) + 1e-6
    weight = torch.zeros(x.shape[-1] + 1, offset.shape[-1], requires_grad=True)

    def logits(x: Tensor, offset: Tensor) -> Tensor:
        return F.pad((x - mean) / std, (0, 1), value=1.0) @ weight + offset

    optimizer = torch.optim.LBFGS([weight], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits(x, offset), y) + decay * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    x, y, offset = open_tokens(*held_out)
    with torch.no_grad():
        return 1 - float(F.cross_entropy(logits(x, offset), y) / F.cross_entropy(offset, y))


def probe(
    model: RecursiveModel, train: Problems, test: Problems, samples: int = 8, seed: int = 0
) -> dict[str, list[float]]:
    """The share of y that h shows after each supervision step, on test inputs with several solutions.

    Returns:
        "posterior" and "prior": one number for each step.
    """
    found = {}
    for name in ("posterior", "prior"):
        known, y, marginals = states(model, train, samples, name == "posterior", seed)
        held_out, y_test, marginals_test = states(model, test, samples, name == "posterior", seed + 1)
        found[name] = [
            read_share((a, y, marginals), (b, y_test, marginals_test)) for a, b in zip(known, held_out, strict=True)
        ]
    return found


def picture_of_mechanism(
    logs: dict[str, list[dict[str, Any]]], probes: dict[str, dict[str, list[float]]], path: Path
) -> None:
    """A column a run: on top the KL of each transition over training, below what h shows of y after each step."""
    figure, grid = panels(2, len(logs), 5 * len(logs), 6.4)
    for column, (name, lines) in enumerate(logs.items()):
        evaluations = [line for line in lines if line["kind"] == "eval"]
        steps = [line["step"] for line in evaluations]
        above, below = grid[:, column]
        transitions = len(evaluations[0]["kl_by_transition"])
        for t in range(transitions):
            values = [max(line["kl_by_transition"][t], 1e-4) for line in evaluations]
            above.plot(steps, values, color=colormaps["viridis"](t / max(1, transitions - 1)), lw=1.2, label=t + 1)
        above.set_yscale("log")
        above.set_title(f"{name}: KL of each transition", fontsize=10)
        above.set_xlabel("optimizer step")
        above.set_ylabel("nats an example")
        above.legend(fontsize=6, ncol=2, title="transition", title_fontsize=7)
        for role, marker in (("posterior", "o"), ("prior", "s")):
            shares = probes[name][role]
            below.plot(range(1, len(shares) + 1), shares, marker=marker, label=f"{role} rollout")
        below.axhline(0, color="black", lw=0.6)
        below.set_ylim(-0.3, 1.05)
        below.set_title(f"{name}: share of y in h (linear probe)", fontsize=10)
        below.set_xlabel("supervision step")
        below.legend(fontsize=8)
        for axes in (above, below):
            axes.grid(alpha=0.25)
    save(figure, path)
