"""Linear layers at the full speed of a CPU.

In single precision, PyTorch's ``linear`` calls MKL, which is slow on processors that are not
Intel's.  oneDNN, which PyTorch's x86 builds hold as well, is up to twice as fast there, and can
apply GELU before its output leaves the cache.  Everywhere else this is PyTorch's own ``linear``.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_linear_pointwise"
)


def linear(
    x: Float[Tensor, "*batch i"],
    weight: Float[Tensor, "o i"],
    bias: Float[Tensor, "o"] | None = None,
    gelu: bool = False,
) -> Float[Tensor, "*batch o"]:
    """Return ``x @ weight.T + bias``, with GELU applied to it if asked for."""
    if _HAS_ONEDNN and _fits_onednn(x, weight):
        needs_gradient = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
        fused = gelu and not needs_gradient  # GELU's gradient needs what it was applied to
        flat = x.reshape(-1, x.shape[-1])
        out = _onednn_linear(flat, weight, bias, fused).view(*x.shape[:-1], -1)
        return F.gelu(out) if gelu and not fused else out
    out = F.linear(x, weight, bias)
    return F.gelu(out) if gelu else out


def _fits_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_exporting()  # other runtimes do not know the operator
    )


# A torch operator of its own, so that torch.compile takes it as it is.


@torch.library.custom_op("swin_tutorial::linear", mutates_args=())
def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
    activation = "gelu" if gelu else "none"
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")


@_onednn_linear.register_fake
def _(x, weight, bias, gelu):
    return x.new_empty(x.shape[0], weight.shape[0])


def _save_for_backward(ctx, inputs, output):
    x, weight, bias, _ = inputs
    ctx.save_for_backward(x, weight)
    ctx.has_bias = bias is not None


def _backward(ctx, gradient):
    x, weight = ctx.saved_tensors
    to_x = to_weight = to_bias = None
    if ctx.needs_input_grad[0]:
        to_x = _onednn_linear(gradient, weight.T.contiguous(), None, False)
    if ctx.needs_input_grad[1]:
        to_weight = _onednn_linear(gradient.T.contiguous(), x.T.contiguous(), None, False)
    if ctx.has_bias and ctx.needs_input_grad[2]:
        to_bias = gradient.sum(0)
    return to_x, to_weight, to_bias, None


_onednn_linear.register_autograd(_backward, setup_context=_save_for_backward)


@register_flop_formula(torch.ops.swin_tutorial.linear)
def _flops(x_shape, weight_shape, *arguments, **options) -> int:
    return 2 * x_shape[0] * x_shape[1] * weight_shape[0]
