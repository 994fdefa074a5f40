"""Multi-head self-attention inside windows, under a mask, with a relative position bias (chapter
04)."""

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from swin_tutorial.masks import additive_mask
from swin_tutorial.windows import Size, size_pair

BACKENDS = ("eager", "sdpa")


def relative_position_index(window_size: Size) -> Int[Tensor, "t t"]:
    """Return, for each (query, key) pair of a window, its row in the relative position bias table.

    A window of M rows and N columns knows (2M - 1)(2N - 1) offsets query - key; they are numbered
    row by row from the most negative, (-(M - 1), -(N - 1)).  Source: Swin, section 3.2, "Relative
    position bias".
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
        backend: "sdpa" (PyTorch's fused attention, the default) or "eager" (each step written out).

    Raises ValueError if the channels do not divide by the heads, or for an unknown backend or a
    probability outside [0, 1).  Source: Swin, section 3.2, equation 4.
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
        self.window_size = size_pair("window_size", window_size)
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.attention_dropout = attention_dropout
        self.backend = backend

        window_height, window_width = self.window_size
        offsets = (2 * window_height - 1) * (2 * window_width - 1)
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = nn.Linear(channels, channels)
        self.projection_dropout = nn.Dropout(projection_dropout)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(offsets, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer(
            "relative_position_index", relative_position_index(self.window_size), persistent=False
        )

    def forward(
        self,
        windows: Float[Tensor, "b n t c"],
        mask: Bool[Tensor, "n t t"] | None = None,
        return_attention: bool = False,
    ) -> Float[Tensor, "b n t c"] | tuple[Float[Tensor, "b n t c"], Float[Tensor, "b n heads t t"]]:
        """Attend within each window, where ``mask`` allows it (None: everywhere).

        With ``return_attention`` the attention weights come too, after softmax and before dropout;
        they are computed by the eager steps whatever the backend, since a fused one never holds
        them.
        Raises ValueError if the windows or the mask do not fit ``window_size``.
        """
        self._check(windows, mask)
        q, k, v = rearrange(
            self.qkv(windows),
            "b n t (three heads d) -> three b n heads t d",
            three=3,
            heads=self.heads,
        )
        if return_attention or self.backend == "eager":
            attended, weights = self._eager(q, k, v, mask)
        else:
            attended = self._sdpa(q, k, v, mask)
        out = self.projection_dropout(
            self.proj(rearrange(attended, "b n heads t d -> b n t (heads d)"))
        )
        return (out, weights) if return_attention else out

    def relative_position_bias(self) -> Float[Tensor, "heads t t"]:
        """Look up the learned bias of every (query, key) pair of a window."""
        return rearrange(
            self.relative_position_bias_table[self.relative_position_index],
            "q k heads -> heads q k",
        )

    def _eager(self, q, k, v, mask):
        scores = einsum(q * self.scale, k, "b n heads q d, b n heads k d -> b n heads q k")
        scores = scores + self.relative_position_bias().to(scores.dtype)
        if mask is not None:
            scores = scores + additive_mask(mask, scores.dtype)[:, None]
        weights = scores.softmax(dim=-1)
        dropped = F.dropout(weights, self.attention_dropout, self.training)
        return einsum(
            dropped.to(v.dtype), v, "b n heads q k, b n heads k d -> b n heads q d"
        ), weights

    def _sdpa(self, q, k, v, mask):
        # PyTorch's kernels take 4 dimensions.  Without a mask all windows share one bias, so they
        # can join the batch; with one, each window has its own bias + mask, so they join the heads.
        # Nothing is copied per image.
        bias = self.relative_position_bias().to(q.dtype)
        if mask is None:
            fold, bias = "(b n) heads t d", bias[None]
        else:
            fold, bias = "b (n heads) t d", bias + additive_mask(mask, q.dtype)[:, None]
            bias = rearrange(bias, "n heads q k -> 1 (n heads) q k")
        b, n = q.shape[:2]
        q, k, v = (rearrange(one, f"b n heads t d -> {fold}") for one in (q, k, v))
        dropout = self.attention_dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, bias, dropout, scale=self.scale)
        return rearrange(attended, f"{fold} -> b n heads t d", b=b, n=n)

    def _check(self, windows: Tensor, mask: Tensor | None) -> None:
        tokens, channels = self.window_size[0] * self.window_size[1], self.proj.in_features
        if windows.ndim != 4 or tuple(windows.shape[2:]) != (tokens, channels):
            raise ValueError(
                f"expected windows of shape (b, n, {tokens}, {channels}) for window_size "
                f"{self.window_size}, got {tuple(windows.shape)}: "
                "cut the map with WindowGrid.partition or window_partition"
            )
        if mask is not None and tuple(mask.shape) != (windows.shape[1], tokens, tokens):
            raise ValueError(
                f"expected a mask of shape {(windows.shape[1], tokens, tokens)}, one matrix per "
                f"window, got {tuple(mask.shape)}: take it from the WindowGrid that cut the windows"
            )
