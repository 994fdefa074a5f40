"""Multi-head self-attention in windows, under a mask, with a position bias (chapters 04, 11)."""

import importlib.util
import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from swin_tutorial.axis import check_size
from swin_tutorial.backends import BACKENDS, attend_function, eager, prefers_kernel
from swin_tutorial.grid import WindowGrid
from swin_tutorial.position_bias import log_spaced_offsets, relative_position_index
from swin_tutorial.windows import Size, sizes_per_axis, window_axes

MOST_TOKENS = 256 * 256  # in a window: their scores alone take 16 gigabytes for each head


class WindowAttention(nn.Module):
    """Multi-head self-attention within each window: plain windows (W-MSA) or shifted ones (SW-MSA).

    To ``forward`` only the mask tells them apart: its windows are cut already (``attend`` does
    that).  The mask is an argument because it depends on the size of the map; no parameter does.
    Parameters are named as in the official code.

    Args:
        dim: channels of the feature map, c; divided evenly among the heads.
        window_size: tokens of a window on each axis; an int means a square window on two axes.
        num_heads: attention heads.
        qkv_bias: whether the query, key and value projections have a bias.
        attn_drop: probability of dropping an attention weight while training.
        proj_drop: probability of dropping an output channel of a token while training.
        backend: "sdpa" (PyTorch's fused attention, the default), "eager" (step by step), "flex"
            (FlexAttention), "fused" (our own kernel, on a GPU), or "auto" (the kernel where it was
            measured to be faster and can do the job, sdpa otherwise).

    Raises ValueError if ``dim`` is not divisible by the heads, for an unknown backend, or for a
    probability outside [0, 1) or one that the backend does not have; ImportError for "fused"
    without Triton.
    Source: Swin, section 3.2, equation 4.
    """

    def __init__(
        self,
        dim: int,
        window_size: Size,
        num_heads: int,
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        backend: str = "sdpa",
    ):
        super().__init__()
        _check_options(dim, num_heads, attn_drop, proj_drop, backend)
        self.dim = dim
        self.num_heads = num_heads
        self.window_size = window_axes(window_size)
        check_window("window_size", self.window_size)
        self.attn_drop = attn_drop
        self.backend = backend
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)
        self.add_position_bias()

    def attend(
        self, x: Float[Tensor, "b *size c"], grid: WindowGrid, use_mask: bool = True
    ) -> Float[Tensor, "b *size c"]:
        """Attend within the windows that ``grid`` cuts a feature map into.

        ``use_mask=False`` leaves the mask out, to see what it is for.  Raises ValueError if the map
        is not of the grid's size, if the grid's windows are not this module's, or if the backend
        can't take the map.
        """
        if grid.window_size != self.window_size:
            raise ValueError(
                f"the grid has windows of {grid.window_size} and this module of "
                f"{self.window_size}: make both with the same window_size"
            )
        if self._uses_kernel(x, use_mask):
            return self._attend_with_kernel(x, grid)
        mask = grid.mask(x.device) if use_mask and grid.needs_mask else None
        windows = grid.partition(x)  # pad, roll, cut
        windows = self(windows, mask)  # attend under the mask
        return grid.merge(windows)  # put together, roll back, crop

    def forward(
        self, windows: Float[Tensor, "b n t c"], mask: Bool[Tensor, "n t t"] | None = None
    ) -> Float[Tensor, "b n t c"]:
        """Attend within each window, where ``mask`` allows it (None: everywhere).

        Raises ValueError if the windows or the mask do not fit ``window_size``.
        """
        q, k, v, scale = self._heads(windows, mask)
        attend = attend_function(self.backend)
        dropout = self.attn_drop if self.training else 0.0
        out = attend(q, k, v, self.relative_position_bias(), mask, scale, dropout)
        return self._output(rearrange(out, "b n heads t d -> b n t (heads d)"))

    def attention_weights(
        self, windows: Float[Tensor, "b n t c"], mask: Bool[Tensor, "n t t"] | None = None
    ) -> Float[Tensor, "b n heads t t"]:
        """Return how much each query of each window attends to each key, before dropout."""
        q, k, _, scale = self._heads(windows, mask)
        return eager.attention_weights(q, k, self.relative_position_bias(), mask, scale)

    def relative_position_bias(self) -> Float[Tensor, "heads t t"]:
        """Look up the learned bias of every (query, key) pair of a window."""
        table = self.position_bias_table()
        index = relative_position_index(self.window_size, table.device)
        return rearrange(table[index], "q k heads -> heads q k")

    # --- what WindowAttentionV2 overrides ---

    def add_position_bias(self) -> None:
        """Add the parameters of the position bias: here a table with one row per offset.

        An offset is the position of the query minus that of the key.
        """
        num_offsets = math.prod(2 * window - 1 for window in self.window_size)
        table = torch.zeros(num_offsets, self.num_heads)
        self.relative_position_bias_table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))

    def position_bias_table(self) -> Float[Tensor, "offsets heads"]:
        """Return the bias of each offset, for each head."""
        return self.relative_position_bias_table

    def project_qkv(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... 3*c"]:
        """Return query, key and value of each token, side by side."""
        return self.qkv(x)

    def scaled(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return queries, keys and a scale such that a score is scale * q . k."""
        return q, k, q.shape[-1] ** -0.5

    def kernel_logit_scale(self) -> Float[Tensor, "heads"] | None:
        """Return the logarithm of V2's scale for the kernel; None for V1's scale."""
        return None

    # --- steps ---

    def _heads(self, windows: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, float]:
        """Project the windows, and give each head its share of the channels."""
        self._check(windows, mask)
        q, k, v = rearrange(
            self.project_qkv(windows),
            "b n t (three heads d) -> three b n heads t d",
            three=3,
            heads=self.num_heads,
        )
        q, k, scale = self.scaled(q, k)
        return q, k, v, scale

    def _output(self, x: Tensor) -> Tensor:
        return self.proj_drop(self.proj(x))

    def _uses_kernel(self, x: Tensor, use_mask: bool) -> bool:
        if self.backend == "fused":
            if not use_mask:
                raise ValueError("backend='fused' always masks: use backend='sdpa' with no mask")
            return True
        drops_weights = self.training and self.attn_drop > 0  # the kernel has no dropout
        head_dim = self.dim // self.num_heads
        return (
            self.backend == "auto"
            and use_mask
            and not drops_weights
            and prefers_kernel(x, head_dim, self.window_size)
        )

    def _attend_with_kernel(self, x: Tensor, grid: WindowGrid) -> Tensor:
        from swin_tutorial.backends import fused  # needs Triton, which not every machine has

        # The padding is zeros before the projection, so pad with the projection of zeros.
        shows_padding = "attend" in grid.padding
        pad_value = self.project_qkv(x.new_zeros(self.dim)) if shows_padding else None
        out = fused.attend(
            self.project_qkv(x),
            self.relative_position_bias(),
            grid,
            pad_value,
            self.kernel_logit_scale(),
        )
        return self._output(out)

    def _check(self, windows: Tensor, mask: Tensor | None) -> None:
        tokens = math.prod(self.window_size)
        if windows.ndim != 4 or tuple(windows.shape[2:]) != (tokens, self.dim):
            raise ValueError(
                f"expected windows of shape (b, n, {tokens}, {self.dim}) for window_size "
                f"{self.window_size}, got {tuple(windows.shape)}: cut the map with "
                "WindowGrid.partition"
            )
        if mask is not None and tuple(mask.shape) != (windows.shape[1], tokens, tokens):
            raise ValueError(
                f"expected a mask of shape {(windows.shape[1], tokens, tokens)}, one matrix per "
                f"window, got {tuple(mask.shape)}: take it from the WindowGrid that cut the windows"
            )


class WindowAttentionV2(WindowAttention):
    """Swin V2's window attention: cosine similarity, and a position bias made by a small network.

    A score is the cosine of query and key times a scale.  Each head learns its own scale, 100 at
    most, so scores cannot grow with the activations.  The bias is a function of the offset, and so
    is defined for windows of any size.

    Args:
        pretrained_window_size: the window that the network of the bias was trained with; by default
            this module's own.  The others are ``WindowAttention``'s.

    Source: Swin V2, sections 3.2 and 3.3.
    """

    def __init__(
        self,
        dim: int,
        window_size: Size,
        num_heads: int,
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        backend: str = "sdpa",
        pretrained_window_size: Size | None = None,
    ):
        # Without a bias in qkv: the keys have none here, as in the official code.
        super().__init__(
            dim,
            window_size,
            num_heads,
            qkv_bias=False,
            attn_drop=attn_drop,
            proj_drop=proj_drop,
            backend=backend,
        )
        self.pretrained_window_size = self.window_size
        if pretrained_window_size is not None:
            self.pretrained_window_size = sizes_per_axis(
                "pretrained_window_size", pretrained_window_size, len(self.window_size)
            )
        self.q_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.logit_scale = nn.Parameter(torch.full((num_heads, 1, 1), math.log(10.0)))

    def add_position_bias(self) -> None:
        """Add the network that makes the position bias out of an offset."""
        self.cpb_mlp = nn.Sequential(
            nn.Linear(len(self.window_size), 512),
            nn.ReLU(),
            nn.Linear(512, self.num_heads, bias=False),
        )

    def position_bias_table(self) -> Float[Tensor, "offsets heads"]:
        """Return the bias of each offset, for each head, between 0 and 16."""
        like = self.logit_scale
        offsets = log_spaced_offsets(self.window_size, self.pretrained_window_size, like.device)
        return 16 * self.cpb_mlp(offsets.to(like.dtype)).sigmoid()

    def project_qkv(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... 3*c"]:
        """Return query, key and value of each token, side by side."""
        qkv = self.qkv(x)
        if self.q_bias is None or self.v_bias is None:
            return qkv
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        return qkv + bias.to(qkv.dtype)

    def scaled(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return queries and keys whose product is the scaled cosine."""
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp()
        return (_unit(q) * scale).to(q.dtype), _unit(k).to(k.dtype), 1.0

    def kernel_logit_scale(self) -> Float[Tensor, "heads"]:
        """Return the logarithm of the scale of each head; the kernel applies the cap of 100."""
        return self.logit_scale.flatten()


def check_rate(name: str, rate: float) -> None:
    """Raise ValueError unless ``rate`` is a probability at which something is left to train."""
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not is_number or not 0 <= rate < 1:
        raise ValueError(f"{name} is a probability and must lie in [0, 1), got {rate!r}")


def check_window(name: str, window: tuple[int, ...]) -> None:
    """Raise ValueError for a window in which attention would not fit into memory."""
    tokens = math.prod(window)
    if tokens > MOST_TOKENS:
        raise ValueError(
            f"{name} {window} is a window of {tokens} tokens, each of which attends to all: "
            f"choose a smaller one, of at most {MOST_TOKENS} tokens"
        )


def _unit(x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """Return vectors of length 1, in single precision at least, and zeros for zeros.

    In half precision the length of a long vector overflows.  Zeros (padding, say) have no
    direction, and so no gradient: ``F.normalize`` would give them one of 1e12 times any other.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    is_zero = (x == 0).all(-1, keepdim=True)
    return F.normalize(x, dim=-1).masked_fill(is_zero, 0.0)


def _check_options(
    dim: int, num_heads: int, attn_drop: float, proj_drop: float, backend: str
) -> None:
    check_size("dim", dim)
    check_size("num_heads", num_heads)
    if dim % num_heads:
        raise ValueError(
            f"dim={dim} is not divisible by num_heads={num_heads}: every head needs the same "
            "number of channels"
        )
    check_rate("attn_drop", attn_drop)
    check_rate("proj_drop", proj_drop)
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {BACKENDS}, got {backend!r}")
    if attn_drop and backend in ("flex", "fused"):
        raise ValueError(
            f"backend={backend!r} has no dropout of attention weights, got attn_drop={attn_drop}: "
            "use backend='sdpa' or 'auto'"
        )
    if backend == "fused" and importlib.util.find_spec("triton") is None:
        raise ImportError("backend='fused' needs Triton: pip install triton")
