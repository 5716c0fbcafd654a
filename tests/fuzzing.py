"""What the tests of the border share: a command line run in this process, and properties that many inputs must have."""

import contextlib
import io
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gram_reasoning.cli import main


def run(arguments: list[str], given_input: bytes | None = None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command line; anything raised is a traceback."""
    out, err = io.StringIO(), io.StringIO()
    stdin = sys.stdin
    try:
        if given_input is not None:
            sys.stdin = io.TextIOWrapper(io.BytesIO(given_input))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    finally:
        sys.stdin = stdin
        torch.set_num_threads(1)
    return code, out.getvalue(), err.getvalue()


def refused(message: str) -> None:
    """What bad input gets: one printable line."""
    assert message.startswith("gram: "), message
    assert message.endswith("\n"), message
    assert message[:-1].isprintable(), message


def examine(judge: Callable[..., None], examples: int, few: bool, *strategies: st.SearchStrategy[Any]) -> None:
    """Hold so many examples against a property; a few are always the same."""
    quiet = settings(
        deadline=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
        database=None,
        phases=[Phase.generate],
    )
    settings(quiet, max_examples=examples, derandomize=few)(given(*strategies)(judge))()


def sizes(fast: int, slow: int) -> pytest.MarkDecorator:
    """The parameter `examples`: a few in the fast suite, many in the slow one."""
    return pytest.mark.parametrize("examples", [fast, pytest.param(slow, marks=SLOW)])


SLOW = (pytest.mark.slow, pytest.mark.timeout(7200))


def fuzz(fast: int, slow: int, *strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A test of a property: a few examples in the fast suite, always the same, and many in the slow one."""

    def parametrized(judge: Callable[..., None]) -> Any:
        def test(examples: int) -> None:
            examine(judge, examples, examples == fast, *strategies)

        return sizes(fast, slow)(test)

    return parametrized
