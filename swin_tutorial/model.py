"""The whole Swin Transformer, V1 and V2, for images of any size (chapters 06 and 11).

Modules are named as in the official code, so that its checkpoints fit without translation.
"""

import dataclasses
import functools
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from swin_tutorial.attention import BACKENDS, WindowAttention, WindowAttentionV2
from swin_tutorial.grid import WindowGrid
from swin_tutorial.linear import linear
from swin_tutorial.masks import check_padding
from swin_tutorial.windows import pad_to_windows, padded_size


@dataclass(frozen=True)
class SwinConfig:
    """Everything that determines a Swin Transformer; ``create_model`` has the published ones.

    Args:
        version: 1, or 2 for cosine attention, continuous position bias and norms after the
            residual branch.
        channels: channels of the first stage; each later stage has twice as many.
        depths: blocks in each stage; odd ones (counting from 0) have shifted windows.
        heads: attention heads in each stage.
        window_size: tokens per window and axis, one for all stages or one for each.
        pretrained_window_size: V2 only: the windows that the position bias was trained with, if
            others than ``window_size``.
        patch_size: pixels per token and axis.
        in_channels: channels of the image.
        num_classes: outputs of the head; 0 for none, and ``forward`` returns pooled features.
        mlp_ratio: hidden channels of a block's MLP per channel.
        qkv_bias: whether queries, keys and values have a bias.
        dropout, attention_dropout: probabilities while training.
        stochastic_depth: probability of leaving out the last block's branches while training; it
            grows linearly from 0 at the first.
        padding: "mask" keeps real tokens from attending to padding; "attend" lets them, as
            torchvision does.
        backend: how attention is computed, see ``WindowAttention``.
        gradient_checkpointing: recompute each block in the backward pass to save memory.
        init_std: standard deviation of the linear layers' first weights, 0.02 as in the official
            code; None for 1 / sqrt(inputs), with which models much narrower than the published
            ones learn faster.

    Raises ValueError if the fields do not fit together.
    """

    version: int = 1
    channels: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int | tuple[int, ...] = 7
    pretrained_window_size: int | tuple[int, ...] | None = None
    patch_size: int = 4
    in_channels: int = 3
    num_classes: int = 1000
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.2
    padding: str = "mask"
    backend: str = "sdpa"
    gradient_checkpointing: bool = False
    init_std: float | None = 0.02

    def __post_init__(self):
        if self.version not in (1, 2):
            raise ValueError(f"version must be 1 or 2, got {self.version!r}")
        for name in ("depths", "heads"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.depths) != len(self.heads) or not self.depths:
            raise ValueError(
                f"depths {self.depths} and heads {self.heads} must have one entry per stage"
            )
        for name in ("window_size", "pretrained_window_size"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, int):
                object.__setattr__(self, name, tuple(value))
                if len(value) != len(self.depths):
                    raise ValueError(f"{name} {value} must be one number, or one per stage")
        if self.pretrained_window_size is not None and self.version == 1:
            raise ValueError(
                "pretrained_window_size belongs to version 2: V1's table is resized when its "
                "weights are loaded (checkpoints.load_weights)"
            )
        if not 0 <= self.stochastic_depth < 1:
            raise ValueError(f"stochastic_depth must lie in [0, 1), got {self.stochastic_depth}")
        if self.init_std is not None and self.init_std <= 0:
            raise ValueError(f"init_std must be positive, or None, got {self.init_std}")
        if self.backend not in BACKENDS:
            raise ValueError(f"backend must be one of {BACKENDS}, got {self.backend!r}")
        check_padding(self.padding)

    def window_sizes(self) -> tuple[int, ...]:
        """Return the window size of each stage."""
        return _per_stage(self.window_size, self.depths)

    def pretrained_window_sizes(self) -> tuple[int | None, ...]:
        """Return the pretrained window size of each stage, None where it is the stage's own."""
        return _per_stage(self.pretrained_window_size, self.depths)


def _per_stage(value, depths: tuple[int, ...]) -> tuple:
    return value if isinstance(value, tuple) else (value,) * len(depths)


class PatchEmbed(nn.Module):
    """Make one token of every patch of pixels: a linear map of the patch, and a norm.

    An image that does not divide into patches is padded with zeros at the bottom and the right, so
    that no pixel is lost.
    """

    def __init__(self, config: SwinConfig):
        super().__init__()
        patch = config.patch_size
        self.proj = nn.Conv2d(config.in_channels, config.channels, patch, stride=patch)
        self.norm = nn.LayerNorm(config.channels)

    def forward(self, images: Float[Tensor, "b rgb hi wi"]) -> Float[Tensor, "b h w c"]:
        """Return the feature map of the first stage."""
        height, width = images.shape[-2:]
        patch = self.proj.kernel_size[0]
        padded_height, padded_width = padded_size(height, width, patch)
        images = F.pad(images, (0, padded_width - width, 0, padded_height - height))
        return self.norm(rearrange(self.proj(images), "b c h w -> b h w c"))


class PatchMerging(nn.Module):
    """Halve the map: join each 2 x 2 tokens into one, with twice the channels of one of them.

    A map with an odd side is padded with zeros at the bottom or the right.  V1 norms the four
    joined tokens, V2 the result.  Source: Swin, section 3.1; Swin V2, section 3.2.
    """

    def __init__(self, channels: int, norm_last: bool):
        super().__init__()
        self.norm_last = norm_last
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm((2 if norm_last else 4) * channels)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h2 w2 c2"]:
        """Return the feature map of the next stage."""
        x = pad_to_windows(x, 2)
        # Column before row: the order in which the official weights expect the four tokens.
        x = rearrange(x, "b (h row) (w column) c -> b h w (column row c)", row=2, column=2)
        if self.norm_last:
            return self.norm(linear(x, self.reduction.weight))
        return linear(self.norm(x), self.reduction.weight)


class Mlp(nn.Module):
    """The two-layer network that each token passes on its own."""

    def __init__(self, channels: int, hidden: int, dropout: float):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:
        """Return the transformed tokens."""
        x = linear(x, self.fc1.weight, self.fc1.bias, gelu=True)
        x = F.dropout(x, self.dropout, self.training)
        return F.dropout(linear(x, self.fc2.weight, self.fc2.bias), self.dropout, self.training)


class SwinTransformerBlock(nn.Module):
    """Window attention and an MLP, each with a norm and a residual connection.

    ``shift_size`` 0 makes it W-MSA, ``window_size // 2`` SW-MSA.
    """

    def __init__(self, config: SwinConfig, stage: int, shift_size: int, stochastic_depth: float):
        super().__init__()
        channels = config.channels * 2**stage
        self.window_size = config.window_sizes()[stage]
        self.shift_size = shift_size
        self.padding = config.padding
        self.stochastic_depth = stochastic_depth
        self.norm_last = config.version == 2
        options = {
            "channels": channels,
            "window_size": self.window_size,
            "heads": config.heads[stage],
            "qkv_bias": config.qkv_bias,
            "attention_dropout": config.attention_dropout,
            "projection_dropout": config.dropout,
            "backend": config.backend,
        }
        if config.version == 2:
            pretrained = config.pretrained_window_sizes()[stage]
            self.attn = WindowAttentionV2(**options, pretrained_window_size=pretrained)
        else:
            self.attn = WindowAttention(**options)
        self.norm1 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, int(channels * config.mlp_ratio), config.dropout)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Return the map after attention and MLP."""
        if self.norm_last:
            x = x + self._drop(self.norm1(self.attend(x)))
            return x + self._drop(self.norm2(self.mlp(x)))
        x = x + self._drop(self.attend(self.norm1(x)))
        return x + self._drop(self.mlp(self.norm2(x)))

    def attend(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Return window attention's output for every token of the map."""
        return self.attn.attend(x, self.grid(x))

    def attention_map(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b n heads t t"]:
        """Return the attention weights that this block computes for its input ``x``."""
        grid = self.grid(x)
        x = x if self.norm_last else self.norm1(x)
        return self.attn(grid.partition(x), grid.mask(x.device), return_attention=True)[1]

    def grid(self, x: Float[Tensor, "b h w c"]) -> WindowGrid:
        """Return the geometry of this block's windows on the map ``x``."""
        return WindowGrid(x.shape[1], x.shape[2], self.window_size, self.shift_size, self.padding)

    def _drop(self, branch: Tensor) -> Tensor:
        """Stochastic depth: while training, leave the branch out for some images of the batch."""
        if not self.training or self.stochastic_depth == 0:
            return branch
        keep = 1 - self.stochastic_depth
        kept = torch.rand(len(branch), 1, 1, 1, device=branch.device) < keep
        return branch * (kept / keep).to(branch.dtype)


class Stage(nn.Module):
    """The blocks at one resolution; W-MSA and SW-MSA alternate.  All but the last stage merge."""

    def __init__(self, config: SwinConfig, stage: int):
        super().__init__()
        before, depth = sum(config.depths[:stage]), config.depths[stage]
        last = max(sum(config.depths) - 1, 1)
        shift = config.window_sizes()[stage] // 2
        self.blocks = nn.ModuleList(
            SwinTransformerBlock(
                config,
                stage,
                shift_size=0 if i % 2 == 0 else shift,
                stochastic_depth=config.stochastic_depth * (before + i) / last,
            )
            for i in range(depth)
        )
        if stage < len(config.depths) - 1:
            self.downsample = PatchMerging(config.channels * 2**stage, config.version == 2)


class SwinTransformer(nn.Module):
    """A Swin Transformer: images of any size in, class scores, features or attention maps out.

    Nothing in it depends on the size of the image, so sizes can change from call to call.
    Source: Swin (2021) and Swin V2 (2022).
    """

    def __init__(self, config: SwinConfig):
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.layers = nn.ModuleList(Stage(config, stage) for stage in range(len(config.depths)))
        channels = config.channels * 2 ** (len(config.depths) - 1)
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(functools.partial(_initialise, std=config.init_std))
        if config.version == 2:
            # Norms after each branch start at 0, so that every block starts as the identity.
            for block in self.all_blocks():
                nn.init.zeros_(block.norm1.weight)
                nn.init.zeros_(block.norm2.weight)

    def forward(self, images: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b classes"]:
        """Return the scores of the classes (before softmax)."""
        return self.head(reduce(self.forward_features(images), "b h w c -> b c", "mean"))

    def forward_features(self, images: Float[Tensor, "b rgb hi wi"]) -> Float[Tensor, "b h w c"]:
        """Return the normed feature map of the last stage, before pooling."""
        return self.norm(self.features(images)[-1])

    def features(self, images: Float[Tensor, "b rgb h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return the feature maps at the end of all stages: a pyramid for detection and the like.

        Maps are channels-last and not normed; each has half the height and width (rounded up) and
        twice the channels of the one before.
        """
        x = self.patch_embed(self._checked(images))
        maps = []
        for stage in self.layers:
            for block in stage.blocks:
                x = self._run(block, x)
            maps.append(x)
            if hasattr(stage, "downsample"):
                x = stage.downsample(x)
        return maps

    def attention_maps(
        self, images: Float[Tensor, "b rgb h w"], blocks: Iterable[tuple[int, int]]
    ) -> dict[tuple[int, int], Float[Tensor, "b n heads t t"]]:
        """Return the attention weights of chosen blocks, each named by (stage, block) from 0.

        Raises ValueError for a block that the model does not have.
        """
        wanted = set(blocks)
        known = {(s, i) for s, stage in enumerate(self.layers) for i in range(len(stage.blocks))}
        if not wanted <= known:
            raise ValueError(
                f"there is no block {sorted(wanted - known)}: depths are {self.config.depths}"
            )
        found = {}
        x = self.patch_embed(self._checked(images))
        for s, stage in enumerate(self.layers):
            for i, block in enumerate(stage.blocks):
                if (s, i) in wanted:
                    found[s, i] = block.attention_map(x)
                x = self._run(block, x)
            if hasattr(stage, "downsample"):
                x = stage.downsample(x)
        return found

    def all_blocks(self) -> list[SwinTransformerBlock]:
        """Return the blocks of all stages in order."""
        return [block for stage in self.layers for block in stage.blocks]

    def _run(self, block: SwinTransformerBlock, x: Tensor) -> Tensor:
        if self.config.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(block, x, use_reentrant=False)
        return block(x)

    def _checked(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != self.config.in_channels:
            raise ValueError(
                f"expected images of shape (b, {self.config.in_channels}, height, width), got "
                f"{tuple(images.shape)}: a single image needs a batch axis, images[None]"
            )
        return images


def _initialise(module: nn.Module, std: float | None) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=std or module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# --- the published models ---

_SIZES = {
    "tiny": {
        "channels": 96,
        "depths": (2, 2, 6, 2),
        "heads": (3, 6, 12, 24),
        "stochastic_depth": 0.2,
    },
    "small": {
        "channels": 96,
        "depths": (2, 2, 18, 2),
        "heads": (3, 6, 12, 24),
        "stochastic_depth": 0.3,
    },
    "base": {
        "channels": 128,
        "depths": (2, 2, 18, 2),
        "heads": (4, 8, 16, 32),
        "stochastic_depth": 0.5,
    },
    "large": {
        "channels": 192,
        "depths": (2, 2, 18, 2),
        "heads": (6, 12, 24, 48),
        "stochastic_depth": 0.2,
    },
}
# The window of the last stage of a 256-pixel V2 model is as large as its map, 8 x 8.
_VARIANTS = {
    "swin_{}": {"window_size": 7},
    "swin_{}_384": {"window_size": 12},
    "swin_v2_{}": {"version": 2, "window_size": 8},
    "swin_v2_{}_window16": {"version": 2, "window_size": (16, 16, 16, 8)},
}
PRESETS = {
    name.format(size): SwinConfig(**_SIZES[size], **variant)
    for name, variant in _VARIANTS.items()
    for size in _SIZES
}


def create_model(name: str, **overrides) -> SwinTransformer:
    """Return a model by the name of its preset, with any field of ``SwinConfig`` overridden.

    ``swin_tiny`` to ``swin_large`` are for 224 pixels and window 7, ``..._384`` for 384 pixels and
    window 12; ``swin_v2_tiny`` to ``swin_v2_large`` are for 256 pixels and window 8,
    ``..._window16`` for window 16.  All take images of any other size too.
    Raises ValueError for an unknown name and TypeError for an unknown field.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no model {name!r}: choose one of {', '.join(PRESETS)}")
    known = [field.name for field in dataclasses.fields(SwinConfig)]
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise TypeError(f"SwinConfig has no field {unknown}: it has {', '.join(known)}")
    return SwinTransformer(dataclasses.replace(PRESETS[name], **overrides))


def swin_tiny(**overrides) -> SwinTransformer:
    """Swin-T: 28 M parameters."""
    return create_model("swin_tiny", **overrides)


def swin_small(**overrides) -> SwinTransformer:
    """Swin-S: 50 M parameters."""
    return create_model("swin_small", **overrides)


def swin_base(**overrides) -> SwinTransformer:
    """Swin-B: 88 M parameters."""
    return create_model("swin_base", **overrides)


def swin_large(**overrides) -> SwinTransformer:
    """Swin-L: 197 M parameters."""
    return create_model("swin_large", **overrides)


def swin_v2_tiny(**overrides) -> SwinTransformer:
    """SwinV2-T: 28 M parameters."""
    return create_model("swin_v2_tiny", **overrides)


def swin_v2_small(**overrides) -> SwinTransformer:
    """SwinV2-S: 50 M parameters."""
    return create_model("swin_v2_small", **overrides)


def swin_v2_base(**overrides) -> SwinTransformer:
    """SwinV2-B: 88 M parameters."""
    return create_model("swin_v2_base", **overrides)


def swin_v2_large(**overrides) -> SwinTransformer:
    """SwinV2-L: 197 M parameters."""
    return create_model("swin_v2_large", **overrides)
