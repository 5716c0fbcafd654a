"""Fused attention against two plain products on CPU, forward and backward: why nn/layers.py has `attend`.

Run alone on an idle machine:  python benchmarks/attention_cpu.py results/attention_cpu.json
"""

import json
import math
import platform
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

ROWS, HEADS, POSITIONS, SIZE, ROUNDS = 96, 4, 64, 32, 15


def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return scores.softmax(-1).to(v.dtype) @ v


def seconds(attention, dtype: torch.dtype) -> float:
    q, k, v = (torch.randn(ROWS, HEADS, POSITIONS, SIZE, dtype=dtype, requires_grad=True) for _ in range(3))
    start = time.perf_counter()
    attention(q, k, v).sum().backward()
    return time.perf_counter() - start


def main(path: Path) -> None:
    torch.manual_seed(0)
    result: dict[str, object] = {
        "command": "python benchmarks/attention_cpu.py results/attention_cpu.json",
        "shape": [ROWS, HEADS, POSITIONS, SIZE],
        "device": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        ratios = []
        for _ in range(ROUNDS):  # alternating, so that both see the same machine
            fused, own = seconds(F.scaled_dot_product_attention, dtype), seconds(plain, dtype)
            ratios.append(fused / own)
        ratios = sorted(ratios[3:])
        result[name] = {"fused_over_plain": statistics.median(ratios), "range": [ratios[0], ratios[-1]]}
        print(f"{name}: the fused kernel takes {statistics.median(ratios):.1f} times as long as two plain products")
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
