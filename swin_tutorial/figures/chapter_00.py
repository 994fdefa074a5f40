"""The figures of chapter 00: an ear beside a chin, eight tokens in a row, the same on two axes."""

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
NEIGHBOR = "#0077BB"
Token = tuple[int, int]


def ear_in_two_layers(cat: Float[Tensor, "1 h w c"], ear: Token) -> None:
    """Draw a photograph as one layer sees it, and rolled, as the next one does."""
    height, width = cat.shape[1:3]
    rolled = torch.roll(cat, (-SHIFT, -SHIFT), dims=(1, 2))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout=spaced(0.1))
    draw_picture(left, cat, "one layer: six windows")
    draw_picture(right, rolled, "the next layer: rolled up by 2 and left by 2")
    for axes in (left, right):
        draw_windows(axes, (height, width), WINDOW)
    place = after_roll(ear, (height, width))
    for axes, token in ((left, ear), (right, place)):
        outline(axes, token, color=QUERY)
        point_at(axes, token, "ear")
    label(right, (4.4, 9.6), (4.4, 5.5), "nose")
    label(right, (5.5, 9.6), (5.3, 6.1), "chin")
    connect(figure, left, (1.01, 0.5), right, (-0.01, 0.5))
    show(
        figure,
        "The photograph of a cat as 8 by 12 tokens, twice, each with six windows of 4 by 4. Left, "
        "as it is: an ear, outlined, at the top. An arrow leads to the right, where the picture "
        "is rolled: the ear is at the bottom, in one window with the nose and the chin.",
    )


def leak(cat: Float[Tensor, "1 h w c"], attention: Float[Tensor, "16"], ear: Token) -> None:
    """Draw where a token's attention goes: in its rolled window, and where these tokens stood."""
    height, width = cat.shape[1:3]
    rolled = torch.roll(cat, (-SHIFT, -SHIFT), dims=(1, 2))
    place = after_roll(ear, (height, width))
    top, start = (one // WINDOW * WINDOW for one in place)
    places = [(top + y, start + x) for y in range(WINDOW) for x in range(WINDOW)]
    homes = [((y + SHIFT) % height, (x + SHIFT) % width) for y, x in places]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.9))
    draw_picture(left, pale(rolled, places), "as the layer sees it: side by side")
    draw_picture(right, pale(cat, homes), "where these tokens really are")
    shares = attention.tolist()
    strangers = [abs(y - ear[0]) >= WINDOW for y, _ in homes]
    for axes, query, tokens in ((left, place, places), (right, ear, homes)):
        draw_windows(axes, (height, width), WINDOW, 0 if axes is left else SHIFT)
        for token, share, far in zip(tokens, shares, strangers, strict=True):
            if axes is right and token != query and share > 0.015:
                draw_flow(axes, query, token, share, STRANGER if far else NEIGHBOR)
        for token, share in zip(tokens, shares, strict=True):
            write_on_token(axes, token, f"{share:.0%}", 10.0)
            axes.texts[-1].set_zorder(6)  # above the arrows
        far_tokens = [token for token, far in zip(tokens, strangers, strict=True) if far]
        outline(axes, far_tokens[0], (2, WINDOW), STRANGER, style=(0, (3, 1.2)))
        outline(axes, query, color=QUERY)
    point_at(right, ear, "ear")
    label(left, (place[0] + 0.5, place[1] + 3), (place[0] + 0.5, place[1] + 1), "ear")
    far_share = sum(share for share, far in zip(shares, strangers, strict=True) if far)
    middle = homes[0][1] + WINDOW / 2
    right.annotate(
        f"{far_share:.0%} of the ear's attention goes here",
        (middle, height + 0.1),
        (middle, height + 0.75),
        ha="center",
        va="top",
        annotation_clip=False,
        fontsize=10.5,
        fontweight="bold",
        color=STRANGER,
        arrowprops={"arrowstyle": "-|>", "color": STRANGER, "lw": 2, "shrinkB": 0},
    )
    show(
        figure,
        "Left, the rolled cat: sixteen numbers in the ear's window say how the ear's attention is "
        f"spread, {far_share:.0%} of it over the eight tokens with a red dashed outline. Right, "
        "the photograph before the roll: the same eight tokens lie at the bottom, at the chin, "
        "and red arrows lead to them from the ear across the whole face.",
    )


def eight_tokens() -> None:
    """Draw one row of eight tokens through all steps: windows, labels, roll, masks, and back."""
    grid = WindowGrid(8, WINDOW, SHIFT)
    labels, mask = grid.region_ids().roll(SHIFT).tolist(), grid.mask()
    row, rolled = list(range(8)), [*range(SHIFT, 8), *range(SHIFT)]
    figure, axes = plt.subplots(figsize=(8.6, 8.2))
    axes.set(xlim=(-4.7, 8.1), ylim=(14.3, -0.1), aspect="equal")
    axes.axis("off")
    colors = [region_color(one) for one in labels]
    two_windows = [(0, 4, "window 0"), (4, 8, "window 1")]
    say(axes, 0.5, "1 · one layer:\ntwo windows")
    cells(axes, 0, row, ["#BBBBBB"] * 8)
    brackets(axes, 1.1, two_windows)
    say(axes, 3.3, "2 · the next layer:\nshifted by 2, three windows")
    brackets(axes, 2.7, [(0, 2, "label 0"), (2, 6, "label 1"), (6, 8, "label 2")], above=True)
    cells(axes, 2.8, row, colors)
    say(axes, 5.5, "3 · rolled by 2:\ntwo equal windows again")
    threads(axes, (3.85, row), (4.95, rolled), colors)
    cells(axes, 5, rolled, colors)
    brackets(axes, 6.1, two_windows)
    say(axes, 8.9, "4 · one mask for each window:\nquery down, key across,\nlight = same label")
    for window, left in enumerate((0, 4)):
        draw_small_mask(axes, (7.2, left), mask[window], rolled[left : left + 4], colors)
    say(axes, 11.6, "5 · each window attends\nunder its mask")
    cells(axes, 11.1, rolled, colors)
    say(axes, 13.7, "6 · rolled back")
    threads(axes, (12.15, rolled), (13.15, row), colors)
    cells(axes, 13.2, row, colors)
    show(
        figure,
        "Six rows from top to bottom. Tokens a to h in two windows of four. The same tokens in "
        "three shifted windows: a b, c d e f, g h. Rolled by two: c d e f and g h a b. Two masks "
        "of 4 by 4: the first all light; the second light in two blocks, g h and a b. The windows "
        "after attention. And the tokens a to h in order again.",
    )


def two_axes(cat: Float[Tensor, "1 h w c"], ear: Token) -> None:
    """Draw the same on two axes: photograph and regions, rolled, and one token's row of a mask."""
    height, width = cat.shape[1:3]
    grid = WindowGrid((height, width), WINDOW, SHIFT)
    rolled = torch.roll(cat, (-SHIFT, -SHIFT), dims=(1, 2))
    window, row = grid.locate(ear)
    figure = plt.figure(figsize=(11, 5.6), layout=spaced(0.09, 0.12))
    panels = figure.subplot_mosaic([["1", "3", "5"], ["2", "4", "5"]], width_ratios=(1, 1, 0.85))
    draw_picture(panels["1"], cat, "1 · the shifted windows")
    draw_regions(panels["2"], home_regions(grid), "2 · their numbers: regions", strength=1.0)
    draw_picture(panels["3"], rolled, "3 · rolled: six equal windows")
    draw_regions(panels["4"], grid.region_ids(), "4 · regions, rolled along", strength=1.0)
    for name, shift in (("1", SHIFT), ("2", SHIFT), ("3", 0), ("4", 0)):
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
    mask.set(xlabel="key, by region", ylabel="query, by region")
    mask.yaxis.tick_right()
    mask.yaxis.set_label_position("right")
    mask.tick_params(which="both", right=False, length=0)
    mask_legend(mask, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=1)
    outline(mask, (row, 0), (1, WINDOW**2), QUERY)
    for start, end in (("1", "3"), ("2", "4")):
        connect(figure, panels[start], (1.01, 0.5), panels[end], (-0.01, 0.5))
    connect(figure, panels["1"], (0.5, -0.02), panels["2"], (0.5, 1.16))
    y, x = after_roll(ear, (height, width))
    link = ConnectionPatch(
        (x + 1, y + 1),
        (0, row + 0.5),
        "data",
        "data",
        axesA=panels["4"],
        axesB=mask,
        arrowstyle="-|>",
        connectionstyle="arc,angleA=0,angleB=180,armA=165,armB=14,rad=6",
        mutation_scale=16,
        color=QUERY,
        lw=2.5,
        annotation_clip=False,
    )
    link.set_in_layout(False)
    figure.add_artist(link)
    show(
        figure,
        "Five panels joined by arrows. 1, the cat with its twelve shifted windows. 2, below it, "
        "the same windows as a map of flat colors, regions 0 to 11. 3 and 4, both rolled under "
        "six equal windows, 0 to 5. An orange arrow leads from the ear's token in window 4 of "
        "panel 4 to one row of panel 5, a 16 by 16 mask with two light blocks, regions 10 and 2.",
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


def draw_flow(axes: Axes, query: Token, key: Token, share: Length, color: str) -> None:
    """Draw attention from a query to a key as an arrow, thick for much."""
    (y0, x0), (y1, x1) = query, key
    axes.annotate(
        "",
        (x1 + 0.5, y1 + 0.5),
        (x0 + 0.5, y0 + 0.5),
        arrowprops={
            "arrowstyle": "-|>",
            "color": color,
            "lw": 1 + 7 * share,
            "mutation_scale": 9 + 14 * share,
            "shrinkA": 0,
            "shrinkB": 7,
        },
    )


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


def cell(axes: Axes, corner: Point, token: int, color: str, side: Length = 1) -> None:
    """Draw a token of a row: a colored square with its letter.  ``corner`` is (y, x)."""
    y, x = corner
    axes.add_patch(Rectangle((x, y), side, side, fc=color, ec="white", lw=1.5))
    axes.text(
        x + side / 2,
        y + side / 2,
        "abcdefgh"[token],
        ha="center",
        va="center_baseline",
        color="white",
        path_effects=[withStroke(linewidth=2, foreground=INK)],
        fontsize=14 if side == 1 else 10,
    )


def cells(axes: Axes, y: Length, tokens: list[int], colors: list[str]) -> None:
    """Draw a row of tokens, each in its color."""
    for x, token in enumerate(tokens):
        cell(axes, (y, x), token, colors[token])


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
    mask: Bool[Tensor, "4 4"],
    tokens: list[int],
    colors: list[str],
) -> None:
    """Draw a window's mask with its tokens along both sides."""
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
