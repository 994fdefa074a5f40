"""Every figure of the series, in one palette that colour-blind readers can tell apart.

Axes are in tokens: the token in row y and column x covers the square from (x, y) to
(x + 1, y + 1), with y pointing down.  Nothing is told by colour alone: regions carry their number,
queries, keys and forbidden keys a sign each.
"""

import inspect
import io
import json
import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.patheffects
import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import rearrange
from IPython.display import Markdown, display
from jaxtyping import Bool, Float, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import PercentFormatter
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from swin_tutorial import runs
from swin_tutorial.windows import Size, size_pair

# Paul Tol's "muted" scheme, nine colours that stay distinct in every common form of colour
# blindness, and three more that do so beside them (tests/test_plotting.py simulates it).
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
ALLOWED = "#E8F1F8"
FORBIDDEN = "#3B3A6B"
QUERY = "#EE7733"
PIXELS_PER_INCH = 128


def use_house_style() -> None:
    """Set matplotlib's defaults for the series: fonts, sizes, no ticks where tokens are drawn."""
    mpl.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.h_pad": 0.1,
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "axes.titlesize": 10.5,
            "axes.titlepad": 7,
            "axes.edgecolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=[PALETTE[4], PALETTE[1], PALETTE[3], PALETTE[2]]),
            "legend.frameon": False,
        }
    )


def show(figure: Figure, caption: str, alt: str) -> None:
    """Show a finished figure with its caption below and its alternative text in the metadata.

    The caption starts with the figure's number.  Raises ValueError for an empty caption or
    alternative text.
    """
    bundle = {"image/png": as_png(figure), "text/plain": f"<Figure: {alt}>"}
    image = {"alt": alt, "width": shown_width(figure)}
    show_with_caption(bundle, {"image/png": image}, caption)


def show_with_caption(bundle: dict, metadata: dict, caption: str) -> None:
    """Show whatever holds a PNG, by its MIME bundle, and a caption below.

    Raises ValueError for an empty caption, or no alternative text in the PNG's metadata.
    """
    if not caption.strip() or not metadata["image/png"]["alt"].strip():
        raise ValueError("a figure needs a caption and an alternative text: say what it shows")
    display(bundle, metadata=metadata, raw=True)
    number, _, text = caption.partition(". ")
    display(Markdown(f"*{number}.* {text}"))


def show_source(thing: Callable) -> None:
    """Show the source of a function, method or class of the package below its name.

    A chapter reads the package's own code this way, so that there is no copy of it to go stale.
    ``thing`` may be a Triton kernel, which keeps its Python function as ``fn``.
    Raises TypeError for what has no source, such as a number or an instance.
    """
    thing = getattr(thing, "fn", thing)
    code = textwrap.dedent(inspect.getsource(thing)).rstrip()
    display(Markdown(f"`{thing.__module__}.{thing.__qualname__}`\n\n```python\n{code}\n```"))


def as_png(figure: Figure) -> bytes:
    """Close a figure and return it as a PNG of 256 colours, which keeps notebooks small."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, facecolor="white")
    plt.close(figure)
    image = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small = io.BytesIO()
    image.save(small, format="png", optimize=True)
    return small.getvalue()


def shown_width(figure: Figure) -> int:
    """Return how many pixels wide a page shows a figure, whatever its resolution."""
    return round(figure.get_size_inches()[0] * 96)


def picture(tokens: Float[Tensor, "1 h w c"]) -> Float[np.ndarray, "height width 3"]:
    """Turn a map of photograph tokens (``data.photograph_tokens``) into an image again."""
    patch_size = math.isqrt(tokens.shape[-1] // 3)
    image = rearrange(tokens, "1 h w (p q rgb) -> (h p) (w q) rgb", p=patch_size, rgb=3)
    return image.numpy()


def draw_picture(axes: Axes, tokens: Float[Tensor, "1 h w c"], title: str = "") -> None:
    """Draw a map of photograph tokens, with thin lines between the tokens."""
    height, width = tokens.shape[1:3]
    axes.imshow(picture(tokens), extent=(0, width, height, 0), interpolation="nearest")
    _token_axes(axes, height, width, title)


def draw_windows(
    axes: Axes, height: int, width: int, window_size: Size, shift_size: Size = 0
) -> None:
    """Outline a map's windows; shifted ones begin at ``shift_size``, cut off at the edges."""
    (window_height, window_width) = size_pair("window_size", window_size)
    (shift_rows, shift_columns) = size_pair("shift_size", shift_size, minimum=0)
    # White under black: seen on a bright photograph and on a dark one.
    for colour, line_width in (("white", 4.2), (INK, 2.2)):
        for y in range(shift_rows or window_height, height, window_height):
            axes.plot([0, width], [y, y], color=colour, lw=line_width, solid_capstyle="butt")
        for x in range(shift_columns or window_width, width, window_width):
            axes.plot([x, x], [0, height], color=colour, lw=line_width, solid_capstyle="butt")
    frame = {"fill": False, "ec": INK, "lw": 2.2, "clip_on": False, "zorder": 3}
    axes.add_patch(Rectangle((0, 0), width, height, **frame))


def draw_regions(
    axes: Axes,
    ids: Int[Tensor, "h w"],
    title: str = "",
    padding_id: int | None = None,
    strength: float = 0.7,
    numbers: bool | Bool[Tensor, "h w"] = True,
) -> None:
    """Colour every token by its region and print the region's number on it.

    Drawn over a photograph if one is there already.  ``padding_id`` is the region to draw grey and
    hatched; ``strength`` is the colours' opacity, 0 to 1; ``numbers`` says whether to print the
    numbers, or on which tokens.
    """
    height, width = ids.shape
    numbered = torch.as_tensor(numbers).expand(height, width)
    _token_axes(axes, height, width, title)
    font_size = min(11.0, 70 / max(height, width) + 2.5)
    for y in range(height):
        for x in range(width):
            region = int(ids[y, x])
            if region == padding_id:
                continue
            colour = (*to_rgb(region_colour(region)), strength)
            axes.add_patch(Rectangle((x, y), 1, 1, fc=colour, ec=(1, 1, 1, 0.6), lw=0.6))
            if numbered[y, x]:
                _sign(axes, y, x, str(region), font_size)
    if padding_id is not None:
        draw_padding(axes, ids == padding_id)


def draw_numbers(axes: Axes, numbers: Int[Tensor, "h w"]) -> None:
    """Print a number on every token."""
    for y, row in enumerate(numbers.tolist()):
        for x, number in enumerate(row):
            _sign(axes, y, x, str(number), min(9.0, 70 / max(numbers.shape) + 2.5))


def draw_padding(axes: Axes, is_padding: Bool[Tensor, "h w"]) -> None:
    """Hatch the padding tokens of a map."""
    for y, x in is_padding.nonzero().tolist():
        axes.add_patch(Rectangle((x, y), 1, 1, fc=PADDING, ec="white", lw=0.6, hatch="///"))


def draw_mask(
    axes: Axes,
    mask: Bool[Tensor, "q k"],
    title: str = "",
    labels: Int[Tensor, "t"] | None = None,
) -> None:
    """Draw one window's mask: queries down, keys across; dark = may not attend.

    ``labels`` (the region of each token, say) are printed along both sides.
    """
    queries, keys = mask.shape
    colours = ListedColormap([FORBIDDEN, ALLOWED])
    axes.imshow(mask.int().numpy(), cmap=colours, vmin=0, vmax=1, extent=(0, keys, queries, 0))
    _token_axes(axes, queries, keys, title)
    axes.set_xlabel("key")
    axes.set_ylabel("query")
    if labels is not None:
        size = min(9.0, 120 / len(labels))
        axes.set_xticks(np.arange(keys) + 0.5, labels.tolist(), fontsize=size)
        axes.set_yticks(np.arange(queries) + 0.5, labels.tolist(), fontsize=size)


def draw_attended(
    axes: Axes,
    query: tuple[int, int],
    allowed: Bool[Tensor, "h w"],
    forbidden: Bool[Tensor, "h w"] | None = None,
) -> None:
    """Mark a query token with a star, the keys that it may see with a dot, the others with a cross.

    ``query`` is (row, column); ``forbidden`` are the keys that share its window but not its region.
    """
    size = min(11.0, 240 / max(allowed.shape))  # smaller signs where tokens are small
    for y, x in allowed.nonzero().tolist():
        axes.add_patch(Rectangle((x, y), 1, 1, fc=(*to_rgb(PALETTE[0]), 0.55), ec="white", lw=0.6))
        if (y, x) != tuple(query):
            _sign(axes, y, x, "●", 0.73 * size)
    for y, x in forbidden.nonzero().tolist() if forbidden is not None else ():
        axes.add_patch(Rectangle((x, y), 1, 1, fc=(*to_rgb(FORBIDDEN), 0.6), ec="white", lw=0.6))
        _sign(axes, y, x, "×", size)
    y, x = query
    line_width = min(2.5, size / 4)
    axes.add_patch(Rectangle((x, y), 1, 1, fc=(*to_rgb(QUERY), 0.5), ec=QUERY, lw=line_width))
    _sign(axes, y, x, "★", size)


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
    _token_axes(axes, height, width, title)
    for y in range(height):
        for x in range(width):
            value = float(values[y, x])
            text = f"{value:.0%}" if percent else f"{value:.0f}"
            text = "×" if percent and value == 0 else text
            _sign(axes, y, x, text + ("★" if query == (y, x) else ""), 11.0)


def draw_learning_curves(losses: Axes, accuracies: Axes, metrics: list[dict]) -> None:
    """Draw a run's training and test loss, and on other axes its test accuracy.

    ``metrics`` are the lines of its log, ``runs.read_metrics``.
    """
    for name, label in (("loss", "training"), ("test_loss", "test")):
        points = [(line["epoch"], line[name]) for line in metrics if name in line]
        losses.plot(*zip(*points, strict=True), label=label, marker="o" * (name != "loss"), ms=3)
    points = [(line["epoch"], line["test_accuracy"]) for line in metrics if "test_accuracy" in line]
    accuracies.plot(*zip(*points, strict=True), marker="o", ms=3)
    losses.set(xlabel="epoch", ylabel="loss")
    accuracies.set(xlabel="epoch", ylabel="test accuracy")
    accuracies.yaxis.set_major_formatter(PercentFormatter(1.0))
    losses.legend()


def draw_confusion(
    axes: Axes, confusion: Int[Tensor, "truth predicted"], classes: Sequence[str]
) -> None:
    """Print how many images of a class (row) were taken for which class (column)."""
    shares = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    if len(classes) > 20:  # too many to print
        axes.set(xlabel="taken for (class number)", ylabel="truth (class number)")
        return
    for truth, row in enumerate(confusion.tolist()):
        for predicted, count in enumerate(row):
            if count:
                colour = "white" if shares[truth, predicted] > 0.5 else INK
                options = {"ha": "center", "va": "center", "fontsize": 8, "color": colour}
                axes.text(predicted, truth, str(count), **options)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="taken for", ylabel="truth")


def draw_mistakes(
    figure: Figure, mistakes: dict[str, Tensor], classes: Sequence[str], columns: int = 8
) -> None:
    """Show images, each with the class that it was taken for and, below, the true one.

    ``mistakes`` is what ``evaluation.worst_mistakes`` returns.
    """
    names = ("images", "truth", "predicted", "confidence")
    parts = [mistakes[name].numpy() for name in names]
    rows = max(1, math.ceil(len(parts[0]) / columns))
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for one in axes:
        one.axis("off")
    for one, image, truth, predicted, confidence in zip(axes, *parts, strict=False):
        low, high = image.min(), image.max()
        one.imshow(rearrange((image - low) / (high - low), "c h w -> h w c"), cmap="gray")
        title = f"{classes[predicted]} ({confidence:.0%})\nis: {classes[truth]}"
        one.set_title(title, fontsize=8, pad=3)


def save_run_figures(folder: Path) -> list[Path]:
    """Draw a finished run's learning curves, confusion matrix and worst mistakes, in its folder."""
    use_house_style()
    summary = json.loads((folder / runs.SUMMARY).read_text())
    classes = summary["classes"]
    curves, axes = plt.subplots(1, 2, figsize=(8, 3))
    draw_learning_curves(*axes, runs.read_metrics(folder))
    confusion, axes = plt.subplots(figsize=(6, 5.5))
    draw_confusion(axes, torch.tensor(summary["confusion"]), classes)
    mistakes = plt.figure(figsize=(10, 5))
    draw_mistakes(mistakes, load_file(folder / runs.MISTAKES), classes)
    paths = []
    figures = {"learning_curves": curves, "confusion_matrix": confusion, "mistakes": mistakes}
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=PIXELS_PER_INCH, facecolor="white")
        plt.close(figure)
    return paths


def mask_legend(where: Axes | Figure, **options) -> None:
    """Explain the two colours of ``draw_mask``."""
    handles = [
        Patch(fc=ALLOWED, ec=INK, label="may attend (adds 0)"),
        Patch(fc=FORBIDDEN, ec=INK, label="may not (adds −∞)"),
    ]
    where.legend(handles=handles, **options)


def region_colour(region: int) -> str:
    """Return a region's colour, one of twelve; the numbers tell apart what the colours cannot."""
    return PALETTE[region % len(PALETTE)]


def _sign(axes: Axes, y: int, x: int, text: str, size: float) -> None:
    outline = mpl.patheffects.withStroke(linewidth=min(2, size / 3), foreground=INK)
    axes.text(
        x + 0.5,
        y + 0.52,
        text,
        ha="center",
        va="center",
        fontsize=size,
        color="white",
        path_effects=[outline],
    )


def _token_axes(axes: Axes, height: int, width: int, title: str) -> None:
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", title=title, xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    lines = {"color": "white", "lw": 0.5 if max(height, width) <= 32 else 0.2, "alpha": 0.7}
    axes.hlines(range(1, height), 0, width, **lines)
    axes.vlines(range(1, width), 0, height, **lines)
