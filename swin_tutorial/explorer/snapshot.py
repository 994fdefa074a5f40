"""The explorer as a picture, for where no JavaScript runs: on GitHub, or in print."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from torch import Tensor

from swin_tutorial import figures
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import cyclic_shift, pad_to_windows

PIXELS = 480  # along the longer side of each map
MOST_NUMBERS = 300  # tokens; a number on each of more is too small to read


def snapshot_figure(
    grid: WindowGrid, picture: Image.Image | None, window: int, index: int
) -> Figure:
    """Return a figure of the map before the roll, the rolled map, and the mask of one window.

    ``picture`` covers the map; without one the tokens are gray.  The query is the token at
    ``index`` of ``window``, both counted row by row.
    """
    with figures.house_style():
        return _draw(grid, picture, window, index)


def _draw(grid: WindowGrid, picture: Image.Image | None, window: int, index: int) -> Figure:
    mask = grid.mask()[window]
    ids = grid.region_ids()
    x = pad_to_windows(_tokens(picture, *grid.size), grid.window_size)
    is_padding = _padding(grid)
    in_window = _on_map(torch.ones_like(mask[index]), grid, window)
    allowed, forbidden = (_on_map(keys, grid, window) for keys in (mask[index], ~mask[index]))
    query = grid.origin(window, index)

    figure, (home, rolled, matrix) = plt.subplots(1, 3, figsize=(11, 3.9))
    figures.draw_picture(home, x, "the map as it is")
    figures.draw_padding(home, is_padding)
    figures.draw_attended(home, query, allowed, forbidden)
    figures.draw_windows(home, grid.padded_size, grid.window_size, grid.effective_shift)

    figures.draw_picture(rolled, cyclic_shift(x, grid.effective_shift))
    # Padding that is attended to has a region like any token, and so a number and a color.
    is_hatched = is_padding if grid.padding == ("mask", "mask") else torch.zeros_like(is_padding)
    # The selected window carries marks instead of numbers.
    is_numbered = ~in_window & (ids.numel() <= MOST_NUMBERS)
    figures.draw_regions(
        rolled, ids, "rolled", _roll(is_hatched, grid), 0.55, numbers=_roll(is_numbered, grid)
    )
    is_query = _on_map(torch.arange(len(mask)) == index, grid, window)
    (rolled_query,) = _roll(is_query, grid).nonzero().tolist()
    figures.draw_attended(rolled, tuple(rolled_query), _roll(allowed, grid), _roll(forbidden, grid))
    figures.draw_windows(rolled, grid.padded_size, grid.window_size)

    figures.draw_mask(matrix, mask, f"mask of window {window}")
    matrix.axhspan(index, index + 1, fill=False, ec=figures.QUERY, lw=2)
    figures.mask_legend(matrix, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    return figure


def _tokens(picture: Image.Image | None, height: int, width: int) -> Float[Tensor, "1 h w c"]:
    patch = max(1, PIXELS // max(height, width))
    size = (width * patch, height * patch)
    if picture is None:
        picture = Image.new("RGB", size, "#D9DEE5")
    pixels = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(pixels, dtype=np.float32) / 255)
    return rearrange(pixels, "(h p) (w q) rgb -> 1 h w (p q rgb)", p=patch, q=patch)


def _padding(grid: WindowGrid) -> Bool[Tensor, "hp wp"]:
    height, width = grid.padded_size
    tokens = [[grid.is_padding((y, x)) for x in range(width)] for y in range(height)]
    return torch.tensor(tokens)


def _on_map(tokens: Bool[Tensor, "t"], grid: WindowGrid, window: int) -> Bool[Tensor, "hp wp"]:
    """Lay a window's tokens on the map before the roll, False elsewhere."""
    on_map = torch.zeros(grid.padded_size, dtype=torch.bool)
    for index in tokens.nonzero().flatten().tolist():
        on_map[grid.origin(window, index)] = True
    return on_map


def _roll(on_map: Bool[Tensor, "hp wp"], grid: WindowGrid) -> Bool[Tensor, "hp wp"]:
    return cyclic_shift(on_map[None, :, :, None], grid.effective_shift)[0, :, :, 0]
