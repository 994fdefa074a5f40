"""The figures of chapter 03: regions beside the photograph, masks with regions on their axes."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from swin_tutorial.axis import Axis
from swin_tutorial.figures.maps import (
    draw_picture,
    draw_regions,
    draw_windows,
    frame_tokens,
    write_on_token,
)
from swin_tutorial.figures.masks import draw_mask, mask_legend
from swin_tutorial.figures.style import ALLOWED, FORBIDDEN, INK, PADDING, QUERY, TEXT, show
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import cyclic_shift, pad_to_windows, window_partition

_WRONG = "#CC3311"
_STRIPS = "#5A5A5A", "#8A8A8A", "#B4B4B4"  # grays: a strip is no region yet


def regions_and_mask(
    tokens: Float[Tensor, "1 h w c"],
    labels: Int[Tensor, "h w"],
    mask: Bool[Tensor, "t t"],
    window: int,
    window_size: int,
) -> None:
    """Show the rolled photograph, its regions beside it, and the mask of one window.

    In that window rows from two places meet; the seam is drawn, with what lies on its two sides.
    """
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), width_ratios=[1.5, 1.5, 1.12])
    draw_picture(axes[0], tokens, "the rolled photograph")
    draw_regions(axes[1], labels, "the region of each token")
    top, left = (window_size * place for place in divmod(window, labels.shape[1] // window_size))
    seam = top + int((labels[top : top + window_size, left] == labels[top, left]).sum())
    for one in axes[:2]:
        draw_windows(one, tuple(labels.shape), window_size)
        _outline_window(one, window, labels.shape[1], window_size)
        _dash(one, [left, left + window_size], [seam, seam])
    for row, text in ((seam - 1, "mouth"), (seam, "forehead")):
        write_on_token(axes[0], (row, left + (window_size - 1) / 2), text, 11.0)
    of_windows = _by_window(labels, window_size)
    draw_mask(axes[2], mask, f"the mask of window {window}", of_windows[window])
    _name_axes(axes[2], "region")
    mask_legend(figure, loc="outside lower right", ncols=2)
    show(
        figure,
        f"Left, the rolled photograph of a cat in windows; window {window} is outlined, and a "
        "dashed seam separates the mouth in its upper half from the forehead below. Middle, "
        f"the same map in flat colors, each token with the number of its region. Right, the "
        f"{len(mask)} by {len(mask)} mask of that window, with the regions along both sides.",
    )


def one_axis(size: int, window_size: int, shift_size: int) -> None:
    """Show a column of tokens before and after the roll, its strips, and each window's mask."""
    axis = Axis(size, window_size, shift_size)
    masks, strips = axis.mask(), axis.strips().view(-1, window_size)
    figure, axes = plt.subplots(
        1, 1 + len(masks), figsize=(9.5, 3.6), width_ratios=[2.1, *[1] * len(masks)]
    )
    _draw_columns(axes[0], axis)
    for number, (one, mask) in enumerate(zip(axes[1:], masks, strict=True)):
        draw_mask(one, mask, f"mask of window {number}", strips[number])
        _name_axes(one, "strip")
    mask_legend(figure, loc="outside lower right", ncols=2)
    show(
        figure,
        f"Left, a column of {size} rows, cut into strips by shade, before the roll and after it; "
        f"brackets say how many rows of which strip each window holds. Right, the {window_size} by "
        f"{window_size} mask of each window: light where query and key are of one strip.",
    )


def patterns(masks: Bool[Tensor, "p t t"], names: Sequence[str], window: int, shift: int) -> None:
    """Show the different masks of a map, with brackets for the rows and columns of their strips."""
    figure, axes = plt.subplots(1, len(masks), figsize=(11, 3.9))
    long, cut = window - shift, window * (window - shift)
    for one, mask, name in zip(axes, masks, names, strict=True):
        draw_mask(one, mask)
        _remove_lines(one)
        one.set(xlabel=f"key\n{name}", ylabel="")
        if not mask[0, -window]:  # the first row and the last: rows are separated
            for start, stop, text in ((0, cut, f"{long} rows"), (cut, window**2, f"{shift} rows")):
                _bracket_above(one, start, stop, 8, text)
        if not mask[0, window - 1]:  # the first column and the last
            _bracket_above(one, 0, long, 2, str(long))
            _bracket_above(one, long, window, 2, f"{shift} tokens", to_the_right=True)
    axes[0].set_ylabel("query")
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.93))  # room for the brackets
    mask_legend(figure, loc="outside lower center", ncols=2)
    show(
        figure,
        f"The masks of {', '.join(names)}, each {window**2} by {window**2}. Brackets over the keys "
        f"divide the bottom edge into {long} rows and {shift} rows, the right edge's first row "
        f"into {long} and {shift} tokens, and the corner into both.",
    )


def padding(size: tuple[int, int], window_size: int, shift_size: int) -> None:
    """Show a padded and rolled map by region, and the last window's mask for both ``padding``s."""
    grids = [WindowGrid(size, window_size, shift_size, way) for way in ("mask", "attend")]
    labels = grids[0].region_ids()
    real = pad_to_windows(torch.ones(1, *size, 1), window_size)
    is_padding = cyclic_shift(real == 0, grids[0].effective_shift)[0, :, :, 0]
    figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), width_ratios=[1.4, 1, 1])
    draw_regions(axes[0], labels, "padded and rolled (hatched: padding)", is_padding)
    for y, x in is_padding.nonzero().tolist():
        write_on_token(axes[0], (y, x), str(int(labels[y, x])), 8.3)
    draw_windows(axes[0], tuple(labels.shape), window_size)
    last = _by_window(is_padding, window_size)[-1]
    _outline_window(axes[0], len(_by_window(labels, window_size)) - 1, labels.shape[1], window_size)
    between, mixed = last[:, None] & last, last[:, None] != last
    for one, grid in zip(axes[1:], grids, strict=True):
        mask, of_tokens = grid.mask()[-1], _by_window(grid.region_ids(), window_size)[-1]
        draw_mask(one, mask, f'last window, padding="{grid.padding[0]}"', of_tokens)
        _name_axes(one, "label")
        _tint(one, mask & between, PADDING, hatch="///")
        _tint(one, mask & mixed, QUERY)
    handles = [
        Patch(fc=ALLOWED, ec=INK, label="may attend"),
        Patch(fc=PADDING, ec="white", hatch="///", label="padding and padding"),
        Patch(fc=QUERY, ec=INK, label="image and padding"),
        Patch(fc=FORBIDDEN, ec=INK, label="may not"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    show(
        figure,
        "Left, a padded and rolled map by region; the padding is hatched and has numbers of its "
        "own. Right, the last window's mask twice: with padding in regions of its own, image and "
        "padding never see each other; with padding labeled like image, cells in orange show where "
        "they do.",
    )


def labelings(maps: dict[str, Shaped[Tensor, "h w"]], window_size: int) -> None:
    """Show one map labeled in several ways; lines run where a window changes its label."""
    figure, axes = plt.subplots(1, len(maps), figsize=(11, 3.1))
    for one, (title, labels) in zip(axes, maps.items(), strict=True):
        draw_regions(one, labels.long(), title)
        draw_windows(one, tuple(labels.shape), window_size)
        _outline_borders(one, labels, window_size)
    dashed = Line2D([], [], color=QUERY, lw=2.6, ls=(0, (2, 1)), label="two labels in one window")
    figure.legend(handles=[dashed], loc="outside lower center")
    show(
        figure,
        "The same rolled map with its labels, drawn for "
        + "; ".join(maps)
        + ". Equal colors are equal labels. Within each window the dashed border between labels "
        "runs along the same line in all of them.",
    )


def repairs(
    stages: dict[str, Float[Tensor, "1 m q k"]],
    wanted: Bool[Tensor, "n t t"],
    labels: Int[Tensor, "h w"],
) -> None:
    """Show an additive mask after each repair, window by window; wrong cells are outlined.

    A single row is drawn as it broadcasts: the same for every query of every window.
    """
    count, tokens = wanted.shape[:2]
    of_windows = _by_window(labels, round(tokens**0.5))
    figure, axes = plt.subplots(len(stages), count, figsize=(7.4, 2.05 * len(stages)))
    for line, (name, got) in zip(axes, stages.items(), strict=True):
        allowed = got[0] == 0
        if allowed.shape[:2] == (1, 1):
            allowed = allowed.expand_as(wanted)
        for number, one in enumerate(line):
            draw_mask(one, allowed[number], labels=of_windows[number])
            one.set(xlabel="", ylabel="", xlim=(0, tokens), ylim=(tokens, 0))
            if allowed.shape == wanted.shape:
                _outline_wrong(one, allowed[number] != wanted[number])
            else:
                one.set(xticks=[], yticks=[])
                one.tick_params(which="minor", length=0)
                text = f"{allowed.shape[1]} windows ×\n{tokens} tokens"
                one.text(tokens / 2, 0.65 * tokens, text, ha="center", va="center", color=INK)
        line[0].set_ylabel(name)
    for number, one in enumerate(axes[0]):
        one.set_title(f"window {number}")
    handles = [
        Patch(fc=ALLOWED, ec=TEXT, label="may attend"),
        Patch(fc=FORBIDDEN, ec=TEXT, label="may not"),
        Patch(fc="none", ec=_WRONG, label="wrong"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    show(
        figure,
        f"The masks of {count} windows in {len(stages)} rows: {', '.join(stages)}. Regions stand "
        "along the sides. In the first row nothing is forbidden, and cells that should be are "
        "outlined; in the last row the masks are right.",
    )


def one_query(
    tokens: Float[Tensor, "1 m m c"], masks: dict[str, Bool[Tensor, "t"]], query: tuple[int, int]
) -> None:
    """Show one window's photograph under several masks: what the query may not see is crossed out.

    Args:
        tokens: the window's tokens.
        masks: the query's row of each mask, by title.
        query: (row, column) in the window.
    """
    side = tokens.shape[1]
    figure, axes = plt.subplots(1, len(masks), figsize=(3.5 * len(masks), 3.6))
    for one, (title, row) in zip(axes, masks.items(), strict=True):
        draw_picture(one, tokens, title)
        for y, x in (~row.view(side, side)).nonzero().tolist():
            cover = {"fc": (*to_rgb(FORBIDDEN), 0.85), "ec": "white", "lw": 0.6}
            one.add_patch(Rectangle((x, y), 1, 1, **cover))
            write_on_token(one, (y, x), "×", 13.0)
        frame = {"fill": False, "ec": QUERY, "lw": 4, "zorder": 4}
        one.add_patch(Rectangle(query[::-1], 1, 1, **frame))
    show(
        figure,
        f"One window of the rolled photograph, {len(masks)} times: {', '.join(masks)}. A query at "
        "the mouth is outlined in orange; tokens that it may not see are dark and crossed out.",
    )


# --- pieces ---


def _name_axes(axes: Axes, kind: str) -> None:
    axes.set_xlabel(f"key, by {kind}")
    axes.set_ylabel(f"query, by {kind}", labelpad=10)


def _by_window(values: Tensor, window_size: int) -> Tensor:
    """Return the values of each window's tokens, n t."""
    return window_partition(values[None, :, :, None], window_size)[0, :, :, 0]


def _draw_columns(axes: Axes, axis: Axis) -> None:
    """Draw the axis before the roll and after it, as columns of numbered rows."""
    size, window = axis.size, axis.window_size
    rolled, strips = axis.positions_before_roll().tolist(), axis.strips().tolist()
    home = dict(zip(rolled, strips, strict=True))
    before, after = 2, 5  # where the columns stand
    frame_tokens(axes, (size, 8), "")
    _remove_lines(axes)  # only two columns of the axes hold tokens
    axes.set(xlim=(0.4, 8), ylim=(size + 0.1, -0.09 * size), aspect="auto")
    titles = "before the roll", "rolled, in windows"
    for column, rows, title in zip((before, after), (range(size), rolled), titles, strict=True):
        for place, row in enumerate(rows):
            color = _STRIPS[home[row] % len(_STRIPS)]
            axes.add_patch(Rectangle((column, place), 1, 1, fc=color, ec="white", lw=0.8))
            write_on_token(axes, (place, column), str(row), min(11.0, 100 / size))
        axes.text(column + 0.5, -0.25, title, ha="center", va="bottom")
    for start, stop in _runs([home[row] for row in range(size)]):
        _bracket_beside(axes, start, stop, before, -1, f"strip {home[start]}")
    of_windows = list(zip(strips, (place // window for place in range(size)), strict=True))
    for start, stop in _runs(of_windows):
        text = f"{stop - start} of strip {strips[start]}"
        _bracket_beside(axes, start, stop, after + 1, 1, text)
    for start in range(0, size, window):
        axes.add_patch(Rectangle((after, start), 1, window, fill=False, ec=INK, lw=2.2))
    arrow = {"arrowstyle": "->", "color": mpl.rcParams["text.color"], "lw": 1.4}
    axes.annotate("", (after - 0.15, size / 2), (before + 1.15, size / 2), arrowprops=arrow)
    text = f"roll up\nby {axis.shift_size}"
    axes.text((before + 1 + after) / 2, size / 2 - 0.2, text, ha="center", va="bottom")


def _remove_lines(axes: Axes) -> None:
    """Remove the thin lines between tokens."""
    for lines in list(axes.collections):
        lines.remove()


def _runs(values: list) -> list[tuple[int, int]]:
    """Return where each run of equal values starts and stops."""
    starts = [i for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
    return list(pairwise([*starts, len(values)]))


def _bracket_beside(axes: Axes, start: int, stop: int, edge: int, side: int, text: str) -> None:
    """Draw a bracket beside some rows: left of ``edge`` if ``side`` is -1, right of it if 1."""
    near, far = edge + 0.12 * side, edge + 0.24 * side
    down = [start + 0.12, start + 0.12, stop - 0.12, stop - 0.12]
    axes.plot([near, far, far, near], down, color=mpl.rcParams["text.color"], lw=1.2)
    align = "left" if side > 0 else "right"
    axes.text(far + 0.1 * side, (start + stop) / 2, text, ha=align, va="center", fontsize=9.5)


def _bracket_above(
    axes: Axes, start: int, stop: int, height: int, text: str, to_the_right: bool = False
) -> None:
    """Draw a bracket over some columns, ``height`` cells above the axes.

    ``to_the_right``: the text is longer than the bracket, and begins where it begins.
    """
    low, high = -height, -height - 1.2
    across = [start + 0.3, start + 0.3, stop - 0.3, stop - 0.3]
    color = mpl.rcParams["text.color"]
    axes.plot(across, [low, high, high, low], color=color, lw=1.2, clip_on=False)
    where, align = (start, "left") if to_the_right else ((start + stop) / 2, "center")
    axes.text(where, high - 0.7, text, ha=align, va="bottom", fontsize=9)


def _outline_window(axes: Axes, window: int, width: int, window_size: int) -> None:
    row, column = divmod(window, width // window_size)
    corner = column * window_size, row * window_size
    for color, line_width in (("white", 6.0), (QUERY, 3.6)):
        frame = {"fill": False, "ec": color, "lw": line_width, "clip_on": False, "zorder": 4}
        axes.add_patch(Rectangle(corner, window_size, window_size, **frame))


def _outline_borders(axes: Axes, labels: Shaped[Tensor, "h w"], window_size: int) -> None:
    """Draw a dashed line between neighbors of one window that have different labels."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            if x % window_size and labels[y, x] != labels[y, x - 1]:
                _dash(axes, [x, x], [y, y + 1])
            if y % window_size and labels[y, x] != labels[y - 1, x]:
                _dash(axes, [x, x + 1], [y, y])


def _dash(axes: Axes, xs: list[int], ys: list[int]) -> None:
    axes.plot(xs, ys, color="white", lw=4, solid_capstyle="butt")
    axes.plot(xs, ys, color=QUERY, lw=2.6, ls=(0, (2, 1)), dash_capstyle="butt")


def _outline_wrong(axes: Axes, wrong: Bool[Tensor, "q k"]) -> None:
    for y, x in wrong.nonzero().tolist():
        axes.add_patch(Rectangle((x, y), 1, 1, fill=False, ec=_WRONG, lw=1.1, zorder=3))


def _tint(axes: Axes, cells: Bool[Tensor, "q k"], color: str, hatch: str = "") -> None:
    for y, x in cells.nonzero().tolist():
        axes.add_patch(Rectangle((x, y), 1, 1, fc=to_rgb(color), ec="white", lw=0.5, hatch=hatch))
