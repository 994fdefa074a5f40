"""Chapter 03, mask construction: label the regions, compare the labels."""

import torch
from torch import Tensor

from swin_tutorial.exercises.exercise import Exercise
from swin_tutorial.masks import region_ids, shifted_window_mask
from swin_tutorial.windows import window_partition


def region_ids_by_hand(height: int, width: int, window_size: int, shift_size: int) -> Tensor:
    return region_ids((height, width), window_size, shift_size)


def mask_from_ids(ids: Tensor) -> Tensor:
    return ids[:, :, None] == ids[:, None, :]


def repaired_mask(height: int, width: int, window_size: int, shift_size: int) -> Tensor:
    return shifted_window_mask((height, width), window_size, shift_size)


EXERCISES = {
    "region_ids_by_hand": Exercise(
        region_ids_by_hand, [(8, 12, 4, 2), (6, 4, 2, 1), (9, 9, 3, 2), (8, 8, 4, 0)]
    ),
    "mask_from_ids": Exercise(
        mask_from_ids,
        [
            (torch.tensor([[4, 4, 5, 3]]),),
            (window_partition(region_ids((6, 4), 2, 1)[None, :, :, None], 2)[0, :, :, 0],),
        ],
    ),
    "repaired_mask": Exercise(
        repaired_mask,
        [(14, 14, 7, 3), (8, 12, 4, 2), (8, 8, 4, 0), (4, 4, 4, 2), (4, 8, 4, 2), (10, 7, 4, 1)],
    ),
}
