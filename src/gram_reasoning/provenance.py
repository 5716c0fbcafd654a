"""What made a number: the command, the code, the machine."""

import platform
import shlex
import subprocess
from pathlib import Path
from typing import Any

import torch

from gram_reasoning import __version__


def provenance(command: list[str], seconds: float, device: torch.device) -> dict[str, Any]:
    """What stands beside stored numbers, so that they can be made again."""
    return {
        "command": shlex.join(["gram", *command]),
        "commit": commit(),
        "seconds": round(seconds, 3),
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type}, {platform.machine()}",
        "threads": torch.get_num_threads(),
        "version": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def commit() -> str | None:
    """The commit of the repository that holds this file, with a mark if src/ differs from it; None if installed."""
    here = Path(__file__).parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=False, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", "__init__.py") is None or (head := git("rev-parse", "HEAD")) is None:
        return None
    return head + (" with changes" if git("status", "--porcelain", "--", ".") else "")
