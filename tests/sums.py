"""Write results/SHA256SUMS anew: `make sums`. `cd results && sha256sum -c SHA256SUMS` checks it without Python."""

import hashlib
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"
SUMS = "SHA256SUMS"
COVERED = (".json", ".jsonl", ".log", ".md", ".txt")
"""Logs and tables; pictures are drawn from them."""


def covered(folder: Path) -> list[Path]:
    """The files that have a sum."""
    return sorted(path for path in folder.rglob("*") if path.suffix in COVERED and path != folder / "README.md")


def sums(folder: Path) -> str:
    lines = (
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}" for p in covered(folder)
    )
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    (RESULTS / SUMS).write_text(sums(RESULTS))
