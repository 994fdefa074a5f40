"""Chapter 08, does the mask matter: blind spots, and what a comparison can show."""

import math

from swin_tutorial.exercises.exercise import Exercise


def confused_rolls(height: int, width: int, window_size: int) -> int:
    return (height // window_size) * (width // window_size)


def smallest_blind_roll(patch_size: int, window_size: int, stages: int) -> int:
    return patch_size * window_size * 2 ** (stages - 1)


def pairs_needed(spread: float, difference: float) -> int:
    return math.ceil(((1.96 + 0.84) * spread / difference) ** 2)


EXERCISES = {
    "confused_rolls": Exercise(confused_rolls, [(16, 16, 4), (8, 12, 4), (7, 7, 7)]),
    "smallest_blind_roll": Exercise(smallest_blind_roll, [(4, 7, 4), (2, 4, 2), (1, 8, 1)]),
    "pairs_needed": Exercise(pairs_needed, [(0.3, 0.2), (0.26, 0.1), (0.5, 2.0), (1.0, 0.3)]),
}
