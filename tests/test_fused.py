"""The fused kernel: its index arithmetic, its output and all its gradients, its place in PyTorch.

Without a GPU Triton's interpreter runs the kernels (see conftest), with one they are compiled.  The
tests marked ``gpu`` are those that only a GPU can do, or that would take too long without.
"""

import itertools
import random
import subprocess
import sys
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from geometries import sample

from swin_tutorial import attention as attention_module
from swin_tutorial.attention import WindowAttention, WindowAttentionV2
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import region_ids
from swin_tutorial.model import SwinConfig, SwinTransformer
from swin_tutorial.reference import true_windows

triton = pytest.importorskip("triton")
fused = attention_module.fused
tl = triton.language
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}


@pytest.fixture(autouse=True)
def poison():
    """Fill all memory that is allocated and not written with NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(3, device=DEVICE).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


# --- where a window's tokens stand ---


@triton.jit
def _write_places(
    places, geometry, windows, WINDOW: tl.constexpr, LANES: tl.constexpr, MASK_PADDING: tl.constexpr
):
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    lane = tl.arange(0, LANES)
    for window in range(0, windows):
        row, column, is_real, region = fused.token_places(
            window, lane, geometry, WINDOW, MASK_PADDING
        )
        divided = fused.is_divided(window, geometry, WINDOW, MASK_PADDING)
        to = places + (window * TOKENS + lane) * 5
        there = lane < TOKENS
        tl.store(to, row, mask=there)
        tl.store(to + 1, column, mask=there)
        tl.store(to + 2, is_real.to(tl.int32), mask=there)
        tl.store(to + 3, region, mask=there)
        tl.store(to + 4, tl.zeros_like(region) + divided.to(tl.int32), mask=there)


def kernel_places(grid):
    """Return (row, column, is real, region, is divided) of every token of every window."""
    places = torch.full((grid.num_windows, grid.tokens_per_window, 5), -1, dtype=torch.int32)
    places = places.to(DEVICE)
    geometry = (grid.height, grid.width, *grid.used_shift)
    lanes = triton.next_power_of_2(grid.tokens_per_window)
    masked = grid.padding == "mask"
    _write_places[(1,)](places, geometry, grid.num_windows, grid.window_size, lanes, masked)
    return places.cpu().unbind(-1)


GEOMETRIES = sample(24, seed=10) + [(56, 56, (7, 7), (3, 3)), (25, 34, (8, 16), (7, 0))]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("padding", ["mask", "attend"])
def test_index_arithmetic_is_that_of_window_grid(geometry, padding):
    grid = WindowGrid(*geometry, padding)
    row, column, is_real, region, divided = kernel_places(grid)
    height, width = grid.height, grid.width

    # A map that holds each token's own number, from 1, so that padding is 0.
    numbers = torch.arange(1, height * width + 1).reshape(1, height, width, 1)
    expected = grid.partition(numbers)[0, :, :, 0]
    assert torch.equal(is_real == 1, expected > 0)
    assert torch.equal(torch.where(is_real == 1, row * width + column + 1, 0), expected.int())

    ids = region_ids(*geometry, padding)[None, :, :, None]
    unshifted = WindowGrid(*grid.padded_size, grid.window_size)
    expected = unshifted.partition(ids)[0, :, :, 0]
    assert torch.equal(region, expected)
    several = (expected != expected[:, :1]).any(dim=1)
    assert (divided[several] == 1).all()
    # What is masked without need is padding alone.
    needless = (divided[:, 0] == 1) & ~several
    assert (is_real[needless] == 0).all()
    assert padding == "mask" or not needless.any()


# --- output and gradients, against the steps written out in double precision ---


class Case(NamedTuple):
    height: int
    width: int
    window_size: tuple[int, int]
    shift_size: tuple[int, int]
    padding: str
    dtype: torch.dtype
    head_size: int
    version: int
    heads: int = 2
    batch: int = 1

    @property
    def grid(self):
        return WindowGrid(*self[:5])


def cases(count, seed):
    """Return distinct cases that go through windows, types, head sizes, versions and paddings."""
    rng = random.Random(seed)
    turns = itertools.product(
        (1, 2), ("mask", "attend"), (32, 16, 64), (torch.float32, torch.float16, torch.bfloat16)
    )
    found = {}
    for turn, windows in zip(itertools.cycle(turns), itertools.cycle(WINDOWS), strict=False):
        if len(found) == count:
            return list(found)
        shift = tuple(rng.choice((0, m // 2, rng.randrange(m))) for m in windows)
        size = tuple(rng.randint(m // 2 + 1, 2 * m + 1) for m in windows)
        version, padding, head_size, dtype = turn
        heads = 1 if windows[0] * windows[1] > 64 else rng.choice((1, 2, 3))
        case = Case(*size, windows, shift, padding, dtype, head_size, version, heads)
        found[case] = None


# Odd in number, so that in turn each meets every type, head size, version and padding.
WINDOWS = (
    ((7, 7), (2, 3), (4, 4), (8, 8), (3, 5), (16, 16), (5, 2), (7, 7), (6, 7), (2, 2), (9, 9))
    + ((7, 7), (1, 6), (8, 8), (12, 12), (3, 3), (7, 4), (13, 5), (4, 2))
)  # fmt: skip
BATCHES = [
    Case(9, 12, (4, 3), (2, 1), "mask", torch.bfloat16, 32, 1, 3, 3),
    Case(8, 15, (7, 7), (3, 3), "mask", torch.float16, 32, 1, 3, 2),
    Case(8, 15, (7, 7), (3, 3), "attend", torch.float32, 32, 2, 3, 2),
    Case(11, 6, (4, 4), (2, 2), "attend", torch.bfloat16, 64, 2, 2, 2),
    Case(14, 21, (7, 7), (3, 3), "mask", torch.float32, 32, 1, 1, 1),
]


def make_inputs(case):
    """Return qkv, bias, the padding's value and logit_scale (None for V1), on the device."""
    random = torch.Generator().manual_seed(hash(case[:4]) % 2**31)

    def normal(*shape, dtype=torch.float32):
        x = torch.randn(shape, generator=random).to(dtype).to(DEVICE)
        return x.requires_grad_()

    tokens, channels = case.grid.tokens_per_window, case.heads * case.head_size
    qkv = normal(case.batch, case.height, case.width, 3 * channels, dtype=case.dtype)
    logit_scale = None
    if case.version == 2:
        # One scale lies above the largest that is allowed.
        logit_scale = torch.linspace(1.0, 4.7, case.heads, device=DEVICE).requires_grad_()
    pad_value = normal(3 * channels) if case.padding == "attend" else None
    return [qkv, normal(case.heads, tokens, tokens), pad_value, logit_scale]


def steps_written_out(qkv, bias, grid, pad_value, logit_scale):
    """Window attention with the map padded, rolled, cut and glued: what ``eager`` does.

    ``logit_scale`` is given for each score on its own.
    """
    if pad_value is not None:
        (height, width), b = grid.padded_size, len(qkv)
        padded = pad_value.expand(b, height, width, -1).clone()
        padded[:, : grid.height, : grid.width] = qkv
        whole = WindowGrid(height, width, grid.window_size, grid.shift_size)
        out = steps_written_out(padded, bias, whole, None, logit_scale)
        return out[:, : grid.height, : grid.width]
    q, k, v = rearrange(
        grid.partition(qkv),
        "b n t (three heads d) -> three b n heads t d",
        three=3,
        heads=len(bias),
    )
    if logit_scale is None:
        scores = q @ k.mT / q.shape[-1] ** 0.5
    else:
        scale = logit_scale.exp().clamp(max=100.0)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * scale
    mask = grid.mask(qkv.device)
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None], float("-inf"))
    out = (scores + bias).softmax(dim=-1) @ v
    return grid.merge(rearrange(out, "b n heads t d -> b n t (heads d)"))


def output_and_gradients(function, inputs, to_out):
    qkv, bias, pad_value, logit_scale, grid = inputs
    out = function(qkv, bias, grid, pad_value, logit_scale)
    wanted = [one for one in inputs[:4] if one is not None]
    return [out.detach(), *torch.autograd.grad(out, wanted, to_out.to(out.dtype))]


def assert_right(case):
    inputs, grid = make_inputs(case), case.grid
    channels, tokens = case.heads * case.head_size, grid.tokens_per_window
    exact = [None if one is None else one.detach().double() for one in inputs]
    if case.version == 2:
        shape = (case.batch, grid.num_windows, case.heads, tokens, tokens)
        exact[3] = exact[3][:, None, None].expand(shape).clone()
    exact = [None if one is None else one.requires_grad_() for one in exact]
    shape = (case.batch, case.height, case.width, channels)
    to_out = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(case.dtype)
    to_out = to_out.to(DEVICE)
    found = output_and_gradients(fused.window_attention, [*inputs, grid], to_out)
    expected = output_and_gradients(steps_written_out, [*exact, grid], to_out)
    if case.padding == "attend":
        # A padded query has no part in the output.
        assert (found[3][:channels] == 0).all()
        if case.version == 2:  # a padded key of V2 is zero by construction and has no gradient
            found[3], expected[3] = found[3][2 * channels :], expected[3][2 * channels :]
    names = ["out", "qkv", "bias", "pad_value", "logit_scale"]
    names = [name for name, one in zip(names, [0, *inputs], strict=True) if one is not None]
    for name, one, right in zip(names, found, expected, strict=True):
        size = right.norm()
        if name == "logit_scale":
            # A sum over all scores, of terms of both signs that may happen to cancel: its rounding
            # is measured against what such a sum comes to as a rule.
            right = right.sum((0, 1, 3, 4))
        assert one.shape == right.shape, name
        error = (one.double() - right).norm() / size.clamp(min=1e-6)
        assert error <= TOLERANCE[case.dtype], (name, error)
    assert found[0].dtype == found[1].dtype == case.dtype


@pytest.mark.parametrize("case", cases(72, seed=0) + BATCHES, ids=lambda case: str(tuple(case)))
def test_output_and_every_gradient(case):
    assert_right(case)
