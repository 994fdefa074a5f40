"""Chapter 00, start here: where the roll takes a token, and who may attend to whom."""

from random import Random

from swin_tutorial.exercises.exercise import Exercise, WrongWay

Token = tuple[int, int]  # row, column


def row_after_roll(row: int, height: int, shift_size: int) -> int:
    return (row - shift_size) % height


def may_attend(query: Token, key: Token, window_size: int, shift_size: int) -> bool:
    return all(
        (q - shift_size) // window_size == (k - shift_size) // window_size
        for q, k in zip(query, key, strict=True)
    )


def added_labels(token: Token, window_size: int, shift_size: int) -> int:
    """Return the sum of a token's two labels, which several true windows share."""
    return sum((place - shift_size) // window_size for place in token)


# --- drawn cases ---


def draw_row(rng: Random) -> tuple[int, int, int]:
    height = rng.randint(5, 14)
    return rng.randrange(height), height, rng.randint(1, height // 2)


def draw_pair_of_tokens(rng: Random) -> tuple[Token, Token, int, int]:
    window_size = rng.randint(3, 6)
    size = window_size * rng.randint(2, 4)
    query = rng.randrange(size), rng.randrange(size)
    y, x = (
        min(size - 1, max(0, place + rng.randint(-window_size // 2, window_size // 2)))
        for place in query
    )
    return query, (y, x), window_size, rng.randrange(window_size)


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
    "may_attend": Exercise(
        may_attend,
        [
            ((0, 9), (1, 6), 4, 2),
            ((0, 9), (7, 9), 4, 2),
            ((0, 9), (0, 10), 4, 2),
            ((3, 3), (4, 4), 4, 2),
            ((1, 4), (2, 4), 4, 2),
            ((2, 5), (5, 6), 4, 2),
            ((1, 2), (2, 1), 4, 2),
            ((0, 0), (0, 3), 4, 1),
            ((5, 5), (3, 3), 3, 0),
        ],
        draw_pair_of_tokens,
        (
            WrongWay(
                "inverted",
                "You allowed what is forbidden and forbade the rest. True means that the query "
                "*may* attend, so the two labels must be equal on both axes.",
                lambda query, key, m, s: not may_attend(query, key, m, s),
            ),
            WrongWay(
                "everything allowed",
                "You let every pair attend, also tokens that only the roll has brought together. "
                "Give each token the labels of its true window, and compare.",
                lambda query, key, m, s: True,
            ),
            WrongWay(
                "rows only",
                "You compared the rows and forgot the columns. Two tokens share a true window only "
                "if both labels are equal.",
                lambda query, key, m, s: (query[0] - s) // m == (key[0] - s) // m,
            ),
            WrongWay(
                "columns only",
                "You compared the columns and forgot the rows. Two tokens share a true window only "
                "if both labels are equal.",
                lambda query, key, m, s: (query[1] - s) // m == (key[1] - s) // m,
            ),
            WrongWay(
                "either axis",
                "You allowed a pair if one of its two labels is equal. Two tokens of one strip may "
                "be far apart along it: both labels must be equal, so join them by `and`.",
                lambda query, key, m, s: any(
                    (q - s) // m == (k - s) // m for q, k in zip(query, key, strict=True)
                ),
            ),
            WrongWay(
                "labels added up",
                "You added the two labels, so (0, 1) and (1, 0) became the same. Compare rows with "
                "rows and columns with columns.",
                lambda query, key, m, s: added_labels(query, m, s) == added_labels(key, m, s),
            ),
            WrongWay(
                "windows before the shift",
                "You compared the windows of the layer before. Here they begin `shift_size` tokens "
                "later: subtract the shift from all positions first.",
                lambda query, key, m, s: may_attend(query, key, m, 0),
            ),
            WrongWay(
                "shifted the wrong way",
                "You moved the windows up and to the left. They begin `shift_size` tokens further "
                "down and to the right: subtract the shift, don't add it.",
                lambda query, key, m, s: may_attend(query, key, m, -s),
            ),
            WrongWay(
                "rounded toward zero",
                "Your first two strips became one, because you rounded toward zero: "
                "`int(-1 / 4)` is 0. Use `//`, which rounds down: `-1 // 4` is -1.",
                lambda query, key, m, s: all(
                    int((q - s) / m) == int((k - s) / m) for q, k in zip(query, key, strict=True)
                ),
            ),
            WrongWay(
                "sliding windows",
                "You allowed every key that is close enough. Windows don't slide along with the "
                "query, they lie side by side: two neighbors may be in different windows.",
                lambda query, key, m, s: all(
                    abs(q - k) < m for q, k in zip(query, key, strict=True)
                ),
            ),
        ),
    ),
}
