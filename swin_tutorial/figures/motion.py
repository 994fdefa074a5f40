"""Animations of maps: the cyclic shift, short windows that find their partners, and reach.

Each first frame makes sense as a still, for pages and readers that show no motion.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from swin_tutorial.figures.animation import (
    LAST,
    PAUSE,
    STEP,
    STILL,
    Animation,
    Frame,
    animate,
    between,
    cell_side,
    draw_cells,
    draw_outline,
    paint,
    pixels,
    place,
    progress,
    write,
    write_number,
)
from swin_tutorial.figures.maps import picture
from swin_tutorial.figures.style import INK, PADDING, QUERY, region_color
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size, reverse_cyclic_shift, size_text

_GHOST = 0.3  # the opacity of what is pale
_AROUND = 6  # CSS pixels around a map, so that lines on its border are not cut off


def shifted_grid(size: tuple[int, int], window_size: Size, shift_size: Size) -> WindowGrid:
    """Return a map's grid.  Raises ValueError unless it divides into windows and is shifted."""
    grid = WindowGrid(size, window_size, shift_size)
    if grid.padded_size != grid.size or 0 in grid.effective_shift:
        raise ValueError(
            f"a map of {size_text(grid.size)} tokens with window_size {grid.window_size} and "
            f"shift_size {grid.shift_size} has padding, or an axis without a shift: choose two or "
            "more whole windows on each axis, and a shift_size of at least 1"
        )
    return grid


# --- the cyclic shift ---


def animate_roll(
    tokens: Float[Tensor, "1 h w c"], window_size: Size = 4, shift_size: Size = 2
) -> Animation:
    """Roll a photograph, and its regions beside it, under windows that stay where they are.

    ``tokens`` is a map of photograph tokens (``photographs.photograph_tokens``).
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
    return animate(_roll_frames(tokens, grid), alt)


def _roll_frames(tokens: Float[Tensor, "1 h w c"], grid: WindowGrid) -> Iterator[Frame]:
    stage = _RollStage(grid)
    tiles = stage.tiles(tokens)
    true_windows = int(grid.region_ids().max()) + 1
    words = f"{grid.num_windows} equal windows (black) stay. The map moves under them, and with it "
    words += f"the {true_windows} shifted windows (colors)."
    yield stage.frame(tiles, words), STILL
    for axis, words in enumerate(
        (
            "1 · Up by {}. The rows that leave at the top come in at the bottom.",
            "2 · Left by {}. The columns that leave at the left come in at the right.",
        )
    ):
        words = words.format(grid.effective_shift[axis])
        outlined = [stage.outline_strip(tile, axis) for tile in tiles]
        distance = stage.margins[axis]
        for moved in (0, *(round(distance * done) for done in progress(7))):
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
        self.side = side = cell_side(400 / (width + 2 * columns), 24)
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
        width_of_strip, height_of_strip = (width, shift) if axis == 0 else (shift, height)

        def draw(axes: Axes) -> None:
            for color, line_width in (("white", 5), (QUERY, 3)):
                inside = width_of_strip - 4, height_of_strip - 4
                draw_outline(axes, 2, 2, *inside, color, line_width)

        outlined = Image.fromarray(tile)
        outlined.alpha_composite(paint(width, height, draw, paper="none"))
        return np.asarray(outlined)

    def frame(
        self,
        tiles: list[np.ndarray],
        words: str,
        axis: int = 0,
        moved: int | None = None,
        seams: bool = False,
    ) -> Image.Image:
        """Return a frame.  While the tiles move along an axis, pale copies show their way round.

        ``moved`` counts pixels of the image; None is a map at rest, with nothing around it.
        """
        sheet = paint(*self.size, lambda axes: self._draw_words(axes, words))
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
        return paint(*(length + 2 * _AROUND for length in self.map_size), draw, paper="none")

    def _draw_words(self, axes: Axes, words: str) -> None:
        for left, title in zip(self.lefts, ("the photograph", "its regions"), strict=True):
            write(axes, left + self.map_size[0] / 2, 16, title, ha="center")
        write(axes, self.size[0] / 2, self.size[1] - 18, words, ha="center")

    def _draw_regions(self, axes: Axes) -> None:
        colors = [[region_color(one) for one in row] for row in home_regions(self.grid).tolist()]
        draw_cells(axes, 0, 0, self.side, colors)
        for piece in pieces(self.grid):
            # In the middle of what is left of the next window's edge, so that it is not hidden.
            (y, x), rest = (
                piece.home,
                [
                    min(length, window - start % window)
                    for start, length, window in zip(
                        piece.home, piece.size, self.grid.window_size, strict=True
                    )
                ],
            )
            center = (x + rest[1] / 2) * self.side, (y + rest[0] / 2) * self.side
            write_number(axes, *center, str(piece.region), 15)

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


# --- short windows and their partners ---


@dataclass(frozen=True)
class Piece:
    """One window of the shifted partition: where it stands before the roll, and where after it.

    Positions and sizes are (row, column), in tokens.  ``strip`` counts windows on each axis;
    ``window`` is the window of the rolled map that holds the piece.
    """

    region: int
    strip: tuple[int, int]
    home: tuple[int, int]
    size: tuple[int, int]
    rolled: tuple[int, int]
    window: int


def pieces(grid: WindowGrid) -> list[Piece]:
    """Return the windows of a grid's shifted partition, in the order of their regions."""
    before, after = home_regions(grid), grid.region_ids()
    columns = int(before[0].unique().numel())
    found = []
    for region in range(int(before.max()) + 1):
        tokens = (before == region).nonzero()
        first, last = tokens[0].tolist(), tokens[-1].tolist()
        found.append(
            Piece(
                region,
                divmod(region, columns),
                tuple(first),
                tuple(b - a + 1 for a, b in zip(first, last, strict=True)),
                tuple((after == region).nonzero()[0].tolist()),
                grid.locate(first)[0],
            )
        )
    return found


def home_regions(grid: WindowGrid) -> Int[Tensor, "h w"]:
    """Return the region of each token where it stands before the roll."""
    rolled = grid.region_ids()[None, ..., None]
    return reverse_cyclic_shift(rolled, grid.effective_shift)[0, ..., 0]


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
        "travel to places of their own. Then short windows from opposite ends travel to one place "
        "in twos, those of the four corners in fours, until every place is full."
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
    yield stage.frame("Nothing was added: the same tokens, in equal windows.", packed), LAST


def _partners(grid: WindowGrid) -> Iterator[tuple[str, list[Piece]]]:
    """Yield the pieces that travel together, and what to say: full ones, pairs, fours."""
    found = pieces(grid)
    for (rows, columns), words in {
        (1, 1): "1 · The full windows have a place each.",
        (1, 2): "2 · The left and the right end of a row share a place.",
        (2, 1): "3 · The top and the bottom end of a column share a place.",
        (2, 2): "4 · The four corners share the last place.",
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
        done: float = 0.0,
    ) -> Image.Image:
        """Return a frame in which some pieces are packed and others on their way.

        None means all of them, and that the pieces on the left are shown in full as well.
        """
        sheet = paint(*self.size, lambda axes: self._draw_sheet(axes, words))
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

    def _home(self, piece: Piece) -> tuple[float, float]:
        (y, x), (row, column) = piece.home, piece.strip
        return (
            self.left + x * self.side + column * self.gap,
            self.top + y * self.side + row * self.gap,
        )

    def _packed(self, piece: Piece) -> tuple[float, float]:
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

    def _draw_sheet(self, axes: Axes, words: str) -> None:
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
            ("the shifted windows", "the same, packed by the roll"),
            (
                f"{len(self.pieces)} windows in {len(sizes)} sizes\nfilled up to {wh} × {ww} each: "
                f"{len(self.pieces) * wh * ww} tokens",
                f"{self.grid.num_windows} windows of {wh} × {ww}\n{tokens} tokens",
            ),
            strict=True,
        ):
            write(axes, middle, 18, title, ha="center")
            write(axes, middle, self.bottom + 27, count, 13, ha="center", linespacing=1.4)
        write(axes, self.size[0] / 2, self.size[1] - 18, words, ha="center")
