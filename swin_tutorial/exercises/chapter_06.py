"""Chapter 06, from block to model: tokens of a stage, patch merging, a block's two branches."""

import math
import random

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from swin_tutorial.exercises.branches import (
    Branch,
    Step,
    block_of,
    draw_block,
    norm_after,
    norm_before,
    normed_shortcut,
    post_norm,
    structure_ways,
    two_branches,
)
from swin_tutorial.exercises.bugs import find_the_bug
from swin_tutorial.exercises.exercise import Exercise, WrongWay, random_tensor
from swin_tutorial.windows import pad_to_windows

# --- 6.1: the tokens of a stage ---


def tokens_in_stage(height: int, width: int, stage: int) -> int:
    pixels = 4 * 2**stage  # rounding up step by step is rounding up once
    return math.ceil(height / pixels) * math.ceil(width / pixels)


STAGE_WAYS = (
    WrongWay(
        "rounded down",
        "You lose the pixels that do not fill a token. Odd sides are padded, so round up: "
        "-(-a // b), or math.ceil.",
        lambda height, width, stage: (height // (4 * 2**stage)) * (width // (4 * 2**stage)),
    ),
    WrongWay(
        "stages counted from 1",
        "You halved once too few: stage 0 has not been merged, stage 1 once. A token of stage s "
        "has 4 · 2**s pixels a side.",
        lambda height, width, stage: tokens_in_stage(height, width, stage - 1),
    ),
    WrongWay(
        "halved once too often",
        "You halved the map of stage 0 already. Merging stands *between* stages: stage s has "
        "seen s of them.",
        lambda height, width, stage: tokens_in_stage(height, width, stage + 1),
    ),
    WrongWay(
        "patches forgotten",
        "You counted pixels as tokens. Patch embedding comes first and makes one token of "
        "4 × 4 pixels.",
        lambda height, width, stage: tokens_in_stage(4 * height, 4 * width, stage),
    ),
    WrongWay(
        "a half for a quarter",
        "You halved the number of tokens at each merging. Merging joins 2 × 2 tokens, so both "
        "sides are halved.",
        lambda height, width, stage: math.ceil(tokens_in_stage(height, width, 0) / 2**stage),
    ),
    WrongWay(
        "rounded the product",
        "You rounded the number of tokens. Each side is padded by itself: round the two sides, "
        "then multiply.",
        lambda height, width, stage: math.ceil(height * width / (4 * 2**stage) ** 2),
    ),
    WrongWay(
        "sides for tokens",
        "You gave the map's height and width. The question is for the number of tokens, their "
        "product.",
        lambda height, width, stage: (
            math.ceil(height / (4 * 2**stage)),
            math.ceil(width / (4 * 2**stage)),
        ),
    ),
)


def draw_stage(rng: random.Random) -> tuple:
    return rng.randint(30, 300), rng.randint(30, 300), rng.randint(0, 3)


# --- 6.2: undo the joining ---


def split_four(x: Tensor) -> Tensor:
    return rearrange(x, "b h w (column row c) -> b (h row) (w column) c", row=2, column=2)


def by_pattern(pattern: str):
    """Return an attempt at splitting that is one rearrangement."""
    return lambda x: rearrange(x, pattern, row=2, column=2)


SPLIT_WAYS = (
    WrongWay(
        "rows before columns",
        "Your upper right and lower left tokens are exchanged. The official order goes down the "
        "first column and then the second: the row changes fastest.",
        by_pattern("b h w (row column c) -> b (h row) (w column) c"),
    ),
    WrongWay(
        "channels cut the other way",
        "You took every fourth channel for a token. The four tokens lie one after the other, C "
        "channels each, so c comes last in the brackets.",
        by_pattern("b h w (c column row) -> b (h row) (w column) c"),
    ),
    WrongWay(
        "pixel shuffle",
        "This is the order of PyTorch's pixel_shuffle: every fourth channel, and rows before "
        "columns. Here the four tokens lie one after the other, down the first column first.",
        by_pattern("b h w (c row column) -> b (h row) (w column) c"),
    ),
    WrongWay(
        "four quarters",
        "You put four copies of the small map side by side. The four tokens of a group are "
        "neighbors: inside its brackets, h comes before row.",
        by_pattern("b h w (column row c) -> b (row h) (column w) c"),
    ),
    WrongWay(
        "only reshaped",
        "You read the numbers in the order in which they lie in memory. The four tokens of a "
        "group belong to two rows of the map, so the axes must change places as well.",
        lambda x: x.reshape(len(x), 2 * x.shape[1], 2 * x.shape[2], -1),
    ),
)


def numbered(*shape: int) -> Tensor:
    """Return a map in which every number occurs once."""
    return torch.arange(math.prod(shape)).view(shape)


def draw_split(rng: random.Random) -> tuple:
    batch, height, width, dim = (rng.randint(1, top) for top in (2, 3, 4, 3))
    return (numbered(batch, height, width, 4 * dim),)


# --- 6.3: patch merging ---


def merge_patches(x: Tensor, norm: Branch, reduction: Branch) -> Tensor:
    return reduction(norm(join_four(pad_to_windows(x, 2))))


def join_four(x: Tensor, order: str = "column row c") -> Tensor:
    """Make one token of each 2 x 2 tokens."""
    return rearrange(x, f"b (h row) (w column) c -> b h w ({order})", row=2, column=2)


def join_quarters(x: Tensor) -> Tensor:
    """Make one token of four that lie half a map apart."""
    return rearrange(x, "b (row h) (column w) c -> b h w (column row c)", row=2, column=2)


def merging_of(joined):
    """Return an attempt at merging that joins the four tokens in its own way."""
    return lambda x, norm, reduction: reduction(norm(joined(x)))


MERGING_WAYS = (
    WrongWay(
        "rows before columns",
        "Your upper right and lower left tokens are exchanged, and published weights would read "
        "them wrongly. Go down the first column, then down the second: the row changes fastest.",
        merging_of(lambda x: join_four(pad_to_windows(x, 2), "row column c")),
    ),
    WrongWay(
        "odd maps fail",
        "Even maps are right, odd ones fail. Add a row or a column of zeros at the end first: "
        "F.pad(x, (0, 0, 0, width % 2, 0, height % 2)).",
        merging_of(join_four),
    ),
    WrongWay(
        "padding counted from the front",
        "F.pad counts axes from the last one: channels first, then width, then height. You gave "
        "the width the height's padding.",
        merging_of(lambda x: join_four(F.pad(x, (0, 0, 0, x.shape[1] % 2, 0, x.shape[2] % 2)))),
    ),
    WrongWay(
        "last row dropped",
        "You left out the last row or column of an odd map, so some tokens vanish. Pad with "
        "zeros instead.",
        merging_of(lambda x: join_four(x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2])),
    ),
    WrongWay(
        "padded in front",
        "You added the zeros at the top and the left, so every group of four is another one. Add "
        "them at the bottom and the right.",
        merging_of(lambda x: join_four(F.pad(x, (0, 0, x.shape[2] % 2, 0, x.shape[1] % 2, 0)))),
    ),
    WrongWay(
        "no norm",
        "You joined and reduced, but left the norm out. V1 normalizes the four joined tokens "
        "before the linear layer.",
        lambda x, norm, reduction: reduction(join_four(pad_to_windows(x, 2))),
    ),
    WrongWay(
        "four quarters joined",
        "You joined tokens that lie half a map apart. The four of a group are neighbors: take "
        "every second row and column, x[:, row::2, column::2].",
        merging_of(lambda x: join_quarters(pad_to_windows(x, 2))),
    ),
    WrongWay(
        "repeated at the edge",
        "You repeated the last row or column. Pad with zeros.",
        merging_of(lambda x: join_four(with_repeated_edge(x))),
    ),
)


def with_repeated_edge(x: Tensor) -> Tensor:
    for axis in (1, 2):
        if x.shape[axis] % 2:
            x = torch.cat([x, x.narrow(axis, x.shape[axis] - 1, 1)], axis)
    return x


def merging_case(batch: int, height: int, width: int, dim: int) -> tuple:
    """Return a map, and a norm and a linear layer for it."""
    norm = Step("norm", random_tensor(4 * dim, 4 * dim))
    reduction = Step("reduction", random_tensor(4 * dim, 2 * dim))
    return random_tensor(batch, height, width, dim), norm, reduction


def draw_merging(rng: random.Random) -> tuple:
    height, width = rng.sample(range(2, 7), 2)
    return merging_case(rng.randint(1, 2), height, width, rng.randint(1, 3))


# --- 6.4: a block ---

swin_block = block_of(two_branches, norm_before)

BLOCK_WAYS = (
    WrongWay(
        "norm after the sum",
        "You normalized the sum, as the first Transformer did. Swin normalizes the copy that a "
        "branch reads and leaves the map itself alone.",
        post_norm,
    ),
    WrongWay(
        "norm after the branch",
        "You normalized what comes out of each branch. That is Swin V2 (chapter 11). V1 "
        "normalizes what goes in.",
        block_of(two_branches, norm_after),
    ),
    WrongWay(
        "the normed map is kept",
        "You replaced the map by its normed copy and added to that. Only the branch reads the "
        "copy; its output is added to the map as it was.",
        normed_shortcut,
    ),
    *structure_ways(norm_before),
)


EXERCISES = {
    "tokens_in_stage": Exercise(
        tokens_in_stage,
        [(224, 224, 0), (224, 224, 3), (45, 30, 1), (300, 180, 3)],
        draw_stage,
        STAGE_WAYS,
    ),
    "split_four": Exercise(
        split_four,
        [(numbered(1, 1, 1, 4),), (numbered(1, 2, 3, 8),)],
        draw_split,
        SPLIT_WAYS,
    ),
    "merge_patches": Exercise(
        merge_patches,
        [merging_case(1, 4, 6, 2), merging_case(1, 3, 5, 2)],
        draw_merging,
        MERGING_WAYS,
    ),
    "swin_block": Exercise(
        swin_block,
        [draw_block(random.Random(99))],
        draw_block,
        BLOCK_WAYS,
    ),
    "block_6a": find_the_bug(
        "H = W = √L guessed",
        (4, 9, 3, 1),
        "It takes the map for another one, unless the map has a certain shape. Which?",
    ),
    "block_6b": find_the_bug(
        "window shrunk on all axes",
        (4, 8, 4, 2),
        "The first lines run only if one window spans an axis. What happens to the *other* axis?",
    ),
    "block_6c": find_the_bug(
        "custom shift replaced",
        (8, 12, 4, 1),
        "Which shift does it use, and which one did you ask for? For many shifts the two agree.",
    ),
}
