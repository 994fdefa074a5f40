"""Training: what a run leaves behind, and the same run however it is stopped and resumed."""

import dataclasses
import json
import math
import os
import signal
import sys

import pytest
import tiny_training
import torch
from run_checks import assert_same_run, in_processes, losses, weights
from tiny_training import CONFIG, STEPS, images, run
from torch import nn

from swin_tutorial.data.batches import evaluation_batches
from swin_tutorial.training import loop
from swin_tutorial.training.baseline import ResNetConfig
from swin_tutorial.training.config import for_dataset
from swin_tutorial.training.errors import Stopped, TrainingError
from swin_tutorial.training.evaluation import evaluate
from swin_tutorial.training.files import CHECKPOINT, METRICS, SUMMARY
from swin_tutorial.training.run_folder import load_checkpoint, load_run, read_metrics

LEARNING = dataclasses.replace(CONFIG, epochs=10, lr=1e-2, evaluate_every=5)

# --- a run ---


@pytest.mark.parametrize("model", [CONFIG.model, ResNetConfig(8, (1, 1))], ids=["swin", "resnet"])
def test_swin_and_the_baseline_learn_and_the_folder_says_how(tmp_path, model):
    config = dataclasses.replace(LEARNING, model=model)
    summary = run(tmp_path, config)
    assert summary["test_accuracy"] > 0.8  # chance is a third
    assert json.loads((tmp_path / SUMMARY).read_text()) == summary
    assert sum(map(sum, summary["confusion"])) == summary["test_images"] == 21
    stored, trained = load_run(tmp_path)
    assert stored == for_dataset(config, 1, 3)
    found = evaluate(trained, evaluation_batches(images(21, 1), 5, "cpu"), 3)
    assert found.accuracy == summary["test_accuracy"]
    assert found.confusion.tolist() == summary["confusion"]
    lines = read_metrics(tmp_path)
    assert [line["step"] for line in lines if "loss" in line] == [*range(3, 40, 3), 40]
    assert [line["epoch"] for line in lines if "test_accuracy" in line] == [5, 10]
    assert lines[-1]["test_accuracy"] == summary["test_accuracy"]


def test_logged_loss_is_the_mean_of_the_steps_since_the_last_log(tmp_path, whole):
    run(tmp_path, dataclasses.replace(CONFIG, log_every=1))
    each = losses(tmp_path)
    assert losses(whole) == pytest.approx([sum(each[i : i + 3]) / 3 for i in (0, 3, 6, 9)])


@pytest.mark.parametrize("bf16", [False, True])
def test_a_seed_gives_the_same_run_twice_with_two_threads(tmp_path, bf16):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for name in ("one", "other"):
            run(tmp_path / name, dataclasses.replace(CONFIG, epochs=1, batch_size=18, bf16=bf16))
    finally:
        torch.set_num_threads(threads)
    assert_same_run(tmp_path / "one", tmp_path / "other")


def test_another_seed_gives_another_run(tmp_path, whole):
    run(tmp_path, dataclasses.replace(CONFIG, seed=6, epochs=1))
    assert losses(tmp_path)[0] != losses(whole)[0]
    assert not torch.equal(weights(tmp_path)["head.weight"], weights(whole)["head.weight"])


def test_a_run_in_bf16_comes_close(tmp_path, whole):
    run(tmp_path, dataclasses.replace(CONFIG, bf16=True))
    assert losses(tmp_path) != losses(whole)
    assert losses(tmp_path) == pytest.approx(losses(whole), abs=0.02)


def test_the_compiled_model_is_trained_and_the_plain_one_is_kept(tmp_path, whole, monkeypatch):
    compiled = []

    def compile_nothing(model):
        compiled.append(Wrapped(model))
        return compiled[-1]

    class Wrapped(nn.Module):
        def __init__(self, model):
            super().__init__()
            self._orig_mod, self.steps = model, 0

        def forward(self, x):
            self.steps += 1
            return self._orig_mod(x)

    monkeypatch.setattr(loop, "check_compiler", lambda *_: None)
    monkeypatch.setattr(torch, "compile", compile_nothing)
    run(tmp_path, dataclasses.replace(CONFIG, compile=True))
    assert compiled[0].steps == STEPS * CONFIG.grad_accum_steps
    assert_same_run(tmp_path, whole)


def test_tensorboard_gets_the_numbers_where_it_is_installed(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder, purge_step):
            written.append((folder.name, purge_step))

        def add_scalar(self, *arguments):
            written.append(arguments)

    module = type(sys)("tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    run(tmp_path)
    last = read_metrics(tmp_path)[-1]
    assert written[0] == ("tensorboard", 0)
    assert ("test_loss", last["test_loss"], STEPS) in written
    assert {name for name, *_ in written[1:]} >= {"loss", "grad_norm", "lr", "test_accuracy"}


def test_the_callers_random_state_is_left_alone(tmp_path):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    run(tmp_path)
    with pytest.raises(TrainingError, match="has a run already"):
        run(tmp_path)
    assert torch.equal(torch.rand(3), expected)


# --- what cannot be trained ends before anything is written ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 37}, "batch_size 37 is larger than the set"),
        ({"compile": True}, "nothing can be compiled here .* --no-compile"),
        ({"model": {"backend": "flex"}}, "backend 'flex' cannot train on a CPU"),
        ({"model": {"backend": "fused"}}, "backend='fused' (needs|takes heads of)"),
        (
            {"model": {"window_size": 7}},
            r"\(7, 7\) in stage 0 does not fit into the .* 4 x 6 tokens",
        ),
        ({"model": {"window_size": (4, 7)}}, r"\(4, 7\) in stage 0 does not fit"),
        ({"model": {"window_sizes": (2, 7)}}, r"\(7, 7\) in stage 1 does not fit"),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(tmp_path, monkeypatch, changes, message):
    def fail(model):
        raise RuntimeError("backend='inductor' raised:\nNo working C++ compiler found\n\nSet TORCH")

    monkeypatch.setattr(torch, "compile", fail)
    model = dataclasses.replace(CONFIG.model, **changes.get("model", {}))
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "run", dataclasses.replace(CONFIG, **changes | {"model": model}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    ],
)
def test_full_memory_is_told_with_what_to_change(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(loop, "take_step", fail)
    with pytest.raises(TrainingError, match="the memory is full: lower --batch-size"):
        run(tmp_path)


def test_other_errors_are_not_called_full_memory(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(loop, "take_step", fail)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        run(tmp_path)


# --- stopped, and resumed ---


def test_killed_anywhere_and_resumed_it_is_the_same_run(tmp_path, whole):
    """In the first step; between two checkpoints; while one is written; while two change names."""
    # Two renamings for config.json and metrics.jsonl, one for the first checkpoint, and two for
    # each further one: the fifth comes after the old checkpoint was put aside.
    points = [("step", 1), ("step", 6), ("rename", 4), ("rename", 5)]
    folders = [tmp_path / f"{where}-{count}" for where, count in points]
    arguments = [(folder, *point) for folder, point in zip(folders, points, strict=True)]
    codes = in_processes(tiny_training.run_and_die, *arguments)
    assert codes == [-signal.SIGKILL] * len(points)
    assert not (folders[3] / CHECKPOINT).exists()
    stored = for_dataset(CONFIG, 1, 3).as_dict()
    for folder, step in zip(folders, (None, 4, 2, 2), strict=True):
        assert not (folder / SUMMARY).exists()
        checkpoint = load_checkpoint(folder, stored)
        assert (checkpoint and checkpoint["step"]) == step
        run(folder, resume=True)
        assert_same_run(folder, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_first_and_the_run_goes_on_from_there(tmp_path, whole, monkeypatch, number):
    original = loop.take_step

    def interrupted(state, *arguments):
        result = original(state, *arguments)
        if state.step == 5:
            os.kill(os.getpid(), number)
        return result

    before = signal.getsignal(number), torch.are_deterministic_algorithms_enabled()
    monkeypatch.setattr(loop, "take_step", interrupted)
    with pytest.raises(Stopped, match="step 5 of 12") as stop:
        run(tmp_path)
    monkeypatch.undo()
    assert stop.value.signal == number
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 5
    run(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)
    # The caller's own settings are as they were.
    assert before == (signal.getsignal(number), torch.are_deterministic_algorithms_enabled())


def test_resuming_a_finished_run_changes_nothing(copy, whole):
    first = json.loads((whole / SUMMARY).read_text())
    again = run(copy, resume=True)
    assert again["weights_sha256"] == first["weights_sha256"]
    assert again["confusion"] == first["confusion"]
    assert again["seconds"] == first["seconds"]
    assert_same_run(copy, whole)


def renamed(train, test):
    return [dataclasses.replace(one, classes=("columns", "plain", "rows")) for one in (train, test)]


def relabeled(train, test):
    labels = train.labels.clone()
    labels[0] = (labels[0] + 1) % 3
    return dataclasses.replace(train, labels=labels), test


def one_pixel(train, test):
    pixels = train.pixels.clone()
    pixels[-1, -1, -1] ^= 1
    return dataclasses.replace(train, pixels=pixels), test


def fewer(train, test):
    return dataclasses.replace(train, pixels=train.pixels[:-1], labels=train.labels[:-1]), test


def other_test(train, test):
    return train, images(21, seed=2)


@pytest.mark.parametrize(
    ("changed", "which"),
    [
        (renamed, "test images and training"),
        (relabeled, "training"),
        (one_pixel, "training"),
        (fewer, "training"),
        (other_test, "test"),
    ],
)
def test_a_run_does_not_go_on_with_other_images(copy, whole, changed, which):
    both = tuple(changed(images(), images(21, seed=1)))
    with pytest.raises(TrainingError, match=f"{CHECKPOINT} was made with other {which} images"):
        loop.train(CONFIG, copy, resume=True, device="cpu", images=both, progress=False)
    assert read_metrics(copy) == read_metrics(whole)


def test_a_run_that_goes_on_with_other_threads_says_so(tmp_path, copy, whole, capsys):
    run(copy, resume=True)
    assert read_metrics(copy) == read_metrics(whole)  # the same machine: nothing to say
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    both = (images(), images(21, seed=1))
    try:
        run(copy, resume=True)
        assert read_metrics(copy) == read_metrics(whole)  # no step was left to take
        (copy / CHECKPOINT).unlink()
        loop.train(CONFIG, copy, resume=True, device="cpu", images=both)
    finally:
        torch.set_num_threads(threads)
    (line,) = [line for line in read_metrics(copy) if "resumed_elsewhere" in line]
    assert line["step"] == STEPS - CONFIG.save_every
    (change,) = line["resumed_elsewhere"]
    assert change.startswith("device was 'cpu, ")
    assert f", {threads} threads' and is 'cpu, " in change
    told = capsys.readouterr().err
    assert change in told
    assert "an undisturbed run would not end with the same bits" in told


def test_a_full_disk_leaves_a_checkpoint_to_go_on_from(tmp_path, whole):
    limits = [(whole / CHECKPOINT).stat().st_size // 2, 3000]  # for any checkpoint; for the log too
    folders = [tmp_path / str(limit) for limit in limits]
    killed = [(folder, "step", 8) for folder in folders]
    assert in_processes(tiny_training.run_and_die, *killed) == [-signal.SIGKILL] * 2
    full = list(zip(folders, limits, strict=True))
    assert in_processes(tiny_training.run_on_a_full_disk, *full) == [7, 7]
    for folder in folders:
        assert torch.load(folder / CHECKPOINT, weights_only=True)["step"] == 6
        assert not list(folder.glob("*.unfinished"))
        run(folder, resume=True)
        assert_same_run(folder, whole)


@pytest.mark.parametrize(
    ("poisoned", "noticed", "good"),
    [(3, 4, 2), (4, 6, 4), (9, 10, 8)],  # before an evaluation, a log, and a checkpoint
)
def test_a_loss_that_is_nan_ends_the_run_before_a_checkpoint_has_it(
    tmp_path, monkeypatch, poisoned, noticed, good
):
    original = loop.take_step

    def poisoning(state, forward, x, *rest):
        return original(state, forward, x * math.nan if state.step == poisoned else x, *rest)

    monkeypatch.setattr(loop, "take_step", poisoning)
    with pytest.raises(TrainingError, match=rf"NaN shortly before step {noticed}\..*lower --lr"):
        run(tmp_path)
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert checkpoint["step"] == good
    assert all(weight.isfinite().all() for weight in checkpoint["model"].values())
    assert "NaN" not in (tmp_path / METRICS).read_text()


@pytest.mark.parametrize(
    ("broken", "kept"), [(2, "No checkpoint was saved"), (10, "The last good checkpoint is kept")]
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_a_step_broke_are_not_saved(tmp_path, monkeypatch, broken, kept, value):
    """In a step after which nothing is logged or evaluated."""
    original = loop.take_step

    def breaking(state, *arguments):
        result = original(state, *arguments)
        if state.step == broken:
            state.model.head.weight.data[0, 0] = value  # the average would show it a step later
        return result

    monkeypatch.setattr(loop, "take_step", breaking)
    with pytest.raises(TrainingError, match=rf"NaN shortly before step {broken}\. {kept}"):
        run(tmp_path)
    monkeypatch.undo()
    if broken == 2:
        assert not (tmp_path / CHECKPOINT).exists()
    else:
        assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == broken - 2


@pytest.mark.parametrize(
    ("clip_norm", "advice"),
    [(5.0, r"a lower --clip-norm \(it is 5.0\)"), (0.0, "a --clip-norm, such as 1")],
)
def test_the_advice_for_a_run_that_diverged_fits_the_run(tmp_path, clip_norm, advice):
    config = dataclasses.replace(CONFIG, lr=1e30, warmup_epochs=0.0, clip_norm=clip_norm)
    with pytest.raises(TrainingError, match=rf"--lr \(it is 1e\+30\) or {advice}"):
        run(tmp_path, config)


def test_weights_that_the_last_step_broke_are_noticed_in_the_evaluation(tmp_path, monkeypatch):
    original = loop.take_step

    def breaking(state, *arguments):
        result = original(state, *arguments)  # its loss is fine, as it is of the step's beginning
        if state.step == STEPS:
            state.eval_model.head.weight.data.fill_(math.nan)
        return result

    monkeypatch.setattr(loop, "take_step", breaking)
    with pytest.raises(TrainingError, match=f"NaN shortly before step {STEPS}"):
        run(tmp_path)
    assert not (tmp_path / SUMMARY).exists()
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == STEPS - 2
