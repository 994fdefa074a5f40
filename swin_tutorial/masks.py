"""Who may attend to whom: the shifted-window mask and its neighbours (chapters 03 and 05).

A mask is boolean, query first and key second, and True means *this query may attend to this key*,
as in PyTorch's own ``scaled_dot_product_attention``.  Masks combine with ``&``.  Every mask made
here lets each token attend to itself, and so does every combination of them: no row is empty, and
no softmax over a row is NaN.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from swin_tutorial.windows import (
    Size,
    before_roll,
    is_certain,
    padded_size,
    size_pair,
    used_shift,
    window_and_shift,
    window_partition,
)

Padding = Literal["mask", "attend"]


def region_ids(
    height: int,
    width: int,
    window_size: Size,
    shift_size: Size,
    padding: Padding = "mask",
    device: torch.device | str | None = None,
) -> Int[Tensor, "hp wp"]:
    """Label each token of the padded, shifted map with the un-rolled window that it came from.

    Tokens of one rolled window may attend to each other iff their labels agree.  The un-rolled
    windows are numbered row by row from 0, the cut-off ones at the top and left included.  With
    ``padding="mask"`` all padding carries one label of its own, the largest; with ``"attend"`` it
    is labelled like any token.
    Raises ValueError unless 0 <= shift < window on each axis.  Source: Swin, section 3.2, figure 4.
    """
    padded_height, padded_width = padded_size(height, width, window_size)
    rows = torch.arange(padded_height, device=device, dtype=torch.int32)
    columns = torch.arange(padded_width, device=device, dtype=torch.int32)
    return _region_ids_at(rows, columns, height, width, window_size, shift_size, padding)


def shifted_window_mask(
    height: int,
    width: int,
    window_size: Size,
    shift_size: Size,
    padding: Padding = "mask",
    device: torch.device | str | None = None,
) -> Bool[Tensor, "n t t"]:
    """Return the mask of every window of the padded, shifted map: True where the ids agree.

    With ``padding="mask"`` real tokens attend to real tokens and padding to padding; with
    ``"attend"`` real tokens see the padding too, as in the public implementations.
    Raises ValueError unless 0 <= shift < window on each axis.  Source: Swin, section 3.2, figure 4.
    """
    (window_height, window_width), _ = window_and_shift(window_size, shift_size)
    padded_height, padded_width = padded_size(height, width, window_size)
    rows, columns = padded_height // window_height, padded_width // window_width
    geometry = height, width, window_size, shift_size, padding
    if torch.compiler.is_compiling():
        # A compiler fuses the comparison of all ids into what uses the mask.
        ids = _ids_of_windows(*geometry, device)
        return ids[:, :, None] == ids[:, None, :]

    # Along an axis only the last window, where the roll joins opposite edges, and the last but one,
    # which padding longer than window - shift reaches, can hold more than one region.  So a window
    # is of one of three kinds, 0 being all that come before; each pair of kinds is compared once.
    kinds = torch.arange(3, device=device, dtype=torch.int32)
    ids = _region_ids_at(
        _token_positions((kinds + rows - 3).clamp(min=0), window_height),
        _token_positions((kinds + columns - 3).clamp(min=0), window_width),
        *geometry,
    )
    ids = rearrange(
        ids, "(rows wh) (cols ww) -> (rows cols) (wh ww)", wh=window_height, ww=window_width
    )
    patterns = ids[:, :, None] == ids[:, None, :]

    row_kind = (torch.arange(rows, device=device) + 3 - rows).clamp(min=0)
    column_kind = (torch.arange(columns, device=device) + 3 - columns).clamp(min=0)
    return patterns.index_select(0, (row_kind[:, None] * 3 + column_kind[None, :]).flatten())


def shifted_window_mask_mod(
    height: int,
    width: int,
    window_size: Size,
    shift_size: Size,
    padding: Padding = "mask",
    device: torch.device | str | None = None,
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return the mask as a predicate of (batch, head, query, key), for PyTorch's FlexAttention.

    It says what ``shifted_window_mask`` holds, without holding it: the labels of two tokens agree.
    "batch" counts the windows of all images, image by image.
    Raises ValueError unless 0 <= shift < window on each axis.
    """
    ids = _ids_of_windows(height, width, window_size, shift_size, padding, device)
    windows = len(ids)
    return lambda batch, head, query, key: ids[batch % windows, query] == ids[batch % windows, key]


def padding_mask(lengths: Int[Tensor, "n"], tokens: int) -> Bool[Tensor, "n t t"]:
    """Return the mask of n sequences whose first ``lengths[n]`` of ``tokens`` tokens are real.

    Real tokens attend to real tokens, padding to padding.  ``lengths`` may lie between 0 and
    ``tokens``; ValueError otherwise.  Source: Attention Is All You Need, for batches of sentences;
    Swin has no such mask.
    """
    tokens, _ = size_pair("tokens", tokens)
    if lengths.ndim != 1 or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise TypeError(
            "lengths must be a 1-d tensor of whole numbers, got "
            f"{lengths.dtype} of shape {tuple(lengths.shape)}"
        )
    if ((lengths < 0) | (lengths > tokens)).any():
        raise ValueError(f"lengths must lie between 0 and tokens={tokens}, got {lengths.tolist()}")
    is_real = torch.arange(tokens, device=lengths.device) < lengths[:, None]
    return is_real[:, :, None] == is_real[:, None, :]


def look_ahead_mask(tokens: int, device: torch.device | str | None = None) -> Bool[Tensor, "t t"]:
    """Return the causal mask: a query may attend to keys at its own position and before.

    Source: Attention Is All You Need, section 3.2.3, for decoders; Swin has no such mask.
    """
    tokens, _ = size_pair("tokens", tokens)
    return torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()


def additive_mask(
    mask: Bool[Tensor, "*batch t t"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*batch t t"]:
    """Return the mask to *add* to attention scores before softmax: 0 where True, -inf where False.

    Raises TypeError unless ``mask`` is boolean and ``dtype`` a floating-point type.
    """
    if mask.dtype != torch.bool:
        raise TypeError(
            f"mask must be boolean with True = may attend, got {mask.dtype}: "
            "compare first, for example ids[:, None] == ids[None, :]"
        )
    if not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating-point type, got {dtype}: only those hold -inf")
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(
        ~mask, float("-inf")
    )


class DistinctPatterns(NamedTuple):
    """The different window masks of a geometry, in the order in which they appear, and the pattern
    of each window."""

    patterns: Bool[Tensor, "p t t"]
    index: Int[Tensor, "n"]


def distinct_patterns(mask: Bool[Tensor, "n t t"]) -> DistinctPatterns:
    """Return the distinct window masks and, for each window, which one it has: ``patterns[index] ==
    mask``."""
    found: dict[bytes, int] = {}
    index = [found.setdefault(window.cpu().numpy().tobytes(), len(found)) for window in mask]
    index = torch.tensor(index, device=mask.device)
    first = [int((index == pattern).nonzero()[0]) for pattern in range(len(found))]
    return DistinctPatterns(mask[first], index)


def _region_ids_at(
    rows: Int[Tensor, "r"],
    columns: Int[Tensor, "c"],
    height: int,
    width: int,
    window_size: Size,
    shift_size: Size,
    padding: Padding,
) -> Int[Tensor, "r c"]:
    """Label the tokens at some rows and columns of the rolled map as ``region_ids`` does."""
    check_padding(padding)
    (window_height, window_width), _ = window_and_shift(window_size, shift_size)
    shift_rows, shift_columns = used_shift(height, width, window_size, shift_size)
    padded_height, padded_width = padded_size(height, width, window_size)

    # Where each row and column stood before the roll, and the un-rolled window it stood in.  The
    # windows' edges are at shift, shift + window, ...: adding -shift mod window moves them to whole
    # multiples.
    y = before_roll(rows, -shift_rows, padded_height)
    x = before_roll(columns, -shift_columns, padded_width)
    window_row = (y + -shift_rows % window_height) // window_height
    window_column = (x + -shift_columns % window_width) // window_width

    # A shifted axis has one window more than the rolled map shows: the roll joins its first and
    # last into one.
    window_rows = padded_height // window_height + torch.sym_min(shift_rows, 1)
    window_columns = padded_width // window_width + torch.sym_min(shift_columns, 1)
    ids = window_row[:, None] * window_columns + window_column[None, :]
    divides = is_certain(padded_height == height) and is_certain(padded_width == width)
    if padding == "mask" and not divides:
        is_padding = (y >= height)[:, None] | (x >= width)[None, :]
        ids = ids.masked_fill(is_padding, window_rows * window_columns)
    return ids


def _ids_of_windows(
    height: int,
    width: int,
    window_size: Size,
    shift_size: Size,
    padding: Padding,
    device: torch.device | str | None,
) -> Int[Tensor, "n t"]:
    """Return the region ids of each window's tokens."""
    ids = region_ids(height, width, window_size, shift_size, padding, device)
    return window_partition(ids[None, :, :, None], window_size)[0, :, :, 0]


def _token_positions(windows: Int[Tensor, "k"], length: int) -> Int[Tensor, "tokens"]:
    """Return where along an axis the tokens of some windows stand, window after window."""
    inside = torch.arange(length, device=windows.device, dtype=windows.dtype)
    return (windows[:, None] * length + inside[None, :]).flatten()


def check_padding(padding: str) -> None:
    """Raise ValueError unless ``padding`` is "mask" or "attend"."""
    if padding not in ("mask", "attend"):
        raise ValueError(f'padding must be "mask" or "attend", got {padding!r}')
