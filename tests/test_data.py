"""The photographs: as shipped, cut without loss, and refused with a remedy."""

import hashlib

import pytest
import torch

from swin_tutorial.data import PHOTOGRAPHS, data_folder, photograph, photograph_tokens
from swin_tutorial.plotting import picture


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_the_ones_of_the_datasheet(name):
    file, sha256 = PHOTOGRAPHS[name]
    assert hashlib.sha256((data_folder() / file).read_bytes()).hexdigest() == sha256
    datasheet = (data_folder() / "README.md").read_text()
    assert file in datasheet
    assert sha256 in datasheet


def test_a_photograph_has_the_size_asked_for_and_values_between_0_and_1():
    image = photograph("coffee", 48, 80)
    assert image.shape == (48, 80, 3)
    assert image.dtype == torch.float32
    assert 0 <= image.min() < 0.1
    assert 0.9 < image.max() <= 1


def test_tokens_are_patches_and_become_the_picture_again():
    tokens = photograph_tokens("rocket", 4, 6, patch_size=5)
    assert tokens.shape == (1, 4, 6, 75)
    image = photograph("rocket", 20, 30)
    assert torch.equal(tokens[0, 2, 3].view(5, 5, 3), image[10:15, 15:20])
    assert torch.equal(torch.from_numpy(picture(tokens)), image)


def test_the_data_folder_can_be_named(tmp_path, monkeypatch):
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
    with pytest.raises(ValueError, match="at least 1"):
        photograph("coffee", 0, 8)
