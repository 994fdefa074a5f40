"""Chapter 02, cyclic shift: where tokens came from, and the windows that the roll saves."""

from swin_tutorial.exercises.exercise import Exercise, numbered_map
from swin_tutorial.reference import true_windows
from swin_tutorial.windows import cyclic_shift


def came_from(y: int, x: int, height: int, width: int, shift_size: int) -> tuple[int, int]:
    return (y + shift_size) % height, (x + shift_size) % width


def naive_window_count(height: int, width: int, window_size: int, shift_size: int) -> int:
    return len(true_windows((height, width), (window_size,) * 2, (shift_size,) * 2))


EXERCISES = {
    "came_from": Exercise(
        came_from, [(0, 0, 8, 12, 2), (7, 0, 8, 12, 2), (6, 11, 8, 12, 3), (4, 9, 5, 10, 0)]
    ),
    "roll_by_hand": Exercise(
        cyclic_shift, [(numbered_map(4, 6), 1), (numbered_map(5, 4), 3), (numbered_map(4, 4), 0)]
    ),
    "naive_window_count": Exercise(
        naive_window_count, [(8, 12, 4, 2), (56, 56, 7, 3), (14, 14, 7, 0), (4, 8, 4, 2)]
    ),
}
