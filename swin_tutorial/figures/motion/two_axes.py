"""Two masks of one axis each, combined by AND into the mask of a window."""

from collections.abc import Iterator

from einops import repeat
from jaxtyping import Bool
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
    Point,
    animate,
    between,
    cell_side,
    draw_band,
    draw_cells,
    draw_outline,
    ease,
    mask_colors,
    paint,
    pixels,
    place,
    write,
    write_below,
)
from swin_tutorial.figures.motion.pieces import shifted_grid
from swin_tutorial.figures.style import ALLOWED, INK, PADDING, TEXT
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size, window_partition

_STRIP = "#777777"  # the color of strips, which are not regions
_BAND = 24  # CSS pixels from the start of a mask's band of regions to the mask


def animate_and(
    size: tuple[int, int] = (8, 12), window_size: Size = 4, shift_size: Size = 2
) -> Animation:
    """Repeat the last window's mask of each axis along the other axis, and combine both by AND.

    Raises ValueError unless the map divides into windows and is shifted on both axes.
    """
    grid = shifted_grid(size, window_size, shift_size)
    (rows, columns), t = grid.window_size, grid.tokens_per_window
    alt = (
        f"Animation. The last window's mask of the rows, {rows} by {rows}, grows: each cell becomes"
        f" a block of {columns} by {columns}. The mask of the columns, {columns} by {columns}, is "
        f"copied {rows} by {rows} times. Both are now {t} by {t}. They slide over each other: a "
        "cell of the corner window's mask is light only where both are light."
    )
    return animate(_and_frames(grid), alt)


def repeated_masks(grid: WindowGrid) -> tuple[Bool[Tensor, "t t"], Bool[Tensor, "t t"]]:
    """Return the last window's masks of the rows and of the columns, each for all of its tokens.

    The mask of the rows holds for every pair of columns: each cell becomes a block.  The mask of
    the columns holds for every pair of rows: it is repeated as a whole.
    """
    rows, columns = (axis.mask()[-1] for axis in grid.axes)
    q1, q2 = grid.window_size
    return (
        repeat(rows, "q k -> (q q2) (k k2)", q2=q2, k2=q2),
        repeat(columns, "q k -> (q1 q) (k1 k)", q1=q1, k1=q1),
    )


def _and_frames(grid: WindowGrid) -> Iterator[Frame]:
    stage = _AndStage(grid)
    words = "Two tokens may meet if their rows may meet AND their columns may meet."
    yield stage.frame(words, 1, 1, 1, 1), STILL
    yield stage.frame("One mask for the rows, one for the columns."), PAUSE + 500
    m1, m2 = grid.window_size
    for words, moving, steps in (
        (f"1 · Rows: each cell holds for all {m2} × {m2} pairs of columns.", 0, 8),
        (f"2 · Columns: the mask is the same for all {m1} × {m1} pairs of rows.", 1, 10),
        ("3 · Lay the mask of the rows down …", 2, 6),
        ("4 · … and the mask of the columns over it. Dark stays dark.", 3, 8),
    ):
        done = [1.0] * moving + [0.0] * (4 - moving)
        yield stage.frame(words, *done), PAUSE
        for step in range(1, steps + 1):
            done[moving] = step / steps
            yield stage.frame(words, *done), STEP if step < steps else PAUSE
    t = grid.tokens_per_window
    yield (
        stage.frame(f"The corner window's mask: {t} × {t}, light only where both are.", *done),
        LAST,
    )


class _AndStage:
    """From left to right: a mask for each axis, the same repeated, and both combined."""

    def __init__(self, grid: WindowGrid):
        self.grid = grid
        self.small = [axis.mask()[-1] for axis in grid.axes]
        self.strips = [axis.strips()[-axis.window_size :].tolist() for axis in grid.axes]
        self.repeated = repeated_masks(grid)
        ids = window_partition(grid.region_ids()[None, ..., None], grid.window_size)
        self.ids = ids[0, -1, :, 0].tolist()
        self.cell = cell_side(204 / grid.tokens_per_window, 12)
        self.block = cell_side(96 / max(grid.window_size), 24)
        self.length = grid.tokens_per_window * self.cell
        widest = max(grid.window_size) * self.block
        tops = [60, 60 + self.length + 66]
        self.corners = [(42, top + (self.length - widest) / 2 // 3 * 3) for top in tops]
        self.large = [(42 + widest + 66, top) for top in tops]
        self.result = (
            self.large[0][0] + self.length + 96,
            60 + (self.length + 66) / 2 // 3 * 3,
        )
        self.size = self.result[0] + self.length + 18, tops[1] + self.length + 54
        self.base = paint(*self.size, self._draw_base)
        self.large_masks = [self._sprite(mask, self.cell) for mask in self.repeated]
        self.dark = self._sprite(self.repeated[1], self.cell, only_dark=True)
        self.grown = self._sprite(self.small[0], self.cell * grid.window_size[1])
        self.copy = self._sprite(self.small[1], self.block)

    def frame(
        self,
        words: str,
        grown: Length = 0.0,
        copied: Length = 0.0,
        laid: Length = 0.0,
        covered: Length = 0.0,
    ) -> Image.Image:
        """Return a frame; each number says how much of one of the four motions is done."""
        sheet = self.base.copy()
        place(sheet, self._words(words), 0, self.size[1] - 42)
        self._place_grown(sheet, grown)
        self._place_copies(sheet, copied)
        if laid:
            place(sheet, self.large_masks[0], *between(self.large[0], self.result, ease(laid)))
        if covered:
            # Of this mask only the dark cells: the light ones let the other mask show through.
            place(sheet, self.dark, *between(self.large[1], self.result, ease(covered)))
        return sheet

    def _place_grown(self, sheet: Image.Image, grown: Length) -> None:
        if grown == 1:
            place(sheet, self.large_masks[0], *self.large[0])
        elif grown:
            done = ease(grown)
            corner = between(self.corners[0], self.large[0], done)
            _place_resized(
                sheet, self.grown, corner, self._size_of(self.small[0], self.length, done)
            )

    def _place_copies(self, sheet: Image.Image, copied: Length) -> None:
        if copied == 1:
            place(sheet, self.large_masks[1], *self.large[1])
            return
        many, side = self.grid.window_size[0], self.grid.window_size[1] * self.cell
        for number in range(many * many if copied else 0):
            row, column = divmod(number, many)
            done = ease(2 * copied - number / (many * many))  # the copies leave one by one
            end = self.large[1][0] + column * side, self.large[1][1] + row * side
            if done:
                corner = between(self.corners[1], end, done)
                _place_resized(sheet, self.copy, corner, self._size_of(self.small[1], side, done))

    def _size_of(self, mask: Bool[Tensor, "q k"], end: Length, done: Length) -> Length:
        start = len(mask) * self.block
        return start + (end - start) * done

    def _sprite(self, mask: Bool[Tensor, "q k"], cell: int, only_dark: bool = False) -> Image.Image:
        length = len(mask) * cell

        def draw(axes: Axes) -> None:
            draw_cells(axes, 0, 0, cell, mask_colors(mask, "none" if only_dark else ALLOWED))
            draw_outline(axes, 0, 0, length, length, INK, 1.5)

        return paint(length, length, draw)

    def _words(self, words: str) -> Image.Image:
        width = self.size[0]
        return paint(width, 42, lambda axes: write_below(axes, width, 42, words))

    def _draw_base(self, axes: Axes) -> None:
        t, (x, y) = self.grid.tokens_per_window, self.result
        names = ("rows", "columns")
        for axis, name in enumerate(names):
            self._draw_small(axes, axis, name)
            corner = self.large[axis]
            write(
                axes, corner[0] + self.length / 2, corner[1] - 18, f"{name}, {t} × {t}", ha="center"
            )
            draw_outline(axes, *corner, self.length, self.length, PADDING, 1)
            self._draw_arrow(axes, axis)
        draw_outline(axes, *self.result, self.length, self.length, PADDING, 1)
        draw_band(axes, x, y - _BAND, self.cell, self.ids)
        draw_band(axes, x - _BAND, y, self.cell, self.ids, upright=True)
        write(axes, x + self.length / 2, y - _BAND - 18, "corner window", ha="center")
        middle = x - _BAND - 30, y + self.length / 2
        write(axes, *middle, "AND", 15, ha="center", weight="bold")

    def _draw_small(self, axes: Axes, axis: int, name: str) -> None:
        x, y = self.corners[axis]
        length = len(self.small[axis]) * self.block
        write(axes, x + length / 2, y - _BAND - 18, f"{name}, by strip", ha="center")
        draw_band(axes, x, y - _BAND, self.block, self.strips[axis], color=_STRIP)
        draw_band(axes, x - _BAND, y, self.block, self.strips[axis], upright=True, color=_STRIP)
        draw_cells(axes, x, y, self.block, mask_colors(self.small[axis]))
        draw_outline(axes, x, y, length, length, INK, 1.5)

    def _draw_arrow(self, axes: Axes, axis: int) -> None:
        """Draw an arrow from an axis's small mask to the large one."""
        (x, y), side = self.corners[axis], len(self.small[axis]) * self.block
        start, stop = x + side + 12, self.large[axis][0] - 12
        arrow = {"arrowstyle": "->", "color": TEXT, "lw": 1.6}
        axes.annotate("", (stop, y + side / 2), (start, y + side / 2), arrowprops=arrow)


def _place_resized(sheet: Image.Image, sprite: Image.Image, corner: Point, length: Length) -> None:
    """Paste a square sprite, scaled to ``length`` CSS pixels a side."""
    size = max(1, pixels(length))
    place(sheet, sprite.resize((size, size), Image.Resampling.BOX), *corner)
