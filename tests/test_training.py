"""Training: the same run however it is stopped, resumed or shared among processes."""

import dataclasses
import json
import math
import multiprocessing
import os
import signal
import socket
import subprocess
import sys

import pytest
import tiny_training
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tiny_training import CONFIG, STEPS, images, run
from torch import nn

from swin_tutorial import runs, training
from swin_tutorial.augmentation import Augmentation
from swin_tutorial.baseline import ResNetConfig
from swin_tutorial.model import create_model
from swin_tutorial.recipes import fitted
from swin_tutorial.runs import Stopped, TrainingError

PLAIN = dataclasses.replace(
    CONFIG,  # nothing is drawn in the model, so that any number of processes does the same
    model=dataclasses.replace(CONFIG.model, dropout=0.0, stochastic_depth=0.0),
)

LEARNING = dataclasses.replace(CONFIG, epochs=10, learning_rate=1e-2, evaluate_every=5)

# Forked from a process that has loaded all and computed nothing: PyTorch's threads do not survive
# a fork, and each process of its own would take seconds to start.
forkserver = multiprocessing.get_context("forkserver")
forkserver.set_forkserver_preload(["swin_tutorial.training"])


def in_processes(target, *argument_lists):
    """Run a function in a process for each list of arguments; return their exit codes."""
    started = [forkserver.Process(target=target, args=one) for one in argument_lists]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
        one.kill()  # if it still runs, its exit code shows it
    for one in started:
        one.join()
    return [one.exitcode for one in started]


def weights(folder):
    return load_file(folder / runs.WEIGHTS)


def without_times(lines):
    timings = ("seconds", "images_per_second")
    return [{k: v for k, v in line.items() if k not in timings} for line in lines]


def assert_same_run(folder, other):
    """The same weights and the same log, bit for bit."""
    ours, theirs = weights(folder), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert without_times(runs.read_metrics(folder)) == without_times(runs.read_metrics(other))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


# --- the pieces of a step ---


@pytest.mark.parametrize("name", ["swin_tiny", "swin_v2_tiny"])
def test_only_matrices_of_the_layers_decay(name):
    model = create_model(name, channels=8, depths=(1, 1), heads=(1, 2), num_classes=3)
    decaying, free = training.parameter_groups(model, 0.07)
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.07, 0.0)
    groups = {id(one): "decaying" for one in decaying["params"]}
    groups |= {id(one): "free" for one in free["params"]}
    assert len(groups) == len(list(model.parameters()))
    expected = {".weight": "decaying", "bias": "free", "logit_scale": "free", "table": "free"}
    for parameter_name, parameter in model.named_parameters():
        is_norm = "norm" in parameter_name
        ending = next(one for one in expected if parameter_name.endswith(one))
        wanted = "free" if is_norm or "cpb_mlp" in parameter_name else expected[ending]
        assert groups[id(parameter)] == wanted, parameter_name


def test_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine():
    config = dataclasses.replace(CONFIG, epochs=5, warmup_epochs=1.0, learning_rate=0.3)
    rates = [training.learning_rate(step, 10, config) for step in range(50)]
    assert rates[:3] == pytest.approx([0.3 / 11, 0.6 / 11, 0.9 / 11])
    assert rates[10] == max(rates) == 0.3
    assert rates[30] == pytest.approx(0.15)
    assert 0 < rates[49] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)


def step_on_a_linear_model(**changes):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), torch.randn(7, 1, 2, 3)
    targets = torch.eye(3)[torch.tensor([0, 1, 2, 2, 1, 0, 2])]
    config = dataclasses.replace(CONFIG, **changes)
    before = [one.detach().clone() for one in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    result = training.training_step(model, optimizer, x, targets, config)
    after = nn.utils.parameters_to_vector(model.parameters()).detach()
    moved = nn.utils.parameters_to_vector(before) - after
    with torch.no_grad():
        scores = x.flatten(1) @ before[0].T + before[1]
    return result, moved, F.cross_entropy(scores, targets, label_smoothing=config.label_smoothing)


def test_accumulation_changes_nothing_although_the_parts_are_of_different_sizes():
    whole, parted = (step_on_a_linear_model(accumulation=n, clip_norm=math.inf) for n in (1, 3))
    torch.testing.assert_close(parted[0], whole[0])
    torch.testing.assert_close(parted[1], whole[1])
    torch.testing.assert_close(whole[0][0], whole[2])
    torch.testing.assert_close(whole[0][1], whole[1].norm())


def test_clipping_shortens_the_gradient_and_reports_its_length():
    (_, norm), moved, _ = step_on_a_linear_model(clip_norm=0.01)
    assert norm > 0.1
    torch.testing.assert_close(moved.norm(), torch.tensor(0.01), rtol=1e-3, atol=0)


def test_the_average_follows_parameters_and_running_statistics():
    model, average = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with torch.no_grad():
        model.weight.fill_(11.0)
        model.running_mean.fill_(10.0)
    training.update_average(average, model, 0.9, step=10_000)
    torch.testing.assert_close(average.weight.detach(), torch.full((3,), 2.0))
    torch.testing.assert_close(average.running_mean, torch.full((3,), 1.0))
    training.update_average(average, model, 0.9, step=0)  # the first step: nine tenths of the way
    torch.testing.assert_close(average.weight.detach(), torch.full((3,), 10.1))


# --- a run ---


@pytest.mark.parametrize("model", [CONFIG.model, ResNetConfig(8, (1, 1))])
def test_swin_and_the_baseline_learn_and_the_folder_says_how(tmp_path, model):
    config = dataclasses.replace(LEARNING, model=model)
    summary = run(tmp_path, config)
    assert summary["test_accuracy"] > 0.8  # chance is a third
    assert json.loads((tmp_path / runs.SUMMARY).read_text()) == summary
    assert sum(map(sum, summary["confusion"])) == summary["test_images"] == 21
    stored, trained = training.load_run(tmp_path)
    assert stored == fitted(config, 1, 3)
    found = training.evaluate(trained, training.evaluation_batches(images(21, 1), 5, "cpu"), 3)
    assert found.accuracy == summary["test_accuracy"]
    assert found.confusion.tolist() == summary["confusion"]
    lines = runs.read_metrics(tmp_path)
    assert [line["step"] for line in lines if "loss" in line] == [*range(3, 40, 3), 40]
    assert [line["epoch"] for line in lines if "test_accuracy" in line] == [5, 10]
    assert lines[-1]["test_accuracy"] == summary["test_accuracy"]


def test_logged_loss_is_the_mean_of_the_steps_since_the_last_log(tmp_path, whole):
    run(tmp_path / "run", dataclasses.replace(CONFIG, log_every=1))
    each = [line["loss"] for line in runs.read_metrics(tmp_path / "run") if "loss" in line]
    means = [line["loss"] for line in runs.read_metrics(whole) if "loss" in line]
    assert means == pytest.approx([sum(each[i : i + 3]) / 3 for i in (0, 3, 6, 9)])


@pytest.mark.parametrize("bf16", [False, True])
def test_a_seed_gives_the_same_run_twice_with_two_threads(tmp_path, bf16):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for name in ("one", "other"):
            run(tmp_path / name, dataclasses.replace(CONFIG, epochs=1, bf16=bf16))
    finally:
        torch.set_num_threads(threads)
    assert_same_run(tmp_path / "one", tmp_path / "other")


def test_another_seed_gives_another_run(tmp_path, whole):
    run(tmp_path / "run", dataclasses.replace(CONFIG, seed=6))
    assert not torch.equal(weights(tmp_path / "run")["head.weight"], weights(whole)["head.weight"])


def test_the_callers_own_settings_are_left_alone(tmp_path):
    before = signal.getsignal(signal.SIGINT), torch.are_deterministic_algorithms_enabled()
    run(tmp_path)
    assert before == (signal.getsignal(signal.SIGINT), torch.are_deterministic_algorithms_enabled())


def test_a_run_in_bf16_comes_close(tmp_path, whole):
    expected = [line["loss"] for line in runs.read_metrics(whole) if "loss" in line]
    run(tmp_path, dataclasses.replace(CONFIG, bf16=True))
    found = [line["loss"] for line in runs.read_metrics(tmp_path) if "loss" in line]
    assert found != expected
    assert found == pytest.approx(expected, abs=0.02)


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

    monkeypatch.setattr(torch, "compile", compile_nothing)
    run(tmp_path, dataclasses.replace(CONFIG, compile=True))
    assert compiled[0].steps == STEPS * CONFIG.accumulation
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
    last = runs.read_metrics(tmp_path)[-1]
    assert written[0] == ("tensorboard", 0)
    assert written[-1] == ("test_loss", last["test_loss"], STEPS)
    assert {one[0] for one in written[1:]} >= {"loss", "learning_rate", "test_accuracy"}


# --- stopped, and resumed ---


def test_killed_anywhere_and_resumed_it_is_the_same_run(tmp_path, whole):
    """In the first step; between two checkpoints; while one is written; while two change names."""
    # Two renamings for config.json and metrics.jsonl, one for the first checkpoint, and two for
    # each further one: the fifth comes after the old checkpoint was put aside.
    points = [("step", 1), ("step", 6), ("step", 12), ("rename", 4), ("rename", 5)]
    folders = [tmp_path / f"{where}-{count}" for where, count in points]
    arguments = [(folder, *point) for folder, point in zip(folders, points, strict=True)]
    codes = in_processes(tiny_training.run_and_die, *arguments)
    assert codes == [-signal.SIGKILL] * len(points)
    assert not (folders[4] / runs.CHECKPOINT).exists()
    stored = fitted(CONFIG, 1, 3).as_dict()
    for folder, step in zip(folders, (None, 4, 10, 2, 2), strict=True):
        assert not (folder / runs.SUMMARY).exists()
        checkpoint = runs.load_checkpoint(folder, stored)
        assert (checkpoint and checkpoint["step"]) == step
        run(folder, resume=True)
        assert_same_run(folder, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_first_and_the_run_goes_on_from_there(tmp_path, whole, monkeypatch, number):
    original = training.Run.take_step

    def interrupted(one, *arguments):
        original(one, *arguments)
        if one.step == 5:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(training.Run, "take_step", interrupted)
    with pytest.raises(Stopped, match="step 5 of 12") as stop:
        run(tmp_path)
    monkeypatch.undo()
    assert stop.value.signal == number
    assert torch.load(tmp_path / runs.CHECKPOINT, weights_only=True)["step"] == 5
    run(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_resuming_a_finished_run_changes_nothing(tmp_path, whole):
    first = run(tmp_path)
    again = run(tmp_path, resume=True)
    assert again["weights_sha256"] == first["weights_sha256"]
    assert_same_run(tmp_path, whole)


def test_a_run_is_not_overwritten_unasked(whole):
    with pytest.raises(TrainingError, match="has a run already: go on with --resume"):
        run(whole)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path, whole):
    other = dataclasses.replace(
        CONFIG, learning_rate=1e-3, augmentation=Augmentation(flip=0.5, mixup=0.5)
    )
    with pytest.raises(TrainingError, match=r"crop_padding was 1 and is 0.*rate was 0\.003 and is"):
        run(whole, other, resume=True)


def test_a_checkpoint_older_than_a_field_is_one_of_its_default(tmp_path, whole):
    run(tmp_path)
    path = tmp_path / runs.CHECKPOINT
    older = torch.load(tmp_path / runs.PREVIOUS, weights_only=True)
    del older["config"]["augmentation"]["randaugment"]
    torch.save(older, path)
    augmented = dataclasses.replace(CONFIG.augmentation, randaugment=9.0)
    with pytest.raises(TrainingError, match=r"augmentation.randaugment was 0\.0 and is 9\.0"):
        runs.load_checkpoint(
            tmp_path, fitted(dataclasses.replace(CONFIG, augmentation=augmented), 1, 3).as_dict()
        )
    run(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_usable(tmp_path, whole):
    run(tmp_path)
    checkpoint = tmp_path / runs.CHECKPOINT
    content = checkpoint.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (b"", content[:1000], content[:-1], bytes(flipped)):
        checkpoint.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"checkpoint.pt \(.* bytes\) is damaged.*previous"):
            run(tmp_path, resume=True)
    checkpoint.unlink()
    run(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_a_full_disk_leaves_a_checkpoint_to_go_on_from(tmp_path, whole):
    sizes = {path.name: path.stat().st_size for path in whole.iterdir()}
    limits = [sizes[runs.CHECKPOINT] // 2, 3000]  # for any checkpoint; for the log as well
    (code,) = in_processes(tiny_training.run_and_die, (tmp_path / "0", "step", 8))
    assert code == -signal.SIGKILL
    in_processes(tiny_training.run_and_die, (tmp_path / "1", "step", 8))
    arguments = [(tmp_path / str(i), limit) for i, limit in enumerate(limits)]
    assert in_processes(tiny_training.run_on_a_full_disk, *arguments) == [7, 7]
    for i in range(len(limits)):
        assert torch.load(tmp_path / str(i) / runs.CHECKPOINT, weights_only=True)["step"] == 6
        assert not list((tmp_path / str(i)).glob("*.unfinished"))
        run(tmp_path / str(i), resume=True)
        assert_same_run(tmp_path / str(i), whole)


@pytest.mark.parametrize(
    ("poisoned", "noticed", "good"),
    [(3, 4, 2), (4, 6, 4), (9, 10, 8)],  # before an evaluation, a log, and a checkpoint
)
def test_a_loss_that_is_nan_ends_the_run_before_a_checkpoint_has_it(
    tmp_path, monkeypatch, poisoned, noticed, good
):
    original = training.Run.take_step

    def poisoning(one, x, targets):
        original(one, x * math.nan if one.step == poisoned else x, targets)

    monkeypatch.setattr(training.Run, "take_step", poisoning)
    message = rf"NaN shortly before step {noticed}\..*lower --learning-rate"
    with pytest.raises(TrainingError, match=message):
        run(tmp_path)
    checkpoint = torch.load(tmp_path / runs.CHECKPOINT, weights_only=True)
    assert checkpoint["step"] == good
    assert all(one.isfinite().all() for one in checkpoint["model"].values())
    assert "NaN" not in (tmp_path / runs.METRICS).read_text()


# --- many processes ---


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def as_two(folder, config, *more):
    port = free_port()
    return in_processes(
        tiny_training.run_as_one_of_many,
        *[(folder, rank, 2, port, config, *more) for rank in range(2)],
    )


def assert_close_runs(folder, other):
    for line, expected in zip(
        without_times(runs.read_metrics(folder)),
        without_times(runs.read_metrics(other)),
        strict=True,
    ):
        assert line.keys() == expected.keys()
        for name in line:
            assert line[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-5), name
    ours, theirs = weights(folder), weights(other)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def test_two_processes_do_what_one_does_and_one_goes_on_where_two_stopped(tmp_path):
    run(tmp_path / "one", PLAIN)
    assert as_two(tmp_path / "two", PLAIN) == [0, 0]
    assert_close_runs(tmp_path / "two", tmp_path / "one")
    summary = json.loads((tmp_path / "two" / runs.SUMMARY).read_text())
    assert summary["processes"] == 2
    assert summary["test_images"] == 21  # an odd number: each counts once

    # One of them gets the signal in step 5; both stop when they next agree, after step 6.
    assert as_two(tmp_path / "mixed", PLAIN, "SIGTERM") == [9, 9]
    assert torch.load(tmp_path / "mixed" / runs.CHECKPOINT, weights_only=True)["step"] == 6
    run(tmp_path / "mixed", PLAIN, resume=True)
    assert_close_runs(tmp_path / "mixed", tmp_path / "one")


@pytest.fixture(scope="module")
def whole_of_two(tmp_path_factory):
    """The folder of an undisturbed run of two processes."""
    folder = tmp_path_factory.mktemp("whole_of_two")
    assert as_two(folder, CONFIG) == [0, 0]
    return folder


def test_when_one_of_two_is_killed_the_restarted_two_go_on_by_themselves(tmp_path, whole_of_two):
    survivor, killed = as_two(tmp_path / "killed", CONFIG, "SIGKILL")
    assert killed == -signal.SIGKILL
    assert survivor not in (0, None)
    assert torch.load(tmp_path / "killed" / runs.CHECKPOINT, weights_only=True)["step"] == 4
    assert as_two(tmp_path / "killed", CONFIG, None, 1) == [0, 0]  # restart number 1
    assert_same_run(tmp_path / "killed", whole_of_two)


def test_torchrun_restarts_both_when_one_is_killed_and_they_go_on(tmp_path, whole_of_two):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=1"]
    command += ["--nproc-per-node=2", tiny_training.__file__, str(tmp_path / "killed")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    started = [f"process {rank}, restart {count}" for count in (0, 1) for rank in (0, 1)]
    assert sorted(done.stdout.splitlines()) == sorted(started)
    assert_same_run(tmp_path / "killed", whole_of_two)
