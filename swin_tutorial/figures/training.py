"""The figures of a training run: learning curves, confusion matrix, worst mistakes."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from einops import rearrange
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from safetensors.torch import load_file
from torch import Tensor

from swin_tutorial.figures.style import INK, PIXELS_PER_INCH, use_house_style
from swin_tutorial.training import run_folder


def draw_learning_curves(losses: Axes, accuracies: Axes, metrics: list[dict]) -> None:
    """Draw a run's training and test loss, and on other axes its test accuracy.

    ``metrics`` are the lines of its log, ``run_folder.read_metrics``.
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
                color = "white" if shares[truth, predicted] > 0.5 else INK
                options = {"ha": "center", "va": "center", "fontsize": 8, "color": color}
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
    images, *labels = (mistakes[name].numpy() for name in names)
    rows = max(1, math.ceil(len(images) / columns))
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid:
        axes.axis("off")
    for axes, image, truth, predicted, confidence in zip(grid, images, *labels, strict=False):
        low, high = image.min(), image.max()
        axes.imshow(rearrange((image - low) / (high - low), "c h w -> h w c"), cmap="gray")
        title = f"{classes[predicted]} ({confidence:.0%})\nis: {classes[truth]}"
        axes.set_title(title, fontsize=8, pad=3)


def save_run_figures(folder: Path) -> list[Path]:
    """Draw a finished run's learning curves, confusion matrix and worst mistakes, in its folder."""
    use_house_style()
    summary = json.loads((folder / run_folder.SUMMARY).read_text())
    classes = summary["classes"]
    curves, axes = plt.subplots(1, 2, figsize=(8, 3))
    draw_learning_curves(*axes, run_folder.read_metrics(folder))
    confusion, axes = plt.subplots(figsize=(6, 5.5))
    draw_confusion(axes, torch.tensor(summary["confusion"]), classes)
    mistakes = plt.figure(figsize=(10, 5))
    draw_mistakes(mistakes, load_file(folder / run_folder.MISTAKES), classes)
    paths = []
    figures = {"learning_curves": curves, "confusion_matrix": confusion, "mistakes": mistakes}
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=PIXELS_PER_INCH, facecolor="white")
        plt.close(figure)
    return paths
