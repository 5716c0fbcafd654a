"""What `gram eval --answers` prints: every number of the result once, in its row and its column."""

import re
from typing import Any

from gram_reasoning.evaluation.set_report import sets_table


def result(start: int) -> dict[str, Any]:
    """A result whose every number is another one."""
    numbers = iter(range(start, start + 100))

    def share() -> float:
        return next(numbers) / 1000

    scores = ("votes", "margin")
    return {
        "paper": {"coverage": share()},
        "macro": {"coverage": share(), "selected_accuracy": share()},
        "held": {"paper": share(), "macro": share()},
        "precision": share(),
        "set_size": float(next(numbers)),
        "mean_spent": float(next(numbers)),
        "most_spent": next(numbers),
        "trajectories": float(next(numbers)),
        "duplicates": share(),
        "by_score": {score: {"paper": share(), "macro": share()} for score in scores},
        "abstention": {score: {"area": share()} for score in scores},
        "completeness": {"estimate": share(), "truth": share(), "worst_gap": share()},
    }


def numbers_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [number for one in value.values() for number in numbers_of(one)]
    return [f"{100 * value if value < 1 else value:.1f}"]


def test_every_number_stands_in_its_column():
    head = {"checkpoint": "run", "inputs": 30, "split": "test", "answers": 5, "budget": 60, "choose": "model"}
    one, other = result(100), result(300)
    title, columns, *rows = sets_table({**head, "score": "votes", **one, "independent": other}).splitlines()
    assert (
        title == "run on 30 test inputs: at most 5 answers for at most 60 steps an input, chosen by the model (votes)"
    )
    assert re.split(r" {2,}", columns.strip()) == ["the set", "independent samples"]
    shown = [re.findall(r"\d+\.\d(?= |$)", row) for row in rows]
    assert all(len(row) == 2 for row in shown)
    for at, found in enumerate((one, other)):
        assert sorted(row[at] for row in shown) == sorted(numbers_of(found))
    ends = {tuple(match.end() for match in re.finditer(r"\d+\.\d(?= |$)", row)) for row in rows}
    assert len(ends) == 1, "numbers end below each other"


def test_the_rows_name_what_they_tell():
    head = {"checkpoint": "run", "inputs": 30, "split": "test", "answers": 5, "budget": 60, "choose": "verified"}
    found = result(100)
    text = sets_table({**head, **found})
    assert "chosen by the rules\n" in text
    for label, value in (
        ("coverage, paper protocol", found["paper"]["coverage"]),
        ("coverage, unique inputs (macro)", found["macro"]["coverage"]),
        ("accuracy of the first answer", found["macro"]["selected_accuracy"]),
        ("right ones in the set", found["precision"]),
        ("coverage by margin, paper", found["by_score"]["margin"]["paper"]),
        ("worst gap of ten bins", found["completeness"]["worst_gap"]),
    ):
        assert re.search(rf"^ *{re.escape(label)} +{100 * value:.1f} *$", text, re.MULTILINE), label
    few = {**found, "completeness": {"inputs": 3}}
    assert "completeness" not in sets_table({**head, **few})
