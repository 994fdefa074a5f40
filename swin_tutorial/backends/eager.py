"""Attention step by step: every score and every weight is held in memory, to be looked at."""

import torch.nn.functional as F
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor

from swin_tutorial.masks import additive_mask


def attention_weights(
    q: Float[Tensor, "b n heads t d"],
    k: Float[Tensor, "b n heads t d"],
    bias: Float[Tensor, "heads t t"],
    mask: Bool[Tensor, "n t t"] | None,
    scale: float,
) -> Float[Tensor, "b n heads t t"]:
    """Return how much each query attends to each key: every row sums to 1."""
    scores = einsum(q * scale, k, "b n heads q d, b n heads k d -> b n heads q k")
    scores = scores + bias.to(scores.dtype)
    if mask is not None:
        scores = scores + additive_mask(mask, scores.dtype)[:, None]
    return scores.softmax(dim=-1)


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
    weights = F.dropout(attention_weights(q, k, bias, mask, scale), dropout)
    return einsum(weights.to(v.dtype), v, "b n heads q k, b n heads k d -> b n heads q d")
