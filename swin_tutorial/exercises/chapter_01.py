"""Chapter 01, window partitioning: how many windows there are, and which one holds a token."""

from swin_tutorial.exercises.exercise import Exercise, numbered_map
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import window_partition


def count_windows(height: int, width: int, window_size: int) -> int:
    return WindowGrid((height, width), window_size).num_windows


def window_of_token(y: int, x: int, width: int, window_size: int) -> tuple[int, int]:
    # Rows below the token's do not matter, so the map may end there.
    return WindowGrid((y + 1, width), window_size).locate((y, x))


EXERCISES = {
    "count_windows": Exercise(count_windows, [(56, 56, 7), (8, 12, 4), (57, 50, 7), (3, 5, 7)]),
    "window_of_token": Exercise(
        window_of_token, [(0, 0, 12, 4), (5, 6, 12, 4), (7, 11, 12, 4), (3, 8, 12, 3)]
    ),
    "partition_by_hand": Exercise(
        window_partition, [(numbered_map(4, 6), 2), (numbered_map(9, 3), 3)]
    ),
}
