"""Cases for the fused kernel, and what it must give: the steps written out in double precision."""

import itertools
import random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from geometries import Geometry, sample

from swin_tutorial.backends import fused
from swin_tutorial.grid import WindowGrid

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}


class Case(NamedTuple):
    grid: WindowGrid
    dtype: torch.dtype
    head_dim: int
    version: int
    heads: int = 1
    batch: int = 1

    def __str__(self):
        fields = ("size", "window_size", "shift_size", "padding", "periodic")
        return str((*(getattr(self.grid, name) for name in fields), *self[1:]))


# Windows of 4 to 256 tokens, most of them small: the interpreter needs seconds for the largest.
WINDOWS = (
    *4 * [(7, 7)], *2 * [(8, 8)], *2 * [(4, 4)], *2 * [(2, 3)], *2 * [(3, 5)], *2 * [(5, 2)],
    (2, 2), (3, 3), (6, 7), (1, 6), (7, 4), (4, 2), (16, 16), (9, 9), (12, 12), (13, 5),
)  # fmt: skip


def cases(seed):
    """Return two cases of each version, padding and type, with windows in random order.

    Head dims take turns, so that each meets all else.  Windows come two by two, which shows each
    kind of mask there is; large ones, and those of two heads, come side by side.
    """
    rng = random.Random(seed)
    kinds = 2 * list(itertools.product((1, 2), ("mask", "attend"), fused.DTYPES))
    windows = rng.sample(WINDOWS, len(WINDOWS))
    for number, ((version, padding, dtype), window) in enumerate(zip(kinds, windows, strict=True)):
        head_dim = fused.HEAD_DIMS[(number + number // 3 + number // 12) % 3]
        is_large = window[0] * window[1] > 64
        heads = 1 if is_large else rng.choice((1, 1, 1, 2))
        is_row = is_large or heads == 2
        size = tuple(
            rng.randint(m // 2 + 1, m) if is_row and axis == 0 else rng.randint(m + 1, 2 * m)
            for axis, m in enumerate(window)
        )
        shift = tuple(rng.choice((m // 2, rng.randrange(m))) for m in window)
        yield Case(WindowGrid(size, window, shift, padding), dtype, head_dim, version, heads)


CASES = list(cases(seed=5))
# Several images and heads, three windows in a row; rings, and axes that differ.
SPECIAL = [
    Case(WindowGrid((8, 3), (4, 3), (2, 1)), torch.bfloat16, 32, 1, 2, 2),
    Case(WindowGrid((4, 9), (4, 4), (1, 3), "attend"), torch.float32, 16, 2, 1, 2),
    Case(WindowGrid((6, 7), (3, 4), (1, 2), periodic=(True, False)), torch.float32, 16, 1),
    Case(WindowGrid((5, 6), (2, 3), (1, 2), "attend", (False, True)), torch.float16, 16, 2),
    Case(WindowGrid((4, 6), (2, 3), (1, 1), periodic=True), torch.float32, 16, 2),
    Case(WindowGrid((5, 7), (3, 4), (1, 2), ("attend", "mask")), torch.float32, 16, 1),
    Case(WindowGrid((5, 7), (3, 4), (2, 1), ("mask", "attend")), torch.bfloat16, 32, 2),
]


def make_inputs(case):
    """Return qkv, bias, the padding's value and logit_scale (None for V1), on the device."""
    generator = torch.Generator().manual_seed(hash(case.grid.size) % 2**31)

    def normal(*shape, dtype=torch.float32):
        x = torch.randn(shape, generator=generator).to(dtype).to(DEVICE)
        return x.requires_grad_()

    tokens, channels = case.grid.tokens_per_window, case.heads * case.head_dim
    qkv = normal(case.batch, *case.grid.size, 3 * channels, dtype=case.dtype)
    logit_scale = None
    if case.version == 2:
        # One scale lies above the largest that is allowed.
        logit_scale = torch.linspace(1.0, 4.7, case.heads, device=DEVICE).requires_grad_()
    pad_value = normal(3 * channels) if "attend" in case.grid.padding else None
    return [qkv, normal(case.heads, tokens, tokens), pad_value, logit_scale]


def steps_written_out(qkv, bias, grid, pad_value, logit_scale):
    """Window attention with the map padded, shifted, cut and put together: what ``eager`` does.

    ``logit_scale`` is given for each score on its own.
    """
    if pad_value is not None:  # make the padding real where it is to be seen
        size = [
            padded if padding == "attend" else size
            for size, padded, padding in zip(grid.size, grid.padded_size, grid.padding, strict=True)
        ]
        padded = pad_value.expand(len(qkv), *size, -1).clone()
        real = slice(None), *map(slice, grid.size)
        padded[real] = qkv
        whole = WindowGrid(size, grid.window_size, grid.shift_size, "mask", grid.periodic)
        return steps_written_out(padded, bias, whole, None, logit_scale)[real]
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
    scores = scores.masked_fill(~grid.mask(qkv.device)[:, None], float("-inf"))
    out = (scores + bias).softmax(dim=-1) @ v
    return grid.merge(rearrange(out, "b n heads t d -> b n t (heads d)"))


def output_and_gradients(function, inputs, to_out):
    qkv, bias, pad_value, logit_scale, grid = inputs
    out = function(qkv, bias, grid, pad_value, logit_scale)
    wanted = [tensor for tensor in inputs[:4] if tensor is not None]
    return [out.detach(), *torch.autograd.grad(out, wanted, to_out.to(out.dtype))]


def assert_right(case):
    inputs, grid = make_inputs(case), case.grid
    channels, tokens = case.heads * case.head_dim, grid.tokens_per_window
    exact = [None if tensor is None else tensor.detach().double() for tensor in inputs]
    if case.version == 2:
        shape = (case.batch, grid.num_windows, case.heads, tokens, tokens)
        exact[3] = exact[3][:, None, None].expand(shape).clone()
    exact = [None if tensor is None else tensor.requires_grad_() for tensor in exact]
    shape = (case.batch, *grid.size, channels)
    to_out = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(case.dtype)
    to_out = to_out.to(DEVICE)
    found = output_and_gradients(fused.attend, [*inputs, grid], to_out)
    expected = output_and_gradients(steps_written_out, [*exact, grid], to_out)
    if inputs[2] is not None:
        # A padded query has no part in the output.
        assert (found[3][:channels] == 0).all()
        if case.version == 2:  # a padded key of V2 is zero by construction and has no gradient
            found[3], expected[3] = found[3][2 * channels :], expected[3][2 * channels :]
    names = ["out", "qkv", "bias", "pad_value", "logit_scale"]
    names = [name for name, one in zip(names, [0, *inputs], strict=True) if one is not None]
    for name, tensor, right in zip(names, found, expected, strict=True):
        size = right.norm()
        if name == "logit_scale":
            # A sum over all scores, of terms of both signs that may happen to cancel: its rounding
            # is measured against what such a sum comes to as a rule.
            right = right.sum((0, 1, 3, 4))
        assert tensor.shape == right.shape, name
        error = (tensor.double() - right).norm() / size.clamp(min=1e-6)
        assert error <= TOLERANCE[case.dtype], (name, error)
    assert found[0].dtype == found[1].dtype == case.dtype


# What a GPU can do in the same time.
PRODUCT = [
    Case(geometry.grid, dtype, head_dim, version, 2, 2)
    for geometry in [
        *sample(40, seed=11, num_axes=2),
        *(
            Geometry(size, window, shift, (padding,) * 2, (False,) * 2)
            for size, window, shift in [
                ((56, 56), (7, 7), (3, 3)),
                ((14, 28), (7, 7), (3, 3)),
                ((33, 40), (16, 16), (8, 8)),
                ((23, 30), (12, 12), (6, 6)),
                ((16, 24), (8, 8), (4, 4)),
                ((5, 5), (2, 2), (1, 1)),
            ]
            for padding in ("mask", "attend")
        ),
    ]
    for dtype in fused.DTYPES
    for head_dim in fused.HEAD_DIMS
    for version in (1, 2)
]


def random_qkv(grid, channels=16, batch=1, dtype=torch.float32):
    shape = (batch, *grid.size, 3 * channels)
    return torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=dtype).to(DEVICE)
