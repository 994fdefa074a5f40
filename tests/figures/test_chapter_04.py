"""The figures of chapter 04 say what their numbers say."""

import matplotlib

matplotlib.use("agg")

import pytest
import torch

from swin_tutorial.figures import chapter_04 as draw
from swin_tutorial.grid import WindowGrid

GRID = WindowGrid((8, 8), 4, 2)


@pytest.fixture
def shown(monkeypatch):
    """Return the list of (figure, alternative text) that are shown."""
    shown = []
    monkeypatch.setattr(draw, "show", lambda figure, alt: shown.append((figure, alt)))
    yield shown
    for figure, _ in shown:
        matplotlib.pyplot.close(figure)


def test_the_leak_is_the_share_beyond_the_edge(shown):
    """Query 15 of the last window stands at (1, 1); tokens 10, 11, 14 and 15 are its corner."""
    off = torch.zeros(2, 16)
    off[0, 15], off[0, 3] = 0.25, 0.75  # token 3 stands at (6, 1)
    off[1, 10] = 1
    on = torch.zeros(2, 16)
    on[:, 15] = 1
    draw.leak(torch.zeros(32, 32), GRID, 3, 15, off, on)
    ((figure, alt),) = shown
    titles = [axes.get_title() for axes in figure.axes[1:]]
    assert titles == [
        "head 0, mask off\n75% beyond the edge",
        "head 0, mask on\n0% beyond the edge",
        "head 1, mask off\n0% beyond the edge",
        "head 1, mask on\n0% beyond the edge",
    ]
    assert "75%, 0%" in alt
    texts = [text for text in figure.axes[1].texts if "%" in text.get_text()]
    # Below its corner where that is at the top, above it where that is at the bottom.
    assert {(round(t.get_position()[1]), t.get_ha()): t.get_text() for t in texts} == {
        (3, "left"): "25%",
        (3, "right"): "0%",
        (5, "left"): "75%",
        (5, "right"): "0%",
    }
    assert sum(text.get_text() == "×" for text in figure.axes[1].texts) == 14


def test_a_query_is_outlined_where_it_stands_and_not_covered(shown):
    draw.leak(torch.zeros(32, 32), GRID, 3, 15, torch.ones(1, 16) / 16, torch.eye(16)[15:])
    for axes in shown[0][0].axes:
        query = [patch for patch in axes.patches if patch.get_edgecolor()[:3] == _rgb(draw.QUERY)]
        (outline,) = (patch for patch in query if hasattr(patch, "get_xy"))
        assert outline.get_xy() == (1, 1)
        assert not outline.get_fill()


def test_a_bias_table_is_drawn_by_offset_and_its_peak_outlined(shown):
    table = torch.zeros(49, 2)
    table[0, 0] = 0.5  # the offset (-3, -3)
    table[3 * 7 + 6, 1] = 2.0  # (0, 3)
    draw.bias_tables(table)
    ((figure, alt),) = shown
    first, second = figure.axes[:2]
    assert "+0.5 at (−3, −3); +2.0 at (0, 3)" in alt
    assert second.images[0].get_array()[3, 6] == 2
    assert second.images[0].get_extent() == [-3.5, 3.5, 3.5, -3.5]
    assert second.patches[0].get_xy() == (2.5, -0.5)
    assert first.get_xlabel() == "columns, query − key"


def test_the_block_mask_is_sorted_by_true_window(shown):
    true_window = torch.tensor([5, 7, 7, 5, 9, 9, 9, 5])
    mask = true_window[:, None] == true_window
    draw.block_mask(mask, true_window, width=4)
    ((figure, alt),) = shown
    left, right = figure.axes
    assert torch.equal(torch.tensor(left.images[0].get_array()).bool(), mask)
    blocks = torch.block_diag(torch.ones(3, 3), torch.ones(2, 2), torch.ones(3, 3))
    assert torch.equal(torch.tensor(right.images[0].get_array()).float(), blocks)
    assert [label.get_text() for label in left.get_xticklabels()] == ["0", "1"]
    assert [label.get_text() for label in right.get_yticklabels()] == ["0", "1", "2"]
    assert "of 3, 2, 3 tokens" in alt


def test_leads_are_counted_on_both_sides_of_0_and_the_largest_is_named(shown):
    draw.leads(torch.tensor([-3.0, -1.0, 0.5, 4.0, 10.25]))
    ((figure, _),) = shown
    (axes,) = figure.axes
    behind, ahead = axes.containers
    assert sum(bar.get_height() for bar in behind) == 2
    assert sum(bar.get_height() for bar in ahead) == 3
    assert "largest lead 10.2" in [text.get_text() for text in axes.texts]
    assert axes.lines[0].get_xdata()[0] == 100
    assert axes.get_xlim()[1] > 100


def _rgb(color):
    return matplotlib.colors.to_rgb(color)
