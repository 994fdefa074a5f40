"""Who may attend to whom: shifted-window, padding and look-ahead masks (chapters 03, 05).

The shifted-window mask is made in ``Axis.mask``, for one axis, and in ``WindowGrid.mask``, for the
product of axes; ``shifted_window_mask`` is a shortcut.

A mask is boolean, query first and key second, and True means *this query may attend to this key*,
as in PyTorch's own ``scaled_dot_product_attention``.  Masks combine with ``&``.  Every mask made
here lets each token attend to itself, and so does every combination of them: no row is empty, and
no softmax over a row is NaN.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from swin_tutorial.axis import Device, Padding, check_size
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size

_WHOLE_NUMBERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def shifted_window_mask(
    size: Size,
    window_size: Size,
    shift_size: Size = 0,
    padding: Padding | Sequence[Padding] = "mask",
    periodic: bool | Sequence[bool] = False,
    device: Device = None,
) -> Bool[Tensor, "n t t"]:
    """Return the mask of each window of a padded, rolled map; the arguments are ``WindowGrid``'s.

    Source: Swin, section 3.2, figure 4.
    """
    return WindowGrid(size, window_size, shift_size, padding, periodic).mask(device)


def region_ids(
    size: Size,
    window_size: Size,
    shift_size: Size = 0,
    padding: Padding | Sequence[Padding] = "mask",
    periodic: bool | Sequence[bool] = False,
    device: Device = None,
) -> Int[Tensor, "*padded"]:
    """Return the region of each token of a padded, rolled map; the arguments are ``WindowGrid``'s.

    Source: Swin, section 3.2, figure 4.
    """
    return WindowGrid(size, window_size, shift_size, padding, periodic).region_ids(device)


def padding_mask(lengths: Int[Tensor, "n"], tokens: int) -> Bool[Tensor, "n t t"]:
    """Return the mask of sequences of ``tokens`` tokens; in sequence i, ``lengths[i]`` are real.

    The real tokens come first.  Real tokens attend to real tokens, padding to padding.
    Raises TypeError unless ``lengths`` is a row of whole numbers, and ValueError unless they lie
    between 0 and ``tokens``.
    Source: common practice for batches of sentences; Swin has no such mask.
    """
    check_size("tokens", tokens)
    is_tensor = isinstance(lengths, Tensor)
    if not is_tensor or lengths.ndim != 1 or lengths.dtype not in _WHOLE_NUMBERS:
        raise TypeError(f"lengths must be a 1-d tensor of whole numbers, got {lengths!r}")
    lengths = lengths.long()
    if ((lengths < 0) | (lengths > tokens)).any():
        raise ValueError(f"lengths must lie between 0 and tokens={tokens}, got {lengths.tolist()}")
    is_real = torch.arange(tokens, device=lengths.device) < lengths[:, None]
    return is_real[:, :, None] == is_real[:, None, :]


def look_ahead_mask(tokens: int, device: Device = None) -> Bool[Tensor, "t t"]:
    """Return the causal mask: a query may attend to keys at its own position and before.

    Source: Attention Is All You Need, section 3.2.3, for decoders; Swin has no such mask.
    """
    check_size("tokens", tokens)
    return torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()


def additive_mask(
    mask: Bool[Tensor, "*batch t t"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*batch t t"]:
    """Return the mask to *add* to attention scores before softmax: 0 where True, -inf where False.

    Raises TypeError unless ``mask`` is boolean and ``dtype`` a floating-point type.
    """
    check_boolean(mask)
    if not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating-point type, got {dtype}: only those hold -inf")
    zeros = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return zeros.masked_fill_(~mask, float("-inf"))


def check_boolean(mask: Bool[Tensor, "..."]) -> None:
    """Raise TypeError unless a mask is boolean."""
    if mask.dtype != torch.bool:
        raise TypeError(
            f"mask must be boolean with True = may attend, got {mask.dtype}: "
            "compare first, for example ids[:, None] == ids[None, :]"
        )


class DistinctPatterns(NamedTuple):
    """The different masks among a map's windows, in order of appearance, and which of them each
    window has: ``patterns[index]`` is the mask again.
    """

    patterns: Bool[Tensor, "p t t"]
    index: Int[Tensor, "n"]


def distinct_patterns(mask: Bool[Tensor, "n t t"]) -> DistinctPatterns:
    """Return the distinct masks among those of all windows, and which of them each window has."""
    numbers: dict[bytes, int] = {}
    index = [numbers.setdefault(window.numpy().tobytes(), len(numbers)) for window in mask.cpu()]
    first = [index.index(number) for number in range(len(numbers))]
    return DistinctPatterns(mask[first], torch.tensor(index, dtype=torch.long, device=mask.device))
