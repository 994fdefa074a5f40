"""What a wrong answer to an exercise looks like beside the right one."""

from typing import Literal

import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.display import display
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from swin_tutorial.figures.maps import frame_tokens, write_on_token
from swin_tutorial.figures.style import (
    ALLOWED,
    FORBIDDEN,
    as_png,
    house_style,
    region_color,
    shown_width,
)

Kind = Literal["map", "mask"]
_WRONG = "#CC3311"
_MOST_CELLS = 24  # on a side: a larger map or mask is no help
_ALT = "The expected answer beside the one given; cells that differ are outlined."


def draw_difference(
    got: Shaped[Tensor, "rows columns"],
    expected: Shaped[Tensor, "rows columns"],
    kind: Kind,
    title: str = "",
) -> Figure:
    """Draw the right answer and the one given, cell by cell; cells that differ are outlined."""
    with house_style():
        return _draw_pair(got, expected, kind, title)


def _draw_pair(got: Tensor, expected: Tensor, kind: Kind, title: str) -> Figure:
    rows, columns = expected.shape
    figure, pair = plt.subplots(1, 2, figsize=(1.6 + 0.44 * columns, 0.9 + 0.22 * rows))
    for axes, answer, name in zip(pair, (expected, got), ("expected", "yours"), strict=True):
        frame_tokens(axes, (rows, columns), f"{name}{title}")
        if kind == "mask":
            axes.set(xlabel="key", ylabel="query")
        for y in range(rows):
            for x in range(columns):
                _draw_cell(axes, y, x, answer[y, x].item(), kind)
    for y, x in (got != expected).nonzero().tolist():
        pair[1].add_patch(Rectangle((x, y), 1, 1, fill=False, ec=_WRONG, lw=2, zorder=3))
    return figure


def show_difference(got: Tensor, expected: Tensor, kind: Kind) -> None:
    """Show the difference in a notebook: of masks, the first window's that differs.

    Shows nothing outside of notebooks, nor where the two can't be compared cell by cell.
    """
    if get_ipython() is None or not _can_be_compared(got, expected):
        return
    title = ""
    if expected.ndim == 3:
        window = int((got != expected).flatten(1).any(1).nonzero()[0])
        got, expected, title = got[window], expected[window], f", window {window}"
    if max(expected.shape) > _MOST_CELLS:
        return
    figure = draw_difference(got, expected, kind, title)
    image = {"alt": _ALT, "width": shown_width(figure)}
    display({"image/png": as_png(figure)}, metadata={"image/png": image}, raw=True)


def _can_be_compared(got: Tensor, expected: Tensor) -> bool:
    """Return whether two answers have the same cells, and some of these differ.

    Labels and masks are whole numbers and booleans: 0 in a mask of floats would mean "may attend".
    """
    if got.shape != expected.shape or expected.ndim not in (2, 3) or got.is_floating_point():
        return False
    return bool((got != expected).any())


def _draw_cell(axes: Axes, y: int, x: int, value: int | bool, kind: Kind) -> None:
    if kind == "map":
        axes.add_patch(Rectangle((x, y), 1, 1, fc=region_color(value), ec="white", lw=0.5))
        write_on_token(axes, (y, x), f"{value}", 9.0)
    else:
        color = ALLOWED if value else FORBIDDEN
        axes.add_patch(Rectangle((x, y), 1, 1, fc=color, ec="white", lw=0.3))
