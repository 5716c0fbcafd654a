"""The defaults of configs: what a config.json or a caller leaves out means what it meant in older versions."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from gram_reasoning.inference.pool import Course
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.inference.set_config import SetConfig
from gram_reasoning.models.configs import MODEL_KINDS

STORED = Path(__file__).with_name("defaults.json")
CONFIGS: dict[str, Any] = {**MODEL_KINDS, "sampler": SamplerConfig, "set": SetConfig, "course": Course}


def defaults(name: str) -> dict[str, Any]:
    fields = {f.name: f for f in dataclasses.fields(CONFIGS[name])}
    given = {f: field.default for f, field in fields.items() if field.default is not dataclasses.MISSING}
    return {f: value for f, value in given.items() if not dataclasses.is_dataclass(value)}


@pytest.mark.parametrize("name", sorted(MODEL_KINDS))
def test_debug_versions_are_small(name: str):
    small = MODEL_KINDS[name]().small()
    sizes = {part: getattr(small, part) for part in ("hidden_size", "mlp_size", "num_layers")}
    assert sizes["hidden_size"] <= 32
    assert sizes["mlp_size"] <= 64
    assert sizes["num_layers"] <= 2
    assert getattr(small, "mixer_size", 16) <= 16
    for steps in ("loops", "supervision_steps", "transitions", "sampling_steps"):
        assert getattr(small, steps, 1) <= 4


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_defaults_are_those_of_older_files(name: str):
    assert json.loads(json.dumps(defaults(name))) == json.loads(STORED.read_text())[name]
