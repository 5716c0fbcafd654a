"""What h knows about y, and when it is paid for: a working run beside a leaking one.

    python benchmarks/mechanism.py results/nqueens7 NAME=RUN [NAME=RUN ...]

writes mechanism.json and mechanism.png into that folder. RUN is a folder that `gram train` wrote.
"""

import json
import sys
from pathlib import Path

import torch

from gram_reasoning.analysis.mechanism import picture_of_mechanism, probe
from gram_reasoning.analysis.runs import load_run
from gram_reasoning.build import load_model
from gram_reasoning.models.base import RecursiveModel


def main() -> None:
    out = Path(sys.argv[1])
    runs = dict(argument.split("=", 1) for argument in sys.argv[2:])
    torch.manual_seed(0)
    logs, probes = {}, {}
    for name, folder in runs.items():
        _, task, model = load_model(Path(folder))
        if not isinstance(model, RecursiveModel):
            raise SystemExit(f"{folder}: no latent to probe")
        several = {part: task.split(part) for part in ("train", "test")}
        several = {part: p.subset((p.count >= 2).nonzero()[:, 0]) for part, p in several.items()}
        logs[name] = load_run(Path(folder))
        probes[name] = probe(model, several["train"].subset(torch.arange(150)), several["test"])
        print(name, probes[name])
    (out / "mechanism.json").write_text(json.dumps({"command": " ".join(sys.argv), "share_of_y": probes}, indent=1))
    picture_of_mechanism(logs, probes, out / "mechanism.png")


if __name__ == "__main__":
    main()
