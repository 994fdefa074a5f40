"""Chapter 01, window partitioning: find a token, count windows, cut a map, stay in a budget."""

from collections.abc import Callable
from random import Random

from einops import rearrange
from torch import Tensor

from swin_tutorial.exercises.exercise import Exercise, WrongWay, from_museum, numbered_map
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import window_partition


def count_windows(height: int, width: int, window_size: int) -> int:
    return WindowGrid((height, width), window_size).num_windows


def token_on_map(window: int, token: int, width: int, window_size: int) -> tuple[int, int]:
    window_row, window_column = divmod(window, width // window_size)
    row, column = divmod(token, window_size)
    return window_row * window_size + row, window_column * window_size + column


def largest_window(side: int, channels: int, share: float) -> int:
    return _largest(side, lambda m: 2 * channels + m**2 <= share * (2 * channels + side**2))


def _largest(side: int, fits: Callable[[int], bool]) -> int:
    """Return the largest window size that divides the side and fits, 0 if none does."""
    return max((m for m in range(1, side + 1) if side % m == 0 and fits(m)), default=0)


def cut_as(pattern: str):
    """Return a function that cuts a map by a pattern of axes r m c n (rows, columns of windows)."""
    return lambda x, m: rearrange(x, f"b (r m) (c n) k -> {pattern}", m=m, n=m)


# --- drawn cases ---


def draw_map(rng: Random) -> tuple[int, int, int]:
    return rng.randint(3, 30), rng.randint(3, 30), rng.randint(2, 7)


def draw_token(rng: Random) -> tuple[int, int, int, int]:
    window_size, columns = rng.randint(2, 5), rng.randint(1, 5)
    window, token = rng.randrange(3 * columns), rng.randrange(window_size**2)
    return window, token, columns * window_size, window_size


def draw_budget(rng: Random) -> tuple[int, int, float]:
    share = rng.choice((0.07, 0.13, 0.31, 0.47, 0.83))  # nowhere on the edge of a budget
    return rng.choice((12, 14, 24, 28, 56, 60)), rng.choice((32, 96, 192, 384)), share


def draw_numbered_map(rng: Random) -> tuple[Tensor, int]:
    window_size = rng.randint(2, 3)
    rows, columns = rng.sample(range(1, 5), 2)
    return numbered_map(rows * window_size, columns * window_size), window_size


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
    "token_on_map": Exercise(
        token_on_map,
        [(4, 6, 12, 4), (0, 0, 12, 4), (5, 15, 12, 4), (2, 7, 12, 3)],
        draw_token,
        (
            WrongWay(
                "windows counted down the columns",
                "You counted the windows column by column. They are numbered row by row, so the "
                "window's row is `window // (width // window_size)`, and its column the remainder.",
                lambda n, t, w, m: (n % (w // m) * m + t // m, n // (w // m) * m + t % m),
            ),
            WrongWay(
                "tokens counted down the columns",
                "Your window is right, but you counted the tokens in it column by column. The "
                "token's row is `token // window_size`, and its column the remainder.",
                lambda n, t, w, m: (n // (w // m) * m + t % m, n % (w // m) * m + t // m),
            ),
            WrongWay(
                "window size for windows in a row",
                "You took `window_size` for the number of windows in a row of windows. There are "
                "`width // window_size` of them.",
                lambda n, t, w, m: (n // m * m + t // m, n % m * m + t % m),
            ),
            WrongWay(
                "place in the window",
                "You found the token's place in its window. Add the place of the window's first "
                "token on the map.",
                lambda n, t, w, m: (t // m, t % m),
            ),
            WrongWay(
                "windows in place of tokens",
                "You added the window's row and column, counted in windows. Multiply them by "
                "`window_size` to count in tokens.",
                lambda n, t, w, m: (n // (w // m) + t // m, n % (w // m) + t % m),
            ),
            WrongWay(
                "row and column swapped",
                "You returned the column first. The answer is `(row, column)`.",
                lambda n, t, w, m: (n % (w // m) * m + t % m, n // (w // m) * m + t // m),
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
    "largest_window": Exercise(
        largest_window,
        [(56, 96, 0.5), (56, 96, 0.08), (14, 384, 0.5), (28, 192, 0.75)],
        draw_budget,
        (
            WrongWay(
                "the first term left out",
                "You compared the second terms alone. Both equations begin with 4hwC², and "
                "windows do not make that smaller: it uses up some of your budget.",
                lambda side, c, share: _largest(side, lambda m: m**2 <= share * side**2),
            ),
            WrongWay(
                "windows that do not divide the map",
                "Your window fits the budget, but it does not divide the map. Keep the sizes "
                "with `side % window_size == 0`.",
                lambda side, c, share: max(
                    (m for m in range(1, side + 1) if 2 * c + m**2 <= share * (2 * c + side**2)),
                    default=0,
                ),
            ),
            WrongWay(
                "side for area",
                "You counted `window_size` keys in a window. It holds `window_size**2` tokens, "
                "and each is a key.",
                lambda side, c, share: _largest(
                    side, lambda m: 2 * c + m <= share * (2 * c + side**2)
                ),
            ),
            WrongWay(
                "1 where nothing fits",
                "You returned 1 where even windows of one token cost too much. Return 0 there.",
                lambda side, c, share: largest_window(side, c, share) or 1,
            ),
            WrongWay(
                "half of the map's side",
                "You took a share of the side. The cost of a query grows with the number of its "
                "keys, `window_size**2`, so compare the costs of equations 1 and 2.",
                lambda side, c, share: _largest(side, lambda m: m <= share * side),
            ),
        ),
    ),
}
