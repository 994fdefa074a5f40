"""The figures of chapter 04: the leak, the learned bias, the block mask, the leads."""

from itertools import pairwise

import matplotlib as mpl
import matplotlib.patheffects
import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from torch import Tensor

from swin_tutorial.figures.masks import mask_legend
from swin_tutorial.figures.style import ALLOWED, FORBIDDEN, INK, PADDING, PALETTE, QUERY, show
from swin_tutorial.grid import WindowGrid

_EMPTY = "#F2F2F2"  # a token of another window
_OUTLINE = [matplotlib.patheffects.withStroke(linewidth=2, foreground=INK)]


def leak(
    picture: Float[Tensor, "height width"],
    grid: WindowGrid,
    window: int,
    query: int,
    off: Float[Tensor, "heads t"],
    on: Float[Tensor, "heads t"],
) -> None:
    """Show where one query's attention goes on the map, for each head, mask off above mask on.

    Args:
        picture: gray; its sides are multiples of the map's.
        grid: the map's windows.
        window, query: the window and the query's index in it.
        off, on: the query's weights without and with the mask.
    """
    heads = len(off)
    figure = plt.figure(figsize=(11, 4.9))
    spec = figure.add_gridspec(2, heads + 2, width_ratios=[1.15, 1.15, *[1] * heads])
    left = figure.add_subplot(spec[:, :2])
    _picture_of_query(left, picture, grid, window, query)
    forbidden = ~grid.mask()[window, query]
    for head in range(heads):
        for row, (name, weights) in enumerate((("off", off[head]), ("on", on[head]))):
            axes = figure.add_subplot(spec[row, head + 2])
            _weights_on_map(axes, grid, window, query, weights)
            share = float(weights[forbidden].sum())
            axes.set_title(f"head {head}, mask {name}\n{share:.0%} beyond the edge")
    shares = [f"{float(row[forbidden].sum()):.0%}" for row in off]
    show(
        figure,
        "Left a pullover on a grid of 8 by 8 tokens; the query, on its left shoulder, is outlined, "
        "and so are the other tokens of its window, in the four corners. Right, for each of "
        f"{heads} heads, the query's attention on that grid: without the mask "
        f"{', '.join(shares)} lie in the three other corners, with it nothing.",
    )


def bias_tables(table: Float[Tensor, "offsets heads"]) -> None:
    """Show the learned position bias of a square window as one heat map for each head."""
    offsets, heads = table.shape
    side = round(offsets**0.5)
    reach = side // 2
    figure, row = plt.subplots(1, heads, figsize=(11, 3.3), sharey=True)
    limit = float(table.abs().max())
    edges = (-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5)
    peaks = []
    for head, axes in enumerate(row):
        values = table[:, head].view(side, side)
        image = axes.imshow(values.numpy(), cmap="PuOr", vmin=-limit, vmax=limit, extent=edges)
        y, x = divmod(int(values.argmax()), side)
        axes.add_patch(
            Rectangle((x - reach - 0.5, y - reach - 0.5), 1, 1, fill=False, ec=INK, lw=2)
        )
        peaks.append(f"{float(values.max()):+.1f} at ({y - reach}, {x - reach})".replace("-", "−"))
        axes.set_title(f"head {head}\nlargest {peaks[-1]}")
        axes.set(xticks=range(-reach, reach + 1), yticks=range(-reach, reach + 1))
        axes.set_xlabel("columns, query − key")
        axes.spines[:].set_visible(False)
    row[0].set_ylabel("rows, query − key")
    figure.colorbar(image, ax=row, shrink=0.75, label="added to the score")
    show(
        figure,
        f"{heads} heat maps of {side} by {side} offsets, each with its largest entry outlined: "
        f"{'; '.join(peaks)}.",
    )


def block_mask(
    mask: Bool[Tensor, "tokens tokens"], true_window: Int[Tensor, "tokens"], width: int
) -> None:
    """Show a whole map's mask, its tokens in the map's order and sorted by true window."""
    order = true_window.argsort(stable=True)
    numbers = true_window.unique(return_inverse=True)[1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5.2))
    rows = torch.arange(len(mask)) // width
    _draw_large_mask(left, mask, rows, "tokens in the order of the map", "row of the map")
    _draw_large_mask(
        right,
        mask[order][:, order],
        numbers[order],
        "the same, sorted by true window",
        "true window",
    )
    mask_legend(figure, loc="outside lower center", ncols=2)
    sizes = ", ".join(map(str, numbers.bincount().tolist()))
    show(
        figure,
        f"Two matrices of {len(mask)} by {len(mask)} tokens. Left, small light squares repeated "
        "along the rows of the map, in three separate bands. Right, light squares along the "
        f"diagonal and nothing else, of {sizes} tokens.",
    )


def leads(values: Float[Tensor, "n"], discount: float = 100.0) -> None:
    """Show how far forbidden keys lead, as a histogram, beside the lead that −100 makes up for."""
    figure, axes = plt.subplots(figsize=(9, 3))
    ahead, behind = values[values > 0], values[values <= 0]
    bins = torch.arange(-12, 13).tolist()
    axes.hist(behind.numpy(), bins, color=PADDING, label="an allowed key has the best score")
    axes.hist(ahead.numpy(), bins, color=PALETTE[1], label="a forbidden key has the best score")
    axes.axvline(discount, color=PALETTE[4], lw=2, ls="--")
    text = mpl.rcParams["text.color"]
    middle = 0.5 * len(ahead) ** 0.5
    axes.annotate(
        f"largest lead {float(values.max()):.1f}",
        (float(values.max()), 2),
        (float(values.max()) + 9, 30),
        arrowprops={"arrowstyle": "->", "color": text},
        va="center",
    )
    axes.text(discount - 2, middle, "here −100 starts to fail", ha="right", va="center")
    axes.set(
        yscale="log", xlim=(-14, 108), xlabel="lead of the best forbidden score", ylabel="queries"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.55, 1.0))
    show(
        figure,
        f"A histogram of leads between {float(values.min()):.0f} and {float(values.max()):.0f}, "
        f"most of them above 0, and far to the right a line at {discount:.0f}.",
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
        (x + 2.2, y + 2.2),
        color="white",
        fontsize=11,
        path_effects=_OUTLINE,
        arrowprops={"arrowstyle": "->", "color": QUERY, "lw": 2.5},
    )
    axes.set(xticks=range(width + 1), yticks=range(height + 1))
    axes.set_title(f"the picture, {height} × {width} tokens\nblue: the tokens of one rolled window")
    axes.spines[:].set_visible(False)


def _weights_on_map(
    axes: Axes, grid: WindowGrid, window: int, query: int, weights: Float[Tensor, "t"]
) -> None:
    """Draw a query's weights where its keys stand, and write the share of each piece beside it."""
    height, width = grid.size
    axes.add_patch(Rectangle((0, 0), width, height, fc=_EMPTY, ec=PADDING, lw=0.8))
    color_of = mpl.colormaps["Blues"]
    shares: dict[tuple[int, int, int, int], float] = dict.fromkeys(_pieces(grid, window), 0.0)
    for index, weight in enumerate(weights.tolist()):
        y, x = grid.origin(window, index)
        color = color_of(min(1.0, 0.08 + weight))
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


def _draw_large_mask(
    axes: Axes, mask: Bool[Tensor, "t t"], labels: Int[Tensor, "t"], title: str, name: str
) -> None:
    """Draw a mask of many tokens, without lines between them; label each run of equal labels."""
    tokens = len(mask)
    colors = ListedColormap([FORBIDDEN, ALLOWED])
    axes.imshow(mask.int().numpy(), cmap=colors, vmin=0, vmax=1, extent=(0, tokens, tokens, 0))
    names, lengths = labels.unique_consecutive(return_counts=True)
    ends = [0, *lengths.cumsum(0).tolist()]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([(start + end) / 2 for start, end in pairwise(ends)], names.tolist())
        axis.set_ticks(ends, minor=True)
    axes.tick_params(length=0)
    axes.tick_params(which="minor", length=6)
    axes.set(title=title, xlabel=f"key: {name}", ylabel=f"query: {name}")
    axes.spines[:].set_visible(False)
