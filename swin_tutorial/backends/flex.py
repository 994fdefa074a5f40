"""Attention by PyTorch's FlexAttention: bias and mask as functions of positions."""

import functools
import warnings
from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from swin_tutorial.masks import check_boolean

_BLOCK = 128  # tokens per block of the kernel that PyTorch compiles


def attend(
    q: Float[Tensor, "b n heads t d"],
    k: Float[Tensor, "b n heads t d"],
    v: Float[Tensor, "b n heads t d"],
    bias: Float[Tensor, "heads t t"],
    mask: Bool[Tensor, "n t t"] | Callable | None,
    scale: float,
    dropout: float = 0.0,
) -> Float[Tensor, "b n heads t d"]:
    """Return the values, averaged with the attention weights.

    ``mask`` may be a predicate, ``WindowGrid.mask_mod``.  Raises ValueError for dropout, which
    FlexAttention does not have, and NotImplementedError where a gradient is wanted on a CPU.
    """
    if dropout:
        raise ValueError(f"backend='flex' has no dropout, got {dropout}: use backend='sdpa'")
    if q.device.type == "cpu" and (q.requires_grad or v.requires_grad):
        raise NotImplementedError(
            "PyTorch's FlexAttention has no backward pass on a CPU: use backend='sdpa', or "
            "torch.no_grad()"
        )
    if not len(q):
        return torch.zeros_like(v)  # FlexAttention cannot take an empty batch
    if isinstance(mask, Tensor):
        check_boolean(mask)
        mask = _predicate(mask)
    n, tokens = q.shape[1], q.shape[3]
    bias = bias.to(q.dtype)
    q, k, v = (rearrange(x, "b n heads t d -> (b n) heads t d") for x in (q, k, v))
    out = _flex_attention(
        q,
        k,
        v,
        score_mod=lambda score, batch, head, query, key: score + bias[head, query, key],
        block_mask=None if mask is None else _block_mask(mask, tokens, q.device),
        scale=scale,
    )
    return rearrange(out, "(b n) heads t d -> b n heads t d", n=n)


def _predicate(mask: Bool[Tensor, "n t t"]) -> Callable:
    """Return a mask as a predicate of (window of the batch, head, query, key)."""
    return lambda window, head, query, key: mask[window % mask.shape[0], query, key]


def _block_mask(mask_mod: Callable, tokens: int, device: torch.device) -> BlockMask:
    """Return FlexAttention's form of a mask in which every block of tokens needs the predicate.

    ``create_block_mask`` would try the predicate on every pair of tokens of the whole batch.
    """
    blocks = -(-tokens // _BLOCK)
    index = torch.arange(blocks, dtype=torch.int32, device=device).expand(1, 1, blocks, blocks)
    count = torch.full((1, 1, blocks), blocks, dtype=torch.int32, device=device)
    return BlockMask.from_kv_blocks(
        count,
        index.contiguous(),
        BLOCK_SIZE=_BLOCK,
        mask_mod=mask_mod,
        seq_lengths=(tokens, tokens),
    )


def _flex_attention(q: Tensor, k: Tensor, v: Tensor, **options) -> Tensor:
    """Call FlexAttention, compiled on a GPU, step by step on a CPU."""
    if torch.compiler.is_compiling():
        return flex_attention(q, k, v, **options)
    if q.is_cuda:
        return _compiled_flex_attention()(q, k, v, **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flex_attention called without torch.compile")
        return flex_attention(q, k, v, **options)


@functools.cache
def _compiled_flex_attention() -> Callable:
    return torch.compile(flex_attention)
