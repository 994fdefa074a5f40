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
from swin_tutorial.figures.style import ALLOWED, FORBIDDEN, as_png, region_color, shown_width

_WRONG = "#CC3311"
_MOST_CELLS = 24  # a larger map or mask is no help


def draw_difference(
    got: Shaped[Tensor, "rows columns"],
    expected: Shaped[Tensor, "rows columns"],
    kind: Literal["map", "mask"],
    title: str = "",
) -> Figure:
    """Draw the right answer and the one given, cell by cell; cells that differ are outlined."""
    rows, columns = expected.shape
    figure, pair = plt.subplots(1, 2, figsize=(1.6 + 0.44 * columns, 0.9 + 0.22 * rows))
    for axes, answer, name in zip(pair, (expected, got), ("expected", "yours"), strict=True):
        frame_tokens(axes, (rows, columns), f"{name}{title}")
        for y in range(rows):
            for x in range(columns):
                _draw_cell(axes, y, x, answer[y, x].item(), kind)
    for y, x in (got != expected).nonzero().tolist():
        pair[1].add_patch(Rectangle((x, y), 1, 1, fill=False, ec=_WRONG, lw=2, zorder=3))
    return figure


def show_difference(got: Tensor, expected: Tensor, kind: Literal["map", "mask"]) -> None:
    """Show the difference in a notebook: of masks, the first window's that differs.

    Shows nothing outside of notebooks, or where the answers have no cells in common to compare.
    """
    title = ""
    if kind == "mask" and expected.ndim == 3 and got.shape == expected.shape:
        window = int((got != expected).flatten(1).any(1).nonzero()[0])
        got, expected, title = got[window], expected[window], f", window {window}"
    fits = got.shape == expected.shape and expected.ndim == 2 and max(got.shape) <= _MOST_CELLS
    if get_ipython() is None or not fits:
        return
    figure = draw_difference(got, expected, kind, title)
    width = shown_width(figure)
    alt = "The expected answer beside the one given; cells that differ are outlined."
    image = {"alt": alt, "width": width}
    display({"image/png": as_png(figure)}, metadata={"image/png": image}, raw=True)


def _draw_cell(axes: Axes, y: int, x: int, value: float, kind: str) -> None:
    if kind == "map":
        axes.add_patch(Rectangle((x, y), 1, 1, fc=region_color(int(value)), ec="white", lw=0.5))
        write_on_token(axes, (y, x), f"{value:g}", 9)
    else:
        color = ALLOWED if value else FORBIDDEN
        axes.add_patch(Rectangle((x, y), 1, 1, fc=color, ec="white", lw=0.3))
