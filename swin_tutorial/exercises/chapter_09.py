"""Chapter 09, the mask explorer: investigations, most of which have many right answers.

An answer is something that a reader finds with the explorer: a token as (row, column) in the map
before the roll, a geometry as (height, width, window_size, shift_size), numbers of windows.
"""

from typing import Any

from jaxtyping import Bool
from torch import Tensor

from swin_tutorial.exercises.exercise import Investigation
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import distinct_patterns

EXPLORED = WindowGrid((8, 12), window_size=4, shift_size=2)
SWIN_T = WindowGrid((56, 56), window_size=7, shift_size=3)
LARGEST = 64  # tokens on a side of the explorer's maps


def lost_half(answer: Any) -> str:
    query = token(answer)
    allowed = int(keys_of(EXPLORED, query).sum())
    if 2 * allowed < EXPLORED.tokens_per_window:
        return ""
    return (
        f"{query} still attends to {allowed} of 16 tokens. A query loses more where the roll joins "
        "opposite edges on both axes."
    )


def farthest_stranger(answer: Any) -> str:
    key = token(answer)
    window, _ = EXPLORED.locate((0, 0))
    if EXPLORED.locate(key)[0] != window:
        return f"{key} is not in the window of (0, 0). Look among the crosses of that query."

    def distance(place):  # squared, from (0, 0)
        return sum(number**2 for number in place)

    tokens = [EXPLORED.origin(window, index) for index in range(EXPLORED.tokens_per_window)]
    if distance(key) == max(map(distance, tokens)):
        return ""
    return f"{key} is in its window, but another key there comes from farther away."


def never_masked(answer: Any) -> str:
    query = token(answer)
    for shift in range(4):
        grid = WindowGrid((12, 12), 4, shift)
        allowed = int(keys_of(grid, query).sum())
        if allowed < grid.tokens_per_window:
            return (
                f"With shift {shift}, {query} attends to {allowed} of 16 tokens. The edges of the "
                "map lose first."
            )
    return ""


def unmasked_windows(answer: Any) -> str:
    windows = set(whole_numbers(answer))
    free = set(SWIN_T.mask().all(dim=(1, 2)).nonzero().flatten().tolist())
    if unknown := sorted(windows - set(range(SWIN_T.num_windows))):
        return f"There is no window {unknown[0]}: they are numbered from 0 to 63."
    if extra := sorted(windows - free):
        return f"Window {extra[0]} masks some pair. Does the roll join two edges in it?"
    if missing := sorted(free - windows):
        return f"{len(missing)} more windows mask nothing, for example {missing[0]}."
    return ""


def most_masked_shifts(answer: Any) -> str:
    shifts = set(whole_numbers(answer))
    masked = {shift: int((~WindowGrid((56, 56), 7, shift).mask()).sum()) for shift in range(7)}
    best = {shift for shift in masked if masked[shift] == max(masked.values())}
    for shift in sorted(shifts - best):
        if shift not in masked:
            return f"There is no shift {shift} for windows of 7: they go from 0 to 6."
        return f"Shift {shift} masks {masked[shift]} pairs, and another masks more."
    return "" if shifts == best else "There is one more that masks just as many."


def two_patterns(answer: Any) -> str:
    found = count_patterns(answer)
    if found == 2:
        return ""
    return f"{tuple(answer)} has {found}. Keep one of the axes from being shifted, but not both."


def six_patterns(answer: Any) -> str:
    found = count_patterns(answer)
    if found >= 6:
        return ""
    return (
        f"{tuple(answer)} has {found}. Padding makes patterns of its own: use sizes that need it."
    )


def mostly_padding(answer: Any) -> str:
    query = token(answer)
    grid = WindowGrid((7, 9), 4, 2, padding="attend")
    window, _ = grid.locate(query)
    if grid.is_padding(query):
        return f"{query} is padding itself."
    keys = keys_of(grid, query).nonzero().flatten().tolist()
    pads = sum(grid.is_padding(grid.origin(window, index)) for index in keys)
    real = len(keys) - pads
    if pads > real:
        return ""
    return (
        f"{query} attends to {real} real tokens and {pads} pads. Pads lie below row 6 and to the "
        "right of column 8."
    )


TOKEN = "a token, (row, column) counted from 0"
GEOMETRY = "four whole numbers: height, width, window size, shift"

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


def whole_numbers(answer: Any, count: int | None = None) -> list[int]:
    """Return an answer's numbers, 4 for 4.0.

    Raises TypeError if it is no list of so many whole numbers.
    """
    whole = [number for number in answer if isinstance(number, int) or _is_whole(number)]
    is_list = not isinstance(answer, str | bytes | dict)
    if not is_list or len(whole) < len(answer) or count not in (None, len(answer)):
        raise TypeError("not the numbers that were asked for")
    return [int(number) for number in whole]


def _is_whole(number: Any) -> bool:
    return isinstance(number, float) and number.is_integer()


def token(answer: Any) -> tuple[int, int]:
    """Return an answer as (row, column).  Raises TypeError if it is not two numbers in a row."""
    if isinstance(answer, set):
        raise TypeError("a set has no order")
    row, column = whole_numbers(answer, 2)
    return row, column


def keys_of(grid: WindowGrid, query: tuple[int, int]) -> Bool[Tensor, "t"]:
    """Return the query's row of the mask; ValueError if there is no such token."""
    window, index = grid.locate(query)
    return grid.mask()[window, index]


def count_patterns(answer: Any) -> int:
    """Return how many different masks the windows of a map have."""
    height, width, window_size, shift_size = whole_numbers(answer, 4)
    if max(height, width) > LARGEST:
        raise ValueError(f"the explorer's maps end at {LARGEST} tokens a side")
    return len(distinct_patterns(WindowGrid((height, width), window_size, shift_size).mask())[0])
