"""Chapter 02's still figures: both partitions, a moved cat, the ear by the chin, padding first.

Orange stands for what the roll brings together; solid is whole, dashed is cut.
"""

from itertools import pairwise

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
_WHOLE, _CUT = PALETTE[0], PALETTE[8]
# What the text points at in the photograph of the cat, in tokens: x, y, width, height.
_EYES = ((3.45, 2.15, 2.3, 1.95), (7.8, 2.8, 1.5, 1.7))
_NOSE = (6.15, 5.0, 1.7, 2.15)
_EAR, _CHIN = (0, 9), (7, 7)


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
        _outline(axes, _NOSE, f"nose and bridge: {nose}", is_cut=nose == "cut", below=True)
    show(
        figure,
        "The photograph of a cat twice, 8 by 12 tokens, with both eyes and the nose outlined. "
        "Left, six equal windows: their edges cut both eyes, and the nose is whole. Right, windows "
        "moved by two tokens, twelve pieces of four sizes: both eyes are whole, and an edge "
        "separates the nose from its bridge.",
    )


def moved_windows_or_cat(x: Map, rolled: Map, shift: int) -> None:
    """Show moved windows over the photograph ``x`` beside still windows over the rolled one.

    The first window that is whole in both is outlined: it holds the same tokens.
    """
    size = x.shape[1], x.shape[2]
    figure, panels = plt.subplots(1, 2, figsize=(10.5, 3.8))
    for axes, tokens, moved, title in (
        (panels[0], x, shift, f"still cat, windows moved down and right by {shift}"),
        (panels[1], rolled, 0, f"still windows, cat moved up and left by {shift}"),
    ):
        draw_picture(axes, tokens, title)
        draw_windows(axes, size, _WINDOW, moved)
        _frame(axes, (moved, moved, _WINDOW, _WINDOW), _WHOLE)
    show(
        figure,
        f"The photograph of a cat twice. Left, the windows have moved down and to the right by "
        f"{shift}. Right, six windows stand still, and the photograph has moved up and to the left "
        f"by {shift}: its first rows are at the bottom now, and its first columns at the right. "
        "The same piece of the cat is outlined in both.",
    )


def pad_and_roll(right: Map, wrong: Map, real: tuple[int, int]) -> None:
    """Show a map that was padded and then rolled beside one that was rolled and then padded.

    The true windows of the first rows are outlined, and each row has its number in the photograph.

    Args:
        right: the photograph of ``real`` (height, width) tokens, padded, then rolled.
        wrong: the same, rolled, then padded.
    """
    height, width = right.shape[1:3]
    numbers = torch.arange(1, real[0] * real[1] + 1).view(1, *real, 1)  # 0 is padding
    pad = torch.nn.functional.pad
    fill = (0, 0, 0, width - real[1], 0, height - real[0])
    order = (
        ("pad, then roll", right, cyclic_shift(pad(numbers, fill), _SHIFT)),
        ("roll, then pad: wrong", wrong, pad(cyclic_shift(numbers, _SHIFT), fill)),
    )
    figure, panels = plt.subplots(1, 2, figsize=(9, 4.6))
    for axes, (title, tokens, rolled) in zip(panels, order, strict=True):
        draw_picture(axes, tokens, title)
        draw_padding(axes, rolled[0, :, :, 0] == 0)
        draw_windows(axes, (height, width), _WINDOW)
        rows = [(int(row.max()) - 1) // real[1] if row.any() else "pad" for row in rolled[0]]
        axes.set_yticks([y + 0.5 for y in range(height)], rows, fontsize=9)
        columns = [(int(c.max()) - 1) % real[1] if c.any() else "pad" for c in rolled[0, :, :, 0].T]
        axes.set_xticks([x + 0.5 for x in range(width)], columns, fontsize=9)
        axes.tick_params(length=0)
        for tokens_of_one in _first_strip(numbers):
            y, x = torch.isin(rolled[0, :, :, 0], tokens_of_one).nonzero().T
            top, left = int(y.min()), int(x.min())
            box = left, top, int(x.max()) - left + 1, int(y.max()) - top + 1
            is_cut = top // _WINDOW != int(y.max()) // _WINDOW
            _frame(axes, box, _CUT if is_cut else _WHOLE, "--" if is_cut else "-")
    panels[0].set_ylabel("row of the photograph")
    show(
        figure,
        "Two photographs of 12 by 12 tokens with hatched padding and nine windows; the three true "
        "windows of the photograph's rows 0 and 1 are outlined. Left, the padding lies before "
        "these rows, and each of the three lies in one window. Right, the padding comes last, and "
        "the edge between two windows cuts all three in two.",
    )


def _first_strip(numbers: Tensor) -> list[Tensor]:
    """Return the numbers of the tokens in each true window above the first cut."""
    width = numbers.shape[2]
    cuts = [0, *range(_SHIFT, width, _WINDOW), width]
    return [numbers[0, :_SHIFT, a:b, 0].flatten() for a, b in pairwise(cuts)]


def ear_and_chin(x: Map) -> None:
    """Show the ear and the chin of the cat, close together in the rolled map and far apart before.

    Left, the windows that stand still; right, the true windows.
    """
    height, width = x.shape[1:3]
    rolled = [((y - _SHIFT) % height, (c - _SHIFT) % width) for y, c in (_EAR, _CHIN)]
    figure, panels = plt.subplots(1, 2, figsize=(10.5, 4.0))
    draw_picture(panels[0], cyclic_shift(x, _SHIFT), "one row, two columns apart: one window")
    draw_windows(panels[0], (height, width), _WINDOW)
    _seams(panels[0], height - _SHIFT, width - _SHIFT, (height, width))
    draw_picture(panels[1], x, "seven rows, two columns apart: two true windows")
    draw_windows(panels[1], (height, width), _WINDOW, _SHIFT)
    # Each label stands clear of its token, at the end of an arrow.
    _point_out(panels[0], rolled[0], "ear", (9.6, 7.3))
    _point_out(panels[0], rolled[1], "chin", (2.6, 4.7))
    _point_out(panels[1], _EAR, "ear", (7.0, 1.2))
    _point_out(panels[1], _CHIN, "chin", (10.6, 6.5))
    show(
        figure,
        "Left, the rolled photograph of the cat in six windows. A token of the chin and a token of "
        "the ear, one row below it, lie in the lower middle window, on opposite sides of a dashed "
        "line. Right, the photograph before the roll with its twelve true windows: the ear is in "
        "the top row and the chin in the bottom row.",
    )


# --- marks ---


def _outline(axes: Axes, box: Box, words: str, is_cut: bool, below: bool = False) -> None:
    color = _CUT if is_cut else _WHOLE
    _frame(axes, box, color, "--" if is_cut else "-")
    y = box[1] + box[3] + 0.35 if below else box[1] - 0.3
    _label(axes, (box[0] + box[2] / 2, y), words, color)


def _point_out(axes: Axes, token: Token, words: str, at: tuple[float, float]) -> None:
    """Frame a token (row, column) and label it at a point (x, y), with an arrow between."""
    y, x = token
    _frame(axes, (x, y, 1, 1), _WHOLE)
    toward = x + 0.5 + (0.5 if at[0] > x else -0.5), y + 0.5
    arrow = {"arrowstyle": "-|>", "color": _WHOLE, "lw": 2.2, "mutation_scale": 13}
    axes.annotate("", toward, at, arrowprops=arrow, zorder=6)
    _label(axes, at, words, _WHOLE)


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
