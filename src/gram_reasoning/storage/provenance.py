"""What made a number: the command, the code, the machine."""

import platform
import shlex
import subprocess
from pathlib import Path
from typing import Any

import torch

from gram_reasoning import __version__


def provenance(command: list[str], seconds: float, cpu_seconds: float, device: torch.device) -> dict[str, Any]:
    """What stands beside stored numbers, so that they can be made again.

    Args:
        seconds, cpu_seconds: what it took, by the clock and of this process's CPU.
    """
    spent = {"seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3)}
    return {"command": shlex.join(["gram", *command]), **spent, **machine(device)}


def machine(device: torch.device) -> dict[str, Any]:
    """Where, and with which code, a number was made."""
    return {
        "commit": commit(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {processor()}",
        "threads": torch.get_num_threads(),
        "version": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def processor() -> str:
    """The name of this machine's CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit() -> str | None:
    """The commit of the repository that holds this file, with a mark if src/ differs from it; None if installed."""
    here = Path(__file__).parent.parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=False, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", "__init__.py") is None or (head := git("rev-parse", "HEAD")) is None:
        return None
    return head + (" with changes" if git("status", "--porcelain", "--", ".") else "")
