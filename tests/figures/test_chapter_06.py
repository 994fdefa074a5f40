"""The figures of chapter 06 say what the model, the grid and the measurements say."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from swin_tutorial.figures import chapter_06 as draw
from swin_tutorial.figures.style import shown_width
from swin_tutorial.grid import WindowGrid
from swin_tutorial.model import SwinConfig, SwinTransformer


@pytest.fixture
def shown(monkeypatch):
    """Return the list to which every figure that is shown is added, with its text."""
    figures = []
    monkeypatch.setattr(draw, "show", lambda figure, alt: figures.append((figure, alt)))
    yield figures
    for figure, alt in figures:
        assert len(alt) >= 20
        assert shown_width(figure) <= 1056
        sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text)]
        assert min(sizes) >= 9
        plt.close(figure)


def words(axes):
    return [text.get_text() for text in axes.texts]


def colored(axes, color):
    """Return the lower left corners of the squares of a color."""
    patches = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_fill()]
    return [p.get_xy() for p in patches if np.allclose(p.get_facecolor()[:3], to_rgb(color))]


def test_the_architecture_has_the_models_shapes_and_blocks_but_no_answer(shown):
    torch.manual_seed(0)
    config = SwinConfig(
        embed_dim=8,
        depths=(2, 4, 2),
        num_heads=(1, 2, 2),
        window_size=4,
        patch_size=2,
        in_chans=1,
        num_classes=3,
    )
    model = SwinTransformer(config).eval()
    model.head.bias.data = torch.tensor([0.0, 50.0, 0.0])
    draw.architecture(model, torch.randn(1, 1, 32, 32), ["hat", "shoe", "bag"])
    (axes,) = shown[0][0].axes
    texts = words(axes)
    for shape in ("32 × 32 × 1", "16 × 16 × 8", "8 × 8 × 16", "4 × 4 × 32", "hat", "shoe", "bag"):
        assert shape in texts
    bold = {text.get_text() for text in axes.texts if text.get_weight() == "bold"}
    assert "shoe" not in bold
    assert texts.count("?") == 3
    assert not [text for text in texts if "%" in text]
    # 1 + 2 + 0 blocks shift (one window covers the last map), and the legend shows one of each.
    assert len(colored(axes, draw.SHIFTED)) == 3 + 1
    assert len(colored(axes, draw.PLAIN)) == 5 + 1


def test_a_block_is_drawn_with_its_grids_masks_and_regions(shown):
    draw.block()
    (axes,) = shown[0][0].axes
    grid = WindowGrid((8, 8), 4, 2)
    masks = [image.get_array() for image in axes.images]
    assert np.array_equal(np.stack(masks), grid.mask().numpy())
    for region, count in enumerate(grid.region_ids().unique(return_counts=True)[1].tolist()):
        assert len(colored(axes, draw.region_color(region))) == 6 * count
        assert words(axes).count(str(region)) == 6
    first = [place for place in colored(axes, draw.region_color(0)) if place[0] < 1.6]
    cell = 1.25 / 8  # the first map is not rolled yet: region 0 is its upper left corner
    corner = [(0.3 + x * cell, 3.35 - (y + 1) * cell) for y in (0, 1) for x in (0, 1)]
    assert np.allclose(first, corner)
    places = [
        image.get_extent() for image in axes.images
    ]  # the masks stand below, in reading order
    assert [left for left, *_ in places] == sorted(left for left, *_ in places)
    assert max(top for *_, top in places) < 2.1


def test_merging_is_drawn_down_the_columns(shown):
    draw.merging()
    (axes,) = shown[0][0].axes
    photograph, *patches = [image.get_array() for image in axes.images]
    side = len(photograph) // 6
    for number, patch in enumerate(patches):
        row, column = 2 + number % 2, 2 + number // 2
        place = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert np.array_equal(patch, photograph[place])
    order = sorted(
        (text for text in axes.texts if text.get_text() in "0123" and text.get_position()[0] < 2.6),
        key=lambda text: text.get_text(),
    )
    places = [text.get_position() for text in order]
    assert places[0][0] == places[1][0] < places[2][0] == places[3][0]
    assert places[0][1] == places[2][1] > places[1][1] == places[3][1]


def test_answers_are_sorted_and_a_wrong_one_is_marked(shown):
    shares = torch.tensor([[0.2, 0.7, 0.06, 0.04]] * 3 + [[0.02, 0.94, 0.01, 0.03]])
    truth = torch.tensor([1] * 3 + [0])
    draw.answers(torch.rand(4, 1, 4, 4), truth, shares, ["Hat", "Shoe", "Bag", "Sock"])
    bars = shown[0][0].axes[1::2]
    assert words(bars[0]) == ["Shoe", "70%", "Hat", "20%", "Bag", "6%", "✓ right"]
    assert words(bars[3]) == ["Shoe", "94%", "✗ wrong"]  # less than 5 % is left out
    assert [axes.get_title() for axes in shown[0][0].axes[::2]] == ["Shoe"] * 3 + ["Hat"]


def test_what_a_token_does_not_see_is_dark(shown):
    torch.manual_seed(0)
    plain, shifted = (list(torch.rand(6, 8, 8) > 0.5) for _ in range(2))
    draw.reach_rows({"no shift": ((3, 5), plain), "shift": ((0, 1), shifted)})
    for axes, seen in zip(shown[0][0].axes, plain + shifted, strict=True):
        dark = axes.images[1].get_array()[..., 3]
        assert np.array_equal(dark > 0, ~seen.numpy())
        assert axes.get_xlabel() == f"{int(seen.sum())} of 64"
    titles = [axes.get_title() for axes in shown[0][0].axes]
    assert titles[5] == "stage 2, block 1"
    assert titles[6:] == [""] * 6
    assert shown[0][0].axes[6].patches[0].get_xy() == (1, 0)
    outlines = [axes.patches[0] for axes in shown[0][0].axes[:6]]
    assert [(p.get_xy(), p.get_width()) for p in outlines] == [
        ((5, 3), 1),
        ((5, 3), 1),
        ((4, 2), 2),
        ((4, 2), 2),
        ((4, 0), 4),
        ((4, 0), 4),
    ]


def test_the_pyramid_has_swin_ts_four_sizes(shown):
    draw.pyramid()
    sizes = [axes.images[0].get_array().shape[:2] for axes in shown[0][0].axes]
    assert sizes == [(56, 56), (28, 28), (14, 14), (7, 7)]
    assert [axes.get_xlabel() for axes in shown[0][0].axes] == [
        "4 px per token, 64 windows",
        "8 px per token, 16 windows",
        "16 px per token, 4 windows",
        "32 px per token, 1 window",
    ]
