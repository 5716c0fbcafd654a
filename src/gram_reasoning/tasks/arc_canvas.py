"""ARC grids on a square canvas: written, read, turned, recoloured and moved, as tensors on any device.

Tokens: 0 pad, 1 end, 2 to 11 the colours 0 to 9. A grid lies in a corner of the canvas (or elsewhere in training),
the end token below its last row and right of its last column, where there is room; the rest is padding:

    3 4 1 0          the grid of two rows  1 2  on a canvas of 4 x 4
    2 2 1 0                                0 0
    1 1 0 0
    0 0 0 0

Shape letters: B canvases of C x C tokens, flat (B, C * C).
"""

import numpy as np
import torch
from torch import Tensor

PAD, END, COLOR = 0, 1, 2
COLORS = 10
VOCAB = COLOR + COLORS
TURNS = 8
"""Symmetries of the square. Number t flips the rows if bit 0 is set, the columns if bit 1, then transposes if bit 2."""
BACK = (0, 1, 2, 3, 4, 6, 5, 7)
"""The symmetry that undoes each: a transposition exchanges the two flips."""

Grid = list[list[int]]
"""Rows of colours 0 to 9."""


def write(grid: Grid, side: int) -> Tensor:
    """A grid in the corner of a canvas: (C * C,) uint8."""
    canvas = np.full((side, side), PAD, np.uint8)
    height, width = len(grid), len(grid[0])
    canvas[height : height + 1, :width] = END
    canvas[:height, width : width + 1] = END
    canvas[:height, :width] = np.array(grid, np.uint8) + COLOR
    return torch.from_numpy(canvas.reshape(-1))


def read(canvas: Tensor) -> Grid:
    """The grid in the corner of one canvas (C * C,); no rows if there is none."""
    side = side_of(canvas)
    (height,), (width,) = (size.tolist() for size in sizes(canvas[None].long()))
    return (canvas.view(side, side)[:height, :width].long() - COLOR).tolist()


def side_of(canvases: Tensor) -> int:
    return round(canvases.shape[-1] ** 0.5)


def sizes(canvases: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width (B,) of the largest rectangle of colours in the corner; both 0 if the corner has none."""
    side = side_of(canvases)
    colored = ((canvases >= COLOR) & (canvases < VOCAB)).view(-1, side, side)
    columns = torch.arange(side, dtype=torch.uint8, device=canvases.device)
    run = torch.where(colored, side, columns).amin(2).long()  # colours in a row from its start (B, C)
    widths = run.cummin(1).values  # of a rectangle down to each row
    area, last = (widths * torch.arange(1, side + 1, device=canvases.device)).max(1)
    width = widths.gather(1, last[:, None])[:, 0]
    return torch.where(area > 0, last + 1, 0), width


def clean(canvases: Tensor) -> Tensor:
    """The same with nothing but the grid in the corner and its ends; only padding where there is no grid."""
    return _outlined(canvases, *sizes(canvases))


def turned(canvases: Tensor, turn: Tensor) -> Tensor:
    """Grids in the corner under the symmetries `turn` (B,); `BACK[turn]` undoes it."""
    side = side_of(canvases)
    height, width = sizes(canvases)
    transposed, rows_flipped, columns_flipped = (turn & bit > 0 for bit in (4, 1, 2))
    place = torch.arange(side, device=canvases.device)
    row, column = (  # the old row of each flipped row, and the old column of each flipped column (B, C)
        torch.where(flipped[:, None], size[:, None] - 1 - place, place).clamp(0, side - 1)
        for flipped, size in ((rows_flipped, height), (columns_flipped, width))
    )
    upright = row[:, :, None] * side + column[:, None, :]
    source = torch.where(transposed[:, None, None], upright.mT, upright).flatten(1)
    height, width = torch.where(transposed, width, height), torch.where(transposed, height, width)
    return _outlined(canvases.gather(1, source), height, width)


def recolored(canvases: Tensor, colors: Tensor) -> Tensor:
    """Colour c becomes colour `colors[:, c]` (B, 10); pad and end stay."""
    fixed = torch.arange(COLOR, device=canvases.device).expand(len(canvases), COLOR)
    return torch.cat([fixed, colors + COLOR], 1).gather(1, canvases)


def moved(canvases: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Everything on the canvases shifted by `down` and `right` (B,) places; what leaves the canvas is gone."""
    side = side_of(canvases)
    place = torch.arange(side, device=canvases.device)
    row, column = place - down[:, None], place - right[:, None]  # where each row and column comes from (B, C)
    source = row.clamp(min=0)[:, :, None] * side + column.clamp(min=0)[:, None, :]
    there = (row >= 0)[:, :, None] & (column >= 0)[:, None, :]
    return canvases.gather(1, source.flatten(1)).where(there.flatten(1), PAD)


def _outlined(canvases: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """The top left `height` x `width` (B,) cells of each canvas with ends around them, and padding elsewhere."""
    place = torch.arange(side_of(canvases), device=canvases.device)
    row, column = place - height[:, None], place - width[:, None]
    in_row, in_column = (row < 0)[:, :, None], (column < 0)[:, None, :]
    inside = in_row & in_column
    end = ((row == 0)[:, :, None] & in_column) | (in_row & (column == 0)[:, None, :])
    return torch.where(inside.flatten(1), canvases, end.flatten(1).to(canvases.dtype) * END)
