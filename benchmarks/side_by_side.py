"""Our training step beside those of a public GRAM reproduction and of the official TRM code, on the same shape.

    git clone https://github.com/SVAH-X/gram-reproduction /tmp/gram-reproduction
    git clone https://github.com/SamsungSAILMontreal/TinyRecursiveModels /tmp/trm && pip install einops pydantic
    python benchmarks/side_by_side.py results/side_by_side.json --gram /tmp/gram-reproduction --trm /tmp/trm

A step is one supervision step of every row with backward pass, clipping, AdamW and, where the code has it, the weight
average. The contenders take turns, so that all see the same machine. Operations are what PyTorch's counter sees
in one step of each; the rate they are set against is measured in the same run. The reproduction casts to bfloat16
on CUDA only, so on CPU it runs as published, in float32, and once more with autocast put around it. Nothing of
either repository is part of this one; a contender without a path is left out.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from gram_reasoning.analysis.speed import matrix_rate, summary, wait
from gram_reasoning.build import build_model, build_task
from gram_reasoning.config import Recipe
from gram_reasoning.processes import Processes
from gram_reasoning.recipes import get_recipe
from gram_reasoning.storage.provenance import machine
from gram_reasoning.training.trainer import Trainer

Step = Callable[[], object]


def ours(recipe: Recipe, device: torch.device) -> Step:
    task = build_task(recipe)
    return Trainer(recipe, task, build_model(recipe, task), Path("unwritten"), Processes(device=device)).train_step


def examples(recipe: Recipe, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets (B, L) of the task."""
    problems = build_task(recipe).split("train")
    index = torch.arange(recipe.train.batch_size) % len(problems)
    return problems.inputs[index].long().to(device), problems.solution(index, index * 0).to(device)


def reproduction(path: Path, recipe: Recipe, device: torch.device, bf16: bool) -> Step:
    sys.path.insert(0, str(path))
    import gram_model  # pyright: ignore[reportMissingImports]

    c: Any = recipe.model
    t = recipe.train
    x, y = examples(recipe, device)
    config = gram_model.GRAMConfig(
        vocab_size=3, seq_len=x.shape[1], d_model=c.hidden_size, n_heads=c.num_heads, ffn_hidden=c.mlp_size,
        n_layers=c.num_layers, K=c.low_steps, T=c.transitions, N_sup=c.supervision_steps,
        num_puzzle_tokens=c.prefix_tokens,
    )  # fmt: skip
    model = gram_model.GRAM(config).to(device)
    average = gram_model.EMA(model, decay=t.ema)
    optimizer = torch.optim.AdamW(model.parameters(), lr=t.lr, weight_decay=t.weight_decay)
    carried: list[Any] = [None, None]

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            loss, _, *carried[:] = model.train_supervision_segment(x, y, h=carried[0], l=carried[1])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), t.clip)
        optimizer.step()
        average.update(model)

    return step


def trm(path: Path, recipe: Recipe, device: torch.device) -> Step:
    sys.path.insert(0, str(path))
    from models.losses import ACTLossHead  # pyright: ignore[reportMissingImports]
    from models.recursive_reasoning import trm as official  # pyright: ignore[reportMissingImports]

    c: Any = recipe.model
    t = recipe.train
    x, y = examples(recipe, device)
    config = {
        "batch_size": len(x), "seq_len": x.shape[1], "num_puzzle_identifiers": 1, "vocab_size": 3,
        "puzzle_emb_ndim": c.hidden_size, "puzzle_emb_len": c.prefix_tokens, "H_cycles": c.transitions,
        "L_cycles": c.low_steps, "H_layers": 0, "L_layers": c.num_layers, "hidden_size": c.hidden_size,
        "expansion": c.mlp_size / c.hidden_size, "num_heads": c.num_heads, "pos_encodings": "rope",
        "halt_max_steps": c.supervision_steps, "halt_exploration_prob": 0.1,
    }  # fmt: skip
    with device:
        model = ACTLossHead(official.TinyRecursiveReasoningModel_ACTV1(config), "stablemax_cross_entropy")
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=t.lr, weight_decay=t.weight_decay)
    batch = {"inputs": x, "labels": y, "puzzle_identifiers": torch.zeros(len(x), dtype=torch.int32, device=device)}
    with device:
        carried = [model.initial_carry(batch)]

    def step() -> None:
        optimizer.zero_grad()
        with device:
            carried[0], loss, *_ = model(return_keys=[], carry=carried[0], batch=batch)
        (loss / len(x)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), t.clip)
        optimizer.step()

    return step


def operations(step: Step) -> int:
    """What PyTorch counts in one step; the CPU's fused attention, which it does not count, is added."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

    def forward_count(q: Any, k: Any, v: Any, *rest: Any, **options: Any) -> int:
        return sdpa_flop_count(q, k, v)

    def backward_count(gradient: Any, q: Any, k: Any, v: Any, *rest: Any, **options: Any) -> int:
        return 2 * sdpa_flop_count(q, k, v)

    with FlopCounterMode(display=False, custom_mapping={fused: forward_count, backward: backward_count}) as counter:
        step()
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gram", type=Path, help="a checkout of gram-reproduction")
    parser.add_argument("--trm", type=Path, help="a checkout of TinyRecursiveModels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compile", choices=("off", "kernels", "graphs"), default="off")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    base = get_recipe("nqueens8")
    recipe = replace(
        base,
        model=replace(base.model, hidden_size=options.width, mlp_size=options.width),
        train=replace(base.train, batch_size=options.batch, compile=options.compile),
    )
    fp32 = replace(recipe, train=replace(recipe.train, precision="fp32"))
    steps = {"ours, bf16": (ours(recipe, device), "bf16"), "ours, fp32": (ours(fp32, device), "fp32")}
    if options.gram:
        published = "fp32" if device.type == "cpu" else "bf16"
        steps[f"gram-reproduction, {published}"] = (
            reproduction(options.gram, recipe, device, published == "bf16"),
            published,
        )
        if published == "fp32":
            steps["gram-reproduction, autocast added"] = reproduction(options.gram, recipe, device, True), "bf16"
    if options.trm:
        steps["TRM, bf16"] = trm(options.trm, recipe, device), "bf16"

    rates = {"bf16": matrix_rate(device, torch.bfloat16), "fp32": matrix_rate(device, torch.float32)}
    counted = {name: operations(step) for name, (step, _) in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(options.rounds + 1):
        for name, (step, _) in steps.items():
            wait(device)
            start = time.perf_counter()
            step()
            wait(device)
            if turn:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    result: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/side_by_side.py", *sys.argv[1:]]),
        **machine(device),
        "shape": {"batch": options.batch, "tokens": 80, "width": options.width, "K": 4, "T": 3},
        "matrix_rates": rates,
        "contenders": {},
    }
    for name, (_, precision) in steps.items():
        median = statistics.median(times[name])
        ratios = sorted(theirs / mine for theirs, mine in zip(times[name], times["ours, bf16"], strict=True))
        row = {
            "seconds": summary(times[name]),
            "examples_per_second": options.batch / median,
            "operations": counted[name],
            "share_of_matrix_rate": counted[name] / median / rates[precision],
            "seconds_over_ours_bf16": {"median": statistics.median(ratios), "range": [ratios[0], ratios[-1]]},
        }
        result["contenders"][name] = row
        print(
            f"{name:36} {row['examples_per_second']:9.2f} examples/s  {counted[name] / 1e9:8.1f} Gop  "
            f"{row['share_of_matrix_rate']:6.1%} of the {precision} rate  "
            f"{statistics.median(ratios):5.2f} times our time ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
