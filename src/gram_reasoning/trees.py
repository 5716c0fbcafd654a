"""Trees of tensors whose first axis is rows: what a model carries, whatever it is made of.

A tree is a tensor, or tensors in tuples, named tuples, lists and dicts, nested; `()` carries nothing. Whoever holds one
for a model, the slots of training or the pool of the sampler, picks rows and puts them together without looking inside.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Tree = Any


def over(function: Callable[..., Tensor], tree: Tree, *others: Tree) -> Tree:
    """The tree of what the function makes of each tensor, and of those at its place in the others."""
    return pytree.tree_map(function, tree, *others)


def where(rows_B: Tensor, tree: Tree, other: Tree) -> Tree:
    """Rows of `tree` where the mask holds, of `other` elsewhere."""
    return over(lambda a, b: torch.where(rows_B.view(-1, *[1] * (a.ndim - 1)), a, b), tree, other)


def cat(trees: Sequence[Tree]) -> Tree:
    """The rows of several trees after each other."""
    return trees[0] if len(trees) == 1 else over(lambda *parts: torch.cat(parts), *trees)


def named(tree: Tree) -> dict[str, Tensor]:
    """The tensors by their path, such as `high` in a named tuple or `0.high` in a tuple of one."""
    return {".".join(map(_word, path)): leaf for path, leaf in pytree.tree_flatten_with_path(tree)[0]}


def rebuilt(tree: Tree, tensors: dict[str, Tensor]) -> Tree:
    """A tree like this one, with the tensors of those names."""
    return pytree.tree_unflatten([tensors[name] for name in named(tree)], pytree.tree_structure(tree))


def _word(key: Any) -> str:
    return str(next(getattr(key, part) for part in ("name", "key", "idx") if hasattr(key, part)))
