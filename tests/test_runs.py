"""A run's folder: files whole or not there, another configuration told apart."""

import errno
import os

import pytest

from swin_tutorial import runs
from swin_tutorial.runs import TrainingError, write_file


def test_a_file_is_replaced_as_a_whole_and_the_old_one_kept_on_request(tmp_path):
    path, old = tmp_path / "file", tmp_path / "old"
    write_file(path, b"one", keep=old)
    assert not old.exists()
    write_file(path, b"two", keep=old)
    write_file(path, b"three")
    assert (path.read_bytes(), old.read_bytes()) == (b"three", b"one")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "old"]


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
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_metrics_are_cut_at_a_step_and_half_a_line_is_no_line(tmp_path):
    for step in (2, 4, 4, 6):
        runs.append_metrics(tmp_path, {"step": step, "loss": 0.5})
    with open(tmp_path / runs.METRICS, "a") as file:
        file.write('{"step": 8, "lo')
    assert [line["step"] for line in runs.read_metrics(tmp_path)] == [2, 4, 4, 6]
    runs.cut_metrics(tmp_path, 4)
    assert [line["step"] for line in runs.read_metrics(tmp_path)] == [2, 4, 4]
    assert (tmp_path / runs.METRICS).read_text().count("\n") == 3


def test_differences_name_what_differs_at_any_depth():
    theirs = {"epochs": 3, "model": {"depths": (2, 4), "heads": (1, 2)}, "gone": 1}
    ours = {"epochs": 3, "model": {"depths": (2, 5), "heads": (1, 2)}, "new": 2}
    assert runs.differences(theirs, ours) == [
        "gone was 1 and is None",
        "model.depths was (2, 4) and is (2, 5)",
        "new was None and is 2",
    ]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"cannot make the folder .*file/run"):
        runs.begin(tmp_path / "file" / "run", {}, resume=False)
