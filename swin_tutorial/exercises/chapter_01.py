"""Chapter 01, window partitioning: cut a map into windows, count them, find a token, glue again."""

from random import Random

from einops import rearrange
from torch import Tensor

from swin_tutorial.exercises.exercise import Exercise, WrongWay, from_museum, numbered_map
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import window_partition, window_reverse


def count_windows(height: int, width: int, window_size: int) -> int:
    return WindowGrid((height, width), window_size).num_windows


def window_of_token(y: int, x: int, width: int, window_size: int) -> tuple[int, int]:
    # Rows below the token's do not matter, so the map may end there.
    return WindowGrid((y + 1, width), window_size).locate((y, x))


def glue_by_hand(windows: Tensor, window_size: int, height: int, width: int) -> Tensor:
    return window_reverse(windows, window_size, (height, width))


def cut_as(pattern: str):
    """Return a function that cuts a map by a pattern of axes r m c n (rows, columns of windows)."""
    return lambda x, m: rearrange(x, f"b (r m) (c n) k -> {pattern}", m=m, n=m)


def glue_as(pattern: str, swap_sizes: bool = False):
    """Return a function that glues windows, whose axes it takes for those of a pattern."""

    def glue(windows: Tensor, m: int, height: int, width: int) -> Tensor:
        if swap_sizes:
            height, width = width, height
        sizes = {"r": height // m, "m": m, "n": m}
        return rearrange(windows, f"b {pattern} k -> b (r m) (c n) k", **sizes)

    return glue


def glue_by_reshape(counts_swapped: bool, sides_swapped: bool):
    """Return a glue by reshape and permute that confuses height and width in one of its steps."""

    def glue(windows: Tensor, m: int, height: int, width: int) -> Tensor:
        rows, columns = height // m, width // m
        if counts_swapped:
            rows, columns = columns, rows
        sides = (width, height) if sides_swapped else (height, width)
        split = windows.unflatten(1, (rows, columns)).unflatten(3, (m, m))
        return split.permute(0, 1, 3, 2, 4, 5).reshape(len(windows), *sides, -1)

    return glue


# --- drawn cases ---


def draw_map(rng: Random) -> tuple[int, int, int]:
    return rng.randint(3, 30), rng.randint(3, 30), rng.randint(2, 7)


def draw_token(rng: Random) -> tuple[int, int, int, int]:
    window_size, columns = rng.randint(2, 5), rng.randint(1, 5)
    width = columns * window_size
    return rng.randrange(3 * window_size), rng.randrange(width), width, window_size


def draw_numbered_map(rng: Random) -> tuple[Tensor, int]:
    window_size = rng.randint(2, 3)
    rows, columns = rng.sample(range(1, 5), 2)
    return numbered_map(rows * window_size, columns * window_size), window_size


def draw_windows(rng: Random) -> tuple[Tensor, int, int, int]:
    x, window_size = draw_numbered_map(rng)
    return windows_of(*x.shape[1:3], window_size)


def windows_of(height: int, width: int, window_size: int) -> tuple[Tensor, int, int, int]:
    windows = window_partition(numbered_map(height, width), window_size)
    return windows, window_size, height, width


EXERCISES = {
    "count_windows": Exercise(
        count_windows,
        [(56, 56, 7), (8, 12, 4), (57, 50, 7), (3, 5, 7)],
        draw_map,
        (
            WrongWay(
                "rounded down",
                "You rounded down, so the rows and columns that are left over get no window. Each "
                "axis is padded to whole windows: round up.",
                lambda h, w, m: (h // m) * (w // m),
            ),
            WrongWay(
                "one more than needed",
                "You added a window to each axis, also where the windows fill it exactly. Round "
                "up: 8 rows make 2 windows of 4, and 9 rows make 3.",
                lambda h, w, m: (h // m + 1) * (w // m + 1),
            ),
            WrongWay(
                "tokens over tokens",
                "You divided all tokens of the map by the tokens of a window. Each axis is padded "
                "on its own, so round up on each axis and then multiply.",
                lambda h, w, m: -(-h * w // m**2),
            ),
            WrongWay(
                "height twice",
                "You counted the windows of one axis and squared them. Only a square map has as "
                "many columns of windows as rows.",
                lambda h, w, m: (-(-h // m)) ** 2,
            ),
            WrongWay(
                "added, not multiplied",
                "You added the rows and the columns of windows. Every row of windows holds a "
                "window for each column: multiply.",
                lambda h, w, m: -(-h // m) + -(-w // m),
            ),
        ),
    ),
    "window_of_token": Exercise(
        window_of_token,
        [(5, 6, 12, 4), (0, 0, 12, 4), (7, 11, 12, 4), (3, 8, 12, 3)],
        draw_token,
        (
            WrongWay(
                "windows counted down the columns",
                "You counted the windows column by column. They are numbered row by row: one row "
                "of windows down adds `width // window_size`.",
                lambda y, x, w, m: ((x // m) * (w // m) + y // m, y % m * m + x % m),
            ),
            WrongWay(
                "tokens counted down the columns",
                "Your window is right, but you counted the tokens in it column by column. One row "
                "down adds `window_size`, one column to the right adds 1.",
                lambda y, x, w, m: ((y // m) * (w // m) + x // m, x % m * m + y % m),
            ),
            WrongWay(
                "window size for windows in a row",
                "You took `window_size` for the number of windows in a row of windows. There are "
                "`width // window_size` of them.",
                lambda y, x, w, m: ((y // m) * m + x // m, y % m * m + x % m),
            ),
            WrongWay(
                "place on the map for place in the window",
                "You counted the token's place from the corner of the map. Count it from the "
                "corner of its window: `y % window_size` and `x % window_size`.",
                lambda y, x, w, m: ((y // m) * (w // m) + x // m, y * m + x),
            ),
            WrongWay(
                "tokens in rows of the map",
                "You multiplied the token's row by the width of the map. A row of the *window* has "
                "`window_size` tokens.",
                lambda y, x, w, m: ((y // m) * (w // m) + x // m, y % m * w + x % m),
            ),
            WrongWay(
                "counted from 1",
                "You counted from 1. Windows and tokens are counted from 0.",
                lambda y, x, w, m: ((y // m) * (w // m) + x // m + 1, y % m * m + x % m + 1),
            ),
            WrongWay(
                "row and column swapped",
                "You took `y` for the column and `x` for the row. `y` counts rows, from the top.",
                lambda y, x, w, m: ((x // m) * (w // m) + y // m, x % m * m + y % m),
            ),
        ),
    ),
    "partition_by_hand": Exercise(
        window_partition,
        [(numbered_map(4, 6), 2), (numbered_map(9, 3), 3)],
        draw_numbered_map,
        (
            *from_museum(
                lambda kind, x, m: kind((m, m), (0, 0)).partition(x, (m, m)),
                "cut without moving axes",
                "every other token in place of neighbors",
                "height and width swapped in the cut",
            ),
            WrongWay(
                "column-first tokens",
                "The windows are right, but the tokens in each stand column by column. Keep the "
                "row in the window before the column when you permute.",
                cut_as("b (r c) (n m) k"),
            ),
            WrongWay(
                "column-first windows",
                "Each window is right, but they are numbered column by column. Keep the rows of "
                "windows before the columns of windows when you permute.",
                cut_as("b (c r) (m n) k"),
            ),
            WrongWay(
                "windows in the batch",
                "You put the windows of all images into one axis, as the official code does. Here "
                "the batch stays an axis of its own: `b n t c`.",
                cut_as("(b r c) (m n) k"),
            ),
            WrongWay(
                "windows left square",
                "Your windows are still squares. Merge their rows and columns into one axis of "
                "tokens: `b n t c`.",
                cut_as("b (r c) m n k"),
            ),
        ),
    ),
    "glue_by_hand": Exercise(
        glue_by_hand,
        [windows_of(4, 6, 2), windows_of(9, 3, 3)],
        draw_windows,
        (
            *from_museum(
                lambda kind, windows, m, h, w: kind((m, m), (0, 0)).reverse(
                    windows, (m, m), (h, w)
                ),
                "windows joined without moving axes",
                "every other token in place of neighbors",
            ),
            WrongWay(
                "height and width swapped",
                "You glued a map of `width` by `height` tokens. There are `height // window_size` "
                "rows of windows.",
                glue_as("(r c) (m n)", swap_sizes=True),
            ),
            WrongWay(
                "windows counted as width by height",
                "Your map has the right shape, but you split `n` into `width // window_size` rows "
                "of windows. Rows come from the height: `height // window_size`, then the columns.",
                glue_by_reshape(counts_swapped=True, sides_swapped=False),
            ),
            WrongWay(
                "reshaped to width by height",
                "You split and permuted correctly, and the last reshape exchanged the sides: the "
                "result is `b height width c`, rows first.",
                glue_by_reshape(counts_swapped=False, sides_swapped=True),
            ),
            WrongWay(
                "column-first windows",
                "You laid the windows down column by column. Window 1 stands to the right of "
                "window 0.",
                glue_as("(c r) (m n)"),
            ),
            WrongWay(
                "column-first tokens",
                "You laid the tokens of each window down column by column. Token 1 stands to the "
                "right of token 0.",
                glue_as("(r c) (n m)"),
            ),
        ),
    ),
}
