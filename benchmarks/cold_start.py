"""How long the command takes to answer from nothing: medians of seven runs, printed and written as JSON.

    python benchmarks/cold_start.py results/cold_start.json

Promises: `gram solve` on one board at most 1.5 s above `import torch`; `gram --help` and `gram recipes` at most 0.5 s.
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 7
BOARD = "......./......./....Q../......./......./......./......."
GRAM = ["-m", "gram_reasoning"]
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "gram --help": [*GRAM, "--help"],
    "gram solve --help": [*GRAM, "solve", "--help"],
    "gram recipes": [*GRAM, "recipes"],
    "gram solve BOARD": [*GRAM, "solve", BOARD],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    for arguments in COMMANDS.values():
        seconds(arguments)  # once for the disk cache
    taken = {name: [] for name in COMMANDS}
    for _ in range(RUNS):  # in turns, so that other work on the machine touches all alike
        for name, arguments in COMMANDS.items():
            taken[name].append(round(seconds(arguments), 3))
    median = {name: round(statistics.median(values), 3) for name, values in taken.items()}
    above = round(median["gram solve BOARD"] - median["import torch"], 3)
    light = [name for name in COMMANDS if name in ("gram --help", "gram solve --help", "gram recipes")]
    holds = above <= 1.5 and all(median[name] <= 0.5 for name in light)
    for name, value in median.items():
        print(f"{name:20} {value:.3f} s")
    print(f"{'solve above torch':20} {above:.3f} s\nthe promises {'hold' if holds else 'DO NOT HOLD'}")
    if len(sys.argv) > 1:
        import torch

        about = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "machine": platform.processor() or platform.machine(),
        }
        result = {**about, "runs": RUNS, "median": median, "solve_above_torch": above, "holds": holds, "seconds": taken}
        Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
