"""Where a key stands relative to a query: offsets that index a position bias (chapters 04, 11)."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from swin_tutorial._symbolic import remembered
from swin_tutorial.axis import Device
from swin_tutorial.windows import Size, sizes_per_axis, window_axes


def relative_position_index(window_size: Size, device: Device = None) -> Int[Tensor, "t t"]:
    """Return, for each (query, key) pair of a window, its row in the relative position bias table.

    On an axis of M tokens the offset query - key has 2M - 1 values, from -(M - 1) to M - 1.  The
    rows of the table number the offsets of all axes, row by row from the most negative.
    The tensor is shared: clone it before you write to it.
    Source: Swin, section 3.2, "Relative position bias".
    """
    return _relative_position_index(window_axes(window_size), device=device)


@remembered
def _relative_position_index(window: tuple[int, ...], device: Device) -> Int[Tensor, "t t"]:
    index = torch.zeros(1, 1, dtype=torch.int64, device=device)
    for size in window:
        place = torch.arange(size, device=device)
        offset = place[:, None] - place[None, :] + size - 1
        index = index[:, None, :, None] * (2 * size - 1) + offset[None, :, None, :]
        index = rearrange(index, "q1 q2 k1 k2 -> (q1 q2) (k1 k2)")
    return index


def log_spaced_offsets(
    window_size: Size, pretrained_window_size: Size, device: Device = None
) -> Float[Tensor, "offsets axes"]:
    """Return the offset that each row of the bias table stands for, as V2's network expects it.

    On each axis the largest offset of the pretrained window counts as 8; then x becomes
    log2(1 + |x|) / 3 with the sign of x, so that 0 stays 0 and 7 becomes 1.  The tensor is shared:
    clone it before you write to it.
    Source: the official code; Swin V2, section 3.3, names the logarithm but not the 8.
    """
    window = window_axes(window_size)
    pretrained = sizes_per_axis("pretrained_window_size", pretrained_window_size, len(window))
    return _log_spaced_offsets(window, pretrained, device=device)


@remembered
def _log_spaced_offsets(window: tuple, pretrained: tuple, device: Device) -> Tensor:
    axes = []
    for size, trained in zip(window, pretrained, strict=True):
        offset = torch.arange(1 - size, size, dtype=torch.float32, device=device)
        offset = offset * 8 / max(trained - 1, 1)
        axes.append(offset.sign() * (offset.abs() + 1).log2() / 3)
    return torch.cartesian_prod(*axes).view(-1, len(axes))
