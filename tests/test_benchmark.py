"""The mask benchmark runs, checks its contenders, and records what a timing must be read with."""

import json

import pytest

from swin_tutorial import benchmark


def test_masks_are_built_at_least_twenty_times_faster_than_by_nested_slice_loops(tmp_path):
    """Measured in turn in one run; on a busy machine the best of three runs counts."""
    file = tmp_path / "masks.json"
    for _ in range(3):
        result = benchmark.masks(file, repeats=15)
        slower = result["times_slower"]
        if min(slower["slices of every window"], slower["nine slices, float"]) >= 20:
            break
    assert slower["swin_tutorial"] == 1
    assert slower["slices of every window"] >= 20, slower
    assert slower["nine slices, float"] >= 20, slower
    assert json.loads(file.read_text()) == result
    assert result["bytes_of_the_mask"] == 1024 * 64 * 64
    assert {"device", "threads", "torch", "python"} <= result.keys()


def test_paired_medians_takes_turns_of_a_warm_up_and_a_timed_call():
    calls = []
    medians = benchmark.paired_medians(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2
    )
    assert calls == ["a", "a", "b", "b"] * 2
    assert medians.keys() == {"a", "b"}
    assert all(seconds > 0 for seconds in medians.values())


def test_models_are_timed_beside_the_public_ones_and_the_bare_products(tmp_path):
    file = tmp_path / "model.json"
    result = benchmark.model(file, repeats=1, compiled=False, batch=1)
    assert json.loads(file.read_text()) == result
    seconds = result["seconds"]
    assert {"swin_tutorial", "bare matrix products"} <= seconds.keys()
    assert len(seconds) == 2 + len(benchmark.PEERS)
    assert result["times_the_bare_products"]["bare matrix products"] == 1
    best = min(seconds[peer] for peer in benchmark.PEERS)
    found = result["faster_than_the_best_peer"][""]
    assert found == pytest.approx(best / seconds["swin_tutorial"], rel=0.05)
    assert {"device", "threads", "torch", "python"} <= result.keys()
