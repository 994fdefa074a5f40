"""Chapter 05, masks compared: other masks, and other ways to write one."""

import random
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from swin_tutorial.exercises.answers import difference
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


# --- 5.2: a decoder's mask ---


def decoder_mask(lengths: Tensor, tokens: int) -> Tensor:
    return look_ahead_mask(tokens) & padding_mask(lengths, tokens)


def judge_decoder(answer: Any, lengths: Tensor, tokens: int) -> str:
    """Say what is wrong with a decoder's mask; a row of padding may hold any earlier padding."""
    expected = decoder_mask(lengths, tokens)
    answer = torch.as_tensor(answer) if isinstance(answer, np.ndarray) else answer
    if (
        not isinstance(answer, Tensor)
        or answer.shape != expected.shape
        or answer.dtype != torch.bool
    ):
        return difference("Your mask", answer, expected)
    real = is_real(lengths, tokens)[:, :, None]
    wrong = torch.where(real, answer != expected, answer & ~expected)
    if wrong.any():
        sentence, query, key = wrong.nonzero()[0].tolist()
        kind = "real" if query < int(lengths[sentence]) else "padding"
        verb = "may not" if answer[sentence, query, key] else "should"
        return f"In sentence {sentence}, query {query} ({kind}) {verb} attend to key {key}."
    if not answer.any(-1).all():
        sentence, query = (~answer.any(-1)).nonzero()[0].tolist()
        return f"In sentence {sentence}, the row of query {query} is empty, so its softmax is nan."
    return ""


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
    "decoder_mask": Exercise(
        decoder_mask,
        [(torch.tensor([2]), 3), (torch.tensor([3, 5, 1]), 5), (torch.tensor([0, 4]), 4)],
        draw_decoder,
        DECODER_WAYS,
        judge_decoder,
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
