"""Chapter 04, window attention: masked softmax, the bias table, one window, a whole block."""

import math
from random import Random

import torch
from torch import Tensor

from swin_tutorial.audit.dependence import random_map
from swin_tutorial.audit.specimen import Specimen
from swin_tutorial.exercises.bugs import find_the_bug
from swin_tutorial.exercises.exercise import (
    Exercise,
    WrongWay,
    from_museum,
    known_mistake,
    random_tensor,
)
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import additive_mask, shifted_window_mask
from swin_tutorial.position_bias import relative_position_index


class Attention:
    """Window attention of one head, with a position bias: what a block is given to attend with.

    Called with windows ``b n t c`` and a boolean mask ``n t t``, it returns windows ``b n t c``.
    """

    def __init__(self, window_size: int):
        self.window = (window_size, window_size)

    def __call__(self, windows: Tensor, mask: Tensor) -> Tensor:
        return Specimen(self.window, (0, 0)).attend(windows, mask, self.window)

    def __repr__(self) -> str:
        return "attend"


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores + additive_mask(mask)).softmax(dim=-1)


def table_row(query: int, key: int, window_size: int) -> int:
    return int(relative_position_index(window_size)[query, key])


def attend_one_window(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return masked_softmax(q @ k.T / q.shape[-1] ** 0.5, mask) @ v


def shifted_block(x: Tensor, window_size: int, shift_size: int, attend: Attention) -> Tensor:
    grid = WindowGrid(tuple(x.shape[1:3]), window_size, shift_size)
    return grid.merge(attend(grid.partition(x), grid.mask()))


# --- wrong ways ---


def softmax_as(value: float = -math.inf, dim: int = -1, invert: bool = False):
    """Return a masked softmax that differs from the right one in one argument."""
    return lambda scores, mask: scores.masked_fill(mask if invert else ~mask, value).softmax(dim)


def masked_after(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.softmax(-1) * mask


def masked_after_and_divided(scores: Tensor, mask: Tensor) -> Tensor:
    weights = masked_after(scores, mask)
    return weights / weights.sum(-1, keepdim=True)


def multiplied(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores * mask).softmax(-1)


def entry_as(sign: int = 1, first: int | None = None, per_row: int = 1, by_column: bool = False):
    """Return a way to number the offset of two tokens that differs in one argument.

    Args:
        sign: -1 for key minus query.
        first: what is added to each offset; ``window_size - 1`` by default.
        per_row: how many entries it counts too few for a row of offsets, in offsets.
        by_column: whether offsets in columns count for more than offsets in rows.
    """

    def entry(query: int, key: int, m: int) -> int:
        plus = m - 1 if first is None else first
        rows, columns = (
            sign * (a - b) + plus for a, b in zip(divmod(query, m), divmod(key, m), strict=True)
        )
        if by_column:
            rows, columns = columns, rows
        return rows * (2 * m - per_row) + columns

    return entry


def attend_as(weigh=masked_softmax, scale=lambda q, v: q.shape[-1] ** 0.5):
    """Return attention in one window that differs from the right one in one argument."""
    return lambda q, k, v, mask: weigh(q @ k.T / scale(q, v), mask) @ v


# --- drawn cases ---


def draw_mask(rng: Random) -> Tensor:
    window_size = rng.randint(2, 3)
    size = rng.randint(window_size + 1, 7), rng.randint(window_size + 1, 7)
    return shifted_window_mask(size, window_size, rng.randrange(1, window_size))


def draw_scores(rng: Random) -> tuple[Tensor, Tensor]:
    mask = draw_mask(rng)
    return rng.choice([1, 10, 150]) * random_tensor(*mask.shape), mask


def draw_two_places(rng: Random) -> tuple[int, int, int]:
    window_size = rng.randint(2, 8)
    return rng.randrange(window_size**2), rng.randrange(window_size**2), window_size


def draw_window(rng: Random) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    mask = draw_mask(rng)[-1]
    tokens, d = len(mask), rng.randint(3, 6)
    q, k = random_tensor(tokens, d), random_tensor(tokens, d + 1)[:, :d]
    return rng.choice([1, 10]) * q, k, random_tensor(tokens, d + 2), mask


def block_case(size: tuple[int, int], window_size: int, shift_size: int):
    x = random_map(size, 3, torch.float64, batch=2)
    return x, window_size, shift_size, Attention(window_size)


def draw_block(rng: Random) -> tuple[Tensor, int, int, Attention]:
    window_size = rng.randint(2, 5)
    height, width = rng.sample(range(1, 3 * window_size), 2)
    return block_case((height, width), window_size, rng.randrange(window_size))


# The more usual ones first.
BLOCK_MISTAKES = (
    "no mask",
    "mask inverted",
    "not shifted",
    "shifted on one axis only",
    "rolled the wrong way",
    "roll forgotten",
    "shift not undone",
    "shift undone the wrong way",
    "rolled before padded",
    "padded at the start",
    "padding of the axes swapped",
    "rest of the map left out",
    "shift kept on a one-window axis",
    "mask keeps the shift that the roll dropped",
    "shift dropped on all axes",
    "one-window test on the first axis only",
    "window shrunk on all axes",
    "real tokens see padding",
    "padding mask not rolled",
    "labels not rolled",
    "labels of the plain windows",
    "only the first axis masked",
    "only the last axis masked",
    "seam at the wrong token",
    "labels read as w by h",
    "column-first tokens in the mask",
    "column-first windows in the mask",
    "first window's mask for all",
    "last window's mask for all",
    "only the last window masked",
    "cut without moving axes",
    "every other token in place of neighbors",
    "height and width swapped in the cut",
    "height and width swapped in window_reverse",
    "height and width swapped in cut and join",
    "windows joined without moving axes",
    "windows joined column first",
    "images of a batch mixed",
    "no windows",
)
MASK = shifted_window_mask((6, 9), 3, 1)

EXERCISES = {
    "masked_softmax": Exercise(
        masked_softmax,
        [(random_tensor(6, 9, 9), MASK), (100 * random_tensor(6, 9, 9), MASK)],
        draw_scores,
        (
            WrongWay(
                "inverted",
                "You forbade the pairs that may attend. True means that the query *may* attend, so "
                "fill in minus infinity where the mask is False: `~mask`.",
                softmax_as(invert=True),
            ),
            known_mistake("scores multiplied by the mask", multiplied),
            WrongWay(
                "-100 for minus infinity",
                "You put a finite number where a pair is forbidden. Allowed scores can be smaller "
                "still, and then it gets weight: use minus infinity.",
                softmax_as(-100.0),
            ),
            known_mistake("softmax over queries", softmax_as(dim=-2)),
            known_mistake("weights multiplied by the mask", masked_after),
            WrongWay(
                "masked after softmax, then divided",
                "You masked after the softmax and divided by the sum. With large scores the "
                "allowed weights are already rounded to 0, and 0/0 is `nan`. Mask the scores, "
                "before.",
                masked_after_and_divided,
            ),
            WrongWay(
                "no mask",
                "Your softmax does not use the mask. Put minus infinity where it is False.",
                lambda scores, mask: scores.softmax(-1),
            ),
        ),
    ),
    "table_row": Exercise(
        table_row,
        [(0, 0, 7), (48, 0, 7), (0, 48, 7), (5, 2, 3), (9, 7, 4)],
        draw_two_places,
        (
            known_mistake("bias transposed", entry_as(sign=-1)),
            WrongWay(
                "offsets not moved to 0",
                "Your smallest offset is negative, and so is its entry. Add `window_size - 1` to "
                "both offsets first.",
                entry_as(first=0),
            ),
            WrongWay(
                "moved one too far",
                "You added `window_size` to the offsets. The smallest is "
                "`-(window_size - 1)`, so add `window_size - 1`.",
                lambda query, key, m: entry_as(first=m)(query, key, m),
            ),
            WrongWay(
                "2M in a row",
                "You counted `2 * window_size` offsets in a row. They go from "
                "`-(window_size - 1)` to `window_size - 1`, which is one fewer.",
                entry_as(per_row=0),
            ),
            known_mistake(
                "row and column offsets share entries",
                lambda query, key, m: entry_as(per_row=m)(query, key, m),
            ),
            WrongWay(
                "columns first",
                "You let an offset in columns count for a whole row. Rows come first: multiply "
                "the offset in rows.",
                entry_as(by_column=True),
            ),
        ),
    ),
    "attend_one_window": Exercise(
        attend_one_window,
        [
            (random_tensor(9, 4), random_tensor(9, 5)[:, :4], random_tensor(9, 6), MASK[2]),
            (9 * random_tensor(9, 4), random_tensor(9, 5)[:, :4], random_tensor(9, 6), MASK[5]),
        ],
        draw_window,
        (
            known_mistake("scale forgotten", attend_as(scale=lambda q, v: 1)),
            known_mistake("scale squared", attend_as(scale=lambda q, v: q.shape[-1])),
            WrongWay(
                "scale of the values",
                "You divided by the square root of the length of a value. It is the length of the "
                "queries and keys that makes scores large.",
                attend_as(scale=lambda q, v: v.shape[-1] ** 0.5),
            ),
            WrongWay(
                "scale of the tokens",
                "You divided by the square root of the number of tokens. Divide by √d, where d is "
                "the length of a query: its last axis.",
                attend_as(scale=lambda q, v: len(q) ** 0.5),
            ),
            known_mistake("softmax over queries", attend_as(softmax_as(dim=-2))),
            WrongWay(
                "inverted",
                "Your queries attend to what is forbidden. True means that the query *may* attend.",
                attend_as(softmax_as(invert=True)),
            ),
            known_mistake("scores multiplied by the mask", attend_as(multiplied)),
            known_mistake("weights multiplied by the mask", attend_as(masked_after)),
            WrongWay(
                "no mask",
                "Your queries attend to every key of the window. Put minus infinity where the mask "
                "is False.",
                attend_as(lambda scores, mask: scores.softmax(-1)),
            ),
            WrongWay(
                "queries and keys swapped",
                "You computed the scores of keys against queries. Rows of the scores belong to the "
                "queries: `q @ k.T`.",
                lambda q, k, v, mask: attend_one_window(k, q, v, mask),
            ),
        ),
    ),
    "shifted_block": Exercise(
        shifted_block,
        [
            block_case((4, 6), 2, 1),
            block_case((6, 9), 3, 1),
            block_case((4, 6), 2, 0),
            block_case((3, 6), 3, 1),
            block_case((2, 3), 3, 2),
            block_case((5, 7), 3, 2),
        ],
        draw_block,
        from_museum(
            lambda kind, x, m, s, attend: kind((m, m), (s, s), padding="mask")(x),
            *BLOCK_MISTAKES,
        ),
    ),
    "block_4a": find_the_bug(
        "weights multiplied by the mask",
        (8, 12, 4, 2),
        "Nothing is forbidden there, so the mask is 1 everywhere. Find a map that needs a mask.",
    ),
    "block_4b": find_the_bug(
        "real tokens see padding",
        (7, 9, 4, 1),
        "The step passes `full`, the padded size, where the right one passes `size`. When do the "
        "two differ?",
    ),
    "block_4c": find_the_bug(
        "bias index sliced for a smaller window",
        (8, 3, 4, 1),
        "The window shrinks on a small map, and the index is sliced. Number the tokens of a large "
        "window and of a smaller one: when do the numbers go apart?",
    ),
}
