"""Chapter 03's figures: numbers, brackets, outlines and tints stand where the mask says."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from swin_tutorial import figures
from swin_tutorial.data.photographs import photograph_tokens
from swin_tutorial.figures import chapter_03 as draw
from swin_tutorial.grid import WindowGrid
from swin_tutorial.reference import nine_region_ids
from swin_tutorial.windows import cyclic_shift

GRID = WindowGrid((8, 12), 4, 2)


@pytest.fixture
def shown(monkeypatch):
    """Return what was shown: a list of figures, to which the chapter's functions append."""
    kept = []

    def keep(figure, alt):
        assert len(alt) >= 20
        assert figure.get_size_inches()[0] * 96 <= 1056
        figure.canvas.draw()
        kept.append(figure)

    monkeypatch.setattr(draw, "show", keep)
    figures.use_house_style()
    yield kept
    plt.close("all")


def numbers(axes):
    """Return the text on each token as {(row, column): text}."""
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}


def colored(axes, color):
    """Return the cells (row, column) of one color."""
    return {
        (int(p.get_y()), int(p.get_x()))
        for p in axes.patches
        if p.get_fill() and to_hex(p.get_facecolor()).upper() == color
    }


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_the_photograph_stands_beside_its_regions_and_the_mask_names_them(shown):
    x = cyclic_shift(photograph_tokens("chelsea", 8, 12), 2)
    ids = GRID.region_ids()
    draw.regions_and_mask(x, ids, GRID.mask()[4], 4, 4)
    photograph, regions, mask = shown[0].axes
    assert [(int(t.get_position()[1]), t.get_text()) for t in photograph.texts] == [
        (5, "mouth"),
        (6, "forehead"),
    ]
    assert not colored(photograph, figures.region_color(5).upper())
    assert numbers(regions) == {(y, x): str(int(ids[y, x])) for y in range(8) for x in range(12)}
    for axes in (photograph, regions):
        outline = axes.patches[-1]
        assert (outline.get_y(), outline.get_x(), outline.get_width()) == (4, 4, 4)
        seam = next(line for line in axes.lines if line.get_linestyle() == "--")
        assert seam.get_xydata().tolist() == [[4, 6], [8, 6]]
    assert np.array_equal(mask.images[0].get_array(), GRID.mask()[4].numpy())
    assert ticks(mask.xaxis) == ticks(mask.yaxis) == ["10", "2"]


@pytest.mark.parametrize(
    ("geometry", "brackets"),
    [
        ((8, 4, 2), ["4 of strip 1", "2 of strip 2", "2 of strip 0"]),
        ((14, 7, 3), ["7 of strip 1", "4 of strip 2", "3 of strip 0"]),
    ],
)
def test_brackets_count_the_rows_of_each_strip_in_each_window(shown, geometry, brackets):
    draw.one_axis(*geometry)
    columns, first, last = shown[0].axes
    texts = [text.get_text() for text in columns.texts]
    assert [text for text in texts if " of strip " in text] == brackets
    rolled = [text for text in texts if text.isdigit()]
    size, _, shift = geometry
    assert rolled == [str(row) for row in [*range(size), *range(shift, size), *range(shift)]]
    assert ticks(first.xaxis) == ["1"]
    assert ticks(last.xaxis) == ["2", "0"]


def test_brackets_over_the_patterns_say_what_meets(shown):
    masks = WindowGrid((14, 14), 7, 3).mask()
    draw.patterns(masks, ["interior", "right", "bottom", "corner"], 7, 3)
    brackets = [[text.get_text() for text in axes.texts] for axes in shown[0].axes]
    rows, tokens = ["4 rows", "3 rows"], ["4", "3 tokens"]
    assert brackets == [[], tokens, rows, [*rows, *tokens]]


def test_padding_carries_its_numbers_and_each_kind_of_cell_its_color(shown):
    draw.padding((7, 11), 4, 2)
    grid, attend = (WindowGrid((7, 11), 4, 2, way) for way in ("mask", "attend"))
    ids = grid.region_ids()
    regions, ours, theirs = shown[0].axes
    assert numbers(regions) == {(y, x): str(int(ids[y, x])) for y in range(8) for x in range(12)}
    assert sum(bool(patch.get_hatch()) for patch in regions.patches) == 8 * 12 - 7 * 11
    rows, columns = (axis.positions_before_roll()[-4:] for axis in grid.axes)
    pads = ((rows >= 7)[:, None] | (columns >= 11)).flatten()
    for axes, mask in ((ours, grid.mask()[-1]), (theirs, attend.mask()[-1])):
        for color, cells in (
            (figures.PADDING, mask & pads[:, None] & pads),
            (figures.QUERY, mask & (pads[:, None] != pads)),
        ):
            assert colored(axes, color) == set(map(tuple, cells.nonzero().tolist()))
    assert not colored(ours, figures.QUERY)
    assert colored(theirs, figures.QUERY)


def test_equal_partitions_have_equal_borders(shown):
    nine = nine_region_ids((8, 12), (4, 4), (2, 2))
    other = GRID.region_ids().clone()
    other[0, 0] = 99
    draw.labelings({"nine": nine, "ours": GRID.region_ids(), "another": other}, 4)
    first, second, third = (
        {
            tuple(map(tuple, line.get_xydata()))
            for line in axes.lines
            if line.get_linestyle() == "--"
        }
        for axes in shown[0].axes
    )
    assert len(first) == 8 + 12  # a line down the last windows, one across
    assert first == second
    assert len(third - first) == 2


def test_each_repair_is_a_row_and_wrong_cells_are_outlined(shown):
    grid = WindowGrid((8, 8), 4, 2)
    wanted, ids = grid.mask(), grid.region_ids()
    right = torch.zeros(wanted.shape).masked_fill(~wanted, -torch.inf)[None]
    stages = {"found": torch.zeros(1, 1, 1, 16), "A": right[:, :, :4], "B": right}
    draw.repairs(stages, wanted, ids)
    found, after_a, after_b = (shown[0].axes[start : start + 4] for start in (0, 4, 8))
    assert [len(axes.patches) for axes in found] == (~wanted).sum((1, 2)).tolist()
    assert [axes.texts[0].get_text() for axes in after_a] == ["4 windows ×\n16 tokens"] * 4
    assert not any(axes.patches for axes in [*after_a, *after_b])
    assert np.array_equal(after_b[3].images[0].get_array(), wanted[3].numpy())
    assert ticks(after_b[2].yaxis) == ["7", "1"]
    assert [line[0].get_ylabel() for line in (found, after_a, after_b)] == list(stages)


def test_what_a_query_may_not_see_is_crossed_out(shown):
    row = GRID.mask()[4, 5]
    window = photograph_tokens("chelsea", 4, 4)
    draw.one_query(window, {"none": torch.ones_like(row), "mask": row}, (1, 2))
    without, masked = shown[0].axes
    assert not without.texts
    assert set(numbers(masked)) == {(y, x) for y in (2, 3) for x in range(4)}
    assert colored(masked, figures.FORBIDDEN.upper()) == set(numbers(masked))
    outline = masked.patches[-1]
    assert (outline.get_y(), outline.get_x()) == (1, 2)
