"""Chapter 09's investigations: most have many right answers, so an answer is judged, not compared.

An answer is something that a reader finds with the explorer: a token as (row, column) in the map
before the roll, a geometry as (height, width, window_size, shift_size), numbers of windows.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from swin_tutorial.exercises.check import Verdict
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import distinct_patterns, shifted_window_mask
from swin_tutorial.windows import cyclic_shift, window_partition


@dataclass(frozen=True)
class Investigation:
    """One question: ``fault`` says what is wrong with an answer ("": nothing), ``solution`` is one
    right answer."""

    fault: Callable[[Any], str]
    solution: Any


def investigate(name: str, answer: Any) -> None:
    """Print the verdict on an answer to investigation ``name``; never raises for the answer.

    Raises ValueError for an investigation that does not exist.
    """
    print(judge(name, answer).message)


def judge(name: str, answer: Any) -> Verdict:
    """Return the verdict on an answer; None was not attempted."""
    if name not in INVESTIGATIONS:
        known = sorted(INVESTIGATIONS)
        raise ValueError(f"there is no investigation {name!r}: choose one of {known}")
    if answer is None:
        return Verdict("not attempted", f"{name}: not attempted yet.")
    try:
        fault = INVESTIGATIONS[name].fault(answer)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:  # not even of its kind
        fault = f"{answer!r} cannot be judged: {error}"
    if fault:
        return Verdict("wrong", f"{name}: not yet. {fault}")
    return Verdict("right", f"{name}: right.")


# --- the map of the chapter, and what is asked of it ---

EXPLORED = WindowGrid(height=8, width=12, window_size=4, shift_size=2)
SWIN_T = WindowGrid(height=56, width=56, window_size=7, shift_size=3)


def _lost_half(query: Sequence[int]) -> str:
    allowed = int(_row(EXPLORED, query).sum())
    tokens = EXPLORED.tokens_per_window
    return "" if 2 * allowed < tokens else f"{query} still attends to {allowed} of {tokens} tokens."


def _farthest_stranger(key: Sequence[int]) -> str:
    window, _ = _place(EXPLORED, (0, 0))
    homes = _homes(EXPLORED)[window]
    distance = homes.square().sum(-1)  # from (0, 0)
    if not (homes == torch.tensor(key)).all(-1).any():
        return f"{key} is not in the window of (0, 0)."
    asked = sum(place**2 for place in key)
    return "" if asked == distance.max() else f"{key} is in its window, but not the farthest there."


def _never_masked(query: Sequence[int]) -> str:
    for shift in range(4):
        grid = WindowGrid(12, 12, 4, shift)
        allowed = int(_row(grid, query).sum())
        if allowed < grid.tokens_per_window:
            return f"with shift {shift}, {query} attends to {allowed} of 16 tokens."
    return ""


def _unmasked_windows(windows: Collection[int]) -> str:
    free = _mask(SWIN_T).all(dim=(1, 2)).nonzero().flatten().tolist()
    extra, missing = sorted(set(windows) - set(free)), sorted(set(free) - set(windows))
    if extra:
        return f"window {extra[0]} masks some pair."
    return f"{len(missing)} windows are missing, for example {missing[0]}." if missing else ""


def _most_masked_shifts(shifts: Collection[int]) -> str:
    masked = [int((~_mask(WindowGrid(56, 56, 7, shift))).sum()) for shift in range(7)]
    best = {shift for shift in range(7) if masked[shift] == max(masked)}
    for shift in sorted(set(shifts) - best):
        return f"shift {shift} masks {masked[shift]} pairs; another masks more."
    return "" if set(shifts) == best else "there is one more that masks just as many."


def _two_patterns(sizes: Sequence[int]) -> str:
    found = _count_patterns(sizes)
    return "" if found == 2 else f"{tuple(sizes)} has {found}."


def _six_patterns(sizes: Sequence[int]) -> str:
    found = _count_patterns(sizes)
    return "" if found >= 6 else f"{tuple(sizes)} has {found}."


def _mostly_padding(query: Sequence[int]) -> str:
    grid = WindowGrid(7, 9, 4, 2, padding="attend")
    if query[0] >= grid.height or query[1] >= grid.width:
        return f"{query} is padding itself."
    homes = _homes(grid)[_place(grid, query)[0]][_row(grid, query)]
    pads = int(((homes[:, 0] >= grid.height) | (homes[:, 1] >= grid.width)).sum())
    real = len(homes) - pads
    return "" if pads > real else f"{query} attends to {real} real tokens and {pads} pads."


INVESTIGATIONS = {
    "lost_half": Investigation(_lost_half, (0, 0)),
    "farthest_stranger": Investigation(_farthest_stranger, (7, 11)),
    "never_masked": Investigation(_never_masked, (5, 5)),
    "unmasked_windows": Investigation(
        _unmasked_windows, [8 * row + column for row in range(7) for column in range(7)]
    ),
    "most_masked_shifts": Investigation(_most_masked_shifts, {3, 4}),
    "two_patterns": Investigation(_two_patterns, (4, 12, 4, 2)),
    "six_patterns": Investigation(_six_patterns, (9, 9, 4, 3)),
    "mostly_padding": Investigation(_mostly_padding, (6, 7)),
}


def _count_patterns(sizes: Sequence[int]) -> int:
    return len(distinct_patterns(_mask(WindowGrid(*sizes))).patterns)


def _mask(grid: WindowGrid) -> Bool[Tensor, "n t t"]:
    return shifted_window_mask(
        grid.height, grid.width, grid.window_size, grid.shift_size, grid.padding
    )


def _homes(grid: WindowGrid) -> Int[Tensor, "n t 2"]:
    """Return where every token of every window stood before the roll."""
    rows, columns = (torch.arange(size) for size in grid.padded_size)
    places = torch.cartesian_prod(rows, columns).view(1, *grid.padded_size, 2)
    return window_partition(cyclic_shift(places, grid.used_shift), grid.window_size)[0]


def _place(grid: WindowGrid, home: Sequence[int]) -> tuple[int, int]:
    """Return the window of a token and its number there; ValueError if there is no such token."""
    found = (_homes(grid) == torch.tensor(home)).all(-1).nonzero().tolist()
    if len(found) != 1:
        height, width = grid.padded_size
        raise ValueError(f"a token is a (row, column) of the {height}x{width} map")
    return tuple(found[0])


def _row(grid: WindowGrid, home: Sequence[int]) -> Bool[Tensor, "t"]:
    window, token = _place(grid, home)
    return _mask(grid)[window, token]
