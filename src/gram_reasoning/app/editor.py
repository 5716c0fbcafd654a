"""The board that a visitor edits: a grid of buttons to click, to type into, or to paint with a chosen symbol."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from gram_reasoning.tasks.configs import KINDS
from gram_reasoning.tasks.maze import Maze
from gram_reasoning.tasks.nqueens import NQueens
from gram_reasoning.tasks.sudoku import Sudoku

GRID = """
<div class="edit board ${kind}" style="--n:${value.split('/')[0].length}" role="group" aria-label="the puzzle">
${value.split('/').join('').split('').map((s, i) => {
  const n = value.split('/')[0].length;
  const what = s === symbols[0] ? 'open' : s;
  const name = `row ${Math.floor(i / n) + 1}, column ${i % n + 1}: ${what}`;
  const odd = (Math.floor(i / n) + i % n) % 2 ? 'odd' : '';
  return `<button type="button" class="${odd}" data-i="${i}" data-s="${s}" aria-label="${name}"></button>`;
}).join('')}</div>
<div class="brushes" role="group" aria-label="what a click sets">${symbols.length < 3 ? '' : symbols.slice(1).split('')
  .map((s) => `<button type="button" data-brush="${s}" data-s="${s}" aria-label="set ${s}"></button>`).join('')}</div>
"""


@dataclass(frozen=True)
class Edited:
    """What the cells of a kind of board may hold."""

    symbols: str
    """Characters, the open one first."""
    once: str = ""
    """Those of which a board holds one."""


def edited(kind: str, size: int) -> Edited | None:
    """What the boards of a kind of task hold; None for one without a board to edit."""
    digits = "".join(str(digit) for digit in range(1, size + 1))
    kinds = {NQueens.name: Edited(".Q"), Sudoku.name: Edited(f".{digits}"), Maze.name: Edited(".#SG", once="SG")}
    return kinds.get(kind) if kind in KINDS else None


def blank(kind: str, size: int) -> str:
    """A board with nothing on it, as text; empty for a kind without a board."""
    one = edited(kind, size)
    return "" if one is None else "/".join([one.symbols[0] * size] * size)


def board(first: dict[str, Any]) -> gr.HTML:
    """The component, as `shown` says what it shows first."""
    script = Path(__file__).with_name("board.js").read_text(encoding="utf-8")
    return gr.HTML(html_template=GRID, js_on_load=script, apply_default_css=False, elem_id="board", **first)


def shown(kind: str, rows: str | None) -> dict[str, Any]:
    """What makes the component show a board of a kind, rows joined by `/`; hidden without one."""
    one = None if rows is None else edited(kind, rows.index("/"))
    if rows is None or one is None:
        return {"value": ".", "kind": "none", "symbols": ".Q", "once": "", "visible": False}
    return {"value": rows, "kind": kind, "symbols": one.symbols, "once": one.once, "visible": True}
