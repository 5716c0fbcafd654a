"""Speed that can be tested without a clock: no waiting for the device, flat memory, one compilation."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gram_reasoning.cli import main
from gram_reasoning.config import Recipe
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.storage.hub import BUNDLED
from helpers import debug_recipe, make_trainer, tiny_gram

WAITS = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "_unique2", "item", "equal"}
"""Operators whose result the host must have before it can go on."""


class Operators(TorchDispatchMode):
    """Notes the operators that make the host wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in WAITS:
            self.waits.append(str(func))
        return func(*args, **(kwargs or {}))


class LiveBytes(TorchDispatchMode):
    """Follows how many bytes tensors hold at once, of those that operators made while it was on."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                self.live[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.live = {key: entry for key, entry in self.live.items() if not entry[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.live.values()))
        return result


RECIPES: list[dict[str, Any]] = [
    {"prior_share": 0.5, "prior_target": "nearest", "guided_stay": "drawn", "halting": True},
    {"prior_share": 0.5, "prior_target": "matched", "trajectories_per_input": 2, "examples": "pairs"},
    {"accumulation": 2, "halt_target": "equal"},
    {"name": "arc-pocket-debug", "halt_target": "equal"},
]


def recipe_of(train: dict[str, Any]) -> Recipe:
    changes = {key: value for key, value in train.items() if key != "name"}
    return debug_recipe(train.get("name", "nqueens7-pocket-debug"), train=changes)


@pytest.mark.parametrize("train", RECIPES)
def test_a_training_step_never_waits(tmp_path: Path, train: dict[str, Any]):
    run = make_trainer(recipe_of(train), tmp_path)
    run.train_step()  # some things are looked up once
    with Operators() as seen:
        run.train_step()
    # AdamW reads its own step count, which lies on the host; on CUDA its fused kernel does not.
    assert [name for name in seen.waits if "_local_scalar_dense" not in name] == []
    assert len(seen.waits) <= sum(1 for _ in run.model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("train", RECIPES)
def test_a_training_step_never_waits_on_a_gpu(tmp_path: Path, train: dict[str, Any]):
    from gram_reasoning.processes import Processes

    run = make_trainer(recipe_of(train), tmp_path, processes=Processes(device=torch.device("cuda")))
    run.train_step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run.train_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def peak_of(samples: int, chunk: int, halting: bool) -> int:
    model = tiny_gram(hidden_size=32, mlp_size=32, transitions=2)
    config = SamplerConfig(samples=samples, steps=2, chunk=chunk, halting=halting)
    with LiveBytes() as seen:
        sample(model, torch.zeros(1, 9, dtype=torch.int64), config)
    return seen.peak


@pytest.mark.parametrize("halting", [False, True])
def test_memory_is_flat_beyond_one_chunk(halting: bool):
    """Beside the pool, a sample more costs its answer, value and number of steps: 9 * 8 + 4 + 8 bytes here."""
    at_chunk = peak_of(256, 256, halting)
    assert peak_of(1, 256, halting) < at_chunk
    for samples in (512, 2000):
        answers = samples * (9 * 8 + 4 + 8)
        assert peak_of(samples, 256, halting) <= at_chunk + 2 * answers
    assert peak_of(2000, 256, halting) < 2000 / 256 * at_chunk / 5


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("default::DeprecationWarning")  # the compiler's own
def test_a_compiled_run_is_the_eager_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch._dynamo

    monkeypatch.setattr(torch._dynamo.config, "error_on_recompile", True)
    train = {"prior_share": 0.5, "prior_target": "nearest", "steps": 20}
    runs = [make_trainer(debug_recipe(train={**train, "compile": mode}), tmp_path) for mode in ("off", "kernels")]
    losses = [[float(run.train_step()["cross_entropy"]) for _ in range(6)] for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    for eager, compiled in zip(*(run.model.parameters() for run in runs), strict=True):
        torch.testing.assert_close(compiled, eager, rtol=0, atol=1e-4)


def test_a_bench_without_a_model_judges_no_answers(capsys: pytest.CaptureFixture[str]):
    """Fresh weights are right about nothing, which says nothing about the recipe."""
    arguments = ["bench", "nqueens7-pocket-debug", "--parts", "sampler", "--inputs", "3", "--samples", "2"]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert told.count("fresh weights") == 2
    assert "right" not in told
    assert main([*arguments, "--checkpoint", str(BUNDLED / "nqueens7")]) == 0
    told = capsys.readouterr().out
    assert "fresh weights" not in told
    assert told.count("right ") == 2


@pytest.mark.slow
def test_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--device", "cpu", "--threads", "1", "--repeats", "2", "--inputs", "3", "--samples", "2"]
    assert main(["bench", "nqueens7-pocket-debug", *arguments, "--json", str(tmp_path / "bench.json")]) == 0
    printed = capsys.readouterr().out
    for part in ("matrix products", "training step", "sampler, 2 steps each", "memory, 2000", "cold start, gram solve"):
        assert part in printed
    result = json.loads((tmp_path / "bench.json").read_text())
    assert result.keys() >= {"device", "torch", "commit", "rates", "step", "sampler", "memory", "start"}
    assert 0 < result["step"]["share_of_matrix_rate"] < 1
    assert [row["samples"] for row in result["memory"]] == [1, 20, 200, 2000]
