"""The figures of chapter 03: regions beside the photograph, masks with regions on their axes."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
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
from swin_tutorial.figures.style import ALLOWED, FORBIDDEN, INK, PADDING, QUERY, region_color, show
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import cyclic_shift, pad_to_windows, size_text, window_partition

_WRONG = "#CC3311"


def regions_and_mask(
    tokens: Float[Tensor, "1 h w c"],
    labels: Int[Tensor, "h w"],
    mask: Bool[Tensor, "t t"],
    window: int,
    window_size: int,
) -> None:
    """Show the rolled photograph, its regions beside it, and the mask of one window."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), width_ratios=[1.5, 1.5, 1.12])
    draw_picture(axes[0], tokens, "1 · the rolled photograph")
    draw_regions(axes[1], labels, "2 · where each token comes from", strength=1.0)
    for one in axes[:2]:
        draw_windows(one, tuple(labels.shape), window_size)
        _outline_window(one, window, labels.shape[1], window_size)
    of_windows = _by_window(labels, window_size)
    draw_mask(axes[2], mask, f"3 · the mask of window {window}", of_windows[window])
    _name_axes(axes[2], "region")
    mask_legend(figure, loc="outside lower right", ncols=2)
    show(
        figure,
        f"Left, the rolled photograph of a cat in windows; window {window} is outlined. Middle, "
        f"the same map in flat colors, each token with the number of its region. Right, the "
        f"{len(mask)} by {len(mask)} mask of that window, with the regions along both sides.",
    )


def one_axis(size: int, window_size: int, shift_size: int) -> None:
    """Show a column of tokens before and after the roll, its strips, and each window's mask."""
    axis = Axis(size, window_size, shift_size)
    masks, strips = axis.mask(), axis.strips().view(-1, window_size)
    figure, axes = plt.subplots(
        1, 1 + len(masks), figsize=(10.5, 3.9), width_ratios=[2.1, *[1] * len(masks)]
    )
    _draw_columns(axes[0], axis)
    for number, (one, mask) in enumerate(zip(axes[1:], masks, strict=True)):
        draw_mask(one, mask, f"mask of window {number}", strips[number])
        _name_axes(one, "strip")
    mask_legend(figure, loc="outside lower right", ncols=2)
    show(
        figure,
        f"Left, a column of {size} rows, cut into strips by color, before the roll and after it; "
        f"brackets say how many rows of which strip each window holds. Right, the {window_size} by "
        f"{window_size} mask of each window: light where query and key are of one strip.",
    )


def lost_keys(shares: Sequence[tuple[int, float]], window_size: int, shift_size: int) -> None:
    """Show on square maps which queries lose keys; ``shares`` holds each side and the share."""
    figure, axes = plt.subplots(1, len(shares), figsize=(9, 3.5))
    colors = ListedColormap([ALLOWED, FORBIDDEN])
    for one, (side, share) in zip(axes, shares, strict=True):
        last = side - window_size
        loses = [[int(max(y, x) >= last) for x in range(side)] for y in range(side)]
        one.imshow(loses, cmap=colors, vmin=0, vmax=1, extent=(0, side, side, 0))
        one.set(title=f"{side} × {side}: {share:.0%}", xticks=[], yticks=[])
        for cut in range(0, side + 1, window_size):
            one.plot([0, side], [cut, cut], [cut, cut], [0, side], color="#888888", lw=0.8)
        for spine in one.spines.values():
            spine.set_visible(False)
    handles = [
        Patch(fc=FORBIDDEN, ec=INK, label="this query loses keys"),
        Patch(fc=ALLOWED, ec=INK, label="this query may see its whole window"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    show(
        figure,
        "Square maps of "
        + ", ".join(f"{side}" for side, _ in shares)
        + f" tokens a side, rolled by {shift_size} and cut into windows of {window_size}. The last "
        "row and the last column of windows are dark: a thin border of the largest map, and three "
        "of the four windows of the smallest.",
    )


def patterns(masks: Bool[Tensor, "p t t"], names: Sequence[str], window: int, shift: int) -> None:
    """Show the different masks of a map, with brackets for the rows and columns of their strips."""
    figure, axes = plt.subplots(1, len(masks), figsize=(11, 3.9))
    long, cut = window - shift, window * (window - shift)
    for one, mask, name in zip(axes, masks, names, strict=True):
        draw_mask(one, mask)
        _remove_lines(one)
        one.set(xlabel=name, ylabel="")
        if not mask[0, -window]:  # the first row and the last: rows are separated
            for start, stop, text in ((0, cut, f"{long} rows"), (cut, window**2, f"{shift} rows")):
                _bracket_above(one, start, stop, 8, text)
        if not mask[0, window - 1]:  # the first column and the last
            for start, stop in ((0, long), (long, window)):
                _bracket_above(one, start, stop, 2, str(stop - start))
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
    draw_regions(axes[0], labels, "padded and rolled (hatched: padding)", is_padding, strength=1.0)
    for y, x in is_padding.nonzero().tolist():
        write_on_token(axes[0], (y, x), str(int(labels[y, x])), 8.3)
    draw_windows(axes[0], tuple(labels.shape), window_size)
    last = _by_window(is_padding, window_size)[-1]
    _outline_window(axes[0], len(_by_window(labels, window_size)) - 1, labels.shape[1], window_size)
    between, leak = last[:, None] & last, ~last[:, None] & last
    for one, grid in zip(axes[1:], grids, strict=True):
        mask, of_tokens = grid.mask()[-1], _by_window(grid.region_ids(), window_size)[-1]
        draw_mask(one, mask, f'last window, padding="{grid.padding[0]}"', of_tokens)
        _name_axes(one, "label")
        _tint(one, mask & between, PADDING)
        _tint(one, mask & leak, QUERY)
    handles = [
        Patch(fc=ALLOWED, ec=INK, label="may attend"),
        Patch(fc=PADDING, ec=INK, label="padding may see padding"),
        Patch(fc=QUERY, ec=INK, label="image may see padding"),
        Patch(fc=FORBIDDEN, ec=INK, label="may not"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    show(
        figure,
        "Left, a padded and rolled map by region; the padding is hatched and has numbers of its "
        "own. Right, the last window's mask twice: with padding in regions of its own no query of "
        "the image sees padding; with padding labeled like image, cells in orange show that some "
        "do.",
    )


def labelings(maps: dict[str, Shaped[Tensor, "h w"]], window_size: int) -> None:
    """Show one map labeled in several ways; lines run where a window changes its label."""
    figure, axes = plt.subplots(1, len(maps), figsize=(11, 2.9))
    for one, (title, labels) in zip(axes, maps.items(), strict=True):
        draw_regions(one, labels.long(), title, strength=1.0)
        draw_windows(one, tuple(labels.shape), window_size)
        _outline_borders(one, labels, window_size)
    show(
        figure,
        "The same rolled map with its labels, drawn for "
        + "; ".join(maps)
        + ". Equal colors are equal labels. Within each window the dashed border between labels "
        "runs along the same line in all of them.",
    )


def suspect(
    got: Float[Tensor, "1 m q k"], wanted: Bool[Tensor, "n t t"], labels: Int[Tensor, "h w"]
) -> None:
    """Show an additive mask, window by window, above the mask that is wanted."""
    count, tokens = wanted.shape[:2]
    of_windows = _by_window(labels, round(tokens**0.5))
    figure, axes = plt.subplots(2, count, figsize=(1.55 * count + 0.8, 3.8), squeeze=False)
    for number in range(count):
        upper, lower = axes[:, number]
        draw_mask(lower, wanted[number], labels=of_windows[number])
        if number < got.shape[1]:
            draw_mask(upper, got[0, number] == 0)
            if got.shape[1:] == wanted.shape:
                _outline_wrong(upper, (got[0, number] == 0) != wanted[number])
        else:
            frame_tokens(upper, (1, 1), "")
            upper.text(tokens / 2, tokens / 2, "nothing", ha="center")
        upper.set(xlim=(0, tokens), ylim=(tokens, 0), title=f"window {number}")
        for one in (upper, lower):
            one.set(xlabel="", ylabel="")
    axes[0, 0].set_ylabel("returned")
    axes[1, 0].set_ylabel("wanted")
    show(
        figure,
        f"Above, the returned mask of each of {count} windows; it has the shape "
        f"{size_text(tuple(got.shape))}. Below, the {tokens} by {tokens} mask that each window "
        "should have, with the regions along its sides. Cells that differ are outlined.",
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
            color = region_color(home[row])
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


def _bracket_above(axes: Axes, start: int, stop: int, height: int, text: str) -> None:
    """Draw a bracket over some columns, ``height`` cells above the axes."""
    low, high = -height, -height - 1.2
    across = [start + 0.3, start + 0.3, stop - 0.3, stop - 0.3]
    color = mpl.rcParams["text.color"]
    axes.plot(across, [low, high, high, low], color=color, lw=1.2, clip_on=False)
    axes.text((start + stop) / 2, high - 0.7, text, ha="center", va="bottom", fontsize=9)


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


def _tint(axes: Axes, cells: Bool[Tensor, "q k"], color: str) -> None:
    for y, x in cells.nonzero().tolist():
        axes.add_patch(Rectangle((x, y), 1, 1, fc=to_rgb(color), ec="white", lw=0.5))
