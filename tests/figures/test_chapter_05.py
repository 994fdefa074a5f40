"""Chapter 05's figures: four masks without names, and a window's mask sorted by region."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
import torch

from swin_tutorial.figures import chapter_05 as draw
from swin_tutorial.masks import look_ahead_mask, padding_mask, shifted_window_mask


@pytest.fixture
def shown(monkeypatch):
    """Keep the figures that are shown, and their alternative texts."""
    kept = []
    monkeypatch.setattr(draw, "show", lambda figure, alt: kept.append((figure, alt)))
    yield kept
    plt.close("all")


def drawn(axes):
    """Return the mask that was drawn, from the picture."""
    return torch.as_tensor(axes.images[0].get_array() == 1)


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def test_the_four_masks_stand_under_letters_alone(shown):
    draw.four_masks()
    ((figure, alt),) = shown
    panels = figure.get_axes()
    assert [axes.get_title() for axes in panels] == ["A", "B", "C", "D"]
    assert not any(labels(axes.xaxis) for axes in panels)
    look_ahead, padding, region, sliding = map(drawn, panels)
    assert torch.equal(look_ahead, look_ahead_mask(16))
    assert torch.equal(padding, padding_mask(torch.tensor([8]), 16)[0])
    assert torch.equal(region, shifted_window_mask((8, 12), 4, 2)[5])
    assert sliding.sum() == 5 * 16 - 6
    assert not any(word in alt.lower() for word in ("padding", "look-ahead", "sliding", "region"))


def test_sorted_by_region_the_mask_falls_into_blocks(shown):
    regions = torch.tensor([3, 1, 3, 1, 2])
    mask = regions[:, None] == regions
    draw.sorted_by_region(mask, regions)
    as_it_is, by_region = shown[0][0].get_axes()
    assert torch.equal(drawn(as_it_is), mask)
    assert torch.equal(
        drawn(by_region), torch.block_diag(*map(torch.ones, [(2, 2), (1, 1), (2, 2)])) > 0
    )
    for axis in (by_region.xaxis, by_region.yaxis):
        assert labels(axis) == ["1", "2", "3"]
    assert labels(as_it_is.xaxis) == ["3", "1", "3", "1", "2"]
