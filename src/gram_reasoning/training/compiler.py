"""Whether PyTorch can compile here: asked before a run begins, not found out in its first step."""

import torch

from gram_reasoning.errors import UserError


def check_compiles(device: torch.device, mode: str) -> None:
    """UserError if `train.compile` asks for what this machine cannot: it compiles one small function.

    Takes seconds, most of which the run would need for the same.
    """
    if mode == "off":
        return
    try:
        torch.compile(lambda x: 2 * x.sin(), dynamic=False)(torch.ones(2, device=device))
    except (RuntimeError, OSError) as error:  # the compiler's, Triton's or the cache folder's
        lines = [line for line in str(error).splitlines() if line.strip() and not line.endswith("raised:")]
        raise UserError(
            f"--train.compile: got {mode!r}, but PyTorch cannot compile here ({lines[0].strip()}); "
            "expected a working compiler (g++ on a CPU, Triton on a GPU), or the option left out"
        ) from error
