"""Multi-head self-attention in windows, under a mask, with a position bias (chapters 04, 11)."""

import functools
import math
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from swin_tutorial.grid import WindowGrid
from swin_tutorial.linear import linear
from swin_tutorial.masks import additive_mask
from swin_tutorial.windows import Size, size_pair

try:
    from swin_tutorial import fused
except ImportError:  # Triton comes with PyTorch's builds for GPUs
    fused = None

BACKENDS = ("auto", "eager", "sdpa", "flex", "fused")


def relative_position_index(window_size: Size) -> Int[Tensor, "t t"]:
    """Return, for each (query, key) pair of a window, its row in the relative position bias table.

    A window of M rows and N columns knows (2M - 1)(2N - 1) offsets query - key; they are numbered
    row by row from the most negative, (-(M - 1), -(N - 1)).
    Source: Swin, section 3.2, "Relative position bias".
    """
    window_height, window_width = size_pair("window_size", window_size)
    tokens = torch.arange(window_height * window_width)
    row, column = tokens // window_width, tokens % window_width
    row_offset = row[:, None] - row[None, :] + window_height - 1
    column_offset = column[:, None] - column[None, :] + window_width - 1
    return row_offset * (2 * window_width - 1) + column_offset


class WindowAttention(nn.Module):
    """Multi-head self-attention within each window; the module that W-MSA and SW-MSA share.

    They differ in the mask alone, which is an argument of ``forward`` because it depends on the
    size of the map, and this module does not.  Parameters carry the names of the official code.

    Args:
        channels: channels of the feature map, c; divided evenly among the heads.
        window_size: tokens per window, an int or (height, width).
        heads: number of attention heads.
        qkv_bias: whether the query, key and value projections have a bias.
        attention_dropout: probability of dropping an attention weight while training.
        projection_dropout: probability of dropping an output channel of a token while training.
        backend: "sdpa" (PyTorch's fused attention, the default), "eager" (each step written out),
            "flex" (FlexAttention, the mask as a predicate), "fused" (our own kernel, on a GPU), or
            "auto" (the kernel where it can be used in half precision, and sdpa elsewhere).

    Raises ValueError if the channels do not divide by the heads, or for an unknown backend, a
    probability outside [0, 1) or attention dropout with a backend that has none ("flex", "fused").
    Source: Swin, section 3.2, equation 4.
    """

    def __init__(
        self,
        channels: int,
        window_size: Size,
        heads: int,
        qkv_bias: bool = True,
        attention_dropout: float = 0.0,
        projection_dropout: float = 0.0,
        backend: str = "sdpa",
    ):
        super().__init__()
        size_pair("(channels, heads)", (channels, heads))
        if channels % heads:
            raise ValueError(
                f"channels={channels} does not divide by heads={heads}: "
                "every head needs the same number of channels"
            )
        if backend not in BACKENDS:
            raise ValueError(f"backend must be one of {BACKENDS}, got {backend!r}")
        for name, rate in (
            ("attention_dropout", attention_dropout),
            ("projection_dropout", projection_dropout),
        ):
            if not 0 <= rate < 1:
                raise ValueError(f"{name} is a probability and must lie in [0, 1), got {rate}")
        if attention_dropout and backend in ("flex", "fused"):
            raise ValueError(
                f"backend={backend!r} has no dropout of attention weights, got attention_dropout="
                f"{attention_dropout}: use backend='sdpa' or 'auto'"
            )
        if backend == "fused" and fused is None:
            raise ImportError("backend='fused' needs Triton: pip install triton")
        self.window_size = size_pair("window_size", window_size)
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.attention_dropout = attention_dropout
        self.backend = backend

        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = nn.Linear(channels, channels)
        self.projection_dropout = nn.Dropout(projection_dropout)
        index = relative_position_index(self.window_size)
        self.register_buffer("relative_position_index", index, persistent=False)
        self._make_position_bias()

    def attend(self, x: Float[Tensor, "b h w c"], grid: WindowGrid) -> Float[Tensor, "b h w c"]:
        """Attend within the windows that ``grid`` cuts a feature map into.

        Raises ValueError if the map is not of the grid's size, or if the backend cannot take it.
        """
        if self._is_fused(x):
            return self._attend_fused(x, grid)
        mask = grid.mask_mod(x.device) if self.backend == "flex" else grid.mask(x.device)
        windows = self(grid.partition(x), mask)  # pad, shift, cut | attend under the mask
        return grid.merge(windows)  # glue, shift back, crop

    def forward(
        self,
        windows: Float[Tensor, "b n t c"],
        mask: Bool[Tensor, "n t t"] | Callable | None = None,
        return_attention: bool = False,
    ) -> Float[Tensor, "b n t c"] | tuple[Float[Tensor, "b n t c"], Float[Tensor, "b n heads t t"]]:
        """Attend within each window, where ``mask`` allows it (None: everywhere).

        For the backend "flex" the mask may be a predicate, ``WindowGrid.mask_mod``.  The backend
        "fused" knows no windows, see ``attend``.
        With ``return_attention`` the attention weights come too, after softmax and before dropout;
        they are computed by the eager steps whatever the backend, since a fused one never holds
        them.
        Raises ValueError if the windows or the mask do not fit ``window_size``.
        """
        self._check(windows, mask, return_attention)
        q, k, v = rearrange(
            self._qkv(windows),
            "b n t (three heads d) -> three b n heads t d",
            three=3,
            heads=self.heads,
        )
        q, k, scale = self._comparable(q, k)
        if return_attention or self.backend == "eager":
            attended, weights = self._eager(q * scale, k, v, mask)
        elif self.backend == "flex":
            attended = self._flex(q, k, v, scale, mask)
        else:
            attended = self._sdpa(q, k, v, scale, mask)
        joined = rearrange(attended, "b n heads t d -> b n t (heads d)")
        out = self._project(joined)
        return (out, weights) if return_attention else out

    def relative_position_bias(self) -> Float[Tensor, "heads t t"]:
        """Look up the learned bias of every (query, key) pair of a window."""
        return rearrange(
            self._position_bias_table()[self.relative_position_index], "q k heads -> heads q k"
        )

    # What V2 does in another way.

    def _make_position_bias(self) -> None:
        window_height, window_width = self.window_size
        offsets = (2 * window_height - 1) * (2 * window_width - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(offsets, self.heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def _position_bias_table(self) -> Float[Tensor, "offsets heads"]:
        return self.relative_position_bias_table

    def _qkv(self, x):
        return linear(x, self.qkv.weight, self._qkv_bias())

    def _project(self, x):
        return self.projection_dropout(linear(x, self.proj.weight, self.proj.bias))

    def _qkv_bias(self) -> Float[Tensor, "c3"] | None:
        return self.qkv.bias

    def _logit_scale(self) -> Float[Tensor, "heads"] | None:
        return None

    def _comparable(self, q, k):
        """Return queries, keys and the scale such that a score is scale * q . k."""
        return q, k, self.scale

    # The backends.

    def _eager(self, q, k, v, mask):
        scores = einsum(q, k, "b n heads q d, b n heads k d -> b n heads q k")
        scores = scores + self.relative_position_bias().to(scores.dtype)
        if mask is not None:
            scores = scores + additive_mask(mask, scores.dtype)[:, None]
        weights = scores.softmax(dim=-1)
        dropped = F.dropout(weights, self.attention_dropout, self.training)
        return einsum(
            dropped.to(v.dtype), v, "b n heads q k, b n heads k d -> b n heads q d"
        ), weights

    def _sdpa(self, q, k, v, scale, mask):
        # PyTorch's kernels take 4 dimensions, so the windows join the batch.  That moves no data,
        # but bias + mask, which differ from window to window, are repeated for every image.
        b = len(q)
        added = self.relative_position_bias().to(q.dtype)[None]
        if mask is not None:
            added = added + additive_mask(mask, q.dtype)[:, None]
            added = added.repeat(b, 1, 1, 1)
        q, k, v = (rearrange(one, "b n heads t d -> (b n) heads t d") for one in (q, k, v))
        dropout = self.attention_dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, added, dropout, scale=scale)
        return rearrange(attended, "(b n) heads t d -> b n heads t d", b=b)

    def _flex(self, q, k, v, scale, mask):
        if isinstance(mask, Tensor):
            mask = _looked_up(mask)
        if q.device.type == "cpu" and (q.requires_grad or v.requires_grad):
            raise NotImplementedError(
                "PyTorch's FlexAttention has no backward pass on a CPU: use backend='sdpa', or "
                "torch.no_grad()"
            )
        b, tokens = len(q), q.shape[3]
        bias = self.relative_position_bias().to(q.dtype)
        q, k, v = (rearrange(one, "b n heads t d -> (b n) heads t d") for one in (q, k, v))
        attended = _flex_attention(
            q,
            k,
            v,
            score_mod=lambda score, batch, head, query, key: score + bias[head, query, key],
            block_mask=None if mask is None else _block_mask(mask, tokens, q.device),
            scale=scale,
        )
        return rearrange(attended, "(b n) heads t d -> b n heads t d", b=b)

    def _is_fused(self, x: Tensor) -> bool:
        if self.backend != "auto":
            return self.backend == "fused"
        if fused is None or not x.is_cuda or (self.attention_dropout and self.training):
            return False
        autocast = torch.is_autocast_enabled("cuda")
        dtype = torch.get_autocast_dtype("cuda") if autocast else x.dtype
        # In single precision it has not been shown to be faster.
        return dtype != torch.float32 and not fused.why_not(
            x.device, dtype, x.shape[3] // self.heads, self.window_size
        )

    def _attend_fused(self, x, grid):
        attended = fused.window_attention(
            self._qkv(x),
            self.relative_position_bias(),
            grid,
            # Padding is zeros, of which the projection makes its bias.
            self._qkv_bias() if grid.padding == "attend" else None,
            self._logit_scale(),
        )
        return self._project(attended)

    def _check(
        self, windows: Tensor, mask: Tensor | Callable | None, return_attention: bool
    ) -> None:
        tokens, channels = self.window_size[0] * self.window_size[1], self.proj.in_features
        if windows.ndim != 4 or tuple(windows.shape[2:]) != (tokens, channels):
            raise ValueError(
                f"expected windows of shape (b, n, {tokens}, {channels}) for window_size "
                f"{self.window_size}, got {tuple(windows.shape)}: "
                "cut the map with WindowGrid.partition or window_partition"
            )
        if self.backend == "fused" and not return_attention:
            raise ValueError(
                "backend='fused' reads the feature map itself: call attend(x, grid) in place of "
                "forward(grid.partition(x), grid.mask())"
            )
        if isinstance(mask, Tensor) and tuple(mask.shape) != (windows.shape[1], tokens, tokens):
            raise ValueError(
                f"expected a mask of shape {(windows.shape[1], tokens, tokens)}, one matrix per "
                f"window, got {tuple(mask.shape)}: take it from the WindowGrid that cut the windows"
            )
        if callable(mask) and self.backend != "flex":
            raise ValueError(
                f"backend={self.backend!r} takes a mask of booleans, not a predicate: "
                "use WindowGrid.mask"
            )


# --- FlexAttention ---

_FLEX_BLOCK = 128  # tokens per block of the kernel that PyTorch compiles


def _looked_up(mask: Bool[Tensor, "n t t"]) -> Callable:
    """Return a mask as a predicate of (window of the batch, head, query, key)."""
    return lambda window, head, query, key: mask[window % mask.shape[0], query, key]


def _block_mask(mask_mod: Callable, tokens: int, device: torch.device) -> BlockMask:
    """Return FlexAttention's form of a mask in which every block of tokens needs the predicate.

    ``create_block_mask`` would try the predicate on every pair of tokens of the whole batch.
    """
    blocks = -(-tokens // _FLEX_BLOCK)
    index = torch.arange(blocks, dtype=torch.int32, device=device).expand(1, 1, blocks, blocks)
    count = torch.full((1, 1, blocks), blocks, dtype=torch.int32, device=device)
    return BlockMask.from_kv_blocks(
        count,
        index.contiguous(),
        BLOCK_SIZE=_FLEX_BLOCK,
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


class WindowAttentionV2(WindowAttention):
    """Swin V2's window attention: cosine similarity, and a position bias made by a small network.

    Scores are cosines of query and key times a learned scale per head of at most 100, so that they
    cannot grow with the activations.  The bias is a function of the offset, log-spaced, and so is
    defined for windows of any size: ``pretrained_window_size`` is the window that its network was
    trained with, by default this module's own.
    Source: Swin V2, sections 3.2 and 3.3.
    """

    def __init__(self, *args, pretrained_window_size: Size | None = None, **options):
        self._pretrained_window_size = pretrained_window_size
        super().__init__(*args, **options)
        if self.qkv.bias is not None:  # V2 has no key bias: under cosine similarity it only harms
            channels = self.qkv.in_features
            self.qkv.bias = None
            self.q_bias = nn.Parameter(torch.zeros(channels))
            self.v_bias = nn.Parameter(torch.zeros(channels))
        else:
            self.q_bias = self.v_bias = None
        self.logit_scale = nn.Parameter(torch.full((self.heads, 1, 1), math.log(10.0)))

    def _make_position_bias(self) -> None:
        pretrained = size_pair(
            "pretrained_window_size", self._pretrained_window_size or self.window_size
        )
        coordinates = log_spaced_offsets(self.window_size, pretrained)
        self.register_buffer("relative_coords_table", coordinates, persistent=False)
        self.cpb_mlp = nn.Sequential(
            nn.Linear(2, 512), nn.ReLU(inplace=True), nn.Linear(512, self.heads, bias=False)
        )

    def _position_bias_table(self):
        return 16 * self.cpb_mlp(self.relative_coords_table).sigmoid()

    def _qkv_bias(self):
        if self.q_bias is None:
            return None
        return torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])

    def _logit_scale(self):
        return self.logit_scale.flatten()

    def _comparable(self, q, k):
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp().to(q.dtype)
        return F.normalize(q, dim=-1) * scale, F.normalize(k, dim=-1), 1.0


def log_spaced_offsets(window_size: Size, pretrained_window_size: Size) -> Float[Tensor, "o 2"]:
    """Return the (row, column) offset of each row of the bias table, as the network is fed it.

    The largest offset of the pretrained window counts as 8; then x becomes log2(1 + |x|) / 3, with
    the sign of x, so that 0 stays 0 and 7 becomes 1.  Source: Swin V2, equation 4.
    """
    axes = []
    for size, pretrained in zip(
        size_pair("window_size", window_size),
        size_pair("pretrained_window_size", pretrained_window_size),
        strict=True,
    ):
        offset = torch.arange(1 - size, size, dtype=torch.float32) * 8 / max(pretrained - 1, 1)
        axes.append(offset.sign() * (offset.abs() + 1).log2() / 3)
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([rows.flatten(), columns.flatten()], dim=-1)
