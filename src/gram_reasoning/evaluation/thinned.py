"""A part of a split that stands for all of it: the hardest inputs whole, the others thinned, with weights."""

import numpy as np
import torch
from torch import Tensor

from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import PAD, Problems, Task


def thinned(task: Task, problems: Problems, others: int) -> tuple[Tensor, np.ndarray]:
    """All inputs with the fewest tokens given, and so many of the others, evenly from all of them.

    The fewest given leave the most solutions open: they are few, and most of the paper's coverage lies there.

    Returns:
        the rows of `problems` (m,), and how many inputs of the split each of them stands for (m,).

    Raises:
        UserError: the task does not say which tokens are open, or there are fewer others.
    """
    if task.open_token is None:
        raise UserError(f"--thin: {task.name} does not say which tokens are open, expected a task that does")
    given = ((problems.inputs != task.open_token) & (problems.inputs != PAD)).sum(1).cpu()
    fewest = given == given.min()
    whole, rest = fewest.nonzero()[:, 0], (~fewest).nonzero()[:, 0]
    if not 1 <= others <= len(rest):
        raise UserError(f"--thin: got {others}, expected 1 to {len(rest)}, the inputs that are not the hardest")
    taken = rest[torch.arange(others) * len(rest) // others]
    rows = torch.cat([whole, taken])
    weights = np.concatenate([np.ones(len(whole)), np.full(others, len(rest) / others)])
    order = rows.argsort()
    return rows[order], weights[order.numpy()]
