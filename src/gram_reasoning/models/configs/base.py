"""What the config of every model has in common."""

from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the config of every model has in common: the name of its kind, which JSON files carry."""

    kind: ClassVar[str]

    def small(self) -> Self:
        """The same model so small that it trains in seconds, for debug twins."""
        return self
