"""Chapter 11, Swin V2 and public weights: offsets on a log scale, scores by cosine."""

import math

import torch.nn.functional as F
from torch import Tensor

from swin_tutorial.exercises.exercise import Exercise, random_tensor


def log_spaced(offset: int, pretrained_window: int) -> float:
    size = math.log2(1 + 8 * abs(offset) / (pretrained_window - 1)) / 3
    return math.copysign(size, offset)


def cosine_scores(q: Tensor, k: Tensor, scale: float) -> Tensor:
    return scale * F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).T


EXERCISES = {
    "log_spaced": Exercise(log_spaced, [(0, 8), (7, 8), (-3, 8), (15, 8), (-11, 12)]),
    "cosine_scores": Exercise(
        cosine_scores,
        [
            (random_tensor(5, 4), 3 * random_tensor(5, 6)[:, :4], 10.0),
            (random_tensor(3, 8), random_tensor(3, 9)[:, :8], 1.0),
        ],
    ),
}
