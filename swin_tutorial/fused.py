"""Window attention in one Triton kernel: padding, shift, windows and mask are index arithmetic
(chapter 10).

The kernel reads queries, keys and values where the projection left them, in the feature map, and
writes its output where the map wants it.  No rolled copy, no windows and no mask exist in memory:
``token_places`` says which token of the map a token of a window is, and that is all there is to a
shift.

How the work is cut up: a program serves one head and walks over many windows of the whole batch.
The position bias of its head is read once and stays in registers, and the bias's gradient is
summed there too, so that a program writes it once; the programs' sums are added up in a fixed
order.  There are no atomic additions, and every run gives the same bits.  Programs of neighbouring
heads run side by side, because their channels lie side by side in memory.
"""

from collections.abc import Sequence
from typing import NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from triton.runtime import JITFunction

from swin_tutorial.grid import WindowGrid

HEAD_SIZES = (16, 32, 64)
LARGEST_WINDOW = 16
PROGRAMS_PER_PROCESSOR = 8
DTYPES = (torch.float16, torch.bfloat16, torch.float32)

_LOG2_E = tl.constexpr(1.4426950408889634)
_LARGEST_LOGIT_SCALE = tl.constexpr(4.605170185988092)  # log 100, as in Swin V2
_SMALLEST_NORM = tl.constexpr(1e-12)  # as in torch.nn.functional.normalize


def window_attention(
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
        grid: the geometry.  With ``padding="mask"`` padding is never read.
        pad_value: with ``padding="attend"``, the query, key and value of a padded token: the bias
            of the projection that made ``qkv``, since it was fed zeros.  None for zeros.
        logit_scale: Swin V2's logarithm of the scale of cosine similarity.  None for V1's scores,
            query . key / sqrt(d).

    Raises ValueError, with the reason, for what ``why_not`` names.
    """
    head_size = qkv.shape[3] // (3 * bias.shape[0])
    reason = why_not(qkv.device, qkv.dtype, head_size, grid.window_size)
    if reason:
        raise ValueError(f"backend='fused' {reason}")
    if (qkv.shape[1], qkv.shape[2]) != (grid.height, grid.width):
        raise ValueError(
            f"this grid is for maps of {grid.height}x{grid.width} tokens, got shape "
            f"{tuple(qkv.shape)}: make a WindowGrid from the map's own height and width"
        )
    geometry = grid.window_size, grid.shift_size, grid.padding
    return _window_attention(qkv, bias, pad_value, logit_scale, *geometry)


def why_not(
    device: torch.device, dtype: torch.dtype, head_size: int, window_size: tuple[int, int]
) -> str | None:
    """Say why the kernels cannot work on such queries, keys and values; None if they can.

    The answer continues a sentence that begins with their name.
    """
    if device.type != "cuda" and not _interpreted():
        return (
            f"needs a GPU, and the map is on {str(device)!r}: use backend='sdpa' or 'auto', or set "
            "TRITON_INTERPRET=1 before Triton is first imported to run the kernel step by step"
        )
    if dtype not in DTYPES:
        return f"takes float16, bfloat16 and float32, not {dtype}: use backend='sdpa'"
    if head_size not in HEAD_SIZES:
        return f"takes heads of {HEAD_SIZES} channels, not {head_size}: use backend='sdpa'"
    if max(window_size) > LARGEST_WINDOW:
        return (
            f"takes windows of up to {LARGEST_WINDOW} tokens on each axis, not {window_size}: "
            "use backend='sdpa'"
        )
    return None


# --- where a window's tokens stand ---


@triton.jit
@no_type_check
def token_places(window, token, geometry, WINDOW: tl.constexpr, MASK_PADDING: tl.constexpr):
    """Return the (row, column, is real, region) of tokens of a window, both numbered row by row.

    ``geometry`` is the map's height and width and the shift of rows and columns that is really
    used; WINDOW is the window's height and width.  Row and column count in the map as it was before
    padding and shift: ``WindowGrid.partition`` puts the same token there.  The region is the label
    that ``masks.region_ids`` gives.
    """
    height, width, shift_rows, shift_columns = geometry
    window_rows, window_columns = tl.cdiv(height, WINDOW[0]), tl.cdiv(width, WINDOW[1])
    window_row, window_column = window // window_columns, window % window_columns

    # The token at rolled position y' stood at y' + shift, or went round the edge of the padded map.
    row = window_row * WINDOW[0] + token // WINDOW[1] + shift_rows
    column = window_column * WINDOW[1] + token % WINDOW[1] + shift_columns
    row_wraps = row >= window_rows * WINDOW[0]
    column_wraps = column >= window_columns * WINDOW[1]
    row = tl.where(row_wraps, row - window_rows * WINDOW[0], row)
    column = tl.where(column_wraps, column - window_columns * WINDOW[1], column)
    is_real = (row < height) & (column < width)

    # The un-rolled window that it stood in, floor((y - shift) / window): the rolled one's own
    # number, but the first for what went round.  Counted from 0, a shifted axis has one more.
    more_rows, more_columns = (shift_rows > 0).to(tl.int32), (shift_columns > 0).to(tl.int32)
    region_row = tl.where(row_wraps, 0, window_row + more_rows)
    region_column = tl.where(column_wraps, 0, window_column + more_columns)
    region = region_row * (window_columns + more_columns) + region_column
    if MASK_PADDING:
        padding_region = (window_rows + more_rows) * (window_columns + more_columns)
        region = tl.where(is_real, region, padding_region)
    return row, column, is_real, region


@triton.jit
@no_type_check
def is_divided(window, geometry, WINDOW: tl.constexpr, MASK_PADDING: tl.constexpr):
    """Say whether a window may hold several regions: its last token stands beyond the map's end.

    All others need no mask: 49 of 64 at the first stage of Swin-T, 1 of 4 at the third.
    """
    height, width, shift_rows, shift_columns = geometry
    window_columns = tl.cdiv(width, WINDOW[1])
    last_row = (window // window_columns + 1) * WINDOW[0] - 1 + shift_rows
    last_column = (window % window_columns + 1) * WINDOW[1] - 1 + shift_columns
    if MASK_PADDING:
        return (last_row >= height) | (last_column >= width)
    else:  # padding is then a part of the map like any other
        padded_height = tl.cdiv(height, WINDOW[0]) * WINDOW[0]
        return (last_row >= padded_height) | (last_column >= window_columns * WINDOW[1])


# Lanes come in powers of two.  Those that have no token of a window take the last one's place and
# region, so that their softmax is finite, and neither read nor write.


@triton.jit
@no_type_check
def _places(window, lane, geometry, WINDOW: tl.constexpr, MASK_PADDING: tl.constexpr):
    """Return, for each lane: its token's place in the map, is it there, is it padding."""
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    token = tl.minimum(lane, TOKENS - 1)
    row, column, is_real, _ = token_places(window, token, geometry, WINDOW, MASK_PADDING)
    has_token = lane < TOKENS
    return row * geometry[1] + column, has_token & is_real, has_token & (is_real == 0)


@triton.jit
@no_type_check
def _same_region(
    window, query_lane, key_lane, geometry, WINDOW: tl.constexpr, MASK_PADDING: tl.constexpr
):
    """Return the window's mask, True where a query may attend to a key."""
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    query, key = tl.minimum(query_lane, TOKENS - 1), tl.minimum(key_lane, TOKENS - 1)
    _, _, _, query_region = token_places(window, query, geometry, WINDOW, MASK_PADDING)
    _, _, _, key_region = token_places(window, key, geometry, WINDOW, MASK_PADDING)
    return query_region[:, None] == key_region[None, :]


# --- the arithmetic of one window and head ---


@triton.jit
@no_type_check
def _dot(a, b, WIDEN: tl.constexpr):
    """Multiply matrices, summing in float32 and without tf32."""
    if WIDEN:  # Triton's interpreter knows no product of bfloat16
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
@no_type_check
def _load_rows(x, place, stride, channel, is_there):
    """Load some channels of the tokens that are there, and zeros for the others."""
    return tl.load(
        x + place[:, None] * stride + channel[None, :], mask=is_there[:, None], other=0.0
    )


@triton.jit
@no_type_check
def _store_rows(x, place, stride, channel, is_there, rows):
    tl.store(
        x + place[:, None] * stride + channel[None, :],
        rows.to(x.dtype.element_ty),
        mask=is_there[:, None],
    )


@triton.jit
@no_type_check
def _fill_padding(x, is_pad, value):
    """Put the row that ``value`` points to where a token is padding."""
    return tl.where(is_pad[:, None], tl.load(value).to(x.dtype)[None, :], x)


@triton.jit
@no_type_check
def _load_bias(
    bias,
    query_lane,
    key_lane,
    stride_query,
    stride_key,
    TOKENS: tl.constexpr,
):
    """Load a head's bias in the unit of the scores, log 2; -inf where a lane has no key."""
    query, key = tl.minimum(query_lane, TOKENS - 1), tl.minimum(key_lane, TOKENS - 1)
    tile = tl.load(bias + query[:, None] * stride_query + key[None, :] * stride_key)
    return tl.where(key_lane[None, :] < TOKENS, tile.to(tl.float32) * _LOG2_E, float("-inf"))


@triton.jit
@no_type_check
def _store_bias(to_bias, query_lane, key_lane, tile, TOKENS: tl.constexpr):
    """Store a tile of a head's ``t t`` matrix, without the lanes that have no token."""
    tl.store(
        to_bias + query_lane[:, None] * TOKENS + key_lane[None, :],
        tile,
        mask=(query_lane[:, None] < TOKENS) & (key_lane[None, :] < TOKENS),
    )


@triton.jit
@no_type_check
def _load_scale(logit_scale, head, HEAD_SIZE: tl.constexpr, COSINE: tl.constexpr):
    if COSINE:
        logit = tl.load(logit_scale + head).to(tl.float32)
        return tl.exp(tl.minimum(logit, _LARGEST_LOGIT_SCALE))
    else:
        return HEAD_SIZE**-0.5


@triton.jit
@no_type_check
def _inverse_norm(x):
    x = x.to(tl.float32)
    return 1.0 / tl.maximum(tl.sqrt(tl.sum(x * x, axis=1)), _SMALLEST_NORM)


@triton.jit
@no_type_check
def _exponentials(
    q,
    k,
    scale,
    bias,
    window,
    query_lane,
    key_lane,
    geometry,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    COSINE: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Return exp(score - the query's largest score), and its sum over the keys."""
    scores = _dot(q, tl.trans(k), WIDEN)
    if COSINE:
        scores *= _inverse_norm(q)[:, None] * _inverse_norm(k)[None, :]
    scores = scores * (scale * _LOG2_E) + bias
    if is_divided(window, geometry, WINDOW, MASK_PADDING):
        may_attend = _same_region(window, query_lane, key_lane, geometry, WINDOW, MASK_PADDING)
        scores = tl.where(may_attend, scores, float("-inf"))
    exponentials = tl.exp2(scores - tl.max(scores, axis=1)[:, None])
    return exponentials, tl.sum(exponentials, axis=1)


@triton.jit
@no_type_check
def _weights_and_gradient(
    q,
    k,
    v,
    to_out,
    scale,
    bias,
    window,
    query_lane,
    key_lane,
    geometry,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    COSINE: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Return the attention weights, computed again, and the gradient to the scores."""
    exponentials, total = _exponentials(
        q, k, scale, bias, window, query_lane, key_lane, geometry,
        WINDOW, MASK_PADDING, COSINE, WIDEN,
    )  # fmt: skip
    weights = exponentials / total[:, None]
    to_weights = _dot(to_out, tl.trans(v), WIDEN)
    to_scores = weights * (to_weights - tl.sum(weights * to_weights, axis=1)[:, None])
    return weights, to_scores


@triton.jit
@no_type_check
def _through_norm(to_normed, normed, inverse_norm):
    """Return the gradient to x from that to x / |x|: what points along x does not count."""
    along = tl.sum(to_normed * normed, axis=1)
    along = tl.where(inverse_norm < 1.0 / _SMALLEST_NORM, along, 0.0)
    return (to_normed - along[:, None] * normed) * inverse_norm[:, None]


# --- the kernels ---

# Sizes that change from call to call.  Triton would compile again for a 1 or a multiple of 16.
_SIZES = ["images", "height", "width", "shift_rows", "shift_columns"]
_STRIDES = ["stride_head", "stride_query", "stride_key"]


@triton.jit(do_not_specialize=_SIZES + _STRIDES)
@no_type_check
def _forward_kernel(
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
    HEAD_SIZE: tl.constexpr,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    HAS_PAD_VALUE: tl.constexpr,
    COSINE: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """A program: (head, block of queries, share of the windows)."""
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    CHANNELS: tl.constexpr = HEADS * HEAD_SIZE
    head = tl.program_id(0)
    query_lane = tl.program_id(1) * QUERIES + tl.arange(0, QUERIES)
    key_lane = tl.arange(0, KEYS)
    channel = head * HEAD_SIZE + tl.arange(0, HEAD_SIZE)
    bias += head * stride_head
    bias = _load_bias(bias, query_lane, key_lane, stride_query, stride_key, TOKENS)
    scale = _load_scale(logit_scale, head, HEAD_SIZE, COSINE)

    geometry = (height, width, shift_rows, shift_columns)
    windows = tl.cdiv(height, WINDOW[0]) * tl.cdiv(width, WINDOW[1])
    for index in range(tl.program_id(2), images * windows, tl.num_programs(2)):
        window = index % windows
        image = (index // windows).to(tl.int64) * height * width * CHANNELS
        query_place, query_there, _ = _places(window, query_lane, geometry, WINDOW, MASK_PADDING)
        key_place, key_there, key_is_pad = _places(window, key_lane, geometry, WINDOW, MASK_PADDING)

        queries = qkv + image * 3
        q = _load_rows(queries, query_place, 3 * CHANNELS, channel, query_there)
        k = _load_rows(queries + CHANNELS, key_place, 3 * CHANNELS, channel, key_there)
        v = _load_rows(queries + 2 * CHANNELS, key_place, 3 * CHANNELS, channel, key_there)
        if HAS_PAD_VALUE:
            k = _fill_padding(k, key_is_pad, pad_value + CHANNELS + channel)
            v = _fill_padding(v, key_is_pad, pad_value + 2 * CHANNELS + channel)
        exponentials, total = _exponentials(
            q, k, scale, bias, window, query_lane, key_lane, geometry,
            WINDOW, MASK_PADDING, COSINE, WIDEN,
        )  # fmt: skip
        attended = _dot(exponentials.to(v.dtype), v, WIDEN) / total[:, None]
        _store_rows(out + image, query_place, CHANNELS, channel, query_there, attended)


@triton.jit(do_not_specialize=_SIZES + _STRIDES)
@no_type_check
def _backward_kernel(
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
    HEAD_SIZE: tl.constexpr,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    HAS_PAD_VALUE: tl.constexpr,
    COSINE: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """A program: (head, share of the windows).  It walks over the blocks of queries of a window.

    Where one block holds all queries, the bias's gradient is summed on the way.  If not, it has no
    room among the registers, and ``_bias_gradient_kernel`` computes it.
    """
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    CHANNELS: tl.constexpr = HEADS * HEAD_SIZE
    ONE_BLOCK: tl.constexpr = QUERIES == KEYS
    head, share = tl.program_id(0), tl.program_id(1)
    key_lane = tl.arange(0, KEYS)
    head_channel = tl.arange(0, HEAD_SIZE)
    channel = head * HEAD_SIZE + head_channel
    bias += head * stride_head
    scale = _load_scale(logit_scale, head, HEAD_SIZE, COSINE)
    if ONE_BLOCK:
        bias_tile = _load_bias(bias, key_lane, key_lane, stride_query, stride_key, TOKENS)
        bias_sum = tl.zeros((QUERIES, KEYS), tl.float32)
    pad_k_sum = tl.zeros((HEAD_SIZE,), tl.float32)
    pad_v_sum = tl.zeros((HEAD_SIZE,), tl.float32)
    scale_sum = 0.0

    geometry = (height, width, shift_rows, shift_columns)
    windows = tl.cdiv(height, WINDOW[0]) * tl.cdiv(width, WINDOW[1])
    for index in range(share, images * windows, tl.num_programs(1)):
        window = index % windows
        image = (index // windows).to(tl.int64) * height * width * CHANNELS
        key_place, key_there, key_is_pad = _places(window, key_lane, geometry, WINDOW, MASK_PADDING)

        queries = qkv + image * 3
        k = _load_rows(queries + CHANNELS, key_place, 3 * CHANNELS, channel, key_there)
        v = _load_rows(queries + 2 * CHANNELS, key_place, 3 * CHANNELS, channel, key_there)
        if HAS_PAD_VALUE:
            k = _fill_padding(k, key_is_pad, pad_value + CHANNELS + channel)
            v = _fill_padding(v, key_is_pad, pad_value + 2 * CHANNELS + channel)
        to_k = tl.zeros((KEYS, HEAD_SIZE), tl.float32)
        to_v = tl.zeros((KEYS, HEAD_SIZE), tl.float32)
        if COSINE:
            k_inverse = _inverse_norm(k)
            k_normed = k * k_inverse[:, None]
            k_factor = k_normed.to(k.dtype)
            if k.dtype == tl.float32:
                k = k_factor  # its norm of 1 changes nothing, and two would not fit on the chip
        else:
            k_factor = k

        for block in range(0, (TOKENS + QUERIES - 1) // QUERIES):
            query_lane = block * QUERIES + tl.arange(0, QUERIES)
            query_place, query_there, _ = _places(
                window, query_lane, geometry, WINDOW, MASK_PADDING
            )
            q = _load_rows(queries, query_place, 3 * CHANNELS, channel, query_there)
            to_o = _load_rows(to_out + image, query_place, CHANNELS, channel, query_there)
            if not ONE_BLOCK:
                bias_tile = _load_bias(bias, query_lane, key_lane, stride_query, stride_key, TOKENS)
            weights, to_scores = _weights_and_gradient(
                q, k, v, to_o, scale, bias_tile, window, query_lane, key_lane, geometry,
                WINDOW, MASK_PADDING, COSINE, WIDEN,
            )  # fmt: skip
            if ONE_BLOCK:
                bias_sum += to_scores
            to_v += _dot(tl.trans(weights.to(v.dtype)), to_o, WIDEN)
            to_scores = to_scores.to(k.dtype)
            to_q = _dot(to_scores, k_factor, WIDEN) * scale
            if COSINE:
                q_inverse = _inverse_norm(q)
                q_normed = q * q_inverse[:, None]
                to_k += _dot(tl.trans(to_scores), q_normed.to(q.dtype), WIDEN)
                scale_sum += tl.sum(to_q * q_normed)
                to_q = _through_norm(to_q, q_normed, q_inverse)
            else:
                to_k += _dot(tl.trans(to_scores), q, WIDEN)
            _store_rows(to_qkv + image * 3, query_place, 3 * CHANNELS, channel, query_there, to_q)
        to_k *= scale
        if COSINE:
            to_k = _through_norm(to_k, k_normed, k_inverse)
        to_keys = to_qkv + image * 3 + CHANNELS
        _store_rows(to_keys, key_place, 3 * CHANNELS, channel, key_there, to_k)
        _store_rows(to_keys + CHANNELS, key_place, 3 * CHANNELS, channel, key_there, to_v)
        if HAS_PAD_VALUE:
            pad_k_sum += tl.sum(tl.where(key_is_pad[:, None], to_k, 0.0), axis=0)
            pad_v_sum += tl.sum(tl.where(key_is_pad[:, None], to_v, 0.0), axis=0)

    # This program's share of the sums; the shares are added up afterwards.
    if ONE_BLOCK:
        to_bias += (share * HEADS + head) * TOKENS * TOKENS
        _store_bias(to_bias, key_lane, key_lane, bias_sum, TOKENS)
    if HAS_PAD_VALUE:
        to_pad_value += share * 3 * CHANNELS + channel
        tl.store(to_pad_value + CHANNELS, pad_k_sum)
        tl.store(to_pad_value + 2 * CHANNELS, pad_v_sum)
    if COSINE:
        is_free = tl.load(logit_scale + head).to(tl.float32) <= _LARGEST_LOGIT_SCALE
        tl.store(to_logit_scale + share * HEADS + head, tl.where(is_free, scale_sum, 0.0))


@triton.jit(do_not_specialize=_SIZES + _STRIDES)
@no_type_check
def _bias_gradient_kernel(
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
    HEAD_SIZE: tl.constexpr,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    HAS_PAD_VALUE: tl.constexpr,
    COSINE: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """A program: (head, block of queries, share of the windows), as in the forward kernel."""
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    CHANNELS: tl.constexpr = HEADS * HEAD_SIZE
    head, share = tl.program_id(0), tl.program_id(2)
    query_lane = tl.program_id(1) * QUERIES + tl.arange(0, QUERIES)
    key_lane = tl.arange(0, KEYS)
    channel = head * HEAD_SIZE + tl.arange(0, HEAD_SIZE)
    bias += head * stride_head
    bias = _load_bias(bias, query_lane, key_lane, stride_query, stride_key, TOKENS)
    bias_sum = tl.zeros((QUERIES, KEYS), tl.float32)
    scale = _load_scale(logit_scale, head, HEAD_SIZE, COSINE)

    geometry = (height, width, shift_rows, shift_columns)
    windows = tl.cdiv(height, WINDOW[0]) * tl.cdiv(width, WINDOW[1])
    for index in range(share, images * windows, tl.num_programs(2)):
        window = index % windows
        image = (index // windows).to(tl.int64) * height * width * CHANNELS
        query_place, query_there, _ = _places(window, query_lane, geometry, WINDOW, MASK_PADDING)
        key_place, key_there, key_is_pad = _places(window, key_lane, geometry, WINDOW, MASK_PADDING)

        queries = qkv + image * 3
        q = _load_rows(queries, query_place, 3 * CHANNELS, channel, query_there)
        k = _load_rows(queries + CHANNELS, key_place, 3 * CHANNELS, channel, key_there)
        v = _load_rows(queries + 2 * CHANNELS, key_place, 3 * CHANNELS, channel, key_there)
        if HAS_PAD_VALUE:
            k = _fill_padding(k, key_is_pad, pad_value + CHANNELS + channel)
            v = _fill_padding(v, key_is_pad, pad_value + 2 * CHANNELS + channel)
        to_o = _load_rows(to_out + image, query_place, CHANNELS, channel, query_there)
        _, to_scores = _weights_and_gradient(
            q, k, v, to_o, scale, bias, window, query_lane, key_lane, geometry,
            WINDOW, MASK_PADDING, COSINE, WIDEN,
        )  # fmt: skip
        bias_sum += to_scores
    to_bias += (share * HEADS + head) * TOKENS * TOKENS
    _store_bias(to_bias, query_lane, key_lane, bias_sum, TOKENS)


# --- their launch ---


class Tile(NamedTuple):
    """How a kernel cuts up the scores of a window, and with how many warps it computes a tile."""

    queries: int  # lanes of a block of queries
    keys: int  # lanes of all keys
    num_warps: int
    num_stages: int  # how many windows are loaded ahead


def forward_tile(tokens: int, dtype: torch.dtype) -> Tile:
    """Return the tile for windows of so many tokens.

    Chosen so that the compiler for Hopper GPUs finds registers for everything; for 16 x 16 tokens
    in float32 it does not quite.
    """
    keys = max(16, triton.next_power_of_2(tokens))
    return (_FLOAT32_TILES if dtype == torch.float32 else _FORWARD_TILES)[keys]


def backward_tile(tokens: int, dtype: torch.dtype) -> Tile:
    """Return the tile of the backward kernels, which hold more."""
    keys = max(16, triton.next_power_of_2(tokens))
    return (_FLOAT32_TILES if dtype == torch.float32 else _BACKWARD_TILES)[keys]


def _by_keys(*tiles: Tile) -> dict[int, Tile]:
    return {tile.keys: tile for tile in tiles}


_SMALL_TILES = Tile(16, 16, 1, 3), Tile(32, 32, 2, 3), Tile(64, 64, 4, 3)
_FORWARD_TILES = _by_keys(*_SMALL_TILES, Tile(64, 128, 4, 2), Tile(64, 256, 8, 1))
_BACKWARD_TILES = _by_keys(*_SMALL_TILES, Tile(128, 128, 8, 2), Tile(16, 256, 4, 2))
_FLOAT32_TILES = _by_keys(
    Tile(16, 16, 2, 1),
    Tile(32, 32, 4, 1),
    Tile(64, 64, 8, 1),
    Tile(32, 128, 8, 1),
    Tile(16, 256, 8, 1),
)


def _shares(device: torch.device, programs: int, windows: int) -> int:
    """Return how many programs share the windows, if ``programs`` walk over the same ones.

    Enough to keep each multiprocessor busy; more would only be more sums to write.
    """
    processors = 1
    if device.type == "cuda":
        processors = torch.cuda.get_device_properties(device).multi_processor_count
    return max(1, min(windows, PROGRAMS_PER_PROCESSOR * processors // programs))


def _interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels, on any device."""
    return not isinstance(_forward_kernel, JITFunction)


def _arguments(
    qkv: Tensor,
    bias: Tensor,
    pad_value: Tensor | None,
    logit_scale: Tensor | None,
    window_size: Sequence[int],
    shift_size: Sequence[int],
    padding: str,
    backward: bool = False,
) -> tuple[dict, int]:
    """Return the arguments that all kernels share, and the number of windows of the whole batch."""
    images, height, width, channels = qkv.shape
    grid = WindowGrid(height, width, tuple(window_size), tuple(shift_size), padding)
    heads = bias.shape[0]
    tile = (backward_tile if backward else forward_tile)(grid.tokens_per_window, qkv.dtype)
    arguments = {
        "qkv": qkv,
        "bias": bias,
        "pad_value": pad_value,
        "logit_scale": logit_scale,
        "images": images,
        "height": height,
        "width": width,
        "shift_rows": grid.used_shift[0],
        "shift_columns": grid.used_shift[1],
        "stride_head": bias.stride(0),
        "stride_query": bias.stride(1),
        "stride_key": bias.stride(2),
        "HEADS": heads,
        "HEAD_SIZE": channels // (3 * heads),
        "WINDOW": grid.window_size,
        "MASK_PADDING": padding == "mask",
        "HAS_PAD_VALUE": padding == "attend" and pad_value is not None,
        "COSINE": logit_scale is not None,
        "QUERIES": tile.queries,
        "KEYS": tile.keys,
        "WIDEN": _interpreted() and qkv.dtype == torch.bfloat16,
        "num_warps": tile.num_warps,
        "num_stages": tile.num_stages,
    }
    return arguments, images * grid.num_windows


def _blocks(arguments: dict) -> int:
    """Return the number of blocks of queries in a window."""
    tokens = arguments["WINDOW"][0] * arguments["WINDOW"][1]
    return triton.cdiv(tokens, arguments["QUERIES"])


# PyTorch's view of the kernels: operators of its own, which torch.compile takes as they are.


@torch.library.custom_op("swin_tutorial::window_attention", mutates_args=())
def _window_attention(
    qkv: Tensor,
    bias: Tensor,
    pad_value: Tensor | None,
    logit_scale: Tensor | None,
    window_size: Sequence[int],
    shift_size: Sequence[int],
    padding: str,
) -> Tensor:
    qkv = qkv.contiguous()
    out = _empty_out(qkv)
    arguments, windows = _arguments(
        qkv, bias, pad_value, logit_scale, window_size, shift_size, padding
    )
    heads, blocks = arguments["HEADS"], _blocks(arguments)
    shares = _shares(qkv.device, heads * blocks, windows)
    _forward_kernel[heads, blocks, shares](out=out, **arguments)
    return out


@_window_attention.register_fake
def _(qkv, bias, pad_value, logit_scale, window_size, shift_size, padding):
    return _empty_out(qkv)


@torch.library.custom_op("swin_tutorial::window_attention_backward", mutates_args=())
def _window_attention_backward(
    to_out: Tensor,
    qkv: Tensor,
    bias: Tensor,
    pad_value: Tensor | None,
    logit_scale: Tensor | None,
    window_size: Sequence[int],
    shift_size: Sequence[int],
    padding: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients to qkv, bias, pad_value and logit_scale; empty where there is no input.

    All but the first are float32.
    """
    qkv, to_out = qkv.contiguous(), to_out.contiguous()
    arguments, windows = _arguments(
        qkv, bias, pad_value, logit_scale, window_size, shift_size, padding, backward=True
    )
    heads = arguments["HEADS"]
    shares = _shares(qkv.device, heads, windows)
    to_qkv = torch.empty_like(qkv)
    to_bias = _shared_sums(shares, bias)
    to_logit_scale = _shared_sums(shares, logit_scale)
    to_pad_value = _shared_sums(shares, pad_value)
    to_pad_value.zero_()  # a padded token's query has no gradient
    _backward_kernel[heads, shares](
        to_out=to_out,
        to_qkv=to_qkv,
        to_bias=to_bias,
        to_pad_value=to_pad_value,
        to_logit_scale=to_logit_scale,
        **arguments,
    )
    if arguments["QUERIES"] < arguments["KEYS"]:
        blocks = _blocks(arguments)
        shares = _shares(qkv.device, heads * blocks, windows)
        to_bias = _shared_sums(shares, bias)
        _bias_gradient_kernel[heads, blocks, shares](to_out=to_out, to_bias=to_bias, **arguments)
    return to_qkv, to_bias.sum(0), to_pad_value.sum(0), to_logit_scale.sum(0)


@_window_attention_backward.register_fake
def _(to_out, qkv, bias, pad_value, logit_scale, window_size, shift_size, padding):
    rest = (_shared_sums(1, one)[0] for one in (bias, pad_value, logit_scale))
    return torch.empty_like(qkv, memory_format=torch.contiguous_format), *rest


def _empty_out(qkv: Tensor) -> Tensor:
    return qkv.new_empty((*qkv.shape[:3], qkv.shape[3] // 3))


def _shared_sums(shares: int, like: Tensor | None) -> Tensor:
    """Return room for one sum per share, each of the shape of ``like``; none at all for None."""
    shape = (shares, 0) if like is None else (shares, *like.shape)
    device = None if like is None else like.device
    return torch.empty(shape, dtype=torch.float32, device=device)


def _save_for_backward(ctx, inputs, output):
    *tensors, ctx.window_size, ctx.shift_size, ctx.padding = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, to_out):
    tensors = ctx.saved_tensors
    gradients = _window_attention_backward(
        to_out, *tensors, ctx.window_size, ctx.shift_size, ctx.padding
    )
    # An input that is None has no gradient; the others' is of their own type.
    found = (
        None if tensor is None else gradient.to(tensor.dtype)
        for tensor, gradient in zip(tensors, gradients, strict=True)
    )
    return *found, None, None, None


_window_attention.register_autograd(_backward, setup_context=_save_for_backward)
