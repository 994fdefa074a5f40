"""Side-by-side timings: every contender in one run, in turn, so that what slows one slows all."""

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from swin_tutorial.masks import shifted_window_mask
from swin_tutorial.reference import brute_force_mask, nine_region_ids


def masks(json_file: Path | None = None, repeats: int = 30) -> dict:
    """Time three ways to build the shifted-window mask of 256 x 256 tokens, window 8, shift 4.

    Prints a table of medians and their ratios and returns it; ``json_file`` gets it too.  Raises
    AssertionError if the contenders do not agree.
    """
    height, width, window, shift = 256, 256, (8, 8), (4, 4)
    contenders = {
        "swin_tutorial": lambda: shifted_window_mask(height, width, window, shift),
        "nine slices, float": lambda: _nine_slice_mask(height, width, window, shift),
        "slices of every window": lambda: _window_by_window_mask(height, width, window, shift),
    }
    expected = shifted_window_mask(height, width, window, shift)
    for name, build in contenders.items():
        built = build()
        assert torch.equal(built if built.dtype == torch.bool else built == 0, expected), name
    small = (16, 24, window, shift)
    assert torch.equal(shifted_window_mask(*small), brute_force_mask(*small))

    seconds = paired_medians(contenders, repeats)
    result = {
        "what": f"shifted-window mask, {height}x{width} tokens, window {window}, shift {shift}",
        "repeats": repeats,
        "bytes_of_the_mask": expected.nbytes,
        "milliseconds": {name: round(1e3 * one, 3) for name, one in seconds.items()},
        "times_slower": {
            name: round(one / seconds["swin_tutorial"], 1) for name, one in seconds.items()
        },
        **machine(),
    }
    print(result["what"])
    for name, slower in result["times_slower"].items():
        print(f"  {name:24} {result['milliseconds'][name]:9.3f} ms  {slower:8.1f} x")
    if json_file:
        Path(json_file).write_text(json.dumps(result, indent=1) + "\n")
    return result


def paired_medians(contenders: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Return each contender's median time in seconds, measured in turn after one warm-up round."""
    times = {name: [] for name in contenders}
    for round_number in range(repeats + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if round_number:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(one) for name, one in times.items()}


def machine() -> dict[str, str | int]:
    """Return what a timing must be read with: processor, threads and versions."""
    return {
        "device": f"cpu, {platform.machine()}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _nine_slice_mask(height: int, width: int, window_size, shift_size) -> Tensor:
    """The official recipe: nine slices, a subtraction of floats, two fills."""
    ids = nine_region_ids(height, width, window_size, shift_size)
    ids = rearrange(ids, "(r m) (c n) -> (r c) (m n)", m=window_size[0], n=window_size[1])
    difference = ids[:, None, :] - ids[:, :, None]
    return difference.masked_fill(difference != 0, -100.0).masked_fill(difference == 0, 0.0)


def _window_by_window_mask(height: int, width: int, window_size, shift_size) -> Tensor:
    """Nested loops over the windows and, in each, over the slices that its regions are."""
    (rows, columns), (shift_rows, shift_columns) = window_size, shift_size
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
