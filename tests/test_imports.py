"""Arrows between the parts of the package point one way."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gram_reasoning
from gram_reasoning.build import MODELS
from gram_reasoning.models.configs import MODEL_KINDS

ROOT = Path(gram_reasoning.__file__).parent
TOP = {
    "training",
    "inference",
    "evaluation",
    "analysis",
    "recipes",
    "build",
    "api",
    "studies",
    "app",
    "cli",
    "__main__",
}
ONLY = {
    "errors": set(),
    "typed": {"errors"},
    "noise": set(),
    "trees": set(),
    "types": {"trees"},
    "processes": {"errors"},
    "config": {"errors", "tasks.configs", "models.configs"},
    "tasks.configs": {"errors"},
    "models.configs": {"models.configs", "errors"},
    "storage": {"storage", "errors", "__version__"},
    "nn": {"nn"},
    "recipes": {"recipes", "config", "tasks.configs", "models.configs", "errors"},
}
NEVER = {
    "tasks": TOP | {"models", "nn"},
    "models": TOP | {"tasks.base"},
    "inference": {"training", "evaluation", "recipes", "cli", "build", "api", "app"},
    "evaluation": {"training", "recipes", "cli", "build", "api", "app"},
    "training": {"recipes", "cli", "build", "api", "app"},
    "analysis": {"recipes", "cli", "build", "api", "app"},
    "build": {"cli", "api", "studies", "app"},
    "api": {"cli", "app"},
    "cli.border": TOP - {"cli"},
    "studies": {"cli", "api", "app", "__main__"},
    "app": {"cli", "training", "evaluation", "studies", "__main__"},
    "cli": {"__main__"},
}
"""Parts, and files in them, that others may not import. A name covers all below it."""


def imported(source: str, package: str) -> set[str]:
    """Names below gram_reasoning that a module of `package` imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("gram_reasoning.") for name in names if name.startswith("gram_reasoning.")}


def within(name: str, parts: set[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def arrows(part: str) -> dict[str, set[str]]:
    """What each file of a part, a module or a package, imports."""
    path = ROOT.joinpath(*part.split("."))
    files = [path.with_suffix(".py")] if path.with_suffix(".py").exists() else sorted(path.rglob("*.py"))
    assert files, f"no {part}"
    return {
        str(file.relative_to(ROOT)): imported(
            file.read_text(), ".".join(["gram_reasoning", *file.relative_to(ROOT).parts[:-1]])
        )
        for file in files
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import gram_reasoning.nn.layers as a, torch.nn", {"nn.layers"}),
        ("from gram_reasoning import noise, errors", {"noise", "errors"}),
        ("def f():\n    from gram_reasoning.models.gram import Gram", {"models.gram.Gram"}),
        ("from . import noise\nfrom .base import Task", {"tasks.noise", "tasks.base.Task"}),
        ("from ..models import base\nfrom .. import types", {"models.base", "types"}),
        ("from gram_reasoning_extra import noise\nimport types", set()),
    ],
)
def test_imports_are_found(source: str, expected: set[str]) -> None:
    assert imported(source, "gram_reasoning.tasks") == expected


@pytest.mark.parametrize(("part", "allowed"), ONLY.items())
def test_part_imports_only(part: str, allowed: set[str]) -> None:
    for file, names in arrows(part).items():
        assert {name for name in names if not within(name, allowed)} == set(), file


@pytest.mark.parametrize(("part", "forbidden"), NEVER.items())
def test_part_never_imports(part: str, forbidden: set[str]) -> None:
    for file, names in arrows(part).items():
        assert {name for name in names if within(name, forbidden)} == set(), file


def test_every_part_has_a_rule() -> None:
    parts = {p.stem for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert parts - {"__init__", "__main__"} == {name for name in ONLY.keys() | NEVER.keys() if "." not in name}


@pytest.mark.parametrize("module", ["gram_reasoning", "gram_reasoning.cli", "gram_reasoning.recipes"])
def test_light_modules_load_no_torch(module: str) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not {"torch", "matplotlib"} & set(loaded)


@pytest.mark.parametrize("part", ["training", "inference", "evaluation"])
def test_no_term_of_a_model_is_named_where_any_model_is_served(part: str) -> None:
    for file in (ROOT / part).rglob("*.py"):
        assert re.findall(r"\w*(?:kl|nats|posterior)\w*", file.read_text(), re.IGNORECASE) == [], file


def test_models_are_named_by_themselves_and_by_who_builds_them() -> None:
    named = {kind.__name__ for kind in MODELS.values()} | {config.__name__ for config in MODEL_KINDS.values()}
    for file in ROOT.rglob("*.py"):
        if file.relative_to(ROOT).parts[0] in ("models", "recipes", "build.py"):
            continue
        assert named & set(re.findall(r"\w+", file.read_text())) == set(), file


@pytest.mark.parametrize("name", ["", ".studies", ".models.configs", ".api", ".cli"])
def test_what_a_package_offers_is_there(name: str):
    module = importlib.import_module(f"gram_reasoning{name}")
    assert [offered for offered in module.__all__ if not hasattr(module, offered)] == []
