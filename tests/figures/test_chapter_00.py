"""Chapter 00's figures show what the chapter says: which token, which window, which weight."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

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


def test_the_reader_has_to_find_the_ear_on_the_right(cat, shown):
    draw.ear_in_two_layers(cat, EAR)
    left, right = shown[0][0].axes
    assert outlined(left, QUERY) == [EAR]
    assert outlined(right, QUERY) == []
    dashed = [line for line in right.lines if to_hex(line.get_color()) == draw.STRANGER.lower()]
    ends = [(line.get_xdata()[0], line.get_ydata()[0]) for line in dashed]
    assert ends == [(0, 6), (10, 0)]  # rows 0 and 1, columns 0 and 1 come after these


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
    assert outlined(left, QUERY) == [places[11]]
    assert outlined(right, QUERY) == [EAR]
    for axes, tokens in ((left, places), (right, homes)):
        assert outlined(axes, draw.STRANGER) == [tokens[forbidden[0]]]


def test_only_the_window_keeps_its_colors(cat):
    faded = draw.pale(cat, [(0, 9), (7, 6)])
    same = (faded == cat).all(-1)[0].nonzero().tolist()
    assert same == [[0, 9], [7, 6]]
    assert cat.min() < 0.2 < 0.7 < faded[0, 3].min()  # its argument is left alone


def test_the_ear_stands_beside_what_it_becomes(cat, shown):
    tokens = cat[0, 0, 9], cat[0, 7, 9], cat[0, 1, 9]
    draw.what_the_ear_becomes(*tokens)
    panels = shown[0][0].axes
    for axes, token in zip(panels, tokens, strict=True):
        drawn = torch.as_tensor(axes.images[0].get_array())
        assert drawn.equal(token.view(24, 24, 3))


def test_the_line_of_eight_is_rolled_and_comes_back(shown):
    x = torch.tensor([3.0, 2, 0, 2, 1, 0, 1, 2])
    draw.eight_tokens(x)
    axes = shown[0][0].axes[0]
    letters = [t for t in axes.texts if t.get_text().isalpha() and t.get_fontsize() == 14]
    written = "".join(t.get_text() for t in letters)
    assert written == "abcdefgh" + "abcdefgh" + "cdefghab" + "abcdefgh"
    numbers = [
        t.get_text() for t in axes.texts if t.get_fontsize() == 10 and t.get_text().isdigit()
    ]
    assert "".join(numbers) == "32021012" + "32021012" + "02101232"
    lines = {}
    for t in letters:
        x, y = t.get_position()
        lines.setdefault(int(y), {})[x] = t.get_text()
    threads = [t for t in axes.texts if isinstance(t, Annotation)]
    assert len(threads) == 16
    rolled, back = threads[:8], threads[8:]
    for thread in rolled:
        assert lines[3][thread.xyann[0]] == lines[4][thread.xy[0]]
    for thread in back:
        assert lines[4][thread.xyann[0]] == lines[11][thread.xy[0]]
    cells = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_width() == 1]
    labels = [0, 0, 1, 1, 1, 1, 2, 2]
    assert [to_hex(p.get_facecolor()) for p in cells[8:16]] == [
        region_color(label).lower() for label in labels
    ]
    small = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_width() == 0.75]
    light = [to_hex(p.get_facecolor()) == ALLOWED.lower() for p in small]
    assert torch.tensor(light).view(2, 4, 4).equal(WindowGrid(8, 4, 2).mask())


def test_the_weights_in_the_masks_are_those_of_each_true_window_alone(shown):
    x = torch.tensor([3.0, 2, 0, 2, 1, 0, 1, 2])
    draw.eight_tokens(x)
    written = [t.get_text() for t in shown[0][0].axes[0].texts if t.get_fontsize() == 9]
    weights = torch.zeros(8, 8)  # c d e f g h a b
    for first, tokens in ((0, x[2:6]), (4, x[6:]), (6, x[:2])):
        own = slice(first, first + len(tokens))
        weights[own, own] = (tokens[:, None] * tokens).softmax(-1)
    expected = [f"{one:.0%}" if one else "0" for one in weights[:4, :4].flatten().tolist()]
    expected += [f"{one:.0%}" if one else "0" for one in weights[4:, 4:].flatten().tolist()]
    assert written == expected


def test_the_ear_is_linked_with_its_row_of_the_mask(cat, shown):
    draw.two_axes(cat, EAR)
    figure, _ = shown[0]
    panels = {axes.get_title()[:1]: axes for axes in figure.axes}
    window, row = WindowGrid(SIZE, 4, 2).locate(EAR)
    assert panels["5"].get_title() == f"5 · the mask of window {window}"
    assert outlined(panels["5"], QUERY) == [(row, 0)]
    for number in "13":
        assert outlined(panels[number], QUERY) == [EAR]
    for number in "24":
        assert outlined(panels[number], QUERY) == [(6, 7)]
    names = [t.get_text() for t in panels["4"].texts if t.get_text().startswith("window")]
    assert names == [f"window {number}" for number in range(6)]
