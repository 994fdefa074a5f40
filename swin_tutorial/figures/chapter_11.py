"""The figures of chapter 11: a bias beyond its window, heads, a leak, depth."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from swin_tutorial.figures.maps import frame_tokens, write_on_token
from swin_tutorial.figures.style import ALLOWED, INK, PADDING, PALETTE, QUERY, TEXT, show

_CURVES = (
    ("-", INK, 3.2),
    ("--", PALETTE[1], 1.8),
    ("-", PALETTE[4], 1.8),
    (":", PALETTE[3], 2.4),
    ("-.", PALETTE[9], 1.8),
)


def beyond_the_window(
    biases: Mapping[str, Mapping[str, Float[Tensor, "offsets_h offsets_w"]]], window_size: int
) -> None:
    """Show what each way makes of some known biases, for the keys to the right of a query.

    Below each panel stands how far each curve is from the first.

    Args:
        biases: for each known bias, its name and a map of offsets by the name of the curve, the
            truth first, five curves at most.
        window_size: what the ways have seen; the offsets beyond it are new.
    """
    shared = {"sharex": True, "sharey": "row", "squeeze": False}
    figure, grid = plt.subplots(2, len(biases), figsize=(10.6, 5.2), height_ratios=(3, 2), **shared)
    for (top, bottom), (name, curves) in zip(grid.T, biases.items(), strict=True):
        truth = _to_the_right(next(iter(curves.values())))
        for (curve, table), (style, color, width) in zip(curves.items(), _CURVES, strict=False):
            values = _to_the_right(table)
            look = {"ls": style, "color": color, "lw": width}
            top.plot(range(len(values)), values, label=curve, **look)
            bottom.plot(range(len(values)), values - truth, **look)
        for axes in (top, bottom):
            axes.axvspan(0, window_size - 1, color=ALLOWED, zorder=0)
            axes.set(xlim=(0, len(truth) - 1), xticks=range(len(truth)))
        top.set_title(name)
        bottom.set_xlabel("distance to the key, in tokens")
        low = {"y": 0.03, "color": INK, "transform": top.get_xaxis_transform()}
        top.text(window_size - 1.1, s="seen", ha="right", **low)
        top.text(window_size - 0.9, s="new", ha="left", **low)
    grid[0, 0].set_ylabel("position bias")
    grid[1, 0].set_ylabel("error")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    on_white = {"frameon": True, "facecolor": "white", "framealpha": 1.0, "labelcolor": INK}
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), **on_white)
    names = ", ".join(next(iter(biases.values())))
    show(
        figure,
        f"Plots of position bias against distance, one for each of {len(biases)} known biases, "
        f"each with the curves {names}, and below it each curve's error. Up to distance "
        f"{window_size - 1} the networks lie on the truth. The stretched table falls half as fast "
        "from the start, and the padded one is right at first and then stays level.",
    )


def _to_the_right(table: Float[Tensor, "offsets_h offsets_w"]) -> Float[Tensor, "offsets"]:
    middle = len(table) // 2
    return table[middle, middle:]


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
    picture.set(xticks=[x + 0.5 for x in range(width)], xticklabels=range(width), xlabel="column")
    picture.set(yticks=[y + 0.5 for y in range(height)], yticklabels=range(height), ylabel="row")
    picture.tick_params(length=0)
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
        lines = {"color": PADDING, "lw": 0.6}
        axes.hlines(range(1, height), 0, width, **lines)
        axes.vlines(range(1, width), 0, height, **lines)
        top = divmod(int(map_of_head.argmax()), width)
        write_on_token(axes, top, f"{100 * float(map_of_head.max()):.0f}", 10.0)
        _outline(axes, query)
    show(
        figure,
        f"A picture of clothing cut into {height} by {width} tokens, one outlined in orange, and "
        f"{heads} small maps in shades of blue. In most maps one or two tokens are dark and the "
        "others nearly white.",
    )


def leak_of_a_mask(
    curves: Mapping[str, Mapping[float, float]], trained: float, added: int = -100
) -> None:
    """Show how much attention a finite mask lets through, against the scale of the cosine.

    Args:
        curves: for each case, its name and the share of the forbidden keys by scale.  Where half
            gets through in the first is marked.
        trained: the largest scale of a trained model, which is marked.
        added: what the mask adds to the scores of forbidden keys.
    """
    figure, axes = plt.subplots(figsize=(8.6, 3.2))
    for (name, shares), color in zip(curves.items(), (PALETTE[1], PALETTE[4]), strict=False):
        axes.plot(list(shares), [100 * share for share in shares.values()], color=color, label=name)
    axes.axvline(trained, color=INK, lw=0.9, ls="--")
    axes.text(trained + 0.6, 50, "largest scale in\nthe trained twin", color=INK, va="center")
    first = next(iter(curves.values()))
    half = min(first, key=lambda scale: abs(first[scale] - 0.5))
    axes.plot([half], [100 * first[half]], "o", color=INK, ms=5, zorder=3)
    axes.text(half + 1.2, 50, f"scale {half:g}: half", color=INK, va="center")
    scales = [scale for shares in curves.values() for scale in shares]
    axes.set(xlim=(min(scales), max(scales)), ylim=(0, 103), xlabel="scale of the cosine")
    axes.set_ylabel(f"% let through by {added}".replace("-", "\u2212"))
    figure.legend(loc="outside right center")
    ends = ", ".join(f"{name}: {list(shares.values())[-1]:.0%}" for name, shares in curves.items())
    show(
        figure,
        f"The share of attention that a mask of {added} lets through against the scale. It stays "
        f"near 0, then rises steeply to nearly everything. At scale {max(scales):g}: {ends}.",
    )


def over_depth(curves: Mapping[str, Sequence[float]]) -> None:
    """Show how large the activations are before the first block and after each, by name of curve.

    Curves of V1 and of others differ in color; those of trained models are solid.
    """
    figure, axes = plt.subplots(figsize=(9.4, 4.4))
    curves = dict(sorted(curves.items(), key=lambda curve: curve[1][-1]))
    highest = max(max(values) for values in curves.values())
    heights = _spread([values[-1] for values in curves.values()], highest / 17)
    for (name, values), label_height in zip(curves.items(), heights, strict=True):
        color = PALETTE[1] if name.startswith("V1") else PALETTE[4]
        style = "--" if "untrained" in name else "-"
        axes.plot(range(len(values)), values, style, color=color, lw=1.8, label=name)
        axes.annotate(
            name, (len(values) - 0.6, label_height), color=TEXT, va="center", annotation_clip=False
        )
    last = max(map(len, curves.values())) - 1
    axes.set(xlabel="after block", ylabel="size of the activations (RMS)", ylim=(0, None))
    axes.set(xlim=(0, last), xticks=range(0, last + 1, 4))
    ends = ", ".join(f"{name} {values[-1]:.1f}" for name, values in curves.items())
    show(
        figure,
        f"A plot of the size of activations against the number of the block. At the end: {ends}.",
    )


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move rising heights apart, around where they were, until neighbors differ by about a gap."""
    spread = list(heights)
    for _ in range(100):
        for i in range(1, len(spread)):
            missing = max(0.0, gap - (spread[i] - spread[i - 1]))
            spread[i - 1] -= missing / 2
            spread[i] += missing / 2
    return spread


def _outline(axes: Axes, token: tuple[int, int]) -> None:
    for color, line_width in (("white", 4.5), (QUERY, 2.5)):
        box = {"fill": False, "ec": color, "lw": line_width, "zorder": 3, "clip_on": False}
        axes.add_patch(Rectangle((token[1], token[0]), 1, 1, **box))
