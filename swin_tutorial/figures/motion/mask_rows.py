"""What a query may see, unrolled: it becomes one row of the mask."""

from collections.abc import Iterator
from functools import lru_cache

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
    draw_band,
    draw_cells,
    draw_outline,
    ease,
    mask_colors,
    paint,
    place,
    write,
    write_below,
    write_number,
)
from swin_tutorial.figures.motion.pieces import shifted_grid
from swin_tutorial.figures.style import PADDING, QUERY, region_color
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size, size_text, window_partition

_BAND = 24  # CSS pixels from the start of a mask's band of regions to the mask


def animate_mask_rows(
    size: tuple[int, int] = (8, 12), window_size: Size = 4, shift_size: Size = 2
) -> Animation:
    """Unroll the picture of what each query may see into its row of the last window's mask.

    Raises ValueError unless the map divides into windows and is shifted on both axes.
    """
    grid = shifted_grid(size, window_size, shift_size)
    t = grid.tokens_per_window
    alt = (
        f"Animation. Left, the last window of a shifted map, its tokens colored by region; below "
        f"it, a picture of {size_text(grid.window_size)} cells: light where one query may look, "
        f"dark where not. The picture's rows slide out side by side and become one row of the "
        f"{t} by {t} mask at the right. Query after query adds its row, until the mask is complete."
    )
    return animate(_mask_row_frames(grid), alt)


def _mask_row_frames(grid: WindowGrid) -> Iterator[Frame]:
    stage = _RowStage(grid)
    t = grid.tokens_per_window
    example = grid.window_size[1] + 1  # a query in the second row: not the mask's first row
    words = f"One query's picture, read row by row, is one row of the mask: here query {example}."
    yield stage.frame(words, example, t), STILL
    other = int((stage.mask != stage.mask[0]).any(1).nonzero()[0])  # the first with another row
    yield from stage.unroll(0, "1 · What query 0 may see (light) becomes row 0 of the mask.", 12)
    for query in range(1, other):
        hold = PAUSE if query == 1 else 2 * STEP
        yield stage.frame("Its neighbor in the same region sees the same.", query, query + 1), hold
    words = f"2 · Query {other} stands in another region: another picture, another row."
    yield from stage.unroll(other, words, 8)
    words = f"3 · So on, row after row, for all {t} queries."
    for query in range(other + 1, t, -(-(t - other) // 14)):
        yield stage.frame(words, query, query + 1), 2 * STEP
    words = f"{t} queries, {t} keys each: the mask of this window is {t} × {t}."
    yield stage.frame(words, None, t), LAST


class _RowStage:
    """The last window and a query's picture at the left, the mask at the right."""

    def __init__(self, grid: WindowGrid):
        self.grid = grid
        self.mask = grid.mask()[-1]
        ids = window_partition(grid.region_ids()[None, ..., None], grid.window_size)
        self.ids = ids[0, -1, :, 0].tolist()
        self.rows, self.columns = grid.window_size
        self.cell = cell_side(336 / grid.tokens_per_window, 21)
        self.token = cell_side(150 / max(grid.window_size), 36)
        self.length = grid.tokens_per_window * self.cell
        self.window = 18, 69
        self.picture = 18, self.window[1] + self.rows * self.token + 54
        left = 18 + max(self.columns * self.token, 168) + 51
        self.corner = left + _BAND, 45 + _BAND
        bottom = max(self.corner[1] + self.length, self.picture[1] + self.rows * self.cell)
        self.size = self.corner[0] + self.length + 18, bottom + 51
        self.base = paint(*self.size, self._draw_base)
        # While a picture unrolls, these stay the same.
        self._sheet, self._picture_rows = (
            lru_cache(1)(self._sheet),
            lru_cache(1)(self._picture_rows),
        )

    def unroll(self, query: int, words: str, steps: int) -> Iterator[Frame]:
        """Yield the frames in which a query's picture becomes its row."""
        yield self.frame(words, query, query), PAUSE
        for step in range(1, steps):
            yield self.frame(words, query, query, step / steps), STEP
        yield self.frame(words, query, query + 1), PAUSE // 2

    def frame(
        self, words: str, query: int | None, finished: int, unrolled: Length = 0.0
    ) -> Image.Image:
        """Return a frame with ``finished`` rows of the mask, and a query's picture on its way."""
        sheet = self._sheet(words, query, finished).copy()
        for number, row in enumerate(self._picture_rows(query) if query is not None else ()):
            start = self.picture[0], self.picture[1] + number * self.cell
            place(sheet, row, *start, 0.35 if unrolled else 1.0)
            if unrolled:
                # The picture's rows leave one after the other.
                done = ease(unrolled * (1 + (self.rows - 1) / 4) - number / 4)
                end = self._cell(query, number * self.columns)
                place(sheet, row, *between(start, end, done))
        return sheet

    def _sheet(self, words: str, query: int | None, finished: int) -> Image.Image:
        def draw(axes: Axes) -> None:
            self._draw_progress(axes, words, query, finished)

        sheet = self.base.copy()
        place(sheet, paint(*self.size, draw), 0, 0)
        return sheet

    def _cell(self, query: int, key: int) -> Point:
        return self.corner[0] + key * self.cell, self.corner[1] + query * self.cell

    def _picture_rows(self, query: int) -> list[Image.Image]:
        colors = mask_colors(self.mask[query].view(self.rows, self.columns))

        def draw(axes: Axes, row: list[str]) -> None:
            draw_cells(axes, 0, 0, self.cell, [row])
            draw_outline(axes, 0, 0, self.columns * self.cell, self.cell, QUERY, 1.2)

        size = self.columns * self.cell, self.cell
        return [paint(*size, lambda axes, row=row: draw(axes, row)) for row in colors]

    def _draw_base(self, axes: Axes) -> None:
        x, y = self.corner
        write(axes, self.window[0], 24, "the last window,\nits tokens by region", linespacing=1.3)
        write(axes, x + self.length / 2, 15, "its mask", ha="center")
        write(axes, x + self.length / 2, 34, "keys", 13, ha="center")
        write(axes, x - _BAND - 12, y + self.length / 2, "queries", 13, ha="center", rotation=90)
        draw_band(axes, x, y - _BAND, self.cell, self.ids)
        draw_band(axes, x - _BAND, y, self.cell, self.ids, upright=True)
        draw_outline(axes, x, y, self.length, self.length, PADDING, 1.5)
        colors = [region_color(region) for region in self.ids]
        rows = [
            colors[start : start + self.columns] for start in range(0, len(colors), self.columns)
        ]
        draw_cells(axes, *self.window, self.token, rows)
        for token, region in enumerate(self.ids):
            corner = self._token(token)
            middle = corner[0] + self.token / 2, corner[1] + self.token / 2
            write_number(axes, *middle, str(region), 12)
        draw_outline(axes, *self.window, self.columns * self.token, self.rows * self.token)

    def _draw_progress(self, axes: Axes, words: str, query: int | None, finished: int) -> None:
        draw_cells(axes, *self.corner, self.cell, mask_colors(self.mask[:finished]))
        write_below(axes, *self.size, words)
        if query is None:
            return
        write(axes, self.picture[0], self.picture[1] - 15, f"what query {query} may see")
        draw_outline(axes, *self._cell(query, 0), self.length, self.cell, QUERY, 2.5)
        for color, line_width in (("white", 6), (QUERY, 4)):
            draw_outline(axes, *self._token(query), self.token, self.token, color, line_width)

    def _token(self, token: int) -> Point:
        row, column = divmod(token, self.columns)
        return self.window[0] + column * self.token, self.window[1] + row * self.token
