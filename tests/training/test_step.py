"""One step: which parameters decay, how fast it learns, what accumulation and clipping do."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from tiny_training import CONFIG
from torch import nn

from swin_tutorial.presets import create_model
from swin_tutorial.training import step
from swin_tutorial.training.step import (
    initial_state,
    learning_rate,
    parameter_groups,
    take_step,
    training_step,
    update_ema,
)


@pytest.mark.parametrize("name", ["swin_tiny", "swin_v2_tiny"])
def test_only_matrices_of_the_layers_decay(name):
    model = create_model(name, embed_dim=8, depths=(1, 1), num_heads=(1, 2), num_classes=3)
    decay, no_decay = parameter_groups(model, 0.07)
    assert (decay["weight_decay"], no_decay["weight_decay"]) == (0.07, 0.0)
    groups = {id(parameter): "decay" for parameter in decay["params"]}
    groups |= {id(parameter): "no decay" for parameter in no_decay["params"]}
    assert len(groups) == len(list(model.parameters()))
    expected = {
        ".weight": "decay",
        "bias": "no decay",
        "logit_scale": "no decay",
        "table": "no decay",
    }
    for parameter_name, parameter in model.named_parameters():
        is_norm = "norm" in parameter_name
        ending = next(end for end in expected if parameter_name.endswith(end))
        wanted = "no decay" if is_norm or "cpb_mlp" in parameter_name else expected[ending]
        assert groups[id(parameter)] == wanted, parameter_name


def test_learning_rate_has_a_linear_warmup_and_a_cosine_decay():
    config = dataclasses.replace(CONFIG, epochs=5, warmup_epochs=1.0, lr=0.3)
    rates = [learning_rate(step, 10, config) for step in range(50)]
    assert rates[:3] == pytest.approx([0.3 / 11, 0.6 / 11, 0.9 / 11])
    assert rates[10] == max(rates) == 0.3
    assert rates[30] == pytest.approx(0.15)
    assert 0 < rates[49] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_package_that_a_backend_lacks_is_told_as_an_error_of_the_configuration(monkeypatch):
    def fail(config):
        raise ImportError("backend='fused' needs Triton: pip install triton")

    monkeypatch.setattr(step, "build_model", fail)
    with pytest.raises(ValueError, match="needs Triton: pip install triton"):
        initial_state(CONFIG, torch.device("cpu"))


def step_on_a_linear_model(**changes):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), torch.randn(7, 1, 2, 3)
    targets = torch.eye(3)[torch.tensor([0, 1, 2, 2, 1, 0, 2])]
    config = dataclasses.replace(CONFIG, **changes)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    result = training_step(model, optimizer, x, targets, config)
    after = nn.utils.parameters_to_vector(model.parameters()).detach()
    moved = nn.utils.parameters_to_vector(before) - after
    with torch.no_grad():
        scores = x.flatten(1) @ before[0].T + before[1]
    return result, moved, F.cross_entropy(scores, targets, label_smoothing=config.label_smoothing)


def test_accumulation_changes_nothing_although_the_pieces_differ_in_size():
    whole, pieces = (step_on_a_linear_model(grad_accum_steps=n, clip_norm=0.0) for n in (1, 3))
    torch.testing.assert_close(pieces[0], whole[0])
    torch.testing.assert_close(pieces[1], whole[1])
    torch.testing.assert_close(whole[0][0], whole[2])


def test_clipping_shortens_the_gradient_and_reports_its_length():
    (_, norm), moved, _ = step_on_a_linear_model(clip_norm=0.01)
    assert norm > 0.1
    torch.testing.assert_close(moved.norm(), torch.tensor(0.01), rtol=1e-3, atol=0)


def test_a_clip_norm_of_0_is_no_limit():
    (_, norm), moved, _ = step_on_a_linear_model(clip_norm=0.0)
    assert norm > 0.1
    torch.testing.assert_close(moved.norm(), norm)


def test_the_average_follows_parameters_and_running_statistics():
    model, ema = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with torch.no_grad():
        model.weight.fill_(11.0)
        model.running_mean.fill_(10.0)
    update_ema(ema, model, 0.9, step=10_000)
    torch.testing.assert_close(ema.weight.detach(), torch.full((3,), 2.0))
    torch.testing.assert_close(ema.running_mean, torch.full((3,), 1.0))
    update_ema(ema, model, 0.9, step=0)  # the first step: nine tenths of the way
    torch.testing.assert_close(ema.weight.detach(), torch.full((3,), 10.1))


def test_a_step_depends_on_the_state_and_on_nothing_drawn_before():
    x = torch.randn(4, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    targets = torch.eye(1000)[:4]
    results = []
    for noise in (1, 2):
        state = initial_state(CONFIG, torch.device("cpu"))
        state.step = 3
        torch.manual_seed(noise)  # dropout and stochastic depth must not care
        results.append(take_step(state, state.model, x, targets, 4, CONFIG))
        assert state.step == 4
        assert state.optimizer.param_groups[0]["lr"] == learning_rate(3, 4, CONFIG)
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    state = initial_state(CONFIG, torch.device("cpu"))
    other = take_step(state, state.model, x, targets, 4, CONFIG)
    assert not torch.equal(other, results[0])  # the same weights and images in another step


def test_without_a_decay_there_is_no_average_and_the_model_itself_is_evaluated():
    state = initial_state(dataclasses.replace(CONFIG, ema_decay=0.0), torch.device("cpu"))
    assert state.ema is None
    assert state.eval_model is state.model
    with_average = initial_state(CONFIG, torch.device("cpu"))
    assert with_average.eval_model is with_average.ema
    assert not math.isclose(CONFIG.ema_decay, 0)
