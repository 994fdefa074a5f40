"""Naive shifted windows against packed ones: smaller windows travel to their partners."""

import math
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from PIL import Image

from swin_tutorial.figures.motion.animation import (
    LAST,
    PAUSE,
    STEP,
    STILL,
    Animation,
    Frame,
    Length,
    Point,
    animate,
    between,
    cell_side,
    draw_cells,
    draw_outline,
    paint,
    place,
    progress,
    write,
    write_below,
    write_number,
)
from swin_tutorial.figures.motion.pieces import Piece, pieces, shifted_grid
from swin_tutorial.figures.style import PADDING, region_color
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size

_GHOST = 0.3  # the opacity of a piece that has left


def animate_packing(
    size: tuple[int, int] = (8, 12), window_size: Size = 4, shift_size: Size = 2
) -> Animation:
    """Send the windows of the shifted partition to the places where the roll packs them.

    Raises ValueError unless the map divides into windows and is shifted on both axes.
    """
    grid = shifted_grid(size, window_size, shift_size)
    alt = (
        f"Animation. Left, {len(pieces(grid))} shifted windows of different sizes, with gaps "
        f"between them. Right, {grid.num_windows} empty places of one size. The full windows "
        "travel to a place each. Then smaller windows from opposite ends travel to one place in "
        "pairs, and those of the four corners all together, until every place is full."
    )
    return animate(_packing_frames(grid), alt)


def _packing_frames(grid: WindowGrid) -> Iterator[Frame]:
    stage = _PackingStage(grid)
    yield stage.frame("Cut as they are, shifted windows are uneven. Packed, they are equal."), STILL
    packed: list[Piece] = []
    for words, together in _partners(grid):
        yield stage.frame(words, packed, together), PAUSE
        for done in progress(6):
            yield stage.frame(words, packed, together, done), STEP if done < 1 else PAUSE // 2
        packed += together
    yield stage.frame("The same tokens, none added, in windows of one size."), LAST


def _partners(grid: WindowGrid) -> Iterator[tuple[str, list[Piece]]]:
    """Yield the pieces that travel together, and what to say: full ones, pairs, fours."""
    found = pieces(grid)
    for (rows, columns), words in {
        (1, 1): "1 · Each full window gets a place of its own.",
        (1, 2): "2 · The left and the right end of a row share a place.",
        (2, 1): "3 · The top and the bottom end of a column share a place.",
        (2, 2): "4 · The four corners share a place.",
    }.items():
        together = [
            piece
            for piece in found
            if len({other.strip[0] for other in found if other.window == piece.window}) == rows
            and len({other.strip[1] for other in found if other.window == piece.window}) == columns
        ]
        if together:
            yield words, together


class _PackingStage:
    """Left the shifted windows as they stand, right the places of the rolled map."""

    def __init__(self, grid: WindowGrid):
        self.grid, self.pieces = grid, pieces(grid)
        height, width = grid.size
        self.gap = 9
        self.side = cell_side(345 / (width + 1), 27)
        strips = [max(piece.strip[axis] for piece in self.pieces) for axis in (0, 1)]
        self.left, self.top = 12, 42
        naive = width * self.side + strips[1] * self.gap
        self.right = self.left + naive + 66
        packed = width * self.side + (grid.axes[1].num_windows - 1) * self.gap
        self.middles = self.left + naive / 2, self.right + packed / 2
        self.bottom = self.top + height * self.side + strips[0] * self.gap
        self.size = self.right + packed + 12, self.bottom + 96
        self.sprites = {piece: self._sprite(piece) for piece in self.pieces}

    def frame(
        self,
        words: str,
        packed: Sequence[Piece] | None = None,
        moving: Sequence[Piece] = (),
        done: Length = 0.0,
    ) -> Image.Image:
        """Return a frame in which some pieces are packed and others on their way.

        None means all of them, and that the pieces on the left are shown in full as well.
        """
        arrived = self.pieces if packed is None else [*packed, *(moving if done == 1 else ())]
        count = sum(math.prod(piece.size) for piece in arrived)
        sheet = paint(*self.size, lambda axes: self._draw_sheet(axes, words, count))
        gone = [] if packed is None else [*packed, *moving]
        for piece in self.pieces:
            opacity = _GHOST if piece in gone else 1.0
            place(sheet, self.sprites[piece], *self._home(piece), opacity)
        for piece in self.pieces if packed is None else packed:
            place(sheet, self.sprites[piece], *self._packed(piece))
        for piece in moving:
            corner = between(self._home(piece), self._packed(piece), done)
            place(sheet, self.sprites[piece], *corner)
        return sheet

    def _home(self, piece: Piece) -> Point:
        (y, x), (row, column) = piece.home, piece.strip
        return (
            self.left + x * self.side + column * self.gap,
            self.top + y * self.side + row * self.gap,
        )

    def _packed(self, piece: Piece) -> Point:
        y, x = piece.rolled
        wh, ww = self.grid.window_size
        return (
            self.right + x * self.side + x // ww * self.gap,
            self.top + y * self.side + y // wh * self.gap,
        )

    def _sprite(self, piece: Piece) -> Image.Image:
        height, width = piece.size

        def draw(axes: Axes) -> None:
            draw_cells(axes, 0, 0, self.side, [[region_color(piece.region)] * width] * height)
            middle = width * self.side / 2, height * self.side / 2
            write_number(axes, *middle, str(piece.region), 15)
            outside = width * self.side - 2, height * self.side - 2
            draw_outline(axes, 1, 1, *outside)

        return paint(width * self.side, height * self.side, draw)

    def _draw_sheet(self, axes: Axes, words: str, packed: int) -> None:
        wh, ww = self.grid.window_size
        sizes = {piece.size for piece in self.pieces}
        tokens = self.grid.size[0] * self.grid.size[1]
        for y in range(self.grid.axes[0].num_windows):
            for x in range(self.grid.axes[1].num_windows):
                corner = (
                    self.right + x * (ww * self.side + self.gap),
                    self.top + y * (wh * self.side + self.gap),
                )
                draw_outline(axes, *corner, ww * self.side, wh * self.side, PADDING, 1.5)
        for middle, title, count in zip(
            self.middles,
            ("the shifted windows", "packed as the roll packs them"),
            (
                f"{len(self.pieces)} windows in {len(sizes)} sizes\nfilled up to {wh} × {ww} each: "
                f"{len(self.pieces) * wh * ww} tokens",
                f"{self.grid.num_windows} windows of {wh} × {ww}\n"
                f"{packed} of {tokens} tokens packed",
            ),
            strict=True,
        ):
            write(axes, middle, 18, title, ha="center")
            write(axes, middle, self.bottom + 27, count, 13, ha="center", linespacing=1.4)
        write_below(axes, *self.size, words)
