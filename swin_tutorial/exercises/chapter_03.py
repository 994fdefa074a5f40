"""Chapter 03, mask construction: compare regions, mask the scores, combine the axes."""

from collections.abc import Callable
from random import Random

import torch
from einops import rearrange
from torch import Tensor

from swin_tutorial.audit.specimen import Specimen
from swin_tutorial.axis import Axis
from swin_tutorial.exercises.bugs import find_the_bug, wrong_alone
from swin_tutorial.exercises.exercise import (
    Exercise,
    WrongWay,
    from_museum,
    known_mistake,
    random_tensor,
)
from swin_tutorial.masks import additive_mask, region_ids, shifted_window_mask
from swin_tutorial.windows import window_partition

Pair = tuple[int, int]


def same_region(query: Pair, key: Pair, window_size: int, shift_size: int) -> bool:
    return pair_by(strip_of)(query, key, window_size, shift_size)


def mask_scores(scores: Tensor, ids: Tensor) -> Tensor:
    mask = additive_mask(ids[:, :, None] == ids[:, None, :])
    return scores + mask[:, None].repeat(len(scores) // len(ids), 1, 1, 1)


def combine_axes(rows: Tensor, columns: Tensor) -> Tensor:
    return torch.kron(rows.int(), columns.int()).bool()


def mask_from_nothing(size: Pair, window_size: Pair, shift_size: Pair) -> Tensor:
    return shifted_window_mask(size, window_size, shift_size)


# --- wrong ways ---


def strip_of(place: int, window_size: int, shift_size: int) -> int:
    return (place - shift_size) // window_size


def pair_by(strip: Callable[[int, int, int], int], combine: Callable[[list[bool]], bool] = all):
    """Return a way to decide about two tokens from the strip of each on each axis."""

    def decide(query: Pair, key: Pair, m: int, s: int) -> bool:
        return combine([strip(a, m, s) == strip(b, m, s) for a, b in zip(query, key, strict=True)])

    return decide


def scores_of(kind: type[Specimen], scores: Tensor, ids: Tensor) -> Tensor:
    """Return the scores as a specimen masks them."""
    block = kind((1,), (0,))
    added = block.additive(block.compare(ids))
    return (scores.unflatten(0, (-1, len(ids))) + added[:, None]).flatten(0, 1)


def mask_of(kind: type[Specimen], size: Pair, window_size: Pair, shift_size: Pair) -> Tensor:
    """Return the mask of a specimen."""
    block = kind(window_size, shift_size, padding="mask")
    window, shift = block.fit(size)
    full = tuple(n + -n % m for n, m in zip(size, window, strict=True))
    return block.mask(size, full, window, shift)


def scores_as(change):
    """Return a way to mask scores: ``change`` takes them (``b n heads t t``) and ``n 1 t t``."""

    def mask_them(scores: Tensor, ids: Tensor) -> Tensor:
        allowed = (ids[:, :, None] == ids[:, None, :])[:, None]
        return change(scores.unflatten(0, (-1, len(ids))), allowed).flatten(0, 1)

    return mask_them


def forbid(scores: Tensor, allowed: Tensor, value: float = float("-inf")) -> Tensor:
    return scores + torch.zeros(allowed.shape).masked_fill(~allowed, value)


def windows_before_images(scores: Tensor, allowed: Tensor) -> Tensor:
    every = allowed.repeat_interleave(len(scores), 0)
    return forbid(scores.flatten(0, 1), every).view(scores.shape)


def one_head(scores: Tensor, allowed: Tensor) -> Tensor:
    return torch.cat([forbid(scores[:, :, :1], allowed), scores[:, :, 1:]], 2)


# --- drawn cases ---


def draw_pair(rng: Random) -> tuple[Pair, Pair, int, int]:
    window_size = rng.randint(3, 5)
    first, second = ((rng.randrange(12), rng.randrange(12)) for _ in range(2))
    near = tuple(min(11, place + rng.randrange(window_size)) for place in first)
    shift_size = rng.randrange(1, window_size)
    return first, rng.choice([near, near, second]), window_size, shift_size


def ids_by_window(size: Pair, window_size: int, shift_size: int) -> Tensor:
    ids = region_ids(size, window_size, shift_size)
    return window_partition(ids[None, :, :, None], window_size)[0, :, :, 0]


def draw_scores(rng: Random) -> tuple[Tensor, Tensor]:
    ids = ids_by_window(tuple(rng.sample(range(3, 8), 2)), rng.randint(2, 3), 1)
    batch, heads, tokens = rng.randint(1, 3), rng.randint(1, 3), ids.shape[1]
    return random_tensor(batch * len(ids), heads, tokens, tokens), ids


def draw_axis(rng: Random) -> Axis:
    window_size = rng.randint(2, 4)
    return Axis(rng.randint(1, 3 * window_size), window_size, rng.randrange(1, window_size))


def draw_two_axes(rng: Random) -> tuple[Tensor, Tensor]:
    return draw_axis(rng).mask(), draw_axis(rng).mask()


def draw_geometry(rng: Random) -> tuple[Pair, Pair, Pair]:
    axes = draw_axis(rng), draw_axis(rng)
    size, window_size, shift_size = zip(
        *((axis.size, axis.window_size, axis.shift_size) for axis in axes), strict=True
    )
    return size, window_size, shift_size


# The more usual ones first.
MASK_MISTAKES = (
    "no mask",
    "mask inverted",
    "shift kept on a one-window axis",
    "shift dropped on all axes",
    "one-window test on the first axis only",
    "window shrunk on all axes",
    "real tokens see padding",
    "regions from the unpadded size",
    "padding mask not rolled",
    "labels not rolled",
    "labels rolled the wrong way",
    "labels of the plain windows",
    "labels of the axes added",
    "only the first axis masked",
    "only the last axis masked",
    "seam at the wrong token",
    "seam one token too early",
    "seam one token too late",
    "strips cut at window - shift",
    "shifts of the axes swapped in the mask",
    "labels read as w by h",
    "column-first tokens in the mask",
    "column-first windows in the mask",
    "first window's mask for all",
    "last window's mask for all",
    "only the last window masked",
    "ends joined to a ring",
    "custom shift replaced",
    "not shifted",
    "shifted on one axis only",
    "masked in one direction only",
    "compared with the first token only",
    "token may not see itself",
    "look-ahead mask besides",
    "cut without moving axes",
    "mask of the wrong size of map",
)

# Each mistake: a geometry at which it shows alone, and where to look.
BLOCKS = {
    "seam at the wrong token": (
        (8, 8, 4, 1),
        "Where is the cut in the last window, and where should it be? Some shifts hide it.",
    ),
    "padding mask not rolled": (
        (7, 7, 4, 2),
        "Where does the padding stand once the map is rolled? It needs padding and a roll to show.",
    ),
    "labels read as w by h": (
        (8, 12, 4, 2),
        "`[::-1]` turns (height, width) around. On which maps does that change nothing?",
    ),
}

EXERCISES = {
    "same_region": Exercise(
        same_region,
        [
            ((1, 1), (2, 2), 4, 2),
            ((2, 2), (5, 5), 4, 2),
            ((3, 4), (4, 4), 4, 2),
            ((0, 3), (7, 3), 4, 2),
            ((3, 0), (3, 7), 4, 2),
            ((3, 3), (4, 4), 4, 0),
            ((0, 0), (3, 0), 4, 1),
            ((1, 5), (4, 8), 4, 1),
        ],
        draw_pair,
        (
            WrongWay(
                "windows that are not shifted",
                "You used the plain windows. The shifted ones are cut `shift_size` tokens further "
                "down and to the right: subtract the shift before you divide.",
                pair_by(lambda place, m, s: place // m),
            ),
            WrongWay(
                "cut at M - s",
                "You added the shift, which cuts at `window_size - shift_size`. Half a window "
                "hides that. The first cut is at `shift_size`: subtract it.",
                pair_by(lambda place, m, s: (place + s) // m),
            ),
            WrongWay(
                "rounded toward zero",
                "`int(a / b)` rounds toward zero, so the tokens before the first cut land in strip "
                "0 beside those after it. `//` rounds down.",
                pair_by(lambda place, m, s: int((place - s) / m)),
            ),
            WrongWay(
                "or for and",
                "You accept tokens that share a strip on one axis only. It needs both.",
                pair_by(strip_of, any),
            ),
            WrongWay(
                "only the rows compared",
                "You compared the rows alone. Tokens of one row can stand in different windows.",
                pair_by(strip_of, lambda agree: agree[0]),
            ),
            WrongWay(
                "only the columns compared",
                "You compared the columns alone. Tokens of one column can stand in different "
                "windows.",
                pair_by(strip_of, lambda agree: agree[1]),
            ),
            WrongWay(
                "sliding windows",
                "You asked whether the tokens are less than a window apart. That is a window that "
                "slides with its query. Swin's windows tile: neighbors can be in different ones.",
                lambda query, key, m, s: all(
                    abs(a - b) < m for a, b in zip(query, key, strict=True)
                ),
            ),
        ),
    ),
    "mask_scores": Exercise(
        mask_scores,
        [
            (random_tensor(1, 1, 4, 4), torch.tensor([[4, 4, 5, 3]])),
            (random_tensor(12, 2, 4, 4), ids_by_window((6, 4), 2, 1)),
        ],
        draw_scores,
        (
            *from_museum(
                scores_of,
                "mask inverted",
                "no mask",
                "masked in one direction only",
                "compared with the first token only",
                "token may not see itself",
                "look-ahead mask",
                "mask of 0 and 1 added",
                "mask added with the wrong sign",
                "queries masked in place of keys",
            ),
            WrongWay(
                "-100 for minus infinity",
                "You added -100, as the official code does. A forbidden score that leads by 100 "
                "gets through. Use `float('-inf')`.",
                scores_as(lambda scores, allowed: forbid(scores, allowed, -100.0)),
            ),
            known_mistake(
                "scores multiplied by the mask",
                scores_as(lambda scores, allowed: scores * allowed),
            ),
            known_mistake("repeat_interleave for repeat", scores_as(windows_before_images)),
            known_mistake(
                "first window's mask for all",
                scores_as(lambda scores, allowed: forbid(scores, allowed[:1])),
            ),
            known_mistake(
                "last window's mask for all",
                scores_as(lambda scores, allowed: forbid(scores, allowed[-1:])),
            ),
            known_mistake("one head only", scores_as(one_head)),
        ),
    ),
    "combine_axes": Exercise(
        combine_axes,
        [
            (Axis(4, 2, 1).mask(), Axis(6, 3, 1).mask()),
            (Axis(6, 3, 2).mask(), Axis(2, 2, 0).mask()),
            (Axis(5, 2, 1).mask(), Axis(7, 4, 1).mask()),
        ],
        draw_two_axes,
        (
            WrongWay(
                "or for and",
                "You allowed a pair that is right on one axis only. It needs both: combine with "
                "`&`.",
                lambda rows, columns: ~combine_axes(~rows, ~columns),
            ),
            WrongWay(
                "columns first",
                "You let the columns vary slowest. Windows are numbered row by row, and so are the "
                "tokens in them: the rows' axes come before the columns'.",
                lambda rows, columns: combine_axes(columns, rows),
            ),
            WrongWay(
                "column-first windows",
                "The tokens are in order, but the windows are numbered column by column. Put the "
                "rows' windows before the columns'.",
                lambda rows, columns: rearrange(
                    combine_axes(rows, columns), "(r c) q k -> (c r) q k", r=len(rows)
                ),
            ),
            WrongWay(
                "column-first tokens",
                "The windows are in order, but the tokens in them are numbered column by column. "
                "Put the rows' tokens before the columns'.",
                lambda rows, columns: rearrange(
                    combine_axes(rows, columns),
                    "n (q p) (k l) -> n (p q) (l k)",
                    q=rows.shape[1],
                    k=rows.shape[1],
                ),
            ),
            WrongWay(
                "only the rows masked",
                "You used the mask of the rows alone. Two tokens in one strip of rows can still "
                "come from opposite sides of the photograph.",
                lambda rows, columns: combine_axes(rows, torch.ones_like(columns)),
            ),
            WrongWay(
                "only the columns masked",
                "You used the mask of the columns alone. Two tokens in one strip of columns can "
                "still come from the top and the bottom of the photograph.",
                lambda rows, columns: combine_axes(torch.ones_like(rows), columns),
            ),
        ),
        picture="mask",
    ),
    "mask_from_nothing": Exercise(
        mask_from_nothing,
        [
            ((4, 6), (2, 2), (1, 1)),
            ((4, 9), (2, 3), (1, 2)),
            ((6, 8), (3, 4), (0, 1)),
            ((3, 6), (3, 3), (1, 1)),
            ((5, 4), (2, 4), (1, 3)),
            ((5, 7), (4, 3), (1, 2)),
        ],
        draw_geometry,
        (
            *from_museum(mask_of, *MASK_MISTAKES),
            WrongWay(
                "width before height",
                "Your windows and tokens are numbered column by column, as if each pair began with "
                "the width. Rows come first: in the pairs and in the numbering.",
                lambda *pairs: shifted_window_mask(*(pair[::-1] for pair in pairs)),
            ),
            WrongWay(
                "height and width of the map swapped",
                "You read the map's size as (width, height), but not its windows. All three pairs "
                "begin with the height.",
                lambda size, window, shift: shifted_window_mask(size[::-1], window, shift),
            ),
        ),
        picture="mask",
    ),
    **{
        f"block_3{letter}": find_the_bug(
            mistake, solution, nudge, wrong_alone(*BLOCKS.keys() - {mistake})
        )
        for letter, (mistake, (solution, nudge)) in zip("abc", BLOCKS.items(), strict=True)
    },
}
