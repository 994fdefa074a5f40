"""Geometries for the tests: every small one, and a seeded sample of the less regular."""

import random
from typing import NamedTuple

from swin_tutorial.grid import WindowGrid


class Geometry(NamedTuple):
    """The arguments of ``WindowGrid``, one value per axis."""

    size: tuple[int, ...]
    window_size: tuple[int, ...]
    shift_size: tuple[int, ...]
    padding: tuple[str, ...]
    periodic: tuple[bool, ...]

    @property
    def grid(self):
        return WindowGrid(*self)

    @property
    def is_padded(self):
        return any(n % m for n, m in zip(self.size, self.window_size, strict=True))

    @property
    def is_one_window(self):
        return all(n <= m for n, m in zip(self.size, self.window_size, strict=True))


LARGEST = {1: (18, 6), 2: (7, 4), 3: (4, 3)}  # size and window, by the number of axes


def sample(count, seed, num_axes=None):
    """Return distinct random geometries, each axis with values of its own.

    Axes are one to three, or ``num_axes``; where an axis divides it may be a ring.
    """
    rng = random.Random(seed)
    found = {}
    while len(found) < count:
        axes = num_axes or rng.choice((1, 2, 2, 3))
        found[Geometry(*zip(*(_axis(rng, *LARGEST[axes]) for _ in range(axes)), strict=True))] = (
            None
        )
    return list(found)


def _axis(rng, largest_size, largest_window):
    size, window = rng.randint(1, largest_size), rng.randint(1, largest_window)
    shift = rng.randrange(window)
    periodic = size % window == 0 and rng.random() < 0.4
    return size, window, shift, rng.choice(("mask", "mask", "attend")), periodic


def all_square_windows(height, largest_width):
    """Return every map of this height with square windows of at most ``largest_width``."""
    return [
        Geometry((height, width), (window,) * 2, (shift,) * 2, ("mask",) * 2, (False,) * 2)
        for width in range(1, largest_width + 1)
        for window in range(1, largest_width + 1)
        for shift in range(window)
    ]
