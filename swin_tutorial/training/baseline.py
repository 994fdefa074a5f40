"""A small ResNet: the plain convolutional network that Swin is compared with (chapter 07).

It is trained by the same loop, on the same images, for as many epochs.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from swin_tutorial.axis import check_size


@dataclass(frozen=True)
class ResNetConfig:
    """Everything that determines a ResNet.

    Args:
        width: channels of the first stage; each later stage has twice as many
        depths: blocks in each stage; all stages but the first begin by halving the map
        in_chans: channels of the image
        num_classes: outputs of the head

    Raises ValueError for invalid sizes.
    """

    width: int = 32
    depths: tuple[int, ...] = (2, 2, 2)
    in_chans: int = 3
    num_classes: int = 10

    def __post_init__(self):
        for name in ("width", "in_chans", "num_classes"):
            check_size(name, getattr(self, name))
        if not self.depths:
            raise ValueError(f"depths must have a number for each stage, got {self.depths}")
        for depth in self.depths:
            check_size("each of depths", depth)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with a residual connection.  Source: He et al. (2015), figure 5."""

    def __init__(self, in_dim: int, dim: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_dim, dim, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(dim)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(dim)
        self.shortcut = nn.Identity()
        if stride != 1 or in_dim != dim:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_dim, dim, 1, stride, bias=False), nn.BatchNorm2d(dim)
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Return the map after both convolutions."""
        out = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """A ResNet for small images: a 3 x 3 convolution, stages of blocks, the mean, a linear head."""

    def __init__(self, config: ResNetConfig):
        super().__init__()
        self.config = config
        dim = config.width
        self.stem = nn.Conv2d(config.in_chans, dim, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(dim)
        blocks = []
        for stage, depth in enumerate(config.depths):
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(BasicBlock(dim, config.width * 2**stage, stride))
                dim = config.width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(dim, config.num_classes)

    def forward(self, images: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b classes"]:
        """Return the scores of the classes (before softmax)."""
        x = self.blocks(F.relu(self.norm(self.stem(images))))
        return self.head(x.mean((2, 3)))
