"""What each task can be set to: one frozen dataclass a task, told apart by its `kind`. Imports no torch."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from gram_reasoning.errors import check


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What the config of every task has in common: the name of its kind, which JSON files carry."""

    kind: ClassVar[str]

    def small(self) -> Self:
        """The same task with little data that needs no download, for debug versions."""
        return self


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
class SizesConfig(TaskConfig, ABC):
    """For tasks that come in several sizes, of which a model may learn one or all up to the largest."""

    smallest: int | None = None
    """The smallest of several sizes that are mixed, all padded to the largest; None leaves it at one size."""

    @property
    @abstractmethod
    def largest(self) -> int:
        """The one size, or the largest."""

    @property
    def sizes(self) -> range:
        """All sizes."""
        return range(self.largest if self.smallest is None else self.smallest, self.largest + 1)

    @abstractmethod
    def of_size(self, size: int) -> Self:
        """The same task in one size alone, of these or another."""

    def up_to(self, size: int) -> Self:
        """The same sizes and more, where `size` is larger than all."""
        return self if size <= self.largest else replace(self.of_size(size), smallest=self.smallest)


@dataclass(frozen=True, kw_only=True)
class NQueensConfig(SplitConfig, SizesConfig):
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
        fits = self.smallest in (None, *range(4, self.size))
        check(fits, "task.smallest", self.smallest, "a side from 4, below task.size")

    @property
    def largest(self) -> int:
        return self.size

    def of_size(self, size: int) -> Self:
        """With as many queens left on the board."""
        low, high = (max(1, removed - self.size + size) for removed in self.removed)
        return replace(self, size=size, smallest=None, min_removed=low, max_removed=high)

    @property
    def removed(self) -> tuple[int, int]:
        """Fewest and most queens removed, the defaults filled in."""
        low = self.size - 3 if self.min_removed is None else self.min_removed
        high = self.size - 1 if self.max_removed is None else self.max_removed
        return low, high


@dataclass(frozen=True, kw_only=True)
class GraphColoringConfig(SplitConfig, SizesConfig):
    """Colour the vertices of a random graph with three colours, so that no edge joins two of one colour."""

    kind: ClassVar[str] = "coloring"

    vertices: int = 8
    """Vertices of every graph, 3 to 12."""
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
    any_names: bool = False
    """A slot that learns the nearest colouring may learn it with its colours exchanged: which vertex has which colour
    first is then no part of the answer, as a model without positions cannot know it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(3 <= self.vertices <= 12, "task.vertices", self.vertices, "3 to 12 vertices")
        check(2 <= self.colors <= 4, "task.colors", self.colors, "2 to 4 colours")
        check(0 < self.edge_probability < 1, "task.edge_probability", self.edge_probability, "between 0 and 1")
        check(self.graphs >= 10, "task.graphs", self.graphs, "at least 10")
        fits = self.smallest in (None, *range(4, self.vertices))
        check(fits, "task.smallest", self.smallest, "a number from 4, below task.vertices")
        apart = self.smallest is None or self.answer_at == "appended"
        check(apart, "task.answer_at", self.answer_at, "appended, where several sizes are mixed")

    @property
    def largest(self) -> int:
        return self.vertices

    def of_size(self, size: int) -> Self:
        """With a quarter of the labelled graphs, where there are few."""
        graphs = max(10, min(self.graphs, 2 ** (size * (size - 1) // 2) // 4))
        return replace(self, vertices=size, smallest=None, graphs=graphs)


@dataclass(frozen=True, kw_only=True)
class SourceConfig(TaskConfig):
    """For tasks whose puzzles come from a public set, from files, or from our generator. Test puzzles are never
    trained on.
    """

    train: str = "hub"
    """Where training and validation puzzles come from: `hub` (the public set), `generated`, or a file: CSV with
    question and answer, or puzzles as text; either may be gzipped."""
    test: str = "hub"
    """Where test puzzles come from, likewise."""
    validation: str | None = None
    """A file of validation puzzles; None takes them out of the training puzzles' source."""
    train_puzzles: int = 1000
    """Training puzzles; from a file they are chosen by the seed."""
    validation_puzzles: int = 200
    """Puzzles of the training source held out for monitoring and choosing."""
    test_puzzles: int | None = None
    """Test puzzles; None takes the whole file."""
    split_seed: int = 0
    """Which puzzles are chosen or generated."""
    augment: bool = True
    """Train on a random symmetry of the board each time a puzzle is drawn."""

    def __post_init__(self) -> None:
        for name in ("train_puzzles", "validation_puzzles"):
            check(getattr(self, name) >= 1, f"task.{name}", getattr(self, name), "at least 1")
        check(self.test_puzzles is None or self.test_puzzles >= 1, "task.test_puzzles", self.test_puzzles, "at least 1")
        check(self.test != "generated" or bool(self.test_puzzles), "task.test_puzzles", self.test_puzzles, "a number")
        check(self.test != "generated" or self.train == "generated", "task.test", self.test, "a file, as for training")

    of_generator: ClassVar[tuple[str, ...]] = ()
    """The fields that say something of generated puzzles alone."""

    @property
    def generates(self) -> bool:
        """Whether some puzzles come from the generator."""
        return "generated" in (self.train, self.test)

    def small(self) -> Self:
        made = {"train": "generated", "test": "generated"}
        return replace(self, **made, train_puzzles=64, validation_puzzles=16, test_puzzles=16)


@dataclass(frozen=True, kw_only=True)
class SudokuConfig(SourceConfig):
    """Sudoku puzzles: complete the board. The public set is Sudoku-Extreme."""

    kind: ClassVar[str] = "sudoku"
    of_generator: ClassVar[tuple[str, ...]] = ("min_blanks", "max_blanks", "difficulty")

    size: int = 9
    """Side of the board, 4 or 9."""
    min_blanks: int | None = None
    """Fewest blanks of a generated puzzle; None means 1."""
    max_blanks: int | None = None
    """Most blanks of a generated puzzle; None means 10 on 4x4, 50 on 9x9."""
    difficulty: Literal["any", "easy", "hard"] = "any"
    """Generated puzzles that naked and hidden singles solve (easy), that take guesses (hard), or any."""
    reveal: int = 0
    """Most blanks of a training puzzle that are filled in beforehand, so many and those drawn anew each time: a road
    from easy puzzles to the ones that are wanted."""

    def __post_init__(self) -> None:
        check(self.size in (4, 9), "task.size", self.size, "4 or 9")
        super().__post_init__()
        check(self.train != "hub" or self.size == 9, "task.train", self.train, "generated or a file for 4x4 boards")
        check(self.test != "hub" or self.size == 9, "task.test", self.test, "generated or a file for 4x4 boards")
        check(self.reveal >= 0, "task.reveal", self.reveal, "at least 0")
        some = self.generates or self.difficulty == "any"
        check(some, "task.difficulty", self.difficulty, "any, unless puzzles are generated")
        for name in ("min_blanks", "max_blanks"):
            given = getattr(self, name)
            check(self.generates or given is None, f"task.{name}", given, "nothing, unless puzzles are generated")
        most = 12 if self.size == 4 else 60
        low, high = self.blanks
        check(1 <= low <= high <= most, "task.max_blanks", (low, high), f"1 <= min <= max <= {most}")

    @property
    def blanks(self) -> tuple[int, int]:
        """Fewest and most blanks of generated puzzles, the defaults filled in."""
        high = self.max_blanks if self.max_blanks is not None else 10 if self.size == 4 else 50
        return 1 if self.min_blanks is None else self.min_blanks, high


LONGEST_SIDE = 64
"""Of a maze, so that a longer line is a whole maze."""


@dataclass(frozen=True, kw_only=True)
class MazeConfig(SourceConfig, SizesConfig):
    """Mazes: mark a shortest path from S to G. The public set is Maze-Hard, 1000 mazes to train on and 1000 to test."""

    kind: ClassVar[str] = "maze"

    size: int = 30
    """Side of the square board."""
    train_puzzles: int = 900
    """Training mazes; of the public set 900 of its 1000, so that choosing needs no test maze."""
    validation_puzzles: int = 100
    """Mazes of the training source held out for monitoring and choosing."""
    walls: float = 0.4
    """Share of walls in a generated maze."""
    min_path: int | None = None
    """Fewest steps from S to G in a generated maze; None means 1.5 times the side."""
    max_paths: int = 8
    """Most shortest paths of a generated maze: all are known, so coverage is exact. Of the mazes of a file only the
    given path is known, or so many paths where none is given."""

    def __post_init__(self) -> None:
        check(3 <= self.size <= LONGEST_SIDE, "task.size", self.size, f"3 to {LONGEST_SIDE}")
        super().__post_init__()
        for name in ("train", "test"):
            source = getattr(self, name)
            check(source != "hub" or self.size == 30, f"task.{name}", source, "generated or a file, unless 30x30")
        check(0 <= self.walls < 1, "task.walls", self.walls, "a share in [0, 1)")
        check(1 <= self.shortest < self.size**2, "task.min_path", self.min_path, "fewer steps than squares")
        check(1 <= self.max_paths <= 1000, "task.max_paths", self.max_paths, "1 to 1000")
        fits = self.smallest in (None, *range(3, self.size))
        check(fits, "task.smallest", self.smallest, "a side from 3, below task.size")
        made = self.smallest is None or self.train == self.test == "generated"
        check(made, "task.train", self.train, "generated, like task.test, where several sizes are mixed")

    @property
    def largest(self) -> int:
        return self.size

    def of_size(self, size: int) -> Self:
        return replace(self, size=size, smallest=None)

    @property
    def shortest(self) -> int:
        """Fewest steps from S to G in a generated maze, the default filled in."""
        return 3 * self.size // 2 if self.min_path is None else self.min_path

    def small(self) -> Self:
        return replace(super().small(), size=8)


@dataclass(frozen=True, kw_only=True)
class SudokuGenerationConfig(TaskConfig):
    """Full Sudoku boards from nothing: the input is always the blank board."""

    kind: ClassVar[str] = "sudoku-generation"

    size: int = 9
    """Side of the board, 4 or 9."""
    boards: int | None = None
    """Boards to learn from; None means 50,000 random ones, or all 288 of 4x4."""
    split_seed: int = 0
    """Which random boards."""

    def __post_init__(self) -> None:
        check(self.size in (4, 9), "task.size", self.size, "4 or 9")
        most = 288 if self.size == 4 else 10**7
        check(self.boards is None or 1 <= self.boards <= most, "task.boards", self.boards, f"1 to {most}")

    def small(self) -> Self:
        return replace(self, boards=100)


@dataclass(frozen=True, kw_only=True)
class ArcConfig(TaskConfig):
    """ARC-AGI: learn from a few demonstrations what to do with a grid. Demonstrations are learnt, test pairs never.

    A set of tasks is `official`, `shipped` (five small ones of our own, as training set), `none`, a folder of JSON
    files with a task each, or a combined file NAME_challenges.json with its NAME_solutions.json beside it.
    """

    kind: ClassVar[str] = "arc"

    version: Literal[1, 2] = 1
    """Which ARC-AGI the official training and evaluation sets are."""
    training: str = "official"
    """Set whose demonstrations are learnt; its test pairs are looked at during training, but not learnt."""
    evaluation: str = "official"
    """Set whose demonstrations are learnt too, and whose test pairs judge."""
    concept: str = "official"
    """A further set whose demonstrations are learnt: officially ConceptARC."""
    only: str | None = None
    """Names of tasks, joined by commas: only those."""
    canvas: int = 30
    """Side of the square on which grids lie; a task with a larger grid is refused."""
    augmentations: int = 1000
    """Augmentations of each task, one vector each: turned and mirrored, colours exchanged; the first is none."""
    split_seed: int = 0
    """Which augmentations."""
    translate: bool = True
    """Train with grids at a random place of the canvas."""
    monitor: Literal["tests", "demonstrations"] = "tests"
    """What evaluations during training look at: test pairs of the training set, or the demonstrations learnt."""
    allow_leak: bool = False
    """Learn from tasks that are also in the evaluation set."""

    def __post_init__(self) -> None:
        check(2 <= self.canvas <= 30, "task.canvas", self.canvas, "2 to 30")
        check(1 <= self.augmentations <= 10_000, "task.augmentations", self.augmentations, "1 to 10000")
        check(self.evaluation != "shipped", "task.evaluation", self.evaluation, "a set, or none; `shipped` is to learn")
        check(self.concept != "shipped", "task.concept", self.concept, "a set, or none; `shipped` is a training set")
        some = self.training != "none" or self.evaluation != "none"
        check(some, "task.training", self.training, "a set, where task.evaluation is none")
        tests = self.monitor == "demonstrations" or "none" not in (self.training, self.evaluation)
        check(tests, "task.monitor", self.monitor, "demonstrations, where training or evaluation set is none")

    def small(self) -> Self:
        sets = {"training": "shipped", "evaluation": "none", "concept": "none"}
        few = {"canvas": 10, "augmentations": 4, "only": None, "monitor": "demonstrations", "translate": True}
        return replace(self, **sets, **few)


@dataclass(frozen=True, kw_only=True)
class MNISTConfig(TaskConfig):
    """Digits from nothing, their pixels black or white: the input is always the empty image."""

    kind: ClassVar[str] = "mnist"

    source: str = "mirror"
    """A folder with the four IDX files of MNIST, gzipped or not; `mirror` downloads them once; `drawn` are rings and
    bars of our own, to try things out."""
    size: int = 28
    """Side of the images: 28, or 14 by averages of four pixels."""
    validation_images: int = 5000
    """Images at the end of the training file whose likelihood is watched in training; test images are the test file."""

    def __post_init__(self) -> None:
        check(self.size in (14, 28), "task.size", self.size, "14 or 28")
        check(self.validation_images >= 1, "task.validation_images", self.validation_images, "at least 1")

    def small(self) -> Self:
        return replace(self, source="drawn", validation_images=100)


CONFIGS = (NQueensConfig, GraphColoringConfig, SudokuConfig, SudokuGenerationConfig, MazeConfig, MNISTConfig, ArcConfig)
KINDS: dict[str, type[TaskConfig]] = {config.kind: config for config in CONFIGS}
"""Every kind of task and its config; `build.register_task` adds one of your own."""
