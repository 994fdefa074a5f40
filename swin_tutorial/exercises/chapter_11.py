"""Chapter 11, Swin V2 and public weights: offsets, cosines, a leak, norms, other names."""

import math
import random
import re
from collections.abc import Callable

import torch
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
        "the paper's formula",
        "That is the paper's formula, in tokens. The code first scales the offset, so that P - 1 "
        "counts as 8, and takes a logarithm to base 8.",
        spaced(lambda offset, window: math.log(1 + offset)),
    ),
    WrongWay(
        "the paper's formula to base 2",
        "You took the logarithm of the offset in tokens. The code first scales the offset, so that "
        "P - 1 counts as 8, and divides the logarithm to base 2 by 3.",
        spaced(lambda offset, window: math.log2(1 + offset)),
    ),
    WrongWay(
        "the largest offset made 1",
        "Your largest offset gets exactly 1, and it should get 1.057: divide by log2(8) = 3, not "
        "by log2(9). A scaled offset of 7 is the one that becomes 1.",
        spaced(lambda offset, window: math.log(1 + 8 * offset / (window - 1), 9)),
    ),
    WrongWay(
        "one added too early",
        "You added the 1 before you divided by P - 1. Scale the offset first, 8 * |offset| / "
        "(P - 1), and add 1 to that: an offset of 0 must give 0.",
        spaced(lambda offset, window: math.log2((1 + 8 * offset) / (window - 1)) / 3),
    ),
    WrongWay(
        "one not added",
        "You forgot the 1, so near offsets turn negative and 0 has no logarithm. Take the "
        "logarithm of 1 + 8 * |offset| / (P - 1).",
        spaced(lambda offset, window: math.log2(8 * offset / (window - 1)) / 3),
    ),
    WrongWay(
        "not divided by P - 1",
        "You multiplied by 8 and did not divide by P - 1, so a window of any size is fed the same.",
        spaced(lambda offset, window: math.log2(1 + 8 * offset) / 3),
    ),
    WrongWay(
        "scaled to 7",
        "You scaled the largest offset to 7, and it counts as 8. (7 is what a scaled offset must "
        "be for the result to be 1.)",
        spaced(lambda offset, window: math.log2(1 + 7 * offset / (window - 1)) / 3),
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


# --- 11.2: attention by cosines ---


def unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


def cosine_attention(
    score: Callable = lambda q, k, scale, bias: scale * unit(q) @ unit(k).mT + bias,
    mask_scores: Callable = lambda scores, mask: scores.masked_fill(~mask, -torch.inf),
    dim: int = -1,
    value: Callable = lambda v: v,
) -> Callable:
    """Return V2's attention, or one that differs from it in an argument."""

    def attend_v2(q, k, v, bias, scale, mask=None):
        scores = score(q, k, scale, bias)
        if mask is not None:
            scores = mask_scores(scores, mask[:, None])
        return scores.softmax(dim) @ value(v)

    return attend_v2


COSINE_WAYS = (
    WrongWay(
        "lengths kept",
        "Longer queries still get larger scores. A cosine needs queries and keys of length 1: "
        "F.normalize(q, dim=-1), and the same for k.",
        cosine_attention(lambda q, k, scale, bias: scale * q @ k.mT + bias),
    ),
    WrongWay(
        "V1's attention",
        "That is V1's attention. Divide q and k by their lengths, and multiply by scale where V1 "
        "divides by the root of d.",
        cosine_attention(lambda q, k, scale, bias: q @ k.mT * q.shape[-1] ** -0.5 + bias),
    ),
    WrongWay(
        "only queries normalized",
        "Your keys keep their lengths. Divide both by their lengths.",
        cosine_attention(lambda q, k, scale, bias: scale * unit(q) @ k.mT + bias),
    ),
    WrongWay(
        "only keys normalized",
        "Your queries keep their lengths. Divide both by their lengths.",
        cosine_attention(lambda q, k, scale, bias: scale * q @ unit(k).mT + bias),
    ),
    WrongWay(
        "normalized over tokens",
        "You normalized along the tokens. The length of a query is taken over its channels, the "
        "last axis: dim=-1. (F.normalize takes axis 1 unless you say so.)",
        cosine_attention(
            lambda q, k, scale, bias: (
                scale * F.normalize(q, dim=-2) @ F.normalize(k, dim=-2).mT + bias
            )
        ),
    ),
    WrongWay(
        "the default axis",
        "F.normalize takes axis 1 by default, here the windows. The channels are the last axis: "
        "dim=-1.",
        cosine_attention(
            lambda q, k, scale, bias: scale * F.normalize(q) @ F.normalize(k).mT + bias
        ),
    ),
    WrongWay(
        "root of d as well",
        "You also divide by the root of d. In V2 the scale takes its place.",
        cosine_attention(
            lambda q, k, scale, bias: scale * unit(q) @ unit(k).mT * q.shape[-1] ** -0.5 + bias
        ),
    ),
    WrongWay(
        "no scale",
        "You left out the scale. Multiply the cosines by it.",
        cosine_attention(lambda q, k, scale, bias: unit(q) @ unit(k).mT + bias),
    ),
    WrongWay(
        "bias scaled",
        "You multiplied the bias by the scale as well. Scale the cosines, then add the bias.",
        cosine_attention(lambda q, k, scale, bias: scale * (unit(q) @ unit(k).mT + bias)),
    ),
    WrongWay(
        "no bias",
        "You left out the position bias. Add it to the scaled cosines.",
        cosine_attention(lambda q, k, scale, bias: scale * unit(q) @ unit(k).mT),
    ),
    WrongWay(
        "no mask",
        "You left out the mask. Where it is False, a score becomes -inf, as in attend.",
        cosine_attention(mask_scores=lambda scores, mask: scores),
    ),
    WrongWay(
        "mask inverted",
        "You masked the allowed keys. True means may attend, so fill where the mask is False: "
        "~mask.",
        cosine_attention(mask_scores=lambda scores, mask: scores.masked_fill(mask, -torch.inf)),
    ),
    WrongWay(
        "softmax over queries",
        "Your softmax runs over queries. The weights of one query add up to 1: softmax(-1).",
        cosine_attention(dim=-2),
    ),
    WrongWay(
        "values normalized",
        "You normalized the values as well. Only queries and keys are compared by cosine.",
        cosine_attention(value=unit),
    ),
)


def draw_attention(rng: random.Random) -> tuple:
    """Return q, k, v, a bias, a scale for each head, and a mask or none, in double precision."""
    images, windows, heads, tokens, channels = (
        rng.randint(*bounds) for bounds in ((1, 2), (2, 3), (2, 3), (4, 6), (3, 5))
    )
    q, k, v = 2 * random_tensor(3, images, windows, heads, tokens, channels).double()
    scale = torch.tensor([[[rng.uniform(1.5, 6.0)]] for _ in range(heads)], dtype=torch.float64)
    labels = torch.arange(tokens) % torch.arange(2, windows + 2)[:, None]  # 2 regions or more
    mask = labels[:, :, None] == labels[:, None, :]
    bias = random_tensor(heads, tokens, tokens).double()
    return (q, k, v, bias, scale) if rng.random() < 0.25 else (q, k, v, bias, scale, mask)


# --- 11.3: what a mask of -100 lets through ---


def share(lead: float) -> float:
    """Return what softmax gives the first of two scores, which leads by so much."""
    return float(torch.tensor(lead, dtype=torch.float64).sigmoid())  # exp(-lead) can overflow


def worst_leak(scale: float, mask_value: float) -> float:
    return share(2 * min(scale, 100) + 16 + mask_value)


def leak_with(lead):
    """Return an attempt that gives the forbidden key some lead, before the mask."""
    return lambda scale, value: share(lead(scale) + value)


LEAK_WAYS = (
    WrongWay(
        "no cap",
        "Your scale has no cap. V2 uses 100 where a head has learned more: min(scale, 100).",
        leak_with(lambda scale: 2 * scale + 16),
    ),
    WrongWay(
        "the exponential of the scale",
        "You took the exponential of the scale. The parameter logit_scale is a logarithm, but "
        "here you are given the scale itself.",
        leak_with(lambda scale: 2 * min(math.exp(scale), 100) + 16),
    ),
    WrongWay(
        "allowed key at 0",
        "You gave the allowed key a cosine of 0. The worst case is -1: then the two scores differ "
        "by twice the scale.",
        leak_with(lambda scale: min(scale, 100) + 16),
    ),
    WrongWay(
        "no bias",
        "You left out the position bias. It can give the forbidden key up to 16 and the allowed "
        "key 0.",
        leak_with(lambda scale: 2 * min(scale, 100)),
    ),
    WrongWay(
        "bias of both signs",
        "You let the bias run from -16 to 16. It is 16 * sigmoid(...), so it runs from 0 to 16.",
        leak_with(lambda scale: 2 * min(scale, 100) + 32),
    ),
    WrongWay(
        "no mask",
        "Your mask keeps nothing out: you left it out, subtracted it, or gave it to both keys. It "
        "is negative, and added to the forbidden key's score alone.",
        lambda scale, value: worst_leak(scale, 0.0),
    ),
    WrongWay(
        "the allowed key's share",
        "That is what the allowed key gets. The forbidden key gets the rest.",
        lambda scale, value: 1 - worst_leak(scale, value),
    ),
    WrongWay(
        "the lead, not the share",
        "That is the difference of the two scores. Softmax turns it into a share: "
        "1 / (1 + exp(-difference)).",
        lambda scale, value: 2 * min(scale, 100) + 16 + value,
    ),
)


def draw_leak(rng: random.Random) -> tuple:
    return round(rng.uniform(20, 130), 1), -float(rng.randint(60, 230))


# --- 11.4: the norm after the branch ---

swin_v2_block = block_of(two_branches, norm_after)

BLOCK_WAYS = (
    WrongWay(
        "norm before the branch",
        "This is V1's block: the branch reads a normalized copy. V2's branch reads the map itself, "
        "and what it returns is normalized.",
        block_of(two_branches, norm_before),
    ),
    WrongWay(
        "norm after the sum",
        "You normalized the sum, as the first Transformer did. V2 normalizes the branch's output "
        "and then adds it: the map itself is never normalized.",
        post_norm,
    ),
    WrongWay(
        "the normed map is kept",
        "You replaced the map by its normalized copy. In V2 only what a branch returns is "
        "normalized, before it is added.",
        normed_shortcut,
    ),
    *structure_ways(norm_after),
)


# --- 11.5: other names for the same tensors ---


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
        "You left the merging layers where timm has them. timm assigns a merging layer to the "
        "stage after it, the official code to the one before: subtract 1.",
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
    "attend_v2": Exercise(
        cosine_attention(), [draw_attention(random.Random(99))], draw_attention, COSINE_WAYS
    ),
    "worst_leak": Exercise(
        worst_leak,
        [(42.0, -100.0), (10.0, -100.0), (45.0, -100.0), (120.0, -215.0), (20.0, -57.0)],
        draw_leak,
        LEAK_WAYS,
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
