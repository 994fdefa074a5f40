"""Attention by PyTorch's ``scaled_dot_product_attention``, which need not store the scores."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from swin_tutorial.backends import eager
from swin_tutorial.masks import additive_mask


def attend(
    q: Float[Tensor, "b n heads t d"],
    k: Float[Tensor, "b n heads t d"],
    v: Float[Tensor, "b n heads t d"],
    bias: Float[Tensor, "heads t t"],
    mask: Bool[Tensor, "n t t"] | None,
    scale: float,
    dropout: float = 0.0,
) -> Float[Tensor, "b n heads t d"]:
    """Return the values, averaged with the attention weights."""
    # PyTorch's kernel for CPUs cannot differentiate the bias.  PyTorch then takes separate steps,
    # which are slower than ours (docs/performance.md).
    if q.device.type == "cpu" and bias.requires_grad and torch.is_grad_enabled():
        return eager.attend(q, k, v, bias, mask, scale, dropout)
    # PyTorch's kernels take 4 dimensions, so the windows join the batch.  That moves no data, but
    # the mask differs from window to window, so bias + mask is repeated for every image.
    batch, n = q.shape[:2]
    added = bias.to(q.dtype)[None]
    if mask is not None:
        added = added + additive_mask(mask, q.dtype)[:, None]
        added = added.repeat(batch, 1, 1, 1)
    q, k, v = (rearrange(x, "b n heads t d -> (b n) heads t d") for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, added, dropout, scale=scale)
    return rearrange(out, "(b n) heads t d -> b n heads t d", n=n)
