"""Slow and obviously right: what the fast code must equal (chapters 03 and 04).

Nothing here rolls a tensor, and nothing here imports the code that it judges.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Pair = tuple[int, int]


def brute_force_mask(
    height: int, width: int, window_size: Pair, shift_size: Pair, padding: str = "mask"
) -> Bool[Tensor, "n t t"]:
    """Decide about every pair of tokens from their coordinates alone, in plain Python.

    Two tokens may attend to each other iff they stand in the same window of the un-rolled, shifted
    partition, and (unless ``padding="attend"``) are both real or both padding; all padding counts
    as one window.
    Source: Swin, section 3.2, figure 4, read literally.
    """
    padded_height, window_rows, shift_rows = _axis(height, window_size[0], shift_size[0])
    padded_width, window_columns, shift_columns = _axis(width, window_size[1], shift_size[1])

    def true_window(rolled_y: int, rolled_x: int):
        y, x = (rolled_y + shift_rows) % padded_height, (rolled_x + shift_columns) % padded_width
        if padding == "mask" and (y >= height or x >= width):
            return "padding"
        return (y - shift_rows) // window_rows, (x - shift_columns) // window_columns

    masks = []
    for top in range(0, padded_height, window_rows):
        for left in range(0, padded_width, window_columns):
            regions = [
                true_window(top + dy, left + dx)
                for dy in range(window_rows)
                for dx in range(window_columns)
            ]
            masks.append([[query == key for key in regions] for query in regions])
    return torch.tensor(masks)


def nine_region_ids(
    height: int, width: int, window_size: Pair, shift_size: Pair
) -> Float[Tensor, "h w"]:
    """Number the regions as the official code does: three slices per axis, one counter.

    For maps that divide into windows and a shift that is not 0 on either axis, which is all that
    the official code asks of it.  Told in our words; source: ``SwinTransformerBlock.__init__`` and
    ``BasicLayer.forward`` of the official code.
    """
    ids = torch.zeros(height, width)
    row_slices, column_slices = (
        (slice(0, -window), slice(-window, -shift), slice(-shift, None))
        for window, shift in zip(window_size, shift_size, strict=True)
    )
    counter = 0
    for rows in row_slices:
        for columns in column_slices:
            ids[rows, columns] = counter
            counter += 1
    return ids


def true_windows(
    height: int, width: int, window_size: Pair, shift_size: Pair, padding: str = "mask"
) -> list[tuple[slice, slice]]:
    """List the windows of the shifted partition as rectangles of the map itself: no roll, no
    padding masked.

    The first and last of a shifted axis are cut off by the map's edge.  With ``padding="attend"``
    the rectangles extend over the padding, without it they end where the real tokens end.
    """
    rows = _edges(height, window_size[0], shift_size[0], padding)
    columns = _edges(width, window_size[1], shift_size[1], padding)
    return [(row, column) for row in rows for column in columns]


def attend_window_by_window(
    x: Float[Tensor, "b h w c"],
    attention: nn.Module,
    window_size: Pair,
    shift_size: Pair,
    padding: str = "mask",
) -> Float[Tensor, "b h w c"]:
    """Shifted-window attention with no roll and no mask: every true window attends on its own.

    ``attention`` is a ``WindowAttention`` whose weights are used; its ``forward`` is not.  Dropout
    is left out.
    """
    height, width = x.shape[1:3]
    padded_height, padded_width = (
        _axis(size, m, 0)[0] for size, m in zip(x.shape[1:3], window_size, strict=True)
    )
    padded = x.new_zeros(x.shape[0], padded_height, padded_width, x.shape[3])
    padded[:, :height, :width] = x
    out = torch.zeros_like(padded)
    for rows, columns in true_windows(height, width, window_size, shift_size, padding):
        out[:, rows, columns] = _attend(padded[:, rows, columns], attention, window_size)
    return out[:, :height, :width]


def _attend(tokens: Tensor, attention: nn.Module, window_size: Pair) -> Tensor:
    """Plain attention among all tokens of one rectangle (b, rows, columns, c), head by head."""
    b, rows, columns, channels = tokens.shape
    places = [(y, x) for y in range(rows) for x in range(columns)]
    q, k, v = attention.qkv(tokens.reshape(b, rows * columns, channels)).chunk(3, dim=-1)
    table = attention.relative_position_bias_table
    offsets_per_row = 2 * window_size[1] - 1
    entry = [
        [
            (y - j + window_size[0] - 1) * offsets_per_row + x - i + window_size[1] - 1
            for j, i in places
        ]
        for y, x in places
    ]
    outputs = []
    for head, (qh, kh, vh) in enumerate(
        zip(*(one.chunk(attention.heads, dim=-1) for one in (q, k, v)), strict=True)
    ):
        scores = qh @ kh.transpose(1, 2) / qh.shape[-1] ** 0.5 + table[torch.tensor(entry), head]
        outputs.append(scores.softmax(dim=-1) @ vh)
    return attention.proj(torch.cat(outputs, dim=-1)).reshape(b, rows, columns, channels)


def _axis(size: int, window: int, shift: int) -> tuple[int, int, int]:
    """Return the padded size, window and shift of one axis; a single window is not shifted."""
    padded = window
    while padded < size:
        padded += window
    return padded, window, shift if padded > window else 0


def _edges(size: int, window: int, shift: int, padding: str) -> list[slice]:
    """Return the intervals that one axis is cut into: [0, shift), [shift, shift + window), ..."""
    padded, window, shift = _axis(size, window, shift)
    end = padded if padding == "attend" else size
    starts = [start for start in sorted({0, *range(shift, end, window)}) if start < end]
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], end], strict=True)]
