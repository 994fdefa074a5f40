"""One run at a time in a folder, and a lock that dies with the process that holds it."""

import json
import os
import shutil
import signal
import socket
import threading

import pytest
import tiny_training
from run_checks import assert_same_run, forkserver, in_processes, run_as_two
from tiny_training import CONFIG, run

from swin_tutorial.training import loop
from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.files import CHECKPOINT
from swin_tutorial.training.run_lock import HOLDER, LOCK, locked


def hold(folder, taken, end):
    with locked(folder):
        taken.set()
        end.wait(60)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a folder, and the folder."""
    taken, end = forkserver.Event(), forkserver.Event()
    process = forkserver.Process(target=hold, args=(tmp_path, taken, end))
    process.start()
    assert taken.wait(60)
    yield tmp_path, process
    if process.is_alive():  # to set it would wait for a killed process to wake up
        end.set()
    process.join(60)


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_run_is_refused_and_told_who_is_there(holder, resume):
    folder, process = holder
    before = sorted(folder.iterdir())
    with pytest.raises(TrainingError) as told:
        run(folder, resume=resume)
    assert f"{folder} is in use by process {process.pid} on {socket.gethostname()}, since" in str(
        told.value
    )
    assert "another --folder" in str(told.value)
    assert sorted(folder.iterdir()) == before  # the holder's own files


def test_the_lock_of_a_killed_process_does_not_block(holder, whole):
    folder, process = holder
    process.kill()
    process.join()
    assert {file.name for file in folder.iterdir()} == {LOCK, HOLDER}
    run(folder)
    assert_same_run(folder, whole)
    assert not {LOCK, HOLDER} & {file.name for file in folder.iterdir()}


def test_two_runs_of_one_process_are_kept_apart_too(tmp_path):
    refused = []

    def other():
        try:
            run(tmp_path)
        except TrainingError as error:
            refused.append(str(error))

    with locked(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
    assert f"in use by process {os.getpid()} on" in refused[0]
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "{}", '{"process": 1}'])
def test_a_holder_that_cannot_be_named_is_another_process(tmp_path, content):
    with locked(tmp_path):
        (tmp_path / HOLDER).write_text(content)
        with pytest.raises(TrainingError, match="in use by another process"), locked(tmp_path):
            pass


def test_a_run_that_fails_gives_the_folder_back(tmp_path, monkeypatch):
    def fail(*_):
        raise TrainingError("far enough")

    monkeypatch.setattr(loop, "take_step", fail)
    with pytest.raises(TrainingError, match="far enough"):
        run(tmp_path)
    with locked(tmp_path):
        assert sorted(json.loads((tmp_path / HOLDER).read_text())) == ["host", "process", "since"]


def test_a_lock_that_the_disk_refuses_is_told(tmp_path):
    (tmp_path / LOCK).mkdir()
    with pytest.raises(TrainingError, match=r"cannot write .*\.lock: Is a directory"):
        run(tmp_path)


def errors_of_two(folders, told):
    """Resume as two processes, which must both end with an error; return the errors."""
    told.mkdir(exist_ok=True)
    assert run_as_two(folders, CONFIG, None, 1, told) == [8, 8]
    return [(told / str(rank)).read_text() for rank in range(2)]


def test_all_processes_of_a_run_end_if_the_first_one_cannot_lock(holder, tmp_path_factory):
    folder, process = holder
    for error in errors_of_two(folder, tmp_path_factory.mktemp("told")):
        assert f"in use by process {process.pid} on" in error


def test_all_processes_end_if_one_of_them_cannot_read(tmp_path, copy, whole):
    """Each has a folder of its own, as on machines that do not share one."""
    good = shutil.copytree(whole, tmp_path / "good")
    (copy / CHECKPOINT).write_bytes(b"")
    for folders in ([good, copy], [copy, good]):
        for error in errors_of_two(folders, tmp_path / "told"):
            assert f"{copy / CHECKPOINT} (0 bytes) is damaged" in error


def test_processes_that_do_not_share_a_folder_are_told(tmp_path, copy):
    for folders in ([copy, tmp_path / "empty"], [tmp_path / "none", copy]):
        for error in errors_of_two(folders, tmp_path / "told"):
            assert "the processes do not see the same" in error
            assert "12" in error


def test_starts_at_the_same_moment_leave_one_run(tmp_path, whole):
    many = [(tmp_path,)] * 4
    codes = in_processes(run_if_alone, *many)
    assert sorted(codes) == [0, 7, 7, 7]
    assert_same_run(tmp_path, whole)


def run_if_alone(folder):
    try:
        run(folder)
    except TrainingError as error:
        alone = "in use by" in str(error) or "has a run already" in str(error)
        os._exit(7 if alone else 1)


def test_a_run_killed_in_the_middle_leaves_a_folder_to_go_on_in(tmp_path, whole):
    assert in_processes(tiny_training.run_and_die, (tmp_path, "step", 8)) == [-signal.SIGKILL]
    assert (tmp_path / HOLDER).exists()
    run(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)
