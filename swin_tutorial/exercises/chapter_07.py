"""Chapter 07, training: the learning rate, the targets, and who gets which images."""

import math

import torch
from torch import Tensor

from swin_tutorial.data.augmentation import mix_targets
from swin_tutorial.exercises.exercise import Exercise

LABELS, OTHERS = torch.tensor([2, 0, 3, 1]), torch.tensor([2, 1, 0, 3])
LAM = torch.tensor([0.5, 1.0, 0.25, 0.7])


def rate_at(step: int, steps: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def soft_targets(
    labels: Tensor, others: Tensor, lam: Tensor, smoothing: float, classes: int
) -> Tensor:
    return (1 - smoothing) * mix_targets(labels, others, lam, classes) + smoothing / classes


def stretch(total: int, rank: int, processes: int) -> tuple[int, int]:
    return total * rank // processes, total * (rank + 1) // processes


EXERCISES = {
    "rate_at": Exercise(
        rate_at,
        [
            (0, 100, 9, 1.0),
            (9, 100, 9, 0.5),
            (40, 100, 20, 1.0),
            (100, 100, 0, 2.0),
            (0, 7, 0, 1.0),
        ],
    ),
    "soft_targets": Exercise(
        soft_targets, [(LABELS, OTHERS, LAM, 0.0, 4), (LABELS, OTHERS, LAM, 0.1, 5)]
    ),
    "stretch": Exercise(
        stretch, [(10, 0, 2), (10, 1, 2), (10, 2, 3), (2500, 3, 8), (2, 1, 3), (7, 0, 1)]
    ),
}
