"""Chapter 10, four ways to pay for a mask: bytes, intensity, and a kernel's bookkeeping."""

import random

import torch

from swin_tutorial.audit.specimen import Specimen
from swin_tutorial.exercises.exercise import Exercise, WrongWay, from_museum
from swin_tutorial.grid import WindowGrid

# --- 10.1: the least bytes ---


def least_bytes(batch: int, height: int, width: int, channels: int, bytes_per_number: int) -> int:
    return maps_of(4, batch, height, width, channels, bytes_per_number)


def maps_of(maps: int, *factors: int) -> int:
    """Return the bytes of so many maps."""
    for factor in factors:
        maps *= factor
    return maps


BYTES_WAYS = (
    WrongWay(
        "output forgotten",
        "You counted what is read: query, key, and value. The output is written, too.",
        lambda *case: maps_of(3, *case),
    ),
    WrongWay(
        "one map in, one map out",
        "You counted one map read and one written. Window attention reads three: a query, a key, "
        "and a value for each token.",
        lambda *case: maps_of(2, *case),
    ),
    WrongWay(
        "query, key, and value written as well",
        "You counted query, key, and value twice. They come from the linear layer before; "
        "attention only reads them.",
        lambda *case: maps_of(7, *case),
    ),
    WrongWay(
        "numbers for bytes",
        "You counted numbers. Each has `bytes_per_number` bytes.",
        lambda *case: maps_of(4, *case[:-1]),
    ),
    WrongWay(
        "bits",
        "You counted bits: a number has `bytes_per_number` bytes, and no factor of 8 is needed.",
        lambda *case: maps_of(32, *case),
    ),
    WrongWay(
        "one image",
        "You counted one map and forgot the batch.",
        lambda batch, *rest: maps_of(4, *rest),
    ),
    WrongWay(
        "four channels in all",
        "You counted one number per token for each of the four. Each token has `channels` of them.",
        lambda batch, height, width, channels, size: maps_of(4, batch, height, width, size),
    ),
)


def draw_bytes(rng: random.Random) -> tuple:
    height, width = rng.sample(range(7, 60), 2)
    return rng.randint(2, 64), height, width, 32 * rng.randint(1, 6), rng.choice([2, 4])


# --- 10.2: the arithmetic intensity ---


def intensity(window_height: int, window_width: int, bytes_per_number: int) -> float:
    return window_height * window_width / bytes_per_number


def scaled(factor: float):
    """Return an attempt that is wrong by a factor."""
    return lambda *case: factor * intensity(*case)


INTENSITY_WAYS = (
    WrongWay(
        "half of it",
        "You get half. There are two products, scores and output, and in each a multiplication "
        "*and* an addition per key: 4 operations per token, channel, and key.",
        scaled(1 / 2),
    ),
    WrongWay(
        "a quarter of it",
        "You get a quarter: one multiplication per key. There are two products, scores and "
        "output, and each multiplies *and* adds.",
        scaled(1 / 4),
    ),
    WrongWay(
        "output not in the bytes",
        "You divided by the three maps that are read. The output is written: 4 numbers per token "
        "and channel.",
        scaled(4 / 3),
    ),
    WrongWay(
        "one map in, one map out",
        "You divided by two numbers per token and channel. There are four: query, key, value, "
        "and output.",
        scaled(2.0),
    ),
    WrongWay(
        "one number per token and channel",
        "You divided by one number per token and channel. There are four: query, key, value, and "
        "output.",
        scaled(4.0),
    ),
    WrongWay(
        "a side for the window",
        "You took one side of the window for its tokens. A query has window_height · window_width "
        "keys.",
        lambda window_height, window_width, size: window_height / size,
    ),
    WrongWay(
        "numbers for bytes",
        "You divided by numbers, not by bytes. Each number has `bytes_per_number` of them.",
        lambda window_height, window_width, size: float(window_height * window_width),
    ),
    WrongWay(
        "bytes per operation",
        "You gave bytes per operation. Intensity is operations per byte: turn the fraction over.",
        lambda *case: 1 / intensity(*case),
    ),
)


def draw_intensity(rng: random.Random) -> tuple:
    return *rng.sample(range(4, 25), 2), rng.choice([1, 2, 4])


# --- 10.3: where a token stood ---


def place_of_token(
    window: int, token: int, height: int, width: int, window_size: int, shift_size: int
) -> tuple[int, int] | None:
    grid = WindowGrid((height, width), window_size, shift_size)
    place = grid.origin(window, token)
    return None if grid.is_padding(place) else place


def place_in(
    kind: type[Specimen],
    window: int,
    token: int,
    height: int,
    width: int,
    window_size: int,
    shift_size: int,
) -> tuple[int, int] | None:
    """Return where a block found the token, by numbering the tokens and cutting the map."""
    block = kind((window_size,) * 2, (shift_size,) * 2)
    numbers = torch.arange(1, height * width + 1).view(1, height, width, 1)  # padding is 0
    windows, shifts = block.fit((height, width))
    rolled = block.roll(block.pad(numbers, windows), shifts)
    number = int(block.partition(rolled, windows)[0, window, token, 0])
    return divmod(number - 1, width) if number else None


def with_padding(window, token, height, width, window_size, shift_size):
    return WindowGrid((height, width), window_size, shift_size).origin(window, token)


def not_rolled(window, token, height, width, window_size, shift_size):
    return place_of_token(window, token, height, width, window_size, 0)


def wrapped_at_the_image(window, token, height, width, window_size, shift_size):
    row, column = rolled_place(window, token, -(-width // window_size), window_size)
    row += shift_size if height > window_size else 0
    column += shift_size if width > window_size else 0
    return row % height, column % width


def windows_down_the_columns(window, token, height, width, window_size, shift_size):
    rows, columns = -(-height // window_size), -(-width // window_size)
    return place_of_token(
        window % rows * columns + window // rows, token, height, width, window_size, shift_size
    )


def tokens_down_the_columns(window, token, height, width, window_size, shift_size):
    transposed = token % window_size * window_size + token // window_size
    return place_of_token(window, transposed, height, width, window_size, shift_size)


def windows_rounded_down(window, token, height, width, window_size, shift_size):
    columns = max(width // window_size, 1)
    row, column = rolled_place(window, token, columns, window_size)
    full_height, full_width = (-(-side // window_size) * window_size for side in (height, width))
    row = (row + (shift_size if height > window_size else 0)) % full_height
    column = (column + (shift_size if width > window_size else 0)) % full_width
    return (row, column) if row < height and column < width else None


def rolled_place(window: int, token: int, columns: int, window_size: int) -> tuple[int, int]:
    """Return the row and column of a token on the rolled map with so many columns of windows."""
    row = window // columns * window_size + token // window_size
    return row, window % columns * window_size + token % window_size


PLACE_WAYS = (
    *from_museum(
        place_in,
        "rolled the wrong way",
        "shift kept on a one-window axis",
        "shift dropped on all axes",
        "one-window test on the first axis only",
        "height and width swapped in the cut",
    ),
    WrongWay(
        "not rolled",
        "You gave the place on the rolled map. The token stood `shift_size` further down and to "
        "the right before the roll, or came in from the other side.",
        not_rolled,
    ),
    WrongWay(
        "padding is given a place",
        "Some of your places lie outside the map. These tokens are padding: return None.",
        with_padding,
    ),
    WrongWay(
        "wrapped at the image",
        "You wrapped around at the image's size. The map is padded before it is rolled, so tokens "
        "wrap around at the padded size.",
        wrapped_at_the_image,
    ),
    WrongWay(
        "windows down the columns",
        "You numbered the windows down the columns. They are numbered row by row: divide by the "
        "number of windows in a row.",
        windows_down_the_columns,
    ),
    WrongWay(
        "tokens down the columns",
        "You numbered the tokens of a window down the columns. They are numbered row by row: "
        "row = token // window_size, column = token % window_size.",
        tokens_down_the_columns,
    ),
    WrongWay(
        "the padded window not counted",
        "Your rows of windows are too short where the map does not divide. The last window of a "
        "row is padded, so round up: -(-width // window_size).",
        windows_rounded_down,
    ),
)


def draw_place(rng: random.Random) -> tuple:
    window_size = rng.randint(3, 5)
    shift_size = rng.choice([s for s in range(1, window_size) if 2 * s != window_size])
    height, width = rng.sample(range(2, 14), 2)
    windows = WindowGrid((height, width), window_size, shift_size).num_windows
    token = rng.randrange(window_size**2)
    return rng.randrange(windows), token, height, width, window_size, shift_size


EXERCISES = {
    "least_bytes": Exercise(
        least_bytes,
        [(1, 7, 9, 32, 4), (64, 56, 56, 96, 2), (8, 25, 34, 64, 2)],
        draw_bytes,
        BYTES_WAYS,
    ),
    "intensity": Exercise(
        intensity,
        [(7, 7, 2), (7, 7, 4), (8, 12, 2), (16, 16, 2)],
        draw_intensity,
        INTENSITY_WAYS,
    ),
    "place_of_token": Exercise(
        place_of_token,
        [
            (0, 0, 8, 12, 4, 2),
            (5, 15, 8, 12, 4, 2),
            (2, 6, 8, 12, 4, 1),
            (3, 9, 7, 10, 4, 2),
            (5, 4, 7, 10, 4, 2),
            (5, 15, 7, 10, 4, 2),
            (1, 6, 3, 9, 4, 2),
            (2, 3, 3, 9, 4, 2),
        ],
        draw_place,
        PLACE_WAYS,
    ),
}
