"""Chapter 00, start here: who may attend, and whom the roll makes neighbors."""

from random import Random

import torch

from swin_tutorial.axis import Axis
from swin_tutorial.exercises.exercise import Exercise, WrongWay


def may_attend(query_region: int, key_region: int) -> bool:
    return query_region == key_region


def row_after_roll(row: int, height: int, shift_size: int) -> int:
    return (row - shift_size) % height


def window_mates(token: int, size: int, window_size: int, shift_size: int) -> set[int]:
    axis = Axis(size, window_size, shift_size)
    window, _ = axis.locate(token)
    return {axis.origin(window, place) for place in range(window_size)}


def rolled_row(token: int, size: int, window_size: int, roll_by: int, wanted: str) -> set[int]:
    """Return the tokens, or their places, in a token's window after a roll."""
    row = torch.roll(torch.arange(size), roll_by).tolist()
    first = row.index(token) // window_size * window_size
    places = range(first, first + window_size)
    return set(places) if wanted == "places" else {row[place] for place in places}


# --- drawn cases ---


def draw_regions(rng: Random) -> tuple[int, int]:
    return rng.randrange(3), rng.randrange(3)


def draw_row(rng: Random) -> tuple[int, int, int]:
    height = rng.randint(5, 14)
    return rng.randrange(height), height, rng.randint(1, height // 2)


def draw_token_of_a_row(rng: Random) -> tuple[int, int, int, int]:
    window_size = rng.randint(3, 6)
    size = window_size * rng.randint(2, 4)
    return rng.randrange(size), size, window_size, rng.randrange(window_size)


EXERCISES = {
    "may_attend": Exercise(
        may_attend,
        [(3, 3), (3, 0), (0, 3), (0, 0)],
        draw_regions,
        (
            WrongWay(
                "inverted",
                "You allowed what is forbidden and forbade the rest. True means that the query "
                "*may* attend, so the two regions must be equal.",
                lambda query, key: query != key,
            ),
            WrongWay(
                "everything allowed",
                "You let every pair attend, also two regions that only the roll has brought "
                "together. Compare the two numbers.",
                lambda query, key: True,
            ),
            WrongWay(
                "order of regions",
                "You compared which number is larger. The numbers are names, and their order means "
                "nothing. Ask only whether they are equal.",
                lambda query, key: key <= query,
            ),
            WrongWay(
                "region 0 taken for nothing",
                "You treated region 0 as if it were no region. It is one like the others, and its "
                "tokens attend to each other.",
                lambda query, key: query == key != 0,
            ),
            WrongWay(
                "a difference for an answer",
                "You returned the difference of the numbers, which is 0 (False) for a pair that "
                "may attend. Return whether they are equal.",
                lambda query, key: query - key,
            ),
        ),
    ),
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
}
