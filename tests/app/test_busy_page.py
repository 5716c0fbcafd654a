"""A page that answers one click at a time, in a browser: stopping, editing while it runs, refusal, an own model."""

import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from app_helpers import PATIENCE, Served, choose, choose_labelled, press, serving, visit, write

pytestmark = pytest.mark.timeout(600)  # of a busy machine
EMPTY = "/".join(["." * 10] * 10)
QUEEN = f"..Q{EMPTY[3:]}"
BOARD = "......./......./....Q../......./......./......./......."
LONG = 8000


@pytest.fixture(scope="module")
def page(narrow: Served, chromium: Any) -> Iterator[Any]:
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(PATIENCE)
    visit(page, narrow)
    page.get_by_text("How hard to try").click()
    yield page
    page.close()


@pytest.fixture
def client(narrow: Served) -> Any:
    from gradio_client import Client

    return Client(narrow.address, verbose=False, analytics_enabled=False, httpx_kwargs={"timeout": 300})


def begin(page: Any) -> None:
    """Begin a run that would take minutes, and wait for its first answer."""
    choose(page, "nqueens")
    write(page, QUEEN)
    page.wait_for_function("() => document.querySelectorAll('#board [data-s=\"Q\"]').length === 1")
    page.wait_for_selector('#board [data-i="2"][data-s="Q"]')
    page.locator("#samples input[type=range]").fill(str(LONG))
    page.evaluate("() => document.querySelectorAll('#answers .card').forEach((card) => { card.dataset.old = '' })")
    page.click("#solve")
    page.wait_for_selector("#answers .card:not([data-old])")
    assert "still run" in page.inner_text("#standing")


def moment() -> float:
    """Seconds that are soon on a busy machine."""
    return 8 * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def test_stop_ends_a_run_soon_and_keeps_what_was_found(page: Any):
    begin(page)
    start = time.perf_counter()
    page.click("#stop")
    page.wait_for_selector('#standing [data-done="true"]', timeout=1000 * moment())
    assert time.perf_counter() - start < moment()
    said = page.inner_text("#standing")
    assert re.match(r"stopped after [\d,]+ of 8,000 trajectories", said)
    assert "still run" not in said
    cards = len(page.query_selector_all("#answers .card"))
    assert cards > 0
    page.wait_for_timeout(3000)
    assert page.inner_text("#standing") == said
    assert len(page.query_selector_all("#answers .card")) == cards
    assert page.get_by_text("Error").count() == 0


@pytest.mark.parametrize("button", ["#example", "#clear", "the text"])
def test_another_puzzle_ends_the_run_and_empties_the_answers(button: str, page: Any):
    begin(page)
    write(page, EMPTY) if button == "the text" else page.click(button)
    page.wait_for_function("() => !document.querySelector('#answers .card, #film .card, #standing p')")
    page.wait_for_timeout(3000)
    assert page.query_selector("#answers .card, #film .card, #standing p") is None
    page.locator("#samples input[type=range]").fill("16")
    press(page, "#solve")  # the one place is free
    assert "16 answers valid" in page.inner_text("#standing")


def test_solve_again_replaces_the_run(page: Any):
    begin(page)
    page.locator("#samples input[type=range]").fill("16")
    press(page, "#solve")
    assert "16 answers valid" in page.inner_text("#standing")


def test_a_refused_click_says_so_and_thinks_no_more(page: Any, client: Any):
    long = client.submit("nqueens", EMPTY, LONG, 64, 0, api_name="/solve")
    while not long.outputs():
        time.sleep(0.05)
    waiting = client.submit("boards", 1, 0, api_name="/generate")
    page.wait_for_timeout(3000)
    assert waiting.outputs() == []  # one click at a time, of both kinds
    press(page, "#solve")
    assert page.inner_text("#message .error") == "no answer: the page is busy, expected another try in a while"
    assert page.inner_text("#standing") == ""
    page.get_by_role("tab", name="Generate").click()
    press(page, "#generate")
    assert "busy" in page.inner_text("#message2 .error")
    assert page.inner_text("#standing2") == ""
    page.get_by_role("tab", name="Solve").click()
    waiting.cancel()
    long.cancel()


def test_a_stop_while_a_click_waits_is_said_at_once(page: Any, client: Any):
    long = client.submit("nqueens", EMPTY, LONG, 64, 0, api_name="/solve")
    while not long.outputs():
        time.sleep(0.05)
    page.click("#solve")
    page.wait_for_function("() => document.querySelector('#turn textarea, #turn input').value")
    page.wait_for_timeout(1000)
    assert page.inner_text("#standing p") == "thinking"
    press(page, "#stop")
    assert page.inner_text("#standing p") == "stopped before it began"
    long.cancel()


def test_an_own_model_is_offered_by_its_folder(page: Any):
    choose_labelled(page, "N-Queens, 7x7 (seven)")
    write(page, BOARD)
    page.wait_for_selector('#board [data-i="18"][data-s="Q"]')
    page.locator("#samples input[type=range]").fill("16")
    press(page, "#solve")
    assert "of 6 solutions found" in page.inner_text("#standing")


def test_the_least_limits_serve(chromium: Any):
    with serving("--samples", "1", "--steps", "1") as one:
        page = chromium.new_page()
        page.set_default_timeout(PATIENCE)
        visit(page, one)
        page.close()
