"""Sudoku puzzles of one band of difficulty, from files of the public set: train.csv, validation.csv and test.csv.

    python benchmarks/sudoku_band.py data/sudoku-band data/sudoku-extreme/*.csv.gz --high 0

The files are CSV with the columns question, answer and rating, gzipped or not; the rating is the number of guesses of
an exact solver. A puzzle comes into one part by a hash of itself; each part has at most as many as asked for.
"""

import argparse
import csv
import gzip
import hashlib
import sys
from pathlib import Path


def rows_of(path: Path) -> list[dict[str, str]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--low", type=int, default=0)
    parser.add_argument("--high", type=int, required=True)
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--validation", type=int, default=200)
    parser.add_argument("--test", type=int, default=500)
    options = parser.parse_args()

    found = {}
    for path in options.files:
        for row in rows_of(path):
            if options.low <= int(row["rating"]) <= options.high:
                found[row["question"]] = row
    order = sorted(found, key=lambda question: hashlib.sha256(question.encode()).hexdigest())
    needed = options.train + options.validation
    if len(order) <= needed:
        sys.exit(f"{len(order)} puzzles of rating {options.low} to {options.high}, expected more than {needed}")
    cuts = {"train": (0, options.train), "validation": (options.train, needed), "test": (needed, needed + options.test)}
    options.out.mkdir(parents=True, exist_ok=True)
    for part, (start, stop) in cuts.items():
        with (options.out / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ("question", "answer", "rating"), extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(found[question] for question in order[start:stop])
        print(f"{options.out / part}.csv: {len(order[start:stop])} puzzles")
    return 0


if __name__ == "__main__":
    sys.exit(main())
