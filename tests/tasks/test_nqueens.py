import os
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import fuzz
from gram_reasoning import noise
from gram_reasoning.errors import UserError
from gram_reasoning.tasks import nqueens
from gram_reasoning.tasks.base import Problems
from gram_reasoning.tasks.configs import NQueensConfig
from gram_reasoning.tasks.nqueens import NQueens, all_solutions
from helpers import read_or_refused
from oracles import nqueens as oracle

SPLITS = ("train", "validation", "test")
COUNTS = {4: 2, 5: 10, 6: 4, 7: 40, 8: 92, 9: 352, 10: 724, 11: 2680, 12: 14200}
Tokens = tuple[int, ...]


@lru_cache
def task(size: int, low: int | None = None, high: int | None = None, seed: int = 0) -> NQueens:
    return NQueens(NQueensConfig(size=size, min_removed=low, max_removed=high, split_seed=seed))


def rows(tokens: Tokens | list[int]) -> oracle.Board:
    size = round(len(tokens) ** 0.5)
    return [list(tokens[i : i + size]) for i in range(0, len(tokens), size)]


def flat(board: oracle.Board) -> Tokens:
    return tuple(cell for row in board for cell in row)


def tuples(tokens: torch.Tensor) -> list[Tokens]:
    return [tuple(row) for row in tokens.tolist()]


def empty(size: int) -> oracle.Board:
    return [[1] * size for _ in range(size)]


def brute_force(tokens: Tokens) -> set[Tokens]:
    return {flat(board) for board in oracle.completions(rows(tokens))}


def solution_sets(problems: Problems) -> dict[Tokens, set[Tokens]]:
    """Each input with its solutions; fails where one of them is listed twice."""
    sets = {}
    for i, tokens in enumerate(tuples(problems.inputs)):
        listed = tuples(problems.solution_sets(i))
        sets[tokens] = set(listed)
        assert len(sets[tokens]) == len(listed) == problems.count[i]
    assert len(sets) == len(problems)
    return sets


def everything(puzzle: NQueens) -> dict[Tokens, set[Tokens]]:
    return {tokens: found for name in SPLITS for tokens, found in solution_sets(puzzle.split(name)).items()}


def inputs_of_size(size: int, low: int, high: int) -> set[Tokens]:
    """Every board that `low` to `high` queens taken from a solution leave behind."""
    found = set()
    for full in oracle.completions(empty(size)):
        for removed in range(low, high + 1):
            for gone in combinations(range(size), removed):
                found.add(flat([[1] * size if r in gone else row for r, row in enumerate(full)]))
    return found


# -- solutions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), COUNTS.items())
def test_number_of_solutions(size: int, count: int) -> None:
    assert all_solutions(size).shape == (count, size)
    assert len({tuple(placement) for placement in all_solutions(size).tolist()}) == count


@pytest.mark.parametrize("size", [4, 5, 6, 7, 8])
def test_solutions_are_the_oracles(size: int) -> None:
    assert set(tuples(torch.from_numpy(nqueens._boards(all_solutions(size))))) == brute_force(flat(empty(size)))


@pytest.mark.parametrize("size", [4, 5, 6])
def test_every_input_has_all_its_solutions(size: int) -> None:
    sets = everything(task(size, 1, size))
    assert sets.keys() == inputs_of_size(size, 1, size)
    for tokens, found in sets.items():
        assert found == brute_force(tokens)
        assert task(size).count_solutions(tokens) == len(found)


@pytest.mark.parametrize("size", [7, 8])
def test_sampled_inputs_have_all_their_solutions(size: int) -> None:
    sets = everything(task(size))
    assert sets.keys() == inputs_of_size(size, size - 3, size - 1)
    for tokens in random.Random(size).sample(sorted(sets), 100):
        assert sets[tokens] == brute_force(tokens)
        assert task(size).count_solutions(tokens) == len(sets[tokens])


def test_attacking_queens_have_no_completion() -> None:
    for cells in [(0, 1), (1, 5), (0, 5), (1, 4)]:
        tokens = [2 if cell in cells else 1 for cell in range(16)]
        assert task(4).count_solutions(tokens) == 0


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 4), (5, 5), (1, 6)])
def test_number_of_removed_queens(low: int, high: int) -> None:
    assert everything(task(6, low, high)).keys() == inputs_of_size(6, low, high)


def test_empty_board_has_all_solutions() -> None:
    assert len(everything(task(8, 1, 8))[(1,) * 64]) == 92
    assert (1,) * 64 not in everything(task(8))


# -- splits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("puzzle", [task(5), task(6), task(8), task(6, 1, 6)])
def test_splits_are_disjoint_and_of_their_share(puzzle: NQueens) -> None:
    parts = [set(tuples(puzzle.split(name).inputs)) for name in SPLITS]
    total = len(set.union(*parts))
    assert sum(map(len, parts)) == total
    assert [len(part) for part in parts[1:]] == [round(0.05 * total), round(0.15 * total)]


def test_split_does_not_depend_on_the_order_of_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [solution_sets(task(6).split(name)) for name in SPLITS]
    shuffled = all_solutions(6)[[2, 0, 3, 1]]
    monkeypatch.setattr(nqueens, "all_solutions", lambda size: shuffled)
    other = NQueens(NQueensConfig(size=6))
    assert [solution_sets(other.split(name)) for name in SPLITS] == expected


def test_split_depends_on_its_seed_alone() -> None:
    held_out = [set(tuples(task(8, seed=seed).split("test").inputs)) for seed in (0, 1, 2**31)]
    assert set(tuples(NQueens(NQueensConfig(size=8, split_seed=1)).split("test").inputs)) == held_out[1]
    for one, other in combinations(held_out, 2):
        assert len(one & other) < 0.3 * len(one)


def test_kinds_of_input_are_spread_over_the_splits() -> None:
    share = [(task(8).split(name).inputs == nqueens.QUEEN).sum(1).float().mean() for name in SPLITS]
    assert torch.stack(share).std() < 0.1


def test_split_is_the_same_in_another_process() -> None:
    script = (
        "from gram_reasoning.tasks.configs import NQueensConfig; from gram_reasoning.tasks.nqueens import NQueens; "
        f"puzzle = NQueens(NQueensConfig(size=5)); parts = [puzzle.split(name) for name in {SPLITS}]; "
        "print([(part.inputs.tolist(), part.members.tolist(), part.first.tolist()) for part in parts])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    output = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    parts = [task(5).split(name) for name in SPLITS]
    assert output.stdout.strip() == str([(p.inputs.tolist(), p.members.tolist(), p.first.tolist()) for p in parts])


def test_unknown_split() -> None:
    with pytest.raises(UserError, match="unknown split 'dev', expected one of train, validation, test"):
        task(4).split("dev")


def test_too_few_inputs_to_split() -> None:
    with pytest.raises(UserError, match="1 unique inputs cannot be split"):
        task(4, 4, 4).split("train")


# -- reward ----------------------------------------------------------------------------------------------------


def spoil(board: oracle.Board, given: oracle.Board, rng: random.Random) -> None:
    """Change one thing that a solution needs; by chance it may stay one, for another input than it was made for."""
    size = len(board)
    r, c = rng.choice(sorted(oracle.queens(board)))
    other = rng.choice([(a, b) for a in range(size) for b in range(size) if board[a][b] == 1])
    kind = rng.choice(["move", "remove", "add", "swap", "token", "given"])
    if kind in ("move", "remove"):
        board[r][c] = 1
    if kind in ("move", "add"):
        board[other[0]][other[1]] = 2
    if kind == "swap":  # rows and columns stay right, only diagonals break
        a, b = rng.sample(range(size), 2)
        board[a], board[b] = board[b], board[a]
    if kind == "token":
        a, b = rng.choice([(r, c), other])
        board[a][b] = 0
    if kind == "given":  # another solution, right but for the queens that were given
        columns = rng.choice(all_solutions(size).tolist())
        board[:] = [[2 if b == column else 1 for b in range(size)] for column in columns]


@pytest.mark.parametrize("puzzle", [task(5, 1, 5), task(8), task(8, 1, 8)])
def test_reward_agrees_with_the_oracle(puzzle: NQueens) -> None:
    rng = random.Random(puzzle.size)
    sets = list(everything(puzzle).items())
    pool = [(tokens, sorted(found)) for tokens, found in rng.sample(sets, min(len(sets), 500))]
    predictions, inputs, expected = [], [], []
    for i in range(10_000):
        tokens, found = rng.choice(pool)
        board = rows(rng.choice(found))
        if i % 2:
            spoil(board, rows(tokens), rng)
        predictions.append(flat(board))
        inputs.append(tokens)
        expected.append(oracle.is_solution(board, rows(tokens)))
    assert 5000 <= sum(expected) < 6500
    reward = puzzle.reward(torch.tensor(predictions), torch.tensor(inputs))
    right = torch.tensor(expected)
    assert torch.equal(reward == 1, right)
    assert reward[~right].min() >= 0
    assert reward[~right].max() <= 0.9 + 1e-6


def test_reward_of_noise_is_in_range() -> None:
    boards = torch.randint(0, 3, (2000, 25), generator=torch.Generator().manual_seed(0))
    extremes = torch.tensor([[0] * 25, [1] * 25, [2] * 25])
    predictions = torch.cat([boards, extremes])
    inputs = task(5).split("train").inputs.long()
    inputs = inputs[torch.arange(len(predictions)) % len(inputs)]
    reward = task(5).reward(predictions, inputs)
    right = [oracle.is_solution(rows(p), rows(x)) for p, x in zip(tuples(predictions), tuples(inputs), strict=True)]
    assert (reward == 1).tolist() == right
    assert reward.min() >= 0
    assert len(reward.unique()) > 20


def test_every_missing_piece_costs_reward() -> None:
    solution = task(8).split("test").solution_sets(0)[0]
    given = task(8).split("test").inputs[0].long()
    kept = (given == nqueens.QUEEN).nonzero()[0]
    free = ((solution == nqueens.QUEEN) & (given == nqueens.EMPTY)).nonzero()[0]
    without_free, without_given = solution.clone(), solution.clone()
    without_free[free], without_given[kept] = nqueens.EMPTY, nqueens.EMPTY
    reward = task(8).reward(torch.stack([solution, without_free, without_given]), given.expand(3, -1))
    assert reward[0] == 1
    assert reward[0] > reward[1] > reward[2] > 0


# -- text ------------------------------------------------------------------------------------------------------


@st.composite
def boards(draw: st.DrawFn, size: int | None = None) -> oracle.Board:
    """Boards of queens that do not attack each other, completable or not."""
    size = draw(st.integers(4, 12)) if size is None else size
    board, placed = empty(size), []
    for cell in draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=3 * size)):
        if not any(oracle.attack(cell, other) for other in placed):
            placed.append(cell)
            board[cell[0]][cell[1]] = 2
    return board


@settings(deadline=None)
@given(boards())
def test_text_is_read_back(board: oracle.Board) -> None:
    puzzle, tokens = task(len(board)), flat(board)
    columns = ",".join(str(row.index(2) + 1) if 2 in row else "." for row in board)
    for text in (puzzle.format(tokens), puzzle.compact(tokens), columns):
        [(name, read)] = puzzle.parse(text, "file")
        assert name == "file, line 1"
        assert tuple(read.tolist()) == tokens
        assert NQueens.model_name(next(NQueens.blocks(text.splitlines(), "file")), "file") == f"nqueens{len(board)}"
    assert puzzle.format(tokens).count("\n") == len(board) - 1
    assert puzzle.compact(tokens).count("/") == len(board) - 1


@settings(deadline=None)
@given(st.lists(boards(size=5), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_files_of_boards_in_every_spelling(given_boards: list[oracle.Board], rng: random.Random) -> None:
    lines, expected = [], []
    for board in given_boards:
        lines += rng.choice([[], ["# a comment"], ["", "  "]])
        expected.append((f"file, line {len(lines) + 1}", flat(board)))
        spelled = ["".join(rng.choice("Qq" if cell == 2 else "._") for cell in row) for row in board]
        if (form := rng.randrange(3)) == 0:
            lines.append(rng.choice(["/", " / "]).join(spelled))
        elif form == 1:
            columns = [str(row.index(2) + 1) if 2 in row else "." for row in board]
            lines.append(rng.choice([",", ", "]).join(columns))
        else:
            lines += [rng.choice([row, " ".join(row), f"  {row} "]) for row in spelled]
            lines.append("")
    read = task(5).parse("\n".join(lines), "file")
    assert [(name, tuple(tokens.tolist())) for name, tokens in read] == expected


def test_inputs_are_read_while_lines_come() -> None:
    taken = []

    def lines() -> Iterator[str]:
        for line in ["# two boards\n", "..../..../..../....\n", "....\n", "....\n", "....\n", "....\n", "\n", "x/"]:
            taken.append(line)
            yield line

    reader = task(4).read(lines(), "pipe")
    assert next(reader)[0] == "pipe, line 2"
    assert len(taken) == 2
    assert next(reader)[0] == "pipe, line 3"
    assert len(taken) == 7
    with pytest.raises(UserError, match="pipe, line 8: a board of 2 rows"):
        next(reader)


def test_comments_do_not_end_a_board() -> None:
    [(name, tokens)] = task(4).parse("# four\n\n....\n# queen\nQ...\n....\n....\n", "file")
    assert name == "file, line 3"
    assert tokens.nonzero()[tokens == nqueens.QUEEN].flatten().tolist() == [4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "file: no input found, expected at least one"),
        ("\n  \n# only a comment\n", "file: no input found"),
        ("....\n....\n....", "file, line 1: a board of 3 rows, expected 4 rows of 4 cells"),
        ("\n\n....\n....\n....\n....\n....", "file, line 3: a board of 5 rows"),
        ("....\n....\n....\n....\n\n....\n....", "file, line 6: a board of 2 rows"),
        ("....\n....\n...\n....", "file, line 3: 3 cells, expected 4"),
        ("....\n.....\n....\n....", "file, line 2: 5 cells, expected 4"),
        ("....\n# note\n....\n..x.\n....", "file, line 4, cell 3: 'x', expected Q"),
        ("....\n. . . 2\n....\n....", "file, line 2, cell 4: '2'"),
        ("..\t.\n....\n....\n....", "file, line 1: 3 cells, expected 4"),
        ("Q...\n....\n..Q.\n....", "file, line 1: the queens in row 1, column 1 and row 3, column 3 attack each other"),
        (".Q.Q\n....\n....\n....", "row 1, column 2 and row 1, column 4 attack"),
        ("....\n\n....\n", "file, line 1: a board of 1 rows"),
        ("# two\n.Q../...Q/.Q../....", "file, line 2: the queens in row 1, column 2 and row 3, column 2 attack"),
        ("...Q/..../..../Q...", "row 1, column 4 and row 4, column 1 attack"),
        ("..../..../....", "file, line 1: a board of 3 rows"),
        ("..../..../..../..../", "file, line 1: a board of 5 rows"),
        ("..../...../..../....", "file, line 1, row 2: 5 cells, expected 4"),
        ("..../..../..../....\n..../..../.?../....", r"file, line 2, row 3, cell 2: '\?'"),
        (
            "....\n....\n..../..../..../....",
            "file, line 3: an input of one line inside the block that begins in line 1",
        ),
        ("..../..../..../....\n....", "file, line 2: a board of 1 rows"),
        ("1,.,.", "file, line 1: 3 columns, expected one for each of 4 rows"),
        ("1,.,.,.,", "file, line 1: 5 columns"),
        ("2,.,.,.\n2,.,5,.", "file, line 2, row 3: '5', expected the column of its queen, 1 to 4"),
        ("0,.,.,.", "row 1: '0'"),
        ("1,.,,.", "row 3: ''"),
        ("1,.,²,.", "row 3: '²'"),
        ("1,.,01,.", "row 3: '01'"),
        ("1,2,.,.", "row 1, column 1 and row 2, column 2 attack"),
        ("....\n.,.,.,.", "file, line 2: an input of one line inside the block"),
        ("\x00\x01/\x02", "file, line 1: a board of 2 rows"),
        ("....\n" * 2000, "file, line 1: more than 1000 lines in one block"),
    ],
)
def test_bad_text(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        task(4).parse(text, "file")
    assert "expected" in str(error.value)
    assert "\n" not in str(error.value)


texts = st.text(alphabet="Qq._12345678 /,-\n#x", max_size=80) | st.text(max_size=20)


@fuzz(100, 10_000, texts)
def test_any_text(text: str) -> None:
    read_or_refused(task(5).parse, text)
    read_or_refused(
        lambda text, where: [NQueens.model_name(block, where) for block in NQueens.blocks(text.splitlines(), where)],
        text,
    )


# -- problems --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 92, 1000])
def test_candidates_are_solutions(limit: int) -> None:
    problems = task(8, 1, 8).split("train")
    several = problems.count.argsort(descending=True)[:50]
    index = torch.cat([several, torch.arange(150)])
    answers, exists = problems.candidates(index, limit, noise.keys(0, "test", index))
    assert answers.shape == (200, min(limit, int(problems.count.max())), 64)
    assert torch.equal(exists.sum(1), problems.count[index].clamp(max=limit))
    for i, candidates, real in zip(index.tolist(), answers, exists, strict=True):
        drawn, all_of_them = tuples(candidates), set(tuples(problems.solution_sets(i)))
        assert set(drawn) <= all_of_them
        kept = [answer for answer, holds in zip(drawn, real.tolist(), strict=True) if holds]
        assert len(set(kept)) == len(kept) == min(limit, len(all_of_them))


def test_candidates_start_anywhere() -> None:
    problems = task(8).split("train")
    most = int(problems.count.argmax())
    n = int(problems.count[most])
    index = torch.full((100 * n,), most)
    answers, _ = problems.candidates(index, 1, noise.keys(0, "test", torch.arange(100 * n)))
    seen = np.unique(answers[:, 0].numpy(), axis=0, return_counts=True)[1]
    assert len(seen) == n
    assert ((seen - 100.0) ** 2 / 100).sum() < n + 5 * (2 * n) ** 0.5


def test_solution_counts_through_the_set() -> None:
    problems = task(6).split("train")
    for i in range(len(problems)):
        n = int(problems.count[i])
        listed = problems.solution(torch.full((n,), i), torch.arange(n))
        assert listed.dtype == torch.int64
        assert torch.equal(listed, problems.solution_sets(i))


def test_subset_keeps_solutions() -> None:
    problems = task(6).split("train")
    index = torch.tensor([5, 0, 3])
    part = solution_sets(problems.subset(index))
    assert list(part) == tuples(problems.inputs[index])
    assert list(part.values()) == [set(tuples(problems.solution_sets(i))) for i in index.tolist()]
