"""The kernels as PyTorch operators, which autograd and ``torch.compile`` take as they are.

An operator's arguments are tensors and plain numbers, so that the grid is spelled out here, and
nowhere else; the size of the map is that of ``qkv``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from swin_tutorial.backends.fused.kernels import (
    backward_kernel,
    bias_gradient_kernel,
    forward_kernel,
)
from swin_tutorial.backends.fused.launch import kernel_arguments, num_blocks, num_shares
from swin_tutorial.grid import WindowGrid


def grid_arguments(grid: WindowGrid) -> tuple[Sequence, ...]:
    """Return what the operators are told of a grid: lists of one number or bool per axis."""
    mask_padding = [padding == "mask" for padding in grid.padding]
    return list(grid.window_size), list(grid.shift_size), mask_padding, list(grid.periodic)


def _grid(qkv: Tensor, window_size, shift_size, mask_padding, periodic) -> WindowGrid:
    padding = tuple("mask" if masked else "attend" for masked in mask_padding)
    size = tuple(qkv.shape[1:3])
    return WindowGrid(size, tuple(window_size), tuple(shift_size), padding, tuple(periodic))


@torch.library.custom_op("swin_tutorial::window_attention", mutates_args=())
def window_attention(
    qkv: Tensor,
    bias: Tensor,
    pad_value: Tensor | None,
    logit_scale: Tensor | None,
    window_size: Sequence[int],
    shift_size: Sequence[int],
    mask_padding: Sequence[bool],
    periodic: Sequence[bool],
) -> Tensor:
    """Run the forward kernel; see ``attend``, which checks the arguments."""
    qkv = qkv.contiguous()
    out = _empty_out(qkv)
    grid = _grid(qkv, window_size, shift_size, mask_padding, periodic)
    arguments = kernel_arguments(qkv, bias, pad_value, logit_scale, grid)
    heads, blocks = arguments["HEADS"], num_blocks(arguments)
    shares = num_shares(qkv.device, heads * blocks, len(qkv) * grid.num_windows)
    forward_kernel[heads, blocks, shares](out=out, **arguments)
    return out


@window_attention.register_fake
def _(qkv, *_):
    return _empty_out(qkv)


@torch.library.custom_op("swin_tutorial::window_attention_backward", mutates_args=())
def window_attention_backward(
    to_out: Tensor,
    qkv: Tensor,
    bias: Tensor,
    pad_value: Tensor | None,
    logit_scale: Tensor | None,
    window_size: Sequence[int],
    shift_size: Sequence[int],
    mask_padding: Sequence[bool],
    periodic: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients to qkv, bias, pad_value and logit_scale; empty where there is no input.

    All but the first are float32.
    """
    qkv, to_out = qkv.contiguous(), to_out.contiguous()
    grid = _grid(qkv, window_size, shift_size, mask_padding, periodic)
    arguments = kernel_arguments(qkv, bias, pad_value, logit_scale, grid, backward=True)
    heads, windows = arguments["HEADS"], len(qkv) * grid.num_windows
    shares = num_shares(qkv.device, heads, windows)
    to_qkv = torch.empty_like(qkv)
    to_bias = _empty_sums(shares, bias)
    to_logit_scale = _empty_sums(shares, logit_scale)
    to_pad_value = _empty_sums(shares, pad_value)
    to_pad_value.zero_()  # a padded token's query has no gradient
    backward_kernel[heads, shares](
        to_out=to_out,
        to_qkv=to_qkv,
        to_bias=to_bias,
        to_pad_value=to_pad_value,
        to_logit_scale=to_logit_scale,
        **arguments,
    )
    if arguments["QUERIES"] < arguments["KEYS"]:
        blocks = num_blocks(arguments)
        shares = num_shares(qkv.device, heads * blocks, windows)
        to_bias = _empty_sums(shares, bias)
        bias_gradient_kernel[heads, blocks, shares](to_out=to_out, to_bias=to_bias, **arguments)
    return to_qkv, to_bias.sum(0), to_pad_value.sum(0), to_logit_scale.sum(0)


@window_attention_backward.register_fake
def _(to_out, qkv, bias, pad_value, logit_scale, *_):
    sums = (_empty_sums(1, like)[0] for like in (bias, pad_value, logit_scale))
    return torch.empty_like(qkv, memory_format=torch.contiguous_format), *sums


def _empty_out(qkv: Tensor) -> Tensor:
    return qkv.new_empty((*qkv.shape[:3], qkv.shape[3] // 3))


def _empty_sums(shares: int, like: Tensor | None) -> Tensor:
    """Return room for one sum per share, each of the shape of ``like``; none at all for None."""
    shape = (shares, 0) if like is None else (shares, *like.shape)
    device = None if like is None else like.device
    return torch.empty(shape, dtype=torch.float32, device=device)


def _save_for_backward(ctx, inputs, output):
    tensors, ctx.grid = inputs[:4], inputs[4:]
    ctx.save_for_backward(*tensors)


def _backward(ctx, to_out):
    tensors = ctx.saved_tensors
    gradients = window_attention_backward(to_out, *tensors, *ctx.grid)
    # An input that is None has no gradient; the others' gradients are of their own type.
    to_tensors = (
        None if tensor is None else gradient.to(tensor.dtype)
        for tensor, gradient in zip(tensors, gradients, strict=True)
    )
    return *to_tensors, *(None for _ in ctx.grid)


window_attention.register_autograd(_backward, setup_context=_save_for_backward)
