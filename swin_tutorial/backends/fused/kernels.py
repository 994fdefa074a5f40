"""The three kernels: one program serves one head and walks over many windows of the whole batch.

A head's position bias is read once and stays in registers, and the bias's gradient is summed there
too, so that a program writes it once.  The programs' sums are added up afterwards, in a fixed
order: there are no atomic additions, and every run gives the same bits.  Programs of neighboring
heads run side by side, because their channels lie side by side in memory.
"""

from typing import no_type_check

import triton
import triton.language as tl

from swin_tutorial.backends.fused.arithmetic import (
    MAX_LOGIT_SCALE,
    dot,
    exponentials,
    inverse_norm,
    load_bias,
    load_keys_and_values,
    load_rows,
    load_scale,
    store_bias,
    store_rows,
    through_norm,
    weights_and_gradient,
)
from swin_tutorial.backends.fused.geometry import lane_places, may_need_mask

# Sizes that change from call to call: Triton would compile again for a 1 or a multiple of 16.
SIZES = ("images", "height", "width", "shift_rows", "shift_columns")
STRIDES = ("stride_head", "stride_query", "stride_key")


@triton.jit(do_not_specialize=SIZES + STRIDES)
@no_type_check
def forward_kernel(
    qkv,
    bias,
    pad_value,
    logit_scale,
    out,
    images,
    height,
    width,
    shift_rows,
    shift_columns,
    stride_head,
    stride_query,
    stride_key,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    PERIODIC: tl.constexpr,
    HAS_PAD_VALUE: tl.constexpr,
    COSINE: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """A program: (head, block of queries, share of the windows)."""
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    CHANNELS: tl.constexpr = HEADS * HEAD_DIM
    head = tl.program_id(0)
    query_lane = tl.program_id(1) * QUERIES + tl.arange(0, QUERIES)
    key_lane = tl.arange(0, KEYS)
    channel = head * HEAD_DIM + tl.arange(0, HEAD_DIM)
    bias += head * stride_head
    bias = load_bias(bias, query_lane, key_lane, stride_query, stride_key, TOKENS)
    scale = load_scale(logit_scale, head, HEAD_DIM, COSINE)

    geometry = (height, width, shift_rows, shift_columns)
    windows = tl.cdiv(height, WINDOW[0]) * tl.cdiv(width, WINDOW[1])
    for index in range(tl.program_id(2), images * windows, tl.num_programs(2)):
        window = index % windows
        image = (index // windows).to(tl.int64) * height * width * CHANNELS
        needs_mask = may_need_mask(window, geometry, WINDOW, MASK_PADDING, PERIODIC)
        query_place, query_there, _, query_region = lane_places(
            window, query_lane, geometry, WINDOW, MASK_PADDING, PERIODIC
        )
        key_place, key_there, key_is_pad, key_region = lane_places(
            window, key_lane, geometry, WINDOW, MASK_PADDING, PERIODIC
        )

        of_image = qkv + image * 3
        q = load_rows(of_image, query_place, 3 * CHANNELS, channel, query_there)
        k, v = load_keys_and_values(
            of_image, pad_value, key_place, key_there, key_is_pad, channel, CHANNELS, HAS_PAD_VALUE
        )
        powers, total = exponentials(
            q, k, scale, bias, needs_mask, query_region, key_region, COSINE, WIDEN
        )
        attended = dot(powers.to(v.dtype), v, WIDEN) / total[:, None]
        store_rows(out + image, query_place, CHANNELS, channel, query_there, attended)


@triton.jit(do_not_specialize=SIZES + STRIDES)
@no_type_check
def backward_kernel(
    qkv,
    bias,
    pad_value,
    logit_scale,
    to_out,
    to_qkv,
    to_bias,
    to_pad_value,
    to_logit_scale,
    images,
    height,
    width,
    shift_rows,
    shift_columns,
    stride_head,
    stride_query,
    stride_key,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    PERIODIC: tl.constexpr,
    HAS_PAD_VALUE: tl.constexpr,
    COSINE: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """A program: (head, share of the windows).  It walks over the blocks of queries of a window.

    Where one block holds all queries, the bias's gradient is summed on the way.  If not, it has no
    room among the registers, and ``bias_gradient_kernel`` computes it.
    """
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    CHANNELS: tl.constexpr = HEADS * HEAD_DIM
    ONE_BLOCK: tl.constexpr = QUERIES == KEYS
    head, share = tl.program_id(0), tl.program_id(1)
    key_lane = tl.arange(0, KEYS)
    channel = head * HEAD_DIM + tl.arange(0, HEAD_DIM)
    bias += head * stride_head
    scale = load_scale(logit_scale, head, HEAD_DIM, COSINE)
    if ONE_BLOCK:
        bias_tile = load_bias(bias, key_lane, key_lane, stride_query, stride_key, TOKENS)
        bias_sum = tl.zeros((QUERIES, KEYS), tl.float32)
    pad_k_sum = tl.zeros((HEAD_DIM,), tl.float32)
    pad_v_sum = tl.zeros((HEAD_DIM,), tl.float32)
    scale_sum = 0.0

    geometry = (height, width, shift_rows, shift_columns)
    windows = tl.cdiv(height, WINDOW[0]) * tl.cdiv(width, WINDOW[1])
    for index in range(share, images * windows, tl.num_programs(1)):
        window = index % windows
        image = (index // windows).to(tl.int64) * height * width * CHANNELS
        needs_mask = may_need_mask(window, geometry, WINDOW, MASK_PADDING, PERIODIC)
        key_place, key_there, key_is_pad, key_region = lane_places(
            window, key_lane, geometry, WINDOW, MASK_PADDING, PERIODIC
        )

        of_image = qkv + image * 3
        k, v = load_keys_and_values(
            of_image, pad_value, key_place, key_there, key_is_pad, channel, CHANNELS, HAS_PAD_VALUE
        )
        to_k = tl.zeros((KEYS, HEAD_DIM), tl.float32)
        to_v = tl.zeros((KEYS, HEAD_DIM), tl.float32)
        if COSINE:
            k_inverse = inverse_norm(k)
            k_normed = k * k_inverse[:, None]
            k_factor = k_normed.to(k.dtype)
            if k.dtype == tl.float32:
                k = k_factor  # its norm of 1 changes nothing, and two would not fit on the chip
        else:
            k_factor = k

        for block in range(0, (TOKENS + QUERIES - 1) // QUERIES):
            query_lane = block * QUERIES + tl.arange(0, QUERIES)
            query_place, query_there, _, query_region = lane_places(
                window, query_lane, geometry, WINDOW, MASK_PADDING, PERIODIC
            )
            q = load_rows(of_image, query_place, 3 * CHANNELS, channel, query_there)
            to_o = load_rows(to_out + image, query_place, CHANNELS, channel, query_there)
            if not ONE_BLOCK:
                bias_tile = load_bias(bias, query_lane, key_lane, stride_query, stride_key, TOKENS)
            weights, to_scores = weights_and_gradient(
                q, k, v, to_o, scale, bias_tile, needs_mask, query_region, key_region,
                COSINE, WIDEN,
            )  # fmt: skip
            if ONE_BLOCK:
                bias_sum += to_scores
            to_v += dot(tl.trans(weights.to(v.dtype)), to_o, WIDEN)
            to_scores = to_scores.to(k.dtype)
            to_q = dot(to_scores, k_factor, WIDEN) * scale
            if COSINE:
                q_inverse = inverse_norm(q)
                q_normed = q * q_inverse[:, None]
                to_k += dot(tl.trans(to_scores), q_normed.to(q.dtype), WIDEN)
                scale_sum += tl.sum(to_q * q_normed)
                to_q = through_norm(to_q, q_normed, q_inverse)
            else:
                to_k += dot(tl.trans(to_scores), q, WIDEN)
            store_rows(to_qkv + image * 3, query_place, 3 * CHANNELS, channel, query_there, to_q)
        to_k *= scale
        if COSINE:
            to_k = through_norm(to_k, k_normed, k_inverse)
        to_keys = to_qkv + image * 3 + CHANNELS
        store_rows(to_keys, key_place, 3 * CHANNELS, channel, key_there, to_k)
        store_rows(to_keys + CHANNELS, key_place, 3 * CHANNELS, channel, key_there, to_v)
        if HAS_PAD_VALUE:
            pad_k_sum += tl.sum(tl.where(key_is_pad[:, None], to_k, 0.0), axis=0)
            pad_v_sum += tl.sum(tl.where(key_is_pad[:, None], to_v, 0.0), axis=0)

    # This program's share of the sums; the shares are added up afterwards.
    if ONE_BLOCK:
        to_bias += (share * HEADS + head) * TOKENS * TOKENS
        store_bias(to_bias, key_lane, key_lane, bias_sum, TOKENS)
    if HAS_PAD_VALUE:
        to_pad_value += share * 3 * CHANNELS + channel
        tl.store(to_pad_value + CHANNELS, pad_k_sum)
        tl.store(to_pad_value + 2 * CHANNELS, pad_v_sum)
    if COSINE:
        is_free = tl.load(logit_scale + head).to(tl.float32) <= MAX_LOGIT_SCALE
        tl.store(to_logit_scale + share * HEADS + head, tl.where(is_free, scale_sum, 0.0))


@triton.jit(do_not_specialize=SIZES + STRIDES)
@no_type_check
def bias_gradient_kernel(
    qkv,
    bias,
    pad_value,
    logit_scale,
    to_out,
    to_bias,
    images,
    height,
    width,
    shift_rows,
    shift_columns,
    stride_head,
    stride_query,
    stride_key,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    PERIODIC: tl.constexpr,
    HAS_PAD_VALUE: tl.constexpr,
    COSINE: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """A program: (head, block of queries, share of the windows), as in the forward kernel."""
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    CHANNELS: tl.constexpr = HEADS * HEAD_DIM
    head, share = tl.program_id(0), tl.program_id(2)
    query_lane = tl.program_id(1) * QUERIES + tl.arange(0, QUERIES)
    key_lane = tl.arange(0, KEYS)
    channel = head * HEAD_DIM + tl.arange(0, HEAD_DIM)
    bias += head * stride_head
    bias = load_bias(bias, query_lane, key_lane, stride_query, stride_key, TOKENS)
    bias_sum = tl.zeros((QUERIES, KEYS), tl.float32)
    scale = load_scale(logit_scale, head, HEAD_DIM, COSINE)

    geometry = (height, width, shift_rows, shift_columns)
    windows = tl.cdiv(height, WINDOW[0]) * tl.cdiv(width, WINDOW[1])
    for index in range(share, images * windows, tl.num_programs(2)):
        window = index % windows
        image = (index // windows).to(tl.int64) * height * width * CHANNELS
        needs_mask = may_need_mask(window, geometry, WINDOW, MASK_PADDING, PERIODIC)
        query_place, query_there, _, query_region = lane_places(
            window, query_lane, geometry, WINDOW, MASK_PADDING, PERIODIC
        )
        key_place, key_there, key_is_pad, key_region = lane_places(
            window, key_lane, geometry, WINDOW, MASK_PADDING, PERIODIC
        )

        of_image = qkv + image * 3
        q = load_rows(of_image, query_place, 3 * CHANNELS, channel, query_there)
        k, v = load_keys_and_values(
            of_image, pad_value, key_place, key_there, key_is_pad, channel, CHANNELS, HAS_PAD_VALUE
        )
        to_o = load_rows(to_out + image, query_place, CHANNELS, channel, query_there)
        _, to_scores = weights_and_gradient(
            q, k, v, to_o, scale, bias, needs_mask, query_region, key_region, COSINE, WIDEN
        )
        bias_sum += to_scores
    to_bias += (share * HEADS + head) * TOKENS * TOKENS
    store_bias(to_bias, query_lane, key_lane, bias_sum, TOKENS)
