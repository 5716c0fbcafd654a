from functools import lru_cache
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import fuzz
from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.configs import GraphColoringConfig
from gram_reasoning.tasks.graph_coloring import EDGE, FIRST_COLOR, GraphColoring, all_partitions
from helpers import read_or_refused
from oracles import coloring as oracle

SPLITS = ("train", "validation", "test")
LAYOUTS = ("first", "appended")


@lru_cache
def task(vertices: int = 6, graphs: int = 200, **changes: Any) -> GraphColoring:
    return GraphColoring(GraphColoringConfig(vertices=vertices, graphs=graphs, **{"edge_probability": 0.5, **changes}))


def edges_of(coloring: GraphColoring, tokens: torch.Tensor) -> oracle.Edges:
    pairs = [(a, b) for a in range(coloring.vertices) for b in range(a + 1, coloring.vertices)]
    return {pair for pair, token in zip(pairs, tokens.tolist(), strict=False) if token == EDGE}


def colors_of(coloring: GraphColoring, tokens: torch.Tensor) -> list[int]:
    start = 0 if coloring.config.answer_at == "first" else coloring.edges
    return [token - FIRST_COLOR for token in tokens.tolist()[start : start + coloring.vertices]]


def answers_of(coloring: GraphColoring, colors: np.ndarray) -> torch.Tensor:
    """Colours (M, n) from 0 as answers, with noise where nothing counts."""
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, coloring.vocab, (len(colors), coloring.length)))
    start = 0 if coloring.config.answer_at == "first" else coloring.edges
    tokens[:, start : start + coloring.vertices] = torch.from_numpy(colors) + FIRST_COLOR
    return tokens


def sets_of(coloring: GraphColoring, problems: Problems, i: int) -> set[Any]:
    return {oracle.classes(colors_of(coloring, s)) for s in problems.solution_sets(i)}


# -- data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("vertices", "colors"), [(4, 2), (6, 3), (6, 4), (7, 3)])
def test_every_graph_has_all_its_colorings(vertices: int, colors: int, layout: str):
    coloring = task(vertices, 60 if vertices > 4 else 10, colors=colors, answer_at=layout, hold_out="graphs")
    for name in SPLITS:
        problems = coloring.split(name)
        assert problems.complete
        for i, tokens in enumerate(problems.inputs):
            expected = oracle.colorings(vertices, edges_of(coloring, tokens), colors)
            assert sets_of(coloring, problems, i) == expected
            assert len(problems.solution_sets(i)) == len(expected) == coloring.count_solutions(tokens.tolist())


def test_number_of_partitions():
    # at most three blocks: (3^(n-1) + 1) / 2
    assert [len(all_partitions(n, 3)) for n in (4, 8, 10)] == [14, 1094, 9842]
    assert len(np.unique(all_partitions(8, 3), axis=0)) == 1094


@pytest.mark.parametrize(("vertices", "probability", "graphs"), [(8, 0.55, 1700), (10, 0.42, 1280)])
def test_paper_sizes(vertices: int, probability: float, graphs: int):
    """255 and 192 test graphs, and about 7002 and 13,465 training pairs."""
    coloring = task(vertices, graphs, edge_probability=probability)
    parts = {name: coloring.split(name) for name in SPLITS}
    assert len(parts["test"]) == {8: 255, 10: 192}[vertices]
    assert sum(len(part) for part in parts.values()) == graphs
    pairs = int(parts["train"].count.sum() + parts["validation"].count.sum())
    assert abs(pairs / {8: 7002, 10: 13465}[vertices] - 1) < 0.08
    inputs = torch.cat([part.inputs for part in parts.values()])
    assert len(inputs.unique(dim=0)) == graphs


def isomorphic_across(coloring: GraphColoring) -> int:
    """Test graphs that are isomorphic to a training or validation graph, by networkx."""

    def graphs(name: str) -> dict[str, list[nx.Graph]]:
        found: dict[str, list[nx.Graph]] = {}
        for tokens in coloring.split(name).inputs:
            graph = nx.Graph(sorted(edges_of(coloring, tokens)))
            graph.add_nodes_from(range(coloring.vertices))
            degrees = str(sorted((d, sorted(graph.degree[w] for w in graph[v])) for v, d in graph.degree))
            found.setdefault(degrees, []).append(graph)
        return found

    test, rest = graphs("test"), [graphs("train"), graphs("validation")]
    return sum(
        any(nx.is_isomorphic(graph, other) for part in rest for other in part.get(key, []))
        for key, members in test.items()
        for graph in members
    )


def test_no_isomorphic_graphs_in_two_splits():
    assert isomorphic_across(task(6, 400)) == 0
    assert isomorphic_across(task(6, 400, hold_out="graphs")) > 40, "and by labelled graphs there are many"


def test_class_codes_do_not_depend_on_the_numbering():
    coloring = task(7, 100)
    rng = np.random.default_rng(0)
    matrix = rng.random((500, 7, 7)) < 0.5
    matrix = np.triu(matrix, 1) | np.triu(matrix, 1).transpose(0, 2, 1)
    start, end = np.triu_indices(7, 1)
    order = rng.permuted(np.tile(np.arange(7), (500, 1)), axis=1)
    moved = matrix[np.arange(500)[:, None, None], order[:, :, None], order[:, None, :]]
    assert (coloring.class_codes(matrix[:, start, end]) == coloring.class_codes(moved[:, start, end])).all()
    assert len(np.unique(coloring.class_codes(matrix[:, start, end]))) > 300


def test_too_many_graphs_are_refused():
    with pytest.raises(UserError, match=r"task\.graphs: only \d+ distinct colourable graphs"):
        GraphColoring(GraphColoringConfig(vertices=4, graphs=100)).split("train")
    with pytest.raises(UserError, match="unknown split 'exam'"):
        task().split("exam")


# -- rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_judges_agree_on_random_answers(layout: str):
    coloring = task(6, 200, answer_at=layout)
    problems = coloring.split("train")
    rng = np.random.default_rng(1)
    index = torch.from_numpy(rng.integers(0, len(problems), 10_000))
    inputs = problems.inputs[index].long()
    colors = rng.integers(0, 3, (10_000, 6))
    solved = problems.solution(index, torch.zeros_like(index))
    for i in range(0, 10_000, 2):  # every other answer right, its colours renamed
        colors[i] = rng.permutation(3)[colors_of(coloring, solved[i])]
    for i in range(0, 10_000, 5):  # and some with what is no colour
        colors[i, rng.integers(6)] = rng.choice([-3, -2, -1])
    answers = answers_of(coloring, colors)
    reward, conflicts = coloring.reward(answers, inputs), coloring.conflicts(answers, inputs)
    standard = coloring.canonical(answers, inputs)
    assert torch.equal(coloring.reward(standard, inputs), reward)
    assert torch.equal(coloring.canonical(standard, inputs), standard)
    assert ((reward >= 0) & (reward <= 1)).all()
    seen = 0
    for row, tokens, value, faults, form in zip(
        colors.tolist(), inputs, reward.tolist(), conflicts.tolist(), standard, strict=True
    ):
        edges = edges_of(coloring, tokens)
        assert (value == 1) is oracle.is_solution(row, edges, 3)
        assert faults == oracle.violations(row, edges, 3)
        if min(row) >= 0:
            assert oracle.classes(colors_of(coloring, form)) == oracle.classes(row)
        seen += value == 1
    assert 2000 < seen < 8000


def test_answers_that_differ_by_names_are_one():
    coloring = task()
    problems = coloring.split("test")
    for i in range(20):
        solutions = problems.solution_sets(i)
        inputs = problems.inputs[i].long().expand(len(solutions), -1)
        assert torch.equal(coloring.canonical(solutions, inputs), solutions), "solutions are stored in standard form"
        swapped = solutions.clone()
        swapped[solutions == 3], swapped[solutions == 4] = 4, 3
        assert torch.equal(coloring.canonical(swapped, inputs), solutions)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_renumbering_keeps_graph_and_colorings(layout: str):
    coloring = task(6, 200, answer_at=layout, renumber=True)
    problems = coloring.split("train")
    index = torch.arange(len(problems))
    key = noise.keys(0, "test", index)
    candidates, exists = problems.candidates(index, 4, key)
    plain = problems.inputs.long()
    inputs, solutions = coloring.augment(plain, candidates, key)
    again, _ = coloring.augment(plain, candidates[:, :1], key)
    assert torch.equal(inputs, again), "the graph does not depend on the solutions beside it"
    assert (inputs != plain).any(1).float().mean() > 0.9
    for i in range(len(problems)):
        edges = edges_of(coloring, inputs[i])
        assert nx.is_isomorphic(nx.Graph(list(edges)), nx.Graph(list(edges_of(coloring, plain[i]))))
        possible = oracle.colorings(6, edges, 3)
        got = [oracle.classes(colors_of(coloring, s)) for s, real in zip(solutions[i], exists[i], strict=True) if real]
        assert len(set(got)) == len(got)
        assert set(got) <= possible
        assert torch.equal(coloring.canonical(solutions[i], inputs[i].expand(4, -1)), solutions[i])
    other, _ = coloring.augment(plain, candidates, noise.keys(1, "test", index))
    assert (inputs != other).any(1).float().mean() > 0.9


# -- text ------------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, oracle.Edges]:
    n = draw(st.integers(4, 9))
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n)]
    return n, set(draw(st.lists(st.sampled_from(pairs), unique=True)))


@settings(deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_text_is_read_back(graph: tuple[int, oracle.Edges], random: Any):
    n, edges = graph
    coloring = task(n, 10)
    alone = set(range(n)) - {v for edge in edges for v in edge}
    lines = [(a, b) if random.random() < 0.5 else (b, a) for a, b in edges] + [(v,) for v in alone]
    random.shuffle(lines)
    if len(lines[0]) == 2 and lines[0][1] + 1 >= len(lines) - 1:  # it might count vertices and edges
        lines = [(line[1], line[0]) if len(line) == 2 else line for line in sorted(lines)]
    if edges:  # a lone number in front might count vertices
        lines.sort(key=lambda line: len(line) == 1)
    forms = [
        "\n".join(" ".join(str(v + 1) for v in line) for line in lines),
        "\n".join(", ".join(str(v) for v in line) for line in lines),  # from 0, with commas
        "/".join("-".join(str(v + 1) for v in line) for line in lines),
        f"c a graph\n\np edge {n} {len(edges)}\n\n" + "".join(f"e {a + 1} {b + 1}\n" for a, b in edges),
    ]
    for text in forms:
        text = f"{text}/" if "\n" not in text and "/" not in text else text
        if text.endswith("/"):
            continue  # a single vertex or edge on one line has no form of its own
        [(place, tokens)] = coloring.parse(text, "file")
        assert place.startswith("file, line")
        assert edges_of(coloring, tokens) == edges
        assert GraphColoring.model_name(next(GraphColoring.blocks(text.splitlines(), "file")), "file") == f"coloring{n}"
        [(_, back)] = coloring.parse(coloring.compact(tokens.tolist()), "file")
        assert torch.equal(back, tokens)
        assert len(coloring.format(tokens.tolist()).splitlines()) == n


@pytest.mark.parametrize("layout", LAYOUTS)
def test_answers_as_text(layout: str):
    coloring = task(5, 20, answer_at=layout)
    answer = coloring.canonical(answers_of(coloring, np.array([[2, 0, 0, 1, 2]])), torch.zeros(1, coloring.length))[0]
    assert coloring.compact(answer.tolist()) == "abbca"
    assert coloring.format(answer.tolist()) == "a: 1 5\nb: 2 3\nc: 4"


BAD = [
    ("", "no input found"),
    ("5/0 1/1 2", "'5' may be the number of vertices, or a vertex without edges"),
    ("4/5/1 2/2 3/3 4/4 1/1 3", "'4' may be the number of vertices, or a vertex without edges"),
    ("1 2 5/2 3 6/4", "'1 2 5' may be an edge 1 2 of weight 5"),
    ("p edge 4 99/e 1 2", "'p edge 4 99', expected as many lines e, but 1 follow: cut off?"),
    ("1 2 3/4 5", "'1 2 3' may be an edge 1 2 of weight 3, or the neighbours 2 and 3 of 1"),
    ("1 x/2 3", "'1 x', expected an edge"),
    ("1 1/5 6", "vertex 1 joined to itself"),
    ("1 2/3 4", "a graph of 4 vertices, expected 6"),
    ("1 2/3 99999999", "a graph of 99999999 vertices"),
    ("1 2\n\n3 4/5 6", "a graph of 2 vertices"),
    ("1 2\n3 4/5 6", "an input of one line inside the block"),
    ("p edge 6\n", "expected `p edge VERTICES EDGES`"),
    ("p edge 6 1\ne 1 7", "expected vertices from 1 to 6"),
    ("p edge 6 1\ne 2 2", "vertex 2 joined to itself"),
    ("p edge 6 1\ny 2 2", "expected a line that begins with c, p or e"),
    ("p edge 6 1\np edge 6 1", "a second line p"),
    ("e 1 2", "an edge first, expected the line"),
    ("p edge -6 1", "expected two numbers"),
    ("1 ²/3 6", "expected an edge"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_graphs(text: str, message: str):
    with pytest.raises(UserError) as error:
        task().parse(text, "file")
    assert message in str(error.value)
    assert str(error.value).startswith("file")


def model_names(text: str, where: str) -> list[str]:
    return [GraphColoring.model_name(block, where) for block in GraphColoring.blocks(text.splitlines(), where)]


texts = st.text(alphabet=st.sampled_from("0123456 /,-\n#pecdge"), max_size=60) | st.text(max_size=20)


@fuzz(200, 10_000, texts)
def test_any_text(text: str) -> None:
    read_or_refused(task().parse, text)
    read_or_refused(model_names, text)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("colors", [2, 3])
def test_equivalents_are_all_namings_of_a_coloring(layout: str, colors: int):
    coloring = task(5, 60, colors=colors, answer_at=layout, any_names=True)
    problems = coloring.split("train")
    rows = torch.arange(4)
    candidates, exists = problems.candidates(rows, 3, noise.keys(0, "some", rows))
    found = coloring.equivalents(candidates)
    names = int(np.prod(range(1, colors + 1)))
    assert found.shape == (4, names * 3, coloring.length)
    for row in rows.tolist():
        inputs = problems.inputs[row].long().expand(names * 3, -1)
        real = exists.repeat(1, names)[row]
        assert (coloring.reward(found[row], inputs)[real] == 1).all()
        expected = candidates[row].repeat(names, 1)
        assert torch.equal(coloring.canonical(found[row], inputs)[real], expected[real])
        own = [colors_of(coloring, answer) for answer in found[row, ::3]]
        assert len(set(map(tuple, own))) in (names, *range(colors, names))  # unused colours make namings alike
        assert {tuple(own[0])} < set(map(tuple, own))
    plain = task(5, 60, colors=colors, answer_at=layout)
    assert torch.equal(plain.equivalents(candidates), candidates)
