"""Chapter 06, from block to model: how many tokens a stage has, and what undoes merging."""

from einops import rearrange
from torch import Tensor

from swin_tutorial.exercises.exercise import Exercise, numbered_map


def tokens_in_stage(height: int, width: int, stage: int) -> int:
    pixels = 4 * 2**stage  # rounding up step by step is rounding up once
    return -(-height // pixels) * -(-width // pixels)


def split_four(x: Tensor) -> Tensor:
    return rearrange(x, "b h w (column row c) -> b (h row) (w column) c", row=2, column=2)


EXERCISES = {
    "tokens_in_stage": Exercise(
        tokens_in_stage, [(224, 224, 0), (224, 224, 3), (45, 30, 1), (300, 180, 3)]
    ),
    "split_four": Exercise(
        split_four,
        [
            (numbered_map(2, 3).repeat(1, 1, 1, 4).cumsum(-1),),
            (numbered_map(1, 4)[..., :1].repeat(1, 1, 1, 8).cumsum(-1),),
        ],
    ),
}
