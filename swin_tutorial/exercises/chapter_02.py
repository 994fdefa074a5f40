"""Chapter 02, cyclic shift: what the roll moves, what it brings together, and what it saves."""

import math
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from swin_tutorial.exercises.bugs import find_the_bug
from swin_tutorial.exercises.exercise import Exercise, WrongWay, from_museum, numbered_map
from swin_tutorial.reference import true_windows
from swin_tutorial.windows import cyclic_shift


def naive_window_count(height: int, width: int, window_size: int, shift_size: int) -> int:
    return len(true_windows((height, width), (window_size,) * 2, (shift_size,) * 2))


def strangers(height: int, width: int, window_size: int, shift_size: int) -> int:
    together = pairs_in_windows(height, width, window_size)
    return together - pairs_in_true_windows(height, width, window_size, shift_size)


def pairs_in_windows(height: int, width: int, window_size: int) -> int:
    return height * width * window_size**2


def pairs_in_true_windows(height: int, width: int, window_size: int, shift_size: int) -> int:
    windows = true_windows((height, width), (window_size,) * 2, (shift_size,) * 2)
    return sum((len(rows) * len(columns)) ** 2 for rows, columns in windows)


# --- wrong ways ---


def strangers_in_the_last_window(height: int, width: int, m: int, s: int) -> int:
    sides = (s if size > m else 0 for size in (height, width))
    return m**4 - math.prod(side**2 + (m - side) ** 2 for side in sides)


def strangers_on_both_axes(height: int, width: int, m: int, s: int) -> int:
    return math.prod(strangers(size, m, m, s) // m**2 for size in (height, width))


def strangers_on_a_cut_axis(height: int, width: int, m: int, s: int) -> int:
    """Cut an axis of one window too."""
    held = (s**2 + (size // m - 1) * m**2 + (m - s) ** 2 for size in (height, width))
    return pairs_in_windows(height, width, m) - math.prod(held)


def tokens_with_strangers(height: int, width: int, m: int, s: int) -> int:
    sides = (m if s and size > m else 0 for size in (height, width))
    return height * width - math.prod(
        size - side for size, side in zip((height, width), sides, strict=True)
    )


def rolled_in_place(x: Tensor, shift_size: int) -> Tensor:
    return x.copy_(cyclic_shift(x, shift_size))


def rolled_into_zeros(x: Tensor, shift_size: int) -> Tensor:
    return F.pad(x[:, shift_size:, shift_size:], (0, 0, 0, shift_size, 0, shift_size))


def minus_zero(x: Tensor, shift_size: int) -> Tensor:
    out = torch.empty_like(x)
    out[:, :-shift_size], out[:, -shift_size:] = x[:, shift_size:], x[:, :shift_size]
    rows = out.clone()
    out[:, :, :-shift_size] = rows[:, :, shift_size:]
    out[:, :, -shift_size:] = rows[:, :, :shift_size]
    return out


# --- drawn cases ---


def draw_numbered_map(rng: Random) -> tuple[Tensor, int]:
    height, width = rng.sample(range(3, 8), 2)
    return numbered_map(height, width), rng.randrange(3)


def draw_dividing_map(rng: Random) -> tuple[int, int, int, int]:
    window_size = rng.randint(2, 7)
    rows, columns = rng.sample(range(1, 6), 2)
    return rows * window_size, columns * window_size, window_size, rng.randrange(window_size)


EXERCISES = {
    "roll_by_hand": Exercise(
        cyclic_shift,
        [(numbered_map(4, 6), 1), (numbered_map(5, 4), 3), (numbered_map(4, 4), 0)],
        draw_numbered_map,
        (
            *from_museum(
                lambda kind, x, s: kind((9, 9), (s, s)).roll(x, (s, s)),
                "rolled the wrong way",
            ),
            WrongWay(
                "only the rows rolled",
                "You rolled the rows and left the columns where they were. Do the same once more "
                "on axis 2.",
                lambda x, s: torch.roll(x, -s, 1),
            ),
            WrongWay(
                "only the columns rolled",
                "You rolled the columns and left the rows where they were. Perhaps you rolled the "
                "rows first and then began again with `x`: roll the columns of that result.",
                lambda x, s: torch.roll(x, -s, 2),
            ),
            WrongWay(
                "channels rolled",
                "You rolled axes 2 and 3, as for a channels-first map. Here axis 3 holds the "
                "channels; rows and columns are axes 1 and 2.",
                lambda x, s: torch.roll(x, (-s, -s), (2, 3)),
            ),
            *(
                WrongWay(
                    "channels rolled",
                    "You rolled axis 3, which holds the channels, so the numbers inside a token "
                    "moved. A roll moves whole tokens, on axes 1 and 2 alone.",
                    lambda x, s, axes=axes: torch.roll(x, (-s,) * len(axes), axes),
                )
                for axes in ((1, 2, 3), (1, 3), (3,))
            ),
            WrongWay(
                "all axes as one",
                "Without `dims`, a roll treats the whole map as one long row of numbers. Roll "
                "axis 1, then axis 2.",
                lambda x, s: torch.roll(x, -s),
            ),
            *(
                WrongWay(
                    "one axis the wrong way",
                    "You rolled one axis up or left, and the other the wrong way. Both lose their "
                    "first tokens to the far end.",
                    lambda x, s, signs=signs: torch.roll(x, (signs[0] * s, signs[1] * s), (1, 2)),
                )
                for signs in ((-1, 1), (1, -1))
            ),
            WrongWay(
                "joined as it was",
                "Your map did not move. The pieces change places: first `x[:, s:]`, then "
                "`x[:, :s]`.",
                lambda x, s: x,
            ),
            WrongWay(
                "first tokens dropped",
                "You cut off the first rows and columns and did not join them on again. They go to "
                "the far end.",
                lambda x, s: x[:, s:, s:],
            ),
            WrongWay(
                "written into x",
                "The block adds its output to its input, so it still needs the `x` of before the "
                "roll. Return a new map, for example from `torch.cat`.",
                rolled_in_place,
            ),
            WrongWay(
                "images rolled",
                "You rolled axes 0 and 1. Axis 0 counts the images of the batch; rows and columns "
                "are axes 1 and 2.",
                lambda x, s: torch.roll(x, (-s, -s), (0, 1)),
            ),
            WrongWay(
                "zeros at the far end",
                "You filled the far end with zeros. The first rows and columns come back in there.",
                rolled_into_zeros,
            ),
            WrongWay(
                "minus 0 is 0",
                "With a shift of 0, `x[:, :-0]` is empty and `x[:, -0:]` is everything. Count both "
                "slices from the front, as in `x[:, s:]` and `x[:, :s]`.",
                minus_zero,
            ),
        ),
        keeps_arguments=True,
    ),
    "naive_window_count": Exercise(
        naive_window_count,
        [(8, 12, 4, 2), (56, 56, 7, 3), (14, 14, 7, 0), (4, 8, 4, 2)],
        draw_dividing_map,
        (
            WrongWay(
                "no more than before",
                "You counted the windows without a shift. A shifted cut leaves a short window at "
                "both ends of an axis, so that axis has one more.",
                lambda h, w, m, s: (h // m) * (w // m),
            ),
            WrongWay(
                "one more, always",
                "You added a window to each axis in every case. Without a shift, or on an axis of "
                "one window, there is nothing to add.",
                lambda h, w, m, s: (h // m + 1) * (w // m + 1),
            ),
            WrongWay(
                "one-window axis cut",
                "You cut an axis that one window spans. It has no edge to look over, so it stays "
                "whole; test each axis on its own.",
                lambda h, w, m, s: (h // m + (s > 0)) * (w // m + (s > 0)),
            ),
            WrongWay(
                "a shift of 0 counted",
                "You added windows although the shift is 0. Then the cuts are where they were.",
                lambda h, w, m, s: (h // m + (h > m)) * (w // m + (w > m)),
            ),
            WrongWay(
                "one window more in all",
                "You added one window in all. Each shifted axis gains one, and rows and columns of "
                "windows multiply.",
                lambda h, w, m, s: (h // m) * (w // m) + (s > 0),
            ),
            WrongWay(
                "axes added",
                "You added the windows along the two axes. Each piece of the rows meets each piece "
                "of the columns: multiply.",
                lambda h, w, m, s: naive_window_count(h, m, m, s) + naive_window_count(w, m, m, s),
            ),
            *(
                WrongWay(
                    "one axis counted",
                    "You shifted the cuts on one axis alone. Rows and columns are both shifted.",
                    attempt,
                )
                for attempt in (
                    lambda h, w, m, s: naive_window_count(h, m, m, s) * (w // m),
                    lambda h, w, m, s: naive_window_count(w, m, m, s) * (h // m),
                )
            ),
            WrongWay(
                "two more on each axis",
                "You added a short window at both ends of each axis. But a whole one is lost "
                "between them, so an axis gains one.",
                lambda h, w, m, s: math.prod(n // m + 2 * (s > 0 and n > m) for n in (h, w)),
            ),
            WrongWay(
                "only whole windows",
                "You left out the windows that the edge of the map cuts short. They attend too.",
                lambda h, w, m, s: math.prod(n // m - (s > 0 and n > m) for n in (h, w)),
            ),
        ),
    ),
    "strangers": Exercise(
        strangers,
        [(8, 12, 4, 2), (14, 14, 7, 3), (8, 12, 4, 0), (4, 8, 4, 1)],
        draw_dividing_map,
        (
            WrongWay(
                "pairs of true windows",
                "You counted the pairs that share a true window. Those may see each other: take "
                "them from all pairs that share a window of the rolled map.",
                pairs_in_true_windows,
            ),
            WrongWay(
                "all pairs of a window",
                "You counted every pair of each window. Most of them share a true window too: take "
                "those away.",
                lambda h, w, m, s: pairs_in_windows(h, w, m),
            ),
            WrongWay(
                "all pairs of the map",
                "You counted pairs from different windows of the rolled map as well. Those never "
                "meet, so nothing needs to keep them apart.",
                lambda h, w, m, s: (h * w) ** 2 - pairs_in_true_windows(h, w, m, s),
            ),
            WrongWay(
                "each pair once",
                "You counted two tokens as one pair. They make two: each is once the query and "
                "once the key.",
                lambda h, w, m, s: strangers(h, w, m, s) // 2,
            ),
            WrongWay(
                "strangers on both axes",
                "You counted pairs that are strangers along the rows and along the columns. One "
                "axis is enough to put two tokens in different true windows.",
                strangers_on_both_axes,
            ),
            WrongWay(
                "only the last window",
                "You counted the pairs of the bottom right window alone. The other windows of the "
                "last row and the last column have strangers too.",
                strangers_in_the_last_window,
            ),
            WrongWay(
                "one-window axis cut",
                "You cut an axis that one window spans. Nothing is shifted there, so it brings no "
                "strangers together.",
                strangers_on_a_cut_axis,
            ),
            WrongWay(
                "tokens counted",
                "You counted tokens that share a window with strangers. Count pairs: a window of n "
                "tokens has n * n of them.",
                tokens_with_strangers,
            ),
        ),
    ),
    "block_2a": find_the_bug(
        "shifts of the axes swapped in the roll",
        (8, 12, 4, (1, 2)),
        "Where both axes have the same shift, swapping them changes nothing. Which maps or which "
        "shifts make the two differ?",
    ),
    "block_2b": find_the_bug(
        "one-window test on the first axis only",
        (12, 4, 4, 1),
        "Ask of each axis whether one window spans it. This step asks once: for which maps do the "
        "axes give different answers?",
    ),
    "block_2c": find_the_bug(
        "rolled before padded",
        (9, 10, 4, 2),
        "Two steps have changed places. Find a map on which both of them do something.",
    ),
}
