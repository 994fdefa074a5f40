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
    titles = [axes.get_title() for axes in figure.axes[2:6]]
    assert titles == [
        "head 0, mask off\n75% beyond the edge",
        "head 0, mask on\n0% beyond the edge",
        "head 1, mask off\n0% beyond the edge",
        "head 1, mask on\n0% beyond the edge",
    ]
    assert "75%, 0%" in alt
    texts = [text for text in figure.axes[2].texts if "%" in text.get_text()]
    # Below its corner where that is at the top, above it where that is at the bottom.
    assert {(round(t.get_position()[1]), t.get_ha()): t.get_text() for t in texts} == {
        (3, "left"): "25%",
        (3, "right"): "0%",
        (5, "left"): "75%",
        (5, "right"): "0%",
    }
    assert sum(text.get_text() == "×" for text in figure.axes[2].texts) == 14


def test_a_query_is_outlined_where_it_stands_and_not_covered(shown):
    draw.leak(torch.zeros(32, 32), GRID, 3, 15, torch.ones(1, 16) / 16, torch.eye(16)[15:])
    for number, axes in enumerate(shown[0][0].axes[:4]):
        query = [patch for patch in axes.patches if _rgb(patch.get_edgecolor()) == _rgb(draw.QUERY)]
        (outline,) = (patch for patch in query if hasattr(patch, "get_xy"))
        assert outline.get_xy() == ((3, 3) if number == 1 else (1, 1))  # 1: the rolled window
        assert not outline.get_fill()


def test_the_rolled_window_shows_its_own_pixels_and_its_seams(shown):
    picture = torch.arange(32 * 32).view(32, 32).float()
    draw.leak(picture, GRID, 3, 15, torch.ones(1, 16) / 16, torch.eye(16)[15:])
    axes = shown[0][0].axes[1]
    expected = torch.roll(picture, (-8, -8), (0, 1))[16:, 16:]
    assert torch.equal(torch.tensor(axes.images[0].get_array()), expected)
    seams = [tuple(map(float, (*line.get_xdata(), *line.get_ydata()))) for line in axes.lines]
    assert seams == [(0, 1, 2, 2), (2, 2, 0, 1)]


@pytest.mark.parametrize(("weight", "shade"), [(0.0, 0), (0.09, 0), (0.11, 1), (0.95, 9), (1, 9)])
def test_a_weight_has_the_color_of_its_step(shown, weight, shade):
    weights = torch.zeros(1, 16)
    weights[0, 15] = weight
    draw.leak(torch.zeros(32, 32), GRID, 3, 15, weights, weights)
    axes = shown[0][0].axes[2]
    (token,) = (p for p in axes.patches if p.get_xy() == (1, 1) and p.get_fill())
    assert token.get_facecolor() == draw._SHADES(shade)


def test_one_query_is_a_table_whose_sums_can_be_checked(monkeypatch):
    shown = []
    monkeypatch.setattr(draw, "display", lambda bundle, raw: shown.append(bundle["text/markdown"]))
    score, bias = torch.tensor([1.25, -0.5]), torch.tensor([-0.25, 0.0])
    draw.one_query(["cuff", "sleeve"], score, bias, torch.tensor([0.75, 0.25]), torch.eye(2)[1])
    assert shown[0].splitlines()[1:] == [
        "|--:|---|--:|--:|--:|--:|--:|",
        "| 0 | cuff | 1.25 | −0.25 | 1.00 | 75.0% | × |",
        "| 1 | sleeve | −0.50 | 0.00 | −0.50 | 25.0% | 100.0% |",
    ]


def test_a_bias_table_is_drawn_by_offset_and_its_peak_outlined(shown):
    table = torch.zeros(49, 2)
    table[0, 0] = 0.5  # query - key is (-3, -3): the key is 3 rows below, 3 columns to the right
    table[3 * 7 + 6, 1] = 2.0  # (0, 3): 3 columns to the left
    draw.bias_tables(table)
    ((figure, alt),) = shown
    first, second = figure.axes[:2]
    assert "+0.5 at (3, 3); +2.0 at (0, −3)" in alt
    assert second.images[0].get_array()[3, 0] == 2
    assert second.images[0].get_extent() == [-3.5, 3.5, 3.5, -3.5]
    assert second.patches[0].get_xy() == (-3.5, -0.5)
    assert first.get_xlabel() == "columns to the right"


def test_the_block_mask_is_sorted_by_rolled_window(shown):
    true_window = torch.tensor([[0, 1, 1, 0], [2, 2, 2, 0]])
    rolled_window = torch.tensor([[1, 0, 0, 1], [1, 1, 1, 1]])  # 1 | 0 and 2
    draw.block_mask(true_window, rolled_window)
    ((figure, alt),) = shown
    _, left, right = figure.axes
    pixels = torch.tensor(right.images[0].get_array())
    kinds = {_rgb(draw.FORBIDDEN): 1, _rgb(draw._EMPTY): 2}
    found = [
        [kinds.get(tuple(round(float(c), 4) for c in pixel), 0) for pixel in row] for row in pixels
    ]
    assert sum(row.count(0) for row in found) == 2 * 2 + 3 * 3 + 3 * 3  # allowed
    assert sum(row.count(1) for row in found) == 2 * 3 * 3  # computed, then masked
    assert sum(row.count(2) for row in found) == 2 * 2 * 6  # never computed
    frames = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in right.patches]
    assert frames == [(0, 0, 2, 2), (2, 2, 6, 6)]
    assert [label.get_text() for label in left.get_xticklabels()] == ["0", "1"]
    assert [label.get_text() for label in right.get_yticklabels()] == ["1", "0", "2"]
    allowed = (true_window.flatten()[:, None] == true_window.flatten()).tolist()
    dark = torch.tensor(_rgb(draw.FORBIDDEN))
    mapped = torch.tensor(left.images[0].get_array())
    assert (mapped.sub(dark).abs().amax(-1) > 1e-3).tolist() == allowed
    assert "of 2, 3, 3 tokens, inside 2 outlined squares" in alt


def _rgb(color):
    return tuple(round(part, 4) for part in matplotlib.colors.to_rgb(color))
