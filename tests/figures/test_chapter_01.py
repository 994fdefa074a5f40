"""Chapter 01's figures say what was measured: the gaps, and where the change stops."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from swin_tutorial.data.photographs import photograph_tokens
from swin_tutorial.figures import chapter_01 as draw
from swin_tutorial.figures.style import PALETTE
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


def test_each_window_stands_apart_under_its_number(shown):
    x = photograph_tokens("coffee", 4, 6, patch_size=4)
    draw.windows_apart(x, window_partition(x, 2))
    ((figure, alt),) = shown
    titles = [axes.get_title() for axes in figure.get_axes()]
    assert titles == ["the map: 4 × 6 tokens", *(f"window {n}" for n in range(6))]
    assert "4 by 6" in alt
    assert "6 window outlines" in alt


def test_the_gap_is_annotated_where_it_is_asked_for_and_at_the_end(shown):
    draw.cost([10, 100, 1000], [20, 1400, 4000], [10, 100, 2], at=100)
    (axes,) = shown[0][0].get_axes()
    assert {"14 ×", "2,000 ×"} <= words(axes)
    assert "2 ×" not in words(axes)


def test_red_is_what_moves_and_the_arrow_crosses_the_edge(shown):
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[:4, 4:8] = True
    moved = {"global": torch.ones(8, 12, dtype=torch.bool), "windows": inside}
    draw.price(photograph_tokens("coffee", 8, 12, patch_size=2), (3, 7), moved, 4)
    _, whole, windows = shown[0][0].get_axes()
    assert whole.get_title() == "global: 96 outputs move"
    assert windows.get_title() == "windows: 16 outputs move"
    red = {
        (int(patch.get_y()), int(patch.get_x()))
        for patch in windows.patches
        if isinstance(patch, Rectangle) and patch.get_facecolor()[:3] == to_rgb(PALETTE[1])
        if patch.get_fill()
    }
    assert red == {(y, x) for y in range(4) for x in range(4, 8)}
    (arrow,) = [text for text in windows.texts if hasattr(text, "arrow_patch")]
    assert arrow.xy == (8.5, 3.5)  # the token right of (3, 7)
    assert not any(hasattr(text, "arrow_patch") for text in whole.texts)


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


def test_both_glues_show_the_windows_of_their_tokens(shown):
    maps = [photograph_tokens("coffee", *size, patch_size=2) for size in ((4, 8), (8, 4))]
    numbers = [torch.arange(32).view(4, 8) // 4, torch.arange(32).view(8, 4) // 4]
    draw.glued(maps, numbers)
    ((figure, _),) = shown
    for axes, expected in zip(figure.get_axes(), numbers, strict=True):
        on_tokens = [int(text.get_text()) for text in axes.texts]
        assert on_tokens == expected.flatten().tolist()
