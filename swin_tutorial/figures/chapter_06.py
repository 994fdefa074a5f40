"""The figures of chapter 06: the model, a block, patch merging, reach, a pyramid, answers.

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
CHANNELS = ("#E6E8EB", "#C2C6CC", "#9AA0A6", "#70767D")  # of the four tokens that are merged
MONO = {"family": "DejaVu Sans Mono", "fontsize": 9}
SMALL = {"fontsize": 9}


# --- 6.1: from pixels to classes ---


@torch.no_grad()
def architecture(
    model: SwinTransformer, image: Float[Tensor, "1 channels h w"], classes: Sequence[str]
) -> None:
    """Draw a model of three stages from pixels to classes, with the maps that it makes of an image.

    What it answers is left out.

    Args:
        model: a trained model.
        image: what it looks at.
        classes: their names.
    """
    figure, axes = canvas(11, 3.9)
    maps = model.features(image)
    names = [f"{m.shape[1]} × {m.shape[2]} × {m.shape[3]}" for m in maps]
    middle, side = 2.3, 1.3
    edge = draw_slab(axes, 0.08, middle, side, 0, image[0, 0].numpy(), "gray")
    write(
        axes, 0.73, 3.47, f"{image.shape[2]} × {image.shape[3]} × {image.shape[1]}", weight="bold"
    )
    write(axes, 0.73, 3.7, "pixels")
    for stage, depth in enumerate((0.12, 0.24, 0.48)):
        arrow(axes, edge + 0.06, edge + 0.68, middle, "patch\nmerging" if stage else "patch\nembed")
        left, blocks = edge + 0.76, model.layers[stage].blocks
        edge = draw_slab(axes, left, middle, side, depth, strength(maps[stage]), "viridis")
        center = (left + edge) / 2
        write(axes, center, 3.47, names[stage], weight="bold")
        write(axes, center, 3.7, f"stage {stage}")
        shifts = [any(block.grid(maps[stage]).effective_shift) for block in blocks]
        draw_blocks(axes, center, 0.96, shifts)
        write(axes, center, 0.72, f"layers.{stage}", **MONO)
    arrow(axes, edge + 0.06, edge + 0.6, middle, "norm,\nmean")
    pooled = reduce(model.forward_features(image), "1 h w c -> c 1", "mean").numpy()
    left, right = edge + 0.68, edge + 0.82
    axes.imshow(
        pooled, extent=(left, right, middle - 0.675, middle + 0.675), cmap="viridis", aspect="auto"
    )
    write(axes, left + 0.07, 3.47, f"{len(pooled)}", weight="bold")
    arrow(axes, right + 0.06, right + 0.52, middle, "head")
    draw_classes(axes, right + 0.6, middle, classes)
    write(axes, right + 1.1, 3.47, f"{len(classes)}", weight="bold")
    write(axes, right + 1.1, 3.7, "classes")
    for x, color, words in (
        (2.7, PLAIN, "block with plain windows"),
        (6.0, SHIFTED, "block with shifted windows"),
    ):
        axes.add_patch(block_box(x, 0.12, color))
        write(axes, x + 0.4, 0.25, words, ha="left")
    show(
        figure,
        "A gray picture of a sneaker becomes a map of 16 by 16 tokens with 32 channels, then 8 by "
        "8 with 64 and 4 by 4 with 128, passes 2, 6 and 2 blocks, and ends in the names of ten "
        "classes, a question mark beside each.",
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


def draw_classes(axes: Axes, left: Length, middle: Length, classes: Sequence[str]) -> None:
    """Write the name of each class, with a question mark for its score."""
    for i, name in enumerate(classes):
        y = middle + 0.16 * (len(classes) / 2 - i - 0.5)
        write(axes, left + 0.86, y - 0.01, name, ha="right")
        write(axes, left + 0.98, y - 0.01, "?", ha="left")


# --- 6.2: a block ---


def block() -> None:
    """Draw a block with its two branches and, below, what its window attention does to a map."""
    figure, axes = canvas(11, 5.4)
    draw_branches(axes, 4.45)
    draw_window_attention(axes)
    show(
        figure,
        "Above, a line from left to right with two branches that are added back to it: norm1 and "
        "window attention, norm2 and mlp. Below, the steps of window attention on a map of nine "
        "colored regions: roll, cut, attend, glue, roll back. Four masks enter the middle step "
        "from below.",
    )


def draw_branches(axes: Axes, y: Length) -> None:
    line = {"color": mpl.rcParams["text.color"], "lw": 1.6, "solid_capstyle": "round"}
    axes.add_patch(rightward(0.7, 10.6, y, 1.6))
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
        axes.plot([corner, x], [y + 0.4, 3.8], ls=":", lw=1, color=line["color"], zorder=1)


def draw_window_attention(axes: Axes) -> None:
    """Draw the steps of window attention in a row: 8 x 8 tokens, windows of 4, shift 2."""
    grid = WindowGrid((8, 8), 4, 2)
    rolled = grid.region_ids()
    home = rolled.roll((2, 2), (0, 1))
    side, step, bottom = 1.25, 1.83, 2.1
    lefts = [0.3 + i * step for i in range(6)]
    names = ["the map", "rolled", "four windows", "four new windows", "one map", "rolled back"]
    for left, ids, gap, name in zip(
        lefts, [home, *[rolled] * 4, home], [0, 0, 0.1, 0.1, 0, 0], names, strict=True
    ):
        draw_colored(axes, left, bottom, side, ids, gap)
        write(axes, left + side / 2, bottom + side + 0.2, name)
    for i, name in enumerate(["roll(x, 2)", "cut", "attn", "glue", "roll(x, -2)"]):
        gap = 0.05 if i in (2, 3) else 0  # between windows, half of it on each side of the map
        left = lefts[i] + side + 0.04 + gap
        axes.add_patch(
            rightward(left, lefts[i + 1] - 0.06 - (0.05 if i in (1, 2) else 0), bottom + side / 2)
        )
        write(axes, (lefts[i] + side + lefts[i + 1]) / 2, bottom - 0.2, name, **MONO)
    center = (lefts[2] + side + lefts[3]) / 2
    for number, mask in enumerate(grid.mask()):
        draw_small_mask(axes, center - 1.41 + 0.73 * number, 0.62, 0.63, mask)
    axes.add_patch(upward(center, 1.31, bottom - 0.33))
    write(axes, center + 1.7, 1.05, "a mask for each window:", ha="left")
    write(axes, center + 1.7, 0.8, "compare(label(8, 8, 4, 2), 4)", ha="left", **MONO)
    for color, x, words in ((ALLOWED, 3.6, "may attend"), (FORBIDDEN, 5.4, "masked")):
        axes.add_patch(Rectangle((x, 0.13), 0.2, 0.2, fc=color, ec=INK, lw=0.8))
        write(axes, x + 0.3, 0.22, words, ha="left")


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
    figure, axes = canvas(11, 3.4)
    axes.set_ylim(0.35, 3.75)
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
    axes.add_patch(rightward(5.72, 6.7, 2.0))
    write(axes, 6.2, 2.18, "norm", **MONO)
    axes.add_patch(
        Polygon(
            [(6.78, 3.2), (6.78, 0.8), (7.58, 1.4), (7.58, 2.6)],
            closed=True,
            fc=PLAIN,
            ec=INK,
            lw=1,
        )
    )
    axes.text(7.18, 2.0, "linear,\nno bias", ha="center", va="center", color=INK, fontsize=9)
    write(axes, 7.18, 0.55, "reduction", **MONO)
    axes.add_patch(Rectangle((7.66, 1.4), 0.3, 1.2, fc=PALETTE[4], ec=INK, lw=1))
    write(axes, 7.81, 3.5, "2C", weight="bold")
    axes.add_patch(rightward(8.04, 8.5, 2.0))
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


# --- 6.6: what the reader's model answers ---


def answers(
    images: Float[Tensor, "n 1 h w"],
    truth: Int[Tensor, "n"],
    probabilities: Float[Tensor, "n classes"],
    classes: Sequence[str],
) -> None:
    """Draw four pictures, each with what it shows and the classes that a model finds probable.

    These are the most probable one and, of the next two, those of 5 % or more.
    """
    figure = plt.figure(figsize=(11, 1.55))
    cells = figure.subplots(1, 8, width_ratios=[1, 1.35] * 4)
    for axes, bars, image, label, shares in zip(
        cells[0::2], cells[1::2], images, truth, probabilities, strict=True
    ):
        axes.imshow(image[0].numpy(), cmap="gray")
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_title(classes[label], fontsize=9)
        draw_best(bars, shares, int(label), classes)
    show(
        figure,
        "Four pictures, beside each the most probable classes as bars. A sneaker and a bag are "
        "right with 92 percent, a coat with 59, and a high sneaker is taken for an ankle boot.",
    )


def draw_best(
    axes: Axes, shares: Float[Tensor, "classes"], truth: int, classes: Sequence[str]
) -> None:
    best = shares.topk(3)
    for y, (share, number) in enumerate(
        zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ):
        if y > 0 and share < 0.05:
            continue
        color = QUERY if y == 0 else "#9AA0A6"
        axes.add_patch(Rectangle((0, y + 0.1), max(share, 0.005), 0.26, fc=color))
        weight = "bold" if y == 0 else "normal"
        axes.text(0, y, classes[number], va="bottom", weight=weight, **SMALL)
        axes.text(share + 0.03, y + 0.24, f"{share:.0%}", va="center", **SMALL)
    mark = "✓ right" if best.indices[0] == truth else "✗ wrong"
    axes.text(0, 1 + int((best.values[1:] >= 0.05).sum()) + 0.1, mark, va="center", **SMALL)
    axes.set(xlim=(0, 1.3), ylim=(3.5, -0.1))
    axes.axis("off")


# --- 6.4: how far a token sees ---


def reach_rows(
    rows: dict[str, tuple[tuple[int, int], Sequence[Bool[Tensor, "h w"]]]],
) -> None:
    """Draw what a token depends on after each of six blocks, in a row for each model or token.

    Args:
        rows: by name, a token's row and column on the first map, where it is outlined; and, after
            each block, which tokens of that map count.
    """
    figure, cells = plt.subplots(len(rows), 6, figsize=(11, 2.05 * len(rows) + 0.3))
    for axes, i in zip(cells[0], range(6), strict=True):
        axes.set_title(f"stage {i // 2}, block {i % 2}")
    for line, (name, (token, seen)) in zip(cells, rows.items(), strict=True):
        for i, (axes, reached) in enumerate(zip(line, seen, strict=True)):
            draw_reached(axes, reached, token, 2 ** (i // 2))
        line[0].set_ylabel(name, fontsize=10.5, weight="bold")
    show(
        figure,
        "Rows of six photographs of a cat, dark where a token sees nothing. Without the shift, the "
        "bright square of a token near the middle grows only when tokens are merged. With it, the "
        "square grows at every block until the whole cat is bright. That of a corner does not.",
    )


def draw_reached(
    axes: Axes, reached: Bool[Tensor, "h w"], token: tuple[int, int], size: int
) -> None:
    """Draw a photograph, dark but for the tokens that are reached.

    Args:
        axes: where to draw.
        reached: which tokens of the first map count.
        token: row and column, on the first map, of the token that sees them.
        size: the side of the merged token that holds it, in tokens of the first map.
    """
    height, width = reached.shape
    image = photograph("chelsea", 5 * height, 5 * width).numpy()
    axes.imshow(image, extent=(0, width, height, 0))
    dark = np.zeros((height, width, 4))
    dark[..., 3] = np.where(reached.numpy(), 0, 0.7)
    axes.imshow(dark, extent=(0, width, height, 0), interpolation="nearest")
    corner = (token[1] // size * size, token[0] // size * size)
    for color, line_width in (("white", 3), (QUERY, 1.5)):
        style = {"ec": color, "lw": line_width, "fill": False, "clip_on": False}
        axes.add_patch(Rectangle(corner, size, size, **style))
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(f"{int(reached.sum()):,} of {reached.numel():,}", fontsize=9.5)


# --- 6.5: a pyramid of maps ---


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
        for color, line_width in ((INK, 3), ("white", 1.4)):
            axes.hlines(cuts, 0, side, color=color, lw=line_width)
            axes.vlines(cuts, 0, side, color=color, lw=line_width)
        axes.set(xticks=[], yticks=[], title=f"stage {stage}: {side} × {side} × {96 * 2**stage}")
        windows = (side // 7) ** 2
        axes.set_xlabel(f"{patch} px per token, {windows} window{'s' * (windows > 1)}")
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


def upward(x: Length, start: Length, end: Length) -> FancyArrowPatch:
    style = {"arrowstyle": "-|>", "mutation_scale": 14, "shrinkA": 0, "shrinkB": 0}
    return FancyArrowPatch((x, start), (x, end), color=mpl.rcParams["text.color"], lw=1, **style)


def arrow(axes: Axes, start: Length, end: Length, y: Length, words: str) -> None:
    """Draw an arrow to the right with words above it."""
    axes.add_patch(rightward(start, end, y))
    write(axes, (start + end) / 2, y + 0.1, words, va="bottom")
