"""What the paper generates boards and digits against, at its sizes and for two CPU cores."""

from dataclasses import replace
from typing import Any

from gram_reasoning.config import EvalConfig, Recipe
from gram_reasoning.models.configs import DiscreteDiffusionConfig, TrmConfig, VariationalConfig
from gram_reasoning.recipes.mnist import mnist, mnist_pocket
from gram_reasoning.recipes.rivals import SMALL, rival
from gram_reasoning.recipes.sequence import QUICK, drawn
from gram_reasoning.recipes.sudoku import sudoku4_boards, sudoku9_boards

SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "small": ("15.3M parameters", {}),
    "big": ("55.2M parameters", {"hidden_size": 768, "num_heads": 12, "mlp_size": 2048, "num_layers": 5}),
}
"""D3PM's two sizes in the paper, 15.9M and 55.1M."""
POCKET: dict[str, Any] = {"hidden_size": 64, "num_heads": 4, "mlp_size": 128, "num_layers": 3, "sampling_steps": 100}
MINUTES = {
    "sudoku9-boards-d3pm-uniform-small": "2.3",
    "sudoku9-boards-d3pm-uniform-big": "8.4",
    "sudoku9-boards-d3pm-absorbing-small": "2.3",
    "sudoku9-boards-d3pm-absorbing-big": "8.4",
    "mnist-d3pm": "45",
    "mnist-vae": "68",
}
"""Of an H200, as benchmarks/recipe_costs.py counts them."""


def cost(name: str) -> str:
    return f"Projected: {MINUTES[name]} H200-minutes; not yet run here."


def boards(corruption: str, size: str) -> Recipe:
    """Full 9x9 boards from nothing by D3PM."""
    name, (told, model) = f"sudoku9-boards-d3pm-{corruption}-{size}", SIZES[size]
    summary = f"Full 9x9 boards from nothing by D3PM, {corruption}, {told}. {cost(name)}"
    return drawn(sudoku9_boards(), name, summary, DiscreteDiffusionConfig(corruption=corruption, **model))  # type: ignore[arg-type]


def boards_pocket(corruption: str) -> Recipe:
    """Full 4x4 boards from nothing by D3PM on one CPU core."""
    name = f"sudoku4-boards-d3pm-{corruption}-pocket"
    summary = f"Full 4x4 boards from nothing by D3PM, {corruption}: minutes on one CPU core."
    model = DiscreteDiffusionConfig(corruption=corruption, **POCKET)  # type: ignore[arg-type]
    return drawn(sudoku4_boards(), name, summary, model, EvalConfig(samples=2880), **QUICK, steps=3000)


def boards_trm_pocket() -> Recipe:
    """Full 4x4 boards from nothing by TRM, which has one answer to one input."""
    model = TrmConfig(**{**SMALL, "prefix_tokens": 16}, low_steps=2, transitions=2, supervision_steps=6)
    base = sudoku4_boards()
    summary = "Full 4x4 boards from nothing by TRM, which can but give one: a minute on one CPU core."
    recipe = rival(base, "sudoku4-boards-trm-pocket", summary, model, base.evaluation.samples, steps=400)
    return replace(recipe, evaluation=EvalConfig(samples=2880))


def mnist_d3pm() -> Recipe:
    """28x28 by D3PM."""
    summary = f"Binarised digits, 28x28, by D3PM, absorbing, 15.6M parameters. {cost('mnist-d3pm')}"
    model = DiscreteDiffusionConfig(corruption="absorbing", layout="patches")
    return drawn(mnist(), "mnist-d3pm", summary, model)


def mnist_d3pm_pocket() -> Recipe:
    """14x14 by D3PM on one CPU core."""
    model = DiscreteDiffusionConfig(
        **POCKET, corruption="absorbing", layout="patches", patch_channels=16, token_mixer="grid"
    )
    summary = "Binarised digits, 14x14, by D3PM: minutes on one CPU core."
    train = {**QUICK, "steps": 1500, "eval_every": 1500, "eval_samples": 16}
    return drawn(mnist_pocket(), "mnist-d3pm-pocket", summary, model, EvalConfig(samples=1000), **train)


DRAWN = EvalConfig(samples=1000, draw_tokens=True)
"""A VAE's pixels are drawn from their probabilities: the distribution whose likelihood it bounds."""


def mnist_vae() -> Recipe:
    """28x28 by a VAE."""
    summary = f"Binarised digits, 28x28, by a VAE, 14.4M parameters. {cost('mnist-vae')}"
    return drawn(mnist(), "mnist-vae", summary, VariationalConfig(layout="patches"), DRAWN)


def mnist_vae_pocket() -> Recipe:
    """14x14 by a VAE on one CPU core."""
    model = VariationalConfig(
        hidden_size=64,
        num_heads=4,
        mlp_size=128,
        num_layers=3,
        layout="patches",
        patch_channels=16,
        token_mixer="grid",
        positions="learned",
        prefix_tokens=1,
        latent_size=32,
    )
    summary = "Binarised digits, 14x14, by a VAE: minutes on one CPU core."
    return drawn(mnist_pocket(), "mnist-vae-pocket", summary, model, DRAWN, **QUICK, steps=2000)


def _built() -> list[Recipe]:
    corruptions = ("uniform", "absorbing")
    return [
        *(boards(corruption, size) for corruption in corruptions for size in SIZES),
        *(boards_pocket(corruption) for corruption in corruptions),
        boards_trm_pocket(),
        mnist_d3pm(),
        mnist_d3pm_pocket(),
        mnist_vae(),
        mnist_vae_pocket(),
    ]


RECIPES = tuple(lambda recipe=recipe: recipe for recipe in _built())
