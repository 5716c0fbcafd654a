"""metrics.jsonl: one object a line, always written; TensorBoard beside it when asked for."""

import json
import math
from pathlib import Path
from typing import Any

from gram_reasoning import trees
from gram_reasoning.errors import UserError


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; the last may have been cut short by a kill. None if there is no file."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


class RunLog:
    """Appends to a run's metrics.jsonl. Lines after `step` (from a run that died later) are first moved to
    metrics-lost.jsonl: the steps that they tell of come again.

    Args:
        run: its folder; None for a process that leaves writing to another.
    """

    def __init__(self, run: Path | None, step: int = 0, tensorboard: bool = False) -> None:
        self.file = self.board = None
        if run is None:
            return
        self.path = run / "metrics.jsonl"
        lines = read_lines(self.path)
        kept = [line for line in lines if line["step"] <= step] if step else []
        if len(kept) < len(lines):
            with self.path.with_name("metrics-lost.jsonl").open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines[len(kept) :])
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        temporary.replace(self.path)
        self.file = self.path.open("a", encoding="utf-8")
        self.board = _summary_writer(run) if tensorboard else None

    def write(self, kind: str, step: int, **values: Any) -> None:
        """One line: {"kind", "step", ...}. Numbers that are not finite become null."""
        if self.file is None:
            return
        try:
            self.file.write(json.dumps({"kind": kind, "step": step, **_finite(values)}) + "\n")
            self.file.flush()
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); resume when it can") from error
        if self.board:
            for name, value in trees.named(values).items():
                if isinstance(value, (int, float)):
                    self.board.add_scalar(f"{kind}/{name.replace('.', '/')}", float(value), step)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *exc: object) -> None:
        if self.file:
            self.file.close()
        if self.board:
            self.board.close()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _summary_writer(run: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(f"--train.tensorboard: {error}; install it with: pip install tensorboard") from error
    return SummaryWriter(run / "tensorboard")
