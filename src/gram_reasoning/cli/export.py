"""`gram export`: the averaged weights of a run as a folder to share."""

from dataclasses import dataclass
from pathlib import Path

from gram_reasoning.cli.border import named, parse
from gram_reasoning.errors import UserError

EXAMPLE = "gram export runs/eight --out shared/eight --max-mb 15"


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Write the averaged weights of a run, its configuration and a card into a folder that every command loads."""

    out: Path
    """The folder; it must not exist."""
    max_mb: float | None = None
    """Largest size of a file, in MB of a million bytes; the weights go into as many files as it takes."""


def run(arguments: list[str]) -> int:
    prog = "gram export CHECKPOINT"
    name, rest = named(arguments, "the folder of a run or a model", ExportOptions, prog, EXAMPLE)
    options = parse(ExportOptions, rest, prog, EXAMPLE)
    if options.max_mb is not None and not options.max_mb > 0:
        raise UserError(f"--max-mb: got {options.max_mb}, expected a number above 0")
    if options.out.exists():
        raise UserError(f"{options.out}: exists already, expected the name of a new folder")

    from gram_reasoning.api import load

    load(name, "cpu").save_pretrained(options.out, max_mb=options.max_mb)
    files = sorted(options.out.iterdir())
    print(f"{len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:.1f} MB written to {options.out}")
    return 0
