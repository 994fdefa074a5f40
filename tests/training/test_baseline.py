"""The baseline: a residual network of the published form."""

import pytest
import torch

from swin_tutorial.training.baseline import BasicBlock, ResNet, ResNetConfig


@pytest.mark.parametrize("size", [(28, 28), (9, 14)])
def test_scores_for_images_of_any_size(size):
    model = ResNet(ResNetConfig(4, (1, 2, 1), in_chans=2, num_classes=5))
    assert model(torch.randn(3, 2, *size)).shape == (3, 5)


def test_each_stage_but_the_first_halves_the_map_and_doubles_the_channels():
    model = ResNet(ResNetConfig(4, (2, 1, 1)))
    shapes = []
    x = torch.randn(1, 4, 16, 24)
    for block in model.blocks:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 16, 24), (4, 16, 24), (8, 8, 12), (16, 4, 6)]


def test_a_block_adds_what_it_was_given():
    block = BasicBlock(3, 3, 1).eval()
    torch.nn.init.zeros_(block.norm2.weight)
    x = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(block(x), x.relu())


@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 0},
        {"depths": ()},
        {"depths": (2, 0)},
        {"in_chans": 0},
        {"num_classes": True},
        {"depths": (1, True)},
        {"depths": (1.5,)},
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_invalid_sizes_are_named(sizes):
    with pytest.raises((ValueError, TypeError), match=rf"{next(iter(sizes))} must .*got"):
        ResNetConfig(**sizes)
