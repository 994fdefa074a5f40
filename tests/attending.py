"""Attention over a whole map, for the tests: small, in double precision, every weight distinct."""

import functools

import torch

from swin_tutorial.attention import WindowAttention
from swin_tutorial.grid import WindowGrid

CHANNELS, HEADS = 4, 2


@functools.cache
def attention(window_size, backend="eager"):
    """A double-precision module with weights large enough for every score to count."""
    torch.manual_seed(0)
    module = WindowAttention(CHANNELS, window_size, HEADS, backend=backend).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def attend(x, geometry, padding, backend="eager"):
    grid = WindowGrid(*geometry, padding)
    module = attention(geometry.window_size, backend)
    return grid.merge(module(grid.partition(x), grid.mask(x.device)))


def random_map(geometry, batch=1):
    generator = torch.Generator().manual_seed(hash(geometry) % 2**31)
    shape = (batch, geometry.height, geometry.width, CHANNELS)
    return torch.randn(shape, generator=generator, dtype=torch.float64)
