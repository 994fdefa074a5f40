"""The figures of a training run: what it learned from, how, what it answers and where it fails."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from safetensors.torch import load_file
from torch import Tensor

from swin_tutorial.figures.maps import frame_tokens, write_on_token
from swin_tutorial.figures.style import (
    INK,
    PADDING,
    PALETTE,
    PIXELS_PER_INCH,
    QUERY,
    use_house_style,
)
from swin_tutorial.training import run_folder


def draw_learning_curves(axes: Iterable[Axes], metrics: Sequence[dict]) -> None:
    """Draw a run's training loss, test loss and test accuracy, each on axes of its own.

    The two losses differ in level, and on common axes the small rise of a test loss that overfits
    would not be seen.  An arrow marks the lowest test loss if it is not the last one.

    Args:
        axes: three of them.
        metrics: the lines of the run's log, ``run_folder.read_metrics``.
    """
    axes = losses, test_losses, accuracies = tuple(axes)
    losses.plot(*_logged(metrics, "loss"), lw=1.2)
    # A dot for each evaluation, with no line: between them, nothing was measured.
    for one, name in ((test_losses, "test_loss"), (accuracies, "test_accuracy")):
        one.plot(*_logged(metrics, name), "o", ms=4, color=PALETTE[1])
    for one, label in zip(axes, ("training loss", "test loss", "test accuracy"), strict=True):
        one.set(xlabel="epoch", title=label)
        one.margins(y=0.15)
        one.set_xlim(left=0)
    accuracies.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    epochs, values = _logged(metrics, "test_loss")
    lowest = values.index(min(values)) if values else -1
    if values[lowest:][1:]:
        arrow = {"arrowstyle": "->", "color": INK}
        where = {"textcoords": "offset points", "ha": "center", "arrowprops": arrow}
        test_losses.annotate("lowest", (epochs[lowest], values[lowest]), (0, 26), **where)


def _logged(metrics: Sequence[dict], name: str) -> tuple[list[float], list[float]]:
    """Return the epochs at which a value was logged, and the values."""
    lines = [line for line in metrics if name in line]
    return [line["epoch"] for line in lines], [line[name] for line in lines]


def draw_confusion(
    axes: Axes, confusion: Int[Tensor, "truth predicted"], classes: Sequence[str]
) -> None:
    """Print how many images of a class (row) were taken for which other class (column).

    The diagonal, what was right, is left blank: it would outshine all mistakes.
    """
    wrong = confusion - confusion.diag().diag()
    axes.imshow(wrong.numpy(), cmap="Blues", vmin=0)
    axes.set(xlabel="taken for", ylabel="truth")
    if len(classes) > 20:  # too many to print
        return
    for row in range(len(classes)):
        axes.add_patch(Rectangle((row - 0.5, row - 0.5), 1, 1, fc=PADDING, ec="white"))
    for truth, predicted in wrong.nonzero().tolist():
        color = "white" if wrong[truth, predicted] > wrong.max() / 2 else INK
        options = {"ha": "center", "va": "center", "fontsize": 8, "color": color}
        axes.text(predicted, truth, str(int(wrong[truth, predicted])), **options)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)


def draw_answers(
    figure: Figure, answers: Mapping[str, Tensor], classes: Sequence[str], columns: int = 8
) -> None:
    """Show images, each with what a model says and how sure it is, and the truth where it is wrong.

    ``answers`` are ``images`` (n c h w), ``truth``, ``predicted`` and ``confidence`` (n), as
    ``evaluation.worst_mistakes`` returns them.
    """
    names = ("images", "truth", "predicted", "confidence")
    images, *labels = (answers[name].numpy() for name in names)
    grid = _image_grid(figure, len(images), columns)
    for axes, image, truth, predicted, confidence in zip(grid, images, *labels, strict=False):
        _draw_image(axes, image)
        title = f"{classes[predicted]} ({confidence:.0%})"
        if predicted == truth:
            axes.set_title(f"{title}\n", fontsize=8, pad=3)
        else:
            axes.set_title(f"{title}\n✗ is: {classes[truth]}", fontsize=8, pad=3, weight="bold")


def draw_augmentation(
    figure: Figure,
    before: tuple[Tensor, Tensor],
    after: tuple[Tensor, Tensor],
    classes: Sequence[str],
) -> None:
    """Show a batch of images as they are and, below, what augmentation made of them.

    Each has its own classes below it: one, or two with their shares.

    Args:
        before, after: images (b c h w) and class probabilities (b classes) of the same batch.
        classes: their names.
    """
    grid = _image_grid(figure, 2 * len(before[0]), columns=len(before[0]))
    images, targets = (torch.cat(pair) for pair in zip(before, after, strict=True))
    for axes, image, target in zip(grid, images.numpy(), targets, strict=True):
        _draw_image(axes, image)
        shares, numbers = target.sort(descending=True)
        parts = [
            f"{share:.0%} {classes[number]}" if share < 1 else classes[number]
            for share, number in zip(shares.tolist(), numbers.tolist(), strict=True)
            if share > 0
        ]
        axes.text(0.5, -0.04, "\n".join(parts), transform=axes.transAxes, **_BELOW)


_BELOW = {"ha": "center", "va": "top", "fontsize": 8}


def draw_token(
    axes: Axes,
    image: Float[Tensor, "1 height width"],
    size: tuple[int, int],
    token: tuple[int, int],
) -> None:
    """Draw a gray image, and outline one token (row, column) of its map of ``size`` tokens."""
    axes.imshow(image[0].numpy(), cmap="gray", extent=(0, size[1], size[0], 0))
    axes.set(xticks=[], yticks=[])
    _outline(axes, token)


def draw_leak(
    axes: Axes,
    weights: Float[Tensor, "h w"],
    query: tuple[int, int],
    forbidden: Bool[Tensor, "h w"],
    largest: float,
    title: str,
) -> None:
    """Draw how much a query attends to each token of the map; a cross is a key the mask forbids.

    Args:
        axes: where.
        weights: attention weights, 0 for tokens of other windows.
        query: row and column.
        forbidden: the tokens that share the query's window and not its region.
        largest: the weight drawn in the darkest blue.
        title: put before the share of attention that the crossed tokens get together.
    """
    height, width = weights.shape
    extent = (0, width, height, 0)
    axes.imshow(weights.numpy(), cmap="Blues", extent=extent, vmin=0, vmax=largest)
    leaked = float(weights[forbidden].sum())
    frame_tokens(axes, (height, width), f"{title}: {leaked:.0%} beyond the edge")
    for spine in axes.spines.values():
        spine.set(visible=True)
    for y, x in forbidden.nonzero().tolist():
        write_on_token(axes, (y, x), "×", 10.0)
    _outline(axes, query)


def _outline(axes: Axes, token: tuple[int, int]) -> None:
    """Outline a token in orange on white, to be seen on a black image and on a white map."""
    for color, line_width in (("white", 4.5), (QUERY, 2.5)):
        box = {"fill": False, "ec": color, "lw": line_width, "zorder": 3, "clip_on": False}
        axes.add_patch(Rectangle((token[1], token[0]), 1, 1, **box))


def _image_grid(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Return axes without a frame, for ``count`` images or a few more."""
    grid = figure.subplots(max(1, math.ceil(count / columns)), columns, squeeze=False).flatten()
    for axes in grid:
        axes.axis("off")
    return list(grid)


def _draw_image(axes: Axes, image: np.ndarray) -> None:
    """Draw a normalized image (c h w), stretched to the full range of brightness."""
    low, high = image.min(), image.max()
    axes.imshow(rearrange((image - low) / (high - low), "c h w -> h w c"), cmap="gray")


def save_run_figures(folder: Path) -> list[Path]:
    """Draw a finished run's learning curves, confusion matrix and worst mistakes, in its folder."""
    use_house_style()
    summary = json.loads((folder / run_folder.SUMMARY).read_text())
    classes = summary["classes"]
    curves, axes = plt.subplots(1, 3, figsize=(10, 2.8))
    draw_learning_curves(axes, run_folder.read_metrics(folder))
    confusion, axes = plt.subplots(figsize=(6, 5.5))
    draw_confusion(axes, torch.tensor(summary["confusion"]), classes)
    mistakes = plt.figure(figsize=(10, 5))
    draw_answers(mistakes, load_file(folder / run_folder.MISTAKES), classes)
    paths = []
    figures = {"learning_curves": curves, "confusion_matrix": confusion, "mistakes": mistakes}
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=PIXELS_PER_INCH, facecolor="white")
        plt.close(figure)
    return paths
