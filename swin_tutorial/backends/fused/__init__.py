"""Window attention in one Triton kernel: padding, shift, windows and mask are index arithmetic
(chapter 10).

The kernel reads queries, keys and values where the projection left them, in the feature map, and
writes its output where the map wants it.  No rolled copy, no windows and no mask exist in memory:
``geometry.token_places`` says which token of the map a token of a window is, and that is all there
is to a shift.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from swin_tutorial.backends.fused.launch import is_interpreted
from swin_tutorial.backends.fused.ops import grid_arguments, window_attention
from swin_tutorial.grid import WindowGrid

# The GPUs, by torch.cuda.get_device_name, on which the kernel was timed: backend="auto" uses it on
# these alone.  `swin-tutorial bench attention` times it.
MEASURED_ON: frozenset[str] = frozenset()

HEAD_DIMS = (16, 32, 64)
MAX_WINDOW = 16
DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def attend(
    qkv: Float[Tensor, "b h w c3"],
    bias: Float[Tensor, "heads t t"],
    grid: WindowGrid,
    pad_value: Float[Tensor, "c3"] | None = None,
    logit_scale: Float[Tensor, "heads"] | None = None,
) -> Float[Tensor, "b h w c"]:
    """Attend within the windows of ``grid``, from a map of queries, keys and values to a map.

    Args:
        qkv: for each token of the map its query, key and value, each with the heads side by side.
        bias: what is added to the scores of each head.
        grid: the geometry, of two axes.  Where ``padding="mask"``, padding is never read.
        pad_value: where ``padding="attend"``, the query, key and value of a padded token: the bias
            of the projection that made ``qkv``, since it was fed zeros.  None for zeros.
        logit_scale: Swin V2's logarithm of the scale of cosine similarity.  None for V1's scores,
            query . key / sqrt(d).

    Raises ValueError, with the reason, for what ``unsupported_reason`` names, and for a map that is
    not of the grid's size.
    """
    head_dim = qkv.shape[-1] // (3 * bias.shape[0])
    reason = unsupported_reason(qkv.device, qkv.dtype, head_dim, grid.window_size)
    if reason:
        raise ValueError(f"backend='fused' {reason}")
    if tuple(qkv.shape[1:-1]) != grid.size:
        raise ValueError(
            f"this grid is for maps of {grid.size[0]}x{grid.size[1]} tokens, got shape "
            f"{tuple(qkv.shape)}: make a WindowGrid of the map's own size"
        )
    return window_attention(qkv, bias, pad_value, logit_scale, *grid_arguments(grid))


def unsupported_reason(
    device: torch.device, dtype: torch.dtype, head_dim: int, window_size: tuple[int, ...]
) -> str | None:
    """Say why the kernel cannot work on such queries, keys and values; None if it can.

    The answer continues a sentence that begins with the kernel's name.
    """
    if len(window_size) != 2:
        return (
            f"takes maps of two axes, and {window_size} is a window of {len(window_size)}: use "
            "backend='sdpa'"
        )
    if device.type != "cuda" and not is_interpreted():
        return (
            f"needs a GPU, and the map is on {str(device)!r}: use backend='sdpa' or 'auto', or set "
            "TRITON_INTERPRET=1 before Triton is first imported to run the kernel step by step"
        )
    if dtype not in DTYPES:
        return f"takes float16, bfloat16 and float32, not {dtype}: use backend='sdpa'"
    if head_dim not in HEAD_DIMS:
        return f"takes heads of {HEAD_DIMS} channels, not {head_dim}: use backend='sdpa'"
    if max(window_size) > MAX_WINDOW:
        return (
            f"takes windows of up to {MAX_WINDOW} tokens on each axis, not {window_size}: "
            "use backend='sdpa'"
        )
    return None
