"""The windows of a shifted partition as pieces: where each stands before the roll and after."""

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size, reverse_cyclic_shift, size_text


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
