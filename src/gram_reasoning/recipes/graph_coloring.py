"""Graph colouring: the paper's two sizes, and pocket runs for two CPU cores."""

from dataclasses import replace

from gram_reasoning.config import EvalConfig, Recipe
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.recipes.nqueens import POCKET_MODEL, nqueens7_pocket, nqueens8
from gram_reasoning.recipes.variants import rolled_out, small_portions, twin
from gram_reasoning.tasks.configs import GraphColoringConfig


def coloring8() -> Recipe:
    """8 vertices at the paper's size."""
    return replace(
        nqueens8(),
        name="coloring8",
        summary="3-colouring, 8 vertices, the paper's size. Projected: 33 H200-minutes; not yet run here.",
        task=GraphColoringConfig(vertices=8, edge_probability=0.55, graphs=1700),
        # As in coloring6, little at a time: 12 nats in 48 transitions.
        model=GramConfig(kl_budget_first=0.25, kl_budget_open=0.0, kl_budget=0.25),
    )


def coloring10() -> Recipe:
    """10 vertices at the paper's size."""
    return replace(
        coloring8(),
        name="coloring10",
        summary="3-colouring, 10 vertices, the paper's size. Projected: 46 H200-minutes; not yet run here.",
        task=GraphColoringConfig(vertices=10, edge_probability=0.42, graphs=1280),
    )


def coloring6() -> Recipe:
    """6 vertices on two CPU cores."""
    base = nqueens7_pocket()
    return replace(
        base,
        name="coloring6",
        summary="3-colouring, 6 vertices: twelve minutes on one CPU core with --train.compile kernels.",
        task=GraphColoringConfig(vertices=6, edge_probability=0.5, graphs=3000, renumber=True),
        # Every input has several solutions, and an answer is six tokens: ten nats would name it. So little at a time.
        model=replace(POCKET_MODEL, prefix_tokens=17, **small_portions(0.5, first=1.0)),  # 17 + 15 = 32 tokens
        train=replace(base.train, batch_size=192, lr=3e-3, steps=6000, eval_every=1000),
        evaluation=EvalConfig(steps=24),
    )


def coloring6_twin() -> Recipe:
    """The deterministic twin of coloring6: one answer for each graph."""
    return twin(coloring6())


def coloring6_units() -> Recipe:
    """The same graphs, mixed over the vertices of an edge; every slot rolls out, and has wishes."""
    base = coloring6()
    base = replace(
        base,
        name="coloring6-units",
        summary="3-colouring, 6 vertices, mixed over edges, by trajectories with wishes: two minutes on one CPU core.",
        task=replace(base.task, answer_at="appended", any_names=True),
    )
    return rolled_out(base, steps=2000, wishes=True)


def coloring_sizes() -> Recipe:
    """The model that `gram solve` uses: graphs of 5 to 10 vertices, also those of 3 and 4."""
    base = replace(
        coloring6(),
        name="coloring-sizes",
        summary="3-colouring of 5 to 10 vertices in one model that `gram solve` uses: minutes on one CPU core.",
        task=GraphColoringConfig(
            vertices=10,
            smallest=5,
            edge_probability=0.45,
            graphs=4000,
            test_share=0.17,  # so many that every graph that coloring6 holds out is held out here too
            answer_at="appended",
            renumber=True,
            any_names=True,
        ),
    )
    return rolled_out(base, steps=1500, wishes=True)


RECIPES = (coloring8, coloring10, coloring6, coloring6_twin, coloring6_units, coloring_sizes)
