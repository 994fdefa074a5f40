"""Ways to build the mask of a large map, in one thread: ours beside slices."""

import functools
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from swin_tutorial import grid as grids
from swin_tutorial.bench.timing import machine, one_thread, paired_medians, record, scaled
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import shifted_window_mask
from swin_tutorial.reference import brute_force_mask, nine_region_ids

Pair = tuple[int, int]
GEOMETRY = (256, 256), (8, 8), (4, 4)
NINE_SLICES = "nine slices, float"


def run(json_file: Path | None = None, *, repeats: int = 30) -> dict:
    """Time ways to make the mask of 256 x 256 tokens, window 8, shift 4, in one thread.

    Ours is timed twice: built, and asked for again, when it is kept already.  Prints a table of
    medians and returns it.

    Args:
        json_file: Write the results to this file too.
        repeats: How many times each contender is timed.

    Raises:
        AssertionError: If the contenders do not agree.
    """
    contenders = {
        "swin_tutorial, built": functools.partial(build, *GEOMETRY),
        "swin_tutorial, kept": functools.partial(shifted_window_mask, *GEOMETRY),
        NINE_SLICES: functools.partial(nine_slice_mask, *GEOMETRY),
        "slices of every window": functools.partial(window_by_window_mask, *GEOMETRY),
    }
    _check(contenders)
    with one_thread():
        seconds = paired_medians(contenders, repeats)
        on = machine()
    size, window, shift = GEOMETRY
    result = {
        "what": f"shifted-window mask, {size[0]}x{size[1]} tokens, window {window}, shift {shift}",
        "repeats": repeats,
        "bytes_of_the_mask": shifted_window_mask(*GEOMETRY).nbytes,
        "milliseconds": scaled(seconds, 1e3, 4),
        "times_as_fast_as_nine_slices": {
            name: round(seconds[NINE_SLICES] / time, 2) for name, time in seconds.items()
        },
        **on,
    }
    print(result["what"])
    for name, ratio in result["times_as_fast_as_nine_slices"].items():
        milliseconds = result["milliseconds"][name]
        print(f"  {name:24} {milliseconds:9.3f} ms  {ratio:10.2f} x as fast as nine slices")
    record(result, json_file)
    return result


def build(size: Pair, window_size: Pair, shift_size: Pair) -> Tensor:
    """Build our mask anew, past the cache that ``WindowGrid.mask`` keeps."""
    return grids._grid_mask.__wrapped__(WindowGrid(size, window_size, shift_size), None)


def nine_slice_mask(size: Pair, window_size: Pair, shift_size: Pair) -> Tensor:
    """Build the official mask: nine slices, a subtraction of floats, two fills."""
    ids = nine_region_ids(size, window_size, shift_size)
    ids = rearrange(ids, "(r m) (c n) -> (r c) (m n)", m=window_size[0], n=window_size[1])
    difference = ids[:, None, :] - ids[:, :, None]
    return difference.masked_fill(difference != 0, -100.0).masked_fill(difference == 0, 0.0)


def window_by_window_mask(size: Pair, window_size: Pair, shift_size: Pair) -> Tensor:
    """Build the mask in loops over the windows and, in each, over the slices that are regions."""
    (height, width), (rows, columns), (shift_rows, shift_columns) = size, window_size, shift_size
    masks = []
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            ids = torch.zeros(rows, columns)
            is_last_row, is_last_column = top + rows == height, left + columns == width
            ids[rows - shift_rows if is_last_row else rows :, :] += 1
            ids[:, columns - shift_columns if is_last_column else columns :] += 2
            ids = ids.flatten()
            masks.append(ids[:, None] == ids[None, :])
    return torch.stack(masks)


def _check(contenders: dict) -> None:
    expected = shifted_window_mask(*GEOMETRY)
    for name, make in contenders.items():
        mask = make()
        allowed = mask if mask.dtype == torch.bool else mask == 0
        assert torch.equal(allowed, expected), name
    small = (16, 24), *GEOMETRY[1:]
    assert torch.equal(build(*small), brute_force_mask(*small))
