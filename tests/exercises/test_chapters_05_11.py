"""Chapters 05 to 11: right answers said otherwise, near misses, and truths that were measured."""

import math

import numpy as np
import pytest
import torch
from einops import rearrange, repeat

from swin_tutorial.audit.museum import MUSEUM
from swin_tutorial.config import SwinConfig
from swin_tutorial.exercises import EXERCISES, verify
from swin_tutorial.exercises.chapter_08 import COMMUTES
from swin_tutorial.model import PatchMerging, SwinTransformer, SwinTransformerBlock
from swin_tutorial.position_bias import log_spaced_offsets
from swin_tutorial.presets import create_model
from swin_tutorial.weight_layouts import layout_name


def solution(name):
    return EXERCISES[name].solution


# --- right answers, said otherwise ---


def decoder_by_triangle(lengths, tokens):
    real = torch.arange(tokens)[None] < lengths[:, None]
    return torch.ones(tokens, tokens).tril().bool() & ~(real[:, :, None] ^ real[:, None, :])


def padding_sees_itself(lengths, tokens):
    mask = no_keys_for_padding(lengths, tokens)
    return mask | torch.eye(tokens, dtype=torch.bool)


def no_keys_for_padding(lengths, tokens):
    return decoder_by_triangle(lengths, tokens) & (torch.arange(tokens) < lengths[:, None])[:, None]


def padding_looks_ahead(lengths, tokens):
    padding = torch.arange(tokens) >= lengths[:, None]
    return decoder_by_triangle(lengths, tokens) | (padding[:, :, None] & padding[:, None, :])


def last_token_blind(lengths, tokens):
    mask = decoder_by_triangle(lengths, tokens)
    mask[torch.arange(len(lengths)), lengths - 1, 0] = False
    return mask


def no_shift_if(rule):
    """Return attention in windows in plain PyTorch, without a shift where the rule says so."""

    def cut(x, m):
        return rearrange(x, "b (y h) (x w) c -> b (y x) (h w) c", h=m, w=m)

    def attempt(x, attn, m, shift):
        _, height, width, _ = x.shape
        shift = 0 if rule(height, width, m) else shift
        home = torch.arange(height)[:, None] * width + torch.arange(width)
        home = home.roll((-shift, -shift), (0, 1))  # where each token of the rolled map stood
        strips = [(place - shift) // m for place in (home // width, home % width)]
        ids = cut((strips[0] * width + strips[1])[None, ..., None], m)[0, ..., 0]
        windows = attn(cut(x.roll((-shift, -shift), (1, 2)), m), ids[:, :, None] == ids[:, None])
        pattern = "b (y x) (h w) c -> b (y h) (x w) c"
        return rearrange(windows, pattern, y=height // m, h=m).roll((shift, shift), (1, 2))

    return attempt


def join_by_slices(x):
    return torch.cat([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=-1)


def head_before_the_mean(images, patch_embed, stages, norm, head):
    x = patch_embed(images)
    for stage in stages:
        x = stage(x)
    return head(norm(x)).flatten(1, 2).mean(1)


def pre_norm(x, norm1, attend, norm2, mlp):
    shortcut = x
    x = shortcut + attend(norm1(x))
    return mlp(norm2(x)) + x


def post_norm(x, norm1, attend, norm2, mlp):
    x = norm1(attend(x)) + x
    return norm2(mlp(x)) + x


def attend_by_division(q, k, v, bias, scale, mask=None):
    lengths = q.norm(dim=-1)[..., None] * k.norm(dim=-1)[..., None, :]
    scores = scale * (q @ k.transpose(-2, -1)) / lengths + bias
    if mask is not None:
        scores = scores + torch.where(mask, 0.0, -torch.inf)[:, None]
    return scores.softmax(-1) @ v


def squared_cosine(step, steps, warmup, peak):
    if step < warmup:
        return (1 + step) / (1 + warmup) * peak
    return peak * math.cos(math.pi / 2 * (step - warmup) / (steps - warmup)) ** 2


def targets_one_by_one(labels, others, lam, smoothing, classes):
    out = torch.full((len(labels), classes), smoothing / classes, dtype=torch.float64)
    for row, label, other, share in zip(out, labels, others, lam, strict=True):
        row[label] += (1 - smoothing) * share
        row[other] += (1 - smoothing) * (1 - share)
    return out


def longest_first(total, processes):
    size, rest = divmod(total, processes)
    return [
        (rank * size + min(rank, rest), (rank + 1) * size + min(rank + 1, rest))
        for rank in range(processes)
    ]


def name_by_parts(name):
    parts = name.split(".")
    if parts[:2] == ["head", "fc"]:
        parts.remove("fc")
    if "downsample" in parts:
        parts[1] = str(int(parts[1]) - 1)
    return ".".join(parts)


@pytest.mark.parametrize(
    ("name", "attempt"),
    [
        ("mask_for_multihead", lambda mask, n: repeat(mask, "n q k -> (n h) q k", h=n) == 0),
        ("mask_for_multihead", lambda mask, n: torch.stack([~mask] * n, 1).flatten(0, 1)),
        ("decoder_mask", decoder_by_triangle),
        ("decoder_mask", lambda *case: decoder_by_triangle(*case).numpy()),
        ("decoder_mask", padding_sees_itself),
        ("join_four", join_by_slices),
        ("join_four", lambda x: join_by_slices(x).int()),
        ("shifts_of_stage", lambda depth, m: tuple([0, m // 2] * depth)[:depth]),
        ("shifts_of_stage", lambda depth, m: torch.tensor([0, m // 2]).repeat(depth)[:depth]),
        ("classify", head_before_the_mean),
        ("attend_in_windows", no_shift_if(lambda h, w, m: h * w == m * m)),
        ("swin_block", pre_norm),
        ("swin_block", lambda x, *steps: pre_norm(x.double(), *steps)),
        ("rate_at", squared_cosine),
        ("rate_at", lambda *case: torch.tensor(squared_cosine(*case))),
        ("soft_targets", targets_one_by_one),
        ("stretches", longest_first),
        ("stretches", lambda *case: torch.tensor(longest_first(*case))),
        ("stretches", lambda *case: np.array(longest_first(*case), dtype=float)),
        ("stretches", lambda *case: [list(pair) for pair in longest_first(*case)][::-1]),
        ("confused_rolls", lambda *case: float(solution("confused_rolls")(*case))),
        ("smallest_blind_roll", lambda patch, window, stages: window * patch << stages - 1),
        ("pairs_needed", lambda s, d: -((2.8 * s / d) ** 2 // -1)),
        ("least_bytes", lambda b, h, w, c, size: 4.0 * b * h * w * c * size),
        ("least_bytes", lambda *factors: torch.tensor([4, *factors]).prod()),
        ("intensity", lambda h, w, size: 4 * h * w * 32 / (4 * 32 * size)),
        ("intensity", lambda h, w, size: np.float64(h * w) / size),
        ("place_of_token", lambda *case: (p := solution("place_of_token")(*case)) and list(p)),
        ("log_spaced", lambda o, p: np.sign(o) * np.log2(1 + 8 * abs(o) / (p - 1)) / np.log2(8)),
        ("log_spaced", lambda o, p: torch.tensor(solution("log_spaced")(o, p))),
        ("attend_v2", attend_by_division),
        ("worst_leak", lambda s, v: 1 / (1 + math.exp(-2 * min(s, 100) - 16 - v))),
        ("worst_leak", lambda s, v: torch.tensor([2 * min(s, 100) + 16 + v, 0]).softmax(0)[0]),
        ("swin_v2_block", post_norm),
        ("official_name", name_by_parts),
    ],
)
def test_right_answers_said_otherwise_are_right(name, attempt):
    assert verify(name, attempt).message.startswith(f"{name}: right, on all")


# --- near misses ---


@pytest.mark.parametrize(
    ("name", "attempt", "words"),
    [
        ("mask_for_multihead", lambda mask, n: ~mask.repeat(n, 1, 1), "use repeat_interleave"),
        ("mask_for_multihead", lambda mask, n: (~mask).float().repeat_interleave(n, 0), "float32"),
        ("decoder_mask", lambda lengths, n: torch.ones(n, n).tril().bool(), "has shape (3, 3)"),
        ("decoder_mask", lambda *case: decoder_by_triangle(*case).int(), "holds torch.int32"),
        ("decoder_mask", lambda *case: None, "returned None"),
        ("decoder_mask", no_keys_for_padding, "query 2 is empty, so its softmax is nan"),
        ("decoder_mask", padding_looks_ahead, "query 3 (padding) may not attend to key 4"),
        ("decoder_mask", last_token_blind, "query 1 (real) should attend to key 0"),
        ("attend_in_windows", lambda x, attn, m, s: x, "expected"),
        ("attend_in_windows", no_shift_if(lambda h, w, m: h == m), "at the height alone"),
        ("attend_in_windows", no_shift_if(lambda h, w, m: w == m), "at the width alone"),
        ("attend_in_windows", no_shift_if(lambda h, w, m: h <= m or w <= m), "you wrote `or`"),
        ("join_four", lambda x: x[:, ::2, ::2], "has shape"),
        ("join_four", lambda x: join_by_slices(x).float(), "holds torch.float32"),
        ("shifts_of_stage", lambda depth, m: m // 2, "gave 2, expected [0, 2]"),
        ("classify", lambda images, *modules: images.mean((2, 3)), "expected"),
        ("swin_block", lambda x, n, a, m, f: f(m(x + a(n(x)))), "what the MLP computes"),
        ("swin_v2_block", lambda x, n, a, m, f: m(f(x + n(a(x)))), "what the MLP computes"),
        ("swin_block", post_norm, "That is Swin V2"),
        ("swin_v2_block", pre_norm, "This is V1's block"),
        ("rate_at", lambda *case: 0.99 * squared_cosine(*case), "gave 0.099, expected 0.1"),
        ("soft_targets", lambda *case: targets_one_by_one(*case).argmax(1), "has shape (4,)"),
        ("stretches", lambda total, n: [range(total)], "Return 2 pairs (first, last)"),
        ("stretches", lambda total, n: [(0, math.nan)] * n, "Return 2 pairs (first, last)"),
        ("stretches", lambda total, n: [(0.5, total)] * n, "Return 2 pairs (first, last)"),
        ("stretches", lambda total, n: None, "gave None. Return 2 pairs"),
        ("stretches", lambda total, n: "0-5", "Return 2 pairs"),
        ("stretches", lambda total, n: [(0, total)] * n, "Image 0 is taken 2 times"),
        ("stretches", lambda total, n: [(0, total)] + [(3, 3)] * (n - 1), "takes 10 images"),
        ("stretches", lambda total, n: [(0, total), (total, total + 1)], "goes beyond the 10"),
        ("confused_rolls", lambda h, w, m, *_: (h // m, w // m), "gave (4, 4), expected 16"),
        ("pairs_needed", lambda s, d: round((2.8 * s / d) ** 2), "Round up: math.ceil"),
        ("least_bytes", lambda *factors: 3 * math.prod(factors), "The output is written, too"),
        ("place_of_token", lambda *case: solution("place_of_token")(*case) or (0, 0), "None"),
        ("place_of_token", lambda *case: solution("place_of_token")(*case) or -1, "gave -1"),
        ("log_spaced", lambda o, p: math.log(1 + 8 * abs(o) / (p - 1), 8), "sign of the offset"),
        ("log_spaced", lambda o, p: math.copysign(math.log(1 + abs(o)), o), "the paper's formula"),
        ("worst_leak", lambda s, v: 1 / (1 + math.exp(-2 * s - 16 - v)), "has no cap"),
        ("worst_leak", lambda s, v: 0.0, "gave 0.0"),
        (
            "swin_v2_block",
            lambda x, n, a, m, f: post_norm(x, m, a, n, f),
            "You exchanged the norms",
        ),
        ("official_name", lambda name: name.replace("layers.1.d", "layers.0.d"), "layers.3.down"),
        ("official_name", lambda name: name.split("."), "expected 'layers.0.down"),
    ],
)
def test_near_misses_are_told_why(name, attempt, words):
    verdict = verify(name, attempt)
    assert verdict.status == "wrong"
    assert words in verdict.message


def test_mistakes_of_the_museum_are_known_as_well():
    assert {way.name for way in EXERCISES["place_of_token"].wrong_ways} & set(MUSEUM)


# --- what the questions take for true ---


def block(window_size=4, **options):
    torch.manual_seed(0)
    return SwinTransformerBlock(8, 2, window_size, backend="eager", **options).double()


def same(one, other):
    return torch.allclose(one, other, rtol=0, atol=1e-12)


def commutes(change, size=(16, 16), **options):
    """Return whether a block gives the same before and after a change (chapter 08)."""
    one, x = block(**options), torch.randn(1, *size, 8, dtype=torch.float64)
    return same(one(change(x)), change(one(x)))


CASES = {
    "A": (lambda x: x.roll(8, 2), {"size": (14, 16), "shift_size": 2, "use_mask": False}),
    "B": (lambda x: x.roll(4, 1), {"shift_size": 2, "periodic": (False, True)}),
    "C": (lambda x: x.roll(4, 2), {"shift_size": 2, "periodic": (False, True)}),
    "D": (lambda x: x.roll(2, 2), {"shift_size": 0}),
    "E": (lambda x: x.flip(2), {"shift_size": 0}),
}


@pytest.mark.parametrize("letter", CASES)
def test_what_commutes_was_measured(letter):
    change, options = CASES[letter]
    assert commutes(change, **options) is COMMUTES[letter][0]


@pytest.mark.parametrize(
    "case",
    [
        (4, 6, 2, False, (False, False)),
        (4, 6, 2, True, (False, False)),
        (4, 6, 2, True, (True, False)),
        (3, 6, 2, False, (False, False)),
        (3, 6, 2, True, (False, True)),
        (2, 6, 2, False, (False, False)),
    ],
)
def test_confused_rolls_were_counted(case):
    height, width, window_size, use_mask, periodic = case
    options = {"window_size": window_size, "use_mask": use_mask, "periodic": periodic}
    blocks = [block(shift_size=shift, **options) for shift in (0, 1)]

    def pooled(x):
        return blocks[1](blocks[0](x)).mean((1, 2))

    torch.manual_seed(1)
    x = torch.randn(1, height, width, 8, dtype=torch.float64)
    rolls = [(down, right) for down in range(height) for right in range(width)]
    confused = [one for one in rolls if same(pooled(x.roll(one, (1, 2))), pooled(x))]
    assert len(confused) == solution("confused_rolls")(*case)


def test_the_smallest_blind_roll_is_the_smallest():
    """The model has no mask, patches of 1 pixel, windows of 2, and two stages: 4 pixels."""
    torch.manual_seed(0)
    config = SwinConfig(
        embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=2, patch_size=1, use_mask=False
    )
    model = SwinTransformer(config).double().eval()
    image = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        blind = [roll for roll in range(1, 8) if same(model(image.roll(roll, 3)), model(image))]
    assert blind[0] == solution("smallest_blind_roll")(1, 2, 2)


def test_merging_and_blocks_are_the_packages():
    torch.manual_seed(0)
    merging = PatchMerging(8).double()
    merging.norm, merging.reduction = torch.nn.Identity(), torch.nn.Identity()
    x = torch.randn(2, 4, 6, 8, dtype=torch.float64)
    assert same(solution("join_four")(x), merging(x))
    for name, version in (("swin_block", 1), ("swin_v2_block", 2)):
        one = block(shift_size=1, version=version)
        parts = one.norm1, one.attend, one.norm2, one.mlp
        assert same(solution(name)(x, *parts), one(x))


def test_timms_names_are_read():
    with torch.device("meta"):
        names = list(create_model("swin_tiny").state_dict())
    assert [solution("official_name")(layout_name(name, "timm")) for name in names] == names


def test_log_spaced_is_what_the_network_is_fed():
    offsets = log_spaced_offsets(8, 8).view(15, 15, 2)[:, 7, 0].tolist()
    ours = [solution("log_spaced")(offset, 8) for offset in range(-7, 8)]
    assert ours == pytest.approx(offsets)
