"""Generative recursive reasoning (GRAM) in PyTorch.

`load` and what it needs are imported when they are first used: `import gram_reasoning` itself imports no torch.
"""

from typing import TYPE_CHECKING, Any

from gram_reasoning.errors import UserError

if TYPE_CHECKING:
    from gram_reasoning.api import Answer, Solved, Solver, load

__version__ = "0.2.0"
__all__ = ["Answer", "Solved", "Solver", "UserError", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gram_reasoning import api

    return getattr(api, name)
