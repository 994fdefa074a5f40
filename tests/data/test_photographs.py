"""The photographs are the ones in the datasheet, and tokens hold their pixels unchanged."""

import hashlib

import pytest
import torch

from swin_tutorial.data import paths
from swin_tutorial.data.paths import data_folder
from swin_tutorial.data.photographs import PHOTOGRAPHS, photograph, photograph_tokens


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_the_ones_in_the_datasheet(name):
    file, sha256 = PHOTOGRAPHS[name]
    assert hashlib.sha256((data_folder() / file).read_bytes()).hexdigest() == sha256
    datasheet = (data_folder() / "README.md").read_text("utf-8")
    assert file in datasheet
    assert sha256 in datasheet


def test_a_photograph_has_the_given_size_and_values_between_0_and_1():
    image = photograph("coffee", 48, 80)
    assert image.shape == (48, 80, 3)
    assert image.dtype == torch.float32
    assert 0 <= image.min() < 0.1
    assert 0.9 < image.max() <= 1


def test_a_token_holds_the_pixels_of_its_patch_row_by_row():
    tokens = photograph_tokens("rocket", 4, 6, patch_size=5)
    assert tokens.shape == (1, 4, 6, 75)
    image = photograph("rocket", 20, 30)
    for row in range(4):
        for column in range(6):
            patch = image[5 * row : 5 * row + 5, 5 * column : 5 * column + 5]
            assert torch.equal(tokens[0, row, column].view(5, 5, 3), patch)


def test_the_data_folder_is_the_repositorys_or_the_named_one(tmp_path, monkeypatch):
    monkeypatch.delenv("SWIN_TUTORIAL_DATA", raising=False)
    assert data_folder() == paths.PROJECT_DATA
    assert (data_folder().parent / "pyproject.toml").is_file()
    monkeypatch.setenv("SWIN_TUTORIAL_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("SWIN_TUTORIAL_DATA", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match=r"gone: .*SWIN_TUTORIAL_DATA"):
        data_folder()


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named_with_its_remedy():
    with pytest.raises(
        ValueError, match=r"no photograph 'dog': choose one of \['chelsea', 'coffee'"
    ):
        photograph("dog", 8, 8)
    with pytest.raises(ValueError, match="height must be at least 1, got 0"):
        photograph("coffee", 0, 8)
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        photograph("coffee", 8, 0)


def test_a_photograph_that_is_damaged_or_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SWIN_TUTORIAL_DATA", str(tmp_path))
    file = tmp_path / PHOTOGRAPHS["coffee"][0]
    with pytest.raises(FileNotFoundError, match=f"no file {file}: .+"):
        photograph("coffee", 8, 8)
    file.parent.mkdir()
    file.write_bytes((paths.PROJECT_DATA / PHOTOGRAPHS["coffee"][0]).read_bytes()[:5000])
    with pytest.raises(ValueError, match=f"{file} cannot be read as an image"):
        photograph("coffee", 8, 8)
