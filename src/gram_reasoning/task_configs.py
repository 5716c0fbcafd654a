"""What each task can be set to: one frozen dataclass a task, told apart by its `kind`. Imports no torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from gram_reasoning.errors import check


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What the config of every task has in common: the name of its kind, which JSON files carry."""

    kind: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class SplitConfig(TaskConfig):
    """For tasks that make all their inputs and hold some out."""

    split_seed: int = 0
    """Which inputs are held out."""
    test_share: float = 0.15
    """Share of the unique inputs held out as the test split."""
    validation_share: float = 0.05
    """Share of the unique inputs held out of training for monitoring and choosing."""

    def __post_init__(self) -> None:
        check(0 < self.test_share < 0.9, "task.test_share", self.test_share, "a share in (0, 0.9)")
        check(0 < self.validation_share < 0.9, "task.validation_share", self.validation_share, "(0, 0.9)")
        check(self.test_share + self.validation_share < 1, "task.test_share", self.test_share, "room to train")


@dataclass(frozen=True, kw_only=True)
class NQueensConfig(SplitConfig):
    """N queens on an N x N board, some of them given: complete the board."""

    kind: ClassVar[str] = "nqueens"

    size: int = 8
    """Side of the board, 4 to 12."""
    min_removed: int | None = None
    """Fewest queens taken away from a full board; None means size - 3, as in the paper."""
    max_removed: int | None = None
    """Most queens taken away; None means size - 1, as in the paper. `size` includes the empty board."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(4 <= self.size <= 12, "task.size", self.size, "a board side from 4 to 12")
        low, high = self.removed
        check(1 <= low <= high <= self.size, "task.min_removed", (low, high), "1 <= min <= max <= size")

    @property
    def removed(self) -> tuple[int, int]:
        """Fewest and most queens removed, the defaults filled in."""
        low = self.size - 3 if self.min_removed is None else self.min_removed
        high = self.size - 1 if self.max_removed is None else self.max_removed
        return low, high


@dataclass(frozen=True, kw_only=True)
class GraphColoringConfig(SplitConfig):
    """Colour the vertices of a random graph with three colours, so that no edge joins two of one colour."""

    kind: ClassVar[str] = "coloring"

    vertices: int = 8
    """Vertices of every graph, 4 to 12."""
    colors: int = 3
    """Colours at hand, 2 to 4."""
    edge_probability: float = 0.55
    """Probability of each edge (Erdos-Renyi); graphs that cannot be coloured are dropped."""
    graphs: int = 1700
    """Distinct colourable graphs in all splits together."""
    hold_out: Literal["classes", "graphs"] = "classes"
    """What no two splits share: isomorphism classes, or only labelled graphs (the paper's reading)."""
    answer_at: Literal["first", "appended"] = "first"
    """Where the colours stand: at the first positions of the edges' sequence, or at positions of their own."""
    renumber: bool = False
    """Train on a random numbering of the vertices each time a graph is drawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(4 <= self.vertices <= 12, "task.vertices", self.vertices, "4 to 12 vertices")
        check(2 <= self.colors <= 4, "task.colors", self.colors, "2 to 4 colours")
        check(0 < self.edge_probability < 1, "task.edge_probability", self.edge_probability, "between 0 and 1")
        check(self.graphs >= 10, "task.graphs", self.graphs, "at least 10")


KINDS: dict[str, type[TaskConfig]] = {config.kind: config for config in (NQueensConfig, GraphColoringConfig)}
"""Every kind of task and its config; `build.register` adds one of your own."""
