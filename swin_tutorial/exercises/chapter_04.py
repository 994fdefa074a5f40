"""Chapter 04, window attention: the mask before softmax, the bias table, one window by hand."""

from torch import Tensor

from swin_tutorial.attention import relative_position_index
from swin_tutorial.exercises.exercise import Exercise, random_tensor
from swin_tutorial.masks import additive_mask, shifted_window_mask

MASK = shifted_window_mask((6, 9), 3, 1)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores + additive_mask(mask)).softmax(dim=-1)


def table_row(query: int, key: int, window_size: int) -> int:
    return int(relative_position_index(window_size)[query, key])


def attend_one_window(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return masked_softmax(q @ k.T / q.shape[-1] ** 0.5, mask) @ v


EXERCISES = {
    "masked_softmax": Exercise(
        masked_softmax, [(random_tensor(6, 9, 9), MASK), (100 * random_tensor(6, 9, 9), MASK)]
    ),
    "table_row": Exercise(table_row, [(0, 0, 7), (48, 0, 7), (0, 48, 7), (5, 2, 3), (9, 7, 4)]),
    "attend_one_window": Exercise(
        attend_one_window,
        [
            (random_tensor(9, 4), random_tensor(9, 5)[:, :4], random_tensor(9, 6), MASK[2]),
            (9 * random_tensor(9, 4), random_tensor(9, 5)[:, :4], random_tensor(9, 6), MASK[5]),
        ],
    ),
}
