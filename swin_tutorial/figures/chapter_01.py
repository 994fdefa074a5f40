"""The figures of chapter 01: windows, what they save and cost, padding, a cup glued wrongly."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from swin_tutorial.figures.maps import (
    draw_numbers,
    draw_padding,
    draw_picture,
    draw_windows,
    frame_tokens,
)
from swin_tutorial.figures.style import ALLOWED, INK, PALETTE, QUERY, show

ARROW = {"arrowstyle": "->", "lw": 1.6, "shrinkA": 2, "shrinkB": 0, "color": INK}


def windows_apart(x: Float[Tensor, "1 h w c"], windows: Float[Tensor, "1 n t c"]) -> None:
    """Show a picture with its square windows outlined, and beside it the windows cut apart."""
    height, width = x.shape[1:3]
    side = round(windows.shape[2] ** 0.5)
    rows, columns = height // side, width // side
    figure = plt.figure(figsize=(11, 3.9))
    left, right = figure.subfigures(1, 2, width_ratios=[1.12, 1])
    whole = left.subplots()
    draw_picture(whole, x, f"the map: {height} × {width} tokens")
    draw_windows(whole, (height, width), side)
    places = torch.arange(side**2).view(side, side)
    for number, axes in enumerate(right.subplots(rows, columns).flat):
        draw_picture(axes, windows[:, number].unflatten(1, (side, side)), f"window {number}")
        draw_numbers(axes, places)
    show(
        figure,
        f"Left, a photograph of a coffee cup with a grid of {height} by {width} tokens and "
        f"{rows * columns} window outlines. Right, the windows drawn apart, numbered from 0 row by "
        f"row, each with its tokens numbered from 0 to {side**2 - 1}.",
    )


def cost(tokens: Sequence[int], everyone: Sequence[int], windows: Sequence[int], at: int) -> None:
    """Show two costs over the number of tokens, and how far apart they are at ``at`` and the end.

    Args:
        tokens: how many tokens the maps have.
        everyone, windows: the multiply-adds of global and of window attention on each map.
        at: a number of tokens among ``tokens``.
    """
    figure, axes = plt.subplots(figsize=(9, 4.3))
    color = plt.rcParams["text.color"]  # of what stands on the page itself
    axes.loglog(tokens, everyone, color=PALETTE[1], lw=2.5)
    axes.loglog(tokens, windows, "--", color=PALETTE[4], lw=2.5)
    for number, above, below in zip(tokens, everyone, windows, strict=True):
        if number not in (at, tokens[-1]):
            continue
        ends = {"arrowstyle": "<->", "lw": 1.5, "shrinkA": 0, "shrinkB": 0, "color": color}
        axes.annotate("", (number, below), (number, above), arrowprops=ends)
        middle = (above * below) ** 0.5
        side = 1 if number == at else -1  # the first gap has its room at the right
        words, align = f"{above / below:,.0f} ×", "left" if side == 1 else "right"
        axes.text(number * 1.12**side, middle, words, ha=align, va="center", size=13)
    near_end = tokens[-1] / 8
    axes.text(near_end, everyone[-1] / 30, "global attention", ha="right", va="center", size=12)
    axes.text(near_end, windows[-1] / 60, "windows of 7 × 7", ha="left", va="center", size=12)
    axes.set(xlabel="tokens in the map", ylabel="multiply-adds of one attention layer")
    ticks = {at: "56 × 56\n(224-pixel image)", tokens[-1]: "756 × 1008\n(phone photograph)"}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.set_xlim(tokens[0] * 0.8, tokens[-1] * 2.2)  # room for the last tick's words
    show(
        figure,
        "A log-log plot of two curves that start close together; the one for global attention "
        "climbs twice as steeply. An arrow between them says 14 times at 56 by 56 tokens, and "
        "another about 3,000 times at a phone's photograph.",
    )


def price(
    painted: Float[Tensor, "1 h w c"],
    token: tuple[int, int],
    moved: dict[str, Bool[Tensor, "h w"]],
    window_size: int,
) -> None:
    """Show a map with one painted token (row, column), and which outputs move, one panel a way.

    Where windows keep the change in, an arrow points at the token across the edge.
    """
    size = tuple(painted.shape[1:3])
    y, x = token
    figure, axes = plt.subplots(1, 1 + len(moved), figsize=(11, 3.2))
    draw_picture(axes[0], painted, "one token painted black")
    draw_windows(axes[0], size, window_size)
    _outline(axes[0], token)
    for one, (name, where) in zip(axes[1:], moved.items(), strict=True):
        frame_tokens(one, size, f"{name}: {int(where.sum())} outputs move")
        _fill(one, where, PALETTE[1])
        _fill(one, ~where, ALLOWED)
        if not where.all():
            draw_windows(one, size, window_size)
            start, neighbor = (x + 3, y + 1.9), (x + 1.5, y + 0.5)
            one.annotate("", neighbor, start, arrowprops=ARROW, zorder=6)
            text = "its neighbor,\nacross the edge,\ndoes not move"
            one.text(*start, text, ha="center", va="top", size=9.5, color=INK)
        _outline(one, token)
    show(
        figure,
        f"Three maps of {size[0]} by {size[1]} tokens. In the first, a coffee cup, one token is "
        "black. In the second every token is red: with global attention all outputs move. In the "
        "third only the 16 tokens of one window are red, and the token right of the changed one, "
        "across the window's edge, is not.",
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
    show(
        figure,
        f"The coffee cup with {real[0]} by {real[1]} tokens; hatched rows below and hatched "
        f"columns at the right fill the map to {height} by {width} tokens and whole windows.",
    )


def glued(maps: Sequence[Float[Tensor, "1 _ _ c"]], numbers: Sequence[Int[Tensor, "_ _"]]) -> None:
    """Show the same windows glued rightly and wrongly; each token shows its window."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 5.2), width_ratios=[12, 8])
    for one, image, windows, title in zip(
        axes, maps, numbers, ("glued with the height", "glued with the width"), strict=True
    ):
        draw_picture(one, image, title)
        draw_windows(one, tuple(windows.shape), 4)
        draw_numbers(one, windows)
    show(
        figure,
        "Left the coffee cup as it should be, windows 0 1 2 above 3 4 5. Right a portrait-shaped "
        "map with windows 0 1, 2 3 and 4 5 in three rows: a cup in pieces.",
    )


def _fill(axes: Axes, where: Bool[Tensor, "h w"], color: str) -> None:
    for y, x in where.nonzero().tolist():
        axes.add_patch(Rectangle((x, y), 1, 1, fc=color, ec="white", lw=0.6))


def _outline(axes: Axes, token: tuple[int, int]) -> None:
    """Outline a token (row, column), so that what it stands on stays visible."""
    y, x = token
    axes.add_patch(Rectangle((x, y), 1, 1, fill=False, ec=QUERY, lw=3.5, zorder=5))
