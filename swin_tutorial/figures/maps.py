"""Maps of tokens: the photograph in tokens, its windows, its regions, its padding."""

import math

import matplotlib.patheffects
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from torch import Tensor

from swin_tutorial.figures.style import INK, PADDING, region_color
from swin_tutorial.grid import WindowGrid


def picture(tokens: Float[Tensor, "1 h w c"]) -> Float[np.ndarray, "height width 3"]:
    """Turn a map of photograph tokens (``photographs.photograph_tokens``) back into an image."""
    patch_size = math.isqrt(tokens.shape[-1] // 3)
    image = rearrange(tokens, "1 h w (p q rgb) -> (h p) (w q) rgb", p=patch_size, rgb=3)
    return image.numpy()


def draw_picture(axes: Axes, tokens: Float[Tensor, "1 h w c"], title: str = "") -> None:
    """Draw a map of photograph tokens, with thin lines between the tokens."""
    height, width = tokens.shape[1:3]
    axes.imshow(picture(tokens), extent=(0, width, height, 0), interpolation="nearest")
    frame_tokens(axes, (height, width), title)


def draw_windows(
    axes: Axes,
    size: tuple[int, int],
    window_size: int | tuple[int, int],
    shift_size: int | tuple[int, int] = 0,
) -> None:
    """Outline the windows of a map of ``size`` (height, width) tokens.

    Shifted windows begin at ``shift_size``; the map's edges cut off the first and the last.
    Raises ValueError unless 0 <= shift < window on each axis.
    """
    grid = WindowGrid(size, window_size, shift_size)
    height, width = grid.size
    starts = [
        range(shift or window, length, window)
        for length, window, shift in zip(
            grid.size, grid.window_size, grid.effective_shift, strict=True
        )
    ]
    # White under black: visible on a bright photograph and on a dark one.
    for color, line_width in (("white", 4.2), (INK, 2.2)):
        for y in starts[0]:
            axes.plot([0, width], [y, y], color=color, lw=line_width, solid_capstyle="butt")
        for x in starts[1]:
            axes.plot([x, x], [0, height], color=color, lw=line_width, solid_capstyle="butt")
    frame = {"fill": False, "ec": INK, "lw": 2.2, "clip_on": False, "zorder": 3}
    axes.add_patch(Rectangle((0, 0), width, height, **frame))


def draw_regions(
    axes: Axes,
    ids: Int[Tensor, "h w"],
    title: str = "",
    is_padding: Bool[Tensor, "h w"] | None = None,
    strength: float = 0.7,
    numbers: bool | Bool[Tensor, "h w"] = True,
) -> None:
    """Color every token by its region and print the region's number on it.

    Drawn over a photograph if one is there already.  ``is_padding`` says which tokens to draw gray
    and hatched, without a number; ``strength`` is the colors' opacity, 0 to 1; ``numbers`` says
    whether to print the numbers, or on which tokens.
    """
    height, width = ids.shape
    if is_padding is None:
        is_padding = torch.zeros(height, width, dtype=torch.bool)
    numbered = torch.as_tensor(numbers).expand(height, width)
    frame_tokens(axes, (height, width), title)
    font_size = min(11.0, 70 / max(height, width) + 2.5)
    for y, x in (~is_padding).nonzero().tolist():
        region = int(ids[y, x])
        color = (*to_rgb(region_color(region)), strength)
        axes.add_patch(Rectangle((x, y), 1, 1, fc=color, ec=(1, 1, 1, 0.6), lw=0.6))
        if numbered[y, x]:
            write_on_token(axes, (y, x), str(region), font_size)
    draw_padding(axes, is_padding)


def draw_numbers(axes: Axes, numbers: Int[Tensor, "h w"]) -> None:
    """Print a number on every token."""
    font_size = min(9.0, 70 / max(numbers.shape) + 2.5)
    for y, row in enumerate(numbers.tolist()):
        for x, number in enumerate(row):
            write_on_token(axes, (y, x), str(number), font_size)


def draw_padding(axes: Axes, is_padding: Bool[Tensor, "h w"]) -> None:
    """Hatch the padding tokens of a map."""
    for y, x in is_padding.nonzero().tolist():
        axes.add_patch(Rectangle((x, y), 1, 1, fc=PADDING, ec="white", lw=0.6, hatch="///"))


def write_on_token(axes: Axes, token: tuple[int, int | float], text: str, font_size: float) -> None:
    """Write a text in the middle of a token (row, column): white, outlined to be legible."""
    y, x = token
    outline = matplotlib.patheffects.withStroke(linewidth=min(2, font_size / 3), foreground=INK)
    axes.text(
        x + 0.5,
        y + 0.52,
        text,
        ha="center",
        va="center",
        fontsize=font_size,
        color="white",
        path_effects=[outline],
    )


def frame_tokens(axes: Axes, size: tuple[int, int], title: str) -> None:
    """Prepare axes for a map of ``size`` tokens: square tokens, thin lines between, no ticks."""
    height, width = size
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", title=title, xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    lines = {"color": "white", "lw": 0.5 if max(height, width) <= 32 else 0.2, "alpha": 0.7}
    axes.hlines(range(1, height), 0, width, **lines)
    axes.vlines(range(1, width), 0, height, **lines)
