"""The benchmarks run, check their contenders, and record what a timing must be read with."""

import contextlib
import functools
import json
import math
import subprocess
import sys

import pytest
import torch

from swin_tutorial.bench import attention, capture, data, masks, model
from swin_tutorial.bench.peers import PEERS
from swin_tutorial.bench.swin_tiny import Stage
from swin_tutorial.model import SwinConfig, SwinTransformer

MACHINE = {"device", "processor", "cores", "threads", "torch", "python"}


def test_masks_are_built_three_times_as_fast_as_by_nine_slices_and_kept(tmp_path):
    """Measured in turn, in a process of its own; on a busy machine the best of three runs counts.

    Training tells the allocator to keep freed memory, for the rest of its process.  That spares the
    slices most of their time, in which their large arrays are given back and fetched again.
    """
    file = tmp_path / "masks.json"
    script = (
        "from pathlib import Path; from swin_tutorial.bench import masks; "
        f"masks.run(Path({str(file)!r}), repeats=15)"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", script], check=True, timeout=100)
        result = json.loads(file.read_text())
        ratio = result["times_as_fast_as_nine_slices"]
        if ratio["swin_tutorial, built"] >= 3:
            break
    assert ratio[masks.NINE_SLICES] == 1
    assert ratio["swin_tutorial, built"] >= 3, ratio
    assert ratio["swin_tutorial, kept"] >= 100, ratio
    assert ratio["slices of every window"] < ratio["swin_tutorial, built"], ratio
    assert result["bytes_of_the_mask"] == 1024 * 64 * 64
    assert result.keys() >= MACHINE
    assert result["threads"] == 1


def test_contenders_that_do_not_agree_are_not_timed(monkeypatch):
    monkeypatch.setattr(masks, "nine_slice_mask", lambda *geometry: -masks.build(*geometry).float())
    with pytest.raises(AssertionError, match="nine slices"):
        masks.run(repeats=1)


# --- whole models ---


@pytest.fixture
def small_builders(monkeypatch):
    """Small models in place of Swin-T and its peers, of which one fails."""
    config = SwinConfig(embed_dim=8, depths=(2,), num_heads=(1,), drop_path_rate=0.0)

    def fail():
        raise ValueError("no weights")

    make = functools.partial(SwinTransformer, config)
    builders = {model.OURS: make, "timm": make, "torchvision": fail}
    monkeypatch.setattr(model, "_builders", lambda device: builders)
    monkeypatch.setattr(model, "default_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(model, "bare_products", lambda *_, **__: lambda: torch.ones(10**5).sum())
    return builders


def test_forward_and_training_are_timed_in_each_precision(small_builders, tmp_path, capsys):
    file = tmp_path / "model.json"
    result = model.run(file, compiled=False, batch=2, repeats=1)
    assert json.loads(file.read_text()) == result
    assert result.keys() >= MACHINE | {"versions"}
    parts = [(part["task"], part["precision"], part["compiled"]) for part in result["parts"]]
    tasks = ("forward", "training")
    assert parts == [(task, p, False) for p in ("float32", "bfloat16") for task in tasks]
    for part in result["parts"]:
        seconds, bare = part["seconds"], part["times_the_bare_products"]
        assert seconds.keys() == bare.keys() == {model.OURS, "timm", model.BARE}
        assert bare[model.BARE] == 1
        ratio = part["times_as_fast_as_the_best_peer"]
        assert ratio == {model.OURS: pytest.approx(seconds["timm"] / seconds[model.OURS], rel=0.1)}
    peaks = [part.get("peak_mebibytes") for part in result["parts"]]
    assert peaks[0] is None
    if peaks[1]:  # where the system counts them
        assert peaks[1].keys() == {model.OURS, "timm"}
        # A map of 56 x 56 tokens with 8 channels is 0.1 MiB; two blocks keep some twenty for each.
        assert 2 < peaks[1][model.OURS] < 60
    printed = capsys.readouterr().out
    assert "torchvision, training, is left out: ValueError: no weights" in printed
    assert "x as fast as the best peer" in printed


def test_a_training_step_moves_the_weights(small_builders):
    images = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    step = model.TrainingStep(small_builders["timm"](), images, torch.bfloat16, False)
    before = [parameter.detach().clone() for parameter in step.model.parameters()]
    step()
    moved = [not torch.equal(*pair) for pair in zip(before, step.model.parameters(), strict=True)]
    assert all(moved)
    numbers = sum(parameter.numel() for parameter in before)
    # AdamW keeps two numbers for each weight, and counts its steps.
    assert 3 * 4 * numbers <= step.bytes_held() <= 3 * 4 * numbers + 8 * len(before)


def test_ratios_are_to_the_best_peer_and_to_the_bare_products():
    seconds = {model.OURS: 2.0, f"{model.OURS}, fused": 1.0, "timm": 3.0, "torchvision": 5.0}
    found = model.ratios({**seconds, model.BARE: 0.5})
    assert found["times_the_bare_products"]["torchvision"] == 10
    assert found["times_as_fast_as_the_best_peer"] == {model.OURS: 1.5, f"{model.OURS}, fused": 3.0}
    alone = model.ratios({model.OURS: 2.0, model.BARE: 0.5})
    assert alone == {"times_the_bare_products": {model.OURS: 4.0, model.BARE: 1.0}}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_precision_is_that_of_the_arithmetic(small_builders, dtype):
    forward = model.Forward(small_builders["timm"](), torch.zeros(1, 3, 56, 56), dtype, False)
    assert forward().dtype == dtype
    assert {parameter.dtype for parameter in forward.model.parameters()} == {torch.float32}


def test_a_failure_of_ours_is_no_contender_left_out(small_builders):
    small_builders[model.OURS] = small_builders["torchvision"]
    with pytest.raises(ValueError, match="no weights"):
        model.run(compiled=False, tasks=("forward",), repeats=1)


def test_a_compiled_model_must_agree_with_its_original(small_builders, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda whole: lambda images: whole(images) + 1)
    with pytest.raises(AssertionError):
        model.run(tasks=("forward",), batch=1, repeats=1)


def test_all_peers_are_timed_beside_ours():
    result = model.run(
        tasks=("forward",), precisions=("float32",), compiled=False, batch=1, repeats=1
    )
    (part,) = result["parts"]
    installed = [name for name in PEERS if name in result["versions"]]
    assert part["seconds"].keys() >= {model.OURS, model.BARE, *installed}


# --- attention ---


@pytest.mark.usefixtures("unchecked")
def test_attention_is_timed_with_its_floors_and_what_does_not_run_is_left_out(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(attention, "STAGES", (Stage(14, 32, 1, 2),))
    monkeypatch.setattr(attention, "default_device", lambda: torch.device("cpu"))
    with contextlib.suppress(ImportError):  # without Triton it is left out too
        monkeypatch.setattr("swin_tutorial.backends.fused.is_interpreted", lambda: False)
    file = tmp_path / "attention.json"
    result = attention.run(file, repeats=2)
    assert json.loads(file.read_text()) == result
    (stage,) = result["stages"]
    assert {"eager", "sdpa", "flex"} == stage["forward"]["microseconds"].keys()
    assert {"eager", "sdpa"} == stage["backward"]["microseconds"].keys()
    installed = {"timm", "torchvision"} & result["versions"].keys()
    assert {"eager", "sdpa"} | installed == stage["with_projections_microseconds"].keys()
    floors = stage["forward"]["floor_microseconds"]
    moved = 14 * 14 * 32 * 4 * 4
    assert math.isclose(
        floors["bytes"], 1e6 * moved / result["copied_bytes_per_second"], abs_tol=0.06
    )
    assert all(ratio > 0 for ratio in stage["backward"]["times_the_floor"].values())
    assert result["left_out"].keys() == {"fused", "fused, unshifted", "flex"}
    printed = capsys.readouterr().out
    assert "fused, forward, is left out" in printed
    assert "flex, backward, is left out: NotImplementedError" in printed


@pytest.mark.usefixtures("unchecked")
def test_all_backends_compute_the_same_map():
    pytest.importorskip("triton")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    grid = attention.WindowGrid((5, 7), (3, 4), (1, 2))
    qkv, bias = torch.randn(1, 5, 7, 3 * 32, device=device), torch.randn(2, 12, 12, device=device)
    fused, *others = (
        attention.backend_on_map(backend, grid, 2, torch.device(device))(qkv, bias)
        for backend in ("fused", "eager", "sdpa", "flex")
    )
    assert fused.shape == (1, 5, 7, 32)
    for other in others:
        torch.testing.assert_close(other, fused, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.usefixtures("unchecked")
def test_benchmarks_run_on_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "STAGES", (Stage(14, 64, 2, 2),))
    result = attention.run(tmp_path / "attention.json", batch=2, repeats=2)
    stage = result["stages"][0]
    assert {"eager", "sdpa", "fused", "fused, unshifted"} <= stage["forward"]["microseconds"].keys()
    assert "fused" in stage["backward"]["microseconds"]
    result = model.run(
        tmp_path / "model.json", precisions=("bfloat16",), compiled=False, batch=2, repeats=1
    )
    _, training = result["parts"]
    assert "swin_tutorial, fused" in training["seconds"]
    assert training["peak_mebibytes"]["swin_tutorial, fused"] > 0


# --- capture and data ---


def test_a_captured_graph_is_compared_with_its_model():
    images = torch.ones(2, 3)
    twice = torch.nn.Module()
    twice.forward = lambda x: 2 * x

    def bound_to_another_size(x):
        raise RuntimeError("expected size 4")

    assert capture.agreement(lambda x: x + x, twice, images) == "equal"
    assert capture.agreement(lambda x: 3 * x, twice, images) == "different result"
    assert capture.agreement(bound_to_another_size, twice, images) == "refused: RuntimeError"


def test_what_feeds_the_training_is_timed_beside_recorded_trainings(tmp_path, monkeypatch):
    recorded = data.data_folder()
    monkeypatch.setattr(data, "data_folder", lambda: tmp_path)
    (tmp_path / "results").mkdir()
    runs = {"run": {"images_per_second": 1234.5}, "else": {"images_per_second": {"a": 1}}, "no": {}}
    for name, run in runs.items():
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(run))
    monkeypatch.setenv("SWIN_TUTORIAL_DATA", str(recorded))
    file = tmp_path / "data.json"
    result = data.run(file, repeats=1, pictures=64)
    assert json.loads(file.read_text()) == result
    rates = result["images_per_second"]
    assert len(rates) == 5
    assert min(rates.values()) > 0
    assert rates["in memory, everything"] > rates["files, this process"]
    assert result["recorded_trainings"] == {"run": 1234.5}
    assert result.keys() >= MACHINE
