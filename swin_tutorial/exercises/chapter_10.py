"""Chapter 10, four ways to pay for a mask: bytes, intensity, and a kernel's bookkeeping."""

from swin_tutorial.exercises.exercise import Exercise
from swin_tutorial.grid import WindowGrid


def least_bytes(batch: int, height: int, width: int, channels: int, bytes_per_number: int) -> int:
    return batch * height * width * (3 * channels + channels) * bytes_per_number


def intensity(window_height: int, window_width: int, bytes_per_number: int) -> float:
    return window_height * window_width / bytes_per_number


def place_of_token(
    window: int, token: int, height: int, width: int, window_size: int, shift_size: int
) -> tuple[int, int] | None:
    grid = WindowGrid((height, width), window_size, shift_size)
    place = grid.origin(window, token)
    return None if grid.is_padding(place) else place


EXERCISES = {
    "least_bytes": Exercise(
        least_bytes, [(64, 56, 56, 96, 2), (1, 7, 9, 32, 4), (8, 25, 34, 64, 2)]
    ),
    "intensity": Exercise(intensity, [(7, 7, 2), (7, 7, 4), (8, 12, 2), (16, 16, 2)]),
    "place_of_token": Exercise(
        place_of_token,
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
}
