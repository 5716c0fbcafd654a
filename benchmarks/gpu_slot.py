"""One recipe in one GPU slot: train by the clock, judge, and leave everything worth keeping in a folder.

    python benchmarks/gpu_slot.py nqueens8 out --minutes 18 --train.compile kernels --train.steps 24000

trains (or goes on with) runs/slot-nqueens8 for at most 18 minutes, then measures the step and the sampler, judges the
averaged weights on the test inputs with 20 samples and 4, 8, 16, 32 and 64 supervision steps, and once with
halting, and writes

    out/model/          config.json and the averaged weights in files of at most 15 MB
    out/metrics.jsonl   the log of the run
    out/results.json    every evaluation (both protocols, per number of solutions, 1 to 20 samples), the measurements,
                        and how long each stage took

`--judge no` only trains, `--minutes 0` only judges: a slot that comes in several calls trains first and judges last.
Options that it does not know go to `gram train`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def gram(*arguments: str) -> float:
    """Run one command; its seconds."""
    print("gram", *arguments, flush=True)
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "gram_reasoning", *arguments], check=True)
    return time.monotonic() - start


def judge(recipe: str, run: Path, steps: list[int], common: list[str], train: list[str]) -> dict[str, Any]:
    """Every evaluation and measurement of the run."""
    seconds, evaluations = {}, []
    config = json.loads((run / "config.json").read_text())
    precision = config["train"]["precision"]
    budgets = [(n, []) for n in steps] + [(config["model"]["supervision_steps"], ["--halting"])]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        for n, extra in budgets:
            arguments = ["--samples", "20", "--steps", str(n), "--precision", precision, "--chunk", "4096", *extra]
            name = f"eval, {n} steps{', halting' if extra else ''}"
            seconds[name] = gram("eval", str(run), *arguments, *common, "--json", str(out))
            evaluations.append(json.loads(out.read_text()))
        arguments = ["--parts", "memory", "step", "sampler", "--checkpoint", str(run), *train]
        seconds["bench"] = gram("bench", recipe, *arguments, *common, "--json", str(out))
        bench = json.loads(out.read_text())
    return {"recipe": config, "evaluations": evaluations, "bench": bench, "seconds": seconds}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=18.0, help="of training, in this call; 0 trains nothing")
    parser.add_argument("--judge", choices=("yes", "no"), default="yes")
    parser.add_argument("--run", type=Path, help="folder of the run; the default is runs/slot-RECIPE")
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--device", default="auto")
    options, train = parser.parse_known_args(arguments)
    run = options.run or Path("runs") / f"slot-{options.recipe}"
    common = ["--device", options.device]
    stages = {}
    if options.minutes > 0:
        limit = ["--max-minutes", str(options.minutes)]
        stages["train"] = gram("train", options.recipe, "--out", str(run), "--resume", *limit, *common, *train)
    if options.judge == "no":
        return
    options.out.mkdir(parents=True, exist_ok=True)
    results = judge(options.recipe, run, options.steps, common, train)
    results["seconds"] = {**stages, **results["seconds"]}
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    shutil.copy(run / "metrics.jsonl", options.out / "metrics.jsonl")
    shutil.rmtree(options.out / "model", ignore_errors=True)
    gram("export", str(run), "--out", str(options.out / "model"), "--max-mb", "15")
    total = sum(results["seconds"].values())
    print(f"{total / 60:.1f} minutes: {json.dumps({name: round(s, 1) for name, s in results['seconds'].items()})}")


if __name__ == "__main__":
    main()
