"""What an audit found on one map: the true windows, and who depends on whom in place of them."""

import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Bool, Int
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from swin_tutorial.figures.maps import draw_regions, frame_tokens, write_on_token
from swin_tutorial.figures.style import (
    ALLOWED,
    FORBIDDEN,
    INK,
    PALETTE,
    QUERY,
    TEXT,
    house_style,
)
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import reverse_cyclic_shift, size_text

LEAK = "#D62728"
LOSS = PALETTE[0]
_MOST_HATCHED = 3000  # cells of a matrix: more are too small to show it
_MOST_TICKS = 24
_MAP_WIDTH = 4.4  # inches


def draw_finding(finding, headline: str = "") -> Figure:
    """Draw the true windows of a map, and beside them who must depend on whom and who does.

    On the map, an arrow leads from the key to the query of the first leak, or else of the first
    loss.  ``finding`` is a ``swin_tutorial.audit.findings.Finding``; ``headline`` stands above it.
    """
    with house_style():
        maps = _layers(finding.grid)
        figure = plt.figure(figsize=(_MAP_WIDTH + 7.4, 4.3))
        left, right = figure.subfigures(1, 2, width_ratios=(_MAP_WIDTH, 7.4))
        _draw_map(left, finding, maps)
        _draw_matrices(right, finding)
        figure.suptitle("\n".join(filter(None, (headline, finding_title(finding)))), fontsize=10.5)
    return figure


# --- the map ---


def _layers(grid: WindowGrid) -> list[tuple[Int[Tensor, "h w"], Bool[Tensor, "h w"]]]:
    """Return the true window of each token, and whether it is padding, as images to draw.

    A signal is an image of one row; a video is one image per frame.
    """
    ids = grid.region_ids()[None, ..., None]
    ids = reverse_cyclic_shift(ids, grid.effective_shift)[0, ..., 0]
    real = torch.zeros(ids.shape, dtype=torch.bool)
    real[tuple(slice(0, length) for length in grid.size)] = True
    numbers = ids[real].unique(return_inverse=True)[1]  # counted from 0, without gaps
    ids = torch.zeros_like(ids).masked_scatter(real, numbers)
    shape = (-1, *(1, 1, *ids.shape)[-2:])
    return list(zip(ids.reshape(shape), ~real.reshape(shape), strict=True))[: _frames(grid)]


def _frames(grid: WindowGrid) -> int:
    """Return how many images the real tokens of a map fill."""
    return math.prod(grid.size[:-2])


def _draw_map(where: SubFigure, finding, maps: list) -> None:
    columns = math.ceil(math.sqrt(len(maps)))
    rows = math.ceil(len(maps) / columns)
    all_axes = where.subplots(rows, columns, squeeze=False).ravel().tolist()
    # What fits into a token, in points.
    font_size = min(11.0, 28 * _MAP_WIDTH / columns / max(maps[0][0].shape))
    for axes in all_axes[len(maps) :]:
        axes.set_axis_off()
    for frame, (axes, (ids, is_padding)) in enumerate(zip(all_axes, maps, strict=False)):
        title = f"true windows, frame {frame}" if len(maps) > 1 else "true windows"
        draw_regions(axes, ids, title, is_padding, numbers=font_size > 4)
        for text in axes.texts:
            text.set_fontsize(font_size)
        _place_ticks(axes, ids.shape)
    pairs = finding.leaks or finding.losses
    if pairs:
        _draw_pair(all_axes, *pairs[0], color=LEAK if finding.leaks else INK, font_size=font_size)


def _place_ticks(axes: Axes, size: tuple[int, int]) -> None:
    """Number the rows and columns of a map, in steps that leave the numbers legible."""
    for ticks, length in ((axes.set_yticks, size[0]), (axes.set_xticks, size[1])):
        places = range(0, length, -(-length // 12))
        ticks([place + 0.5 for place in places], list(map(str, places)), fontsize=8)
    axes.tick_params(length=0)


def _draw_pair(
    all_axes: list[Axes], query: tuple, key: tuple, color: str, font_size: float
) -> None:
    """Frame a query (star) and a key (circle), and lead an arrow from the key to the query."""
    ends = []
    for place, sign in ((query, "★"), (key, "●")):
        frame, y, x = (0, 0, *place)[-3:]
        edge = QUERY if sign == "★" else color
        all_axes[frame].add_patch(
            Rectangle((x, y), 1, 1, fc="none", ec=edge, lw=2.5, zorder=4, clip_on=False)
        )
        for text in list(all_axes[frame].texts):  # the sign stands in place of the number
            if text.get_position() == (x + 0.5, y + 0.52):
                text.remove()
        write_on_token(all_axes[frame], (y, x), sign, font_size)
        ends.append((all_axes[frame], (x + 0.5, y + 0.5)))
    (to_axes, to), (from_axes, start) = ends
    to_axes.annotate(
        "",
        xy=to,
        xycoords=to_axes.transData,
        xytext=start,
        textcoords=from_axes.transData,
        arrowprops={
            "arrowstyle": "-|>",
            "color": color,
            "lw": 2,
            "shrinkA": 7,
            "shrinkB": 7,
            "connectionstyle": "arc3,rad=-0.15",
        },
        zorder=6,
        annotation_clip=False,
    )


# --- the matrices ---


def _draw_matrices(where: SubFigure, finding) -> None:
    expected_axes, measured_axes = where.subplots(1, 2)
    expected, depends = finding.expected, finding.behavior.depends
    _draw_relation(expected_axes, finding, expected, "must depend")
    if depends is None:
        measured_axes.set_axis_off()
        text = "\n".join(["nothing to compare:", "", *_wrapped(finding.behavior.error)])
        measured_axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=9)
    else:
        _draw_relation(measured_axes, finding, depends, "does depend")
        _paint(measured_axes, depends & ~expected, LEAK, "")
        _paint(measured_axes, expected & ~depends, LOSS, "/////")
    where.legend(handles=_legend(finding), loc="outside lower center", ncols=4, fontsize=8.5)


def _draw_relation(axes: Axes, finding, relation: Bool[Tensor, "q k"], title: str) -> None:
    """Draw which queries (down) depend on which keys (across); dark where none does."""
    queries, keys = relation.shape
    colors = ListedColormap([FORBIDDEN, ALLOWED])
    extent = (0, keys, queries, 0)
    axes.imshow(
        relation.int().numpy(), cmap=colors, vmin=0, vmax=1, extent=extent, interpolation="nearest"
    )
    if queries <= 48:  # lines between smaller tokens would hide them
        frame_tokens(axes, (queries, keys), title)
    axes.set(title=title, xlabel="key", ylabel="query", aspect="auto")
    numbers = range(queries) if finding.keys is None else finding.keys
    for ticks, tokens in ((axes.set_yticks, range(queries)), (axes.set_xticks, numbers)):
        shown = _shown_tokens(list(tokens), finding.grid.size)
        places = [place + 0.5 for place, _ in shown]
        ticks(places, [text for _, text in shown], fontsize=7)
    axes.tick_params(axis="x", rotation=90)
    axes.tick_params(length=2)


def _shown_tokens(tokens: list[int], size: tuple[int, ...]) -> list[tuple[int, str]]:
    """Choose which tokens to write on an axis of a matrix: all, or the first of each row, or few.

    Returns the index of each in ``tokens``, and its place on the map as a text.
    """
    chosen = list(enumerate(tokens))
    if len(chosen) > _MOST_TICKS and len(tokens) == math.prod(size) and len(size) > 1:
        chosen = chosen[:: size[-1]]
    chosen = chosen[:: -(-len(chosen) // _MOST_TICKS)]
    return [(i, ",".join(map(str, np.unravel_index(token, size)))) for i, token in chosen]


def _paint(axes: Axes, cells: Bool[Tensor, "q k"], color: str, hatch: str) -> None:
    """Color the cells of a matrix that are wrong."""
    image = np.ma.masked_equal(cells.int().numpy(), 0)
    extent = (0, cells.shape[1], cells.shape[0], 0)
    colors = ListedColormap([color])
    axes.imshow(image, cmap=colors, extent=extent, interpolation="nearest", aspect="auto")
    if hatch and cells.sum() <= _MOST_HATCHED:
        squares = [Rectangle((x, y), 1, 1) for y, x in cells.nonzero().tolist()]
        axes.add_collection(
            PatchCollection(squares, facecolor="none", edgecolor=INK, hatch=hatch, linewidth=0)
        )


def _legend(finding) -> list[Patch]:
    handles = [
        Patch(fc=ALLOWED, ec=TEXT, label="depends"),
        Patch(fc=FORBIDDEN, ec=TEXT, label="does not"),
    ]
    if leaks := len(finding.leaks):
        handles.append(Patch(fc=LEAK, label=f"leak: must not ({leaks})"))
    if losses := len(finding.losses):
        handles.append(Patch(fc=LOSS, ec=TEXT, hatch="/////", label=f"loss: must ({losses})"))
    return handles


def finding_title(finding) -> str:
    """Return in a line which map it is, and what is wrong."""
    grid = finding.grid
    shifts = ", then ".join(size_text(one.shift_size) for one in finding.case)
    sizes = f"map {size_text(grid.size)}, window {size_text(grid.window_size)}, shift {shifts}"
    faults = [fault for fault in finding.faults if not fault.startswith("raised")]
    words = "; ".join(faults) or ("raised an error" if finding.faults else "right")
    return f"{sizes}: {words}"


def _wrapped(text: str, width: int = 36) -> list[str]:
    return textwrap.wrap(text, width) or [""]
