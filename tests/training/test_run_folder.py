"""A run's folder: files whole or not there, another configuration told apart."""

import dataclasses
import errno
import json
import os

import pytest
import torch
from run_checks import assert_same_run
from tiny_training import CONFIG, run

from swin_tutorial.data.augmentation import Augmentation
from swin_tutorial.training import run_folder
from swin_tutorial.training.config import for_dataset
from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.run_folder import (
    CHECKPOINT,
    METRICS,
    PREVIOUS,
    RunFolder,
    differences,
    load_checkpoint,
    read_metrics,
    write_file,
    write_json,
)


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
    with pytest.raises(TrainingError, match=r"cannot write .*file: No space left on device.*kept"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_json_is_valid_or_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file", {"loss": float("nan")})
    write_json(tmp_path / "file", {"loss": 0.5})
    assert json.loads((tmp_path / "file").read_text()) == {"loss": 0.5}


def test_metrics_are_cut_where_a_run_resumes_and_half_a_line_is_no_line(tmp_path):
    log = RunFolder(tmp_path, CONFIG)
    log.begin(resume=False)
    for step in (2, 4, 4, 6):
        log.log_metrics({"step": step, "loss": 0.5})
    with open(tmp_path / METRICS, "a") as file:
        file.write('{"step": 8, "lo')
    assert [line["step"] for line in read_metrics(tmp_path)] == [2, 4, 4, 6]
    log.save_checkpoint({"step": 4})
    assert RunFolder(tmp_path, CONFIG).begin(resume=True)["step"] == 4
    assert [line["step"] for line in read_metrics(tmp_path)] == [2, 4, 4]
    assert (tmp_path / METRICS).read_text().count("\n") == 3


def test_differences_name_what_differs_at_any_depth():
    theirs = {"epochs": 3, "model": {"depths": (2, 4), "num_heads": (1, 2)}, "gone": 1}
    ours = {"epochs": 3, "model": {"depths": (2, 5), "num_heads": (1, 2)}, "new": 2}
    assert differences(theirs, ours) == [
        "gone was 1 and is None",
        "model.depths was (2, 4) and is (2, 5)",
        "new was None and is 2",
    ]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"cannot make the folder .*file/run"):
        RunFolder(tmp_path / "file" / "run", CONFIG).begin(resume=False)


def test_a_run_is_not_overwritten_unasked(whole):
    with pytest.raises(TrainingError, match="has a run already: go on with --resume"):
        run(whole)


def test_a_checkpoint_of_another_configuration_is_refused(whole):
    augmentation = Augmentation(flip_prob=0.5, mixup=0.5)
    other = dataclasses.replace(CONFIG, lr=1e-3, augmentation=augmentation)
    with pytest.raises(TrainingError, match=r"crop_padding was 1 and is 0.*lr was 0\.003 and is"):
        run(whole, other, resume=True)


def test_a_checkpoint_older_than_a_field_is_one_of_its_default(copy, whole):
    older = torch.load(copy / PREVIOUS, weights_only=True)
    del older["config"]["augmentation"]["randaugment"]
    torch.save(older, copy / CHECKPOINT)
    augmented = dataclasses.replace(CONFIG.augmentation, randaugment=9.0)
    other = for_dataset(dataclasses.replace(CONFIG, augmentation=augmented), 1, 3)
    with pytest.raises(TrainingError, match=r"augmentation.randaugment was 0\.0 and is 9\.0"):
        load_checkpoint(copy, other.as_dict())
    run(copy, resume=True)
    assert_same_run(copy, whole)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_usable(copy, whole):
    checkpoint = copy / CHECKPOINT
    content = checkpoint.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (b"", content[:1000], content[:-1], bytes(flipped)):
        checkpoint.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"checkpoint.pt \(.* bytes\) is damaged.*previous"):
            run(copy, resume=True)
    checkpoint.unlink()
    run(copy, resume=True)
    assert_same_run(copy, whole)


def test_only_process_0_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "rank", lambda: 1)
    log = RunFolder(tmp_path, CONFIG)
    log.begin(resume=False)
    log.log_metrics({"step": 1})
    log.save_checkpoint({"step": 1})
    assert log.finish(torch.nn.Linear(1, 1), {}, {})["weights_sha256"]
    assert not list(tmp_path.iterdir())
