"""Mask and shift switched off in a trained model: what is off, what comes back, what leaks."""

import dataclasses
from pathlib import Path

import pytest
import tiny_training
import torch

from swin_tutorial.data.paths import find_data
from swin_tutorial.training.config import build_model, for_dataset
from swin_tutorial.training.datasets import load_data
from swin_tutorial.training.run_folder import load_run
from swin_tutorial.training.switches import (
    class_probabilities,
    leaked_shares,
    shifted_blocks,
    switched_off,
    unmasked_attention,
)

RESULTS = Path(__file__).parents[2] / "docs" / "results.md"
IMAGES = tiny_training.images()
CONFIG = for_dataset(tiny_training.CONFIG, 1, 3)
BATCH = torch.randn(3, 1, 8, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    return build_model(CONFIG)


@pytest.mark.parametrize("what", ["mask", "shift"])
def test_switched_off_is_the_model_that_never_had_it(model, what):
    without = dataclasses.replace(CONFIG.model, **{f"use_{what}": False})
    other = build_model(dataclasses.replace(CONFIG, model=without))
    other.load_state_dict(model.state_dict())
    before = class_probabilities(model, IMAGES)
    with switched_off(what, model.all_blocks()):
        off = class_probabilities(model, IMAGES)
    assert torch.equal(off, class_probabilities(other, IMAGES))
    assert not torch.equal(off, before)
    assert torch.equal(class_probabilities(model, IMAGES), before)
    assert model.training  # as it was made


def test_it_comes_back_on_after_an_error(model):
    block = shifted_blocks(model)[0, 1]

    def fail_while_it_is_off():
        with switched_off("shift", [block]):
            assert block.shift_size == 0
            raise KeyError

    with pytest.raises(KeyError):
        fail_while_it_is_off()
    assert block.shift_size == 1


@pytest.mark.usefixtures("unchecked")
def test_nothing_else_can_be_switched_off(model):
    with pytest.raises(ValueError, match=r"only the mask or the shift .* got 'bias'"):
        switched_off("bias", model.all_blocks()).__enter__()


def test_probabilities_come_in_the_order_of_the_set(model):
    probabilities = class_probabilities(model, IMAGES)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(IMAGES)))
    backwards = dataclasses.replace(IMAGES, pixels=IMAGES.pixels.flip(0))
    torch.testing.assert_close(class_probabilities(model, backwards).flip(0), probabilities)


def test_even_attention_leaks_what_chance_does(model):
    attention = shifted_blocks(model)[0, 1].attn
    torch.nn.init.zeros_(attention.qkv.weight)
    torch.nn.init.zeros_(attention.qkv.bias)
    torch.nn.init.zeros_(attention.relative_position_bias_table)
    shares, chance = leaked_shares(model, BATCH, (0, 1))
    assert shares.tolist() == pytest.approx([chance] * CONFIG.model.num_heads[0])
    # 4 x 6 tokens in windows of 2, shifted by 1: in the last row or column of windows a query loses
    # 2 of 4 keys, in the last window 3 of 4.
    assert chance == pytest.approx((2 * 4 * 0.5 + 4 * 0.5 + 4 * 0.75) / 16)


def test_all_attention_can_leak(model):
    """A bias that favors the next row sends everything over the seam that lies there."""
    attention = shifted_blocks(model)[0, 1].attn
    torch.nn.init.zeros_(attention.qkv.weight)
    table = torch.zeros_like(attention.relative_position_bias_table).view(3, 3, -1)
    table[0] = table[2] = 50.0  # rows -1 and +1
    attention.relative_position_bias_table.data.copy_(table.view(9, -1))
    shares, _ = leaked_shares(model, BATCH, (0, 1))
    # The last row of windows, 12 queries, leaks all; of the last column 4 more leak half.
    assert shares.tolist() == pytest.approx([(12 * 1 + 4 * 0.5) / 16] * 2, abs=1e-6)


def test_padding_does_not_count(model):
    """Stage 1 has 2 x 3 tokens, padded to 2 x 4: its masks hide padding and nothing else."""
    with pytest.raises(ValueError, match=r"the mask of block \(1, 0\) forbids no token"):
        leaked_shares(model, BATCH, (1, 0))


def test_a_block_without_a_mask_cannot_leak(model):
    with pytest.raises(ValueError, match=r"the mask of block \(0, 0\) forbids no token of 4 x 6"):
        leaked_shares(model, BATCH, (0, 0))


def favor_the_next_column(model):
    """Let queries of block (0, 1) attend to the column on their left and on their right alone."""
    attention = shifted_blocks(model)[0, 1].attn
    torch.nn.init.zeros_(attention.qkv.weight)
    table = torch.zeros_like(attention.relative_position_bias_table).view(3, 3, -1)
    table[:, 0] = table[:, 2] = 50.0  # columns -1 and +1
    attention.relative_position_bias_table.data.copy_(table.view(9, -1))


def test_unmasked_attention_stands_where_its_keys_stood(model):
    favor_the_next_column(model)
    # 4 x 6 tokens in windows of 2, shifted by 1: the window of (2, 0) has rows 1 and 2 of the first
    # and of the last column.
    weights, forbidden = unmasked_attention(model, BATCH[0], (0, 1), (2, 0))
    expected = torch.zeros(4, 6)
    expected[1:3, 5] = 0.5
    torch.testing.assert_close(weights, expected)
    assert torch.equal(forbidden, expected > 0)
    # Inside the map, the window of (2, 3) has nothing that is forbidden.
    weights, forbidden = unmasked_attention(model, BATCH[0], (0, 1), (2, 3))
    expected = torch.zeros(4, 6)
    expected[1:3, 4] = 0.5
    torch.testing.assert_close(weights, expected)
    assert not forbidden.any()
    assert shifted_blocks(model)[0, 1].use_mask  # on again


def test_what_the_docs_say_of_the_kept_model():
    """docs/results.md: its accuracy as it is, with the mask off, and with the shift off."""
    config, model = load_run(find_data("results/fashion-mnist-cpu-seed0"))
    _, images = load_data(dataclasses.replace(config, data="fashion-mnist-subset"))

    def percent():
        is_right = class_probabilities(model, images).argmax(1) == images.labels
        return f"{100 * is_right.double().mean():.1f}%"

    said = [f"it gets {percent()} right"]
    blocks = [block for (stage, _), block in shifted_blocks(model).items() if stage < 2]
    assert len(blocks) == 4
    for what in ("mask", "shift"):
        with switched_off(what, blocks):
            said.append(percent())
    expected = "{}. With the mask off in these four blocks it gets {}, and with the shift off {}"
    results = " ".join(RESULTS.read_text("utf-8").split())
    assert expected.format(*said) in results
