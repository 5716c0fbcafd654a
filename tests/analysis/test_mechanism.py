"""The probe against states whose knowledge of y is known."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gram_reasoning.analysis.mechanism import picture_of_mechanism, probe, read_share, states
from helpers import UNLIMITED, queens, tiny_gram

R, L, D, V = 400, 6, 5, 3


def planted(share: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two equally likely values at four tokens; h shows the value at a share of them, and noise elsewhere."""
    draw = torch.Generator().manual_seed(seed)
    marginals = torch.zeros(R, L, V)
    marginals[:, :4, 1:] = 0.5
    marginals[:, 4:, 1] = 1
    y = 1 + (torch.rand(R, L, generator=draw) < 0.5).long()
    y[:, 4:] = 1
    high = torch.randn(R, L, D, generator=draw)
    shown = torch.rand(R, L, generator=draw) < share
    high[..., 0] = torch.where(shown, 4.0 * (2 * y - 3), 0.0) + 0.1 * high[..., 0]
    return high, y, marginals


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 0.95, 1.0), (0.5, 0.4, 0.55), (0.0, -0.1, 0.05)])
def test_probe_reads_the_share_that_is_there(share: float, low: float, high: float):
    assert low <= read_share(planted(share, 0), planted(share, 1)) <= high


def test_states_follow_drawn_solutions():
    problems = queens(5).split("train")
    problems = problems.subset((problems.count >= 2).nonzero()[:5, 0])
    model = tiny_gram(25)
    high, targets, marginals = states(model, problems, 3, posterior=True, seed=0)
    assert high.shape == (model.supervision_steps, 15, 25, 16)
    assert torch.allclose(marginals.sum(-1), torch.ones(15, 25))
    assert (marginals.gather(2, targets[..., None]) > 0).all()
    free, *_ = states(model, problems, 3, posterior=False, seed=0)
    assert not torch.equal(high, free)


def test_unlimited_posterior_shows_more_than_the_prior():
    """A posterior head whose mean is e_y itself hands y over; the prior cannot know it."""
    model = tiny_gram(25, mean_bound=None, posterior_transitions="last", **UNLIMITED)
    with torch.no_grad():
        model.posterior_head.mu.out.weight.mul_(30)  # type: ignore[union-attr]
        model.posterior_head.mu.gate_value.weight.mul_(2)  # type: ignore[union-attr]
    split = queens(5).split("train")
    several = split.subset((split.count >= 2).nonzero()[:, 0])
    half = len(several) // 2
    found = probe(model, several.subset(torch.arange(half)), several.subset(torch.arange(half, 2 * half)), samples=8)
    assert max(found["posterior"]) > max(found["prior"]) + 0.3


def test_the_picture_has_a_column_a_run(tmp_path: Path, figures: list[Any]):
    """On top a line for each transition over the steps of training, below one for each role over supervision steps."""
    logs = {
        name: [{"kind": "eval", "step": s, "kl_by_transition": [scale / s, 0.0]} for s in (1, 2)] + [{"kind": "train"}]
        for name, scale in (("one", 1.0), ("two", 3.0))
    }
    probes = {"one": {"posterior": [0.5, 0.9], "prior": [0.1, 0.2]}, "two": {"posterior": [0.3], "prior": [0.0]}}
    picture_of_mechanism(logs, probes, tmp_path / "mechanism.png")
    (figure,) = figures
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert len(panels) == 4
    for name, scale in (("one", 1.0), ("two", 3.0)):
        above, below = panels[f"{name}: KL of each transition"], panels[f"{name}: share of y in h (linear probe)"]
        assert above.get_yscale() == "log"
        drawn = {line.get_label(): [list(part) for part in line.get_data()] for line in above.get_lines()}
        assert drawn == {"1": [[1, 2], [scale, scale / 2]], "2": [[1, 2], [1e-4, 1e-4]]}
        roles = {line.get_label(): [list(part) for part in line.get_data()] for line in below.get_lines()}
        for role in ("posterior", "prior"):
            shares = probes[name][role]
            assert roles[f"{role} rollout"] == [list(range(1, len(shares) + 1)), shares]
