"""Labeled images know their statistics, and refuse labels that do not fit."""

import numpy as np
import pytest
import torch
from data_files import random_bytes

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
