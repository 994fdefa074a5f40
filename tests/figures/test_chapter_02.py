"""Chapter 02's figures: what they outline is what the text says of it."""

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.patches import Rectangle

from swin_tutorial.data.photographs import photograph_tokens
from swin_tutorial.figures import chapter_02 as draw
from swin_tutorial.grid import WindowGrid
from swin_tutorial.reference import true_windows
from swin_tutorial.windows import cyclic_shift, pad_to_windows


@pytest.fixture
def shown(monkeypatch):
    """Return the figures that a call shows, as (figure, alternative text)."""
    figures = []
    monkeypatch.setattr(draw, "show", lambda figure, alt: figures.append((figure, alt)))
    yield figures
    plt.close("all")


@pytest.fixture(scope="module")
def cat():
    return photograph_tokens("chelsea", 8, 12)


def frames(axes):
    """Return the boxes framed in color: x, y, width, height and the style of the line."""
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.zorder == 5]
    return [(*box.get_bbox().bounds, box.get_linestyle()) for box in boxes[1::2]]  # not the halos


def words(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


@pytest.mark.parametrize(("panel", "shift"), [(0, 0), (1, 2)])
def test_what_is_called_whole_lies_in_one_window_and_what_is_called_cut_does_not(
    shown, cat, panel, shift
):
    draw.two_partitions(cat)
    ((figure, alt),) = shown
    axes = figure.axes[panel]
    windows = true_windows((8, 12), (4, 4), (shift, shift))
    for (x, y, width, height, line), label in zip(frames(axes), words(axes), strict=True):
        holds_it = [
            rows[0] <= y and y + height <= rows[-1] + 1
            for rows, columns in windows
            if columns[0] <= x and x + width <= columns[-1] + 1
        ]
        whole = any(holds_it)
        assert label.endswith("whole" if whole else "cut")
        assert line == ("-" if whole else "--")
    assert len(alt) > 20


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_moved_windows_and_a_moved_cat_show_the_same(shown, cat, shift):
    rolled = cyclic_shift(cat, shift)
    draw.moved_windows_or_cat(cat, rolled, shift)
    ((figure, alt),) = shown
    boxes = [frames(axes)[0][:4] for axes in figure.axes]
    held = [
        tokens[:, int(y) : int(y + h), int(x) : int(x + w)]
        for tokens, (x, y, w, h) in zip((cat, rolled), boxes, strict=True)
    ]
    assert torch.equal(*held)
    assert held[0].shape[1:3] == (4, 4)
    assert alt.count(f"by {shift}") == 2


def test_true_windows_are_outlined_where_they_are_and_called_cut_where_they_are(shown):
    photograph = photograph_tokens("chelsea", 9, 10)
    right = cyclic_shift(pad_to_windows(photograph, 4), 2)
    wrong = pad_to_windows(cyclic_shift(photograph, 2), 4)
    draw.pad_and_roll(right, wrong, (9, 10))
    ((figure, _),) = shown
    for axes, tokens, line in zip(figure.axes, (right, wrong), ["-", "--"], strict=True):
        windows = true_windows((9, 10), (4, 4), (2, 2))[:3]
        for (x, y, width, height, style), (rows, columns) in zip(
            frames(axes), windows, strict=True
        ):
            assert style == line
            assert (y // 4 == (y + height - 1) // 4) == (line == "-")
            assert x // 4 == (x + width - 1) // 4
            held = tokens[0, int(y) : int(y + height), int(x) : int(x + width)]
            assert torch.equal(held, photograph[0, rows][:, columns])
        labels = [label.get_text() for label in axes.get_yticklabels()]
        for row, label in zip(tokens[0], labels, strict=True):
            if label == "pad":
                assert not row.any()
            else:
                assert torch.equal(row[:8], photograph[0, int(label), 2:])
        hatched = {
            (int(patch.get_y()), int(patch.get_x())) for patch in axes.patches if patch.get_hatch()
        }
        assert len(hatched) == 144 - 90
        assert all(float(tokens[0, *place].abs().sum()) == 0 for place in hatched)


def test_ear_and_chin_share_a_window_across_a_seam(shown, cat):
    draw.ear_and_chin(cat)
    ((figure, _),) = shown
    rolled, photograph = figure.axes
    assert words(rolled) == words(photograph) == ["ear", "chin"]
    home = [(int(y), int(x)) for x, y, *_ in frames(photograph)]
    moved = [(int(y), int(x)) for x, y, *_ in frames(rolled)]
    grid = WindowGrid((8, 12), 4, 2)
    regions = [int(grid.region_ids()[place]) for place in moved]
    assert len(set(regions)) == 2
    assert len({(y // 4, x // 4) for y, x in moved}) == 1
    places = cyclic_shift(torch.arange(96).view(1, 8, 12, 1), 2)[0, :, :, 0]
    assert [divmod(int(places[place]), 12) for place in moved] == home
    assert [abs(y - other_y) for (y, _), (other_y, _) in (moved, home)] == [1, 7]  # the titles
