"""Everything that determines a Swin Transformer, checked before anything is built (chapter 06)."""

import sys
from dataclasses import dataclass
from fractions import Fraction

from swin_tutorial.attention import check_rate, check_window
from swin_tutorial.axis import Padding, check_padding, check_size
from swin_tutorial.backends import BACKENDS
from swin_tutorial.windows import Size, sizes_per_axis

MOST_PARAMETERS = 10**11  # 400 gigabytes; the largest published Swin has 3 * 10**9


@dataclass(frozen=True)
class SwinConfig:
    """Everything that determines a Swin Transformer; ``presets`` has the published sizes.

    Args:
        version: 1, or 2 for cosine attention, a position bias made by a network, and norms after
            attention and MLP instead of before.
        embed_dim: channels of the first stage; each later stage has twice as many.
        depths: blocks in each stage; odd ones (counting from 0) have shifted windows.
        num_heads: attention heads in each stage.
        window_size: the sides of a window in tokens, one number for both axes or one per axis.
        window_sizes: the window of each stage, in place of ``window_size``.
        pretrained_window_sizes: V2 only: the window of each stage with which the position bias was
            trained, if it differs from the model's.
        patch_size: pixels per token and axis.
        in_chans: channels of the image.
        num_classes: outputs of the head; 0 for none, and ``forward`` returns pooled features.
        mlp_ratio: hidden channels of a block's MLP per channel.
        qkv_bias: whether queries, keys and values have a bias.
        drop_rate: probability of dropping a channel of a token while training.
        attn_drop_rate: probability of dropping an attention weight while training.
        drop_path_rate: probability of leaving out the last block's branches while training; it
            grows linearly from 0 at the first block.
        padding: "mask" keeps real tokens and padding from attending to each other; "attend" treats
            padding like any other token, as torchvision does.
        backend: how attention is computed, see ``WindowAttention``.
        grad_checkpointing: recompute each block in the backward pass to save memory.
        init_std: standard deviation of the linear layers' initial weights.  0.02 is the official
            value; None means 1 / sqrt(inputs), which the small recipes of this project use.
        use_shift: False leaves out the shift, to see what it is for.
        use_mask: False leaves out the mask, likewise.
        use_position_bias: False leaves out the position bias, likewise.

    Raises TypeError or ValueError for a field that makes no sense, or does not fit the others.
    """

    version: int = 1
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int | tuple[int, int] = 7
    window_sizes: tuple[int, ...] | None = None
    pretrained_window_sizes: tuple[int, ...] | None = None
    patch_size: int = 4
    in_chans: int = 3
    num_classes: int = 1000
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.2
    padding: Padding = "mask"
    backend: str = "sdpa"
    grad_checkpointing: bool = False
    init_std: float | None = 0.02
    use_shift: bool = True
    use_mask: bool = True
    use_position_bias: bool = True

    def __post_init__(self):
        if type(self.version) is not int or self.version not in (1, 2):
            raise ValueError(f"version must be 1 or 2, got {self.version!r}")
        for name in ("embed_dim", "patch_size", "in_chans"):
            check_size(name, getattr(self, name))
        check_size("num_classes", self.num_classes, at_least=0)
        self._check_stages()
        self._check_windows()
        for name in ("drop_rate", "attn_drop_rate", "drop_path_rate"):
            check_rate(name, getattr(self, name))
        self._check_parameters()
        if self.init_std is not None and not _is_positive(self.init_std):
            raise ValueError(f"init_std must be positive, or None, got {self.init_std!r}")
        switches = ("use_shift", "use_mask", "use_position_bias")
        for name in ("qkv_bias", "grad_checkpointing", *switches):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        check_padding(self.padding)
        if self.backend not in BACKENDS:
            raise ValueError(f"backend must be one of {BACKENDS}, got {self.backend!r}")
        if self.backend == "fused" and not self.use_mask:
            raise ValueError("backend='fused' always masks: use another with use_mask=False")

    def _check_stages(self) -> None:
        for name in ("depths", "num_heads", "window_sizes", "pretrained_window_sizes"):
            value = getattr(self, name)
            if value is None and name.endswith("window_sizes"):
                continue
            if not isinstance(value, tuple | list):
                raise TypeError(f"{name} must be a tuple with one entry per stage, got {value!r}")
            if not value or len(value) != len(self.depths):
                raise ValueError(
                    f"{name} {tuple(value)} must have one entry per stage, like depths "
                    f"{tuple(self.depths)}: a model has at least one stage"
                )
            object.__setattr__(self, name, tuple(value))
        for depth in self.depths:
            check_size("each of depths", depth)
        dims = tuple(self.embed_dim * 2**stage for stage in range(len(self.depths)))
        for dim, heads in zip(dims, self.num_heads, strict=True):
            check_size("each of num_heads", heads)
            if dim % heads:
                raise ValueError(
                    f"num_heads {self.num_heads} must divide the channels of each stage, {dims} "
                    f"for embed_dim {self.embed_dim}: every head needs the same number"
                )

    def _check_windows(self) -> None:
        if self.pretrained_window_sizes is not None and self.version == 1:
            raise ValueError(
                "pretrained_window_sizes belongs to version 2: V1's table is resized when its "
                "weights are loaded (weights.load_weights)"
            )
        object.__setattr__(self, "window_size", _window("window_size", self.window_size))
        for name in ("window_sizes", "pretrained_window_sizes"):
            if getattr(self, name) is not None:
                windows = tuple(_window(f"each of {name}", one) for one in getattr(self, name))
                object.__setattr__(self, name, windows)

    def _check_parameters(self) -> None:
        """Raise ValueError for an MLP without channels, and for more than MOST_PARAMETERS."""
        check_ratio(self.embed_dim, self.mlp_ratio)
        dims = [self.embed_dim * 2**stage for stage in range(len(self.depths))]
        per_channel = 4 + 2 * Fraction(self.mlp_ratio)  # exact, however large
        blocks = sum(depth * dim**2 for depth, dim in zip(self.depths, dims, strict=True))
        ends = self.patch_size**2 * self.in_chans * dims[0] + self.num_classes * dims[-1]
        if blocks * per_channel + ends > MOST_PARAMETERS:
            raise ValueError(
                f"a model of more than {MOST_PARAMETERS:,} parameters is too large: choose a "
                "smaller embed_dim, depths, mlp_ratio, patch_size, in_chans or num_classes"
            )

    def stage_window_size(self, stage: int) -> Size:
        """Return the window size of a stage."""
        return self.window_sizes[stage] if self.window_sizes else self.window_size


def _window(name: str, window_size: Size) -> Size:
    """Return a window's size if it is one, as an int or as a tuple of one number per axis."""
    window = sizes_per_axis(name, window_size, num_axes=2)
    check_window(name, window)
    return window_size if isinstance(window_size, int) else window


def check_ratio(dim: int, mlp_ratio: float) -> None:
    """Raise ValueError unless an MLP with ``mlp_ratio`` hidden channels per channel has any."""
    if not _is_positive(mlp_ratio) or dim * Fraction(mlp_ratio) < 1:
        raise ValueError(
            f"mlp_ratio must be a number that leaves the MLP a hidden channel, got {mlp_ratio!r}: "
            "the published models have 4.0"
        )


def _is_positive(number: float) -> bool:
    """Return whether a value is a number above 0 that a float can hold; infinity is none."""
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return is_number and 0 < number <= sys.float_info.max
