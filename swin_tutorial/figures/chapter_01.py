"""The figures of chapter 01: windows, what they save and cost, padding, a cup glued wrongly."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Rectangle
from torch import Tensor

from swin_tutorial.figures.maps import (
    draw_numbers,
    draw_padding,
    draw_picture,
    draw_windows,
    frame_tokens,
    write_on_token,
)
from swin_tutorial.figures.style import INK, PALETTE, QUERY, show
from swin_tutorial.grid import WindowGrid

SHADES = "#DEDAF0", "#ABA1D6", "#6F5FB3", "#332288"  # few, so that the PNG's palette keeps them
DECADES = 1e-4, 1e-3, 1e-2, 1e-1, 1  # the changes between which a shade stands


def windows_apart(
    x: Float[Tensor, "1 h w c"], windows: Float[Tensor, "1 n t c"], token: tuple[int, int]
) -> None:
    """Show a picture with its square windows outlined, and beside it the windows cut apart.

    A token (row, column) is outlined in both.
    """
    height, width = x.shape[1:3]
    side = round(windows.shape[2] ** 0.5)
    rows, columns = height // side, width // side
    figure = plt.figure(figsize=(11, 3.9))
    left, right = figure.subfigures(1, 2, width_ratios=[1.12, 1])
    whole = left.subplots()
    draw_picture(whole, x, f"the map: {height} × {width} tokens")
    draw_windows(whole, (height, width), side)
    whole.set_xticks([column + 0.5 for column in range(width)], range(width))
    whole.set_yticks([row + 0.5 for row in range(height)], range(height))
    whole.tick_params(length=0)
    _outline(whole, token)
    home = WindowGrid((height, width), side).locate(token)[0]
    places = torch.arange(side**2).view(side, side)
    for number, axes in enumerate(right.subplots(rows, columns).flat):
        draw_picture(axes, windows[:, number].unflatten(1, (side, side)), f"window {number}")
        draw_numbers(axes, places)
        if number == home:
            _outline(axes, (token[0] % side, token[1] % side))
    show(
        figure,
        f"Left, a photograph of a coffee cup with a grid of {height} by {width} tokens, rows and "
        f"columns numbered, and {rows * columns} window outlines. Right, the windows drawn apart, "
        f"numbered from 0 row by row, each with its tokens numbered from 0 to {side**2 - 1}. The "
        f"token in row {token[0]}, column {token[1]} is outlined in both; it is in window {home}.",
    )


def cost(
    tokens: Sequence[int], as_one_window: Sequence[int], windows: Sequence[int], at: int
) -> None:
    """Show two costs over the number of tokens, and how far apart they are at ``at`` and the end.

    Args:
        tokens: how many tokens the maps have.
        as_one_window, windows: the multiply-adds of global and of window attention on each map.
        at: a number of tokens among ``tokens``.
    """
    figure, axes = plt.subplots(figsize=(9, 4.3))
    color = plt.rcParams["text.color"]  # of what stands on the page itself
    axes.loglog(tokens, as_one_window, color=PALETTE[1], lw=2.5)
    axes.loglog(tokens, windows, "--", color=PALETTE[4], lw=2.5)
    for number, above, below in zip(tokens, as_one_window, windows, strict=True):
        if number not in (at, tokens[-1]):
            continue
        ends = {"arrowstyle": "<->", "lw": 1.5, "shrinkA": 0, "shrinkB": 0, "color": color}
        axes.annotate("", (number, below), (number, above), arrowprops=ends)
        middle = (above * below) ** 0.5
        side = 1 if number == at else -1  # the first gap has its room at the right
        words, align = f"≈ {float(f'{above / below:.2g}'):,.0f} ×", "left" if side > 0 else "right"
        axes.text(number * 1.12**side, middle, words, ha=align, va="center", size=13)
    near_end = tokens[-1] / 8
    with_global, in_windows = (
        "global attention,\n∝ tokens² on large maps",
        "windows of 7 × 7,\n∝ tokens",
    )
    axes.text(near_end, as_one_window[-1] / 22, with_global, ha="right", va="center", size=12)
    axes.text(near_end, windows[-1] / 75, in_windows, ha="left", va="center", size=12)
    axes.set(
        xlabel="tokens in the map (logarithmic)",
        ylabel="multiply-adds of one layer (logarithmic)",
    )
    names = {
        14**2: "14 × 14",
        at: "56 × 56\n(224-pixel image)",
        224**2: "224 × 224",
        tokens[-1]: "756 × 1008\n(phone photograph)",
    }
    axes.set_xticks(list(names), list(names.values()))
    axes.minorticks_off()
    axes.set_xlim(tokens[0] * 0.8, tokens[-1] * 2.2)  # room for the last tick's words
    show(
        figure,
        "A log-log plot of two curves that start close together; the one for global attention "
        "ends up climbing twice as steeply. An arrow between them says about 14 times at 56 by 56 "
        "tokens, and another about 3,200 times at a phone's photograph.",
    )


def price(
    painted: Float[Tensor, "1 h w c"],
    token: tuple[int, int],
    changes: dict[str, Float[Tensor, "h w"]],
    window_size: int,
) -> None:
    """Show a map with one painted token (row, column), and how far outputs move, one panel a way.

    Args:
        painted: the map.
        token: the painted token.
        changes: of each output, the change relative to its length; 0 stays blank.
        window_size: where a change stays in one window, its neighbor across the edge is outlined.
    """
    size = tuple(painted.shape[1:3])
    y, x = token
    figure, axes = plt.subplots(1, 1 + len(changes), figsize=(11, 2.5))
    draw_picture(axes[0], painted, "one token painted black")
    draw_windows(axes[0], size, window_size)
    _outline(axes[0], token)
    colors = ListedColormap(SHADES)
    shades = ScalarMappable(BoundaryNorm(DECADES, colors.N), colors)
    for one, (name, change) in zip(axes[1:], changes.items(), strict=True):
        frame_tokens(one, size, f"{name}: {int((change > 0).sum())} change")
        one.axhspan(0, size[0], color="white", zorder=0)
        for row, column in (change > 0).nonzero().tolist():
            shade = shades.to_rgba(max(DECADES[0], float(change[row, column])))
            one.add_patch(Rectangle((column, row), 1, 1, fc=shade, ec="white", lw=0.4))
        if not change.all():
            draw_windows(one, size, window_size)
            frame = {"fill": False, "ec": INK, "lw": 1.8, "ls": (0, (2, 1)), "zorder": 4}
            one.add_patch(Rectangle((x + 1.12, y + 0.12), 0.76, 0.76, **frame))
        _outline(one, token)
    bar = figure.colorbar(shades, ax=axes, pad=0.01, aspect=12, shrink=0.9)
    bar.ax.set_yticklabels(["< 0.1 %", "0.1 %", "1 %", "10 %", "100 %"])
    show(
        figure,
        f"Four maps of {size[0]} by {size[1]} tokens. In the first, a coffee cup, one token is "
        "black. In the second, global attention, every token is shaded: all outputs change, the "
        "painted token's most. In the third and fourth, one and ten layers of windows, only the 16 "
        "tokens of one window are shaded; the token right of the painted one, outlined with "
        "dashes, is blank.",
    )


def padding(padded: Float[Tensor, "1 h w c"], is_pad: Bool[Tensor, "h w"], window: int) -> None:
    """Show a padded map with its windows, the padding hatched."""
    figure, axes = plt.subplots(figsize=(6.6, 4.2))
    height, width = is_pad.shape
    real = (~is_pad).any(1).sum(), (~is_pad).any(0).sum()
    title = f"{real[0]} × {real[1]} tokens, padded to {height} × {width}"
    draw_picture(axes, padded, title)
    draw_padding(axes, is_pad)
    draw_windows(axes, (height, width), window)
    _number_windows(axes, (height, width), window)
    show(
        figure,
        f"The coffee cup with {real[0]} by {real[1]} tokens; hatched rows below and hatched "
        f"columns at the right fill the map to {height} by {width} tokens and whole windows, "
        "numbered row by row.",
    )


def glued(maps: dict[str, Float[Tensor, "1 _ _ c"]], window_size: int) -> None:
    """Show maps glued from windows, under their names, with the windows outlined and numbered."""
    shapes = [tuple(one.shape[1:3]) for one in maps.values()]
    widths = [width for _, width in shapes]
    figure, axes = plt.subplots(1, len(maps), figsize=(11, 4.7), width_ratios=widths)
    for one, (title, image), size in zip(axes, maps.items(), shapes, strict=True):
        draw_picture(one, image, title)
        draw_windows(one, size, window_size)
        _number_windows(one, size, window_size)
    show(
        figure,
        "Left the coffee cup as it should be, windows 0 1 2 above 3 4 5. In the middle a "
        "portrait-shaped map with windows 0 1, 2 3 and 4 5 in three rows: a cup in pieces. Right "
        "a map of the right shape, in which each window is made of strips of the picture.",
    )


def _number_windows(axes: Axes, size: tuple[int, int], window_size: int) -> None:
    """Write each window's number, large, in its middle."""
    columns = size[1] // window_size
    for number in range(size[0] // window_size * columns):
        row, column = divmod(number, columns)
        middle = (window_size - 1) / 2
        place = (row * window_size + middle, column * window_size + middle)
        write_on_token(axes, place, str(number), 18.0)


def _outline(axes: Axes, token: tuple[int, int]) -> None:
    """Outline a token (row, column), so that what it stands on stays visible."""
    y, x = token
    axes.add_patch(Rectangle((x, y), 1, 1, fill=False, ec=QUERY, lw=3.5, zorder=5))
