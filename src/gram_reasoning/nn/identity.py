"""A learnt vector for each identity: what the input belongs to, such as one ARC task in one augmentation."""

from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 4096
"""Rows of the table in one tensor of a file, so that files can be cut between them."""


class IdentityTable(nn.Module):
    """A table of vectors (R, D), of which a step touches only the rows in its batch.

    It can be far larger than the network, so it is a buffer: no optimizer state, no weight average, no dense gradient.
    The rows of a batch are leaves of the graph, and `learn` moves them by the sign of their gradient (signSGD with
    decoupled decay): it has no moments to keep, and a row that comes up rarely still moves as far as any other.
    """

    vectors: Tensor

    def __init__(self, rows: int, size: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(rows, size))

    def forward(self, numbers: Tensor) -> Tensor:
        """The vectors (B, D) of the identities `numbers` (B,)."""
        return self.vectors[numbers]

    @torch.no_grad()
    def learn(self, numbers: Tensor, gradient: Tensor, lr: float, decay: float) -> None:
        """Move each identity in `numbers` (B,) once, against the sum of its rows' `gradient` (B, D)."""
        same = numbers[:, None] == numbers
        first = same.byte().argmax(1)  # rows of one identity write the same number, whoever writes last
        total = (same.to(gradient.dtype) @ gradient)[first]
        self.vectors[numbers] = self.vectors[numbers] * (1 - lr * decay) - lr * total.sign()

    # -- files: the table as blocks `00000`, `00001`, ... ------------------------------------------------------

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        del keep_vars  # it has no gradient
        for i, block in enumerate(self.vectors.split(BLOCK)):
            destination[f"{prefix}{i:05}"] = block.clone()  # tensors of one file may not share memory

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        del local_metadata, strict, error_msgs
        blocks = {f"{prefix}{i:05}": block for i, block in enumerate(self.vectors.split(BLOCK))}
        missing_keys += [name for name in blocks if name not in state_dict]
        unexpected_keys += [name for name in state_dict if name.startswith(prefix) and name not in blocks]
        for name, block in blocks.items():
            if name in state_dict:
                block.copy_(state_dict[name])
