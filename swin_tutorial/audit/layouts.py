"""Adapters for blocks that take another layout than ``b *size c``.

Each takes a block and returns one that ``audit`` can call.  A PyTorch module stays a module, so
that the audit can copy it and ask for its gradients; NumPy code stays NumPy code.  Of a block that
returns a tuple, the first element counts.

>>> audit(channels_first(block), window_size=7, shift_size=3, dim=96)
"""

import functools
from collections.abc import Callable

from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from swin_tutorial.axis import Padding
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size, map_size


def channels_first(block: Callable) -> Callable:
    """Adapt a block that maps ``b c *size`` to ``b c *size``, as convolutions do.

    >>> channels_first(torch.nn.Identity())(torch.rand(1, 8, 12, 32)).shape
    torch.Size([1, 8, 12, 32])
    """
    return _adapt(block, _call_channels_first)


def tokens(block: Callable) -> Callable:
    """Adapt a block that maps ``b l c`` to ``b l c`` and is not told the size of the map.

    >>> tokens(official_block)  # which was built for one input_resolution
    """
    return _adapt(block, _call_tokens)


def tokens_and_size(block: Callable) -> Callable:
    """Adapt a block that is called as ``block(tokens, (height, width))``, tokens being ``b l c``.

    >>> tokens_and_size(transformers_layer)
    """
    return _adapt(block, _call_tokens_and_size)


def tokens_and_lengths(block: Callable) -> Callable:
    """Adapt a block that is called as ``block(tokens, height, width)``, tokens being ``b l c``.

    >>> tokens_and_lengths(pyramid_block)
    """
    return _adapt(block, _call_tokens_and_lengths)


def tokens_and_attributes(block: Callable) -> Callable:
    """Adapt a block that maps ``b l c`` to ``b l c`` and reads the map's size off itself.

    The size is set as ``block.H`` and ``block.W`` before each call, and as ``block.D`` for a map
    with three axes.

    >>> tokens_and_attributes(detection_block)
    """
    return _adapt(block, _call_tokens_and_attributes)


def windows(
    attend: Callable,
    window_size: Size,
    shift_size: Size = 0,
    padding: Padding = "attend",
    periodic: bool | tuple[bool, ...] = False,
) -> Callable:
    """Adapt attention within windows: ``WindowGrid`` cuts and merges the map around it.

    The function is called as ``attend(windows, mask)``, with windows ``b n t c`` and the grid's
    mask ``n t t``, True where a query may attend to a key.  So the audit shows what it does with a
    mask that is right.  The other arguments are those of ``WindowGrid``.

    >>> windows(WindowAttention(32, 7, num_heads=1), window_size=7, shift_size=3)
    """

    def call(attend: Callable, x: Shaped[Tensor, "b *size c"]) -> Shaped[Tensor, "b *size c"]:
        grid = WindowGrid(map_size(x), window_size, shift_size, padding, periodic)
        return grid.merge(_first(attend(grid.partition(x), grid.mask(x.device))))

    return _adapt(attend, call)


LAYOUTS = {
    "channels-first": channels_first,
    "tokens": tokens,
    "tokens-and-size": tokens_and_size,
    "tokens-and-lengths": tokens_and_lengths,
    "tokens-and-attributes": tokens_and_attributes,
}


class _Adapted(nn.Module):
    """A module whose call is wrapped."""

    def __init__(self, block: nn.Module, call: Callable):
        super().__init__()
        self.block = block
        self.call = call

    def forward(self, x: Float[Tensor, "b *size c"]) -> Float[Tensor, "b *size c"]:
        return self.call(self.block, x)


def _adapt(block: Callable, call: Callable) -> Callable:
    """Return a block that does ``call(block, x)``: a module if the block is one."""
    is_module = isinstance(block, nn.Module)
    return _Adapted(block, call) if is_module else functools.partial(call, block)


def _first(out: object) -> object:
    return out[0] if isinstance(out, tuple) else out


# --- the calls: x is a tensor or a NumPy array, b *size c ---


def _call_channels_first(block: Callable, x):
    return rearrange(_first(block(rearrange(x, "b ... c -> b c ..."))), "b c ... -> b ... c")


def _call_tokens(block: Callable, x, *more: object):
    return _first(block(rearrange(x, "b ... c -> b (...) c"), *more)).reshape(x.shape)


def _call_tokens_and_size(block: Callable, x):
    return _call_tokens(block, x, tuple(x.shape[1:-1]))


def _call_tokens_and_lengths(block: Callable, x):
    return _call_tokens(block, x, *x.shape[1:-1])


def _call_tokens_and_attributes(block: Callable, x):
    size = x.shape[1:-1]
    for name, length in zip("DHW"[-len(size) :], size, strict=True):
        setattr(block, name, length)
    return _call_tokens(block, x)
