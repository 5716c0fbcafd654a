"""Graph colouring: the paper's two sizes, and pocket runs for two CPU cores."""

from dataclasses import replace

from gram_reasoning.config import Recipe
from gram_reasoning.recipes.nqueens import nqueens7_pocket, nqueens8
from gram_reasoning.recipes.variants import twin
from gram_reasoning.task_configs import GraphColoringConfig


def coloring8() -> Recipe:
    """8 vertices at the paper's size."""
    return replace(
        nqueens8(),
        name="coloring8",
        summary="3-colouring, 8 vertices, the paper's size (10M parameters, batch 768). One GPU; not yet run here.",
        task=GraphColoringConfig(vertices=8, edge_probability=0.55, graphs=1700),
    )


def coloring10() -> Recipe:
    """10 vertices at the paper's size."""
    return replace(
        coloring8(),
        name="coloring10",
        summary="3-colouring, 10 vertices, the paper's size (10M parameters, batch 768). One GPU; not yet run here.",
        task=GraphColoringConfig(vertices=10, edge_probability=0.42, graphs=1280),
    )


def coloring6() -> Recipe:
    """6 vertices on two CPU cores."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="coloring6",
        summary="3-colouring, 6 vertices: minutes on two CPU cores.",
        task=GraphColoringConfig(vertices=6, edge_probability=0.5, graphs=3000),
        model=replace(base.model, prefix_tokens=17),  # 17 + 15 = 32 tokens
    )


def coloring6_twin() -> Recipe:
    """The deterministic twin of coloring6: one answer for each graph."""
    return twin(coloring6())


RECIPES = (coloring8, coloring10, coloring6, coloring6_twin)
