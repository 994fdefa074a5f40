"""The cyclic shift as a real roll: what leaves at one end comes in at the other."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from swin_tutorial.figures.maps import picture
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
    pixels,
    place,
    progress,
    write,
    write_below,
    write_number,
)
from swin_tutorial.figures.motion.pieces import home_regions, pieces, shifted_grid
from swin_tutorial.figures.style import INK, QUERY, region_color
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size, size_text

_GHOST = 0.3  # the opacity of what is outside of the map
_AROUND = 6  # CSS pixels around a map, so that lines on its border are not cut off


def animate_roll(
    tokens: Float[Tensor, "1 h w c"],
    window_size: Size = 4,
    shift_size: Size = 2,
    token: tuple[int, int] | None = None,
) -> Animation:
    """Roll a photograph, and its regions beside it, under windows that stay where they are.

    ``tokens`` is a map of photograph tokens (``photographs.photograph_tokens``); ``token`` (row,
    column) is outlined on its way.
    Raises ValueError unless the map divides into windows and is shifted on both axes.
    """
    grid = shifted_grid(tuple(tokens.shape[1:3]), window_size, shift_size)
    rows, columns = grid.effective_shift
    alt = (
        f"Animation. A photograph of {size_text(grid.size)} tokens and, beside it, the map of its "
        f"regions move together under {grid.num_windows} fixed windows. First both go up by {rows}:"
        " the rows that leave at the top come in at the bottom. Then both go left by "
        f"{columns}: the columns that leave at the left come in at the right. At the end every "
        "region lies inside one window; dashed lines show where opposite edges meet."
    )
    if token is not None:
        alt += f" An outline follows the token of row {token[0]}, column {token[1]}."
    return animate(_roll_frames(tokens, grid, token), alt)


def _roll_frames(
    tokens: Float[Tensor, "1 h w c"], grid: WindowGrid, token: tuple[int, int] | None
) -> Iterator[Frame]:
    stage = _RollStage(grid)
    tiles = stage.tiles(tokens)
    if token is not None:
        tiles = [stage.outline_token(tile, token) for tile in tiles]
    true_windows = int(grid.region_ids().max()) + 1
    words = f"{grid.num_windows} equal windows (black) stay. The map moves under them, and with it "
    words += f"the {true_windows} shifted windows (colors)."
    yield stage.frame(tiles, words, arrows=True), STILL
    for axis, words in enumerate(
        (
            "1 · Up by {}. The rows that leave at the top come in at the bottom.",
            "2 · Left by {}. The columns that leave at the left come in at the right.",
        )
    ):
        words = words.format(grid.effective_shift[axis])
        outlined = [stage.outline_strip(tile, axis) for tile in tiles]
        distance = stage.margins[axis]
        for moved in (0, *(round(distance * done) for done in progress(6))):
            hold = PAUSE if moved in (0, distance) else STEP
            yield stage.frame(outlined, words, axis, moved), hold
        tiles = [np.roll(tile, -distance, axis) for tile in tiles]
    words = "3 · Now each color lies in one window. Dashes: opposite edges of the photograph meet."
    yield stage.frame(tiles, words, seams=True), LAST


class _RollStage:
    """The photograph and its regions side by side, with room around each for what leaves it."""

    def __init__(self, grid: WindowGrid):
        self.grid = grid
        (height, width), (rows, columns) = grid.size, grid.effective_shift
        # Two panels fit a page, and the photograph is small enough to be stored in every frame.
        room = min(400 / (width + 2 * columns), math.sqrt(55_500 / (width * height)))
        self.side = side = cell_side(room, 24)
        self.map_size = width * side, height * side
        self.top = 36 + rows * side
        self.lefts = columns * side + _AROUND, (width + 3 * columns) * side + 2 * _AROUND
        self.size = (
            2 * (width + 2 * columns) * side + 3 * _AROUND,
            self.top + (height + rows) * side + 36,
        )
        self.margins = pixels(rows * side), pixels(columns * side)
        self.windows = self._overlay(self._draw_windows)
        self.seams = self._overlay(self._draw_seams)

    def tiles(self, tokens: Float[Tensor, "1 h w c"]) -> list[np.ndarray]:
        """Return the photograph and the map of regions before the roll, as RGBA."""
        photograph = Image.fromarray((255 * picture(tokens)).round().astype(np.uint8))
        # Half the pixels and few colors: a whole photograph in every frame would weigh too much.
        size = [pixels(length) for length in self.map_size]
        photograph = photograph.resize([length // 2 for length in size]).quantize(24)
        photograph = photograph.convert("RGBA").resize(size, Image.Resampling.NEAREST)
        return [np.asarray(photograph), np.asarray(paint(*self.map_size, self._draw_regions))]

    def outline_strip(self, tile: np.ndarray, axis: int) -> np.ndarray:
        """Outline the rows (axis 0) or columns (axis 1) of a tile that are about to leave."""
        width, height = self.map_size
        shift = self.grid.effective_shift[axis] * self.side
        return self._outline(tile, (0, 0), (width, shift) if axis == 0 else (shift, height))

    def outline_token(self, tile: np.ndarray, token: tuple[int, int]) -> np.ndarray:
        """Outline a token (row, column) of a tile, clear of the windows' lines."""
        corner = token[1] * self.side + 2, token[0] * self.side + 2
        return self._outline(tile, corner, (self.side - 4, self.side - 4))

    def _outline(
        self, tile: np.ndarray, corner: tuple[Length, Length], size: tuple[Length, Length]
    ) -> np.ndarray:
        """Outline a box of a tile, from the inside, by its ``corner`` (x, y) and its ``size``."""
        (x, y), (width, height) = corner, size

        def draw(axes: Axes) -> None:
            for color, line_width in (("white", 5), (QUERY, 3)):
                draw_outline(axes, x + 2, y + 2, width - 4, height - 4, color, line_width)

        outlined = Image.fromarray(tile)
        outlined.alpha_composite(paint(*self.map_size, draw))
        return np.asarray(outlined)

    def frame(
        self,
        tiles: list[np.ndarray],
        words: str,
        axis: int = 0,
        moved: int | None = None,
        seams: bool = False,
        arrows: bool = False,
    ) -> Image.Image:
        """Return a frame.  While the tiles move along an axis, pale copies show their way round.

        ``moved`` counts pixels of the image; None is a map at rest, with nothing around it.
        """
        sheet = paint(*self.size, lambda axes: self._draw_words(axes, words))
        if arrows:
            place(sheet, paint(*self.size, self._draw_arrows), 0, 0)
        for tile, left in zip(tiles, self.lefts, strict=True):
            if moved is None:
                place(sheet, Image.fromarray(tile), left, self.top)
            else:
                corner = [pixels(self.top), pixels(left)]
                corner[axis] -= moved
                plane = moving_plane(tile, axis, moved, self.margins[axis])
                sheet.alpha_composite(Image.fromarray(plane), (corner[1], corner[0]))
            for lines in (self.windows, self.seams)[: 1 + seams]:
                place(sheet, lines, left - _AROUND, self.top - _AROUND)
        return sheet

    def _overlay(self, draw) -> Image.Image:
        return paint(*(length + 2 * _AROUND for length in self.map_size), draw)

    def _draw_words(self, axes: Axes, words: str) -> None:
        for left, title in zip(self.lefts, ("the photograph", "its regions"), strict=True):
            write(axes, left + self.map_size[0] / 2, 16, title, ha="center")
        write_below(axes, *self.size, words)

    def _draw_arrows(self, axes: Axes) -> None:
        """Say where the map is going to move, and how far."""
        rows, columns = self.grid.effective_shift
        style = {"arrowstyle": "-|>", "color": QUERY, "lw": 3, "mutation_scale": 16}
        for left in self.lefts:
            x, y = left + self.map_size[0] / 2, self.top + self.map_size[1] / 2
            up, side = rows * self.side, columns * self.side
            axes.annotate("", (x, self.top - 0.9 * up), (x, self.top - 6), arrowprops=style)
            axes.annotate("", (left - 0.9 * side, y), (left - 6, y), arrowprops=style)
            write(axes, x + 12, self.top - up / 2, str(rows))
            write(axes, left - side / 2, y + 18, str(columns), ha="center")

    def _draw_regions(self, axes: Axes) -> None:
        colors = [[region_color(one) for one in row] for row in home_regions(self.grid).tolist()]
        draw_cells(axes, 0, 0, self.side, colors)
        for piece in pieces(self.grid):
            y, x = (
                self._number_at(start, length, window)
                for start, length, window in zip(
                    piece.home, piece.size, self.grid.window_size, strict=True
                )
            )
            write_number(axes, x, y, str(piece.region), 15)

    def _number_at(self, start: int, length: int, window: int) -> Length:
        """Return where on an axis a region's number stands: where no window's edge hides it."""
        return (start + min(length, window - start % window) / 2) * self.side

    def _draw_windows(self, axes: Axes) -> None:
        (height, width), (wh, ww) = self.grid.size, self.grid.window_size
        for color, line_width in (("white", 5), (INK, 2.5)):
            for y in range(0, height, wh):
                for x in range(0, width, ww):
                    corner = x * self.side + _AROUND, y * self.side + _AROUND
                    size = ww * self.side, wh * self.side
                    draw_outline(axes, *corner, *size, color, line_width)

    def _draw_seams(self, axes: Axes) -> None:
        (width, height), (rows, columns) = self.map_size, self.grid.effective_shift
        y, x = height - rows * self.side + _AROUND, width - columns * self.side + _AROUND
        for color, line_width, dashes in (("white", 5, "-"), (QUERY, 3, (0, (2.2, 1.2)))):
            options = {"color": color, "lw": line_width, "ls": dashes, "solid_capstyle": "butt"}
            axes.plot([_AROUND, width + _AROUND], [y, y], **options)
            axes.plot([x, x], [_AROUND, height + _AROUND], **options)


def moving_plane(tile: np.ndarray, axis: int, moved: int, distance: int) -> np.ndarray:
    """Return a tile and, behind its end, its first ``distance`` pixels again, on their way in.

    What lies outside of the map's frame once all this has moved by ``moved`` is pale.
    """
    length = tile.shape[axis]
    plane = np.concatenate([tile, tile.take(range(distance), axis)], axis)
    along = np.arange(length + distance)
    inside = (moved <= along) & (along < moved + length)
    opacity = np.where(inside, 255, round(255 * _GHOST)).astype(np.uint8)
    plane[..., 3] = opacity[:, None] if axis == 0 else opacity
    return plane
