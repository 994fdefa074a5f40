"""The house style: readable without color, and no figure without words."""

import io
import subprocess
import sys

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from swin_tutorial import figures
from swin_tutorial.data.photographs import open_photograph
from swin_tutorial.figures import style
from swin_tutorial.grid import WindowGrid

# Machado et al. (2009), severity 1: deuteranopia, protanopia and tritanopia.
COLOR_BLINDNESS = (
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
)


def luminance(color):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_figures_are_imported_without_model_training_or_kernel():
    """A chapter about windows must not wait for code that it never shows."""
    code = "import sys; from swin_tutorial import figures; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = set(run.stdout.split())
    ours = {name.split(".")[1] for name in found if name.startswith("swin_tutorial.")}
    assert "figures" in ours
    assert ours & {"model", "attention", "backends", "training", "data"} == set()
    assert "triton" not in found


def test_allowed_and_forbidden_differ_in_brightness_not_in_hue_alone():
    assert contrast(figures.ALLOWED, figures.FORBIDDEN) > 7


@pytest.mark.parametrize("page", ["#ffffff", "#111111", "#0d1117"])
def test_text_on_the_page_is_legible_in_both_themes(page):
    """White paper, JupyterLab's dark theme, GitHub's dark theme."""
    assert contrast(figures.TEXT, page) > 4


@pytest.fixture
def plot():
    """A figure with text on its ground, text on a panel, and a drawing without axes."""
    with figures.house_style():
        figure, (panel, drawing) = plt.subplots(1, 2, figsize=(6, 2.5))
        panel.plot([0, 3], [0, 1], label="a line")
        panel.set(title="Title", xlabel="width", ylabel="height")
        panel.legend()
        drawing.axis("off")
        drawing.text(0.5, 0.5, "words", ha="center")
        figure.suptitle("All of it")
    return figure


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "P"
        return np.asarray(image.convert("RGBA")).astype(int)


def test_a_figure_has_white_panels_on_a_transparent_ground(plot):
    panel, drawing = plot.axes
    image = pixels(figures.as_png(plot))
    height, width = image.shape[:2]
    assert (image[[0, 0, -1, -1], [0, -1, 0, -1], 3] == 0).all()
    panel = panel.get_position()
    y, x = round(height * (1 - panel.y0) - 8), round(width * panel.x1 - 8)
    assert image[y, x].tolist() == [255, 255, 255, 255]
    drawing = drawing.get_position()
    assert image[round(height * (1 - drawing.y1)) + 3, round(width * drawing.x0) + 3, 3] == 0


def test_all_that_stands_on_the_ground_is_gray_whatever_the_reader_has_set(plot):
    expected = np.array([round(255 * one) for one in to_rgb(figures.TEXT)])
    with plt.style.context("dark_background"):
        image = pixels(figures.as_png(plot))
    box = plot.axes[0].get_position()
    height, width = image.shape[:2]
    top, bottom = round(height * (1 - box.y1)) - 2, round(height * (1 - box.y0)) + 2
    left, right = round(width * box.x0) - 2, round(width * box.x1) + 2
    image[top:bottom, left:right] = 0  # the panel
    written = image[image[..., 3] > 200][:, :3]
    assert len(written) > 1000
    assert np.abs(written - expected).max() <= 4


def test_a_photograph_stays_light_and_true():
    photograph = open_photograph("coffee").convert("RGB").resize((512, 384))
    figure = plt.figure(figsize=(4, 3), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(photograph, aspect="auto", interpolation="nearest")
    png = figures.as_png(figure)
    assert len(png) < 130_000
    image = pixels(png)
    assert (image[..., 3] == 255).all()
    assert np.abs(image[..., :3] - np.asarray(photograph)).mean() < 3


def test_the_palette_is_distinct_to_the_color_blind():
    colors = np.array([to_rgb(color) for color in figures.PALETTE])
    assert len(set(figures.PALETTE)) == 12
    for simulation in [np.eye(3), *map(np.array, COLOR_BLINDNESS)]:
        seen = colors @ simulation.T
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 9 * np.eye(12)
        assert distances.min() > 0.1


def test_show_gives_image_and_alternative_text(monkeypatch):
    shown = []
    monkeypatch.setattr(style, "display", lambda *one, **more: shown.append((one, more)))
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot([0, 1])
    figures.show(figure, "A line from 0 to 1.")
    (bundle,), options = shown[0]
    assert options["metadata"]["image/png"] == {"alt": "A line from 0 to 1.", "width": 384}
    assert "A line from 0 to 1." in bundle["text/plain"]
    with Image.open(io.BytesIO(bundle["image/png"])) as image:
        assert image.size == (512, 256)
    assert not plt.fignum_exists(figure.number)


def test_a_figure_without_words_is_refused():
    with pytest.raises(ValueError, match="needs an alternative text"):
        figures.show(plt.figure(), " ")


def shown_source(monkeypatch, thing):
    shown = []
    monkeypatch.setattr(style, "display", shown.append)
    figures.show_source(thing)
    (markdown,) = shown
    return markdown.data


def test_source_is_shown_as_code_below_its_name(monkeypatch):
    text = shown_source(monkeypatch, WindowGrid.merge)
    name, blank, fence, first, *_, last, end = text.split("\n")
    assert (name, blank) == ("`swin_tutorial.grid.WindowGrid.merge`", "")
    assert first.startswith("def merge(self, windows")  # a method's indentation is taken off
    assert last.startswith("    return ")
    assert (fence, end) == ("```python", "```")


def test_a_kernel_shows_the_function_that_it_was_made_of(monkeypatch):
    triton = pytest.importorskip("triton")
    kernel = triton.jit(luminance)
    assert not callable(getattr(kernel, "__code__", None))  # not a function itself any more
    text = shown_source(monkeypatch, kernel)
    assert "\n```python\ndef luminance(color):\n" in text


def test_an_instance_has_no_source(monkeypatch):
    with pytest.raises(TypeError, match="got Identity"):
        shown_source(monkeypatch, torch.nn.Identity())
