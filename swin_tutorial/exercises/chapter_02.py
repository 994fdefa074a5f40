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

Pair = tuple[int, int]


def apart_before(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    rows, columns = (
        abs((a + shift_size) % length - (b + shift_size) % length)
        for a, b, length in zip(first, second, size, strict=True)
    )
    return rows, columns


def naive_window_count(height: int, width: int, window_size: int, shift_size: int) -> int:
    return len(true_windows((height, width), (window_size,) * 2, (shift_size,) * 2))


# --- wrong ways ---


def rolled_the_other_way(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    return apart_before(first, second, size, -shift_size)


def columns_first(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    rows, columns = apart_before(first, second, size, shift_size)
    return columns, rows


def apart_after(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    return abs(first[0] - second[0]), abs(first[1] - second[1])


def apart_on_a_ring(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    rows, columns = apart_after(first, second, size, shift_size)
    return min(rows, size[0] - rows), min(columns, size[1] - columns)


def signed(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    rows, columns = (
        (a + shift_size) % length - (b + shift_size) % length
        for a, b, length in zip(first, second, size, strict=True)
    )
    return rows, columns


def height_for_width(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    return apart_before(first, second, (size[0], size[0]), shift_size)


def places_before(first: Pair, second: Pair, size: Pair, shift_size: int) -> tuple[Pair, Pair]:
    (height, width), s = size, shift_size
    home, other = (((y + s) % height, (x + s) % width) for y, x in (first, second))
    return home, other


def only_one_moved_back(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    home, _ = places_before(first, second, size, shift_size)
    return apart_after(home, second, size, shift_size)


def only_the_other_moved_back(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    _, home = places_before(first, second, size, shift_size)
    return apart_after(first, home, size, shift_size)


def only_rows_moved_back(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    rows, _ = apart_before(first, second, size, shift_size)
    return rows, abs(first[1] - second[1])


def only_columns_moved_back(first: Pair, second: Pair, size: Pair, shift_size: int) -> Pair:
    _, columns = apart_before(first, second, size, shift_size)
    return abs(first[0] - second[0]), columns


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


def draw_two_tokens(rng: Random) -> tuple[Pair, Pair, Pair, int]:
    height, width = rng.sample(range(4, 13), 2)
    first, second = ((rng.randrange(height), rng.randrange(width)) for _ in range(2))
    return first, second, (height, width), rng.randint(1, 3)


def draw_numbered_map(rng: Random) -> tuple[Tensor, int]:
    height, width = rng.sample(range(3, 8), 2)
    return numbered_map(height, width), rng.randrange(3)


def draw_dividing_map(rng: Random) -> tuple[int, int, int, int]:
    window_size = rng.randint(2, 7)
    rows, columns = rng.sample(range(1, 6), 2)
    return rows * window_size, columns * window_size, window_size, rng.randrange(window_size)


EXERCISES = {
    "apart_before": Exercise(
        apart_before,
        [
            ((5, 9), (6, 10), (8, 12), 2),
            ((0, 0), (1, 1), (8, 12), 2),
            ((1, 11), (7, 0), (8, 12), 3),
            ((4, 0), (0, 9), (5, 10), 0),
        ],
        draw_two_tokens,
        (
            WrongWay(
                "distance after the roll",
                "You measured on the rolled map. First ask where each of the two tokens stood on "
                "the photograph.",
                apart_after,
            ),
            WrongWay(
                "undone the wrong way",
                "You moved both tokens on by another roll. To find where a token stood, go the "
                "other way: add the shift.",
                rolled_the_other_way,
            ),
            WrongWay(
                "short way around",
                "You measured the short way around the edge, as on a ring. A photograph ends at "
                "its edges: row 0 and the last row are far apart.",
                apart_on_a_ring,
            ),
            WrongWay(
                "signed",
                "You kept the sign of the difference. How far apart two tokens are is never "
                "negative: take `abs`.",
                signed,
            ),
            WrongWay(
                "height for width",
                "You wrapped the columns around at the height. Columns wrap around at the width.",
                height_for_width,
            ),
            WrongWay(
                "columns first",
                "You gave the columns first. Rows come first, in the tokens, the size and the "
                "answer.",
                columns_first,
            ),
            *(
                WrongWay(
                    "one token moved back",
                    "You moved one of the two tokens back and left the other where the roll put "
                    "it. The roll moved both.",
                    attempt,
                )
                for attempt in (only_one_moved_back, only_the_other_moved_back)
            ),
            *(
                WrongWay(
                    "one axis moved back",
                    "You undid the roll on one axis alone. It moved rows and columns.",
                    attempt,
                )
                for attempt in (only_rows_moved_back, only_columns_moved_back)
            ),
        ),
    ),
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
    "block_2a": find_the_bug(
        "rolled the wrong way",
        (8, 12, 4, 1),
        "Nothing is rolled there. Take a shift, and a map of more than one window.",
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
