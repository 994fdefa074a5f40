"""How far one token's information gets, block by block, with shifted windows and without."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Int
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from swin_tutorial.figures.motion.animation import (
    LAST,
    PAUSE,
    STEP,
    STILL,
    Animation,
    Frame,
    Length,
    animate,
    cell_side,
    draw_cells,
    draw_outline,
    paint,
    place,
    write,
    write_below,
    write_number,
)
from swin_tutorial.figures.motion.pieces import pieces, shifted_grid
from swin_tutorial.figures.style import INK, QUERY
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size, size_text

NEVER = -1
_UNREACHED = "#EEEEEE"
# One color a block, dark to light, with the block's number on it.
_BLOCKS = ("#08306B", "#1D6CB1", "#4A9CCB", "#7FB9DA", "#A8CBE8", "#C6DBEF")


def animate_reach(
    size: tuple[int, int] = (12, 16),
    window_size: Size = 4,
    shift_size: Size = 2,
    token: tuple[int, int] = (5, 6),
    blocks: int = 5,
) -> Animation:
    """Spread what one token (row, column) knows over a map, with shifted windows and without.

    Raises ValueError unless the map divides into windows and is shifted on both axes, for a token
    off the map, and for more than 6 blocks.
    """
    shifted = shifted_grid(size, window_size, shift_size)
    shifted.locate(token)  # raises for a token off the map
    if not 1 <= blocks <= len(_BLOCKS):
        raise ValueError(f"blocks must be between 1 and {len(_BLOCKS)}, got {blocks}")
    plain = WindowGrid(size, window_size)
    in_turn = [shifted if block % 2 else plain for block in range(blocks)]
    stage = _ReachStage(in_turn, [plain] * blocks, token)
    left, right = (int((panel != NEVER).sum()) for panel in stage.reached)
    alt = (
        f"Animation. Two maps of {size_text(shifted.size)} tokens, one token marked with a star. "
        f"Block after block, whole windows of tokens that know of it are filled in. Left, where "
        f"W-MSA and SW-MSA take turns, they cover {left} tokens after {blocks} blocks. Right, with "
        f"W-MSA alone, it stays one window of {right} tokens."
    )
    return animate(_reach_frames(stage), alt)


def first_reached(grids: Sequence[WindowGrid], token: tuple[int, int]) -> Int[Tensor, "h w"]:
    """Return after how many blocks each token knows of ``token``: 0 for itself, or ``NEVER``.

    Block number i lets tokens attend in the windows of ``grids[i]``, under its mask.
    """
    reached = torch.full(grids[0].size, NEVER)
    reached[token] = 0
    for block, grid in enumerate(grids, start=1):
        knows = grid.partition((reached != NEVER)[None, ..., None])[0, :, None, :, 0]
        learns = (grid.mask() & knows).any(-1)  # a query learns from any key that it may attend to
        learns = grid.merge(learns[None, ..., None])[0, ..., 0]
        reached[learns & (reached == NEVER)] = block
    return reached


def _reach_frames(stage: "_ReachStage") -> Iterator[Frame]:
    blocks = len(stage.grids[0])
    words = "A number is the block after which a token knows of the star."
    yield stage.frame(words, blocks), STILL
    yield stage.frame("Before the first block, no other token knows of the star.", 0), PAUSE
    for block in range(1, blocks + 1):
        shifted = any(stage.grids[0][block - 1].effective_shift)
        kinds = "SW-MSA left, W-MSA right" if shifted else "W-MSA left and right"
        words = f"Block {block}: {kinds}. The orange windows pass it on."
        yield stage.frame(words, block - 1, windows_of=block), PAUSE
        for faded_in in (1 / 3, 2 / 3):  # a window's tokens learn at once, so they appear at once
            yield stage.frame(words, block - 1, faded_in, windows_of=block), STEP
        yield stage.frame(words, block, windows_of=block), PAUSE // 2
    words = "With both kinds in turn it crosses every edge. With one kind it stays in one window."
    yield stage.frame(words, blocks), LAST


class _ReachStage:
    """Two maps side by side: blocks with and without shifted windows."""

    def __init__(self, in_turn: list[WindowGrid], alone: list[WindowGrid], token: tuple[int, int]):
        self.grids, self.token = (in_turn, alone), token
        self.reached = [first_reached(grids, token) for grids in self.grids]
        self.rows, self.columns = in_turn[0].size
        self.side = cell_side(354 / self.columns, 21)
        self.width, self.height = self.columns * self.side, self.rows * self.side
        self.top, self.lefts = 42, (12, self.width + 48)
        self.size = 2 * self.width + 60, self.top + self.height + 81
        self.cells = [self._cell("★", QUERY)]
        self.cells += [self._cell(str(1 + block), color) for block, color in enumerate(_BLOCKS)]

    def frame(
        self, words: str, block: int, faded_in: Length = 0.0, windows_of: int | None = None
    ) -> Image.Image:
        """Return a frame after a number of blocks.

        ``faded_in`` is the opacity of the tokens that learn in the next block; they don't count as
        knowing yet.  ``windows_of`` says which block's windows to outline; those in which it
        spreads stand out.
        """
        sheet = paint(*self.size, lambda axes: self._draw_sheet(axes, words, block))
        for panel, left in enumerate(self.lefts):
            shown = self.knows(panel, block + 1 if faded_in else block)
            for y, x in shown.nonzero().tolist():
                reached = int(self.reached[panel][y, x])
                corner = left + x * self.side, self.top + y * self.side
                place(sheet, self.cells[reached], *corner, faded_in if reached > block else 1.0)
        if windows_of is not None:
            lines = paint(*self.size, lambda axes: self._draw_windows(axes, windows_of))
            place(sheet, lines, 0, 0)
        return sheet

    def knows(self, panel: int, block: int) -> Bool[Tensor, "h w"]:
        """Return which tokens of a panel know of the star after a number of blocks."""
        return (self.reached[panel] != NEVER) & (self.reached[panel] <= block)

    def _cell(self, text: str, color: str) -> Image.Image:
        def draw(axes: Axes) -> None:
            draw_cells(axes, 0, 0, self.side, [[color]])
            draw_outline(axes, 0, 0, self.side, self.side, "white", 0.8)
            write_number(axes, self.side / 2, self.side / 2, text, 12)

        return paint(self.side, self.side, draw)

    def _draw_sheet(self, axes: Axes, words: str, block: int) -> None:
        total = self.rows * self.columns
        titles = ("W-MSA and SW-MSA in turn", "W-MSA alone")
        for panel, (left, title) in enumerate(zip(self.lefts, titles, strict=True)):
            draw_cells(axes, left, self.top, self.side, [[_UNREACHED] * self.columns] * self.rows)
            middle = left + self.width / 2
            write(axes, middle, 20, title, ha="center")
            count = int(self.knows(panel, block).sum())
            words_below = f"{count} of {total} tokens know ({count / total:.0%})"
            write(axes, middle, self.top + self.height + 21, words_below, 13, ha="center")
        write_below(axes, *self.size, words)

    def _draw_windows(self, axes: Axes, block: int) -> None:
        for panel, (left, grids) in enumerate(zip(self.lefts, self.grids, strict=True)):
            knew = self.knows(panel, block - 1)
            outlines = []
            for piece in pieces(grids[block - 1]):
                (y, x), (height, width) = piece.home, piece.size
                corner = left + x * self.side, self.top + y * self.side
                spreads = bool(knew[y : y + height, x : x + width].any())
                outlines.append((spreads, *corner, width * self.side, height * self.side))
            for spreads, *box in sorted(outlines):  # the highlighted ones on top
                if spreads:
                    draw_outline(axes, *box, "white", 5)
                draw_outline(axes, *box, QUERY if spreads else INK, 3 if spreads else 1.5)
