"""The exercises of every chapter: a name, cases to try an attempt on, a solution to compare with.

Where the package has the function that is asked for, that function is the solution.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from swin_tutorial.attention import relative_position_index
from swin_tutorial.augmentation import mixed_targets
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import (
    additive_mask,
    look_ahead_mask,
    padding_mask,
    region_ids,
    shifted_window_mask,
)
from swin_tutorial.reference import true_windows
from swin_tutorial.windows import cyclic_shift, padded_size, window_partition


@dataclass(frozen=True)
class Exercise:
    """One question: ``solution`` gives the right answer to every case, a tuple of arguments."""

    chapter: int
    solution: Callable
    cases: list[tuple]


def _numbered_map(height: int, width: int) -> Tensor:
    return torch.arange(2 * height * width * 3).view(2, height, width, 3)


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def _count_windows(height: int, width: int, window_size: int) -> int:
    padded_height, padded_width = padded_size(height, width, window_size)
    return (padded_height // window_size) * (padded_width // window_size)


def _window_of_token(y: int, x: int, width: int, window_size: int) -> tuple[int, int]:
    window = (y // window_size) * (width // window_size) + x // window_size
    return window, (y % window_size) * window_size + x % window_size


def _came_from(y: int, x: int, height: int, width: int, shift_size: int) -> tuple[int, int]:
    return (y + shift_size) % height, (x + shift_size) % width


def _naive_window_count(height: int, width: int, window_size: int, shift_size: int) -> int:
    return len(true_windows(height, width, (window_size,) * 2, (shift_size,) * 2))


def _masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores + additive_mask(mask)).softmax(dim=-1)


def _attend_one_window(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return _masked_softmax(q @ k.T / q.shape[-1] ** 0.5, mask) @ v


def _table_row(query: int, key: int, window_size: int) -> int:
    return int(relative_position_index(window_size)[query, key])


def _sliding_window_mask(height: int, width: int, radius: int) -> Tensor:
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([row.flatten(), column.flatten()])
    return ((place[:, :, None] - place[:, None, :]).abs() <= radius).all(0)


def _tokens_in_stage(height: int, width: int, stage: int) -> int:
    pixels = 4 * 2**stage  # rounding up step by step is rounding up once
    return -(-height // pixels) * -(-width // pixels)


def _split_four(x: Tensor) -> Tensor:
    return rearrange(x, "b h w (column row c) -> b (h row) (w column) c", row=2, column=2)


def _rate_at(step: int, steps: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def _soft_targets(
    labels: Tensor, others: Tensor, kept: Tensor, smoothing: float, classes: int
) -> Tensor:
    return (1 - smoothing) * mixed_targets(labels, others, kept, classes) + smoothing / classes


def _stretch(total: int, rank: int, processes: int) -> tuple[int, int]:
    return total * rank // processes, total * (rank + 1) // processes


def _least_bytes(batch: int, height: int, width: int, channels: int, bytes_per_number: int) -> int:
    return batch * height * width * (3 * channels + channels) * bytes_per_number


def _place_of_token(
    window: int, token: int, height: int, width: int, window_size: int, shift_size: int
) -> tuple[int, int] | None:
    numbers = torch.arange(1, height * width + 1).view(1, height, width, 1)  # 0 is padding
    grid = WindowGrid(height, width, window_size, shift_size)
    number = int(grid.partition(numbers)[0, window, token, 0])
    return divmod(number - 1, width) if number else None


_SHIFTED = shifted_window_mask(6, 9, 3, 1)
_LABELS, _OTHERS = torch.tensor([2, 0, 3, 1]), torch.tensor([2, 1, 0, 3])
_KEPT = torch.tensor([0.5, 1.0, 0.25, 0.7])

EXERCISES = {
    "may_attend": Exercise(
        0, lambda query_region, key_region: query_region == key_region, [(3, 3), (3, 0), (0, 3)]
    ),
    "row_after_roll": Exercise(
        0,
        lambda row, height, shift_size: (row - shift_size) % height,
        [(5, 8, 2), (0, 8, 2), (1, 12, 3), (7, 8, 0)],
    ),
    "count_windows": Exercise(1, _count_windows, [(56, 56, 7), (8, 12, 4), (57, 50, 7), (3, 5, 7)]),
    "window_of_token": Exercise(
        1, _window_of_token, [(0, 0, 12, 4), (5, 6, 12, 4), (7, 11, 12, 4), (3, 8, 12, 3)]
    ),
    "partition_by_hand": Exercise(
        1, window_partition, [(_numbered_map(4, 6), 2), (_numbered_map(9, 3), 3)]
    ),
    "came_from": Exercise(
        2, _came_from, [(0, 0, 8, 12, 2), (7, 0, 8, 12, 2), (6, 11, 8, 12, 3), (4, 9, 5, 10, 0)]
    ),
    "roll_by_hand": Exercise(
        2,
        cyclic_shift,
        [(_numbered_map(4, 6), 1), (_numbered_map(5, 4), 3), (_numbered_map(4, 4), 0)],
    ),
    "naive_window_count": Exercise(
        2, _naive_window_count, [(8, 12, 4, 2), (56, 56, 7, 3), (14, 14, 7, 0), (4, 8, 4, 2)]
    ),
    "region_ids_by_hand": Exercise(
        3,
        lambda height, width, window_size, shift_size: region_ids(
            height, width, window_size, shift_size, padding="attend"
        ),
        [(8, 12, 4, 2), (6, 4, 2, 1), (9, 9, 3, 2), (8, 8, 4, 0)],
    ),
    "mask_from_ids": Exercise(
        3,
        lambda ids: ids[:, :, None] == ids[:, None, :],
        [
            (torch.tensor([[4, 4, 5, 3]]),),
            (window_partition(region_ids(6, 4, 2, 1)[None, :, :, None], 2)[0, :, :, 0],),
        ],
    ),
    "repaired_mask": Exercise(
        3,
        shifted_window_mask,
        [(14, 14, 7, 3), (8, 12, 4, 2), (8, 8, 4, 0), (4, 4, 4, 2), (4, 8, 4, 2), (10, 7, 4, 1)],
    ),
    "masked_softmax": Exercise(
        4, _masked_softmax, [(_random(6, 9, 9), _SHIFTED), (100 * _random(6, 9, 9), _SHIFTED)]
    ),
    "table_row": Exercise(4, _table_row, [(0, 0, 7), (48, 0, 7), (0, 48, 7), (5, 2, 3), (9, 7, 4)]),
    "attend_one_window": Exercise(
        4,
        _attend_one_window,
        [
            (_random(9, 4), _random(9, 5)[:, :4], _random(9, 6), _SHIFTED[2]),
            (9 * _random(9, 4), _random(9, 5)[:, :4], _random(9, 6), _SHIFTED[5]),
        ],
    ),
    "mask_for_multihead": Exercise(
        5,
        lambda mask, heads: (~mask).repeat_interleave(heads, dim=0),
        [(_SHIFTED, 1), (_SHIFTED, 3), (look_ahead_mask(4)[None], 2)],
    ),
    "sliding_window_mask": Exercise(
        5, _sliding_window_mask, [(3, 4, 1), (1, 6, 2), (4, 2, 0), (5, 5, 3)]
    ),
    "decoder_mask": Exercise(
        5,
        lambda lengths, tokens: look_ahead_mask(tokens) & padding_mask(lengths, tokens),
        [(torch.tensor([3, 5, 1]), 5), (torch.tensor([0, 4]), 4)],
    ),
    "tokens_in_stage": Exercise(
        6, _tokens_in_stage, [(224, 224, 0), (224, 224, 3), (45, 30, 1), (300, 180, 3)]
    ),
    "split_four": Exercise(
        6,
        _split_four,
        [
            (_numbered_map(2, 3).repeat(1, 1, 1, 4).cumsum(-1),),
            (_numbered_map(1, 4)[..., :1].repeat(1, 1, 1, 8).cumsum(-1),),
        ],
    ),
    "rate_at": Exercise(
        7,
        _rate_at,
        [
            (0, 100, 9, 1.0),
            (9, 100, 9, 0.5),
            (40, 100, 20, 1.0),
            (100, 100, 0, 2.0),
            (0, 7, 0, 1.0),
        ],
    ),
    "soft_targets": Exercise(
        7,
        _soft_targets,
        [(_LABELS, _OTHERS, _KEPT, 0.0, 4), (_LABELS, _OTHERS, _KEPT, 0.1, 5)],
    ),
    "stretch": Exercise(
        7, _stretch, [(10, 0, 2), (10, 1, 2), (10, 2, 3), (2500, 3, 8), (2, 1, 3), (7, 0, 1)]
    ),
    "least_bytes": Exercise(
        10, _least_bytes, [(64, 56, 56, 96, 2), (1, 7, 9, 32, 4), (8, 25, 34, 64, 2)]
    ),
    "intensity": Exercise(
        10,
        lambda window_height, window_width, bytes_per_number: (
            window_height * window_width / bytes_per_number
        ),
        [(7, 7, 2), (7, 7, 4), (8, 12, 2), (16, 16, 2)],
    ),
    "place_of_token": Exercise(
        10,
        _place_of_token,
        [
            (0, 0, 8, 12, 4, 2),
            (5, 15, 8, 12, 4, 2),
            (2, 6, 8, 12, 4, 1),
            (3, 9, 7, 10, 4, 2),
            (5, 4, 7, 10, 4, 2),
            (5, 15, 7, 10, 4, 2),
            (1, 6, 3, 9, 4, 2),
            (2, 3, 3, 9, 4, 2),
        ],
    ),
    "log_spaced": Exercise(
        11,
        lambda offset, pretrained_window: math.copysign(
            math.log2(1 + 8 * abs(offset) / (pretrained_window - 1)) / 3, offset
        ),
        [(0, 8), (7, 8), (-3, 8), (15, 8), (-11, 12)],
    ),
    "cosine_scores": Exercise(
        11,
        lambda q, k, scale: scale * F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).T,
        [
            (_random(5, 4), 3 * _random(5, 6)[:, :4], 10.0),
            (_random(3, 8), _random(3, 9)[:, :8], 1.0),
        ],
    ),
}
