"""The figures of chapter 00: an ear beside a chin, eight tokens in a line, the same on two axes."""

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from swin_tutorial.figures.maps import (
    draw_picture,
    draw_regions,
    draw_windows,
    write_on_token,
)
from swin_tutorial.figures.masks import draw_mask, mask_legend
from swin_tutorial.figures.motion.animation import Length, Point
from swin_tutorial.figures.motion.pieces import home_regions
from swin_tutorial.figures.style import (
    ALLOWED,
    FORBIDDEN,
    INK,
    QUERY,
    region_color,
    show,
)
from swin_tutorial.grid import WindowGrid

WINDOW, SHIFT = 4, 2
STRANGER = "#CC3311"  # attention between tokens that only the roll has brought together
Token = tuple[int, int]
Pixels = Float[Tensor, "c"]  # a token that is its own pixels


def ear_in_two_layers(cat: Float[Tensor, "1 h w c"], ear: Token) -> None:
    """Draw a photograph as one layer sees it, and rolled, as the next one does.

    Only the left ear is outlined: on the right the reader looks for it.
    """
    height, width = cat.shape[1:3]
    rolled = torch.roll(cat, (-SHIFT, -SHIFT), dims=(1, 2))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.05), layout=spaced(0.1))
    draw_picture(left, cat, "one layer: six windows")
    draw_picture(right, rolled, "the next layer: rolled up by 2 and left by 2")
    for axes in (left, right):
        draw_windows(axes, (height, width), WINDOW)
    outline(left, ear, color=QUERY)
    point_at(left, ear, "ear")
    seams(right, (height - SHIFT, width - SHIFT))
    connect(figure, left, (1.01, 0.5), right, (-0.01, 0.5))
    show(
        figure,
        "The photograph of a cat as 8 by 12 tokens, twice, each with six windows of 4 by 4. Left, "
        "as it is: a square of her ear, outlined, at the top. An arrow leads to the right, where "
        "the picture is rolled. Dashed lines there show where opposite edges of the picture meet: "
        "the top of her head, with the ears, continues below her chin.",
    )


def leak(cat: Float[Tensor, "1 h w c"], attention: Float[Tensor, "16"], ear: Token) -> None:
    """Draw where a token's attention goes: in its rolled window, and where these tokens stood."""
    height, width = cat.shape[1:3]
    rolled = torch.roll(cat, (-SHIFT, -SHIFT), dims=(1, 2))
    place = after_roll(ear, (height, width))
    top, start = (one // WINDOW * WINDOW for one in place)
    places = [(top + y, start + x) for y in range(WINDOW) for x in range(WINDOW)]
    homes = [((y + SHIFT) % height, (x + SHIFT) % width) for y, x in places]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5))
    draw_picture(left, pale(rolled, places), "as the layer sees it: side by side")
    draw_picture(right, pale(cat, homes), "where these tokens really are")
    draw_windows(left, (height, width), WINDOW)
    shares = attention.tolist()
    strangers = [abs(y - ear[0]) >= WINDOW for y, _ in homes]
    for axes, query, tokens in ((left, place, places), (right, ear, homes)):
        for token, share in zip(tokens, shares, strict=True):
            write_on_token(axes, token, f"{share:.0%}", 10.0)
        far_tokens = [token for token, far in zip(tokens, strangers, strict=True) if far]
        outline(axes, far_tokens[0], (2, WINDOW), STRANGER, style=(0, (3, 1.2)))
        outline(axes, query, color=QUERY)
    point_at(right, ear, "ear")
    label(left, (place[0] + 0.5, place[1] + 3), (place[0] + 0.5, place[1] + 1), "ear")
    label(left, (top + 0.5, start - 2), (top + 0.5, start), "nose")
    label(left, (top + 1.5, start - 2), (top + 1.5, start), "chin")
    far_share = sum(share for share, far in zip(shares, strangers, strict=True) if far)
    draw_flow(
        right, (ear[1] + 0.5, SHIFT), homes[0][0], f"{far_share:.0%} of\nthe ear's\nattention"
    )
    show(
        figure,
        "Left, the rolled cat: sixteen numbers in the ear's window say how the ear's attention is "
        f"spread, {far_share:.0%} of it over the eight tokens with a red dashed outline, at the "
        "nose and chin. Right, the photograph before the roll: the same eight tokens lie at the "
        "bottom, and a red arrow leads to them from the ear, past the eye.",
    )


def what_the_ear_becomes(before: Pixels, leaky: Pixels, masked: Pixels) -> None:
    """Draw a token, and what attention makes of it without a mask and with it."""
    titles = ("the ear", "after attention, no mask", "after attention, masked")
    figure, panels = plt.subplots(1, 3, figsize=(7.2, 2.3))
    for axes, token, title in zip(panels, (before, leaky, masked), titles, strict=True):
        draw_picture(axes, token[None, None, None], title)
    show(
        figure,
        "Three squares of 24 by 24 pixels. First the ear, pink with a pale hair across it. Then "
        "what it becomes without a mask: a smooth beige patch with a dark corner, like the one "
        "beside the chin. Then with the mask: close to its old color, blurred.",
    )


def eight_tokens(x: Float[Tensor, "8"]) -> None:
    """Draw a line of eight tokens through all steps: windows, labels, roll, masks, and back."""
    grid = WindowGrid(8, WINDOW, SHIFT)
    labels, mask = grid.region_ids().roll(SHIFT).tolist(), grid.mask()
    line, rolled = list(range(8)), [*range(SHIFT, 8), *range(SHIFT)]
    numbers = [f"{value:g}" for value in x.tolist()]
    figure, axes = plt.subplots(figsize=(8.6, 6.9))
    axes.set(xlim=(-4.7, 8.1), ylim=(12.0, -0.1), aspect="equal")
    axes.axis("off")
    colors = [region_color(one) for one in labels]
    two_windows = [(0, 4, "window 0"), (4, 8, "window 1")]
    say(axes, 0.5, "1 · one layer:\ntwo windows")
    cells(axes, 0, line, ["#CCCCCC"] * 8, numbers)
    brackets(axes, 1.1, two_windows)
    say(axes, 3.2, "2 · the next layer: shifted\nby 2, three true windows")
    brackets(axes, 2.6, [(0, 2, "label 0"), (2, 6, "label 1"), (6, 8, "label 2")], above=True)
    cells(axes, 2.7, line, colors, numbers)
    say(axes, 5.1, "3 · rolled by 2:\ntwo equal windows again")
    threads(axes, (3.75, line), (4.55, rolled), colors)
    cells(axes, 4.6, rolled, colors, numbers)
    brackets(axes, 5.7, two_windows)
    say(axes, 8.3, "4 · attention under a mask:\none for each window,\nquery down, key across")
    weights = line_weights(x[rolled].view(2, WINDOW), mask)
    for window, left in enumerate((0, 4)):
        names = rolled[left : left + 4]
        draw_small_mask(axes, (6.5, left), weights[window], mask[window], names, colors)
    say(axes, 11.5, "5 · rolled back")
    threads(axes, (10.15, rolled), (10.95, line), colors)
    cells(axes, 11, line, colors)
    show(
        figure,
        "Five steps from top to bottom. Tokens a to h, each with its number, in two windows of "
        "four. The same tokens in three true windows: a b, c d e f, g h. Rolled by two: c d e f "
        "and g h a b. Two masks of 4 by 4 with attention weights in percent: the first all light; "
        "the second light in two blocks, g h and a b, and dark elsewhere. Last, arrows lead the "
        "tokens back to the order a to h.",
    )


def two_axes(cat: Float[Tensor, "1 h w c"], ear: Token) -> None:
    """Draw the same on two axes: photograph and regions, rolled, and one token's row of a mask."""
    height, width = cat.shape[1:3]
    grid = WindowGrid((height, width), WINDOW, SHIFT)
    rolled = torch.roll(cat, (-SHIFT, -SHIFT), dims=(1, 2))
    window, row = grid.locate(ear)
    figure = plt.figure(figsize=(11, 5.6), layout=spaced(0.09, 0.12))
    panels = figure.subplot_mosaic([["1", "2", "5"], ["3", "4", "5"]], width_ratios=(1, 1, 0.85))
    draw_picture(panels["1"], cat, "1 · the true windows")
    draw_picture(panels["2"], rolled, "2 · rolled: six equal windows")
    draw_regions(panels["3"], home_regions(grid), "3 · their numbers: regions", strength=1.0)
    draw_regions(panels["4"], grid.region_ids(), "4 · regions, rolled along", strength=1.0)
    for name, shift in (("1", SHIFT), ("2", 0), ("3", SHIFT), ("4", 0)):
        draw_windows(panels[name], (height, width), WINDOW, shift)
        outline(panels[name], ear if shift else after_roll(ear, (height, width)), color=QUERY)
    for number in range(grid.num_windows):
        y, x = divmod(number, width // WINDOW)
        below = y > 0
        panels["4"].text(
            (x + 0.5) * WINDOW,
            height + 0.3 if below else -0.2,
            f"window {number}",
            ha="center",
            va="top" if below else "bottom",
            fontsize=9,
        )
    panels["4"].set_title("4 · regions, rolled along", pad=20)
    regions = rearrange(grid.region_ids(), "(y wh) (x ww) -> (y x) (wh ww)", wh=WINDOW, ww=WINDOW)
    mask = panels["5"]
    draw_mask(mask, grid.mask()[window], f"5 · the mask of window {window}", regions[window])
    mask.set_title(mask.get_title(), pad=20)
    mask.set(xlabel="key", ylabel="query")
    mask.yaxis.tick_right()
    mask.yaxis.set_label_position("right")
    mask.tick_params(which="both", right=False, length=0)
    mask_legend(mask, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=1)
    outline(mask, (row, 0), (1, WINDOW**2), QUERY)
    for axis in (mask.xaxis, mask.yaxis):
        axis.set_ticklabels([f"region {name.get_text()}" for name in axis.get_ticklabels()])
    mask.set_yticklabels(mask.get_yticklabels(), rotation=90, va="center")
    middle = {"ha": "center", "va": "center"}
    mask.text(12, row + 0.5, f"row {row}: the ear", color=INK, fontsize=9, zorder=6, **middle)
    for token in range(WINDOW**2):
        mask.text(token + 0.5, -0.45, str(token), fontsize=9, **middle)
        mask.text(-0.55, token + 0.5, str(token), fontsize=9, **middle)
    for start, end in (("1", "2"), ("3", "4")):
        connect(figure, panels[start], (1.01, 0.5), panels[end], (-0.01, 0.5))
    connect(figure, panels["1"], (0.5, -0.02), panels["3"], (0.5, 1.16))
    y, x = after_roll(ear, (height, width))
    link = ConnectionPatch(
        (x + 1, y + 1),
        (-0.07, 1 - (row + 0.5) / WINDOW**2),  # left of the numbers
        "data",
        mask.transAxes,
        axesA=panels["4"],
        axesB=mask,
        arrowstyle="-|>",
        connectionstyle="arc,angleA=0,angleB=180,armA=155,armB=14,rad=6",
        mutation_scale=16,
        color=QUERY,
        lw=2.5,
        annotation_clip=False,
    )
    link.set_in_layout(False)
    figure.add_artist(link)
    show(
        figure,
        "Five panels joined by arrows. 1, the cat with her twelve true windows. 2, the same, "
        "rolled under six equal windows. 3 and 4, below them, the true windows as a map of flat "
        "colors, regions 0 to 11, before the roll and after it. An orange arrow leads from the "
        "ear's token in window 4 of panel 4 to one row of panel 5, a 16 by 16 mask with two light "
        "blocks, regions 10 and 2.",
    )


# --- parts ---


def spaced(across: Length, down: Length = 0.02) -> ConstrainedLayoutEngine:
    """Return a layout with room between panels for arrows, as fractions of a panel."""
    return ConstrainedLayoutEngine(wspace=across, hspace=down, h_pad=0.1)


def after_roll(token: Token, size: tuple[int, int]) -> Token:
    """Return where a token stands after the roll."""
    y, x = token
    return (y - SHIFT) % size[0], (x - SHIFT) % size[1]


def outline(
    axes: Axes, corner: Token, size: tuple[int, int] = (1, 1), color: str = INK, style="-"
) -> None:
    """Outline tokens: ``size`` rows and columns from ``corner``, over white to be seen."""
    (y, x), (rows, columns) = corner, size
    for shade, line_width, dashes in (("white", 5.5, "-"), (color, 3, style)):
        axes.add_patch(
            Rectangle(
                (x, y), columns, rows, fill=False, ec=shade, lw=line_width, ls=dashes, zorder=4
            )
        )


def point_at(axes: Axes, token: Token, words: str) -> None:
    """Point at a token from outside of the map, above or below."""
    y, x = token
    height = axes.get_ylim()[0]
    edge, tip = (-0.75, 0) if y < height / 2 else (height + 0.75, height)
    axes.annotate(
        words,
        (x + 0.5, y + (0 if tip == 0 else 1)),
        (x + 0.5, edge),
        ha="center",
        va="center",
        annotation_clip=False,
        fontweight="bold",
        arrowprops={"arrowstyle": "-|>", "color": QUERY, "lw": 2.5},
    )


def label(axes: Axes, at: Point, tip: Point, words: str) -> None:
    """Write on a photograph, with an arrow from there to a place (row, column)."""
    halo = [withStroke(linewidth=3, foreground=INK)]
    axes.annotate(
        words,
        tip[::-1],
        at[::-1],
        ha="center",
        va="center",
        color="white",
        fontsize=11,
        fontweight="bold",
        path_effects=halo,
        arrowprops={"arrowstyle": "-|>", "color": "white", "lw": 2, "path_effects": halo},
    )


def pale(cat: Float[Tensor, "1 h w c"], tokens: list[Token]) -> Float[Tensor, "1 h w c"]:
    """Return a photograph with all tokens pale and gray but these."""
    gray = rearrange(cat, "1 h w (pixels rgb) -> 1 h w pixels rgb", rgb=3).mean(-1)
    faded = 0.72 + 0.28 * gray.repeat_interleave(3, dim=-1)
    for y, x in tokens:
        faded[0, y, x] = cat[0, y, x]
    return faded


def draw_flow(axes: Axes, start: Point, end: Length, words: str) -> None:
    """Draw a fat arrow down from ``start`` (x, y) to row ``end``, with words at its right."""
    x, y = start
    arrow = {"arrowstyle": "-|>", "color": STRANGER, "lw": 6, "mutation_scale": 24}
    axes.annotate("", (x, end), (x, y), arrowprops={**arrow, "shrinkA": 3, "shrinkB": 3})
    words_at = {"ha": "left", "va": "center", "fontsize": 11, "fontweight": "bold"}
    halo = [withStroke(linewidth=3, foreground="white")]
    axes.text(
        x + 0.45, (y + end) / 2, words, color=STRANGER, path_effects=halo, zorder=6, **words_at
    )


def seams(axes: Axes, at: Token) -> None:
    """Draw dashes where opposite edges of a rolled map meet: at a row and at a column."""
    row, column = at
    (_, width), (height, _) = axes.get_xlim(), axes.get_ylim()
    for xs, ys in (([0, width], [row, row]), ([column, column], [0, height])):
        axes.plot(xs, ys, color="white", lw=3.5)
        axes.plot(xs, ys, color=STRANGER, lw=2, ls=(0, (4, 2)))


def connect(figure, start: Axes, begin, end: Axes, finish) -> None:
    """Draw the arrow from one panel to the next, between points in fractions of each."""
    arrow = ConnectionPatch(
        begin,
        finish,
        start.transAxes,
        end.transAxes,
        axesA=start,
        axesB=end,
        arrowstyle="-|>",
        mutation_scale=18,
        lw=2.5,
        color=mpl.rcParams["text.color"],
    )
    arrow.set_in_layout(False)
    figure.add_artist(arrow)


def cell(
    axes: Axes, corner: Point, token: int, color: str, side: Length = 1, number: str = ""
) -> None:
    """Draw a token of a line: a colored square with its letter, and its number below that.

    ``corner`` is (y, x).
    """
    y, x = corner
    axes.add_patch(Rectangle((x, y), side, side, fc=color, ec="white", lw=1.5))
    middle = {"ha": "center", "va": "center", "color": INK}
    at = y + side * (0.36 if number else 0.52)
    axes.text(x + side / 2, at, "abcdefgh"[token], fontsize=14 if side == 1 else 10, **middle)
    axes.text(x + side / 2, y + 0.76 * side, number, fontsize=10, **middle)


def cells(
    axes: Axes, y: Length, tokens: list[int], colors: list[str], numbers: Sequence[str] = 8 * ("",)
) -> None:
    """Draw a line of tokens, each in its color and with its number."""
    for x, token in enumerate(tokens):
        cell(axes, (y, x), token, colors[token], number=numbers[token])


def line_weights(
    windows: Float[Tensor, "n t"], mask: Bool[Tensor, "n t t"]
) -> Float[Tensor, "n t t"]:
    """Return attention weights between tokens that are one number each: query, key and value."""
    scores = windows[:, :, None] * windows[:, None, :]
    return scores.masked_fill(~mask, -torch.inf).softmax(-1)


def threads(
    axes: Axes,
    start: tuple[Length, list[int]],
    end: tuple[Length, list[int]],
    colors: list[str],
) -> None:
    """Draw an arrow from each token's place in one row to its place in the next."""
    for x, token in enumerate(start[1]):
        axes.annotate(
            "",
            (end[1].index(token) + 0.5, end[0]),
            (x + 0.5, start[0]),
            arrowprops={
                "arrowstyle": "-|>",
                "color": colors[token],
                "lw": 2,
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 12,
            },
        )


def draw_small_mask(
    axes: Axes,
    corner: Point,
    weights: Float[Tensor, "4 4"],
    mask: Bool[Tensor, "4 4"],
    tokens: list[int],
    colors: list[str],
) -> None:
    """Draw a window's mask, its weights in percent, with its tokens along both sides."""
    top, left = corner[0] + 0.55, corner[1] + 0.75
    side, small = 0.75, 0.55
    for y, query in enumerate(tokens):
        beside = top + y * side + (side - small) / 2, left - small
        above = top - small, left + y * side + (side - small) / 2
        for place in (beside, above):
            cell(axes, place, query, colors[query], small)
        for x, allowed in enumerate(mask[y].tolist()):
            color = ALLOWED if allowed else FORBIDDEN
            at = (left + x * side, top + y * side)
            axes.add_patch(Rectangle(at, side, side, fc=color, ec="#999999", lw=0.8))
            words, shade = (f"{weights[y, x]:.0%}", INK) if allowed else ("0", "white")
            middle = at[0] + side / 2, at[1] + 0.52 * side
            axes.text(*middle, words, ha="center", va="center", fontsize=9, color=shade)


def say(axes: Axes, y: Length, words: str) -> None:
    """Write what a row shows, left of it."""
    axes.text(-0.45, y, words, ha="right", va="center", linespacing=1.35)


def brackets(axes: Axes, y: Length, spans: list[tuple[int, int, str]], above: bool = False) -> None:
    """Draw a bracket for each span of tokens, with its name, below them or above."""
    out = -1 if above else 1
    for start, end, words in spans:
        xs, ys = [start + 0.1, start + 0.1, end - 0.1, end - 0.1], [y, y + 0.2 * out]
        axes.plot(xs, [ys[0], ys[1], ys[1], ys[0]], color=mpl.rcParams["text.color"], lw=1.6)
        va = "bottom" if above else "top"
        axes.text((start + end) / 2, y + 0.3 * out, words, ha="center", va=va)
