"""Chapter 05, masks compared: other masks, and other ways to write one."""

import random

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from swin_tutorial.exercises.bugs import find_the_bug
from swin_tutorial.exercises.exercise import Exercise, WrongWay
from swin_tutorial.masks import (
    additive_mask,
    look_ahead_mask,
    padding_mask,
    shifted_window_mask,
)

MASK = shifted_window_mask((6, 9), 3, 1)


# --- 5.1: the mask of nn.MultiheadAttention ---


def mask_for_multihead(mask: Tensor, heads: int) -> Tensor:
    return (~mask).repeat_interleave(heads, dim=0)


MULTIHEAD_WAYS = (
    WrongWay(
        "not inverted",
        "Your True still means *may attend*. nn.MultiheadAttention reads True as *may not*: "
        "invert the mask with ~.",
        lambda mask, heads: mask.repeat_interleave(heads, dim=0),
    ),
    WrongWay(
        "all windows once per head",
        "You repeated the whole list: window 0, 1, 2, then window 0 again. The heads of a window "
        "stand one after the other: use repeat_interleave.",
        lambda mask, heads: (~mask).repeat(heads, 1, 1),
    ),
    WrongWay(
        "all windows once per head, not inverted",
        "Two things. The heads of a window stand one after the other, so use repeat_interleave. "
        "And True must mean *may not*: invert with ~.",
        lambda mask, heads: mask.repeat(heads, 1, 1),
    ),
    WrongWay(
        "no heads",
        "You inverted the mask, but there is one matrix per window. There must be one per window "
        "and head: repeat each `heads` times.",
        lambda mask, heads: ~mask,
    ),
    WrongWay(
        "an axis of its own for the heads",
        "Your mask has four axes. nn.MultiheadAttention takes three: windows and heads share the "
        "first, so flatten the two.",
        lambda mask, heads: (~mask)[:, None].expand(-1, heads, -1, -1),
    ),
    WrongWay(
        "0 and minus infinity",
        "You made the mask that is added to the scores. nn.MultiheadAttention would take that "
        "too, but this exercise asks for booleans, True for what is forbidden.",
        lambda mask, heads: additive_mask(mask).repeat_interleave(heads, dim=0),
    ),
    WrongWay(
        "queries repeated",
        "You repeated the rows of each mask, so there are more queries than tokens. Repeat along "
        "the axis of the windows, dim=0.",
        lambda mask, heads: (~mask).repeat_interleave(heads, dim=1),
    ),
)


def draw_multihead(rng: random.Random) -> tuple:
    windows, tokens = rng.randint(2, 4), rng.randint(2, 5)
    mask = torch.tensor([rng.random() < 0.5 for _ in range(windows * tokens * tokens)])
    mask = mask.view(windows, tokens, tokens) | torch.eye(tokens, dtype=torch.bool)
    return mask, rng.randint(2, 4)


# --- 5.2: a sliding window ---


def distances(height: int, width: int) -> Int[Tensor, "2 tokens tokens"]:
    """Return how many rows and columns each key lies after each query."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([row.flatten(), column.flatten()])
    return place[:, None, :] - place[:, :, None]


def sliding_window_mask(height: int, width: int, radius: int) -> Tensor:
    return (distances(height, width).abs() <= radius).all(0)


def height_for_width(height: int, width: int, radius: int) -> Bool[Tensor, "tokens tokens"]:
    token = torch.arange(height * width)
    place = torch.stack([token // height, token % height])
    return ((place[:, None, :] - place[:, :, None]).abs() <= radius).all(0)


def along_the_list(height: int, width: int, radius: int) -> Bool[Tensor, "tokens tokens"]:
    token = torch.arange(height * width)
    return (token[:, None] - token[None, :]).abs() <= radius


SLIDING_WAYS = (
    WrongWay(
        "radius excluded",
        'Keys exactly `radius` away are missing. "At most" includes them: <=, not <.',
        lambda height, width, radius: (distances(height, width).abs() < radius).all(0),
    ),
    WrongWay(
        "rows or columns",
        "Your keys form a cross: near in rows *or* near in columns. Both must hold, so join the "
        "two conditions with &.",
        lambda height, width, radius: (distances(height, width).abs() <= radius).any(0),
    ),
    WrongWay(
        "no absolute value",
        "You took the difference without its sign in mind: on one side every key passes. Compare "
        "the absolute value, .abs().",
        lambda height, width, radius: (-distances(height, width) <= radius).all(0),
    ),
    WrongWay(
        "height for width",
        "You divided by the height. Tokens are numbered along the rows, so a row has `width` of "
        "them: row = token // width, column = token % width.",
        height_for_width,
    ),
    WrongWay(
        "one long row",
        "You compared the tokens' numbers. The last token of a row and the first of the next are "
        "neighbors in number only: compare rows and columns apart.",
        along_the_list,
    ),
    WrongWay(
        "a diamond",
        "You added the two distances. Then a key in the corner of the window is too far. Test "
        "rows and columns one by one.",
        lambda height, width, radius: distances(height, width).abs().sum(0) <= radius,
    ),
    WrongWay(
        "a disk",
        "You measured the straight distance, so the corners of the window are missing. Test rows "
        "and columns one by one.",
        lambda height, width, radius: distances(height, width).square().sum(0) <= radius**2,
    ),
    WrongWay(
        "rows alone",
        "Your window is as wide as the map: you tested the rows alone. The columns must be near "
        "as well.",
        lambda height, width, radius: distances(height, width)[0].abs() <= radius,
    ),
)


def draw_sliding(rng: random.Random) -> tuple:
    height = rng.randint(2, 4)
    width = rng.choice([side for side in range(2, 6) if side != height])
    return height, width, rng.randint(0, 3)


# --- 5.3: a decoder's mask ---


def decoder_mask(lengths: Tensor, tokens: int) -> Tensor:
    return look_ahead_mask(tokens) & padding_mask(lengths, tokens)


def is_real(lengths: Tensor, tokens: int) -> Bool[Tensor, "n tokens"]:
    """Return which tokens of each sentence are no padding."""
    return torch.arange(tokens) < torch.as_tensor(lengths)[:, None]


DECODER_WAYS = (
    WrongWay(
        "no padding mask",
        "Your padding still looks at real tokens. Join the look-ahead mask with the padding mask "
        "of the lengths.",
        lambda lengths, tokens: look_ahead_mask(tokens).expand(len(lengths), -1, -1),
    ),
    WrongWay(
        "no look-ahead mask",
        "Your tokens see the future of their sentence. Join the padding mask with the look-ahead "
        "mask.",
        lambda lengths, tokens: padding_mask(lengths, tokens),
    ),
    WrongWay(
        "or for and",
        "A pair that one mask forbids is allowed if the other allows it. Both must allow it: use "
        "& where you have |.",
        lambda lengths, tokens: look_ahead_mask(tokens) | padding_mask(lengths, tokens),
    ),
    WrongWay(
        "only keys are padding",
        "You forbid padding as a key, but padding queries still see real tokens. A pair is "
        "allowed if both are real or both are padding.",
        lambda lengths, tokens: look_ahead_mask(tokens) & is_real(lengths, tokens)[:, None, :],
    ),
    WrongWay(
        "empty rows",
        "Your padding attends to nothing, so its softmax is nan. Let padding see padding: a pair "
        "is allowed if both are real or both are not.",
        lambda lengths, tokens: (
            look_ahead_mask(tokens)
            & is_real(lengths, tokens)[:, None, :]
            & is_real(lengths, tokens)[:, :, None]
        ),
    ),
    WrongWay(
        "looks ahead only",
        "Your queries see what comes later and not what came before. Rows are queries: key "
        "<= query, the lower triangle.",
        lambda lengths, tokens: look_ahead_mask(tokens).T & padding_mask(lengths, tokens),
    ),
    WrongWay(
        "no token sees itself",
        "Your triangle leaves the diagonal out, so the first row is empty and its softmax nan. A "
        "token may attend to itself.",
        lambda lengths, tokens: (
            look_ahead_mask(tokens) & padding_mask(lengths, tokens)
        ).logical_and(~torch.eye(tokens, dtype=torch.bool)),
    ),
    WrongWay(
        "inverted",
        "Your True means *forbidden*. In this series True means *may attend*: invert the mask "
        "with ~.",
        lambda lengths, tokens: ~decoder_mask(lengths, tokens),
    ),
)


def draw_decoder(rng: random.Random) -> tuple:
    sentences, tokens = rng.randint(2, 4), rng.randint(3, 6)
    return torch.tensor([rng.randint(0, tokens) for _ in range(sentences)]), tokens


EXERCISES = {
    "mask_for_multihead": Exercise(
        mask_for_multihead,
        [(look_ahead_mask(2)[None], 2), (MASK, 1), (MASK, 3)],
        draw_multihead,
        MULTIHEAD_WAYS,
        picture="mask",
    ),
    "sliding_window_mask": Exercise(
        sliding_window_mask,
        [(1, 6, 2), (3, 4, 1), (4, 2, 0), (5, 5, 3)],
        draw_sliding,
        SLIDING_WAYS,
        picture="mask",
    ),
    "decoder_mask": Exercise(
        decoder_mask,
        [(torch.tensor([2]), 3), (torch.tensor([3, 5, 1]), 5), (torch.tensor([0, 4]), 4)],
        draw_decoder,
        DECODER_WAYS,
        picture="mask",
    ),
    "block_5a": find_the_bug(
        "scores multiplied by the mask",
        (8, 12, 4, 2),
        "The mask is 1 everywhere, so nothing is changed by it. Find a map that needs a mask.",
    ),
    "block_5b": find_the_bug(
        "masked in one direction only",
        (8, 12, 4, 2),
        "All tokens of a window have the same label there. Find a window that holds two labels.",
    ),
    "block_5c": find_the_bug(
        "only the last window masked",
        (8, 12, 4, 2),
        "Which windows hold tokens of two regions? Find a map on which more than one of them does.",
    ),
}
