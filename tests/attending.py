"""Attention over a whole map, for the tests: small, in double precision, every weight distinct."""

import functools

import torch

from swin_tutorial.attention import WindowAttention

DIM, HEADS = 4, 2


@functools.cache
def attention(window_size, backend="eager"):
    """A double-precision module with weights large enough for every score to count."""
    torch.manual_seed(0)
    module = WindowAttention(DIM, window_size, HEADS, backend=backend).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def attend(x, geometry, backend="eager"):
    return attention(geometry.window_size, backend).attend(x, geometry.grid)


def random_map(geometry, batch=1):
    generator = torch.Generator().manual_seed(hash(geometry.size + geometry.window_size) % 2**31)
    return torch.randn((batch, *geometry.size, DIM), generator=generator, dtype=torch.float64)
