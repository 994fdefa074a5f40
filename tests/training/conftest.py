"""Runs that nobody disturbed, made once for all tests that compare with them."""

import shutil

import pytest
import run_checks
import tiny_training


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The folder of an undisturbed run: to read, never to write to."""
    folder = tmp_path_factory.mktemp("whole")
    tiny_training.run(folder)
    return folder


@pytest.fixture(scope="session")
def whole_of_two(tmp_path_factory):
    """The folder of an undisturbed run of two processes."""
    folder = tmp_path_factory.mktemp("whole_of_two")
    assert run_checks.run_as_two(folder, tiny_training.CONFIG) == [0, 0]
    return folder


@pytest.fixture
def copy(tmp_path, whole):
    """A copy of the undisturbed run, to do with it what one likes."""
    return shutil.copytree(whole, tmp_path / "copy")
