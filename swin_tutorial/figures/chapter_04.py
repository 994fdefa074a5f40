"""The figures of chapter 04: the leak, one query's numbers, the learned bias, the block mask."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
import matplotlib.patheffects
import matplotlib.pyplot as plt
import torch
from einops import rearrange
from IPython.display import display
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from swin_tutorial.figures.maps import draw_regions
from swin_tutorial.figures.style import (
    FORBIDDEN,
    INK,
    PADDING,
    PALETTE,
    QUERY,
    TEXT,
    region_color,
    show,
)
from swin_tutorial.grid import WindowGrid

_EMPTY = "#F2F2F2"  # a token of another window, a score that is never computed
_OUTLINE = [matplotlib.patheffects.withStroke(linewidth=2, foreground=INK)]
_STRENGTH = 0.7  # opacity of a region's color
_SHADES = ListedColormap(
    mpl.colormaps["Blues"](torch.linspace(0.06, 1, 10).tolist()), name="weights"
)


def leak(
    picture: Float[Tensor, "height width"],
    grid: WindowGrid,
    window: int,
    query: int,
    off: Float[Tensor, "heads t"],
    on: Float[Tensor, "heads t"],
) -> None:
    """Show a rolled window, and where one query attends to: for each head, mask off above mask on.

    Args:
        picture: gray; its sides are multiples of the map's.
        grid: the map's windows.
        window, query: the window and the query's index in it.
        off, on: the query's weights without and with the mask.
    """
    heads = len(off)
    figure = plt.figure(figsize=(11, 5.4))
    spec = figure.add_gridspec(2, heads + 1, width_ratios=[1.35, *[1] * heads])
    _picture_of_query(figure.add_subplot(spec[0, 0]), picture, grid, window, query)
    _rolled_window(figure.add_subplot(spec[1, 0]), picture, grid, window, query)
    forbidden = ~grid.mask()[window, query]
    maps = []
    for head in range(heads):
        for row, (name, weights) in enumerate((("off", off[head]), ("on", on[head]))):
            axes = figure.add_subplot(spec[row, head + 1])
            _weights_on_map(axes, grid, window, query, weights)
            share = float(weights[forbidden].sum())
            axes.set_title(f"head {head}, mask {name}\n{share:.0%} beyond the edge")
            maps.append(axes)
    scale = ScalarMappable(BoundaryNorm([i / 10 for i in range(11)], 10), _SHADES)
    bar = figure.colorbar(scale, ax=maps, orientation="horizontal", aspect=45, shrink=0.7, pad=0.02)
    bar.set_ticks([0, 0.2, 0.4, 0.6, 0.8, 1], labels=["0", "20%", "40%", "60%", "80%", "100%"])
    bar.set_label("weight of a key")
    shares = [f"{float(row[forbidden].sum()):.0%}" for row in off]
    show(
        figure,
        "Left a pullover on a grid of 8 by 8 tokens, a query on its left shoulder, and below the "
        "window that holds the query after the roll: there a cuff touches the shoulder. Right, "
        f"for each of {heads} heads, the query's attention on the grid: without the mask "
        f"{', '.join(shares)} lie in the three other corners, with it nothing.",
    )


def one_query(
    names: Sequence[str],
    score: Float[Tensor, "t"],
    bias: Float[Tensor, "t"],
    without: Float[Tensor, "t"],
    weight: Float[Tensor, "t"],
) -> None:
    """Show the numbers of one query as a table, a row for each key.

    Args:
        names: where each key stands.
        score, bias: what is added.
        without, weight: its attention without and with the mask; exactly 0 is a cross.
    """
    lines = [
        "| key | corner | score | + bias | = sum | weight, no mask | weight, mask |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    for key, name in enumerate(names):
        sums = [f"{float(one):.2f}" for one in (score[key], bias[key], score[key] + bias[key])]
        weights = [
            f"{one:.1%}" if one else "×" for one in (float(without[key]), float(weight[key]))
        ]
        lines.append(f"| {' | '.join([str(key), name, *sums, *weights])} |".replace("-", "−"))
    lines[1] = lines[1].replace("−", "-")
    table = "\n".join(lines)
    display({"text/markdown": table, "text/plain": table}, raw=True)


def bias_tables(table: Float[Tensor, "offsets heads"]) -> None:
    """Show the learned position bias of a square window as one heat map for each head.

    The table goes by query − key.  It is drawn the other way around, by where the key stands.
    """
    offsets, heads = table.shape
    side = round(offsets**0.5)
    reach = side // 2
    figure, row = plt.subplots(1, heads, figsize=(11, 3.3), sharey=True)
    steps = torch.arange(-1.25, 1.26, 0.25).tolist()
    colors = mpl.colormaps["PuOr"].resampled(len(steps) - 1)
    norm = BoundaryNorm(steps, len(steps) - 1, clip=True)
    edges = (-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5)
    peaks = []
    for head, axes in enumerate(row):
        values = table[:, head].view(side, side).flip(0, 1)
        image = axes.imshow(values.numpy(), cmap=colors, norm=norm, extent=edges)
        y, x = divmod(int(values.argmax()), side)
        corner = (x - reach - 0.5, y - reach - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, ec=INK, lw=2))
        axes.plot(0, 0, "o", color=QUERY, ms=7)
        place = f"({y - reach}, {x - reach})"
        peaks.append(f"{float(values.max()):+.1f} at {place}".replace("-", "−"))
        axes.set_title(f"head {head}\nlargest {peaks[-1]}")
        axes.set(xticks=range(-reach, reach + 1), yticks=range(-reach, reach + 1))
        axes.set_xlabel("columns to the right")
        axes.spines[:].set_visible(False)
    row[0].set_ylabel("rows below the query")
    figure.colorbar(image, ax=row, shrink=0.75, ticks=steps[1::2], label="added to the score")
    show(
        figure,
        f"{heads} heat maps of {side} by {side} places around a query, each with its largest "
        f"entry outlined, by rows below and columns to the right: {'; '.join(peaks)}.",
    )


def block_mask(true_window: Int[Tensor, "h w"], rolled_window: Int[Tensor, "h w"]) -> None:
    """Show a map's true windows, and its mask in the map's order and sorted by rolled window.

    ``true_window`` and ``rolled_window`` say in which each token stands.
    """
    numbers, rolled = true_window.flatten(), rolled_window.flatten()
    figure, (first, left, right) = plt.subplots(1, 3, figsize=(11, 4.8))
    draw_regions(first, true_window, "the true windows", strength=_STRENGTH)
    height, width = true_window.shape
    rows = torch.arange(height).repeat_interleave(width)
    everyone = torch.ones(len(rows), len(rows), dtype=torch.bool)
    _draw_pairs(left, numbers, everyone, rows)
    left.set(title="mask of the map, row by row", xlabel="key: row of the map")
    left.set_ylabel("query: row of the map")
    order = (rolled * (int(numbers.max()) + 1) + numbers).argsort(stable=True)
    numbers, rolled = numbers[order], rolled[order]
    _draw_pairs(right, numbers, rolled[:, None] == rolled, numbers)
    right.set(title="sorted by rolled window", xlabel="key: true window")
    right.set_ylabel("query: true window")
    start = 0
    for size in rolled.bincount().tolist():
        frame = {"fill": False, "ec": QUERY, "lw": 2.5, "zorder": 3}
        right.add_patch(Rectangle((start, start), size, size, **frame))
        start += size
    handles = [
        Patch(fc=_pale(region_color(0)), ec=TEXT, label="a color: may attend"),
        Patch(fc=FORBIDDEN, ec=TEXT, label="computed, then masked"),
        Patch(fc=_EMPTY, ec=TEXT, label="never computed"),
        Patch(fc="none", ec=QUERY, lw=2, label="a rolled window"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    sizes = ", ".join(map(str, true_window.flatten().bincount().tolist()))
    blocks = ", ".join(map(str, numbers.unique_consecutive(return_counts=True)[1].tolist()))
    show(
        figure,
        f"A map of true windows of {sizes} tokens. Its mask in the map's order, a pattern of small "
        "squares on dark ground. Sorted, squares along the diagonal, of "
        f"{blocks} tokens, inside {len(rolled.unique())} outlined squares, and nothing outside.",
    )


# --- parts of figures ---


def _picture_of_query(
    axes: Axes, picture: Tensor, grid: WindowGrid, window: int, query: int
) -> None:
    """Draw the picture with the query's window outlined, and the query pointed at."""
    height, width = grid.size
    axes.imshow(picture.numpy(), cmap="gray", extent=(0, width, height, 0))
    axes.hlines(range(1, height), 0, width, color="white", lw=0.5, alpha=0.35)
    axes.vlines(range(1, width), 0, height, color="white", lw=0.5, alpha=0.35)
    for y, x, tall, wide in _pieces(grid, window):
        axes.add_patch(Rectangle((x, y), wide, tall, fill=False, ec=PALETTE[0], lw=2.5))
    y, x = grid.origin(window, query)
    axes.add_patch(Rectangle((x, y), 1, 1, fill=False, ec=QUERY, lw=3, zorder=3))
    axes.annotate(
        "query",
        (x + 1, y + 1),
        (x + 2.2, y + 2.4),
        color="white",
        fontsize=11,
        path_effects=_OUTLINE,
        arrowprops={"arrowstyle": "->", "color": QUERY, "lw": 2.5},
    )
    axes.set(xticks=range(0, width + 1, 2), yticks=range(0, height + 1, 2))
    axes.set_title(f"the picture, {height} × {width} tokens\nblue: its four corners")
    axes.spines[:].set_visible(False)


def _rolled_window(axes: Axes, picture: Tensor, grid: WindowGrid, window: int, query: int) -> None:
    """Draw what the picture shows on the tokens of one rolled window, and the seams in it."""
    tall, wide = grid.window_size
    shapes = {"p": picture.shape[0] // grid.size[0], "q": picture.shape[1] // grid.size[1]}
    tokens = rearrange(picture, "(h p) (w q) -> 1 h w (p q)", **shapes)
    pixels = rearrange(
        grid.partition(tokens)[0, window], "(h w) (p q) -> (h p) (w q)", h=tall, w=wide, **shapes
    )
    axes.imshow(pixels.numpy(), cmap="gray", extent=(0, wide, tall, 0))
    axes.hlines(range(1, tall), 0, wide, color="white", lw=0.5, alpha=0.35)
    axes.vlines(range(1, wide), 0, tall, color="white", lw=0.5, alpha=0.35)
    mask = grid.mask()[window]
    for y in range(1, tall):
        if not mask[y * wide, (y - 1) * wide]:
            axes.axhline(y, color=PALETTE[0], lw=2.5)
    for x in range(1, wide):
        if not mask[x, x - 1]:
            axes.axvline(x, color=PALETTE[0], lw=2.5)
    y, x = divmod(query, wide)
    axes.add_patch(Rectangle((x, y), 1, 1, fill=False, ec=QUERY, lw=3, zorder=3, clip_on=False))
    axes.set(xticks=[], yticks=[])
    axes.set_title("after the roll they\nare one window")
    axes.spines[:].set_visible(False)


def _weights_on_map(
    axes: Axes, grid: WindowGrid, window: int, query: int, weights: Float[Tensor, "t"]
) -> None:
    """Draw a query's weights where its keys stand, and write the share of each piece beside it."""
    height, width = grid.size
    axes.add_patch(Rectangle((0, 0), width, height, fc=_EMPTY, ec=PADDING, lw=0.8))
    shares: dict[tuple[int, int, int, int], float] = dict.fromkeys(_pieces(grid, window), 0.0)
    for index, weight in enumerate(weights.tolist()):
        y, x = grid.origin(window, index)
        color = _SHADES(min(9, int(10 * weight)))
        axes.add_patch(Rectangle((x, y), 1, 1, fc=color, ec="white", lw=0.5))
        if weight == 0:
            axes.text(x + 0.5, y + 0.53, "×", ha="center", va="center", color=INK, fontsize=9)
        for piece in shares:
            top, left, tall, wide = piece
            if top <= y < top + tall and left <= x < left + wide:
                shares[piece] += weight
    for (top, left, tall, wide), share in shares.items():
        axes.add_patch(Rectangle((left, top), wide, tall, fill=False, ec=INK, lw=1))
        inward = 0.75 if top < height / 2 else -0.75
        place = (top + tall if inward > 0 else top) + inward
        side = {"ha": "left", "x": 0.15} if left < width / 2 else {"ha": "right", "x": width - 0.15}
        axes.text(side["x"], place, f"{share:.0%}", ha=side["ha"], va="center", color=INK)
    y, x = grid.origin(window, query)
    axes.add_patch(Rectangle((x, y), 1, 1, fill=False, ec=QUERY, lw=2.5, zorder=3))
    axes.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.1, -0.1), aspect="equal")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _pieces(grid: WindowGrid, window: int) -> list[tuple[int, int, int, int]]:
    """Return the pieces of a rolled window as they lie on the map: top, left, height, width."""
    mask = grid.mask()[window]
    pieces = []
    for members in mask.unique(dim=0):
        places = torch.tensor([grid.origin(window, int(t)) for t in members.nonzero()])
        (top, left), (bottom, right) = places.amin(0).tolist(), places.amax(0).tolist()
        pieces.append((top, left, bottom - top + 1, right - left + 1))
    return pieces


def _draw_pairs(
    axes: Axes,
    regions: Int[Tensor, "t"],
    computed: Bool[Tensor, "t t"],
    labels: Int[Tensor, "t"],
) -> None:
    """Color each pair of tokens: by region if allowed, dark if masked, gray if not computed.

    Each run of equal ``labels`` gets its label on both sides, between two ticks.
    """
    tokens = len(regions)
    pixels = torch.tensor(to_rgb(_EMPTY)).expand(tokens, tokens, 3).clone()
    pixels[computed] = torch.tensor(to_rgb(FORBIDDEN))
    for region in regions.unique().tolist():
        inside = regions == region
        pixels[inside[:, None] & inside] = torch.tensor(_pale(region_color(region)))
    axes.imshow(pixels.numpy(), extent=(0, tokens, tokens, 0))
    names, lengths = labels.unique_consecutive(return_counts=True)
    ends = [0, *lengths.cumsum(0).tolist()]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([(start + end) / 2 for start, end in pairwise(ends)], names.tolist())
        axis.set_ticks(ends, minor=True)
    axes.tick_params(length=0)
    axes.tick_params(which="minor", length=6)
    axes.spines[:].set_visible(False)


def _pale(color: str) -> tuple[float, ...]:
    """Return a color as ``draw_regions`` shows it on white."""
    return tuple(_STRENGTH * one + 1 - _STRENGTH for one in to_rgb(color))
