"""Chapter 06, from block to model: a block's branches, tokens of a stage, merging, drop path."""

import math
import random

import torch
from einops import rearrange
from torch import Tensor

from swin_tutorial.exercises.branches import (
    Branch,
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

# --- 6.1: a block ---

swin_block = block_of(two_branches, norm_before)


def added_to_normed_copies(x: Tensor, norm1: Branch, attend: Branch, norm2: Branch, mlp: Branch):
    x = norm1(x) + attend(norm1(x))
    return x + mlp(norm2(x))


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
    WrongWay(
        "attention added to the normed map",
        "Your first sum starts from norm1(x). Only attention reads the normed copy: add its output "
        "to x itself.",
        added_to_normed_copies,
    ),
    WrongWay(
        "MLP added to the normed map",
        "Your second sum starts from norm2(x). Only the MLP reads the normed copy: add its output "
        "to x itself.",
        lambda x, norm1, attend, norm2, mlp: (y := norm2(x + attend(norm1(x)))) + mlp(y),
    ),
    *structure_ways(norm_before),
)


# --- 6.3: the tokens of a stage ---


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
    WrongWay(
        "odd row dropped at a merging",
        "You rounded up to whole patches, but down at the mergings. There an odd side is padded "
        "too: round up again.",
        lambda height, width, stage: (
            (math.ceil(height / 4) // 2**stage) * (math.ceil(width / 4) // 2**stage)
        ),
    ),
    WrongWay(
        "last pixels dropped",
        "You rounded up at the mergings, but down to whole patches. The image is padded as well: "
        "round up there too.",
        lambda height, width, stage: (
            math.ceil(height // 4 / 2**stage) * math.ceil(width // 4 / 2**stage)
        ),
    ),
    WrongWay(
        "rounded to the nearest",
        "You rounded to the nearest number. Whatever is left over gets a token: always round up.",
        lambda height, width, stage: round(height / (4 * 2**stage)) * round(width / (4 * 2**stage)),
    ),
    WrongWay(
        "stages added, not multiplied",
        "You divided each side by 4 · (stage + 1). Every merging halves it again: after s of them "
        "a token has 4 · 2**s pixels a side.",
        lambda height, width, stage: (
            math.ceil(height / (4 * (stage + 1))) * math.ceil(width / (4 * (stage + 1)))
        ),
    ),
    WrongWay(
        "a quarter of each side",
        "You divided each side by 4 at every merging. The number of tokens falls to a quarter, a "
        "side to a half.",
        lambda height, width, stage: (
            math.ceil(height / (4 * 4**stage)) * math.ceil(width / (4 * 4**stage))
        ),
    ),
)


def draw_stage(rng: random.Random) -> tuple:
    return rng.randint(30, 300), rng.randint(30, 300), rng.randint(0, 3)


# --- 6.4: undo the joining ---


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


# --- 6.2: drop path ---


def drop_path(branch: Tensor, keep: Tensor, rate: float) -> Tensor:
    return branch * keep[:, None, None, None] / (1 - rate)


DROP_WAYS = (
    WrongWay(
        "not scaled up",
        "The right branches are gone, but what stays must grow by 1 / (1 - rate), so that the mean "
        "over many steps is what the model computes at test time.",
        lambda branch, keep, rate: branch * keep[:, None, None, None],
    ),
    WrongWay(
        "divided by the rate",
        "You divided by the probability of losing a branch. Divide by the probability of keeping "
        "it, 1 - rate.",
        lambda branch, keep, rate: branch * keep[:, None, None, None] / rate,
    ),
    WrongWay(
        "scaled down",
        "You multiplied by 1 - rate. What stays must make up for what is missing: divide.",
        lambda branch, keep, rate: drop_path(branch, keep, rate) * (1 - rate) ** 2,
    ),
    WrongWay(
        "the others dropped",
        "True means that the picture *keeps* its branch. You dropped those.",
        lambda branch, keep, rate: drop_path(branch, ~keep, rate),
    ),
    WrongWay(
        "channels dropped",
        "`branch * keep` lines up with the *last* axis: you dropped channels. There is one boolean "
        "for each picture: keep[:, None, None, None].",
        lambda branch, keep, rate: branch * keep / (1 - rate),
    ),
    WrongWay(
        "columns dropped",
        "`keep[:, None]` lines up with the columns of the map. There is one boolean for each "
        "picture, so three axes must follow it: keep[:, None, None, None].",
        lambda branch, keep, rate: branch * keep[:, None] / (1 - rate),
    ),
    WrongWay(
        "rows dropped",
        "`keep[:, None, None]` lines up with the rows of the map. There is one boolean for each "
        "picture, so three axes must follow it: keep[:, None, None, None].",
        lambda branch, keep, rate: branch * keep[:, None, None] / (1 - rate),
    ),
    WrongWay(
        "pictures removed",
        "You removed the pictures from the batch. A picture that loses its branch still has its "
        "map: return zeros for it.",
        lambda branch, keep, rate: branch[keep] / (1 - rate),
    ),
)


def drop_case(size: tuple[int, int, int, int], keep: list[bool], rate: float) -> tuple:
    return random_tensor(*size), torch.tensor(keep), rate


def draw_drop(rng: random.Random) -> tuple:
    """Return a branch whose axes may all be as long as the batch, so that none fails by chance."""
    batch = rng.randint(2, 4)
    others = [batch] * 3 if rng.random() < 0.5 else [rng.randint(1, 4) for _ in range(3)]
    keep = [rng.random() < 0.5 for _ in range(batch)]
    return drop_case((batch, *others), keep, rng.choice((0.1, 0.2, 0.3)))


EXERCISES = {
    "swin_block": Exercise(
        swin_block,
        [draw_block(random.Random(99))],
        draw_block,
        BLOCK_WAYS,
    ),
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
    "drop_path": Exercise(
        drop_path,
        [drop_case((3, 3, 3, 3), [True, False, True], 0.2)],
        draw_drop,
        DROP_WAYS,
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
