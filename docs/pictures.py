"""The pictures of docs/idea.md: `python docs/pictures.py` draws them again, from the bundled 7x7 model alone.

steps.png: what three trajectories on one board decode to after every step. step.svg: a supervision step as a diagram.
"""

from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import gram_reasoning
from gram_reasoning.analysis.trajectories import record
from gram_reasoning.inference.sampler import SamplerConfig
from gram_reasoning.tasks.nqueens import QUEEN

HERE = Path(__file__).parent
BOARD = "......./......./....Q../......./......./......./......."
SAMPLES = 12
PRIOR, POSTERIOR, PLAIN = "#3b6ea8", "#b4552d", "#e8e4dc"


def steps(path: Path) -> None:
    """Rows: three trajectories that end in three answers; columns: the start and every step; grey: p(queen)."""
    solver = gram_reasoning.load("nqueens7")
    tokens = solver.task.parse(BOARD, "board")[0][1]  # type: ignore[attr-defined]
    paths = record(solver.model, tokens, SamplerConfig(samples=SAMPLES, steps=6, seed=0))[..., QUEEN]
    ends = [tuple((path[-1] > 0.5).tolist()) for path in paths]
    chosen = [ends.index(end) for end in dict.fromkeys(ends)][:3]
    given = (tokens == QUEEN).view(7, 7).nonzero()
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    for row, axes in zip(chosen, figure.subplots(len(chosen), 7, squeeze=False), strict=True):
        for step, ax in enumerate(axes):
            ax.imshow(paths[row, step].view(7, 7), cmap="Greys", vmin=0, vmax=1)
            ax.plot(given[:, 1], given[:, 0], "o", color=PRIOR, markersize=5)
            ax.set(xticks=[], yticks=[])
            if row == chosen[0]:
                ax.set_title("start" if step == 0 else f"step {step}", fontsize=10)
        axes[0].set_ylabel(f"trajectory {row + 1}", fontsize=10)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def step(path: Path) -> None:
    """One transition: K low steps, the proposal, and the sample; the posterior beside it, in training alone."""
    figure = Figure(figsize=(9.2, 3.4))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 100), ylim=(2, 40))
    ax.axis("off")

    def box(x: float, y: float, wide: float, text: str, color: str = PLAIN, ink: str = "black") -> None:
        ax.add_patch(FancyBboxPatch((x, y), wide, 6, boxstyle="round,pad=0.4", facecolor=color, edgecolor="none"))
        ax.text(x + wide / 2, y + 3, text, ha="center", va="center", fontsize=10, color=ink)

    def arrow(start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
        ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color="#555"))
        if text:
            middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
            ax.text(middle[0] + 0.8, middle[1], text, va="center", fontsize=9, color="#333")

    box(2, 18, 11, "state h, l")
    box(22, 18, 14, "low network\nK times")
    box(45, 18, 13, "high network\nproposes u")
    box(67, 18, 11, "h = u + ε")
    box(86, 18, 11, "next state")
    box(22, 5, 14, "puzzle x")
    box(62, 31, 21, "prior: ε from u alone", PRIOR, "white")
    box(62, 5, 21, "posterior: from u and y", POSTERIOR, "white")
    for one, two in ((13.4, 21.6), (36.4, 44.6), (58.4, 66.6), (78.4, 85.6)):
        arrow((one, 21), (two, 21))
    arrow((29, 11.4), (29, 17.6))
    arrow((72.5, 30.6), (72.5, 24.4), "when it is used")
    arrow((72.5, 11.4), (72.5, 17.6), "in training: y is the answer,\nand each nat is counted")
    ax.text(2, 31, "T such transitions are a supervision step;\nthen the heads read an answer from h", fontsize=10)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "gram"  # the same file every time
    torch.set_num_threads(1)
    steps(HERE / "steps.png")
    step(HERE / "step.svg")
