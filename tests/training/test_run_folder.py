"""A run's folder: files whole or not there, nothing overwritten, one run at a time."""

import errno
import json
import os
import shutil

import pytest
import torch
from run_checks import assert_same_run
from tiny_training import CONFIG, run

from swin_tutorial.training import run_folder
from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.files import (
    CHECKPOINT,
    METRICS,
    PREVIOUS,
    SUMMARY,
    WEIGHTS,
    write_file,
    write_json,
)
from swin_tutorial.training.files import CONFIG as CONFIG_FILE
from swin_tutorial.training.run_folder import RunFolder, load_run, read_metrics


def folder_of_a_run(path):
    return RunFolder(path, CONFIG, fingerprints={}, machine={})


def test_a_file_is_replaced_as_a_whole_and_the_old_one_kept_on_request(tmp_path):
    path, old = tmp_path / "file", tmp_path / "old"
    write_file(path, b"one", keep=old)
    assert not old.exists()
    write_file(path, b"two", keep=old)
    write_file(path, b"three")
    assert (path.read_bytes(), old.read_bytes()) == (b"three", b"one")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "old"]


@pytest.mark.parametrize("refusing", ["fsync", "replace"])
def test_when_the_disk_refuses_the_old_file_stays(tmp_path, monkeypatch, refusing):
    path = tmp_path / "file"
    write_file(path, b"old")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, refusing, refuse)
    with pytest.raises(TrainingError, match=r"cannot write .*file: No space left on device.*try"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", [METRICS, CHECKPOINT])
def test_a_pipe_in_a_runs_folder_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises((TrainingError, OSError), match="t is not a regular file") as refused:
        run(tmp_path, resume=True)
    assert str(tmp_path / name) in str(refused.value)


def test_json_is_valid_or_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file", {"loss": float("nan")})
    write_json(tmp_path / "file", {"loss": 0.5})
    assert json.loads((tmp_path / "file").read_text()) == {"loss": 0.5}


@pytest.mark.parametrize("name", [CHECKPOINT, PREVIOUS])
def test_a_checkpoint_is_said_to_be_kept_only_where_there_is_one(tmp_path, monkeypatch, name):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(TrainingError) as refused:
        write_file(tmp_path / METRICS, b"new")
    assert "kept" not in str(refused.value)
    (tmp_path / name).touch()
    with pytest.raises(TrainingError, match="The last good checkpoint is kept"):
        write_file(tmp_path / METRICS, b"new")


def test_metrics_are_cut_where_a_run_resumes_and_half_a_line_is_no_line(tmp_path):
    with folder_of_a_run(tmp_path) as log:
        log.begin(resume=False)
        for step in (2, 4, 4, 6):
            log.log_metrics({"step": step, "loss": 0.5})
        with open(tmp_path / METRICS, "a") as file:
            file.write('{"step": 8, "lo')
        assert [line["step"] for line in read_metrics(tmp_path)] == [2, 4, 4, 6]
        log.save_checkpoint({"step": 4})
    with folder_of_a_run(tmp_path) as log:
        assert log.begin(resume=True)["step"] == 4
    assert [line["step"] for line in read_metrics(tmp_path)] == [2, 4, 4]
    assert (tmp_path / METRICS).read_text().count("\n") == 3


@pytest.mark.parametrize(
    "damage",
    [
        b"{half\n",
        b"\xff\xfe\n",
        b"[1]\n",
        b"{}\n",
        b'{"step": "one"}\n',
        b"\n",
        b"[" * 9999 + b"\n",
    ],
)
def test_a_damaged_line_of_the_log_is_named(copy, damage):
    log = copy / METRICS
    first, rest = log.read_bytes().split(b"\n", 1)
    log.write_bytes(first + b"\n" + damage + rest)
    with pytest.raises(ValueError, match=r"line 2 of .*metrics.jsonl"):
        read_metrics(copy)
    with pytest.raises(ValueError, match=r"line 2 of .*metrics.jsonl"):
        run(copy, resume=True)
    assert log.read_bytes() == first + b"\n" + damage + rest  # nothing was cut away


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"cannot make the folder .*file/run"):
        folder_of_a_run(tmp_path / "file" / "run").begin(resume=False)


def test_only_process_0_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "rank", lambda: 1)
    log = folder_of_a_run(tmp_path)
    log.begin(resume=False)
    log.log_metrics({"step": 1})
    log.save_checkpoint({"step": 1})
    assert log.finish(torch.nn.Linear(1, 1), {}, {})["weights_sha256"]
    assert not list(tmp_path.iterdir())


# --- nothing is overwritten unasked ---


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_run_is_not_overwritten_unasked(whole):
    before = contents(whole)
    with pytest.raises(TrainingError, match="has a run already: go on with --resume"):
        run(whole)
    assert contents(whole) == before


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("left", [WEIGHTS, SUMMARY])
def test_a_finished_run_without_checkpoints_is_not_overwritten(copy, resume, left):
    for name in {CHECKPOINT, PREVIOUS, WEIGHTS, SUMMARY} - {left}:
        (copy / name).unlink()
    before = contents(copy)
    with pytest.raises(TrainingError, match="has a finished run, and no checkpoint"):
        run(copy, resume=resume)
    assert contents(copy) == before


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [(CONFIG_FILE, b'{"port": 80}'), (CONFIG_FILE, b"// ours"), (METRICS, b'{"cpu": 3}\n')],
)
def test_somebody_elses_file_is_not_overwritten(tmp_path, resume, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        run(tmp_path, resume=resume)
    assert (tmp_path / name).read_bytes() == content


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(tmp_path, whole):
    for name in (CONFIG_FILE, METRICS):
        shutil.copy(whole / name, tmp_path)
    run(tmp_path)
    assert_same_run(tmp_path, whole)


# --- reading a finished run ---


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS, SUMMARY])
def test_a_run_that_is_not_finished_is_told_by_what_it_lacks(copy, name):
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"no finished run, it lacks {name}"):
        load_run(copy)


@pytest.mark.parametrize("damage", ["cut short", "empty", "one bit", "another run's"])
def test_weights_that_are_not_the_runs_are_refused(copy, damage):
    content = (copy / WEIGHTS).read_bytes()
    other = bytearray(content)
    other[-1] ^= 1
    contents = {"cut short": content[:-9], "empty": b"", "one bit": bytes(other)}
    (copy / WEIGHTS).write_bytes(contents.get(damage, content + b"\0"))
    with pytest.raises(ValueError, match=r"model.safetensors is not what the run wrote"):
        load_run(copy)


@pytest.mark.parametrize("name", [CONFIG_FILE, SUMMARY])
@pytest.mark.parametrize("content", [b"", b'{"half', b"[1]", b"\xff", b"[" * 9999])
def test_a_damaged_file_of_a_run_is_named(copy, name, content):
    (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} (is damaged|holds)"):
        load_run(copy)


def test_weights_that_do_not_fit_their_configuration_are_told(copy):
    config = json.loads((copy / CONFIG_FILE).read_text())
    config["model"]["embed_dim"] = 16
    write_json(copy / CONFIG_FILE, config)
    with pytest.raises(
        ValueError, match=r"model.safetensors does not fit the model that config.js"
    ):
        load_run(copy)
    config["model"]["rope"] = True
    write_json(copy / CONFIG_FILE, config)
    with pytest.raises(ValueError, match=r"config.json cannot be used: .*rope.*newer"):
        load_run(copy)
