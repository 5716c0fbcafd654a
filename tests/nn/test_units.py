"""The units mixer against a plain loop over units and members, and what the layout of symbols promises."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from gram_reasoning.build import build_model, build_task
from gram_reasoning.config import Recipe
from gram_reasoning.errors import UserError
from gram_reasoning.models.gram import Gram
from gram_reasoning.nn.layers import Block, SwiGLU
from gram_reasoning.nn.layouts import SymbolLayout
from gram_reasoning.nn.units import UnitsMixer, incidence
from gram_reasoning.recipes import get_recipe
from gram_reasoning.tasks.configs import GraphColoringConfig, NQueensConfig, SudokuConfig
from gram_reasoning.tasks.graph_coloring import GraphColoring
from gram_reasoning.tasks.nqueens import NQueens
from gram_reasoning.tasks.sudoku import Sudoku
from helpers import tiny_gram

KINDS = ([[0, 1, 2], [3, 4]], [[0, 3], [1, 3, 4], [2], [5, 0]])  # position 6 is in no unit, some are in two of a kind


def by_loop(mixer: UnitsMixer, x: torch.Tensor, kinds, prefix: int, each: int) -> torch.Tensor:
    """What the docstring says, an addition at a time, in float64."""
    B, S, _ = x.shape
    length = (S - prefix) // each
    out = torch.zeros_like(x)
    for b in range(B):
        for s in range(S):
            out[b, s] += mixer.shared(x[b].mean(0))
        for q in range(each):
            place = [prefix + t * each + q for t in range(length)]
            mean = sum(x[b, p] for p in place) / length
            for kind, network in zip(kinds, mixer.networks, strict=True):
                for unit in kind:
                    total = sum(x[b, place[t]] - mean for t in unit) / math.sqrt(len(unit))
                    for t in unit:
                        out[b, place[t]] += network(total)
        if mixer.token is not None:
            sums = [sum(x[b, prefix + t * each + q] for q in range(each)) for t in range(length)]
            mean = sum(sums) / length
            for t in range(length):
                for q in range(each):
                    out[b, prefix + t * each + q] += mixer.token((sums[t] - mean) / math.sqrt(each))
    return out


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("each", [1, 3])
def test_as_a_plain_loop(prefix: int, each: int):
    torch.manual_seed(0)
    mixer = UnitsMixer(4, 6, prefix, 7, KINDS, each).double()
    torch.nn.init.normal_(mixer.shared.weight)
    x = torch.randn(2, prefix + 7 * each, 4, dtype=torch.float64)
    torch.testing.assert_close(mixer(x, None), by_loop(mixer, x, KINDS, prefix, each), rtol=1e-6, atol=1e-6)


def test_outside_all_units_only_the_mean_is_seen():
    mixer = UnitsMixer(4, 6, 2, 7, KINDS)
    x = torch.randn(3, 9, 4)
    mixed = mixer(x, None)
    assert not mixed[:, [0, 1, 8]].any(), "the shared term is zero at the start"
    assert mixed[:, 2:8].abs().sum(2).all()


def test_what_all_positions_share_is_not_told_to_units():
    mixer = UnitsMixer(4, 6, 0, 7, KINDS)
    x = torch.randn(1, 7, 4)
    torch.testing.assert_close(mixer(x + 5.0, None), mixer(x, None), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("unit", [[], [0, 0], [7], [-1]])
def test_a_unit_that_is_none_is_refused(unit: list[int]):
    with pytest.raises(ValueError, match="unit 1: members"):
        incidence([[0, 1], unit], 7)


# -- what tasks say -------------------------------------------------------------------------------------------------


def test_units_of_queens():
    """Two squares share a unit exactly if queens there attack each other."""
    task = NQueens(NQueensConfig(size=5))
    tables = [incidence(kind, task.length) for kind in task.units]
    assert [len(table) for table in tables] == [5, 5, 9, 9]
    together = torch.stack([table.T @ table for table in tables]).sum(0) > 0
    for a in range(25):
        for b in range(25):
            (r, c), (s, d) = divmod(a, 5), divmod(b, 5)
            assert bool(together[a, b]) == (r == s or c == d or abs(r - s) == abs(c - d))


@pytest.mark.parametrize("size", [4, 9])
def test_units_of_sudoku(size: int):
    task = Sudoku(SudokuConfig(size=size, train="generated", test="generated", test_puzzles=1))
    rows, columns, boxes = (incidence(kind, task.length) for kind in task.units)
    assert all(bool((table.sum(0) == 1).all() and (table.sum(1) == size).all()) for table in (rows, columns, boxes))
    assert bool((rows @ columns.T == 1).all()), "a row and a column meet in one cell"
    assert set((rows @ boxes.T).unique().tolist()) == {0, round(size**0.5)}


@pytest.mark.parametrize("answer_at", ["first", "appended"])
def test_units_of_graphs(answer_at: Any):
    task = GraphColoring(GraphColoringConfig(vertices=5, answer_at=answer_at))
    vertices, *edges = task.units
    table = incidence(vertices, task.length)
    assert bool((table[:, :10].sum(0) == 2).all()), "an edge belongs to its two vertices"
    assert [tuple(column.nonzero()[:, 0].tolist()) for column in table.T[:10]] == [
        tuple(p) for p in task.ends.T.tolist()
    ]
    assert len(edges) == (answer_at == "appended")
    if edges:
        assert torch.equal(table[:, 10:], torch.eye(5))
        each = incidence(edges[0], task.length)
        assert torch.equal(each[:, :10], torch.eye(10)), "an edge has a unit of its own"
        assert torch.equal(each[:, 10:], table[:, :10].T), "the colours of its two vertices are with it"


# -- in the model -----------------------------------------------------------------------------------------------------


def test_one_block_begins_at_the_norm():
    block = Block(SwiGLUMixer(), 4, 8, start=0.0)
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(block(x, None), torch.nn.functional.rms_norm(x, (4,), eps=1e-5), rtol=1e-4, atol=1e-4)


class SwiGLUMixer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mlp = SwiGLU(4, 8, 4)

    def forward(self, x: torch.Tensor, rotary: torch.Tensor | None) -> torch.Tensor:
        return self.mlp(x)


@pytest.mark.parametrize("mixer", ["attention", "mlp", "grid"])
def test_start_scales_the_output_maps_and_nothing_else(mixer: str):
    """The same draws, times the start."""
    recipe = get_recipe("nqueens7-pocket-debug")
    one, tenth = (
        build_model(changed, build_task(changed)).state_dict()
        for changed in (with_model(recipe, token_mixer=mixer, block_start=start) for start in (1.0, 0.1))
    )
    outputs = ("mixer.out.weight", "mixer.mlp.out.weight", ".mlp.out.weight", "near.weight", "far.weight")
    for name, weight in one.items():
        scaled = 0.1 if name.startswith("core.") and name.endswith(outputs) else 1.0
        torch.testing.assert_close(tenth[name], scaled * weight)


def with_model(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, model=replace(recipe.model, **changes))


def test_symbols_are_not_told_apart():
    """Renaming the digits of an input renames what the model says, exactly as far as sums come out alike."""
    recipe = get_recipe("sudoku4-debug")
    recipe = with_model(recipe, token_mixer="units", layout="symbols", positions="rope", prefix_tokens=1)
    task = build_task(recipe)
    model = build_model(recipe, task).eval()
    assert isinstance(model, Gram)
    inputs = task.split("test").inputs[:4].long()
    renamed = torch.tensor([0, 1, 4, 2, 5, 3])
    noise = torch.randn(4, *model.noise_shape())
    cells = noise[:, :, 1:].unflatten(2, (16, 4))
    order = renamed[2:] - 2  # digit d goes to place order[d]
    moved = torch.empty_like(cells).index_copy_(3, order, cells).flatten(2, 3)
    moved = torch.cat([noise[:, :, :1], moved], 2)
    with torch.no_grad():
        said = model.decode(model.step(model.encode(inputs), model.initial_state(4), noise))
        other = model.decode(model.step(model.encode(renamed[inputs]), model.initial_state(4), moved))
    assert said.shape == (4, 16, 6)
    torch.testing.assert_close(other[:, :, renamed], said, rtol=1e-3, atol=1e-4)


def test_symbol_layout_by_hand():
    layout = SymbolLayout(length=2, vocab=5, size=3, symbols=3)
    table = layout.embedding(1.0)
    found = layout.embed(torch.tensor([[3, 1]]), table).view(2, 3, 3)
    torch.testing.assert_close(found, table[torch.tensor([[3, 2, 3], [1, 1, 1]])])
    assert not layout.embed(torch.tensor([[-100, -100]]), table).any()
    logits = layout.read(torch.arange(6.0).view(1, 6, 1))
    assert logits.tolist() == [[[-30, -30, 0, 1, 2], [-30, -30, 3, 4, 5]]]


def test_a_model_without_what_it_needs_is_refused():
    with pytest.raises(UserError, match="token_mixer"):
        tiny_gram(token_mixer="units")
    with pytest.raises(UserError, match="layout"):
        tiny_gram(layout="symbols")
