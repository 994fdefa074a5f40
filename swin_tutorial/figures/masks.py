"""Who attends to whom: a window's mask, the keys of one query, and their weights."""

from itertools import pairwise

from jaxtyping import Bool, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from swin_tutorial.figures.maps import frame_tokens, write_on_token
from swin_tutorial.figures.style import ALLOWED, FORBIDDEN, PALETTE, QUERY, TEXT


def draw_mask(
    axes: Axes,
    mask: Bool[Tensor, "q k"],
    title: str = "",
    labels: Int[Tensor, "t"] | None = None,
) -> None:
    """Draw one window's mask: queries down, keys across; dark = may not attend.

    ``labels`` (the region of each token, say) stand along both sides, once for each run of equals,
    between two ticks.
    """
    queries, keys = mask.shape
    colors = ListedColormap([FORBIDDEN, ALLOWED])
    axes.imshow(mask.int().numpy(), cmap=colors, vmin=0, vmax=1, extent=(0, keys, queries, 0))
    frame_tokens(axes, (queries, keys), title)
    axes.set_xlabel("key")
    axes.set_ylabel("query")
    if labels is not None:
        names, lengths = labels.unique_consecutive(return_counts=True)
        ends = [0, *lengths.cumsum(0).tolist()]
        middles = [(start + end) / 2 for start, end in pairwise(ends)]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(middles, names.tolist(), fontsize=min(9.0, 120 / len(names)))
            axis.set_ticks(ends, minor=True)
        axes.tick_params(length=0)
        axes.tick_params(which="minor", length=5)


def mask_legend(where: Axes | Figure, **options) -> None:
    """Explain the two colors of ``draw_mask``."""
    handles = [
        Patch(fc=ALLOWED, ec=TEXT, label="may attend (adds 0)"),
        Patch(fc=FORBIDDEN, ec=TEXT, label="may not (adds −∞)"),
    ]
    where.legend(handles=handles, **options)


def draw_attended(
    axes: Axes,
    query: tuple[int, int],
    allowed: Bool[Tensor, "h w"],
    forbidden: Bool[Tensor, "h w"] | None = None,
) -> None:
    """Mark a query with a star, the keys that it may attend to with dots, the others with crosses.

    ``query`` is (row, column); ``forbidden`` are the keys that share its window but not its region.
    """
    font_size = min(11.0, 240 / max(allowed.shape))  # smaller signs where tokens are small
    for y, x in allowed.nonzero().tolist():
        axes.add_patch(Rectangle((x, y), 1, 1, fc=(*to_rgb(PALETTE[0]), 0.55), ec="white", lw=0.6))
        if (y, x) != tuple(query):
            write_on_token(axes, (y, x), "●", 0.73 * font_size)
    for y, x in forbidden.nonzero().tolist() if forbidden is not None else ():
        axes.add_patch(Rectangle((x, y), 1, 1, fc=(*to_rgb(FORBIDDEN), 0.6), ec="white", lw=0.6))
        write_on_token(axes, (y, x), "×", font_size)
    y, x = query
    line_width = min(2.5, font_size / 4)
    axes.add_patch(Rectangle((x, y), 1, 1, fc=(*to_rgb(QUERY), 0.5), ec=QUERY, lw=line_width))
    write_on_token(axes, (y, x), "★", font_size)


def draw_weights(
    axes: Axes,
    values: Shaped[Tensor, "h w"],
    title: str = "",
    percent: bool = True,
    query: tuple[int, int] | None = None,
    largest: float | None = None,
) -> None:
    """Print a number on every token of a window, darker for more.

    With ``percent`` the values are attention weights, between 0 and 1, and a weight of exactly 0 is
    a cross.  A star marks ``query``.  ``largest`` is the value of the darkest blue, by default a
    little more than the largest value.
    """
    height, width = values.shape
    axes.imshow(
        values.numpy(),
        cmap="Blues",
        extent=(0, width, height, 0),
        vmin=0,
        vmax=largest or 1.2 * float(values.max()),
    )
    frame_tokens(axes, (height, width), title)
    for y, row in enumerate(values.tolist()):
        for x, value in enumerate(row):
            text = f"{value:.0%}" if percent else f"{value:.0f}"
            text = "×" if percent and value == 0 else text
            write_on_token(axes, (y, x), text + ("★" if query == (y, x) else ""), 11.0)
