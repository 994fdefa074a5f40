"""The arithmetic of one window and head, as functions of tiles: rows of tokens, squares of scores.

Scores are kept in units of log 2, because a GPU has an instruction for 2 ** x and none for e ** x.
"""

from typing import no_type_check

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
MAX_LOGIT_SCALE = tl.constexpr(4.605170185988092)  # log 100, as in Swin V2
MIN_NORM = tl.constexpr(1e-12)  # as in torch.nn.functional.normalize


@triton.jit
@no_type_check
def dot(a, b, WIDEN: tl.constexpr):
    """Multiply matrices, summing in float32 and without tf32."""
    if WIDEN:  # Triton's interpreter has no product of bfloat16
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


# --- memory ---


@triton.jit
@no_type_check
def load_rows(x, place, stride, channel, is_there):
    """Load some channels of the tokens that are there, and zeros for the others."""
    return tl.load(
        x + place[:, None] * stride + channel[None, :], mask=is_there[:, None], other=0.0
    )


@triton.jit
@no_type_check
def store_rows(x, place, stride, channel, is_there, rows):
    """Store some channels of the tokens that are there."""
    tl.store(
        x + place[:, None] * stride + channel[None, :],
        rows.to(x.dtype.element_ty),
        mask=is_there[:, None],
    )


@triton.jit
@no_type_check
def load_keys_and_values(
    qkv,
    pad_value,
    place,
    is_there,
    is_padding,
    channel,
    CHANNELS: tl.constexpr,
    HAS_PAD_VALUE: tl.constexpr,
):
    """Load a head's keys and values; padding has those of ``pad_value``, or zeros."""
    k = load_rows(qkv + CHANNELS, place, 3 * CHANNELS, channel, is_there)
    v = load_rows(qkv + 2 * CHANNELS, place, 3 * CHANNELS, channel, is_there)
    if HAS_PAD_VALUE:
        pad_k = tl.load(pad_value + CHANNELS + channel).to(k.dtype)
        pad_v = tl.load(pad_value + 2 * CHANNELS + channel).to(v.dtype)
        k = tl.where(is_padding[:, None], pad_k[None, :], k)
        v = tl.where(is_padding[:, None], pad_v[None, :], v)
    return k, v


@triton.jit
@no_type_check
def load_bias(bias, query_lane, key_lane, stride_query, stride_key, TOKENS: tl.constexpr):
    """Load a tile of a head's position bias, in the unit of scores; -inf where a lane has no key.

    Lanes without a token stand in for the last one.
    """
    query, key = tl.minimum(query_lane, TOKENS - 1), tl.minimum(key_lane, TOKENS - 1)
    tile = tl.load(bias + query[:, None] * stride_query + key[None, :] * stride_key)
    return tl.where(key_lane[None, :] < TOKENS, tile.to(tl.float32) * LOG2_E, float("-inf"))


@triton.jit
@no_type_check
def store_bias(to_bias, query_lane, key_lane, tile, TOKENS: tl.constexpr):
    """Store a tile of a head's ``t t`` matrix, without the lanes that have no token."""
    tl.store(
        to_bias + query_lane[:, None] * TOKENS + key_lane[None, :],
        tile,
        mask=(query_lane[:, None] < TOKENS) & (key_lane[None, :] < TOKENS),
    )


@triton.jit
@no_type_check
def load_scale(logit_scale, head, HEAD_DIM: tl.constexpr, COSINE: tl.constexpr):
    """Return what a head multiplies its products or cosines by: a constant, or learned (V2)."""
    if COSINE:
        logit = tl.load(logit_scale + head).to(tl.float32)
        return tl.exp(tl.minimum(logit, MAX_LOGIT_SCALE))
    else:
        return HEAD_DIM**-0.5


# --- scores, weights and their gradients ---


@triton.jit
@no_type_check
def inverse_norm(x):
    """Return 1 / |x| of each row, 1 / MIN_NORM for rows shorter than that, and 0 for zeros.

    Zeros (padding, say) have no direction, and so no gradient.
    """
    x = x.to(tl.float32)
    norm = tl.sqrt(tl.sum(x * x, axis=1))
    return tl.where(norm > 0.0, 1.0 / tl.maximum(norm, MIN_NORM), 0.0)


@triton.jit
@no_type_check
def exponentials(
    q,
    k,
    scale,
    bias,
    needs_mask,
    query_region,
    key_region,
    COSINE: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Return exp(score - the query's largest score), and its sum over the keys."""
    scores = dot(q, tl.trans(k), WIDEN)
    if COSINE:
        scores *= inverse_norm(q)[:, None] * inverse_norm(k)[None, :]
    scores = scores * (scale * LOG2_E) + bias
    if needs_mask:
        scores = tl.where(query_region[:, None] == key_region[None, :], scores, float("-inf"))
    powers = tl.exp2(scores - tl.max(scores, axis=1)[:, None])
    return powers, tl.sum(powers, axis=1)


@triton.jit
@no_type_check
def weights_and_gradient(
    q,
    k,
    v,
    to_out,
    scale,
    bias,
    needs_mask,
    query_region,
    key_region,
    COSINE: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Return the attention weights, computed again, and the gradient to the scores."""
    powers, total = exponentials(
        q, k, scale, bias, needs_mask, query_region, key_region, COSINE, WIDEN
    )
    weights = powers / total[:, None]
    to_weights = dot(to_out, tl.trans(v), WIDEN)
    # Softmax: what moves all weights of a query alike moves none of them.
    to_scores = weights * (to_weights - tl.sum(weights * to_weights, axis=1)[:, None])
    return weights, to_scores


@triton.jit
@no_type_check
def through_norm(to_normed, normed, inverse):
    """Return the gradient to x from that to x / |x|: what points along x does not count."""
    along = tl.sum(to_normed * normed, axis=1)
    along = tl.where(inverse < 1.0 / MIN_NORM, along, 0.0)
    return (to_normed - along[:, None] * normed) * inverse[:, None]
