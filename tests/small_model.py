"""A small model with random weights, and its weights bit by bit, for the tests of weights."""

import torch

from swin_tutorial.model import SwinConfig, SwinTransformer


def model(version=1, seed=0, **fields):
    """A small model in which all weights are random, three stages of different depth."""
    config = {
        "version": version,
        "embed_dim": 8,
        "depths": (2, 3, 1),
        "num_heads": (1, 2, 4),
        "window_size": 4,
        "num_classes": 5,
    }
    made = SwinTransformer(SwinConfig(**(config | fields)))
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return made.eval()


def bits(one):
    """Every weight's bits: 0.0 and -0.0 differ in them, and a NaN equals itself."""
    return {name: tensor.view(torch.int32).clone() for name, tensor in one.state_dict().items()}


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
