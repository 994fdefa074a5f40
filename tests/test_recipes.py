"""Configurations: every field an option, stored and read again, refused if it makes no sense."""

import dataclasses
import json
import math

import pytest
import torch

from swin_tutorial import recipes
from swin_tutorial.baseline import ResNetConfig
from swin_tutorial.data import IMAGE_SETS
from swin_tutorial.recipes import PRESETS, TrainingConfig, build_model, changed, fitted, options

QUICK = PRESETS["quick"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json_and_their_models_take_images_of_their_data(name):
    config = fitted(PRESETS[name], in_channels=2, num_classes=7)
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    with torch.device("meta"):
        model = build_model(config)
        assert model(torch.empty(3, 2, 32, 28)).shape == (3, 7)
    if "fashion" in config.data:
        assert config.data in IMAGE_SETS
        assert sum(one.numel() for one in model.parameters()) <= 6_000_000


@pytest.mark.parametrize("name", ["quick", "quick-resnet"])
def test_every_field_of_every_part_is_an_option_with_a_name_of_its_own(name):
    config = PRESETS[name]
    owners = (config, config.model, config.augmentation)
    fields = [one.name for owner in owners for one in dataclasses.fields(owner)]
    left_out = {*recipes.PARTS, *recipes.FOLLOW_FROM_DATA}
    names = [one.name for one in options(config)]
    assert len(set(names)) == len(names)
    assert set(names) == set(fields) - left_out
    assert all(one.help for one in options(config))


def test_options_reach_the_part_that_they_belong_to():
    values = {
        "depths": "3,1,2",
        "window_size": "5",
        "flip": "0.25",
        "learning_rate": "1e-4",
        "clip_norm": "inf",
        "epochs": "7",
        "bf16": True,
        "data": "some/folder",
    }
    config = changed(QUICK, values)
    assert config.model == dataclasses.replace(QUICK.model, depths=(3, 1, 2), window_size=5)
    assert config.augmentation == dataclasses.replace(QUICK.augmentation, flip=0.25)
    loop = {"learning_rate": 1e-4, "clip_norm": math.inf, "epochs": 7, "bf16": True}
    parts = {"model": config.model, "augmentation": config.augmentation}
    assert config == dataclasses.replace(QUICK, **loop, data="some/folder", **parts)
    assert changed(QUICK, {"window_size": "5,3,2"}).model.window_size == (5, 3, 2)
    assert changed(QUICK, {}) == QUICK


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("epochs", "2.5", r"epochs takes a value such as \d+, got '2.5'"),
        ("depths", "six", r"depths takes a value such as \(2, 2, 2\), got 'six'"),
        ("learning_rate", "fast", "learning_rate takes a value"),
        ("epochs", "0", "epochs must be at least 1, got 0"),
        ("label_smoothing", "1", r"label_smoothing must lie in \[0, 1\), got 1.0"),
        ("clip_norm", "-1", "clip_norm must not be negative, got -1.0"),
        ("weight_decay", "nan", "weight_decay must not be negative, got nan"),
        ("without", "bias", "without must be 'shift', 'mask' or empty, got 'bias'"),
        ("flip", "2", "flip is a probability, 0 to 1, got 2"),
        ("epoch", "3", "there is no option 'epoch'"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name, text, message, unchecked):
    with pytest.raises(ValueError, match=message):
        changed(QUICK, {name: text})


def test_a_network_without_windows_cannot_lose_its_shift():
    with pytest.raises(ValueError, match="only a Swin Transformer has that"):
        dataclasses.replace(QUICK, model=ResNetConfig(), without="shift")


def test_the_seed_draws_the_first_weights():
    one, same, other = (
        build_model(dataclasses.replace(QUICK, seed=seed)).head.weight for seed in (3, 3, 4)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_ablated_models_lack_the_shift_or_the_mask_and_nothing_else():
    config = fitted(QUICK, in_channels=1, num_classes=10)
    models = {
        without: build_model(dataclasses.replace(config, without=without)).eval()
        for without in ("", "shift", "mask")
    }
    x = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = {without: model(x) for without, model in models.items()}
        for block in models[""].all_blocks():
            block.shift_size = 0
        torch.testing.assert_close(models[""](x), outputs["shift"])
    assert not torch.allclose(outputs[""], outputs["mask"], atol=1e-5)
    assert not torch.allclose(outputs["shift"], outputs["mask"], atol=1e-5)
    shifts = [block.shift_size for block in models["mask"].all_blocks()]
    assert shifts[:2] == [0, 1]
    attention = models["mask"].layers[0].blocks[1].attn
    tokens = attention.window_size[0] * attention.window_size[1]
    windows = torch.randn(1, 3, tokens, config.model.channels)
    forbidding = torch.eye(tokens, dtype=torch.bool).expand(3, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(attention(windows, forbidding), attention(windows))
