"""Chapter 02's still figures: the two partitions, padding before the roll, the ear by the chin."""

import matplotlib.patheffects
import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from swin_tutorial.figures.maps import draw_padding, draw_picture, draw_windows
from swin_tutorial.figures.style import INK, PALETTE, QUERY, show
from swin_tutorial.windows import cyclic_shift

Map = Float[Tensor, "1 h w c"]
Token = tuple[int, int]
Box = tuple[int | float, ...]  # x, y, width, height, in tokens

_WINDOW, _SHIFT = 4, 2
_WHOLE = PALETTE[0]
# What the text points at in the photograph of the cat, in tokens: x, y, width, height.
_EYES = ((3.45, 2.15, 2.3, 1.95), (7.8, 2.8, 1.5, 1.7))
_NOSE = (6.15, 5.0, 1.7, 2.15)
_EAR, _CHIN = (0, 9), (7, 8)


def two_partitions(x: Map) -> None:
    """Show the cat under windows that stay and under shifted ones, with what each cuts in two."""
    figure, panels = plt.subplots(1, 2, figsize=(10.5, 3.8))
    for axes, shift, title, eye, nose in (
        (panels[0], 0, "W-MSA: blocks 0, 2, 4, …", "cut", "whole"),
        (panels[1], _SHIFT, "SW-MSA: blocks 1, 3, 5, …", "whole", "cut"),
    ):
        draw_picture(axes, x, title)
        draw_windows(axes, (x.shape[1], x.shape[2]), _WINDOW, shift)
        for box in _EYES:
            _outline(axes, box, f"eye: {eye}", is_cut=eye == "cut")
        _outline(axes, _NOSE, f"nose: {nose}", is_cut=nose == "cut")
    show(
        figure,
        "The photograph of a cat twice, 8 by 12 tokens, with both eyes and the nose outlined. "
        "Left, six equal windows: their edges cut both eyes, and the nose is whole. Right, windows "
        "moved by two tokens, twelve pieces of four sizes: both eyes are whole, and an edge "
        "separates the nose from its bridge.",
    )


def pad_and_roll(right: Map, wrong: Map, real: tuple[int, int]) -> None:
    """Show a map that was padded and then rolled beside one that was rolled and then padded.

    Args:
        right: the photograph of ``real`` (height, width) tokens, padded, then rolled.
        wrong: the same, rolled, then padded.
    """
    height, width = right.shape[1:3]
    ones = torch.ones(1, *real, 1)
    pad = torch.nn.functional.pad
    fill = (0, 0, 0, width - real[1], 0, height - real[0])
    order = (
        ("pad, then roll", right, cyclic_shift(pad(ones, fill), _SHIFT), height - _SHIFT),
        ("roll, then pad: wrong", wrong, pad(cyclic_shift(ones, _SHIFT), fill), real[0] - _SHIFT),
    )
    figure, panels = plt.subplots(1, 2, figsize=(9, 4.6))
    for axes, (title, tokens, is_real, top) in zip(panels, order, strict=True):
        draw_picture(axes, tokens, title)
        draw_padding(axes, is_real[0, :, :, 0] == 0)
        draw_windows(axes, (height, width), _WINDOW)
        _frame(axes, (0, top, width, _SHIFT), QUERY)
    show(
        figure,
        "Two photographs of 12 by 12 tokens with hatched padding and nine windows; the two rows "
        "that the roll took from the top to the bottom are outlined. Left, the padding lies before "
        "these rows, which lie in one row of windows. Right, the padding comes last, and a "
        "window's edge runs between the two rows.",
    )


def ear_and_chin(x: Map) -> None:
    """Show the ear and the chin of the cat, touching in the rolled map and far apart before."""
    height, width = x.shape[1:3]
    rolled = [((y - _SHIFT) % height, (c - _SHIFT) % width) for y, c in (_EAR, _CHIN)]
    figure, panels = plt.subplots(1, 2, figsize=(10.5, 4.0))
    draw_picture(panels[0], cyclic_shift(x, _SHIFT), "after the roll: one window holds both")
    draw_windows(panels[0], (height, width), _WINDOW)
    _seams(panels[0], height - _SHIFT, width - _SHIFT, (height, width))
    draw_picture(panels[1], x, "in the photograph: seven rows apart")
    # Each label stands clear of its token, at the end of an arrow.
    _point_out(panels[0], rolled[0], "ear", (9.6, 7.3))
    _point_out(panels[0], rolled[1], "chin", (3.3, 4.6))
    _point_out(panels[1], _EAR, "ear", (7.0, 1.2))
    _point_out(panels[1], _CHIN, "chin", (10.6, 6.5))
    show(
        figure,
        "Left, the rolled photograph of the cat in six windows. A token of the ear and a token of "
        "the chin touch at a corner in the lower middle window, on opposite sides of a dashed "
        "line. Right, the photograph before the roll: the ear is in the top row and the chin in "
        "the bottom row.",
    )


# --- marks ---


def _outline(axes: Axes, box: Box, words: str, is_cut: bool) -> None:
    color = QUERY if is_cut else _WHOLE
    _frame(axes, box, color, "--" if is_cut else "-")
    _label(axes, (box[0] + box[2] / 2, box[1] - 0.3), words, color)


def _point_out(axes: Axes, token: Token, words: str, at: tuple[float, float]) -> None:
    """Frame a token (row, column) and label it at a point (x, y), with an arrow between."""
    y, x = token
    _frame(axes, (x, y, 1, 1), QUERY)
    toward = x + 0.5 + (0.5 if at[0] > x else -0.5), y + 0.5
    arrow = {"arrowstyle": "-|>", "color": QUERY, "lw": 2.2, "mutation_scale": 13}
    axes.annotate("", toward, at, arrowprops=arrow, zorder=6)
    _label(axes, at, words, QUERY)


def _frame(axes: Axes, box: Box, color: str, line_style: str = "-") -> None:
    x, y, width, height = box
    for edge, line_width, style in (("white", 5.0, "-"), (color, 2.8, line_style)):
        look = {"fill": False, "ec": edge, "lw": line_width, "ls": style, "zorder": 5}
        axes.add_patch(Rectangle((x, y), width, height, **look))


def _label(axes: Axes, at: tuple[float, float], words: str, color: str) -> None:
    """Write in the color of a mark, on an ink background that any photograph lets stand out."""
    box = {"fc": INK, "ec": color, "lw": 1.5, "boxstyle": "round,pad=0.25"}
    axes.text(*at, words, color="white", fontsize=10, ha="center", va="center", bbox=box, zorder=7)


def _seams(axes: Axes, row: int, column: int, size: tuple[int, int]) -> None:
    """Dash the two lines along which the roll joins opposite edges of the photograph."""
    halo = [matplotlib.patheffects.withStroke(linewidth=5, foreground="white")]
    style = {"color": QUERY, "lw": 2.8, "ls": (0, (2.2, 1.2)), "path_effects": halo, "zorder": 4}
    axes.plot([0, size[1]], [row, row], **style)
    axes.plot([column, column], [0, size[0]], **style)
