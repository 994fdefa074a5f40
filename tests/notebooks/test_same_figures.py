"""The comparison of figures: a changed digit is found, what nobody sees is not."""

import base64
import io
import os
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import same_figures
import torch
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image
from same_figures import changed_figures, difference

from swin_tutorial import figures

pytest_plugins = ["pytester"]


def drawn(digit="6", cells=4, color="#117733"):
    """Return the PNG of a map of which one token's number, the size or the lines may differ."""
    with figures.house_style():
        figure, axes = plt.subplots(figsize=(4, 3))
    numbers = torch.arange(cells * cells).view(cells, cells)
    figures.draw_regions(axes, numbers, "regions")
    axes.text(0.5, -0.1, digit, transform=axes.transAxes)
    axes.plot([0, cells], [0, cells], color=color)
    return figures.as_png(figure)


def test_the_same_figure_is_the_same():
    assert difference(drawn(), drawn()) == ""


@pytest.mark.parametrize("change", [{"digit": "5"}, {"cells": 5}, {"color": "#AA4499"}])
def test_a_changed_digit_map_or_color_is_found(change):
    assert "blocks have changed, worst by" in difference(drawn(), drawn(**change))


def test_shades_that_nobody_sees_are_not_found():
    with Image.open(io.BytesIO(drawn())) as image:
        pixels = np.asarray(image.convert("RGBA")).astype(int)
    noise = np.random.default_rng(0).integers(-12, 13, pixels.shape)
    assert difference(drawn(), as_png(pixels + noise * (pixels[..., 3:] == 255))) == ""
    assert "blocks have changed" in difference(drawn(), as_png(pixels - [0, 60, 0, 0]))


def as_png(pixels):
    png = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(png, "png")
    return png.getvalue()


def test_a_figure_on_white_is_not_one_on_a_transparent_ground():
    clear, white = np.zeros((16, 16, 4)), np.full((16, 16, 4), 255)
    assert "4 of 4 blocks have changed" in difference(as_png(clear), as_png(white))
    hidden = np.full((16, 16, 4), [255, 0, 0, 0])  # the color of nothing
    assert difference(as_png(clear), as_png(hidden)) == ""


def test_every_frame_is_compared():
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "white", "blue")]
    other = [*frames[:2], Image.new("RGB", (16, 16), "green")]
    one, two, three = (animated(some) for some in (frames, other, frames[:2]))
    assert difference(one, one) == ""
    assert "frame 2: 4 of 4 blocks" in difference(one, two)
    assert "3 frames of (16, 16) are stored, 2 of" in difference(one, three)


def animated(frames):
    png = io.BytesIO()
    frames[0].save(png, "png", save_all=True, append_images=frames[1:], duration=100)
    return png.getvalue()


def output(png):
    return new_output("display_data", {"image/png": base64.b64encode(png).decode()})


def test_an_image_too_many_is_found():
    text = new_output("stream", name="stdout", text="6\n")
    one = [text, output(drawn())]
    assert changed_figures(one, one) == []
    assert changed_figures(one, [*one, output(drawn())]) == ["1 images are stored, 2 were drawn"]
    assert changed_figures(one, [output(drawn("5")), text])[0].startswith("image 0: frame 0: ")


@pytest.mark.parametrize(
    ("shade", "tags", "outcome"),
    [
        (200, [], {"passed": 1}),
        (90, [], {"failed": 1}),
        (90, ["nbval-ignore-output"], {"passed": 1}),
    ],
)
def test_nbval_looks_at_figures(pytester, monkeypatch, shade, tags, outcome):
    """A notebook whose stored image is of one shade, and whose cell draws another."""
    source = (
        "import io\nfrom PIL import Image\nfrom IPython.display import display\n"
        "png = io.BytesIO()\n"
        f"Image.new('RGB', (32, 32), ({shade},) * 3).save(png, 'png')\n"
        "display({'image/png': png.getvalue()}, raw=True)"
    )
    stored = output(as_png(np.full((32, 32, 3), 200)))
    cell = new_code_cell(source, execution_count=1, outputs=[stored], metadata={"tags": tags})
    cell.id = "gray"
    nbformat.write(new_notebook(cells=[cell]), pytester.path / "one.ipynb")
    here = str(Path(same_figures.__file__).parent)
    path = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    options = ["--nbval", "--nbval-current-env", "-p", "same_figures", "-p", "no:cacheprovider"]
    result = pytester.runpytest_subprocess("one.ipynb", *options)
    result.assert_outcomes(**outcome)
    if "failed" in outcome:
        result.stdout.fnmatch_lines(["*one.ipynb, cell gray:*", "*image 0: *16 of 16 blocks*"])
