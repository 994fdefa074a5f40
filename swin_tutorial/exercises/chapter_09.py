"""Chapter 09, the mask explorer: investigations, most of which have many right answers.

An answer is something that a reader finds with the explorer: a token as (row, column) in the map
before the roll, a geometry as (height, width, window_size, shift_size), numbers of windows.
"""

from collections.abc import Collection, Sequence

from jaxtyping import Bool
from torch import Tensor

from swin_tutorial.exercises.exercise import Investigation
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import distinct_patterns

EXPLORED = WindowGrid((8, 12), window_size=4, shift_size=2)
SWIN_T = WindowGrid((56, 56), window_size=7, shift_size=3)


def lost_half(query: Sequence[int]) -> str:
    allowed = int(keys_of(EXPLORED, query).sum())
    tokens = EXPLORED.tokens_per_window
    return "" if 2 * allowed < tokens else f"{query} still attends to {allowed} of {tokens} tokens."


def farthest_stranger(key: Sequence[int]) -> str:
    window, _ = EXPLORED.locate((0, 0))
    if EXPLORED.locate(key)[0] != window:
        return f"{key} is not in the window of (0, 0)."

    def distance(token):  # squared, from (0, 0)
        return sum(place**2 for place in token)

    tokens = [EXPLORED.origin(window, index) for index in range(EXPLORED.tokens_per_window)]
    is_farthest = distance(key) == max(map(distance, tokens))
    return "" if is_farthest else f"{key} is in its window, but not the farthest there."


def never_masked(query: Sequence[int]) -> str:
    for shift in range(4):
        grid = WindowGrid((12, 12), 4, shift)
        allowed = int(keys_of(grid, query).sum())
        if allowed < grid.tokens_per_window:
            return f"with shift {shift}, {query} attends to {allowed} of 16 tokens."
    return ""


def unmasked_windows(windows: Collection[int]) -> str:
    free = SWIN_T.mask().all(dim=(1, 2)).nonzero().flatten().tolist()
    extra, missing = sorted(set(windows) - set(free)), sorted(set(free) - set(windows))
    if extra:
        return f"window {extra[0]} masks some pair."
    return f"{len(missing)} windows are missing, for example {missing[0]}." if missing else ""


def most_masked_shifts(shifts: Collection[int]) -> str:
    masked = [int((~WindowGrid((56, 56), 7, shift).mask()).sum()) for shift in range(7)]
    best = {shift for shift in range(7) if masked[shift] == max(masked)}
    for shift in sorted(set(shifts) - best):
        return f"shift {shift} masks {masked[shift]} pairs; another masks more."
    return "" if set(shifts) == best else "there is one more that masks just as many."


def two_patterns(sizes: Sequence[int]) -> str:
    found = count_patterns(*sizes)
    return "" if found == 2 else f"{tuple(sizes)} has {found}."


def six_patterns(sizes: Sequence[int]) -> str:
    found = count_patterns(*sizes)
    return "" if found >= 6 else f"{tuple(sizes)} has {found}."


def mostly_padding(query: Sequence[int]) -> str:
    grid = WindowGrid((7, 9), 4, 2, padding="attend")
    window, _ = grid.locate(query)
    if grid.is_padding(query):
        return f"{query} is padding itself."
    keys = keys_of(grid, query).nonzero().flatten().tolist()
    pads = sum(grid.is_padding(grid.origin(window, index)) for index in keys)
    real = len(keys) - pads
    return "" if pads > real else f"{query} attends to {real} real tokens and {pads} pads."


TOKEN = "a token, (row, column) counted from 0"
GEOMETRY = "four numbers: height, width, window size, shift"

EXERCISES = {
    "lost_half": Investigation(lost_half, (0, 0), TOKEN),
    "farthest_stranger": Investigation(farthest_stranger, (7, 11), TOKEN),
    "never_masked": Investigation(never_masked, (5, 5), TOKEN),
    "unmasked_windows": Investigation(
        unmasked_windows,
        [8 * row + column for row in range(7) for column in range(7)],
        "a list of numbers of windows",
    ),
    "most_masked_shifts": Investigation(most_masked_shifts, {3, 4}, "a set of shifts"),
    "two_patterns": Investigation(two_patterns, (4, 12, 4, 2), GEOMETRY),
    "six_patterns": Investigation(six_patterns, (9, 9, 4, 3), GEOMETRY),
    "mostly_padding": Investigation(mostly_padding, (6, 7), TOKEN),
}


def keys_of(grid: WindowGrid, query: Sequence[int]) -> Bool[Tensor, "t"]:
    """Return the query's row of the mask; ValueError if there is no such token."""
    window, index = grid.locate(query)
    return grid.mask()[window, index]


def count_patterns(height: int, width: int, window_size: int, shift_size: int) -> int:
    """Return how many different masks the windows of a map have."""
    return len(distinct_patterns(WindowGrid((height, width), window_size, shift_size).mask())[0])
