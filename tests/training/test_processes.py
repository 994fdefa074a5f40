"""Many processes: they do what one does, stop together, and survive the death of one."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest
import tiny_training
import torch
from run_checks import assert_same_run, run_as_two, weights, without_times
from tiny_training import CONFIG, run

from swin_tutorial.training.files import CHECKPOINT, SUMMARY

PLAIN = dataclasses.replace(
    CONFIG,  # nothing is drawn in the model, so that any number of processes does the same
    model=dataclasses.replace(CONFIG.model, drop_rate=0.0, drop_path_rate=0.0),
)


def assert_close_runs(folder, other):
    for line, expected in zip(without_times(folder), without_times(other), strict=True):
        assert line.keys() == expected.keys()
        for name in line:
            assert line[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-5), name
    ours, theirs = weights(folder), weights(other)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def test_two_processes_do_what_one_does_and_one_goes_on_where_two_stopped(tmp_path):
    run(tmp_path / "one", PLAIN)
    assert run_as_two(tmp_path / "two", PLAIN) == [0, 0]
    assert_close_runs(tmp_path / "two", tmp_path / "one")
    summary = json.loads((tmp_path / "two" / SUMMARY).read_text())
    assert summary["processes"] == 2
    assert summary["test_images"] == 21  # an odd number: each counts once

    # One of them gets the signal in step 5; both stop when they next agree, after step 6.
    assert run_as_two(tmp_path / "mixed", PLAIN, "SIGTERM") == [9, 9]
    assert torch.load(tmp_path / "mixed" / CHECKPOINT, weights_only=True)["step"] == 6
    run(tmp_path / "mixed", PLAIN, resume=True)
    assert_close_runs(tmp_path / "mixed", tmp_path / "one")


def test_when_one_of_two_is_killed_the_restarted_two_go_on_by_themselves(tmp_path, whole_of_two):
    survivor, killed = run_as_two(tmp_path / "killed", CONFIG, "SIGKILL")
    assert killed == -signal.SIGKILL
    assert survivor not in (0, None)
    assert torch.load(tmp_path / "killed" / CHECKPOINT, weights_only=True)["step"] == 4
    assert run_as_two(tmp_path / "killed", CONFIG, None, 1) == [0, 0]  # restart number 1
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
