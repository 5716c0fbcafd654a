"""The screenshots of docs/app.md: `python docs/screenshots.py` takes them again, of `gram app` in Debian's Chromium.

It needs the extras `app` and `dev`, and `apt-get install chromium`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
PORT = 7877
ADDRESS = f"http://127.0.0.1:{PORT}/"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
BOARD = "......./......./....Q../......./......./......./......."
GRAPH = "1 2\n1 3\n2 3\n2 4\n3 5\n4 5\n4 6\n5 6\n6 7\n1 7"
MAZE = "......#G.#/.#.#..#..#/..###...../.#..#...#./..#...##../.#....#.../.###..#..#/...##S###./##.##...#./#.#....#.."


def choose(page: Any, label: str, text: str) -> None:
    """A task and a puzzle."""
    if not re.search(label, page.input_value("#task input")):
        before = page.input_value("#text textarea")
        page.click("#task input")
        page.get_by_role("option", name=re.compile(label)).click()
        page.wait_for_function("old => document.querySelector('#text textarea').value !== old", arg=before)
    page.fill("#text textarea", text)
    page.wait_for_timeout(1500)


def solve(page: Any) -> None:
    """Press Solve and wait for the last answer."""
    page.evaluate("() => document.querySelectorAll('[data-done]').forEach((p) => { p.dataset.old = '' })")
    page.click("#solve")
    page.wait_for_selector('[data-done="true"]:not([data-old])')


def shot(page: Any, name: str) -> None:
    """The whole page as docs/NAME.png."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    page.screenshot(path=HERE / f"{name}.png", full_page=True)
    print(HERE / f"{name}.png")


def take(browser: Any) -> None:
    """All five."""
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.set_default_timeout(200_000)
    page.goto(ADDRESS)
    page.wait_for_selector("#board [data-i]")
    choose(page, "7x7", BOARD)
    solve(page)
    shot(page, "app-queens")
    page.locator("#at input[type=range]").fill("2")
    page.wait_for_function("() => document.querySelector('#film').innerText.includes(': step 2')")
    page.locator("#film").scroll_into_view_if_needed()
    page.screenshot(path=HERE / "app-steps.png", clip=_around(page, "#at", "#film"), full_page=True)
    print(HERE / "app-steps.png")
    choose(page, "Graph", GRAPH)
    solve(page)
    shot(page, "app-graph")
    choose(page, "Mazes", MAZE)
    solve(page)
    shot(page, "app-maze")
    phone = browser.new_context(
        viewport={"width": 375, "height": 780}, device_scale_factor=2, is_mobile=True
    ).new_page()
    phone.set_default_timeout(200_000)
    phone.goto(ADDRESS)
    phone.wait_for_selector("#board [data-i]")
    phone.fill("#text textarea", BOARD)
    phone.wait_for_timeout(1500)
    phone.evaluate("() => window.scrollTo(0, 0)")
    phone.screenshot(path=HERE / "app-phone.png")
    print(HERE / "app-phone.png")


def _around(page: Any, *selectors: str) -> dict[str, float]:
    """The rectangle of some elements on the page."""
    boxes = [page.locator(selector).bounding_box() for selector in selectors]
    top = page.evaluate("() => window.scrollY")
    left, right = min(box["x"] for box in boxes), max(box["x"] + box["width"] for box in boxes)
    first, last = min(box["y"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
    return {"x": left - 8, "y": first + top - 8, "width": right - left + 16, "height": last - first + 16}


def main() -> None:
    """Serve the page, take the pictures, end it."""
    command = [sys.executable, "-u", "-m", "gram_reasoning", "app", "--port", str(PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as server:
        assert server.stdout is not None
        print(server.stdout.readline().strip())
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
                take(browser)
                browser.close()
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
