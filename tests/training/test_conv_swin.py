"""A Swin with convolutions: plain without them, and each brings what it is for."""

import dataclasses

import pytest
import torch

from swin_tutorial.model import SwinTransformer
from swin_tutorial.training.config import TrainingConfig, build_model
from swin_tutorial.training.conv_swin import ConvSwin, ConvSwinConfig
from swin_tutorial.training.recipes import PRESETS

OPTIONS = ("conv_stem", "conv_mlp", "conv_position")
PLAIN = ConvSwinConfig(
    embed_dim=8, depths=(1, 1), num_heads=(1, 2), window_size=4, patch_size=2, num_classes=3
)


def make(*options):
    torch.manual_seed(0)
    return ConvSwin(dataclasses.replace(PLAIN, **dict.fromkeys(options, True))).double().eval()


def test_with_all_off_it_is_the_plain_model():
    torch.manual_seed(0)
    plain = SwinTransformer(PLAIN).double().eval()
    image = torch.randn(2, 3, 16, 20, dtype=torch.float64)
    assert torch.equal(make()(image), plain(image))
    assert make().state_dict().keys() == plain.state_dict().keys()


@torch.no_grad()
@pytest.mark.parametrize("option", OPTIONS)
def test_with_each_a_token_sees_beyond_its_window(option):
    """Blocks of W-MSA alone see windows; a pixel next to a window's edge now changes the other."""
    model, plain = make(option), make()
    image = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    other = image.clone()
    other[..., 7] += 1  # the last column of pixels of the left windows
    for one, sees in ((plain, False), (model, True)):
        first, second = (one.features(x)[0] for x in (image, other))
        changed = (first - second).abs().amax((0, 1, 3)) > 1e-9
        assert bool(changed[4:].any()) == sees  # the tokens of the right windows
        assert bool(changed[:4].all())


@pytest.mark.parametrize("option", OPTIONS)
def test_each_has_maps_of_the_same_size_and_learns(option):
    model = make(option).train()
    image = torch.randn(2, 3, 16, 20, dtype=torch.float64)
    assert [m.shape for m in model.features(image)] == [m.shape for m in make().features(image)]
    model(image).square().sum().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing


def test_it_is_an_architecture_of_a_run():
    model = dataclasses.replace(PLAIN, conv_mlp=True)
    config = dataclasses.replace(PRESETS["quick"], model=model)
    assert TrainingConfig.from_dict(config.as_dict()) == config
    assert type(build_model(config)) is ConvSwin
    assert type(build_model(PRESETS["quick"])) is SwinTransformer


@pytest.mark.usefixtures("unchecked")
def test_an_option_is_true_or_false():
    with pytest.raises(TypeError, match="conv_stem must be True or False, got 1"):
        dataclasses.replace(PLAIN, conv_stem=1)
