"""Lines and groups come when they are there, and errors after what came before them."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gram_reasoning.cli.reading import in_groups, open_puzzle
from gram_reasoning.errors import UserError
from gram_reasoning.storage.lines import LONGEST_LINE


def test_a_pipe_is_read_line_by_line(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    both = threading.Event()

    def writer() -> None:
        with pipe.open("w") as file:
            file.write("first\n")
            file.flush()
            assert both.wait(10)
            file.write("second\n")

    thread = threading.Thread(target=writer)
    thread.start()
    source = open_puzzle(str(pipe))
    assert source.is_stream
    assert next(source.lines) == "first\n"
    both.set()
    assert list(source.lines) == ["second\n"]
    thread.join()


def test_files_and_text(tmp_path: Path):
    file = tmp_path / "boards"
    file.write_bytes(b"\xef\xbb\xbf# made elsewhere\r\n\r\n../..\r\n")
    source = open_puzzle(str(file))
    assert not source.is_stream
    assert [line.strip() for line in source.lines] == ["# made elsewhere", "", "../.."]
    assert list(open_puzzle("Q.\n..").lines) == ["Q.\n", ".."]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"../..\n\xff/..\n", "line 2: not text (byte 1 is not UTF-8)"),
        (b"../..\n" + b"." * (LONGEST_LINE + 1), f"line 2: longer than {LONGEST_LINE} bytes"),
    ],
)
def test_what_is_no_text(content: bytes, message: str, tmp_path: Path):
    file = tmp_path / "boards"
    file.write_bytes(content)
    lines = open_puzzle(str(file)).lines
    assert next(lines) == "../..\n"
    with pytest.raises(UserError) as error:
        next(lines)
    assert message in str(error.value)


def test_an_endless_device_is_no_board():
    with pytest.raises(UserError, match="/dev/zero, line 1: longer than"):
        next(open_puzzle("/dev/zero").lines)


@given(st.integers(0, 30), st.integers(1, 7), st.booleans(), st.booleans())
def test_groups_keep_order_and_end_with_the_error(count: int, most: int, patient: bool, bad: bool):
    def items() -> Iterator[int]:
        yield from range(count)
        if bad:
            raise UserError("bad")

    got: list[int] = []
    sizes = []
    try:
        for group in in_groups(items(), most, patient):
            got += group
            sizes.append(len(group))
        ended = "well"
    except UserError as error:
        ended = str(error)
    assert got == list(range(count))
    assert ended == ("bad" if bad else "well")
    assert all(1 <= size <= most for size in sizes)
    if patient:
        assert all(size == most for size in sizes[:-1])


def test_the_impatient_do_not_wait_for_a_full_group():
    more = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert more.wait(10)
        yield 2

    groups = in_groups(items(), 8, patient=False)
    assert next(groups) == [1]
    more.set()
    assert next(groups) == [2]
    assert list(groups) == []
