"""Chapter 01's figures say what was measured: the gaps, and where the change stops."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_rgb

from swin_tutorial.data.photographs import photograph_tokens
from swin_tutorial.figures import chapter_01 as draw
from swin_tutorial.figures.style import QUERY
from swin_tutorial.windows import pad_to_windows, window_partition


@pytest.fixture
def shown(monkeypatch):
    """Keep the figures that are shown, and their alternative texts."""
    kept = []
    monkeypatch.setattr(draw, "show", lambda figure, alt: kept.append((figure, alt)))
    yield kept
    plt.close("all")


def words(axes):
    return {text.get_text() for text in axes.texts}


def outlined(axes):
    """Return the tokens (row, column) that are outlined in orange."""
    return [
        (int(patch.get_y()), int(patch.get_x()))
        for patch in axes.patches
        if patch.get_edgecolor()[:3] == to_rgb(QUERY)
    ]


def numbered_windows(axes):
    """Return the numbers in an image, each with its place (x, y)."""
    return {int(text.get_text()): text.get_position() for text in axes.texts}


def test_each_window_stands_apart_under_its_number(shown):
    x = photograph_tokens("coffee", 4, 6, patch_size=4)
    draw.windows_apart(x, window_partition(x, 2), token=(1, 4))
    ((figure, alt),) = shown
    titles = [axes.get_title() for axes in figure.get_axes()]
    assert titles == ["the map: 4 × 6 tokens", *(f"window {n}" for n in range(6))]
    assert "4 by 6" in alt
    assert "6 window outlines" in alt
    assert "row 1, column 4 is outlined in both; it is in window 2" in alt
    whole, *apart = figure.get_axes()
    assert [label.get_text() for label in whole.get_xticklabels()] == list("012345")
    assert [label.get_text() for label in whole.get_yticklabels()] == list("0123")
    assert outlined(whole) == [(1, 4)]
    assert [outlined(axes) for axes in apart] == [[], [], [(1, 0)], [], [], []]


def test_the_gap_is_annotated_where_it_is_asked_for_and_at_the_end(shown):
    draw.cost([10, 100, 1000], [20, 1382, 4111], [10, 100, 2], at=100)
    (axes,) = shown[0][0].get_axes()
    assert {"≈ 14 ×", "≈ 2,100 ×"} <= words(axes)
    assert "≈ 2 ×" not in words(axes)


def test_a_change_has_its_shade_and_the_neighbor_across_the_edge_is_outlined(shown):
    inside = torch.zeros(8, 12)
    inside[:4, 4:8] = 0.002
    inside[3, 7] = 0.5
    changes = {"global": torch.full((8, 12), 1e-9), "windows": inside}
    draw.price(photograph_tokens("coffee", 8, 12, patch_size=2), (3, 7), changes, 4)
    _, whole, windows, _ = shown[0][0].get_axes()
    assert whole.get_title() == "global: 96 change"
    assert windows.get_title() == "windows: 16 change"

    def shades(axes):
        colors = {to_rgb(shade): shade for shade in draw.SHADES}
        return {
            (int(patch.get_y()), int(patch.get_x())): colors[patch.get_facecolor()[:3]]
            for patch in axes.patches
            if patch.get_fill() and patch.get_facecolor()[:3] in colors
        }

    assert shades(whole) == {(y, x): draw.SHADES[0] for y in range(8) for x in range(12)}
    expected = {(y, x): draw.SHADES[1] for y in range(4) for x in range(4, 8)}
    assert shades(windows) == expected | {(3, 7): draw.SHADES[3]}

    def dashed(axes):
        patches = [patch for patch in axes.patches if patch.get_linestyle() not in ("solid", "-")]
        return [(int(patch.get_y()), int(patch.get_x())) for patch in patches]

    assert dashed(windows) == [(3, 8)]  # the token right of (3, 7)
    assert dashed(whole) == []


def test_padding_is_named_by_both_sizes(shown):
    small = photograph_tokens("coffee", 3, 5, patch_size=2)
    is_padding = torch.ones(4, 6, dtype=torch.bool)
    is_padding[:3, :5] = False
    draw.padding(pad_to_windows(small, 2), is_padding, 2)
    ((figure, alt),) = shown
    (axes,) = figure.get_axes()
    assert axes.get_title() == "3 × 5 tokens, padded to 4 × 6"
    assert sum(bool(patch.get_hatch()) for patch in axes.patches) == int(is_padding.sum())
    assert "3 by 5" in alt
    places = [(1, 1), (3, 1), (5, 1), (1, 3), (3, 3), (5, 3)]
    for number, place in enumerate(places):
        assert numbered_windows(axes)[number] == pytest.approx(place, abs=0.05)


def test_each_glued_map_has_its_name_and_its_windows_numbers(shown):
    sizes = {"right": (4, 8), "wrong": (8, 4)}
    maps = {name: photograph_tokens("coffee", *size, patch_size=2) for name, size in sizes.items()}
    draw.glued(maps, window_size=4)
    ((figure, _),) = shown
    right, wrong = figure.get_axes()
    assert (right.get_title(), wrong.get_title()) == ("right", "wrong")
    assert numbered_windows(right)[1] == pytest.approx((6, 2), abs=0.05)
    assert numbered_windows(wrong)[1] == pytest.approx((2, 6), abs=0.05)
