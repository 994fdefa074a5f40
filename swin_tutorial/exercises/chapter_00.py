"""Chapter 00, start here: where the roll takes a token, beside which others, and who may attend."""

from random import Random

import torch

from swin_tutorial.axis import Axis
from swin_tutorial.exercises.exercise import Exercise, WrongWay


def row_after_roll(row: int, height: int, shift_size: int) -> int:
    return (row - shift_size) % height


def window_mates(token: int, size: int, window_size: int, shift_size: int) -> set[int]:
    axis = Axis(size, window_size, shift_size)
    window, _ = axis.locate(token)
    return {axis.origin(window, place) for place in range(window_size)}


def may_attend(query: int, key: int, window_size: int, shift_size: int) -> bool:
    return (query - shift_size) // window_size == (key - shift_size) // window_size


def rolled_row(token: int, size: int, window_size: int, roll_by: int, wanted: str) -> set[int]:
    """Return the tokens, or their places, in a token's window after a roll."""
    row = torch.roll(torch.arange(size), roll_by).tolist()
    first = row.index(token) // window_size * window_size
    places = range(first, first + window_size)
    return set(places) if wanted == "places" else {row[place] for place in places}


# --- drawn cases ---


def draw_row(rng: Random) -> tuple[int, int, int]:
    height = rng.randint(5, 14)
    return rng.randrange(height), height, rng.randint(1, height // 2)


def draw_token_of_a_row(rng: Random) -> tuple[int, int, int, int]:
    window_size = rng.randint(3, 6)
    size = window_size * rng.randint(2, 4)
    return rng.randrange(size), size, window_size, rng.randrange(window_size)


def draw_pair_of_a_row(rng: Random) -> tuple[int, int, int, int]:
    token, size, window_size, shift_size = draw_token_of_a_row(rng)
    near = min(size - 1, max(0, token + rng.randint(-window_size, window_size)))
    return token, near, window_size, shift_size


EXERCISES = {
    "row_after_roll": Exercise(
        row_after_roll,
        [(5, 8, 2), (1, 8, 2), (3, 12, 3), (7, 8, 0)],
        draw_row,
        (
            WrongWay(
                "rolled down",
                "You rolled *down*: tokens moved away from the top. Subtract the shift, and let "
                "row 1 come back in at the bottom.",
                lambda row, height, shift: (row + shift) % height,
            ),
            WrongWay(
                "rolled down, off the map",
                "You rolled *down*, and the last rows left the map. The roll takes rows up: "
                "subtract the shift, and let row 1 come back in at the bottom.",
                lambda row, height, shift: row + shift,
            ),
            WrongWay(
                "off the map",
                "Your first rows left the map: they got a negative number. Rows that leave at the "
                "top come back in at the bottom, and `%` does that.",
                lambda row, height, shift: row - shift,
            ),
            WrongWay(
                "stopped at the top",
                "Your first rows all stay in row 0, on top of each other. They come back in at the "
                "bottom: take the result `% height`.",
                lambda row, height, shift: max(row - shift, 0),
            ),
            WrongWay(
                "bounced off the top",
                "Your first rows bounce off the top edge and go down again. They leave at the top "
                "and come back in at the bottom: take the result `% height`.",
                lambda row, height, shift: abs(row - shift),
            ),
            WrongWay(
                "one row short",
                "You wrapped around at the number of the last row. There are `height` rows, so "
                "take the result `% height`.",
                lambda row, height, shift: (row - shift) % (height - 1),
            ),
        ),
    ),
    "window_mates": Exercise(
        window_mates,
        [(7, 8, 4, 2), (3, 8, 4, 2), (0, 8, 4, 1), (5, 12, 3, 2), (6, 8, 4, 0)],
        draw_token_of_a_row,
        (
            WrongWay(
                "windows before the roll",
                "You cut the row before it is rolled. Roll first: with a shift of 2 the row begins "
                "with token 2, and the first window is 2 3 4 5.",
                lambda token, size, m, s: rolled_row(token, size, m, 0, "tokens"),
            ),
            WrongWay(
                "rolled the wrong way",
                "You rolled to the right: the last tokens came to the front. Roll to the left, so "
                "that the first tokens go to the end.",
                lambda token, size, m, s: rolled_row(token, size, m, s, "tokens"),
            ),
            WrongWay(
                "places for tokens",
                "You returned the places of the window in the rolled row. Return the tokens that "
                "stand there now.",
                lambda token, size, m, s: rolled_row(token, size, m, -s, "places"),
            ),
            WrongWay(
                "the mask already applied",
                "You returned only the tokens that it may attend to. The window also holds tokens "
                "from the other end of the row; the mask comes later.",
                lambda token, size, m, s: {
                    other for other in range(size) if (other - s) // m == (token - s) // m
                },
            ),
        ),
    ),
    "may_attend": Exercise(
        may_attend,
        [(3, 4, 4, 2), (7, 0, 4, 2), (1, 2, 4, 2), (0, 1, 4, 1), (0, 3, 4, 1), (5, 5, 3, 0)],
        draw_pair_of_a_row,
        (
            WrongWay(
                "inverted",
                "You allowed what is forbidden and forbade the rest. True means that the query "
                "*may* attend, so the two labels must be equal.",
                lambda query, key, m, s: (query - s) // m != (key - s) // m,
            ),
            WrongWay(
                "everything allowed",
                "You let every pair attend, also the two ends of the row, which only the roll has "
                "brought together. Give each token the number of its true window, and compare.",
                lambda query, key, m, s: True,
            ),
            WrongWay(
                "windows before the shift",
                "You compared the windows of the layer before. Here they begin `shift_size` tokens "
                "later: subtract the shift from both positions first.",
                lambda query, key, m, s: query // m == key // m,
            ),
            WrongWay(
                "shifted the wrong way",
                "You moved the windows to the left. They begin `shift_size` tokens further to the "
                "right, so the first cut is at `shift_size`: subtract the shift, don't add it.",
                lambda query, key, m, s: (query + s) // m == (key + s) // m,
            ),
            WrongWay(
                "rounded toward zero",
                "Your first two windows became one, because you rounded toward zero: "
                "`int(-1 / 4)` is 0. Use `//`, which rounds down: `-1 // 4` is -1.",
                lambda query, key, m, s: int((query - s) / m) == int((key - s) / m),
            ),
            WrongWay(
                "sliding windows",
                "You allowed every key that is close enough. Windows don't slide along with the "
                "query, they lie side by side: two neighbors may be in different windows.",
                lambda query, key, m, s: abs(query - key) < m,
            ),
            WrongWay(
                "a difference for an answer",
                "You returned the difference of the labels, which is 0 (False) for a pair that "
                "may attend. Return whether they are equal.",
                lambda query, key, m, s: (query - s) // m - (key - s) // m,
            ),
        ),
    ),
}
