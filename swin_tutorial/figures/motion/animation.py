"""What every animation is made of: sheets to draw on, sprites that move, and one animated PNG.

Everything is measured in CSS pixels, x to the right and y down.  A frame is a sheet onto which
sprites are pasted, so matplotlib draws each thing once, however often it moves.
"""

import io
import textwrap
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image
from torch import Tensor

from swin_tutorial.figures.palette import SEE_THROUGH, in_one_palette
from swin_tutorial.figures.style import (
    ALLOWED,
    FORBIDDEN,
    INK,
    PIXELS_PER_INCH,
    TEXT,
    region_color,
    show_bundle,
)

Length = int | float  # in CSS pixels, or a share of something
Point = tuple[Length, Length]
Frame = tuple[Image.Image, int]  # a picture, and for how many milliseconds it is shown
CSS_PIXELS_PER_INCH = 96
SCALE = PIXELS_PER_INCH / CSS_PIXELS_PER_INCH
POINTS = 72 / CSS_PIXELS_PER_INCH  # a CSS pixel in points
TEXT_SIZE = 13.5
STILL, PAUSE, STEP, LAST = 2400, 1300, 90, 2600  # milliseconds
_REPLACE, _LAY_OVER = 0, 1  # what a frame does with the one before: APNG's blend_op


@dataclass(frozen=True)
class Animation:
    """An animated PNG of ``width`` CSS pixels, with an alternative text that says what moves."""

    png: bytes = field(repr=False)
    alt: str
    width: int

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        """Return what a notebook stores: the image, and what a page needs to show it."""
        bundle = {"image/png": self.png, "text/plain": f"<Animation: {self.alt}>"}
        return bundle, {"image/png": {"alt": self.alt, "width": self.width}}


def show_animation(animation: Animation) -> None:
    """Show an animation; its caption is the Markdown cell below."""
    show_bundle(*animation._repr_mimebundle_())


def animate(frames: Iterable[Frame], alt: str) -> Animation:
    """Make an animation that loops.  All frames have one size; the first is also the still."""
    pictures, milliseconds = zip(*((one.convert("RGBA"), ms) for one, ms in frames), strict=True)
    first, *others = in_one_palette(pictures, exact=128)
    smaller = [_smaller(*pair) for pair in pairwise([first, *others])]
    png = io.BytesIO()
    first.save(
        png,
        format="png",
        save_all=True,
        append_images=[one for one, _ in smaller],
        duration=list(milliseconds),
        loop=0,
        transparency=first.info["transparency"],
        blend=[_REPLACE, *(blend for _, blend in smaller)],
        optimize=True,
    )
    return Animation(png.getvalue(), alt, round(first.width / SCALE))


def _smaller(before: Image.Image, after: Image.Image) -> tuple[Image.Image, int]:
    """Return a frame, or only what differs from the frame before, and how it is to be laid on.

    Only opaque colors can be laid over a frame.  What becomes transparent needs the whole frame;
    Pillow then stores the smallest rectangle that holds all changes.
    """
    old, new = np.asarray(before), np.asarray(after)
    opacity = np.frombuffer(after.info["transparency"], np.uint8)
    changed = old != new
    if (opacity[new[changed]] < 255).any():
        return after, _REPLACE
    changes = Image.fromarray(np.where(changed, new, np.uint8(SEE_THROUGH)), "P")
    changes.putpalette(after.getpalette() or [])
    changes.info["transparency"] = after.info["transparency"]
    if len(zlib.compress(changes.tobytes(), 1)) < len(zlib.compress(after.tobytes(), 1)):
        return changes, _LAY_OVER
    return after, _REPLACE


# --- sheets and sprites ---


def paint(width: Length, height: Length, draw: Callable[[Axes], None]) -> Image.Image:
    """Return what ``draw`` draws on axes of ``width`` x ``height`` CSS pixels, as RGBA.

    Where nothing is drawn, it is transparent.
    """
    inches = width / CSS_PIXELS_PER_INCH, height / CSS_PIXELS_PER_INCH
    figure = Figure(figsize=inches, dpi=PIXELS_PER_INCH, facecolor="none", layout="none")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    draw(axes)
    axes.set(xlim=(0, width), ylim=(height, 0))
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba()).copy())


def place(
    sheet: Image.Image, sprite: Image.Image, x: Length, y: Length, opacity: Length = 1.0
) -> None:
    """Paste a sprite onto a sheet, its top left corner at (x, y)."""
    if opacity < 1:
        sprite = sprite.copy()
        sprite.putalpha(sprite.getchannel("A").point(lambda alpha: round(alpha * opacity)))
    sheet.alpha_composite(sprite, (pixels(x), pixels(y)))


def pixels(length: Length) -> int:
    """Return how many pixels of the image a length in CSS pixels is."""
    return round(length * SCALE)


def cell_side(room: Length, most: int) -> int:
    """Return the side of a cell in CSS pixels: at most ``room``, at least 3.

    It is a multiple of 3, which is a whole number of the image's pixels, so that edges are sharp.
    """
    return max(3, min(most, int(room)) // 3 * 3)


def progress(steps: int) -> Iterator[float]:
    """Yield how much of a motion is done after each step: slow, fast, slow, and 1 at the end."""
    for step in range(1, steps + 1):
        yield ease(step / steps)


def ease(part: Length) -> float:
    """Return a fraction of a motion, between 0 and 1, slowed at both ends."""
    part = min(1.0, max(0.0, part))
    return part * part * (3 - 2 * part)


def between(start: Point, end: Point, done: Length) -> Point:
    """Return the point that has gone the fraction ``done`` of the way from start to end."""
    (x0, y0), (x1, y1) = start, end
    return x0 + (x1 - x0) * done, y0 + (y1 - y0) * done


# --- drawing on a sheet ---


def write(axes: Axes, x: Length, y: Length, text: str, size: Length = TEXT_SIZE, **options) -> None:
    """Write a text of ``size`` CSS pixels, by default to the right of (x, y)."""
    options = {"va": "center", "color": TEXT} | options
    axes.text(x, y, text, fontsize=size * POINTS, **options)


def write_below(axes: Axes, width: Length, height: Length, words: str) -> None:
    """Write a step's words at the foot of a sheet, in two lines if they are long."""
    lines = textwrap.fill(words, int(width / (0.58 * TEXT_SIZE)))
    write(axes, width / 2, height - 21, lines, ha="center", linespacing=1.25)


def write_number(axes: Axes, x: Length, y: Length, text: str, size: Length = TEXT_SIZE) -> None:
    """Write a text in the middle of (x, y): white, outlined, to be legible on every color."""
    outline = [withStroke(linewidth=2, foreground=INK)]
    write(axes, x, y, text, size, ha="center", color="white", path_effects=outline)


def draw_cells(axes: Axes, x: Length, y: Length, side: Length, colors: Sequence[Sequence]) -> None:
    """Draw rows of square cells, each in its color, with thin white lines between them."""
    if not colors:
        return
    right, bottom = x + len(colors[0]) * side, y + len(colors) * side
    extent = (x, right, bottom, y)
    axes.imshow(
        to_rgba_array([one for row in colors for one in row]).reshape(len(colors), -1, 4),
        extent=extent,
        aspect="auto",
        interpolation="nearest",
    )
    lines = {"colors": "white", "linewidths": 0.6 if side > 9 else 0.3}
    axes.vlines(np.arange(1, len(colors[0])) * side + x, y, bottom, **lines)
    axes.hlines(np.arange(1, len(colors)) * side + y, x, right, **lines)


def draw_outline(
    axes: Axes,
    x: Length,
    y: Length,
    width: Length,
    height: Length,
    color: str = INK,
    line_width: Length = 2.0,
) -> None:
    """Outline a rectangle."""
    axes.add_patch(
        Rectangle((x, y), width, height, fill=False, ec=color, lw=line_width, joinstyle="miter")
    )


def draw_band(
    axes: Axes,
    x: Length,
    y: Length,
    side: Length,
    ids: Sequence[int],
    upright: bool = False,
    color: str = "",
) -> None:
    """Draw the regions along a side of a mask: a colored band, a number on each run of equals.

    ``upright`` says that the band runs down, not across; it is 18 pixels wide.  ``color`` is that
    of numbers which name no region.
    """
    start = 0
    for stop in range(1, len(ids) + 1):
        if stop < len(ids) and ids[stop] == ids[start]:
            continue
        along, length = start * side, (stop - start) * side
        corner, size = ((x, y + along), (18, length)) if upright else ((x + along, y), (length, 18))
        face = color or region_color(ids[start])
        axes.add_patch(Rectangle(corner, *size, fc=face, ec="white", lw=1))
        write_number(axes, corner[0] + size[0] / 2, corner[1] + size[1] / 2, str(ids[start]), 12)
        start = stop


def mask_colors(mask: Bool[Tensor, "rows columns"], light: str = ALLOWED) -> list[list[str]]:
    """Return the color of each cell of a mask: light = may attend, dark = may not."""
    return [[light if allowed else FORBIDDEN for allowed in row] for row in mask.tolist()]
