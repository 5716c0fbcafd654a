"""Graph colouring with all colourings: give every vertex one of three colours, no edge within a colour.

Tokens: 0 pad, 1 no edge, 2 edge, 3 and up the colours. An input is the upper triangle of the adjacency matrix, row by
row; an answer has one token a vertex and is judged up to a permutation of the colours: in standard form vertex 1 has
the first colour, and each further colour appears in order. Data: random graphs that can be coloured.
"""

import copy
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations, permutations
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import PAD, Problems
from gram_reasoning.tasks.configs import GraphColoringConfig
from gram_reasoning.tasks.forms import Block, is_list
from gram_reasoning.tasks.graph_text import read_graph, spell, without_gaps
from gram_reasoning.tasks.sizes import OfSizes
from gram_reasoning.tasks.splits import HeldOutTask, hashed
from gram_reasoning.tasks.text import Puzzle, Text
from gram_reasoning.tasks.written import Written

NO_EDGE, EDGE, FIRST_COLOR = 1, 2, 3


@lru_cache(maxsize=4)
def all_partitions(vertices: int, colors: int) -> np.ndarray:
    """Every assignment of at most `colors` colours in standard form: (number, vertices) int8 from 0."""
    rows = np.zeros((1, 1), np.int8)
    for _ in range(vertices - 1):
        following = np.minimum(rows.max(1) + 2, colors)  # colours that the next vertex may have
        longer = np.repeat(rows, following, axis=0)
        new = np.concatenate([np.arange(k, dtype=np.int8) for k in following])
        rows = np.concatenate([longer, new[:, None]], axis=1)
    return rows


class GraphColoring(HeldOutTask, Text):
    """See GraphColoringConfig."""

    name = "coloring"
    reads_format = True
    first = 1
    """The number of the first vertex in text."""

    def __init__(self, config: GraphColoringConfig) -> None:
        super().__init__(config)
        n = self.vertices = config.vertices
        self.vocab = FIRST_COLOR + config.colors
        self.ends = torch.triu_indices(n, n, 1)  # the two vertices of each possible edge (2, E)
        self.edges = self.ends.shape[1]
        appended = config.answer_at == "appended"
        self.length = self.edges + (n if appended else 0)
        self._edge_places = slice(0, self.edges)
        self._color_places = self.counted = slice(self.edges, self.length) if appended else slice(0, n)
        # The vertices: each holds the edges that end there and, where it has a position of its own, its colour.
        at = [(self.ends == vertex).any(0).nonzero()[:, 0].tolist() for vertex in range(n)]
        vertices = [[*places, *([self.edges + v] if appended else [])] for v, places in enumerate(at)]
        # With its answer beside it, each edge and the colours of its two vertices too.
        edges = [[e, *(self.edges + v for v in self.ends[:, e].tolist())] for e in range(self.edges)]
        self.units = (vertices, edges) if appended else (vertices,)

    # -- rules -------------------------------------------------------------------------------------------------

    def reward(self, prediction: Tensor, inputs: Tensor) -> Tensor:
        """1 for a proper colouring; otherwise at most 0.9, by the share of edges and vertices without fault."""
        faults = self.conflicts(prediction, inputs).float()
        edges = (inputs[:, self._edge_places] == EDGE).sum(1)
        partial = 0.9 * (1 - faults / (edges + self.vertices))
        return torch.where(faults == 0, torch.ones_like(partial), partial)

    def conflicts(self, answers: Tensor, inputs: Tensor) -> Tensor:
        """Edges within one colour, and vertices without a colour."""
        colors = answers[:, self._color_places]
        start, end = self.ends.to(answers.device)
        colored = (colors >= FIRST_COLOR) & (colors < self.vocab)
        same = (colors[:, start] == colors[:, end]) & colored[:, start]
        return (same & (inputs[:, self._edge_places] == EDGE)).sum(1) + (~colored).sum(1)

    def canonical(self, answers: Tensor, inputs: Tensor) -> Tensor:
        """Colours renamed in the order in which they appear; vertices without a colour get token 1."""
        colors = answers[:, self._color_places]
        colored = (colors >= FIRST_COLOR) & (colors < self.vocab)
        present = torch.stack([colors == FIRST_COLOR + c for c in range(self.config.colors)], 1)  # (B, C, n)
        places = torch.arange(self.vertices, device=colors.device)
        first = places.where(present, self.vertices + 1).amin(2)  # where each colour appears first (B, C)
        rank = first.argsort(dim=1, stable=True).argsort(dim=1)
        renamed = FIRST_COLOR + rank.gather(1, (colors - FIRST_COLOR).clamp(0, self.config.colors - 1))
        standard = torch.full_like(answers, PAD)
        standard[:, self._color_places] = renamed.where(colored, NO_EDGE)
        return standard

    def count_solutions(self, tokens: Sequence[int]) -> int:
        """Colourings up to a permutation of the colours, by trying them all."""
        edges = np.array(tokens[: self.edges]) == EDGE
        return int(self._proper(edges[None]).sum())

    def _proper(self, edges: np.ndarray) -> np.ndarray:
        """Which of all_partitions colour each graph (G, E) properly: (G, number) bool."""
        start, end = self.ends.numpy()
        colors = all_partitions(self.vertices, self.config.colors)
        same = (colors[:, start] == colors[:, end]).astype(np.float32)
        return edges.astype(np.float32) @ same.T == 0

    # -- symmetry ----------------------------------------------------------------------------------------------

    def augment(self, inputs: Tensor, solutions: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """A random numbering of the vertices, if the config asks for it."""
        if not self.config.renumber:
            return inputs, solutions
        B, K, L = solutions.shape
        n, device = self.vertices, inputs.device
        order = noise.permutation(key, n)  # new vertex v is old vertex order[v]
        start, end = self.ends.to(device)
        matrix = torch.full((B, n, n), NO_EDGE, device=device)
        matrix[:, start, end] = inputs[:, self._edge_places]
        matrix[:, end, start] = inputs[:, self._edge_places]
        rows = torch.arange(B, device=device)[:, None]
        renumbered = inputs.clone()
        renumbered[:, self._edge_places] = matrix[rows, order[:, start], order[:, end]]
        colors = solutions[:, :, self._color_places].gather(2, order[:, None].expand(-1, K, -1))
        moved = solutions.clone()
        moved[:, :, self._color_places] = colors
        flat = self.canonical(moved.view(B * K, L), renumbered.repeat_interleave(K, 0))
        return renumbered, flat.view(B, K, L)

    def equivalents(self, solutions: Tensor) -> Tensor:
        """With the colours exchanged in every way, if the config asks for it."""
        if not self.config.any_names:
            return solutions
        colors = list(range(FIRST_COLOR, self.vocab))
        names = torch.tensor([[*range(FIRST_COLOR), *p] for p in permutations(colors)], device=solutions.device)
        return torch.cat([own[solutions] for own in names], 1)

    # -- data --------------------------------------------------------------------------------------------------

    def problems(self) -> Problems:
        """The first `graphs` distinct colourable graphs drawn."""
        wanted = self.config.graphs
        found, proper = np.zeros((0, self.edges), bool), np.zeros((0, 0), bool)
        drawn = 0
        while len(found) < wanted:
            if drawn > 100 * wanted:
                raise UserError(
                    f"task.graphs: only {len(found)} distinct colourable graphs among {drawn} drawn, "
                    f"expected {wanted}; ask for fewer, or for another edge probability"
                )
            more = self._draw(np.arange(drawn, drawn + 1024))
            drawn += len(more)
            both = np.concatenate([found, more])
            keep = np.sort(np.unique(both, axis=0, return_index=True)[1])
            keep = keep[keep >= len(found)]
            fits = self._proper(both[keep])
            some = fits.any(1)
            found = np.concatenate([found, both[keep][some]])
            proper = np.concatenate([proper.reshape(-1, fits.shape[1]), fits[some]])
        found, proper = found[:wanted], proper[:wanted]
        return self._with_colorings(found, proper)

    def _with_colorings(self, graphs: np.ndarray, proper: np.ndarray) -> Problems:
        """Graphs (G, E) bool with all their colourings: which of all_partitions are proper (G, number)."""
        inputs = np.full((len(graphs), self.length), PAD, np.uint8)
        inputs[:, self._edge_places] = np.where(graphs, EDGE, NO_EDGE)
        colors = all_partitions(self.vertices, self.config.colors)
        solutions = np.full((len(colors), self.length), PAD, np.uint8)
        solutions[:, self._color_places] = FIRST_COLOR + colors
        return Problems.of_table(*map(torch.from_numpy, (inputs, solutions, proper)))

    def codes(self, problems: Problems) -> np.ndarray:
        edges = problems.inputs.numpy()[:, self._edge_places] == EDGE
        if self.config.hold_out == "classes":
            return self.class_codes(edges)
        return edges @ (2 ** np.arange(self.edges, dtype=np.uint64)).view(np.int64)

    def _draw(self, numbers: np.ndarray) -> np.ndarray:
        """Random graphs, one for each number: (G, E) bool."""
        ids = torch.from_numpy(numbers[:, None] * self.edges + np.arange(self.edges)).flatten()
        uniform = noise.uniform(noise.keys(self.config.split_seed, "edges", ids))
        return (uniform < self.config.edge_probability).view(-1, self.edges).numpy()

    def class_codes(self, edges: np.ndarray) -> np.ndarray:
        """A number for each graph (G, E) that isomorphic graphs share: (G,) int64.

        From the closed walks at each vertex, by length, and those at its neighbours. Graphs that are not isomorphic
        can share it too; then they are only held out together.
        """
        n = self.vertices
        start, end = self.ends.numpy()
        matrix = np.zeros((len(edges), n, n), np.uint64)
        matrix[:, start, end] = matrix[:, end, start] = edges
        vertex = np.zeros((len(edges), n), np.uint64)
        power = matrix
        for length in range(2, n + 1):
            power = power @ matrix
            vertex = hashed(vertex + power.diagonal(axis1=1, axis2=2), length)
        for _ in range(2):
            vertex = hashed(vertex + (matrix @ vertex[:, :, None])[:, :, 0])
        return hashed(vertex).sum(1).view(np.int64)

    # -- text --------------------------------------------------------------------------------------------------

    # A graph is an edge list, the neighbours of each vertex (`1: 2 3`) or a DIMACS `.col` file. An edge list has an
    # edge a line, `1 2`; a line with one number is a vertex without edges; vertices are numbered from 1, or from 0 if
    # a vertex 0 is named, and answered so. A whole graph may stand on one line with its lines joined by `/`.

    @classmethod
    def stands_alone(cls, line: str) -> bool:
        return "/" in line

    @classmethod
    def cleaned(cls, lines: Iterable[str]) -> Iterable[str]:
        return without_gaps(lines)

    @classmethod
    def is_input(cls, value: Any) -> bool:
        """An edge may be a list of two numbers as texts."""
        edge = is_list(value) and all(isinstance(vertex, str) and vertex.isdigit() for vertex in value)
        return not edge and super().is_input(value)

    @classmethod
    def spell(cls, value: Any, place: str) -> list[str]:
        return value.splitlines() if isinstance(value, str) else spell(value, place)

    @classmethod
    def resembles(cls, line: str) -> bool:
        return re.fullmatch(r"p .*|e .*|\d+\s*:.*|\d+[\s,;-]+\d+.*", line) is not None

    def read_one(self, lines: Block, where: str) -> Tensor:
        graph = read_graph(lines, where)
        if graph.size != self.vertices:
            raise UserError(f"{where}, line {lines[0][0]}: a graph of {graph.size} vertices, expected {self.vertices}")
        tokens = torch.full((self.length,), PAD)
        places = [EDGE if pair in graph.edges else NO_EDGE for pair in self._pairs()]
        tokens[self._edge_places] = torch.tensor(places)
        return tokens

    def read_answer(self, lines: Block, where: str) -> Tensor:
        """A colour for each vertex: letters as `compact` writes them, or numbers, joined or apart."""
        place, text = f"{where}, line {lines[0][0]}", lines[0][1]
        names = [name for name in re.split(r"[\s,;]+", text.strip()) if name]
        names = list(names[0]) if len(names) == 1 else names
        if len(lines) != 1 or len(names) != self.vertices:
            raise UserError(
                f"{place}: an answer of {len(names)} colours, expected one for each of {self.vertices} vertices"
            )
        kinds = sorted(set(names))
        if len(kinds) > self.config.colors:
            raise UserError(f"{place}: an answer of {len(kinds)} colours, expected at most {self.config.colors}")
        tokens = torch.full((self.length,), PAD)
        tokens[self._color_places] = torch.tensor([FIRST_COLOR + kinds.index(name) for name in names])
        return tokens

    def problems_of(self, puzzles: Sequence[Puzzle], where: str) -> Problems:
        graphs = np.stack([puzzle.tokens[self._edge_places].numpy() == EDGE for puzzle in puzzles])
        proper = self._proper(graphs)
        if not proper.any(1).all():
            place = puzzles[int(proper.any(1).argmin())].place
            raise UserError(f"{place}: no colouring exists, expected a graph that has one")
        return self._with_colorings(graphs, proper)

    def writer(self, lines: Block, where: str) -> Written:
        own = copy.copy(self)
        own.first = read_graph(lines, where).first
        return own

    @classmethod
    def size_of(cls, lines: Block, where: str) -> int:
        """The number of vertices."""
        return read_graph(lines, where).size

    @classmethod
    def of(cls, config: GraphColoringConfig) -> "GraphColoring":
        return cls(config) if config.smallest is None else GraphsOfSizes(config)

    @classmethod
    def sized(cls, lines: Block, where: str) -> Self:
        return cls(GraphColoringConfig(vertices=read_graph(lines, where).size))

    def _pairs(self) -> list[tuple[int, int]]:
        """The two vertices of each possible edge, from 0."""
        return list(combinations(range(self.vertices), 2))

    def format(self, tokens: Sequence[int]) -> str:
        """A graph as the neighbours of each vertex; an answer as the vertices of each colour."""
        numbers = range(self.first, self.first + self.vertices)
        if self._is_answer(tokens):
            colors = tokens[self._color_places]
            classes = [
                [str(v) for v, token in zip(numbers, colors, strict=True) if token == color]
                for color in range(FIRST_COLOR, self.vocab)
            ]
            return "\n".join(f"{'abcd'[i]}: {' '.join(members)}" for i, members in enumerate(classes))
        near: dict[int, list[str]] = {v: [] for v in numbers}
        for (start, end), token in zip(self._pairs(), tokens[: self.edges], strict=True):
            if token == EDGE:
                near[start + self.first].append(str(end + self.first))
                near[end + self.first].append(str(start + self.first))
        return "\n".join(f"{v}: {' '.join(others)}" for v, others in near.items())

    def compact(self, tokens: Sequence[int]) -> str:
        """A graph as its edges and its vertices without edges, joined by `/`; an answer as a letter a vertex."""
        if self._is_answer(tokens):
            return "".join(
                "abcd"[t - FIRST_COLOR] if FIRST_COLOR <= t < self.vocab else "?" for t in tokens[self._color_places]
            )
        pairs = [
            (start + self.first, end + self.first)
            for (start, end), token in zip(self._pairs(), tokens[: self.edges], strict=True)
            if token == EDGE
        ]
        alone = sorted(set(range(self.first, self.first + self.vertices)) - {v for pair in pairs for v in pair})
        return "/".join([f"{start} {end}" for start, end in pairs] + [str(v) for v in alone])

    def _is_answer(self, tokens: Sequence[int]) -> bool:
        """Only answers pad a place of an edge: the last if colours stand at the first places, else all."""
        return tokens[self.edges - 1] == PAD


class GraphsOfSizes(OfSizes, GraphColoring):
    """Graphs of several sizes: the further vertices of the largest have padding for edges and colours."""

    alone = GraphColoring
    least = 3

    def places(self, size: int) -> Tensor:
        inside = (self.ends < size).all(0).nonzero()[:, 0]
        return torch.cat([inside, self.edges + torch.arange(size)])

    def ends_of(self, size: int) -> Sequence[int]:
        return size * (size - 1) // 2 - 1, -1
