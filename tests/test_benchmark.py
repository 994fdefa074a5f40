"""The benchmarks run, check their contenders, and record what a timing must be read with."""

import json
import math
import subprocess
import sys

import pytest
import torch

from swin_tutorial import benchmark


def test_masks_are_built_at_least_twenty_times_faster_than_by_nested_slice_loops(tmp_path):
    """Measured in turn, in a process of its own; on a busy machine the best of three runs counts.

    Training tells the allocator to keep freed memory, for the rest of its process.  That spares the
    slices most of their time, in which their large arrays are given back and fetched again.
    """
    file = tmp_path / "masks.json"
    command = [sys.executable, "-c", "from swin_tutorial import cli; cli.app()"]
    for _ in range(3):
        subprocess.run([*command, "bench", "masks", "--json", str(file)], check=True, timeout=100)
        result = json.loads(file.read_text())
        slower = result["times_slower"]
        if min(slower["slices of every window"], slower["nine slices, float"]) >= 20:
            break
    assert slower["swin_tutorial"] == 1
    assert slower["slices of every window"] >= 20, slower
    assert slower["nine slices, float"] >= 20, slower
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


@pytest.mark.usefixtures("unchecked")  # what it times maps 3c channels to c
def test_attention_is_timed_with_its_floors_and_what_does_not_run_is_left_out(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(benchmark, "STAGES", ((14, 32, 1),))
    monkeypatch.setattr(benchmark, "_device", lambda: torch.device("cpu"))
    if benchmark.fused:
        monkeypatch.setattr(benchmark.fused, "_interpreted", lambda: False)
    file = tmp_path / "attention.json"
    result = benchmark.attention(file, repeats=2)
    assert json.loads(file.read_text()) == result
    (stage,) = result["stages"]
    assert {"eager", "sdpa", "flex"} == stage["forward"]["microseconds"].keys()
    assert {"eager", "sdpa"} == stage["backward"]["microseconds"].keys()
    assert {"sdpa"} <= stage["with_projections_microseconds"].keys()
    floors = stage["forward"]["floor_microseconds"]
    moved = 14 * 14 * 32 * 4 * 4
    assert math.isclose(
        floors["bytes"], 1e6 * moved / result["copied_bytes_per_second"], abs_tol=0.06
    )
    assert all(one > 0 for one in stage["backward"]["times_the_floor"].values())
    printed = capsys.readouterr().out
    assert "fused is left out" in printed
    assert "flex is left out: NotImplementedError" in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("name", ["model_on_gpu", "tiles"])
def test_what_needs_a_gpu_says_so(name):
    with pytest.raises(RuntimeError, match="there is no GPU here"):
        getattr(benchmark, name)()


@pytest.mark.gpu
@pytest.mark.usefixtures("unchecked")
def test_benchmarks_run_on_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "STAGES", ((14, 64, 2),))
    result = benchmark.attention(tmp_path / "attention.json", repeats=2)
    stage = result["stages"][0]
    assert {"eager", "sdpa", "fused", "fused, unshifted"} <= stage["forward"]["microseconds"].keys()
    assert "fused" in stage["backward"]["microseconds"]
    result = benchmark.model_on_gpu(tmp_path / "model.json", repeats=1, compiled=False, batch=2)
    assert "swin_tutorial, fused" in result["milliseconds"]["training step"]
    assert result["peak_mebibytes"]["training step"]["swin_tutorial, fused"] > 0


def test_what_feeds_the_training_is_timed_beside_recorded_trainings(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "PICTURES", 64)
    recorded = benchmark.data_folder()
    monkeypatch.setattr(benchmark, "data_folder", lambda: tmp_path)
    (tmp_path / "results").mkdir()
    runs = {"run": {"images_per_second": 1234.5}, "else": {"images_per_second": {"a": 1}}, "no": {}}
    for name, run in runs.items():
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(run))
    monkeypatch.setenv("SWIN_TUTORIAL_DATA", str(recorded))
    file = tmp_path / "data.json"
    result = benchmark.data(file, repeats=1)
    assert json.loads(file.read_text()) == result
    rates = result["images_per_second"]
    assert len(rates) == 5
    assert min(rates.values()) > 0
    assert rates["in memory, everything"] > rates["files, this process"]
    assert result["recorded_trainings"] == {"run": 1234.5}
    assert {"device", "threads", "torch", "python"} <= result.keys()
