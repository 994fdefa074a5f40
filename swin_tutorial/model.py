"""The whole Swin Transformer, V1 and V2, for images of any size (chapters 06 and 11).

Modules are named as in the official code, so that its weights load by name.
"""

import functools
from collections.abc import Iterable, Sequence

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from swin_tutorial.attention import WindowAttention, WindowAttentionV2, check_rate
from swin_tutorial.axis import Padding, check_size
from swin_tutorial.config import SwinConfig, check_ratio
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size, pad_to_windows


class PatchEmbed(nn.Module):
    """Make one token of every patch of pixels: a linear map of the patch, and a norm.

    An image that does not divide into patches is padded with zeros at the bottom and the right, so
    that no pixel is lost.
    """

    def __init__(self, patch_size: int, in_chans: int, embed_dim: int):
        super().__init__()
        check_size("patch_size", patch_size)
        check_size("in_chans", in_chans)
        check_size("embed_dim", embed_dim)
        self.patch_size = patch_size
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, images: Float[Tensor, "b rgb height width"]) -> Float[Tensor, "b h w c"]:
        """Return the feature map of the first stage."""
        channels = self.proj.in_channels
        if images.ndim != 4 or images.shape[1] != channels or 0 in images.shape[2:]:
            raise ValueError(
                f"expected images of shape (b, {channels}, height, width), got "
                f"{tuple(images.shape)}: a single image needs a batch axis, images[None]"
            )
        pixels = pad_to_windows(rearrange(images, "b rgb h w -> b h w rgb"), self.patch_size)
        x = self.proj(rearrange(pixels, "b h w rgb -> b rgb h w"))
        return self.norm(rearrange(x, "b c h w -> b h w c"))


class PatchMerging(nn.Module):
    """Halve the map: merge each 2 x 2 group of tokens into one token with twice the channels.

    A map with an odd side is padded with zeros at the bottom or the right.  V1 normalizes the four
    joined tokens, V2 the result.  Source: Swin, section 3.1; the official code of V2.
    """

    def __init__(self, dim: int, norm_last: bool = False):
        super().__init__()
        check_size("dim", dim)
        self.norm_last = norm_last
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm((2 if norm_last else 4) * dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h2 w2 c2"]:
        """Return the feature map of the next stage."""
        x = pad_to_windows(x, 2)
        # Down each column, then the next column: the order that the official weights expect.
        x = rearrange(x, "b (h row) (w column) c -> b h w (column row c)", row=2, column=2)
        return self.norm(self.reduction(x)) if self.norm_last else self.reduction(self.norm(x))


class Mlp(nn.Module):
    """An MLP applied to each token alone."""

    def __init__(self, dim: int, hidden_dim: int, drop: float = 0.0):
        super().__init__()
        check_size("hidden_dim", hidden_dim)
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:
        """Return the transformed tokens."""
        x = self.drop(self.act(self.fc1(x)))
        return self.drop(self.fc2(x))


class DropPath(nn.Module):
    """Stochastic depth: while training, leave a branch out for some items of the batch.

    ``drop_prob`` is the probability; what stays is scaled up so that the mean stays the same.
    Source: Huang et al. (2016), Deep Networks with Stochastic Depth.
    """

    def __init__(self, drop_prob: float):
        super().__init__()
        check_rate("drop_path", drop_prob)
        self.drop_prob = drop_prob

    def forward(self, branch: Float[Tensor, "b *size c"]) -> Float[Tensor, "b *size c"]:
        """Return the branch, or zeros, for each item of the batch."""
        if not self.training or self.drop_prob == 0:
            return branch
        keep_prob = 1 - self.drop_prob
        one_per_item = (branch.shape[0], *[1] * (branch.ndim - 1))
        keep = torch.rand(one_per_item, device=branch.device) < keep_prob
        return branch * (keep / keep_prob).to(branch.dtype)


class SwinTransformerBlock(nn.Module):
    """Window attention and an MLP, each with a norm and a residual connection.

    ``shift_size`` 0 makes it W-MSA, ``window_size // 2`` SW-MSA.  It works on maps with as many
    axes as ``window_size`` has; ``padding`` and ``periodic`` may be one value per axis.  The other
    arguments correspond to those of ``SwinConfig``.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: Size,
        shift_size: Size = 0,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        padding: Padding | Sequence[Padding] = "mask",
        backend: str = "sdpa",
        version: int = 1,
        pretrained_window_size: Size | None = None,
        periodic: bool | Sequence[bool] = False,
        use_mask: bool = True,
    ):
        super().__init__()
        if version not in (1, 2):
            raise ValueError(f"version must be 1 or 2, got {version!r}")
        self.window_size = window_size
        self.shift_size = shift_size
        self.padding = padding
        self.periodic = periodic
        self.use_mask = use_mask
        self.norm_last = version == 2
        options = {
            "dim": dim,
            "window_size": window_size,
            "num_heads": num_heads,
            "qkv_bias": qkv_bias,
            "attn_drop": attn_drop,
            "proj_drop": drop,
            "backend": backend,
        }
        if version == 1:
            self.attn = WindowAttention(**options)
        else:
            options["pretrained_window_size"] = pretrained_window_size
            self.attn = WindowAttentionV2(**options)
        # Checks them: a map of one window.
        WindowGrid(self.attn.window_size, window_size, shift_size, padding, periodic)
        self.norm1 = nn.LayerNorm(dim)
        check_ratio(dim, mlp_ratio)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop)
        self.norm2 = nn.LayerNorm(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b *size c"]) -> Float[Tensor, "b *size c"]:
        """Return the map after attention and MLP."""
        if self.norm_last:
            x = x + self.drop_path(self.norm1(self.attend(x)))
            return x + self.drop_path(self.norm2(self.mlp(x)))
        x = x + self.drop_path(self.attend(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def attend(self, x: Float[Tensor, "b *size c"]) -> Float[Tensor, "b *size c"]:
        """Return window attention's output for every token of the map."""
        return self.attn.attend(x, self.grid(x), self.use_mask)

    def attention_map(self, x: Float[Tensor, "b *size c"]) -> Float[Tensor, "b n heads t t"]:
        """Return the attention weights that this block computes for its input ``x``."""
        grid = self.grid(x)
        x = x if self.norm_last else self.norm1(x)
        mask = grid.mask(x.device) if self.use_mask else None
        return self.attn.attention_weights(grid.partition(x), mask)

    def grid(self, x: Float[Tensor, "b *size c"]) -> WindowGrid:
        """Return the windows of this block on the map ``x``."""
        size = tuple(x.shape[1:-1])
        return WindowGrid(size, self.window_size, self.shift_size, self.padding, self.periodic)


class SwinTransformerStage(nn.Module):
    """The blocks at one resolution, with plain and shifted windows in turn.

    All stages but the last end by merging patches.  A stage has no ``forward``:
    ``SwinTransformer.features`` runs the blocks, and keeps the map of each stage.
    """

    def __init__(self, config: SwinConfig, stage: int):
        super().__init__()
        dim = config.embed_dim * 2**stage
        window_size = config.stage_window_size(stage)
        half = _half(window_size) if config.use_shift else 0
        first_block, last_block = sum(config.depths[:stage]), max(sum(config.depths) - 1, 1)
        pretrained = config.pretrained_window_sizes
        self.blocks = nn.ModuleList(
            SwinTransformerBlock(
                dim,
                config.num_heads[stage],
                window_size,
                shift_size=0 if i % 2 == 0 else half,
                mlp_ratio=config.mlp_ratio,
                qkv_bias=config.qkv_bias,
                drop=config.drop_rate,
                attn_drop=config.attn_drop_rate,
                drop_path=config.drop_path_rate * (first_block + i) / last_block,
                padding=config.padding,
                backend=config.backend,
                version=config.version,
                pretrained_window_size=pretrained[stage] if pretrained else None,
                use_mask=config.use_mask,
            )
            for i in range(config.depths[stage])
        )
        is_last = stage == len(config.depths) - 1
        self.downsample = (
            nn.Identity() if is_last else PatchMerging(dim, norm_last=config.version == 2)
        )


class SwinTransformer(nn.Module):
    """A Swin Transformer: images of any size in, class scores, features or attention maps out.

    Nothing in it depends on the size of the image, so sizes can change from call to call.
    Source: Swin (2021) and Swin V2 (2022).
    """

    def __init__(self, config: SwinConfig):
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config.patch_size, config.in_chans, config.embed_dim)
        self.layers = nn.ModuleList(
            SwinTransformerStage(config, stage) for stage in range(len(config.depths))
        )
        dim = config.embed_dim * 2 ** (len(config.depths) - 1)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(functools.partial(_init_weights, std=config.init_std))
        if config.version == 2:
            # Norms after each branch start at 0, so that every block starts as the identity.
            for block in self.all_blocks():
                nn.init.zeros_(block.norm1.weight)
                nn.init.zeros_(block.norm2.weight)
        if not config.use_position_bias:
            # The same bias for every pair, which never learns.  The weights keep their names.
            for name, parameter in self.named_parameters():
                if "relative_position_bias_table" in name or "cpb_mlp" in name:
                    nn.init.zeros_(parameter).requires_grad_(False)

    def forward(self, images: Float[Tensor, "b rgb height width"]) -> Float[Tensor, "b classes"]:
        """Return the scores of the classes (before softmax)."""
        return self.head(reduce(self.forward_features(images), "b h w c -> b c", "mean"))

    def forward_features(
        self, images: Float[Tensor, "b rgb height width"]
    ) -> Float[Tensor, "b h w c"]:
        """Return the normalized feature map of the last stage, before pooling."""
        return self.norm(self.features(images)[-1])

    def features(
        self, images: Float[Tensor, "b rgb height width"]
    ) -> list[Float[Tensor, "b _ _ _"]]:
        """Return the feature map at the end of each stage, a pyramid for detection or segmentation.

        Maps are channels-last and not normalized.  Each has half the height and width (rounded up)
        and twice the channels of the one before.
        """
        x = self.patch_embed(images)
        maps = []
        for stage in self.layers:
            for block in stage.blocks:
                x = self._run(block, x)
            maps.append(x)
            x = stage.downsample(x)
        return maps

    def attention_maps(
        self, images: Float[Tensor, "b rgb height width"], blocks: Iterable[tuple[int, int]]
    ) -> dict[tuple[int, int], Float[Tensor, "b n heads t t"]]:
        """Return the attention weights of chosen blocks, each named by (stage, block) from 0.

        Raises ValueError for a block that the model does not have.
        """
        blocks = set(blocks)
        known = {(s, i) for s, depth in enumerate(self.config.depths) for i in range(depth)}
        if not blocks <= known:
            unknown = sorted(blocks - known)
            raise ValueError(f"there is no block {unknown}: depths are {self.config.depths}")
        maps = {}
        x = self.patch_embed(images)
        for s, stage in enumerate(self.layers):
            for i, block in enumerate(stage.blocks):
                if (s, i) in blocks:
                    maps[s, i] = block.attention_map(x)
                x = block(x)
            x = stage.downsample(x)
        return maps

    def all_blocks(self) -> list[SwinTransformerBlock]:
        """Return the blocks of all stages in order."""
        return [block for stage in self.layers for block in stage.blocks]

    def _run(self, block: SwinTransformerBlock, x: Tensor) -> Tensor:
        if self.config.grad_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(block, x, use_reentrant=False)
        return block(x)


def _half(window_size: Size) -> Size:
    """Return the shift of SW-MSA: half a window, rounded down, on each axis."""
    if isinstance(window_size, int):
        return window_size // 2
    return tuple(size // 2 for size in window_size)


def _init_weights(module: nn.Module, std: float | None) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=std or module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
