"""What is told of one input, without a model."""

from typing import Any

from gram_reasoning.inference.solve import Answer, Solved


def solved(**more: Any) -> Solved:
    answers = (
        Answer((1,), "a", verified=True, votes=2, score=0.5),
        Answer((2,), "b", verified=False, votes=1, score=0.25),
    )
    writer: Any = None
    return Solved("x", (0,), answers, samples=3, steps=4, writer=writer, **more)


def test_samples_in_json():
    assert solved().to_json() == {
        "input": "x",
        "answers": [
            {"answer": "a", "verified": True, "votes": 2, "score": 0.5},
            {"answer": "b", "verified": False, "votes": 1, "score": 0.25},
        ],
        "samples": 3,
        "steps": 4,
        "known_solutions": None,
    }


def test_a_set_tells_what_it_cost_and_how_complete_it_is():
    told = solved(spent=12, complete=0.51239, known_solutions=2).to_json()
    assert {name: told[name] for name in ("spent", "complete", "known_solutions")} == {
        "spent": 12,
        "complete": 0.5124,
        "known_solutions": 2,
    }
