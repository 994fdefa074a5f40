"""Chapter 03, mask construction: label the regions, compare the labels, combine the axes."""

from random import Random

import torch
from einops import rearrange
from torch import Tensor

from swin_tutorial.audit.specimen import Specimen
from swin_tutorial.axis import Axis
from swin_tutorial.exercises.bugs import find_the_bug
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


def region_ids_by_hand(height: int, width: int, window_size: int, shift_size: int) -> Tensor:
    return region_ids((height, width), window_size, shift_size)


def mask_scores(scores: Tensor, ids: Tensor) -> Tensor:
    mask = additive_mask(ids[:, :, None] == ids[:, None, :])
    return scores + mask[:, None].repeat(len(scores) // len(ids), 1, 1, 1)


def combine_axes(rows: Tensor, columns: Tensor) -> Tensor:
    return torch.kron(rows.int(), columns.int()).bool()


def mask_from_nothing(size: Pair, window_size: Pair, shift_size: Pair) -> Tensor:
    return shifted_window_mask(size, window_size, shift_size)


# --- wrong ways ---


def labels_as(
    strips_of_a_row: int = 0, roll_by: int = -1, first: int = 0, combine=None, cut_at: int = 1
):
    """Return a way to label the map that differs from the right one in one argument.

    Args:
        strips_of_a_row: how many strips of columns it counts too few.
        roll_by: the roll, in shifts.
        first: the number of the first label.
        combine: makes a label of a row's strip, a column's strip and the number of these.
        cut_at: where it cuts, in shifts.
    """
    combine = combine or (lambda row, column, count: row * count + column)

    def label(height: int, width: int, m: int, s: int) -> Tensor:
        extra = int(s * cut_at > 0)
        row, column = ((torch.arange(n) - s * cut_at) // m + extra for n in (height, width))
        ids = combine(row[:, None], column[None, :], width // m + extra - strips_of_a_row)
        return torch.roll(ids.expand(height, width), (roll_by * s, roll_by * s), (0, 1)) + first

    return label


def nine_labels(height: int, width: int, m: int, s: int) -> Tensor:
    thirds = slice(0, -m), slice(-m, -s), slice(-s, None)
    ids = torch.zeros(height, width, dtype=torch.int64)
    for label in range(9):
        ids[thirds[label // 3], thirds[label % 3]] = label
    return ids


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


def draw_divided_map(rng: Random) -> tuple[int, int, int, int]:
    window_size = rng.randint(2, 4)
    rows, columns = rng.sample(range(2, 5), 2)
    return rows * window_size, columns * window_size, window_size, rng.randrange(window_size)


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

EXERCISES = {
    "region_ids_by_hand": Exercise(
        region_ids_by_hand,
        [(6, 4, 2, 1), (8, 12, 4, 2), (9, 9, 3, 2), (8, 8, 4, 0)],
        draw_divided_map,
        (
            WrongWay(
                "not rolled",
                "Your numbers are right on the photograph, but they did not take part in the roll. "
                "Roll them by -shift on both axes.",
                labels_as(roll_by=0),
            ),
            WrongWay(
                "rolled the wrong way",
                "You rolled the numbers by +shift: down and to the right. The tokens go up and to "
                "the left.",
                labels_as(roll_by=1),
            ),
            WrongWay(
                "windows that are not shifted",
                "You numbered the windows without a shift. True windows are cut `shift_size` "
                "tokens further down and to the right: subtract it before you divide.",
                labels_as(cut_at=0),
            ),
            WrongWay(
                "cut at M - s",
                "You cut the map at `window_size - shift_size`. Half a window hides that: the "
                "first cut is at `shift_size`.",
                labels_as(cut_at=-1),
            ),
            WrongWay(
                "numbers added",
                "You added the two strips, so different windows got the same number. Multiply the "
                "row's strip by the number of strips of columns first.",
                labels_as(combine=lambda row, column, count: row + column),
            ),
            WrongWay(
                "one strip too few",
                "You multiplied by the number of windows in a row, but a shift makes one strip of "
                "columns more. So the end of one row shares numbers with the next.",
                labels_as(strips_of_a_row=1),
            ),
            WrongWay(
                "only the rows numbered",
                "You numbered the strips of rows alone. Two tokens in one strip of rows can still "
                "be in different columns of windows.",
                labels_as(combine=lambda row, column, count: row),
            ),
            WrongWay(
                "only the columns numbered",
                "You numbered the strips of columns alone. Two tokens in one strip of columns can "
                "still be in different rows of windows.",
                labels_as(combine=lambda row, column, count: column),
            ),
            WrongWay(
                "counted from 1",
                "You counted from 1. These labels would give the right mask, but the numbers that "
                "are asked for begin with 0.",
                labels_as(first=1),
            ),
            WrongWay(
                "nine labels by position",
                "These are the official nine labels. They give the right mask where there is a "
                "shift; here the numbers of the true windows are asked for.",
                nine_labels,
            ),
        ),
        picture="map",
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
        from_museum(mask_of, *MASK_MISTAKES),
        picture="mask",
    ),
    "block_3a": find_the_bug(
        "seam at the wrong token",
        (8, 12, 4, 1),
        "Where is the cut in the last window, and where should it be? Some shifts hide it.",
    ),
    "block_3b": find_the_bug(
        "padding mask not rolled",
        (7, 9, 4, 2),
        "Where does the padding stand once the map is rolled? It needs padding and a roll to show.",
    ),
    "block_3c": find_the_bug(
        "labels read as w by h",
        (8, 12, 4, 1),
        "`[::-1]` turns (height, width) around. On which maps does that change nothing?",
    ),
}
