"""Chapter 04, window attention: one window, all windows, masked softmax, a whole block."""

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


class Attention:
    """Window attention of one head, with a position bias: what a block is given to attend with.

    Called with windows ``b n t c`` and a boolean mask ``n t t``, it returns windows ``b n t c``.
    """

    def __init__(self, window_size: int):
        self.window = (window_size, window_size)

    def __call__(self, windows: Tensor, mask: Tensor) -> Tensor:
        return Specimen(self.window, (0, 0)).attend(windows, mask, self.window)

    def __repr__(self) -> str:
        return "attention"


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Give the row of a query with no allowed key zeros, where a plain softmax gives NaN."""
    return (scores + additive_mask(mask)).softmax(dim=-1).masked_fill(~mask, 0)


def mask_folded_scores(scores: Tensor, mask: Tensor) -> Tensor:
    pictures = scores.unflatten(0, (-1, len(mask)))  # b n heads t t
    return pictures.masked_fill(~mask[:, None], -math.inf).flatten(0, 1)


def attend_one_window(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    return masked_softmax(q @ k.T / q.shape[-1] ** 0.5 + bias, mask) @ v


def shifted_block(x: Tensor, window_size: int, shift_size: int, attend: Attention) -> Tensor:
    grid = WindowGrid(tuple(x.shape[1:3]), window_size, shift_size)
    return grid.merge(attend(grid.partition(x), grid.mask()))


# --- wrong ways ---


def softmax_as(value: float = -math.inf, dim: int = -1, invert: bool = False):
    """Return a masked softmax that differs from the right one in one argument."""
    return lambda scores, mask: scores.masked_fill(mask if invert else ~mask, value).softmax(dim)


def add_100(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores - 100 * ~mask).softmax(-1)


def boolean_times_infinity(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores + ~mask * -math.inf).softmax(-1)


def masked_after(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.softmax(-1) * mask


def masked_after_and_divided(scores: Tensor, mask: Tensor) -> Tensor:
    weights = masked_after(scores, mask)
    return weights / weights.sum(-1, keepdim=True)


def multiplied(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores * mask).softmax(-1)


def folded_as(
    fit=lambda mask, scores: mask.repeat(len(scores) // len(mask), 1, 1)[:, None],
    value: float = -math.inf,
    invert: bool = False,
):
    """Return a way to mask folded scores that differs from the right one in one argument.

    ``fit`` gives the mask the axes of the scores.
    """

    def masked(scores: Tensor, mask: Tensor) -> Tensor:
        mask = fit(mask, scores)
        return scores.masked_fill(mask if invert else ~mask, value)

    return masked


def picture_after_window(mask: Tensor, scores: Tensor) -> Tensor:
    return mask.repeat_interleave(len(scores) // len(mask), 0)[:, None]


def attend_as(
    weigh=masked_softmax,
    scale=lambda q, v: q.shape[-1] ** 0.5,
    score=lambda product, bias, scale: product / scale + bias,
):
    """Return attention in one window that differs from the right one in one argument."""
    return lambda q, k, v, bias, mask: weigh(score(q @ k.T, bias, scale(q, v)), mask) @ v


# --- what a geometry must be, beside one at which a block goes wrong ---


def small_and_unpadded(grid: WindowGrid) -> str:
    if grid.padded_size != grid.size:
        return "That map needs padding. Take one that whole windows fill."
    tokens = math.prod(grid.size)
    return f"That map has {tokens} tokens. Find one of 12 or fewer." if tokens > 12 else ""


def unshifted(grid: WindowGrid) -> str:
    return "That block has a shift. This one goes wrong without." if any(grid.shift_size) else ""


def high(grid: WindowGrid) -> str:
    return "Take a height of 8 or more." if grid.size[0] < 8 else ""


# --- drawn cases ---


def draw_mask(rng: Random) -> Tensor:
    window_size = rng.randint(2, 3)
    size = rng.randint(window_size + 1, 7), rng.randint(window_size + 1, 7)
    return shifted_window_mask(size, window_size, rng.randrange(1, window_size))


def with_empty_row(mask: Tensor, window: int, query: int) -> Tensor:
    """Return a mask in which one query of one window has no allowed key."""
    mask = mask.clone()
    mask[window, query] = False
    return mask


def draw_scores(rng: Random) -> tuple[Tensor, Tensor]:
    mask = draw_mask(rng)
    mask = with_empty_row(mask, rng.randrange(len(mask)), rng.randrange(mask.shape[-1]))
    return rng.choice([1, 10, 150]) * random_tensor(*mask.shape), mask


def folded_case(mask: Tensor, pictures: int, heads: int) -> tuple[Tensor, Tensor]:
    """Return the scores of all windows of some pictures, and the mask."""
    return random_tensor(pictures * len(mask), heads, *mask.shape[1:]), mask


def draw_folded(rng: Random) -> tuple[Tensor, Tensor]:
    mask = draw_mask(rng)
    return folded_case(mask, rng.randint(1, 3), rng.choice([1, 2, len(mask)]))


def window_case(mask: Tensor, d: int, loud: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return queries, keys, values, bias and mask.  The bias makes the scores asymmetric."""
    tokens = len(mask)
    q, k = loud * random_tensor(tokens, d), random_tensor(tokens, d + 1)[:, :d]
    return q, k, random_tensor(tokens, d + 2), 2 * random_tensor(tokens, tokens), mask


def draw_window(rng: Random) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    mask = draw_mask(rng)[-1]
    return window_case(mask, rng.randint(3, 6), rng.choice([1, 10]))


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
        [
            (random_tensor(6, 9, 9), MASK),
            (random_tensor(6, 9, 9), with_empty_row(MASK, 5, 3)),
            (100 * random_tensor(6, 9, 9), with_empty_row(MASK, 2, 7)),
        ],
        draw_scores,
        (
            WrongWay(
                "empty row",
                "The row of the query with no allowed key is `nan`: there the softmax divides 0 by "
                "0. Set the weights of forbidden keys to 0 once more, after the softmax.",
                softmax_as(),
            ),
            WrongWay(
                "-1e9 for minus infinity",
                "The query with no allowed key attends to all, because all of its scores are "
                "equally low. Use minus infinity, and after the softmax set the weights of "
                "forbidden keys to 0.",
                softmax_as(-1e9),
            ),
            WrongWay(
                "inverted",
                "You forbade the pairs that may attend. True means that the query *may* attend, so "
                "fill in minus infinity where the mask is False: `~mask`.",
                softmax_as(invert=True),
            ),
            WrongWay(
                "forbidden scores near 0",
                "Your forbidden scores became 0, or a number as tiny as 1e-9, and the softmax "
                "gives a score of 0 a weight like any other. Tiny is not low: fill in minus "
                "infinity.",
                multiplied,
            ),
            WrongWay(
                "-100 for minus infinity",
                "You put a finite number where a pair is forbidden. Allowed scores can be smaller "
                "still, and then it gets weight: use minus infinity.",
                softmax_as(-100.0),
            ),
            WrongWay(
                "-100 added",
                "You added -100 where a pair is forbidden. Some forbidden scores lead by more "
                "than 100 here, and then they still win: add minus infinity.",
                add_100,
            ),
            WrongWay(
                "boolean times infinity",
                "You multiplied a boolean by infinity. Where the pair is allowed that is "
                "0 * infinity, which is `nan`. Choose in place of multiplying: "
                "`masked_fill(~mask, -torch.inf)`.",
                boolean_times_infinity,
            ),
            known_mistake(
                "mask of 0 and 1 added", lambda scores, mask: (scores + mask.double()).softmax(-1)
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
    "mask_folded_scores": Exercise(
        mask_folded_scores,
        # As many heads as windows, then as many as pictures: a misplaced axis raises no error.
        [folded_case(MASK, 3, len(MASK)), folded_case(MASK, 2, 2), folded_case(MASK, 1, 4)],
        draw_folded,
        (
            WrongWay(
                "mask on the heads",
                "Your mask has its windows where the scores have their heads, so each head got "
                "the mask of another window. Give it an axis of length 1 for the heads, after "
                "that of the windows: `mask[:, None]`.",
                folded_as(lambda mask, scores: mask),
            ),
            WrongWay(
                "picture after window",
                "You repeated each window's mask before you came to the next window's. The scores "
                "come picture by picture: split their first axis into (pictures, windows), in "
                "this order.",
                folded_as(picture_after_window),
            ),
            WrongWay(
                "first window's mask",
                "All windows got the mask of the first one. Window i of each picture needs "
                "`mask[i]`.",
                folded_as(lambda mask, scores: mask[0]),
            ),
            WrongWay(
                "first picture only",
                "You masked the windows of the first picture. The others need the mask too.",
                lambda scores, mask: torch.cat(
                    [folded_as()(scores[: len(mask)], mask), scores[len(mask) :]]
                ),
            ),
            WrongWay(
                "first head only",
                "You masked the first head. All heads need the mask.",
                lambda scores, mask: torch.cat(
                    [folded_as()(scores[:, :1], mask), scores[:, 1:]], 1
                ),
            ),
            WrongWay(
                "inverted",
                "You forbade the pairs that may attend. True means that the query *may* attend, so "
                "fill in minus infinity where the mask is False: `~mask`.",
                folded_as(invert=True),
            ),
            WrongWay(
                "-100 for minus infinity",
                "You put -100 where a pair is forbidden. This exercise asks for minus infinity.",
                folded_as(value=-100.0),
            ),
            WrongWay(
                "-100 added",
                "You added -100 where a pair is forbidden, as the official code does. This "
                "exercise asks for minus infinity.",
                lambda scores, mask: scores - 100.0 * (folded_as()(scores, mask) == -math.inf),
            ),
            WrongWay(
                "softmax too",
                "You took the softmax as well. Return the masked scores.",
                lambda scores, mask: folded_as()(scores, mask).softmax(-1),
            ),
            WrongWay(
                "left unfolded",
                "Your scores still have an axis for the pictures. Fold the first two axes into "
                "one again.",
                lambda scores, mask: folded_as()(scores, mask).unflatten(0, (-1, len(mask))),
            ),
        ),
    ),
    "attend_one_window": Exercise(
        attend_one_window,
        [window_case(MASK[2], 4, 1), window_case(MASK[5], 4, 9), window_case(MASK[5], 4, 150)],
        draw_window,
        (
            WrongWay(
                "bias forgotten",
                "You left the position bias out. Add it to the scores, before the mask.",
                attend_as(score=lambda product, bias, scale: product / scale),
            ),
            WrongWay(
                "bias scaled too",
                "You divided the bias by √d as well. Divide the dot products alone, then add the "
                "bias.",
                attend_as(score=lambda product, bias, scale: (product + bias) / scale),
            ),
            WrongWay(
                "bias transposed",
                "You added the transposed bias. Like the scores it has one row for each query: "
                "add it as it is.",
                attend_as(score=lambda product, bias, scale: product / scale + bias.T),
            ),
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
            WrongWay(
                "forbidden scores near 0",
                "Your forbidden scores became 0, or a number as tiny as 1e-9, and the softmax "
                "gives a score of 0 a weight like any other. Fill in minus infinity.",
                attend_as(multiplied),
            ),
            WrongWay(
                "boolean times infinity",
                "You multiplied a boolean by infinity. Where the pair is allowed that is "
                "0 * infinity, which is `nan`. Use `masked_fill(~mask, -torch.inf)`.",
                attend_as(boolean_times_infinity),
            ),
            WrongWay(
                "-100 for minus infinity",
                "You put a finite number where a pair is forbidden. Allowed scores can be smaller "
                "still, and then it gets weight: use minus infinity.",
                attend_as(softmax_as(-100.0)),
            ),
            WrongWay(
                "-100 added",
                "You added -100 where a pair is forbidden. Some forbidden scores lead by more "
                "than 100 here, and then they still win: add minus infinity.",
                attend_as(add_100),
            ),
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
                lambda q, k, v, bias, mask: attend_one_window(k, q, v, bias, mask),
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
        (2, 4, 2, 1),
        "Nothing is forbidden there, so the mask is 1 everywhere. Find a map that needs a mask.",
        small_and_unpadded,
    ),
    "block_4b": find_the_bug(
        "real tokens see padding",
        (7, 9, 4, 0),
        "The step passes `full`, the padded size, where the right one passes `size`. When do the "
        "two differ?",
        unshifted,
    ),
    "block_4c": find_the_bug(
        "bias index sliced for a smaller window",
        (8, 3, 4, 1),
        "The window shrinks on a small map, and the index is sliced. Number the tokens of a large "
        "window and of a smaller one: when do the numbers go apart?",
        high,
    ),
}
