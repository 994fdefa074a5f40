"""Slow and obviously right: what the fast code must equal (chapters 03 and 04).

Nothing here rolls a tensor, and nothing here imports the code that it judges.  A size, a window and
a shift are tuples with one number per axis; ``padding`` and ``periodic`` are one value for all axes
or a tuple too.
"""

import itertools

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Numbers = tuple[int, ...]
PADDINGS, RINGS = ("mask", "attend"), (False, True)


def brute_force_mask(
    size: Numbers,
    window_size: Numbers,
    shift_size: Numbers,
    padding: str | tuple[str, ...] = "mask",
    periodic: bool | tuple[bool, ...] = False,
) -> Bool[Tensor, "n t t"]:
    """Decide about every pair of tokens from their coordinates alone, in plain Python.

    Take two tokens back to where they stood before the roll.  They may attend to each other if, on
    every axis, the same shifted window holds both, and both are real or both padding there (unless
    ``padding="attend"``).
    Source: Swin, section 3.2, figure 4, read literally.
    """
    axes = [_axis(*axis) for axis in zip(size, window_size, shift_size, strict=True)]
    edge_rules = list(
        zip(size, _each(padding, size, PADDINGS), _each(periodic, size, RINGS), strict=True)
    )

    def true_window(rolled_token: Numbers) -> list:
        """Return the window, on each axis, in which a rolled token stood before the roll."""
        where = []
        for place, (padded, window, shift), (length, pads, is_ring) in zip(
            rolled_token, axes, edge_rules, strict=True
        ):
            y = (place + shift) % padded
            if is_ring:
                where.append((y - shift) % padded // window)
            elif pads == "mask" and y >= length:
                where.append("padding")
            else:
                where.append((y - shift) // window)
        return where

    masks = []
    for corner in itertools.product(*(range(0, padded, window) for padded, window, _ in axes)):
        tokens = itertools.product(
            *(range(start, start + m) for start, m in zip(corner, window_size, strict=True))
        )
        regions = [true_window(token) for token in tokens]
        masks.append([[query == key for key in regions] for query in regions])
    return torch.tensor(masks)


def nine_region_ids(
    size: tuple[int, int], window_size: tuple[int, int], shift_size: tuple[int, int]
) -> Float[Tensor, "h w"]:
    """Number the regions as the official code does: three slices per axis, one counter.

    The numbers differ from ``region_ids``, and regions that never meet in a window may share one;
    within each window the same tokens are equal, so the mask is the same.  For maps that divide
    into windows and a shift that is not 0 on either axis: the official code needs no more.
    Retold in our words; source: ``SwinTransformerBlock.__init__`` and ``BasicLayer.forward`` of the
    official code.
    """
    ids = torch.zeros(size)
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
    size: Numbers,
    window_size: Numbers,
    shift_size: Numbers,
    padding: str | tuple[str, ...] = "mask",
    periodic: bool | tuple[bool, ...] = False,
) -> list[tuple[list[int], ...]]:
    """List the windows of the shifted partition: for each, its positions on each axis of the map.

    The first and the last window of a shifted axis are cut short by its ends, unless the axis is
    periodic: then they are one.  With ``padding="attend"`` windows reach into the padding;
    otherwise they end with the real tokens.
    """
    of_axes = [
        _windows_on_axis(*axis)
        for axis in zip(
            size,
            window_size,
            shift_size,
            _each(padding, size, PADDINGS),
            _each(periodic, size, RINGS),
            strict=True,
        )
    ]
    return list(itertools.product(*of_axes))


def attend_window_by_window(
    x: Float[Tensor, "b *size c"],
    attention: nn.Module,
    window_size: Numbers,
    shift_size: Numbers,
    padding: str | tuple[str, ...] = "mask",
    periodic: bool | tuple[bool, ...] = False,
) -> Float[Tensor, "b *size c"]:
    """Shifted-window attention with no roll and no mask: every true window attends on its own.

    ``attention`` is a ``WindowAttention`` (of Swin V1, it reads the bias table) whose weights are
    used; its ``forward`` is not.  Dropout is left out.
    """
    batch, *size, dim = x.shape
    padded_size = [_axis(n, m, 0)[0] for n, m in zip(size, window_size, strict=True)]
    real = (slice(None), *(slice(0, length) for length in size))
    padded = x.new_zeros(batch, *padded_size, dim)
    padded[real] = x
    out = torch.zeros_like(padded)
    for window in true_windows(tuple(size), window_size, shift_size, padding, periodic):
        index = (slice(None), *torch.meshgrid(*map(torch.tensor, window), indexing="ij"))
        out[index] = _attend(padded[index], attention, window_size)
    return out[real]


def _attend(tokens: Tensor, attention: nn.Module, window_size: Numbers) -> Tensor:
    """Plain attention among all tokens of one window (b, *lengths, c), head by head."""
    batch, *lengths, dim = tokens.shape
    places = list(itertools.product(*map(range, lengths)))
    q, k, v = attention.qkv(tokens.reshape(batch, len(places), dim)).chunk(3, dim=-1)
    entry = torch.tensor(
        [[_table_entry(query, key, window_size) for key in places] for query in places]
    )
    outputs = []
    heads = zip(*(t.chunk(attention.num_heads, dim=-1) for t in (q, k, v)), strict=True)
    for head, (q_head, k_head, v_head) in enumerate(heads):
        scores = q_head @ k_head.transpose(1, 2) / q_head.shape[-1] ** 0.5
        scores = scores + attention.relative_position_bias_table[entry, head]
        outputs.append(scores.softmax(dim=-1) @ v_head)
    return attention.proj(torch.cat(outputs, dim=-1)).reshape(batch, *lengths, dim)


def _table_entry(query: Numbers, key: Numbers, window_size: Numbers) -> int:
    """Return the row of the bias table for the offset query - key, numbered row by row."""
    entry = 0
    for q_place, k_place, window in zip(query, key, window_size, strict=True):
        entry = entry * (2 * window - 1) + q_place - k_place + window - 1
    return entry


def _each(value: object, size: Numbers, choices: tuple) -> tuple:
    """Return one value per axis; ValueError unless each is one of the choices."""
    values = value if isinstance(value, tuple) else (value,) * len(size)
    if not all(isinstance(one, str | bool) and one in choices for one in values):
        raise ValueError(f"{value!r} is not one of {choices}, or a tuple of one per axis")
    return values


def _axis(size: int, window: int, shift: int) -> tuple[int, int, int]:
    """Return the padded size, window and shift of one axis; a single window is not shifted.

    Raises ValueError for an axis on which there are no such windows.
    """
    are_whole = all(isinstance(number, int) for number in (size, window, shift))
    if not (are_whole and size > 0 and 0 <= shift < window):
        raise ValueError(
            f"an axis of {size} tokens cannot be cut into windows of {window} shifted by {shift}: "
            "all are whole numbers, size at least 1, and shift_size from 0 to window_size - 1"
        )
    padded = window
    while padded < size:
        padded += window
    return padded, window, shift if padded > window else 0


def _windows_on_axis(
    size: int, window: int, shift: int, padding: str, periodic: bool
) -> list[list[int]]:
    """Return the positions of each window: [0, shift), [shift, shift + window), ..."""
    padded, window, shift = _axis(size, window, shift)
    end = padded if padding == "attend" else size
    starts = [start for start in sorted({0, *range(shift, end, window)}) if start < end]
    windows = [
        list(range(start, stop)) for start, stop in zip(starts, [*starts[1:], end], strict=True)
    ]
    if periodic and shift:
        first, *others, last = windows
        return [*others, last + first]
    return windows
