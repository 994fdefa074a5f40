"""Geometries for the tests: every small one, and a seeded sample of the less regular."""

import random
from typing import NamedTuple


class Geometry(NamedTuple):
    height: int
    width: int
    window_size: tuple[int, int]
    shift_size: tuple[int, int]

    @property
    def is_padded(self) -> bool:
        return any(size % m for size, m in zip(self[:2], self.window_size, strict=True))

    @property
    def is_single_window(self) -> bool:
        return all(size <= m for size, m in zip(self[:2], self.window_size, strict=True))

    @property
    def is_non_square(self) -> bool:
        return self.height != self.width or self.window_size[0] != self.window_size[1]

    @property
    def paddings(self) -> tuple[str, ...]:
        """Both ways to treat padding where there is any, one where they are the same."""
        return ("mask", "attend") if self.is_padded else ("mask",)


def all_square_windows(height: int, largest_width: int) -> list[Geometry]:
    """Return every geometry of this height with square windows of at most ``largest_width``."""
    return [
        Geometry(height, width, (window, window), (shift, shift))
        for width in range(1, largest_width + 1)
        for window in range(1, largest_width + 1)
        for shift in range(window)
    ]


def sample(count: int, seed: int, largest_size: int = 14, largest_window: int = 6):
    """Return distinct random geometries, each axis with a size, window and shift of its own."""
    rng = random.Random(seed)
    found: dict[Geometry, None] = {}
    while len(found) < count:
        window = (rng.randint(1, largest_window), rng.randint(1, largest_window))
        shift = (rng.randrange(window[0]), rng.randrange(window[1]))
        size = (rng.randint(1, largest_size), rng.randint(1, largest_size))
        found[Geometry(*size, window, shift)] = None
    return list(found)
