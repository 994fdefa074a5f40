"""Each adapter calls a block as the block wants it, and what it returns is put back in place."""

import numpy as np
import pytest
import torch
from einops import rearrange
from torch import nn

from swin_tutorial.attention import WindowAttention
from swin_tutorial.audit import audit, layouts
from swin_tutorial.audit.specimen import Specimen
from swin_tutorial.grid import WindowGrid

WINDOW, SHIFT, DIM = (2, 3), (1, 2), 4
GEOMETRY = {"window_size": WINDOW, "shift_size": SHIFT, "dim": DIM, "sizes": [(4, 7), (5, 6)]}
RIGHT = Specimen(WINDOW, SHIFT)


# --- blocks that take other layouts, around one that is right ---


def channels_first(x):
    return rearrange(RIGHT(rearrange(x, "b c h w -> b h w c")), "b h w c -> b c h w")


def tokens_and_lengths(x, height, width):
    out = RIGHT(rearrange(x, "b (h w) c -> b h w c", h=height, w=width))
    return rearrange(out, "b h w c -> b (h w) c")


def tokens_and_size(x, size):
    return tokens_and_lengths(x, *size), "weights that nobody asked for"


def tokens_of_5_by_6(x):
    return tokens_and_lengths(x, 5, 6)


class ReadsItsSize(nn.Module):
    def forward(self, x):
        return tokens_and_lengths(x, self.H, self.W)


BLOCKS = {
    "channels-first": channels_first,
    "tokens-and-size": tokens_and_size,
    "tokens-and-lengths": tokens_and_lengths,
    "tokens-and-attributes": ReadsItsSize(),
    "tokens": tokens_of_5_by_6,
}


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_a_right_block_of_each_layout_is_right(layout):
    sizes = [(5, 6)] if layout == "tokens" else GEOMETRY["sizes"]
    block = layouts.LAYOUTS[layout](BLOCKS[layout])
    report = audit(block, **GEOMETRY | {"sizes": sizes})
    assert report.is_right, report


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_the_result_is_the_one_of_the_map(layout):
    x = torch.randn(2, 5, 6, DIM, dtype=torch.float64)
    assert torch.equal(layouts.LAYOUTS[layout](BLOCKS[layout])(x), RIGHT(x))


def test_a_block_that_takes_height_for_width_is_wrong():
    def swapped(x, height, width):
        return tokens_and_lengths(x, width, height)

    report = audit(layouts.tokens_and_lengths(swapped), **GEOMETRY)
    assert not report.is_right
    assert report.leaks
    assert report.losses


def test_attributes_are_those_of_every_axis():
    class Block(nn.Module):
        def forward(self, x):
            seen.append((self.D, self.H, self.W))
            return x

    seen = []
    layouts.tokens_and_attributes(Block())(torch.zeros(1, 2, 3, 4, 5))
    assert seen == [(2, 3, 4)]


def test_windows_are_cut_and_masked_by_the_grid():
    torch.manual_seed(0)
    attention = WindowAttention(DIM, WINDOW, num_heads=1).double()
    block = layouts.windows(attention, WINDOW, SHIFT, padding="mask")
    x = torch.randn(2, 5, 7, DIM, dtype=torch.float64)
    torch.testing.assert_close(block(x), attention.attend(x, WindowGrid((5, 7), WINDOW, SHIFT)))
    assert audit(block, **GEOMETRY, padding="mask").is_right


def test_attention_that_ignores_the_mask_has_none():
    torch.manual_seed(0)
    attention = WindowAttention(DIM, WINDOW, num_heads=1)
    block = layouts.windows(lambda windows, mask: attention.double()(windows), WINDOW, SHIFT)
    assert audit(block, **GEOMETRY).mistake.name == "no mask"


def test_a_module_stays_a_module_that_the_audit_copies():
    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return channels_first(x)

    block = Counting()
    adapted = layouts.channels_first(block)
    assert isinstance(adapted, nn.Module)
    audit(adapted, **GEOMETRY)
    assert block.calls == 0
    assert not isinstance(layouts.channels_first(channels_first), nn.Module)


def test_arrays_stay_arrays():
    def block(x):
        assert isinstance(x, np.ndarray)
        return channels_first(torch.from_numpy(x)).numpy()

    assert audit(layouts.channels_first(block), **GEOMETRY).is_right
