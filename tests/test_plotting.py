"""Figures: readable without colour, with caption and alternative text, drawn where they say."""

import io

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from swin_tutorial import plotting
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import region_ids, shifted_window_mask


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def texts(axes):
    """Return the text on each token as {(row, column): text}."""
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}


def luminance(colour):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_allowed_and_forbidden_differ_in_brightness_not_in_hue_alone():
    assert contrast(plotting.ALLOWED, plotting.FORBIDDEN) > 7


def test_the_palette_is_distinct_to_the_colour_blind():
    """Machado et al. (2009), severity 1: deuteranopia, protanopia and tritanopia."""
    simulations = [
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
    ]
    colours = np.array([to_rgb(colour) for colour in plotting.PALETTE])
    assert len(set(plotting.PALETTE)) == 12
    for simulation in [np.eye(3), *map(np.array, simulations)]:
        seen = colours @ simulation.T
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 9 * np.eye(12)
        assert distances.min() > 0.1


def test_every_region_carries_its_number_and_padding_none(axes):
    ids = region_ids(3, 4, 2, 1)
    plotting.draw_regions(axes, ids, padding_id=9)
    numbers = texts(axes)
    for y in range(4):
        for x in range(4):
            assert numbers.get((y, x)) == (None if ids[y, x] == 9 else str(int(ids[y, x])))
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == int((ids == 9).sum()) == 4


def test_queries_keys_and_forbidden_keys_have_different_signs(axes):
    allowed, forbidden = torch.zeros(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.bool)
    allowed[0, :2] = True
    forbidden[1, 2] = True
    plotting.draw_attended(axes, (0, 0), allowed, forbidden)
    assert texts(axes) == {(0, 0): "★", (0, 1): "●", (1, 2): "×"}


def test_weights_are_printed_and_exact_zeros_crossed(axes):
    plotting.draw_weights(axes, torch.tensor([[0.75, 0.0], [0.25, 0.0]]), query=(0, 0))
    assert texts(axes) == {(0, 0): "75%★", (0, 1): "×", (1, 0): "25%", (1, 1): "×"}


def test_windows_are_outlined_where_they_are(axes):
    plotting.draw_windows(axes, 8, 12, (4, 6), (2, 3))
    lines = {tuple(map(tuple, line.get_xydata().tolist())) for line in axes.lines}
    assert lines == {
        ((0, 2), (12, 2)),
        ((0, 6), (12, 6)),
        ((3, 0), (3, 8)),
        ((9, 0), (9, 8)),
    }


def test_a_mask_is_drawn_as_it_is_with_queries_down(axes):
    mask = shifted_window_mask(2, 4, 2, 1)[1]
    plotting.draw_mask(axes, mask, labels=torch.tensor([1, 0, 1, 0]))
    assert np.array_equal(axes.images[0].get_array(), mask.numpy())
    assert axes.get_ylabel() == "query"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "0", "1", "0"]


def test_show_gives_image_alternative_text_and_caption(monkeypatch):
    shown = []
    monkeypatch.setattr(plotting, "display", lambda *one, **more: shown.append((one, more)))
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot([0, 1])
    plotting.show(figure, "Figure 9.9. A line.", "A line from 0 to 1.")
    (bundle,), options = shown[0]
    assert options["metadata"]["image/png"] == {"alt": "A line from 0 to 1.", "width": 384}
    assert "A line from 0 to 1." in bundle["text/plain"]
    with Image.open(io.BytesIO(bundle["image/png"])) as image:
        assert image.size == (512, 256)
    assert shown[1][0][0].data == "*Figure 9.9.* A line."
    assert not plt.fignum_exists(figure.number)


@pytest.mark.parametrize(("caption", "alt"), [("", "words"), ("words", " ")])
def test_a_figure_without_words_is_refused(caption, alt):
    with pytest.raises(ValueError, match="a caption and an alternative text"):
        plotting.show(plt.figure(), caption, alt)


def shown_source(monkeypatch, thing):
    shown = []
    monkeypatch.setattr(plotting, "display", shown.append)
    plotting.show_source(thing)
    (markdown,) = shown
    return markdown.data


def test_source_is_shown_as_code_below_its_name(monkeypatch):
    text = shown_source(monkeypatch, WindowGrid.merge)
    name, blank, fence, first, *_, last, end = text.split("\n")
    assert (name, blank) == ("`swin_tutorial.grid.WindowGrid.merge`", "")
    assert first.startswith("def merge(self, windows")  # a method's indentation is taken off
    assert last == "    return x[:, : self.height, : self.width]"
    assert (fence, end) == ("```python", "```")


def test_a_kernel_shows_the_function_that_it_was_made_of(monkeypatch):
    pytest.importorskip("triton")
    from swin_tutorial import fused

    text = shown_source(monkeypatch, fused.token_places)
    assert text.startswith("`swin_tutorial.fused.token_places`\n\n```python\n@triton.jit\n")
    assert "\n    return row, column, is_real, region\n" in text


def test_an_instance_has_no_source(monkeypatch):
    with pytest.raises(TypeError, match="got Identity"):
        shown_source(monkeypatch, torch.nn.Identity())


METRICS = [
    {"step": 3, "epoch": 0.75, "loss": 1.5},
    {"step": 4, "epoch": 1.0, "test_accuracy": 0.25, "test_loss": 1.25},
    {"step": 6, "epoch": 1.5, "loss": 0.5},
    {"step": 8, "epoch": 2.0, "test_accuracy": 0.75, "test_loss": 1.0},
]


def test_learning_curves_stand_at_their_epochs(axes):
    figure, other = plt.subplots()
    plotting.draw_learning_curves(axes, other, METRICS)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {"training": [[0.75, 1.5], [1.5, 0.5]], "test": [[1.0, 1.25], [2.0, 1.0]]}
    assert other.lines[0].get_xydata().tolist() == [[1.0, 0.25], [2.0, 0.75]]
    plt.close(figure)


def test_confusion_is_coloured_by_its_rows_and_prints_no_zeros(axes):
    confusion = torch.tensor([[3, 1, 0], [0, 10, 0], [0, 0, 0]])
    plotting.draw_confusion(axes, confusion, ["a", "b", "c"])
    expected = [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]
    assert np.allclose(axes.images[0].get_array(), expected)
    found = {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in axes.texts}
    assert found == {(0, 0): "3", (0, 1): "1", (1, 1): "10"}
    assert axes.get_ylabel() == "truth"


@pytest.mark.parametrize("count", [0, 3])
def test_mistakes_carry_what_they_were_taken_for_and_what_they_are(count):
    figure = plt.figure()
    mistakes = {
        "images": torch.arange(count * 3 * 2 * 4).reshape(count, 3, 2, 4) / 10,
        "truth": torch.tensor([1, 0, 1])[:count],
        "predicted": torch.tensor([0, 1, 2])[:count],
        "confidence": torch.tensor([0.987, 0.75, 0.5])[:count],
    }
    plotting.draw_mistakes(figure, mistakes, ["shoe", "bag", "coat"], columns=2)
    titles = [one.get_title() for one in figure.axes if one.get_title()]
    expected = ["shoe (99%)\nis: bag", "bag (75%)\nis: shoe", "coat (50%)\nis: bag"]
    assert titles == expected[:count]
    plt.close(figure)
