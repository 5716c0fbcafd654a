import math

import pytest
import torch
from torch import Tensor

from gram_reasoning import noise

KEYS = torch.arange(64)


def slot_keys(rows: int, *, seed: int = 0, purpose: str = "test", step: int = 0) -> Tensor:
    return noise.keys(seed, purpose, torch.arange(rows), step)


def distance(sample: Tensor, cdf: Tensor) -> float:
    """Kolmogorov-Smirnov: sqrt(n) times the largest gap to the true CDF at the sorted sample; 1.95 has p = 0.001."""
    n = len(sample)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    return math.sqrt(n) * float(torch.maximum(steps[1:] - cdf, cdf - steps[:-1]).max())


def normal_distance(sample: Tensor) -> float:
    ordered = sample.flatten().double().sort().values
    return distance(ordered, 0.5 * (1 + torch.erf(ordered / math.sqrt(2))))


def chi_square(counts: Tensor) -> float:
    """Deviations from equal counts, as standard normal quantile of the statistic (Wilson-Hilferty)."""
    expected = counts.sum() / len(counts)
    df = len(counts) - 1
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return ((statistic / df) ** (1 / 3) - (1 - 2 / (9 * df))) / math.sqrt(2 / (9 * df))


# -- distribution ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "count"), [(1, 1_000_000), (1000, 1000), (500_000, 2), (999_999, 1)])
def test_normal_moments(rows: int, count: int) -> None:
    x = noise.normal(slot_keys(rows), (count,)).double().flatten()
    n = len(x)
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((x**power).mean() - moment) < 4.5 * math.sqrt(variance / n)


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize(("rows", "count"), [(1, 200_000), (200, 999), (200_000, 1)])
def test_normal_distribution(rows: int, count: int, step: int) -> None:
    assert normal_distance(noise.normal(slot_keys(rows, step=step), (count,))) < 2.2


def test_normal_tails() -> None:
    x = noise.normal(slot_keys(64), (65_536,))
    assert x.isfinite().all()
    for bound in (1.0, 2.0, 3.0, 4.0, 4.8):
        share = math.erfc(bound / math.sqrt(2)) / 2
        for tail in (x > bound, x < -bound):
            assert abs(int(tail.sum()) - share * x.numel()) < 4.5 * math.sqrt(share * x.numel())


@pytest.mark.parametrize("rows", [1, 500, 200_000])
def test_normal_halves_of_a_row_are_independent(rows: int) -> None:
    x = noise.normal(slot_keys(rows), (400_000 // rows,)).double()
    cosine, sine = x.chunk(2, dim=1)
    for f in (torch.clone, torch.square, torch.abs):
        pair = torch.stack([f(cosine).flatten(), f(sine).flatten()])
        assert abs(torch.corrcoef(pair)[0, 1]) < 4.5 / math.sqrt(pair.shape[1])


def test_uniform() -> None:
    x = noise.uniform(slot_keys(1_000_000))
    assert x.dtype == torch.float32
    assert 0 <= x.min() < 1e-5
    assert 1 - 1e-5 < x.max() < 1
    ordered = x.double().sort().values
    assert distance(ordered, ordered) < 2.2
    assert abs(x.double().mean() - 0.5) < 4.5 / math.sqrt(12 * len(x))
    assert abs(x.double().var() - 1 / 12) < 4.5 / math.sqrt(180 * len(x))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 92, 1000])
def test_choice_is_uniform(count: int) -> None:
    drawn = noise.choice(slot_keys(200_000), count)
    assert drawn.dtype == torch.int64
    counts = torch.bincount(drawn, minlength=count)
    assert len(counts) == count
    assert count == 1 or abs(chi_square(counts.double())) < 4


def test_choice_among_row_counts() -> None:
    counts = torch.tensor([1, 2, 5, 2**31])
    drawn = noise.choice(slot_keys(40_000), counts.repeat(10_000)).view(-1, 4)
    assert (drawn >= 0).all()
    assert (drawn < counts).all()
    assert drawn[:, 0].max() == 0
    assert abs(drawn[:, 3].double().mean() / 2**31 - 0.5) < 4.5 / math.sqrt(12 * 10_000)


def test_permutations_are_uniform() -> None:
    orders = noise.permutation(slot_keys(24_000), 4)
    assert torch.equal(orders.sort(1).values, torch.arange(4).expand(24_000, 4))
    counts = orders.unique(dim=0, return_counts=True)[1]
    assert len(counts) == 24
    assert abs(chi_square(counts.double())) < 4


# -- independence ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        slot_keys(64),
        noise.keys(0, "test", 5, torch.arange(64)),
        torch.cat([noise.keys(seed, "test", 5) for seed in range(-32, 32)]),
        torch.cat([noise.keys(0, f"test {i}", 5) for i in range(64)]),
        torch.arange(-32, 32),
        torch.arange(64) << 32,
        1 << torch.arange(63),
    ],
    ids=["ids", "steps", "seeds", "purposes", "raw", "high half", "single bits"],
)
def test_neighbouring_keys_are_uncorrelated(rows: Tensor) -> None:
    x = noise.normal(rows, (8192,)).double()
    for f in (torch.clone, torch.square):
        correlation = torch.corrcoef(f(x)).fill_diagonal_(0)
        assert correlation.abs().max() < 5.5 / math.sqrt(8192)
    assert normal_distance(x) < 2.2
    assert len(x.unique()) > 0.99 * x.numel()


def test_neighbouring_keys_differ_in_half_their_bits() -> None:
    a, b = slot_keys(10_000), slot_keys(10_001)[1:]
    flipped = torch.stack([((a ^ b) >> bit) & 1 for bit in range(64)]).double()
    assert (flipped.mean(1) - 0.5).abs().max() < 0.5 * 4.5 / math.sqrt(10_000)


def test_positions_of_a_row_are_uncorrelated() -> None:
    x = noise.normal(slot_keys(50_000), (24,)).double().T
    assert torch.corrcoef(x).fill_diagonal_(0).abs().max() < 5 / math.sqrt(50_000)


def test_all_keys_differ() -> None:
    ids = torch.arange(100)
    rows = [
        noise.keys(seed, purpose, ids, step)
        for seed in (-1, 0, 1, 2, 2**31 - 1)
        for purpose in ("noise", "target", "")
        for step in range(100)
    ]
    swapped = noise.keys(0, "noise", 3, ids[4:])
    assert len(torch.cat(rows).unique()) == 100 * len(rows)
    assert not torch.isin(swapped, noise.keys(0, "noise", ids[4:], 3)).any()


@pytest.mark.parametrize("draw", [noise.uniform, lambda k: noise.normal(k, (3,)), lambda k: noise.choice(k, 2**31)])
def test_draws_depend_on_seed_purpose_id_and_step(draw) -> None:
    rows = [slot_keys(100), slot_keys(100, seed=1), slot_keys(100, purpose="other"), slot_keys(100, step=1)]
    draws = [draw(keys) for keys in [*rows, slot_keys(101)[1:]]]
    assert torch.equal(draws[0], draw(slot_keys(100)))
    for other in draws[1:]:
        assert (draws[0] == other).float().mean() < 0.01


# -- a row depends on its key alone ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (3,), (7, 5), (2, 3, 11), (1023,), (16, 4096)])
def test_row_depends_on_its_key_alone(shape: tuple[int, ...]) -> None:
    rows = slot_keys(37)
    whole = noise.normal(rows, shape)
    assert whole.shape == (37, *shape)
    for index in [torch.randperm(37, generator=torch.Generator().manual_seed(0)), torch.tensor([36, 0, 0]), rows[:0]]:
        assert torch.equal(noise.normal(rows[index], shape), whole[index])
    for i in range(37):
        assert torch.equal(noise.normal(rows[i : i + 1], shape)[0], whole[i])
    for low in range(1, 9):
        assert torch.equal(noise.normal(rows[low : low + 13], shape), whole[low : low + 13])


def test_small_draws_depend_on_their_key_alone() -> None:
    rows = slot_keys(999)
    index = torch.randperm(999, generator=torch.Generator().manual_seed(0))[:501]
    assert torch.equal(noise.uniform(rows)[index], noise.uniform(rows[index]))
    assert torch.equal(noise.choice(rows, 92)[index], noise.choice(rows[index], 92))
    assert torch.equal(noise.keys(3, "test", index, 7), noise.keys(3, "test", torch.arange(999), 7)[index])


def test_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = noise.normal(slot_keys(4), (9,))
    torch.manual_seed(1)
    assert torch.equal(noise.normal(slot_keys(4), (9,)), first)
    torch.manual_seed(0)
    noise.uniform(slot_keys(4))
    assert torch.equal(torch.get_rng_state(), before)


# -- edges -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-(2**31), -1, 0, 1, 2**31 - 1, 2**31])
def test_any_seed(seed: int) -> None:
    assert normal_distance(noise.normal(slot_keys(100, seed=seed), (101,))) < 2.2


@pytest.mark.parametrize("ids", [(-1,), (0,), (2**62,), (5, 6, 7)])
def test_plain_integer_ids(ids: tuple[int, ...]) -> None:
    assert torch.equal(noise.keys(0, "test", *ids), noise.keys(0, "test", *(torch.tensor([i]) for i in ids)))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2,), (3, 3)])
def test_odd_sizes(shape: tuple[int, ...]) -> None:
    x = noise.normal(slot_keys(5), shape)
    assert x.shape == (5, *shape)
    assert x.dtype == torch.float32
    assert noise.normal(slot_keys(0), shape).shape == (0, *shape)
