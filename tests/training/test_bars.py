"""The two tasks of chapter 08: the maps are what they are said to be, and the mask decides."""

import json

import pytest
import torch

from swin_tutorial.training import bars, experiments
from swin_tutorial.training.bars import BarsConfig, BarsModel
from swin_tutorial.training.intervals import mean_and_interval


def columns(maps, channel):
    """Return in which column the bar of a channel stands in each map."""
    return maps[..., channel].sum(1).argmax(1)


def test_bars_touch_at_an_inner_edge_of_a_window():
    maps, edges = bars.touching_bars(64, torch.Generator().manual_seed(0))
    assert set(edges.tolist()) == {4, 8, 12}
    assert torch.equal(columns(maps, bars.BLUE), edges)
    assert torch.equal(columns(maps, bars.RED), edges - 1)
    for channel in (bars.RED, bars.BLUE):
        lengths = (maps[..., channel] > 0.5).sum((1, 2))
        assert lengths.tolist() == [bars.BAR_LENGTH] * 64


def test_a_turned_map_is_the_same_map_with_the_seam_between_its_bars():
    maps, edges = bars.touching_bars(16, torch.Generator().manual_seed(1))
    turned = bars.turned(maps, edges)
    assert set(columns(turned, bars.RED).tolist()) == {15}
    assert set(columns(turned, bars.BLUE).tolist()) == {0}
    for one, other, edge in zip(maps, turned, edges.tolist(), strict=True):
        assert torch.equal(other[:, : 16 - edge], one[:, edge:])
        assert torch.equal(other[:, 16 - edge :], one[:, :edge])


def test_separate_bars_do_not_touch_on_a_ring_either():
    maps = bars.separate_bars(200, torch.Generator().manual_seed(2))
    red, blue = columns(maps, bars.RED), columns(maps, bars.BLUE)
    assert set(((blue - red) % 16).tolist()) == {5, 9, 13}
    assert {0, 15} <= set(blue.tolist()) | set(red.tolist())  # the seam is no hint


@pytest.mark.parametrize("options", [{"use_mask": False}, {"periodic": True}])
def test_without_the_mask_a_model_cannot_tell_a_map_from_the_same_map_turned(options):
    maps, edges = bars.touching_bars(8, torch.Generator().manual_seed(3))
    torch.manual_seed(3)
    model = BarsModel(BarsConfig(**options)).double()
    scores, turned = model(maps.double()), model(bars.turned(maps, edges).double())
    torch.testing.assert_close(scores, turned, rtol=0, atol=1e-12)
    torch.manual_seed(3)
    masked = BarsModel(BarsConfig()).double()  # the same weights
    difference = masked(maps.double()) - masked(bars.turned(maps, edges).double())
    assert difference.abs().max() > 1e-4


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        experiments.configuration("bars", -1)


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    bars.train(BarsConfig(steps=1, dim=4, num_heads=1, depth=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_recorded_run_repeats():
    """Rounding differs between machines, and training lets it grow; the answers stay."""
    recorded = json.loads(experiments.result_file("bars", 0).read_text())
    _, again = bars.train(experiments.configuration("bars", 0))
    for group in ("test_accuracy", "touching", "turned"):
        assert again[group] == recorded[group]
    torch.testing.assert_close(
        torch.tensor(again["losses"][:20]), torch.tensor(recorded["losses"][:20]), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "accuracy", "largest_difference"),
    [("bars", 1.0, None), ("bars-no-mask", 0.5, 1e-5), ("panorama-periodic", 1.0, 1e-4)],
)
def test_what_chapter_08_says_holds_for_all_ten_seeds(name, accuracy, largest_difference):
    for seed in experiments.TEN_SEEDS:
        result = experiments.recorded(name, seed)
        assert result["test_accuracy"] == pytest.approx(accuracy, abs=0.01)
        if largest_difference:
            assert result["largest_difference"] < largest_difference


def test_one_window_at_the_end_can_tell_but_not_every_run_learns_it():
    name = "bars-no-mask-one-window"
    shares = [experiments.recorded(name, seed)["test_accuracy"] for seed in experiments.TEN_SEEDS]
    assert min(shares) > 0.5
    assert max(shares) == 1.0
    assert sorted(shares)[4] < 0.99


def test_a_model_with_one_last_window_is_another_one():
    maps, edges = bars.touching_bars(8, torch.Generator().manual_seed(3))
    torch.manual_seed(3)
    model = BarsModel(BarsConfig(use_mask=False, one_last_window=True)).double()
    difference = model(maps.double()) - model(bars.turned(maps, edges).double())
    assert difference.abs().max() > 1e-4


def test_a_record_from_before_a_field_still_counts():
    stored = bars.as_dict(BarsConfig(seed=3))
    del stored["one_last_window"]
    assert bars.from_dict(stored) == BarsConfig(seed=3)
    with pytest.raises(TypeError, match="younger"):
        bars.from_dict(stored | {"younger": 1})


def test_what_chapter_08_says_of_the_ablation_holds():
    mean, half = mean_and_interval(experiments.paired_differences("ablation-no-shift", "ablation"))
    assert mean + half < 0
    for name in ("ablation-no-mask", "ablation-no-bias"):
        mean, half = mean_and_interval(experiments.paired_differences(name, "ablation"))
        assert abs(mean) < half
