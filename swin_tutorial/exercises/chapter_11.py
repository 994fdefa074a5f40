"""Chapter 11, Swin V2 and public weights: log offsets, cosine scores, norms after, other names."""

import math
import random
import re

import torch.nn.functional as F
from torch import Tensor

from swin_tutorial.exercises.branches import (
    block_of,
    draw_block,
    norm_after,
    norm_before,
    normed_shortcut,
    post_norm,
    structure_ways,
    two_branches,
)
from swin_tutorial.exercises.exercise import Exercise, WrongWay, random_tensor

# --- 11.1: log-spaced offsets ---


def log_spaced(offset: int, pretrained_window: int) -> float:
    size = math.log2(1 + 8 * abs(offset) / (pretrained_window - 1)) / 3
    return math.copysign(size, offset)


def spaced(size):
    """Return an attempt that gives an offset its sign and a size of its own."""
    return lambda offset, window: math.copysign(size(abs(offset), window), offset)


LOG_WAYS = (
    WrongWay(
        "natural logarithm",
        "You took the natural logarithm, math.log. V2 uses base 2 and divides by 3: math.log2(...) "
        "/ 3, which is a logarithm to base 8.",
        spaced(lambda offset, window: math.log(1 + 8 * offset / (window - 1)) / 3),
    ),
    WrongWay(
        "not divided by 3",
        "Your largest offset gets 3.17 where it should get 1.06. Divide the logarithm by 3.",
        spaced(lambda offset, window: math.log2(1 + 8 * offset / (window - 1))),
    ),
    WrongWay(
        "P for P - 1",
        "You divided by the window's size. Its largest offset is one less, P - 1, and that counts "
        "as 8.",
        spaced(lambda offset, window: math.log2(1 + 8 * offset / window) / 3),
    ),
    WrongWay(
        "not scaled",
        "You took the logarithm of the offset in tokens. Scale it first: the largest offset, "
        "P - 1, counts as 8.",
        spaced(lambda offset, window: math.log2(1 + offset) / 3),
    ),
    WrongWay(
        "scaled to 1",
        "You scaled the largest offset to 1. It counts as 8: multiply by 8 before the logarithm.",
        spaced(lambda offset, window: math.log2(1 + offset / (window - 1)) / 3),
    ),
    WrongWay(
        "sign lost",
        "An offset of -3 and one of 3 get the same value. Give the value the sign of the offset: "
        "math.copysign.",
        lambda offset, window: abs(log_spaced(offset, window)),
    ),
    WrongWay(
        "logarithm of a negative number",
        "Your function fails for negative offsets, since the logarithm is asked for a number below "
        "0. Take the offset's size first, and its sign at the end.",
        lambda offset, window: math.log2(1 + 8 * offset / (window - 1)) / 3,
    ),
    WrongWay(
        "the pretrained window's end cut off",
        "You cut off what lies beyond the pretrained window. A wider window asks for larger "
        "offsets, and the formula goes on.",
        spaced(lambda offset, window: log_spaced(min(offset, window - 1), window)),
    ),
)


def draw_offset(rng: random.Random) -> tuple:
    return rng.choice([-1, 1]) * rng.randint(1, 23), rng.randint(4, 12)


# --- 11.2: cosine scores ---


def cosine_scores(q: Tensor, k: Tensor, scale: float) -> Tensor:
    return scale * F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).T


COSINE_WAYS = (
    WrongWay(
        "dot product",
        "You took V1's scores, the bare product. Give every query and key the length 1 first: "
        "divide each row by its norm.",
        lambda q, k, scale: scale * q @ k.T,
    ),
    WrongWay(
        "dot product by the root of d",
        "You divided by the root of the channels, as V1 does. V2 divides each row by its own norm.",
        lambda q, k, scale: scale * q @ k.T / q.shape[-1] ** 0.5,
    ),
    WrongWay(
        "only queries normed",
        "Your keys keep their length, so a long key still wins. Divide the rows of `k` by their "
        "norms as well.",
        lambda q, k, scale: scale * F.normalize(q, dim=-1) @ k.T,
    ),
    WrongWay(
        "normed over tokens",
        "You divided each channel by its norm over the tokens. Each *token* gets the length 1: "
        "dim=-1.",
        lambda q, k, scale: scale * F.normalize(q, dim=0) @ F.normalize(k, dim=0).T,
    ),
    WrongWay(
        "one norm for all",
        "You divided by the norm of the whole matrix. Each row has its own: "
        "q.norm(dim=-1, keepdim=True).",
        lambda q, k, scale: scale * (q / q.norm()) @ (k / k.norm()).T,
    ),
    WrongWay(
        "no scale",
        "Your scores lie between -1 and 1, too close together for softmax. Multiply by `scale`.",
        lambda q, k, scale: cosine_scores(q, k, 1.0),
    ),
    WrongWay(
        "divided by the scale",
        "You divided by `scale`. It is a factor: it makes the scores larger.",
        lambda q, k, scale: cosine_scores(q, k, 1 / scale),
    ),
    WrongWay(
        "keys first",
        "Your rows are keys. Queries come first: q @ k.T, not k @ q.T.",
        lambda q, k, scale: cosine_scores(k, q, scale),
    ),
)


def draw_cosine(rng: random.Random) -> tuple:
    tokens, dim = rng.randint(2, 6), rng.randint(2, 8)
    q, k = random_tensor(2, tokens, dim)
    return q, rng.choice([0.5, 3.0]) * k, round(rng.uniform(2, 100), 1)


# --- 11.3: the norm after the branch ---

swin_v2_block = block_of(two_branches, norm_after)

BLOCK_WAYS = (
    WrongWay(
        "norm before the branch",
        "This is V1's block: the branch reads a normed copy. V2's branch reads the map itself, and "
        "what it returns is normed.",
        block_of(two_branches, norm_before),
    ),
    WrongWay(
        "norm after the sum",
        "You normed the sum, as the first Transformer did. V2 norms the branch's output and then "
        "adds it: the map itself is never normed.",
        post_norm,
    ),
    WrongWay(
        "the normed map is kept",
        "You replaced the map by its normed copy. In V2 only what a branch returns is normed, "
        "before it is added.",
        normed_shortcut,
    ),
    *structure_ways(norm_after),
)


# --- 11.4: other names for the same tensors ---


def official_name(name: str) -> str:
    name = re.sub(
        r"^layers\.(\d+)\.downsample\.", lambda m: f"layers.{int(m[1]) - 1}.downsample.", name
    )
    return re.sub(r"^head\.fc\.", "head.", name)


def other_stage(step: int):
    """Return an attempt that counts the stages of merging layers otherwise."""
    return lambda name: re.sub(
        r"^layers\.(\d+)\.downsample",
        lambda m: f"layers.{int(m[1]) + step}.downsample",
        name.replace("head.fc.", "head."),
    )


def all_stages(name: str) -> str:
    name = re.sub(r"^layers\.(\d+)\.", lambda m: f"layers.{int(m[1]) - 1}.", name)
    return name.replace("head.fc.", "head.")


def replaced_in_a_chain(name: str) -> str:
    for stage in (3, 2, 1):
        name = name.replace(f"layers.{stage}.downsample", f"layers.{stage - 1}.downsample")
    return name.replace("head.fc.", "head.")


NAME_WAYS = (
    WrongWay(
        "merging not moved",
        "You left the merging layers where timm has them. timm counts a merging layer to the stage "
        "after it, the official code to the one before: subtract 1.",
        other_stage(0),
    ),
    WrongWay(
        "merging moved the wrong way",
        "You added 1. From timm's number to the official one it is one less.",
        other_stage(1),
    ),
    WrongWay(
        "blocks moved as well",
        "You moved whole stages, blocks included. Only names with .downsample. get another number.",
        all_stages,
    ),
    WrongWay(
        "replaced in a chain",
        "Your replacements meet each other's results: 3 becomes 2, then 1, then 0. Read the number "
        "once, or go through the stages from 1 upwards.",
        replaced_in_a_chain,
    ),
    WrongWay(
        "only the first merging layer",
        "You moved the merging layer of stage 1 alone. There are three of them, in stages 1 to 3.",
        lambda name: name.replace("layers.1.downsample", "layers.0.downsample").replace(
            "head.fc.", "head."
        ),
    ),
    WrongWay(
        "head left",
        "The merging layers are right. The head has another name as well: head.fc.weight is "
        "head.weight officially.",
        lambda name: official_name(name) if "downsample" in name else name,
    ),
    WrongWay(
        "every fc",
        "You took .fc out of other names, too: the MLP's fc1 and fc2 keep theirs. Replace "
        '"head.fc." only.',
        lambda name: other_stage(-1)(name).replace("fc", "").replace("..", "."),
    ),
)

NAMES = (
    "layers.{stage}.blocks.{block}.norm1.weight",
    "layers.{stage}.blocks.{block}.attn.qkv.bias",
    "layers.{stage}.blocks.{block}.mlp.fc1.weight",
    "layers.{merged}.downsample.norm.bias",
    "layers.{merged}.downsample.reduction.weight",
    "head.fc.weight",
)


def draw_name(rng: random.Random) -> tuple:
    numbers = {"stage": rng.randint(0, 3), "block": rng.randint(0, 5), "merged": rng.randint(1, 3)}
    return (rng.choice(NAMES).format(**numbers),)


EXERCISES = {
    "log_spaced": Exercise(
        log_spaced, [(0, 8), (7, 8), (-3, 8), (15, 8), (-11, 12)], draw_offset, LOG_WAYS
    ),
    "cosine_scores": Exercise(
        cosine_scores,
        [
            (random_tensor(3, 4), 3 * random_tensor(3, 5)[:, :4], 10.0),
            (random_tensor(5, 4), 3 * random_tensor(5, 6)[:, :4], 10.0),
        ],
        draw_cosine,
        COSINE_WAYS,
    ),
    "swin_v2_block": Exercise(
        swin_v2_block, [draw_block(random.Random(99))], draw_block, BLOCK_WAYS
    ),
    "official_name": Exercise(
        official_name,
        [
            ("layers.1.downsample.reduction.weight",),
            ("layers.3.downsample.norm.weight",),
            ("layers.2.blocks.3.mlp.fc1.weight",),
            ("head.fc.bias",),
            ("patch_embed.proj.weight",),
            ("norm.weight",),
        ],
        draw_name,
        NAME_WAYS,
    ),
}
