from collections import Counter
from itertools import product

import pytest
import torch
from torch import Tensor

from gram_reasoning.training.deep_supervision import spread

SIZES = [(1, 1), (1, 4), (2, 5), (3, 3), (4, 3), (5, 2), (6, 4), (8, 3)]


def groups(G: int, C: int, number: int = 60) -> tuple[Tensor, Tensor]:
    """Scores in [0, 1) (number, G, C), and between 1 and C solutions that exist."""
    generator = torch.Generator().manual_seed(G * 100 + C)
    exists = torch.randint(1, C + 1, (number, 1), generator=generator) > torch.arange(C)
    order = torch.rand(number, C, generator=generator).argsort(1)
    return torch.rand(number, G, C, generator=generator), exists.gather(1, order)


def greedy(score: list[list[float]], exists: list[bool]) -> list[int]:
    """All pairs from best to worst, each taken if its trajectory is free and its solution has room."""
    least, extra = divmod(len(score), sum(exists))
    chosen: dict[int, int] = {}
    for g, c in sorted(product(range(len(score)), range(len(exists))), key=lambda pair: -score[pair[0]][pair[1]]):
        used = list(chosen.values()).count(c)
        if exists[c] and g not in chosen and used < least + (extra > 0):
            extra -= used == least
            chosen[g] = c
    return [chosen[g] for g in range(len(score))]


def best_total(score: list[list[float]], exists: list[bool]) -> float:
    """The optimum over all assignments that give every solution its share."""
    G, real = len(score), [c for c, holds in enumerate(exists) if holds]
    return max(
        sum(score[g][c] for g, c in enumerate(assignment))
        for assignment in product(real, repeat=G)
        if fair(Counter(assignment), G, len(real))
    )


def fair(used: Counter[int], G: int, n: int) -> bool:
    """Whether each of n solutions is used floor(G / n) times or once more."""
    counts = [*used.values(), *[0] * (n - len(used))]
    return min(counts) >= G // n and max(counts) <= -(-G // n)


@pytest.mark.parametrize(("G", "C"), SIZES)
def test_spread_respects_shares(G: int, C: int) -> None:
    score, exists = groups(G, C)
    for logarithm in (score, score.log(), score.log() * 1e6):
        chosen = spread(logarithm, exists)
        assert chosen.shape == (60, G)
        assert exists.gather(1, chosen).all()
        for row, real in zip(chosen.tolist(), exists, strict=True):
            assert fair(Counter(row), G, int(real.sum()))


@pytest.mark.parametrize(("G", "C"), SIZES)
def test_spread_takes_the_best_pairs_first(G: int, C: int) -> None:
    score, exists = groups(G, C)
    expected = [greedy(s, e) for s, e in zip(score.tolist(), exists.tolist(), strict=True)]
    assert spread(score, exists).tolist() == expected
    assert spread(score.log(), exists).tolist() == expected


@pytest.mark.parametrize("C", [1, 2, 64])
def test_one_trajectory_takes_its_best_solution(C: int) -> None:
    score, exists = groups(1, C)
    assert torch.equal(spread(score, exists), score.masked_fill(~exists[:, None], -1).argmax(2))


@pytest.mark.parametrize(("G", "C"), [(2, 5), (3, 3), (4, 3), (5, 3), (4, 4)])
def test_spread_reaches_half_of_the_optimum(G: int, C: int) -> None:
    score, exists = groups(G, C)
    score = score**4
    total = score.gather(2, spread(score, exists)[:, :, None]).sum((1, 2)).tolist()
    optimum = [best_total(s, e) for s, e in zip(score.tolist(), exists.tolist(), strict=True)]
    for own, best in zip(total, optimum, strict=True):
        assert best / 2 - 1e-6 <= own <= best + 1e-6
    assert sum(total) > 0.9 * sum(optimum)


def test_groups_do_not_see_each_other() -> None:
    score, exists = groups(4, 3)
    together = spread(score, exists)
    for i in range(60):
        assert torch.equal(spread(score[i : i + 1], exists[i : i + 1])[0], together[i])


def test_collapsed_trajectories_are_spread() -> None:
    score = torch.tensor([[[-1.0, -50.0, -90.0, -70.0]] * 3])
    assert sorted(spread(score, torch.tensor([[True, True, True, True]]))[0].tolist()) == [0, 1, 3]
    assert sorted(spread(score, torch.tensor([[True, False, True, False]]))[0].tolist()) in ([0, 0, 2], [0, 2, 2])
