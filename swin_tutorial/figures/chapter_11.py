"""The figures of chapter 11: a bias beyond its window, heads of a trained block, depth."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from swin_tutorial.figures.maps import frame_tokens, write_on_token
from swin_tutorial.figures.style import ALLOWED, INK, PALETTE, QUERY, show

_CURVES = (("-", INK, 3.2), ("--", PALETTE[1], 1.8), ("-", PALETTE[4], 1.8), (":", PALETTE[3], 2.4))


def beyond_the_window(
    biases: Mapping[str, Mapping[str, Float[Tensor, "offsets_h offsets_w"]]], window_size: int
) -> None:
    """Show what each way makes of some known biases, for the keys to the right of a query.

    Args:
        biases: for each known bias, its name and a map of offsets by the name of the curve, the
            truth first, four curves at most.
        window_size: what the ways have seen; the offsets beyond it are new.
    """
    figure, all_axes = plt.subplots(1, len(biases), figsize=(10.6, 3.5), sharey=True)
    for axes, (name, curves) in zip(all_axes, biases.items(), strict=True):
        axes.axvspan(0, window_size - 1, color=ALLOWED, zorder=0)
        for (curve, table), (style, color, width) in zip(curves.items(), _CURVES, strict=False):
            middle = len(table) // 2
            values = table[middle, middle:]
            axes.plot(range(len(values)), values, style, color=color, lw=width, label=curve)
        axes.set(title=name, xlabel="distance to the key, in tokens", xlim=(0, middle))
        axes.set_xticks(range(0, middle + 1, 3))
        axes.axvline(window_size - 1, color=INK, lw=0.8)
    axes = all_axes[0]
    axes.set_ylabel("position bias")
    top = axes.get_ylim()[1]
    axes.text((window_size - 1) / 2, top, "seen", ha="center", va="top", color=INK)
    axes.text(window_size - 0.6, top, "new", va="top")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    names = ", ".join(next(iter(biases.values())))
    show(
        figure,
        f"Plots of position bias against distance, one for each of {len(biases)} known biases, "
        f"each with the curves {names}. From distance 2 to {window_size - 1} the curves of the "
        "two networks lie near the truth; beyond it they leave it by different amounts. The "
        "stretched table's curve falls half as fast as the truth from the start.",
    )


def heads_of_a_query(
    image: Float[Tensor, "1 height width"],
    weights: Float[Tensor, "heads h w"],
    query: tuple[int, int],
) -> None:
    """Show an image in tokens and, for each head, how much a query attends to each of them.

    ``query`` is a row and a column; it is outlined.  The largest weight of each head is printed.
    """
    heads, height, width = weights.shape
    columns = 2 + heads // 2
    figure = plt.figure(figsize=(10.4, 3.9))
    places = figure.add_gridspec(2, columns)
    picture = figure.add_subplot(places[:, :2])
    picture.imshow(image[0].numpy(), cmap="gray", extent=(0, width, height, 0))
    frame_tokens(picture, (height, width), "the picture, and the query")
    _outline(picture, query)
    largest = float(weights.max())
    for head, map_of_head in enumerate(weights):
        row, column = divmod(head, heads // 2)
        axes = figure.add_subplot(places[row, 2 + column])
        options = {"cmap": "Blues", "vmin": 0, "vmax": largest, "extent": (0, width, height, 0)}
        axes.imshow(map_of_head.numpy(), **options)
        frame_tokens(axes, (height, width), f"head {head}")
        for spine in axes.spines.values():
            spine.set(visible=True, color=INK)
        top = divmod(int(map_of_head.argmax()), width)
        write_on_token(axes, top, f"{100 * float(map_of_head.max()):.0f}", 10.0)
        _outline(axes, query)
    show(
        figure,
        f"A picture of clothing cut into {height} by {width} tokens, one outlined in orange, and "
        f"{heads} small maps in shades of blue. In most maps one or two tokens are dark and the "
        "others nearly white.",
    )


def over_depth(curves: Mapping[str, Sequence[float]]) -> None:
    """Show how large the activations are after each block, a curve for each name."""
    figure, axes = plt.subplots(figsize=(8.6, 3.8))
    colors = (PALETTE[1], PALETTE[1], PALETTE[4], PALETTE[4])
    marks = ("o--", "o-", "s--", "s-")
    for (name, values), color, mark in zip(curves.items(), colors, marks, strict=True):
        face = "white" if "--" in mark else color
        blocks = range(1, len(values) + 1)
        axes.plot(blocks, values, mark, color=color, ms=4, lw=1.4, mfc=face, label=name)
    axes.set(xlabel="after block", ylabel="size of the activations (RMS)", ylim=(0, None))
    axes.set_xticks([1, *range(4, len(values) + 1, 4)])
    figure.legend(loc="outside right center")
    ends = ", ".join(f"{name} {values[-1]:.1f}" for name, values in curves.items())
    show(
        figure,
        f"A plot of the size of activations against the number of the block. At the end: {ends}.",
    )


def _outline(axes: Axes, token: tuple[int, int]) -> None:
    for color, line_width in (("white", 4.5), (QUERY, 2.5)):
        box = {"fill": False, "ec": color, "lw": line_width, "zorder": 3, "clip_on": False}
        axes.add_patch(Rectangle((token[1], token[0]), 1, 1, **box))
