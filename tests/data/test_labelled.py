"""Labeled images know their statistics, and refuse labels that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import random_bytes

from swin_tutorial.data.folders import ImageFolder
from swin_tutorial.data.labelled import LabelledImages, channel_statistics


def test_statistics_are_those_of_each_channel():
    pixels = random_bytes(30, 5, 7, 3)
    pixels[..., 1] //= 2
    mean, std = channel_statistics(torch.from_numpy(pixels))
    scaled = pixels.reshape(-1, 3) / 255
    assert mean == pytest.approx(scaled.mean(0), rel=1e-12)
    assert std == pytest.approx(scaled.std(0), rel=1e-12)


def test_statistics_are_computed_unless_they_are_given():
    pixels, labels = torch.from_numpy(random_bytes(4, 5, 7, 1)), torch.zeros(4, dtype=torch.int64)
    images = LabelledImages(pixels, labels, ("a",))
    assert (images.mean, images.std) == channel_statistics(pixels)
    assert len(images) == 4
    assert LabelledImages(pixels, labels, ("a",), (0.1,), (0.2,)).std == (0.2,)


def test_a_constant_channel_is_divided_by_one():
    pixels = torch.tensor([[51, 0], [51, 255]], dtype=torch.uint8).view(2, 1, 1, 2)
    assert channel_statistics(pixels) == ((0.2, 0.5), (1.0, 0.5))


def test_large_sums_do_not_overflow():
    """In 32-bit integers this sum of squares is 4 times too large."""
    pixels = torch.full((1, 512, 512, 1), 255, dtype=torch.uint8)
    assert channel_statistics(pixels) == ((1.0,), (1.0,))
    assert np.iinfo(np.int32).max < 512 * 512 * 255**2


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("count", "labels", "message"),
    [
        (2, [0, 0, 0], "2 images but 3 labels"),
        (2, [0, -1], "label -1 is out of range: there are 1 classes"),
        (2, [0, 1], "label 1 is out of range: there are 1 classes"),
        (0, [], "no images"),
    ],
)
def test_labels_that_do_not_fit_are_refused(count, labels, message):
    pixels = torch.zeros(count, 3, 4, 1, dtype=torch.uint8)
    with pytest.raises(ValueError, match=message):
        LabelledImages(pixels, torch.tensor(labels, dtype=torch.int64), ("a",))


def pixels_of(*shape, dtype=torch.uint8):
    return torch.ones(shape, dtype=dtype)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0.0, 1.0]), r"got torch.float32: convert whole numbers with \.long\(\)"),
        (torch.tensor([0.0, float("nan")]), "labels must be .*torch.int64, got torch.float32"),
        (torch.tensor([False, True]), "got torch.bool"),
        (torch.tensor([0, 1], dtype=torch.int32), "got torch.int32"),
        (torch.tensor([0, 1], dtype=torch.complex64), "got torch.complex64"),
        ([0, 1], "got list"),
        (np.array([0, 1]), "got ndarray"),
        (torch.tensor([[0], [1]]), r"labels must have one axis, got shape \(2, 1\)"),
        (torch.tensor(1), r"labels must have one axis, got shape \(\)"),
        (torch.tensor([0.0, float("nan")]).long(), "label -9223372036854775808 is out of range"),
    ],
)
def test_labels_of_another_kind_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        LabelledImages(pixels_of(2, 3, 4, 1), labels, ("a", "b"))
    files = (Path("1.png"), Path("2.png"))
    with pytest.raises(ValueError, match=message):
        ImageFolder(files, labels, ("a", "b"), (3, 4), (0.5,), (0.5,), 0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (pixels_of(2, 3, 5, 7), r"1 or 3 channels, got \(2, 3, 5, 7\): .* with \.movedim"),
        (pixels_of(2, 1, 28, 28), r"got \(2, 1, 28, 28\)"),
        (pixels_of(2, 3, 4, 4), r"got \(2, 3, 4, 4\)"),
        (pixels_of(2, 5, 7, 4), r"got \(2, 5, 7, 4\)"),
        (pixels_of(2, 5, 7), r"got \(2, 5, 7\)"),
        (pixels_of(2, 6, 5, 7, 3), r"got \(2, 6, 5, 7, 3\)"),
        (pixels_of(2), r"got \(2,\)"),
        (pixels_of(2, 0, 7, 1), r"must have pixels, got the shape \(2, 0, 7, 1\)"),
        (pixels_of(2, 5, 0, 3), "must have pixels"),
        (pixels_of(2, 5, 7, 0), "1 or 3 channels"),
        (
            pixels_of(2, 5, 7, 1, dtype=torch.float32),
            r"torch.uint8, got torch.float32: scale .*255",
        ),
        (pixels_of(2, 5, 7, 1, dtype=torch.int64), "pixels must be a .*uint8, got torch.int64"),
        (pixels_of(2, 5, 7, 1, dtype=torch.bool), "got torch.bool"),
        (pixels_of(2, 5, 7, 1, dtype=torch.int8), "got torch.int8"),
        (np.ones((2, 5, 7, 1), np.uint8), "got ndarray"),
        (None, "got NoneType"),
    ],
)
def test_pixels_of_another_kind_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        LabelledImages(pixels, torch.tensor([0, 1]), ("a", "b"))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5,) * 3, None, "std must have a finite number .* 3 channels, got None: give both"),
        (None, (0.5,) * 3, "mean must have a finite number .*, got None: give both"),
        ((0.5,), (0.5,) * 3, r"mean must .* each of the 3 channels, got \(0\.5,\)"),
        ((0.5,) * 3, (0.5,) * 4, "std must have a finite number"),
        ((0.5, float("nan"), 0.5), (0.5,) * 3, "mean must have a finite number"),
        ((0.5,) * 3, (0.5, 0.5, float("inf")), "std must have a finite number"),
        ((0.5,) * 3, (0.5, 0.0, 0.5), r"std must be larger than 0, got \(0\.5, 0\.0"),
        ((0.5,) * 3, (0.5, -1.0, 0.5), "std must be larger than 0"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(mean, std, message):
    with pytest.raises(ValueError, match=message):
        LabelledImages(pixels_of(2, 5, 7, 3), torch.tensor([0, 1]), ("a", "b"), mean, std)


def test_small_images_may_look_like_channels():
    """Three rows of four pixels, in color."""
    images = LabelledImages(pixels_of(2, 3, 4, 3), torch.tensor([0, 1]), ("a", "b"))
    assert len(images.mean) == 3


# --- the fingerprint ---


def labelled_images(pixels=None, labels=(0, 1, 1, 0), classes=("a", "b")):
    pixels = torch.from_numpy(random_bytes(4, 5, 7, 1)) if pixels is None else pixels
    return LabelledImages(pixels, torch.tensor(labels), classes)


def test_a_fingerprint_follows_from_classes_labels_and_pixels():
    pixels = torch.from_numpy(random_bytes(4, 5, 7, 1))
    darker = pixels.clone()
    darker[3, 4, 6, 0] ^= 1
    others = {
        "labels": labelled_images(labels=(0, 1, 0, 1)),
        "swapped classes": labelled_images(classes=("b", "a")),
        "names of the same letters": labelled_images(classes=("ab", "")),
        "another class": labelled_images(classes=("a", "b", "c")),
        "pixels": labelled_images(darker),
        "shape": labelled_images(pixels.reshape(4, 7, 5, 1)),
        "order": labelled_images(pixels.flip(0)),
    }
    fingerprints = {name: images.fingerprint() for name, images in others.items()}
    first = labelled_images().fingerprint()
    assert labelled_images(pixels.transpose(1, 2).contiguous().transpose(1, 2)).fingerprint() == (
        first
    )
    assert len({first, *fingerprints.values()}) == len(others) + 1
    assert len(first) == 64
