"""The page: what stands where, and which handler of visits.py answers which click."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Base

from gram_reasoning.app import bundled, editor, shown, visits
from gram_reasoning.app.run import TOGETHER, Limits
from gram_reasoning.app.visits import FORMING, LONGEST, Visits
from gram_reasoning.errors import UserError

START = "nqueens7"
"""What is shown first, where it is there."""
INTRO = """# gram

A small network thinks about a puzzle many times over, by sampling. Each *trajectory* ends in an answer; an answer that
many trajectories give has many votes. The rules check every answer. [How it works](https://arxiv.org/abs/2605.19376)
"""
THEME = Base(
    font=["system-ui", "-apple-system", "Segoe UI", "DejaVu Sans", "sans-serif"],
    font_mono=["ui-monospace", "Consolas", "DejaVu Sans Mono", "monospace"],
)
CSS = Path(__file__).with_name("style.css")
QUIET: dict[str, Any] = {"show_progress": "hidden"}
AT_ONCE: dict[str, Any] = {**QUIET, "queue": False, "api_visibility": "private"}
RUN: dict[str, Any] = {**QUIET, "concurrency_id": "run"}
"""Of what takes long: both kinds of run share one number of clicks at the same time."""
EMPTY = "() => ['', '', {__type__: 'update', visible: false}, '']"
"""How far, answers, the film's slider and its picture before there are any."""


def page(limits: Limits, together: int, waiting: int, checkpoints: Iterable[str] = ()) -> gr.Blocks:
    """The page over all models of the package, and others.

    Args:
        limits: what one click may cost.
        together: clicks that are answered at the same time, step by step in turns.
        waiting: clicks that may wait beside them; one more is refused.
        checkpoints: folders of own runs or models.

    Raises:
        UserError: no model is there, or one of those asked for is not.
    """
    every = {choice.name: choice for choice in [*bundled.own(checkpoints), *bundled.choices()]}
    answers = Visits(every, limits)
    solving = [choice for choice in every.values() if not choice.generates]
    generating = [choice for choice in every.values() if choice.generates]
    if not solving:
        raise UserError("gram app: no model comes with this package, expected at least one that solves")
    with gr.Blocks(title="gram", analytics_enabled=False) as blocks:
        gr.Markdown(INTRO)
        with gr.Tab("Solve"):
            _solve(answers, solving, limits)
        if generating:
            with gr.Tab("Generate"):
                _generate(answers, generating)
    return blocks.queue(max_size=waiting, default_concurrency_limit=together, api_open=False)


def _solve(answers: Visits, solving: list[bundled.Choice], limits: Limits) -> None:
    first = next((choice for choice in solving if choice.name == START), solving[0])
    size, text, board, picture, _, steps, *_ = answers.pick(first.name)
    for update in (size, board, picture):
        del update["__type__"]  # what a handler would change is here what the page begins with
    film = gr.State(None, time_to_live=3600)
    turn = gr.Textbox("", visible="hidden", label="Leave it out", elem_id="turn")
    usual = min(4 * TOGETHER, limits.samples)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            task = gr.Dropdown(
                [(one.label, one.name) for one in solving], value=first.name, label="Task", elem_id="task"
            )
            side = gr.Dropdown(**size, label="Size of a new puzzle", elem_id="size", interactive=True)
            squares = editor.board(board)
            drawn = gr.HTML(**picture, elem_id="picture")
            with gr.Row():
                go = gr.Button("Solve", variant="primary", elem_id="solve", min_width=90)
                stop = gr.Button("Stop", elem_id="stop", min_width=90)
            with gr.Row():
                new = gr.Button("Example", elem_id="example", min_width=90)
                wipe = gr.Button("Clear", elem_id="clear", min_width=90)
            written = gr.Textbox(
                text,
                label="The puzzle as text: type or paste",
                lines=3,
                max_lines=12,
                max_length=LONGEST,
                elem_id="text",
            )
            with gr.Accordion("How hard to try", open=False):
                many = gr.Slider(1, max(2, limits.samples), usual, step=1, label="Trajectories", elem_id="samples")
                deep = gr.Slider(1, max(2, limits.steps), steps, step=1, label="Most steps of each", elem_id="steps")
                seed = _seed("seed")
        with gr.Column(scale=3, min_width=300):
            message = gr.HTML("", elem_id="message")
            standing = gr.HTML("", elem_id="standing")
            found = gr.HTML("", elem_id="answers")
            at = gr.Slider(1, 2, 1, step=1, label="Trajectories after step", visible=False, elem_id="at")
            paths = gr.HTML("", elem_id="film")
    puzzle, results = [written, squares, drawn, message], [standing, found, film, at, paths]
    for other in (task.input, written.change):
        other(answers.replace, turn, None, trigger_mode="multiple", **AT_ONCE)
    task.input(answers.pick, task, [side, *puzzle, deep, *results], **AT_ONCE)
    side.input(answers.clear, [task, side], puzzle, **AT_ONCE)
    new.click(answers.example, [task, side], puzzle, **AT_ONCE)
    wipe.click(answers.clear, [task, side], puzzle, **AT_ONCE)
    written.change(None, None, [standing, found, at, paths], js=EMPTY, **AT_ONCE)  # they answer the puzzle before
    written.change(answers.looked, [task, written, squares], puzzle[1:], trigger_mode="always_last", **AT_ONCE)
    squares.input(None, squares, written, js="(rows) => rows", **AT_ONCE)
    began = f"() => [{shown.BEGUN!r}, '']"  # at once, before the server says so; what was wrong before is past
    go.click(None, None, [standing, message], js=began, **AT_ONCE)
    go.click(answers.begin, turn, turn, **AT_ONCE)  # a click's events follow each other
    running = go.click(
        answers.solve,
        [task, written, many, deep, seed, turn],
        [message, *results],
        api_name="solve",
        trigger_mode="always_last",
        **RUN,
    )
    running.failure(answers.refused, None, [message, standing], **AT_ONCE)
    stop.click(answers.stop, turn, standing, **AT_ONCE)
    at.input(visits.step, [film, at], paths, trigger_mode="always_last", **AT_ONCE)


def _seed(name: str) -> gr.Number:
    return gr.Number(0, label="Seed", precision=0, elem_id=name)


def _generate(answers: Visits, generating: list[bundled.Choice]) -> None:
    film = gr.State(None, time_to_live=3600)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            what = gr.Dropdown(
                [(one.label, one.name) for one in generating], value=generating[0].name, label="What", elem_id="what"
            )
            count = gr.Slider(1, FORMING, 6, step=1, label="How many", elem_id="count")
            seed = _seed("seed2")
            go = gr.Button("Generate", variant="primary", elem_id="generate")
        with gr.Column(scale=3, min_width=300):
            message = gr.HTML("", elem_id="message2")
            standing = gr.HTML("", elem_id="standing2")
            at = gr.Slider(1, 2, 1, step=1, label="After step", visible=False, elem_id="at2")
            paths = gr.HTML("", elem_id="film2")
    outputs = [message, standing, film, at, paths]
    running = go.click(answers.generate, [what, count, seed], outputs, api_name="generate", **RUN)
    running.failure(answers.refused, None, [message, standing], **AT_ONCE)
    at.input(visits.step, [film, at], paths, trigger_mode="always_last", **AT_ONCE)


def serve(blocks: gr.Blocks, host: str, port: int) -> str:
    """Serve the page from this process, in the background, on a port that is free; returns its address."""
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        allowed_paths=[],
        blocked_paths=[Path(__file__).anchor],  # every file there is
        max_file_size=1,  # nothing is uploaded
        state_session_capacity=500,
        theme=THEME,
        css_paths=CSS,
    )
    return address
