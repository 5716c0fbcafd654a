"""The page in a browser: each bundled task's main path, bad input, a phone, who is called, files, many visitors."""

import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from app_helpers import PATIENCE, Served, choose, oracle, press, visit, write

from gram_reasoning.app.bundled import choices
from gram_reasoning.cli import main

pytestmark = pytest.mark.timeout(600)  # of a busy machine
SOLVING = [choice for choice in choices() if not choice.generates]
BOARD = "......./......./....Q../......./......./......./......."
VISITORS = 20


@pytest.fixture(scope="module")
def page(served: Served, chromium: Any) -> Iterator[Any]:
    """One visitor, whose requests to other hosts are kept in `page.strange`."""
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(PATIENCE)
    watch(page, served)
    visit(page, served)
    yield page
    page.close()


def watch(page: Any, served: Served) -> None:
    page.strange = []
    page.faults = []
    own = (served.address, "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(own) else page.strange.append(request.url))
    page.on("pageerror", lambda error: page.faults.append(str(error)))


def solve(page: Any) -> list[tuple[str, bool]]:
    """Press Solve; returns the answers on the page as text, and whether each is marked as verified."""
    press(page, "#solve")
    assert page.query_selector("#message .error") is None, page.inner_text("#message")
    cards = page.query_selector_all("#answers .card")
    return [(card.get_attribute("title"), card.query_selector(".right") is not None) for card in cards]


def set_step(page: Any, slider: str, film: str) -> None:
    """Drag a slider to the first step and wait for what stands there."""
    page.locator(f"{slider} input[type=range]").fill("1")
    page.wait_for_function("film => document.querySelector(film).innerText.includes(': step 1')", arg=film)


@pytest.mark.parametrize("name", [choice.name for choice in SOLVING])
def test_the_main_path_of_a_task(name: str, page: Any):
    choose(page, name)
    text = page.input_value("#text textarea")
    page.click("#example")
    page.wait_for_function("old => document.querySelector('#text textarea').value !== old", arg=text)
    answers = solve(page)
    puzzle = page.input_value("#text textarea")
    assert answers
    assert [verified for _, verified in answers] == [oracle(name)(puzzle, answer) for answer, _ in answers]
    assert any(verified for _, verified in answers)
    assert re.search(r"solutions? found|of [\d,]+.* solutions found", page.inner_text("#standing"))
    assert "by estimate" in page.inner_text("#standing")
    assert page.strange == page.faults == []


def test_trajectories_are_shown_step_by_step(page: Any):
    choose(page, "nqueens7")
    write(page, BOARD)
    page.wait_for_selector('#board [data-i="18"][data-s="Q"]')
    solve(page)
    last = page.inner_html("#film")
    assert "ended at step" in last
    set_step(page, "#at", "#film")
    assert page.inner_html("#film") != last
    assert len(page.query_selector_all("#film .card")) == 6


def test_a_board_is_edited_by_click_and_by_key(page: Any):
    choose(page, "nqueens7")
    page.click("#clear")
    page.wait_for_function("() => !document.querySelector('#text textarea').value.includes('Q')")

    def text_is(expected: str) -> None:
        page.wait_for_function("text => document.querySelector('#text textarea').value === text", arg=expected)

    page.click('#board [data-i="2"]')
    text_is("..Q..../......./......./......./......./......./.......")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("q")
    text_is("..Q..../....Q../......./......./......./......./.......")
    page.click('#board [data-i="2"]')
    text_is("......./....Q../......./......./......./......./.......")
    write(page, "1,.,.,.,.,.,.")
    page.wait_for_selector('#board [data-i="0"][data-s="Q"]')


def test_a_maze_is_painted_and_holds_one_start(page: Any):
    choose(page, "maze")
    page.click('#board ~ * [data-brush="S"], #board [data-brush="S"]')
    spot = page.query_selector('#board [data-s="."]').get_attribute("data-i")
    page.click(f'#board [data-i="{spot}"]')
    page.wait_for_selector(f'#board [data-i="{spot}"][data-s="S"]')
    page.wait_for_function("() => document.querySelector('#text textarea').value.split('S').length === 2")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("nqueens7", "..X..../......./......./......./......./......./......."),
        ("nqueens7", "Q.Q..../......./......./......./......./......./......."),
        ("nqueens7", ""),
        ("coloring", "1 2/2 2"),
    ],
)
def test_bad_input_gets_the_line_of_the_command(name: str, wrong: str, page: Any, capsys: pytest.CaptureFixture[str]):
    choose(page, name)
    write(page, wrong)
    press(page, "#solve")
    shown = page.inner_text("#message .error")
    main(["solve", "--checkpoint", name, wrong])
    said = capsys.readouterr().err.strip()
    assert "\n" not in shown
    assert "expected" in shown
    if wrong:  # what comes before is where the text stood
        assert shown.partition(", line")[2] == said.partition(", line")[2] != ""
    assert page.query_selector("#answers .card") is None


def test_a_narrow_screen_scrolls_down_alone(served: Served, chromium: Any):
    context = chromium.new_context(viewport={"width": 375, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    watch(page, served)
    visit(page, served)

    def width() -> int:
        return page.evaluate("() => document.documentElement.scrollWidth")

    assert width() <= 375
    solve(page)
    assert width() <= 375
    for name in ("coloring", "nqueens"):
        choose(page, name)
        assert width() <= 375, name
    page.get_by_role("tab", name="Generate").click()
    press(page, "#generate")
    assert width() <= 375
    assert page.strange == page.faults == []
    context.close()


@pytest.mark.parametrize("name", ["boards", "digits"])
def test_answers_are_generated_and_form_step_by_step(name: str, page: Any):
    page.get_by_role("tab", name="Generate").click()
    page.click("#what input")
    page.get_by_role("option", name=re.compile("Sudoku boards" if name == "boards" else "Digits")).click()
    press(page, "#generate")
    last = page.inner_html("#film2")
    assert len(page.query_selector_all("#film2 .card")) == 6
    assert (name == "digits") == ("data:image/png" in last)
    set_step(page, "#at2", "#film2")
    assert page.strange == page.faults == []
    page.get_by_role("tab", name="Solve").click()


OWN_FILES = ["/etc/passwd", "pyproject.toml", str(Path(__file__)), "models/nqueens7/config.json", "../../../etc/passwd"]


@pytest.mark.parametrize("path", OWN_FILES)
@pytest.mark.parametrize("route", ["gradio_api/file=", "file=", "static/", "assets/", "gradio_api/file/", "theme/", ""])
def test_no_file_of_the_server_is_read(route: str, path: str, served: Served):
    for spelled in (path, path.replace("/", "%2F"), path.replace("..", "%2e%2e")):
        status, body = get(f"{served.address}/{route}{spelled}")
        assert status in (403, 404), (route, spelled, body[:200])
        assert not any(secret in body for secret in ("root:", "[project]", "OWN_FILES", '"recipe"'))


def test_nothing_is_uploaded(served: Served):
    boundary = "x"
    part = 'Content-Disposition: form-data; name="files"; filename="a.txt"'
    body = f"--{boundary}\r\n{part}\r\n\r\nhello\r\n--{boundary}--\r\n"
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    status, _ = get(f"{served.address}/gradio_api/upload", body.encode(), kind)
    assert status >= 400
    assert not list(served.folder.rglob("a.txt"))


def get(address: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data, headers or {})) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def test_the_page_listens_to_this_machine_alone(served: Served):
    found = psutil.Process(served.pid).net_connections(kind="inet")
    listening = {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


@pytest.fixture
def client(served: Served) -> Callable[[], Any]:
    from gradio_client import Client

    return lambda: Client(served.address, verbose=False, analytics_enabled=False, httpx_kwargs={"timeout": 300})


def test_twenty_visitors_at_once(client: Callable[[], Any], capsys: pytest.CaptureFixture[str]):
    def answered(number: int) -> tuple[float, Any]:
        visitor = client()
        start = time.perf_counter()
        result = visitor.predict("nqueens7", BOARD, 16, 6, number, api_name="/solve")
        return time.perf_counter() - start, result

    start = time.perf_counter()
    with ThreadPoolExecutor(VISITORS) as pool:
        results = list(pool.map(answered, range(VISITORS)))
    took = sorted(seconds for seconds, _ in results)
    for _, (message, standing, answers, *_, film) in results:
        assert message == ""
        assert answers.count("✓ verified") >= 1
        assert film.count("ended at step") == 6
        assert re.search(r"[1-6] of 6 solutions found", standing)
        assert 'data-done="true"' in standing
    with capsys.disabled():
        print(
            f"\n{VISITORS} visitors at once, 16 trajectories each: answered after {took[0]:.1f} s (first), "
            f"{took[VISITORS // 2]:.1f} s (median), {took[-1]:.1f} s (last); {time.perf_counter() - start:.1f} s in all"
        )


def test_a_second_visitor_does_not_wait_for_the_first(client: Callable[[], Any]):
    first, second = client(), client()
    long = first.submit("nqueens", "/".join(["." * 10] * 10), 256, 64, 0, api_name="/solve")
    while not long.outputs():
        time.sleep(0.05)
    second.predict("nqueens7", BOARD, 16, 6, 0, api_name="/solve")
    assert not long.done()
    long.cancel()


@pytest.mark.parametrize(("samples", "steps", "seed"), [(257, 6, 0), (16, 65, 0), (0, 6, 0), (1e9, 6, 0)])
def test_limits_hold_for_whoever_calls(samples: float, steps: float, seed: float, client: Callable[[], Any]):
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError):
        client().predict("nqueens7", BOARD, samples, steps, seed, api_name="/solve")


def test_a_seed_that_is_none_gets_one_line(client: Callable[[], Any]):
    message, *_ = client().predict("nqueens7", BOARD, 16, 6, -1, api_name="/solve")
    assert "seed: got -1, expected a whole number from 0 to 2147483647" in message


def test_the_first_answer_comes_soon(page: Any, capsys: pytest.CaptureFixture[str]):
    choose(page, "nqueens7")
    write(page, BOARD)
    busy = max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
    page.evaluate("() => document.querySelectorAll('#answers .right').forEach((mark) => { mark.dataset.old = '' })")
    start = time.perf_counter()
    page.click("#solve")
    page.wait_for_selector("#answers .right:not([data-old])")
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"\nfirst verified board {seconds:.2f} s after the click (load {busy:.1f} a core)")
    assert seconds < 5 * busy


def test_the_server_calls_nobody(served: Served):
    assert served.called() == []
