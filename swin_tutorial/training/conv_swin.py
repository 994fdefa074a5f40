"""What the literature adds to a Swin that sees few images: convolutions, which know what is near.

Each addition is an option of its own, and all are off by default.  With all off, this is the plain
Swin Transformer.
"""

from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from swin_tutorial.config import SwinConfig
from swin_tutorial.model import Mlp, SwinTransformer


@dataclass(frozen=True)
class ConvSwinConfig(SwinConfig):
    """A Swin Transformer with convolutions added.

    Args:
        conv_stem: make tokens of overlapping patches, by two 3 x 3 convolutions.  Source: Xiao et
            al. (2021), Early Convolutions Help Transformers See Better.
        conv_mlp: let each hidden channel of an MLP see the 3 x 3 tokens around it.  Source: Wang et
            al. (2022), PVT v2, section 3.3.
        conv_position: at the beginning of each stage, add to each token a 3 x 3 convolution of its
            own channel.  Source: Chu et al. (2021), Conditional Positional Encodings.

    Other fields, and errors: as for ``SwinConfig``.
    """

    conv_stem: bool = False
    conv_mlp: bool = False
    conv_position: bool = False

    def __post_init__(self):
        super().__post_init__()
        for name in ("conv_stem", "conv_mlp", "conv_position"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")


class ConvStem(nn.Module):
    """Make tokens of overlapping patches; takes the place of ``PatchEmbed``."""

    def __init__(self, patch_size: int, in_chans: int, embed_dim: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, embed_dim // 2, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(embed_dim // 2)
        self.act = nn.GELU()
        self.conv2 = nn.Conv2d(embed_dim // 2, embed_dim, 3, stride=patch_size, padding=1)
        self.norm2 = nn.LayerNorm(embed_dim)

    def forward(self, images: Float[Tensor, "b rgb height width"]) -> Float[Tensor, "b h w c"]:
        """Return the feature map of the first stage."""
        x = self.conv2(self.act(self.norm1(self.conv1(images))))
        return self.norm2(rearrange(x, "b c h w -> b h w c"))


class DepthwiseConv(nn.Module):
    """A 3 x 3 convolution of each channel of a feature map by itself."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Return the convolved map."""
        return rearrange(self.conv(rearrange(x, "b h w c -> b c h w")), "b c h w -> b h w c")


class ConvMlp(nn.Module):
    """An MLP whose hidden channels see the tokens around them; keeps the layers of ``mlp``."""

    def __init__(self, mlp: Mlp):
        super().__init__()
        self.fc1, self.act, self.fc2, self.drop = mlp.fc1, mlp.act, mlp.fc2, mlp.drop
        self.conv = DepthwiseConv(mlp.fc1.out_features)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Return the transformed tokens."""
        hidden = self.drop(self.act(self.conv(self.fc1(x))))
        return self.drop(self.fc2(hidden))


class ConvPosition(nn.Module):
    """Add to each token a convolution of the tokens around it: zeros beyond the edge tell where."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv = DepthwiseConv(dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Return the map with positions."""
        return x + self.conv(x)


class ConvSwin(SwinTransformer):
    """A Swin Transformer with the convolutions that its configuration asks for."""

    def __init__(self, config: ConvSwinConfig):
        super().__init__(config)
        if config.conv_stem:
            self.patch_embed = ConvStem(config.patch_size, config.in_chans, config.embed_dim)
        if config.conv_mlp:
            for block in self.all_blocks():
                block.mlp = ConvMlp(block.mlp)
        if config.conv_position:
            self.patch_embed = nn.Sequential(self.patch_embed, ConvPosition(config.embed_dim))
            for stage in self.layers[:-1]:
                dim = stage.downsample.reduction.out_features
                stage.downsample = nn.Sequential(stage.downsample, ConvPosition(dim))
