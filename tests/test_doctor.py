"""Each check of ``swin-tutorial doctor`` can fail, and then says how to fix what it found."""

import os
import shutil
import sys
import tomllib
from collections import namedtuple

import pytest
import torch
from commands import invoke
from packaging.requirements import Requirement

from swin_tutorial import cli, doctor, lab
from swin_tutorial.data import paths


def assert_fails(check, detail, remedy):
    assert check.status == "FAIL"
    assert detail in check.detail
    assert remedy in check.remedy


def test_old_python(monkeypatch):
    assert doctor.check_python().ok
    monkeypatch.setattr(sys, "version_info", (3, 10, 9, "final", 0))
    assert_fails(doctor.check_python(), "3.10.9", "PYTHON=python3.11 lab")


def test_old_torch(monkeypatch):
    assert doctor.check_torch().ok
    monkeypatch.setattr(torch, "__version__", "2.8.1+cpu")
    assert_fails(doctor.check_torch(), "2.8.1+cpu", "2.9 or newer")
    monkeypatch.setattr(torch, "__version__", "2.10.0")  # compared as numbers, not as text
    assert doctor.check_torch().ok


def test_no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert_fails(doctor.check_torch(), "does not import", "make clean && make lab")
    assert doctor.check_device().ok


def test_device_is_named_and_never_fails(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert doctor.check_device().detail.startswith("cpu: ")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert doctor.check_device().detail.startswith("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Fast One")
    assert doctor.check_device() == doctor.Check("device", True, "cuda: Fast One")


def test_full_disk(monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2e9))
    assert doctor.check_disk().ok
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1.9e9))
    assert_fails(doctor.check_disk(), "1.9 GB free", "free 2 GB")


@pytest.mark.parametrize("name", doctor.PACKAGES)
def test_missing_package(name, monkeypatch):
    assert doctor.check_package(name).ok
    monkeypatch.setitem(sys.modules, doctor.MODULES.get(name, name), None)
    assert_fails(doctor.check_package(name), "does not import", "make clean && make lab")


def test_missing_training_packages_are_only_a_note(monkeypatch):
    assert doctor.check_training().status == "ok"
    monkeypatch.setitem(sys.modules, "pooch", None)
    check = doctor.check_training()
    assert (check.status, check.detail) == ("note", "no pooch")
    assert "pip install -e '.[train]'" in check.remedy


def test_the_packages_are_those_that_the_extras_install():
    project = tomllib.loads((paths.PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]

    def names(requirements):
        return {Requirement(one).name for one in requirements}

    notebooks = names(project["dependencies"]) | names(extras["notebooks"])
    assert {"torch", *doctor.PACKAGES} == notebooks
    assert set(doctor.TRAIN_PACKAGES) == names(extras["train"]) - notebooks


def test_photographs(tmp_path, monkeypatch):
    assert doctor.check_photographs().ok
    shutil.copytree(paths.data_folder() / "photographs", tmp_path / "photographs")
    monkeypatch.setattr(paths, "data_folder", lambda: tmp_path)
    assert doctor.check_photographs().ok
    coffee = tmp_path / "photographs" / "coffee.png"
    coffee.write_bytes(coffee.read_bytes() + b"!")
    assert_fails(doctor.check_photographs(), "coffee.png was changed", f"git checkout -- {coffee}")
    coffee.unlink()
    assert_fails(doctor.check_photographs(), "coffee.png is missing", f"git checkout -- {coffee}")


def test_photographs_without_the_data_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "swin_tutorial.data", None)
    assert_fails(doctor.check_photographs(), "not checked", "make clean && make lab")


def test_photographs_without_a_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SWIN_TUTORIAL_DATA", str(tmp_path / "gone"))
    assert_fails(doctor.check_photographs(), "no data folder", "SWIN_TUTORIAL_DATA")


def test_missing_notebooks(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "NOTEBOOKS", tmp_path)
    (tmp_path / "01_windows.ipynb").touch()
    assert_fails(doctor.check_notebooks(), "no 00_start_here.ipynb", "git checkout -- notebooks")
    (tmp_path / "00_start_here.ipynb").touch()
    (tmp_path / "Untitled.ipynb").touch()
    assert doctor.check_notebooks() == doctor.Check("notebooks", True, f"2 in {tmp_path}")


def test_missing_browser_is_only_a_note(monkeypatch):
    monkeypatch.setattr(shutil, "which", {"google-chrome": "/opt/chrome"}.get)
    assert doctor.check_browser() == doctor.Check("browser", True, "/opt/chrome")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    check = doctor.check_browser()
    assert check.status == "note"
    assert "apt-get install chromium" in check.remedy


# --- the command ---

FINE = doctor.Check("disk", True, "9 GB free")
NOTE = doctor.Check("browser", True, "none", "install one")
BAD = doctor.Check("torch", False, "1.0", "get a newer one")


@pytest.fixture
def found(monkeypatch):
    """Return a function that says what the checks find."""
    return lambda *checks: monkeypatch.setattr(doctor, "run_checks", lambda: iter(checks))


@pytest.fixture
def started(monkeypatch):
    """Return the list of the commands that JupyterLab was started with."""
    commands = []
    monkeypatch.setattr(cli.os, "execv", lambda path, command: commands.append(command))
    return commands


def test_every_check_is_run():
    names = [check.name for check in doctor.run_checks()]
    assert names == [
        *("python", "torch", "device", "disk"),
        *doctor.PACKAGES,
        *("training", "photographs", "notebooks", "browser"),
    ]


def test_doctor_prints_a_line_each_and_remedies(found):
    found(FINE, NOTE)
    result = invoke("doctor")
    assert result.status == 0
    assert result.out.splitlines() == [
        "ok    disk          9 GB free",
        "note  browser       none",
        "      -> install one",
    ]


def test_doctor_goes_on_after_a_failure_and_exits_with_1(found):
    found(BAD, FINE)
    result = invoke("doctor")
    assert result.status == 1
    assert result.out.startswith("FAIL  torch         1.0\n      -> get a newer one\nok")


def test_lab_stops_at_a_failure(found, started):
    found(BAD, FINE)
    assert invoke("lab").status == 1
    assert started == []


def test_lab_opens_the_first_chapter(found, started):
    found(FINE, NOTE)
    assert invoke("lab", "--port", "9999", "--browser").status == 0
    (command,) = started
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert "--port=9999" in command
    assert f"--ServerApp.root_dir={doctor.NOTEBOOKS}" in command
    assert "--LabApp.default_url=/lab/tree/00_start_here.ipynb" in command
    assert "--no-browser" not in command


@pytest.mark.parametrize(
    ("platform", "display", "expected"),
    [("linux", "", False), ("linux", ":0", True), ("darwin", "", True)],
)
def test_a_screen_is_found_where_there_is_one(monkeypatch, platform, display, expected):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    assert lab.has_screen() == expected


def test_lab_opens_a_browser_only_if_it_is_to(found, started):
    found(FINE)
    assert invoke("lab", "--browser").status == 0
    assert invoke("lab", "--no-browser").status == 0
    assert invoke("lab").status == 0
    opens = ["--no-browser" not in command for command in started]
    assert opens == [True, False, lab.has_screen()]


def test_lab_runs_as_the_root_of_a_container(monkeypatch, tmp_path):
    for user, allowed in ((0, True), (1000, False)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert ("--allow-root" in lab.lab_command(8888, True, tmp_path)) == allowed


def test_lab_copies_the_notebooks_to_a_folder_that_is_named(found, started, tmp_path):
    found(FINE)
    folder = tmp_path / "my notebooks"
    done = invoke("lab", "--folder", folder)
    assert f"{len(doctor.notebooks())} notebooks copied to {folder}" in done.out
    assert f"--ServerApp.root_dir={folder}" in started[0]
    assert len(list(folder.iterdir())) == len(doctor.notebooks())
    assert "copied" not in invoke("lab", "--folder", folder).out
    assert "copied" not in invoke("lab").out  # the clone's own


def test_a_copy_that_was_stopped_is_made_again(monkeypatch, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", lambda source, copy: copy.touch() or stop())
        with pytest.raises(KeyboardInterrupt):
            lab.copy_notebooks(tmp_path)
    lab.copy_notebooks(tmp_path)
    for notebook in doctor.notebooks():
        assert (tmp_path / notebook.name).read_bytes() == notebook.read_bytes()


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_lab_refuses_a_port_that_no_machine_has(found, started, port):
    found(FINE)
    done = invoke("lab", f"--port={port}")
    assert (done.status, done.err) == (1, f"error: port must be 1 to 65535, got {port}\n")
    assert started == []


def test_lab_refuses_a_folder_that_is_a_file(found, started, tmp_path):
    found(FINE)
    (tmp_path / "file").touch()
    done = invoke("lab", "--folder", tmp_path / "file")
    assert done.status == 1
    assert len(done.err.splitlines()) == 1
    assert started == []
