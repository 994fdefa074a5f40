"""The explorer as a picture, for where no JavaScript runs: on GitHub, or in print."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from torch import Tensor

from swin_tutorial import plotting
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import region_ids, shifted_window_mask
from swin_tutorial.windows import (
    cyclic_shift,
    pad_to_windows,
    reverse_cyclic_shift,
    window_reverse,
)

PIXELS = 480  # along the longer side of each map
MOST_NUMBERS = 300  # tokens; a number on each of more is too small to read


def still_figure(grid: WindowGrid, picture: Image.Image | None, window: int, token: int) -> Figure:
    """Return a figure of the map as it is, the rolled map, and the mask of one window.

    ``picture`` covers the map; without one the tokens are grey.  The query is the given ``token``
    of the window, both counted row by row.
    """
    geometry = grid.height, grid.width, grid.window_size, grid.shift_size, grid.padding
    mask = shifted_window_mask(*geometry)[window]
    ids = region_ids(*geometry)
    is_padded = grid.padded_size != (grid.height, grid.width)
    padding_id = int(ids.max()) if is_padded and grid.padding == "mask" else None
    x = pad_to_windows(_tokens(picture, grid.height, grid.width), grid.window_size)

    figure, (home, rolled, matrix) = plt.subplots(1, 3, figsize=(11, 3.9), layout="constrained")
    plotting.draw_picture(home, x, "the map as it is")
    plotting.draw_picture(rolled, cyclic_shift(x, grid.used_shift))
    # The selected window carries marks instead of numbers.
    is_numbered = ~_on_map(torch.ones(len(mask)).bool(), grid, window)
    is_numbered &= ids.numel() <= MOST_NUMBERS
    plotting.draw_regions(rolled, ids, "rolled", padding_id, 0.55, numbers=is_numbered)
    plotting.draw_padding(home, _is_padding(grid))
    for axes, shift in ((home, grid.used_shift), (rolled, 0)):
        is_query = torch.arange(len(mask)) == token
        marks = [_on_map(one, grid, window) for one in (is_query, mask[token], ~mask[token])]
        if axes is home:
            marks = [_at_home(one, grid) for one in marks]
        query, allowed, forbidden = marks
        plotting.draw_attended(axes, tuple(query.nonzero()[0].tolist()), allowed, forbidden)
        plotting.draw_windows(axes, *grid.padded_size, grid.window_size, shift)
    plotting.draw_mask(matrix, mask, f"mask of window {window}")
    matrix.axhspan(token, token + 1, fill=False, ec=plotting.QUERY, lw=2)
    plotting.mask_legend(matrix, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    return figure


def _tokens(picture: Image.Image | None, height: int, width: int) -> Float[Tensor, "1 h w c"]:
    patch = max(1, PIXELS // max(height, width))
    size = (width * patch, height * patch)
    if picture is None:
        picture = Image.new("RGB", size, "#D9DEE5")
    pixels = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(pixels, dtype=np.float32) / 255)
    return rearrange(pixels, "(h p) (w q) rgb -> 1 h w (p q rgb)", p=patch, q=patch)


def _on_map(tokens: Bool[Tensor, "t"], grid: WindowGrid, window: int) -> Bool[Tensor, "hp wp"]:
    """Lay a window's tokens on the rolled map, False elsewhere."""
    windows = torch.zeros(1, grid.num_windows, len(tokens), 1, dtype=torch.bool)
    windows[0, window, :, 0] = tokens
    return window_reverse(windows, grid.window_size, *grid.padded_size)[0, :, :, 0]


def _at_home(on_map: Bool[Tensor, "hp wp"], grid: WindowGrid) -> Bool[Tensor, "hp wp"]:
    return reverse_cyclic_shift(on_map[None, :, :, None], grid.used_shift)[0, :, :, 0]


def _is_padding(grid: WindowGrid) -> Bool[Tensor, "hp wp"]:
    is_padding = torch.ones(grid.padded_size, dtype=torch.bool)
    is_padding[: grid.height, : grid.width] = False
    return is_padding
