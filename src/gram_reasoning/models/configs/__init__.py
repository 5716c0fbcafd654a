"""What each model can be set to: one frozen dataclass a model, told apart by its `kind`. Imports no torch."""

from gram_reasoning.models.configs.base import ModelConfig
from gram_reasoning.models.configs.gram import GramConfig
from gram_reasoning.models.configs.networks import (
    DirectConfig,
    HrmConfig,
    LoopedConfig,
    LoopedFlowConfig,
    NetworkConfig,
    TrmConfig,
    VariationalConfig,
)
from gram_reasoning.models.configs.tokens import (
    AutoregressiveConfig,
    DiscreteDiffusionConfig,
    MaskedDiffusionConfig,
    SequenceConfig,
    TokenDiffusionConfig,
)

__all__ = [
    "CONFIGS",
    "MODEL_KINDS",
    "UNNAMED",
    "AutoregressiveConfig",
    "DirectConfig",
    "DiscreteDiffusionConfig",
    "GramConfig",
    "HrmConfig",
    "LoopedConfig",
    "LoopedFlowConfig",
    "MaskedDiffusionConfig",
    "ModelConfig",
    "NetworkConfig",
    "SequenceConfig",
    "TokenDiffusionConfig",
    "TrmConfig",
    "VariationalConfig",
]

CONFIGS = (
    GramConfig,
    DirectConfig,
    LoopedConfig,
    HrmConfig,
    TrmConfig,
    LoopedFlowConfig,
    AutoregressiveConfig,
    MaskedDiffusionConfig,
    DiscreteDiffusionConfig,
    VariationalConfig,
)
MODEL_KINDS: dict[str, type[ModelConfig]] = {config.kind: config for config in CONFIGS}
"""Every kind of model and its config; `build.register_model` adds one of your own."""
UNNAMED = GramConfig
"""The model of configs that name no kind, as those of the first releases."""
