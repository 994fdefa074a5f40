"""Chapter 00's figures show what the chapter says: which token, which window, which weight."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from swin_tutorial.data.photographs import photograph_tokens
from swin_tutorial.figures import chapter_00 as draw
from swin_tutorial.figures.style import ALLOWED, QUERY, region_color
from swin_tutorial.grid import WindowGrid

SIZE = 8, 12
EAR = 0, 9


@pytest.fixture
def cat():
    return photograph_tokens("chelsea", *SIZE)


@pytest.fixture
def shown(monkeypatch):
    """The figures that were shown, with their alternative texts."""
    shown = []
    monkeypatch.setattr(draw, "show", lambda figure, alt: shown.append((figure, alt)))
    yield shown
    plt.close("all")


def outlined(axes, color):
    """Return the tokens (row, column) at which an outline of that color begins."""
    patches = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    edges = [p for p in patches if not p.get_fill() and to_hex(p.get_edgecolor()) == color.lower()]
    return [(int(p.get_y()), int(p.get_x())) for p in edges]


def numbers(axes):
    """Return the percentages on a map's tokens as {(row, column): text}."""
    written = [t for t in axes.texts if t.get_text().endswith("%")]
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in written}


def test_the_ear_is_outlined_where_the_roll_takes_it(cat, shown):
    draw.ear_in_two_layers(cat, EAR)
    left, right = shown[0][0].axes
    assert outlined(left, QUERY) == [EAR]
    grid = WindowGrid(SIZE, 4, 2)
    window, token = grid.locate(EAR)
    (y, x), (row, column) = divmod(window, 3), divmod(token, 4)
    assert outlined(right, QUERY) == [(4 * y + row, 4 * x + column)]


def test_attention_stands_on_the_tokens_that_get_it(cat, shown):
    attention = torch.arange(1.0, 17) / 136
    draw.leak(cat, attention, EAR)
    figure, alt = shown[0]
    left, right = figure.axes
    grid = WindowGrid(SIZE, 4, 2)
    shares = [f"{share:.0%}" for share in attention.tolist()]
    places = [(4 + place // 4, 4 + place % 4) for place in range(16)]
    assert numbers(left) == dict(zip(places, shares, strict=True))
    homes = [((y + 2) % 8, (x + 2) % 12) for y, x in places]
    assert numbers(right) == dict(zip(homes, shares, strict=True))
    forbidden = (~grid.mask()[4, grid.locate(EAR)[1]]).nonzero().flatten().tolist()
    assert f"{float(attention[forbidden].sum()):.0%} of it" in alt
    for axes, tokens in ((left, places), (right, homes)):
        assert outlined(axes, draw.STRANGER) == [tokens[forbidden[0]]]


def test_only_the_window_keeps_its_colors(cat):
    faded = draw.pale(cat, [(0, 9), (7, 6)])
    same = (faded == cat).all(-1)[0].nonzero().tolist()
    assert same == [[0, 9], [7, 6]]
    assert cat.min() < 0.2 < 0.7 < faded[0, 3].min()  # its argument is left alone


def test_the_row_of_eight_is_rolled_and_comes_back(shown):
    draw.eight_tokens()
    axes = shown[0][0].axes[0]
    letters = [t for t in axes.texts if len(t.get_text()) == 1 and t.get_fontsize() == 14]
    written = "".join(t.get_text() for t in letters)
    assert written == "abcdefghabcdefghcdefghabcdefghababcdefgh"
    rows = {round(t.get_position()[1], 1): {} for t in letters}
    for t in letters:
        x, y = t.get_position()
        rows[round(y, 1)][x] = t.get_text()
    threads = [t for t in axes.texts if not t.get_text()]
    assert len(threads) == 16
    for thread in threads:  # each leads from a token to the same token
        above = max(y for y in rows if y < thread.xyann[1])
        below = min(y for y in rows if y > thread.xy[1])
        assert rows[above][thread.xyann[0]] == rows[below][thread.xy[0]]
    cells = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_width() == 1]
    labels = [0, 0, 1, 1, 1, 1, 2, 2]
    assert [to_hex(p.get_facecolor()) for p in cells[8:16]] == [
        region_color(label).lower() for label in labels
    ]
    small = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_width() == 0.75]
    light = [to_hex(p.get_facecolor()) == ALLOWED.lower() for p in small]
    assert torch.tensor(light).view(2, 4, 4).equal(WindowGrid(8, 4, 2).mask())


def test_the_ear_is_linked_with_its_row_of_the_mask(cat, shown):
    draw.two_axes(cat, EAR)
    figure, _ = shown[0]
    panels = {axes.get_title()[:1]: axes for axes in figure.axes}
    window, row = WindowGrid(SIZE, 4, 2).locate(EAR)
    assert panels["5"].get_title() == f"5 · the mask of window {window}"
    assert outlined(panels["5"], QUERY) == [(row, 0)]
    for number in "12":
        assert outlined(panels[number], QUERY) == [EAR]
    for number in "34":
        assert outlined(panels[number], QUERY) == [(6, 7)]
    names = [t.get_text() for t in panels["4"].texts if t.get_text().startswith("window")]
    assert names == [f"window {number}" for number in range(6)]
