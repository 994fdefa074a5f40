"""Configurations: stored and read again, refused if they make no sense, turned into models."""

import dataclasses
import json
import math

import pytest
import torch

from swin_tutorial.data.augmentation import generator
from swin_tutorial.data.image_sets import IMAGE_SETS
from swin_tutorial.training.baseline import ResNetConfig
from swin_tutorial.training.config import TrainingConfig, build_model, for_dataset
from swin_tutorial.training.recipes import DESCRIPTIONS, PRESETS

QUICK = PRESETS["quick"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json_and_their_models_take_images_of_their_data(name):
    config = for_dataset(PRESETS[name], in_chans=2, num_classes=7)
    stored = json.dumps(config.as_dict(), allow_nan=False)
    assert TrainingConfig.from_dict(json.loads(stored)) == config
    with torch.device("meta"):
        model = build_model(config)
        assert model(torch.empty(3, 2, 32, 28)).shape == (3, 7)
    if "fashion" in config.data:
        assert config.data in IMAGE_SETS
        assert sum(parameter.numel() for parameter in model.parameters()) <= 6_000_000


def test_every_preset_is_described():
    assert DESCRIPTIONS.keys() == PRESETS.keys()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("grad_accum_steps", 0, "grad_accum_steps must be at least 1, got 0"),
        ("label_smoothing", 1.0, r"label_smoothing must lie in \[0, 1\), got 1.0"),
        ("ema_decay", -0.1, r"ema_decay must lie in \[0, 1\), got -0.1"),
        ("clip_norm", -1.0, "clip_norm must be finite and not negative: -1.0"),
        ("clip_norm", math.inf, "clip_norm must be finite and not negative: inf"),
        ("weight_decay", math.nan, "weight_decay must be finite and not negative: nan"),
        ("seed", -1, "seed must lie between 0 and 18446744073709551615, got -1"),
        (
            "seed",
            2**64,
            "seed must lie between 0 and 18446744073709551615, got 18446744073709551616",
        ),
        ("epochs", True, "epochs must be a whole number, got True"),
        ("batch_size", 8.0, "batch_size must be a whole number, got 8.0"),
        ("lr", True, "lr must be a number, got True"),
        ("lr", math.inf, "lr must be finite and not negative: inf"),
        ("lr", "1e-3", "lr must be a number, got '1e-3'"),
        ("bf16", "no", "bf16 must be True or False, got 'no'"),
        ("data", None, "data must be a string, got None"),
        ("warmup_epochs", math.inf, "warmup_epochs must be finite and not negative: inf"),
        ("warmup_epochs", 1e308, r"warmup_epochs 1e\+308 is longer than the run, 13 epochs"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_value_that_makes_no_sense_is_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(QUICK, **{name: value})


def test_a_younger_field_has_its_default_in_an_older_file():
    stored = QUICK.as_dict()
    del stored["clip_norm"], stored["augmentation"]["cutmix"], stored["model"]["use_mask"]
    default = TrainingConfig(QUICK.model, QUICK.augmentation).clip_norm
    expected = dataclasses.replace(QUICK, clip_norm=default)
    assert default != QUICK.clip_norm
    assert TrainingConfig.from_dict(stored) == expected


def test_the_largest_seed_is_one():
    largest = dataclasses.replace(QUICK, seed=2**64 - 1)
    assert build_model(largest).head.weight.isfinite().all()
    assert int(generator("order", largest.seed, 0).integers(2**63)) >= 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"momentum": 0.9}, "settings momentum, which this swin_tutorial does not know: a newer"),
        ({"model": {"rope": 1, "sinks": 2}}, "settings rope, sinks, which this swin_tutorial"),
        ({"augmentation": {"colors": 2}}, "settings colors, which this swin_tutorial"),
        ({"architecture": "vit"}, "architecture 'vit', which this swin_tutorial"),
        ({"architecture": ["swin"]}, "not the configuration of a run"),
        ({"model": None}, "not the configuration of a run"),
        ({"augmentation": 3}, "not the configuration of a run"),
        ({"epochs": "three"}, "epochs must be a whole number, got 'three'"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_configuration_of_this_version_is_refused(change, message):
    stored = QUICK.as_dict()
    for name, value in change.items():
        stored[name] = stored[name] | value if isinstance(value, dict) else value
    with pytest.raises(ValueError, match=message):
        TrainingConfig.from_dict(stored)


@pytest.mark.parametrize("values", [{}, {"architecture": "swin"}, None, 3, "swin", [1]])
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_configuration_at_all_is_refused(values):
    with pytest.raises(ValueError, match="not the configuration of a run"):
        TrainingConfig.from_dict(values)


def test_building_a_model_leaves_the_callers_random_state():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    build_model(QUICK)
    assert torch.equal(torch.rand(3), expected)


def test_the_seed_draws_the_first_weights():
    one, same, other = (
        build_model(dataclasses.replace(QUICK, seed=seed)).head.weight for seed in (3, 3, 4)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_images_decide_on_the_models_input_and_output_alone():
    for model in (QUICK.model, ResNetConfig(width=8)):
        config = dataclasses.replace(QUICK, model=model)
        adapted = for_dataset(config, in_chans=2, num_classes=7)
        assert (adapted.model.in_chans, adapted.model.num_classes) == (2, 7)
        back = for_dataset(adapted, model.in_chans, model.num_classes)
        assert back == config


def test_ablated_models_draw_the_same_weights_and_lack_the_shift_or_the_mask():
    config = for_dataset(QUICK, in_chans=1, num_classes=10)
    models = {}
    for name in ("use_shift", "use_mask", ""):
        changes = {name: False} if name else {}
        model = dataclasses.replace(config.model, **changes)
        models[name] = build_model(dataclasses.replace(config, model=model)).eval()
    weights = [model.head.weight for model in models.values()]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    x = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = {name: model(x) for name, model in models.items()}
        for block in models[""].all_blocks():
            block.shift_size = 0
        torch.testing.assert_close(models[""](x), outputs["use_shift"])
    assert not torch.allclose(outputs[""], outputs["use_mask"], atol=1e-5)
    assert not torch.allclose(outputs["use_shift"], outputs["use_mask"], atol=1e-5)
