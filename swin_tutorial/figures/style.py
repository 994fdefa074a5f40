"""The house style: one palette, one set of defaults, one way to show a figure.

A figure's ground is transparent, so that a page may be light or dark.  Axes that carry data are
white panels, on which colors keep their meaning.  What stands on the ground itself is drawn in
``TEXT``, a gray that is legible on white and on black; ``INK`` is for panels alone.
"""

import inspect
import io
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import matplotlib as mpl
import matplotlib.pyplot as plt
from IPython.display import DisplayHandle, Markdown, display
from matplotlib.figure import Figure
from PIL import Image

from swin_tutorial.figures.palette import in_one_palette

# Paul Tol's "muted" scheme: nine colors that stay distinct in every common form of color
# blindness.  The three after them do so beside the nine (tests/figures/test_style.py simulates it).
PALETTE = (
    "#88CCEE",
    "#CC6677",
    "#DDCC77",
    "#117733",
    "#332288",
    "#AA4499",
    "#44AA99",
    "#999933",
    "#882255",
    "#E69F00",
    "#CCDDAA",
    "#1A1A1A",
)
PADDING = "#BBBBBB"
INK = "#222222"
TEXT = "#767676"
ALLOWED = "#E8F1F8"
FORBIDDEN = "#3B3A6B"
QUERY = "#EE7733"
PIXELS_PER_INCH = 128


def use_house_style() -> None:
    """Set matplotlib's defaults for the series: fonts, sizes, colors of lines."""
    mpl.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.h_pad": 0.1,
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "axes.titlesize": 10.5,
            "axes.titlepad": 7,
            "figure.facecolor": "none",
            "axes.facecolor": "white",
            "axes.edgecolor": TEXT,
            "axes.labelcolor": TEXT,
            "axes.titlecolor": TEXT,
            "text.color": TEXT,
            "xtick.color": TEXT,
            "ytick.color": TEXT,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=[PALETTE[4], PALETTE[1], PALETTE[3], PALETTE[2]]),
            "legend.frameon": False,
        }
    )


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style, whatever the reader has set, and leave their settings alone."""
    with mpl.rc_context():
        mpl.rcdefaults()
        use_house_style()
        yield


def region_color(region: int) -> str:
    """Return a region's color, one of twelve; where colors repeat, the numbers tell them apart."""
    return PALETTE[region % len(PALETTE)]


def show(figure: Figure, alt: str) -> None:
    """Show a finished figure; its caption is the Markdown cell below.

    ``alt``, the alternative text, goes into its metadata.  Raises ValueError if it is empty.
    """
    show_bundle(*as_bundle(figure, alt))


def show_bundle(bundle: dict, metadata: dict) -> DisplayHandle | None:
    """Show a MIME bundle that holds a PNG.  Returns a handle, by which another can replace it.

    Raises ValueError if the PNG's metadata hold no alternative text.
    """
    if not metadata["image/png"]["alt"].strip():
        raise ValueError("a figure needs an alternative text: say what it shows")
    return display(bundle, metadata=metadata, raw=True, display_id=True)


def as_bundle(figure: Figure, alt: str) -> tuple[dict, dict]:
    """Close a figure and return what displays it: a MIME bundle, and the bundle's metadata."""
    bundle = {"image/png": as_png(figure), "text/plain": f"<Figure: {alt}>"}
    return bundle, {"image/png": {"alt": alt, "width": shown_width(figure)}}


def show_source(thing: Callable) -> None:
    """Show the source of a function, method or class of the package below its name.

    Chapters read the package's own code this way, so there is no copy of it that could go stale.
    ``thing`` may be a Triton kernel, which keeps its Python function as ``fn``.
    Raises TypeError for what has no source, such as a number or an instance.
    """
    thing = getattr(thing, "fn", thing)
    code = textwrap.dedent(inspect.getsource(thing)).rstrip()
    display(Markdown(f"`{thing.__module__}.{thing.__qualname__}`\n\n```python\n{code}\n```"))


def as_png(figure: Figure) -> bytes:
    """Close a figure and return it as a PNG of few colors on a transparent ground."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, facecolor="none")
    plt.close(figure)
    (image,) = in_one_palette([Image.open(buffer)], exact=64)
    small = io.BytesIO()
    image.save(small, format="png", optimize=True)
    return small.getvalue()


def shown_width(figure: Figure) -> int:
    """Return how many CSS pixels wide a page shows a figure, whatever its resolution."""
    return round(figure.get_size_inches()[0] * 96)
