"""The figures of chapter 06: the model, a block, patch merging, answers, reach, a pyramid.

Every picture is measured or computed: the maps are a trained model's, the masks a grid's.
"""

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import reduce
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from torch import Tensor

from swin_tutorial.data.photographs import photograph, photograph_tokens
from swin_tutorial.figures.maps import picture
from swin_tutorial.figures.style import (
    ALLOWED,
    FORBIDDEN,
    INK,
    PALETTE,
    QUERY,
    region_color,
    show,
)
from swin_tutorial.grid import WindowGrid
from swin_tutorial.model import SwinTransformer

Length = float | int  # inches
PLAIN, SHIFTED = ALLOWED, PALETTE[0]  # blocks with plain and with shifted windows
CHANNELS = (PALETTE[0], PALETTE[2], PALETTE[6], PALETTE[1])  # of the four tokens that are merged
MONO = {"family": "DejaVu Sans Mono", "fontsize": 9}
SMALL = {"fontsize": 9}


# --- 6.1: from pixels to classes ---


@torch.no_grad()
def architecture(
    model: SwinTransformer, image: Float[Tensor, "1 channels h w"], classes: Sequence[str]
) -> None:
    """Draw a model of three stages from pixels to classes, with the maps that it makes of an image.

    Args:
        model: a trained model.
        image: what it looks at.
        classes: their names.
    """
    figure, axes = canvas(11, 3.9)
    maps = model.features(image)
    names = [f"{m.shape[1]} × {m.shape[2]} × {m.shape[3]}" for m in maps]
    middle = 2.3
    edge = draw_slab(axes, 0.08, middle, 1.35, 0, image[0, 0].numpy(), "gray")
    write(
        axes, 0.755, 3.3, f"{image.shape[2]} × {image.shape[3]} × {image.shape[1]}", weight="bold"
    )
    write(axes, 0.755, 3.53, "pixels")
    for stage, (side, depth) in enumerate([(1.35, 0.12), (1.0, 0.24), (0.65, 0.48)]):
        arrow(axes, edge + 0.08, edge + 0.76, middle, "patch\nmerging" if stage else "patch\nembed")
        left, blocks = edge + 0.84, model.layers[stage].blocks
        edge = draw_slab(axes, left, middle, side, depth, strength(maps[stage]), "viridis")
        center = (left + edge) / 2
        write(axes, center, 3.3, names[stage], weight="bold")
        write(axes, center, 3.53, f"stage {stage}")
        shifts = [any(block.grid(maps[stage]).effective_shift) for block in blocks]
        draw_blocks(axes, center, 0.96, shifts)
        write(axes, center, 0.72, f"layers.{stage}", **MONO)
    arrow(axes, edge + 0.08, edge + 0.62, middle, "norm,\nmean")
    pooled = reduce(model.forward_features(image), "1 h w c -> c 1", "mean").numpy()
    left, right = edge + 0.7, edge + 0.84
    axes.imshow(
        pooled, extent=(left, right, middle - 0.675, middle + 0.675), cmap="viridis", aspect="auto"
    )
    write(axes, left + 0.07, 3.3, f"{len(pooled)}", weight="bold")
    arrow(axes, right + 0.08, right + 0.54, middle, "head")
    draw_scores(axes, right + 0.62, middle, model(image).softmax(1)[0].tolist(), classes)
    write(axes, right + 1.1, 3.3, f"{len(classes)}", weight="bold")
    write(axes, right + 1.1, 3.53, "classes")
    for x, color, words in (
        (2.4, PLAIN, "block: plain windows (W-MSA)"),
        (6.0, SHIFTED, "block: shifted windows (SW-MSA)"),
    ):
        axes.add_patch(block_box(x, 0.12, color))
        write(axes, x + 0.4, 0.25, words, ha="left")
    show(
        figure,
        "A gray picture of a sneaker becomes a map of 16 by 16 tokens with 32 channels, then 8 by "
        "8 with 64 and 4 by 4 with 128, passes 2, 6 and 2 blocks, and ends in ten bars. The one "
        "for sneaker is by far the longest.",
    )


def strength(tokens: Float[Tensor, "1 h w c"]) -> Float[np.ndarray, "h w"]:
    """Return how much each token differs from the mean token of its map."""
    return (tokens - tokens.mean((1, 2), keepdim=True)).norm(dim=-1)[0].numpy()


def draw_slab(
    axes: Axes,
    left: Length,
    middle: Length,
    side: Length,
    depth: Length,
    values: np.ndarray,
    cmap: str,
) -> Length:
    """Draw a map as the front of a box as deep as it has channels; return where it ends."""
    bottom, top, right = middle - side / 2, middle + side / 2, left + side
    back = np.array([depth, 0.45 * depth])
    for corners in (
        [(left, top), (right, top)],
        [(right, top), (right, bottom)],
    ):
        face = [*corners, *(np.array(corner) + back for corner in reversed(corners))]
        shade = "#D5D8DC" if corners[0][0] == left else "#A9AFB6"
        axes.add_patch(Polygon(face, closed=True, fc=shade, ec=INK, lw=0.8))
    axes.imshow(values, extent=(left, right, bottom, top), cmap=cmap, interpolation="nearest")
    axes.add_patch(Rectangle((left, bottom), side, side, fill=False, ec=INK, lw=1))
    return right + depth


def draw_blocks(axes: Axes, center: Length, bottom: Length, shifts: Sequence[bool]) -> None:
    """Draw the blocks of a stage in a row."""
    for i, shifted in enumerate(shifts):
        left = center + 0.34 * (i - len(shifts) / 2) + 0.03
        axes.add_patch(block_box(left, bottom, SHIFTED if shifted else PLAIN))
        write(axes, left + 0.14, bottom + 0.13, str(i), color=INK)


def block_box(left: Length, bottom: Length, color: str) -> Rectangle:
    return Rectangle((left, bottom), 0.28, 0.28, fc=color, ec=INK, lw=1)


def draw_scores(
    axes: Axes,
    left: Length,
    middle: Length,
    probabilities: Sequence[float],
    classes: Sequence[str],
) -> None:
    """Draw a bar for each class, its name beside it."""
    best = int(np.argmax(probabilities))
    for i, (share, name) in enumerate(zip(probabilities, classes, strict=True)):
        y = middle + 0.16 * (len(classes) / 2 - i - 0.5)
        color = QUERY if i == best else "#9AA0A6"
        axes.add_patch(Rectangle((left + 0.9, y - 0.055), max(0.45 * share, 0.01), 0.11, fc=color))
        weight = "bold" if i == best else "normal"
        write(axes, left + 0.86, y - 0.01, name, ha="right", weight=weight)
        if i == best:
            write(axes, left + 0.94 + 0.45 * share, y, f"{share:.0%}", ha="left", weight=weight)


# --- 6.2: a block ---


def block() -> None:
    """Draw a block with its two branches and, below, what its window attention does to a map."""
    figure, axes = canvas(11, 4.35)
    draw_branches(axes, 3.4)
    draw_window_attention(axes)
    show(
        figure,
        "Above, a line from left to right with two branches that are added back to it: norm1 and "
        "window attention, norm2 and mlp. Below, the steps of window attention on a map of nine "
        "colored regions: roll, cut, attend under four masks, glue, roll back.",
    )


def draw_branches(axes: Axes, y: Length) -> None:
    line = {"color": mpl.rcParams["text.color"], "lw": 1.6, "solid_capstyle": "round"}
    axes.plot([0.7, 10.3], [y, y], **line)
    axes.add_patch(rightward(10.2, 10.6, y, 1.6))
    write(axes, 0.5, y, "x", fontsize=12, weight="bold")
    for start, end, boxes in (
        (1.1, 5.9, [(1.5, 0.8, "norm1"), (2.6, 2.6, "attend_in_windows")]),
        (6.5, 9.6, [(6.9, 0.8, "norm2"), (8.0, 0.9, "mlp")]),
    ):
        axes.plot([start, start, end, end], [y, y + 0.6, y + 0.6, y + 0.14], **line)
        for left, width, name in boxes:
            color = SHIFTED if "window" in name else PLAIN
            axes.add_patch(
                FancyBboxPatch(
                    (left, y + 0.4), width, 0.4, boxstyle="round,pad=0,rounding_size=0.08",
                    fc=color, ec=INK, lw=1, zorder=3,
                )
            )  # fmt: skip
            axes.text(
                left + width / 2,
                y + 0.6,
                name,
                ha="center",
                va="center",
                zorder=4,
                color=INK,
                **MONO,
            )
        axes.add_patch(mpl.patches.Circle((end, y), 0.14, fc="white", ec=INK, lw=1.2, zorder=3))
        axes.text(end, y - 0.01, "+", ha="center", va="center", zorder=4, color=INK, fontsize=12)
    for x, corner in ((0.3, 2.6), (10.7, 5.2)):
        axes.plot([corner, x], [y + 0.4, 2.75], ls=":", lw=1, color=line["color"], zorder=1)


def draw_window_attention(axes: Axes) -> None:
    """Draw the six pictures of window attention in a row: 8 x 8 tokens, windows of 4, shift 2."""
    grid = WindowGrid((8, 8), 4, 2)
    rolled = grid.region_ids()
    home = rolled.roll((2, 2), (0, 1))
    side, step, bottom = 1.25, 1.83, 1.05
    lefts = [0.3 + i * step for i in range(6)]
    for left, ids, gap in (
        (lefts[0], home, 0),
        (lefts[1], rolled, 0),
        (lefts[2], rolled, 0.1),
        (lefts[4], rolled, 0),
        (lefts[5], home, 0),
    ):
        draw_colored(axes, left, bottom, side, ids, gap)
    for number, mask in enumerate(grid.mask()):
        row, column = divmod(number, 2)
        draw_small_mask(axes, lefts[3] + 0.67 * column, bottom + 0.67 * (1 - row), 0.58, mask)
    for i, name in enumerate(["roll(x, 2)", "cut", "self.attn", "glue", "roll(x, -2)"]):
        left = lefts[i] + side + (0.04 if i != 2 else 0.08)
        axes.add_patch(rightward(left, lefts[i + 1] - 0.06, bottom + side / 2))
        write(axes, (lefts[i] + side + lefts[i + 1]) / 2, bottom - 0.2, name, **MONO)
    for i, words in enumerate(
        ["the map", "rolled", "four windows", "a mask for each", "one map", "in its place"]
    ):
        write(axes, lefts[i] + side / 2, bottom + side + 0.2, words)
    for color, x, words in ((ALLOWED, 3.6, "may attend"), (FORBIDDEN, 5.4, "masked")):
        axes.add_patch(Rectangle((x, 0.28), 0.2, 0.2, fc=color, ec=INK, lw=0.8))
        write(axes, x + 0.3, 0.37, words, ha="left")


def draw_colored(
    axes: Axes, left: Length, bottom: Length, side: Length, ids: Int[Tensor, "h w"], gap: Length
) -> None:
    """Draw a map's regions in flat colors with their numbers, its four windows ``gap`` apart."""
    height, width = ids.shape
    cell = side / height

    def place(y: Length, x: Length) -> tuple[Length, Length]:
        """Return where a token's lower left corner is drawn."""
        right, down = gap * (x >= width / 2) - gap / 2, gap * (y >= height / 2) - gap / 2
        return left + x * cell + right, bottom + side - (y + 1) * cell - down

    for y, row in enumerate(ids.tolist()):
        for x, region in enumerate(row):
            style = {"fc": region_color(region), "ec": "white", "lw": 0.4}
            axes.add_patch(Rectangle(place(y, x), cell, cell, **style))
    for region in ids.unique().tolist():
        y, x = (ids == region).nonzero().float().mean(0).tolist()
        x_left, y_bottom = place(y, x)
        numbered(axes, (x_left + cell / 2, y_bottom + cell / 2), str(region), 9)


def draw_small_mask(
    axes: Axes, left: Length, bottom: Length, side: Length, mask: Bool[Tensor, "t t"]
) -> None:
    colors = mpl.colors.ListedColormap([FORBIDDEN, ALLOWED])
    extent = (left, left + side, bottom, bottom + side)
    axes.imshow(mask.numpy(), extent=extent, cmap=colors, vmin=0, vmax=1, interpolation="nearest")
    axes.add_patch(Rectangle((left, bottom), side, side, fill=False, ec=INK, lw=0.8))


# --- 6.3: patch merging ---


def merging() -> None:
    """Draw how four tokens become one: which four, in which order, and their channels."""
    figure, axes = canvas(11, 3.8)
    tokens = photograph_tokens("coffee", 6, 6)
    side, bottom, left = 2.4, 0.8, 0.15
    cell = side / 6
    axes.imshow(picture(tokens), extent=(left, left + side, bottom, bottom + side))
    draw_lattice(axes, left, bottom, side, 6)
    group = (2, 2)  # row and column of the upper left token
    corner = (left + group[1] * cell, bottom + side - (group[0] + 2) * cell)
    axes.add_patch(Rectangle(corner, 2 * cell, 2 * cell, fill=False, ec=QUERY, lw=3, zorder=5))
    write(axes, left + side / 2, 3.5, "6 × 6 tokens, C channels", weight="bold")
    places = ("upper left", "lower left", "upper right", "lower right")
    for i, place in enumerate(places):
        column, row = divmod(i, 2)
        y = 2.74 - 0.64 * i
        number = (
            left + (group[1] + column + 0.5) * cell,
            bottom + side - (group[0] + row + 0.5) * cell,
        )
        numbered(axes, number, str(i))
        patch = picture(tokens[:, group[0] + row :, group[1] + column :][:, :1, :1])
        axes.imshow(patch, extent=(3.3, 3.76, y, y + 0.46))
        axes.add_patch(Rectangle((3.3, y), 0.46, 0.46, fill=False, ec=CHANNELS[i], lw=3))
        numbered(axes, (3.53, y + 0.23), str(i))
        write(axes, 3.9, y + 0.23, place, ha="left")
    axes.add_patch(rightward(2.62, 3.18, 2.0))
    write(axes, 3.9, 3.5, "in this order", weight="bold")
    axes.add_patch(rightward(4.78, 5.25, 2.0))
    draw_channels(axes, 5.35, 2.0, CHANNELS)
    write(axes, 5.5, 3.5, "4C", weight="bold")
    write(axes, 5.5, 0.55, "torch.cat", **MONO)
    axes.add_patch(rightward(5.72, 6.24, 2.0))
    draw_channels(axes, 6.34, 2.0, CHANNELS)
    write(axes, 6.49, 3.5, "4C", weight="bold")
    write(axes, 6.49, 0.55, "norm", **MONO)
    axes.add_patch(
        Polygon(
            [(6.75, 3.2), (6.75, 0.8), (7.55, 1.4), (7.55, 2.6)],
            closed=True,
            fc=PLAIN,
            ec=INK,
            lw=1,
        )
    )
    axes.text(7.15, 2.0, "linear,\nno bias", ha="center", va="center", color=INK, fontsize=9)
    write(axes, 7.2, 0.55, "reduction", **MONO)
    axes.add_patch(Rectangle((7.64, 1.4), 0.3, 1.2, fc=PALETTE[4], ec=INK, lw=1))
    write(axes, 7.79, 3.5, "2C", weight="bold")
    axes.add_patch(rightward(8.02, 8.5, 2.0))
    left = 8.62
    for row in range(3):
        for column in range(3):
            chosen = (row, column) == (1, 1)
            axes.add_patch(
                Rectangle(
                    (left + 0.72 * column, 3.08 - 0.72 * (row + 1)),
                    0.72,
                    0.72,
                    fc=PALETTE[4] if chosen else "#C9CCD1",
                    ec="white",
                    lw=1.5,
                )
            )
    axes.add_patch(Rectangle((left + 0.72, 3.08 - 1.44), 0.72, 0.72, fill=False, ec=QUERY, lw=3))
    write(axes, left + 1.08, 3.5, "3 × 3 tokens, 2C channels", weight="bold")
    show(
        figure,
        "A photograph of a cup in 6 by 6 tokens. Four of them, 0 upper left, 1 lower left, "
        "2 upper right, 3 lower right, are stacked to a bar of 4C channels, normalized, and mapped "
        "by a linear layer to a bar of 2C channels: one token of a map of 3 by 3.",
    )


def draw_lattice(axes: Axes, left: Length, bottom: Length, side: Length, tokens: int) -> None:
    for i in range(tokens + 1):
        heavy = i % 2 == 0
        style = {"color": "white", "lw": 2 if heavy else 0.7}
        at = i * side / tokens
        axes.plot([left, left + side], [bottom + at] * 2, **style)
        axes.plot([left + at] * 2, [bottom, bottom + side], **style)


def draw_channels(axes: Axes, left: Length, middle: Length, colors: Sequence[str]) -> None:
    """Draw a token's channels as a bar with a segment for each color, the first above."""
    for i, color in enumerate(colors):
        y = middle + 0.6 * (len(colors) / 2 - i - 1)
        axes.add_patch(Rectangle((left, y), 0.3, 0.6, fc=color, ec=INK, lw=1))
        numbered(axes, (left + 0.15, y + 0.3), str(i))


# --- 6.4: what the reader's model answers ---


def answers(
    images: Float[Tensor, "n 1 h w"],
    truth: Int[Tensor, "n"],
    probabilities: Float[Tensor, "n classes"],
    classes: Sequence[str],
) -> None:
    """Draw eight pictures, each with the three classes that a model finds most probable."""
    figure = plt.figure(figsize=(11, 3.3))
    cells = figure.subplots(2, 8, width_ratios=[1, 1.35] * 4)
    for axes, bars, image, label, shares in zip(
        cells[:, 0::2].flat, cells[:, 1::2].flat, images, truth, probabilities, strict=True
    ):
        axes.imshow(image[0].numpy(), cmap="gray")
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        draw_three_best(bars, shares, int(label), classes)
    show(
        figure,
        "Eight pictures of clothes, beside each the three most probable classes as bars. Six are "
        "right with about 91 percent, a coat with 59, and one sneaker is taken for an ankle boot.",
    )


def draw_three_best(
    axes: Axes, shares: Float[Tensor, "classes"], truth: int, classes: Sequence[str]
) -> None:
    best = shares.topk(3)
    for y, (share, number) in enumerate(
        zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ):
        color = QUERY if y == 0 else "#9AA0A6"
        axes.add_patch(Rectangle((0, y + 0.1), max(share, 0.005), 0.26, fc=color))
        weight = "bold" if y == 0 else "normal"
        axes.text(0, y, classes[number], va="bottom", weight=weight, **SMALL)
        axes.text(share + 0.03, y + 0.24, f"{share:.0%}", va="center", **SMALL)
    if best.indices[0] != truth:
        axes.text(
            0, 3.25, f"✗ it is a {classes[truth].lower()}", va="center", weight="bold", **SMALL
        )
    axes.set(xlim=(0, 1.3), ylim=(3.5, -0.1))
    axes.axis("off")


# --- 6.5: how far a token sees ---


def reach_rows(
    plain: Sequence[Bool[Tensor, "h w"]],
    shifted: Sequence[Bool[Tensor, "h w"]],
    token: tuple[int, int],
) -> None:
    """Draw what one token depends on after each of six blocks, without and with the shift.

    Args:
        plain, shifted: after each block, which tokens of the first map count.
        token: its row and column on the first map; it is outlined.
    """
    figure, rows = plt.subplots(2, 6, figsize=(11, 4.5))
    height, width = plain[0].shape
    image = photograph("chelsea", 5 * height, 5 * width).numpy()
    for row, seen, name in zip(rows, (plain, shifted), ("no shift", "with the shift"), strict=True):
        for i, (axes, reached) in enumerate(zip(row, seen, strict=True)):
            axes.imshow(image, extent=(0, width, height, 0))
            dark = np.zeros((height, width, 4))
            dark[..., 3] = np.where(reached.numpy(), 0, 0.8)
            axes.imshow(dark, extent=(0, width, height, 0), interpolation="nearest")
            size = 2 ** (i // 2)  # of the merged token, in tokens of the first map
            corner = (token[1] // size * size, token[0] // size * size)
            axes.add_patch(Rectangle(corner, size, size, fill=False, ec=QUERY, lw=1.8))
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel(f"{reached.float().mean():.0%} of the map", fontsize=9.5)
            if seen is plain:
                axes.set_title(f"stage {i // 2}, block {i % 2}")
        row[0].set_ylabel(name, fontsize=10.5, weight="bold")
    show(
        figure,
        "Two rows of six photographs of a cat, dark where a token near the middle sees nothing. "
        "Above, without the shift, its bright square grows only when tokens are merged. Below, "
        "with the shift, it grows at every block until the whole cat is bright.",
    )


# --- 6.6: a pyramid of maps ---


def pyramid() -> None:
    """Draw the sizes of Swin-T's four maps: a photograph in as many squares as there are tokens."""
    figure, row = plt.subplots(1, 4, figsize=(11, 3.35))
    image = photograph("chelsea", 224, 224)
    for stage, axes in enumerate(row):
        patch = 4 * 2**stage
        side = 224 // patch
        mosaic = reduce(image, "(h p) (w q) rgb -> h w rgb", "mean", p=patch, q=patch)
        axes.imshow(mosaic.numpy(), extent=(0, side, side, 0), interpolation="nearest")
        cuts = range(7, side, 7)
        axes.hlines(cuts, 0, side, color="white", lw=1.6)
        axes.vlines(cuts, 0, side, color="white", lw=1.6)
        axes.set(xticks=[], yticks=[], title=f"stage {stage}: {side} × {side} × {96 * 2**stage}")
        windows = (side // 7) ** 2
        axes.set_xlabel(f"{patch} px a token, {windows} window{'s' * (windows > 1)}")
    show(
        figure,
        "A cat's photograph in squares of one color, 56, 28, 14 and 7 a side. Windows of 7 by 7 "
        "squares are outlined: 64, 16, 4 and 1.",
    )


# --- one canvas, a few marks ---


def canvas(width: Length, height: Length) -> tuple[Figure, Axes]:
    """Return an empty figure whose axes are in inches."""
    figure = plt.figure(figsize=(width, height), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_autoscale_on(False)
    return figure, axes


def write(axes: Axes, x: Length, y: Length, words: str, **options) -> None:
    axes.text(x, y, words, **{"ha": "center", "va": "center", "fontsize": 9.5} | options)


def numbered(axes: Axes, place: tuple[Length, Length], number: str, font_size: Length = 11) -> None:
    """Write a number that is legible on any picture."""
    stroke = mpl.patheffects.withStroke(linewidth=2.2, foreground=INK)
    style = {"fontsize": font_size, "weight": "bold", "color": "white", "path_effects": [stroke]}
    axes.text(*place, number, ha="center", va="center", zorder=6, **style)


def rightward(start: Length, end: Length, y: Length, line_width: Length = 1) -> FancyArrowPatch:
    return FancyArrowPatch(
        (start, y),
        (end, y),
        arrowstyle="-|>",
        mutation_scale=14,
        shrinkA=0,
        shrinkB=0,
        color=mpl.rcParams["text.color"],
        lw=line_width,
    )


def arrow(axes: Axes, start: Length, end: Length, y: Length, words: str) -> None:
    """Draw an arrow to the right with words above it."""
    axes.add_patch(rightward(start, end, y))
    write(axes, (start + end) / 2, y + 0.1, words, va="bottom")
