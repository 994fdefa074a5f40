"""Chapter 05, masks compared: other masks, and other ways to write one."""

import torch
from torch import Tensor

from swin_tutorial.exercises.exercise import Exercise
from swin_tutorial.masks import look_ahead_mask, padding_mask, shifted_window_mask

MASK = shifted_window_mask((6, 9), 3, 1)


def mask_for_multihead(mask: Tensor, heads: int) -> Tensor:
    return (~mask).repeat_interleave(heads, dim=0)


def sliding_window_mask(height: int, width: int, radius: int) -> Tensor:
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([row.flatten(), column.flatten()])
    return ((place[:, :, None] - place[:, None, :]).abs() <= radius).all(0)


def decoder_mask(lengths: Tensor, tokens: int) -> Tensor:
    return look_ahead_mask(tokens) & padding_mask(lengths, tokens)


EXERCISES = {
    "mask_for_multihead": Exercise(
        mask_for_multihead, [(MASK, 1), (MASK, 3), (look_ahead_mask(4)[None], 2)]
    ),
    "sliding_window_mask": Exercise(
        sliding_window_mask, [(3, 4, 1), (1, 6, 2), (4, 2, 0), (5, 5, 3)]
    ),
    "decoder_mask": Exercise(
        decoder_mask, [(torch.tensor([3, 5, 1]), 5), (torch.tensor([0, 4]), 4)]
    ),
}
