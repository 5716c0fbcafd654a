"""Build sdist and wheel, install the wheel into an empty environment outside the repository, and solve a board there.

    python tests/wheel_check.py [--python PYTHON] [--torch "torch==2.13.0"] [--pip-flags ...] [--keep FOLDER]

`make wheel-check` runs it. It needs a package index, or a pip that knows where wheels are.
"""

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
INPUTS = {
    "nqueens 7": "......./......./....Q../......./......./......./.......",
    "nqueens 6": "/".join(["......"] * 6),
    "nqueens 10": "Q........./" + "/".join([".........."] * 9),
    "sudoku 4": "1.../..3./.4../...2",
    "sudoku 9": "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79",
    "coloring 8": "1 2/2 3/3 4/4 5/5 6/6 7/7 8/8 1/1 4/2 6",
    "maze 10": "S.#......./..#.####../#......#../..###..#../.##....#../....##.#../.##.#..#../..#...##../...#...#.G/"
    + "." * 10,
}
"""One input of each task, in the forms that people have; two sizes of queens have a model of their own."""
MOST_MEGABYTES = 20
SECONDS = 5.0
"""Most that a cold `gram solve` may take."""


def lines_of(name: str) -> str:
    """An input over several lines, as it stands in a file."""
    return INPUTS[name].replace("/", "\n") + "\n"


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def check(holds: bool, what: str) -> None:
    print(f"{'ok' if holds else 'FAILED'}: {what}")
    if not holds:
        sys.exit(1)


def tracked(folder: str) -> set[str]:
    listed = run("git", "ls-files", folder, cwd=ROOT).split("\n")
    return {name for name in listed if name}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--python", default=sys.executable)
    options.add_argument("--torch", default="torch")
    options.add_argument("--pip-flags", default="")
    options.add_argument("--keep", help="work in this folder and leave it there")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(chosen.keep or temporary).absolute()
        dist, home = folder / "dist", folder / "elsewhere"
        home.mkdir(parents=True, exist_ok=True)

        python = folder / "build" / "bin" / "python"
        run(chosen.python, "-m", "venv", folder / "build", cwd=home)
        run(python, "-m", "pip", "install", "-q", "build", "hatchling", cwd=home)
        run(python, "-m", "build", "--no-isolation", "--outdir", dist, ROOT, cwd=home)  # the wheel, from the sdist
        [sdist], [wheel] = dist.glob("*.tar.gz"), dist.glob("*.whl")

        inside = set(zipfile.ZipFile(wheel).namelist())
        source = {name.removeprefix("src/") for name in tracked("src")}
        check(source <= inside, f"{wheel.name} holds all {len(source)} files of src")
        extra = {name for name in inside - source if ".dist-info/" not in name}
        check(not extra, f"and nothing else ({', '.join(sorted(extra)) or 'none'})")
        with tarfile.open(sdist) as archive:
            packed = {name.partition("/")[2] for name in archive.getnames()}
        wanted = {
            name for part in ("src", "tests", "docs", "examples", "README.md", "LICENSE") for name in tracked(part)
        }
        check(
            wanted <= packed,
            f"{sdist.name} holds sources, tests and docs ({', '.join(sorted(wanted - packed)) or 'all'})",
        )
        models = sum(info.file_size for info in zipfile.ZipFile(wheel).infolist() if "/pretrained/" in info.filename)
        check(
            models <= MOST_MEGABYTES * 1e6,
            f"models take {models / 1e6:.1f} MB; {wheel.name} {wheel.stat().st_size / 1e6:.1f} MB",
        )

        python = folder / "empty" / "bin" / "python"
        run(chosen.python, "-m", "venv", folder / "empty", cwd=home)
        run(python, "-m", "pip", "install", "-q", *chosen.pip_flags.split(), chosen.torch, wheel, cwd=home)
        gram = python.with_name("gram")
        print(run(gram, "--version", cwd=home).strip())
        where = run(python, "-c", "import gram_reasoning; print(gram_reasoning.__file__)", cwd=home).strip()
        check(where.startswith(str(folder)), "the installed package is the one that runs")
        for name in INPUTS:
            (home / "input.txt").write_text(lines_of(name))
            start = time.perf_counter()
            item = json.loads(run(gram, "solve", "input.txt", "--json", "-", cwd=home))
            took = time.perf_counter() - start
            found = sum(answer["verified"] for answer in item["answers"])
            check(found > 0, f"{name}: solved in {took:.1f} s, {found} of {item['known_solutions']} solutions")
            check(took < SECONDS, f"in less than {SECONDS:.0f} s")
        start = time.perf_counter()
        printed = run(gram, "generate", "--count", "4", cwd=home)
        check("not valid" not in printed, f"boards are generated in {time.perf_counter() - start:.1f} s")
        start = time.perf_counter()
        printed = run(gram, "generate", "--task", "digits", "--count", "4", "--picture", "digits.png", cwd=home)
        white = printed.count("#")
        check(4 * 15 < white < 4 * 80, f"digits are generated in {time.perf_counter() - start:.1f} s")
        printed = run(gram, "recipes", cwd=home)
        check("nqueens8" in printed, "recipes are listed")
        run(gram, "train", "nqueens7-pocket-debug", "--out", "run", "--threads", "1", cwd=home)
        run(gram, "eval", "run", "--limit", "2", cwd=home)
        check((home / "run" / "model" / "model.safetensors").is_file(), "a tiny run is trained and judged")


if __name__ == "__main__":
    main()
