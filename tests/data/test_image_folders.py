"""A folder of images is read in order, by workers that last; a file that is damaged is named."""

import gc
import multiprocessing
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from data_files import random_bytes
from PIL import Image

from swin_tutorial.data.batches import FolderBatches, evaluation_batches
from swin_tutorial.data.folders import decode_image, image_folder

CPU = torch.device("cpu")
SIZE = (6, 10)


def test_a_folder_is_read_in_order(folder):
    images = image_folder(folder, SIZE, workers=0)
    assert images.classes == ("a", "b", "c", "d")
    names = [f"{number:02}" for first in (3, 2, 1, 0) for number in range(first, 50, 4)]
    assert [file.stem for file in images.files] == names
    assert torch.bincount(images.labels).tolist() == [12, 12, 13, 13]
    assert [images.classes[label] for label in images.labels] == [
        file.parent.name for file in images.files
    ]


def test_a_test_folder_has_the_statistics_of_the_training_images(folder):
    images = image_folder(folder, SIZE, workers=0)
    test = image_folder(folder, 5, like=images)
    assert (test.mean, test.std) == (images.mean, images.std)
    assert test.size == (5, 5)
    assert test.workers >= 1
    assert image_folder(folder, 5, workers=0).mean != images.mean


@pytest.mark.parametrize(
    ("crop", "box"),
    [
        (None, (4, 2, 60, 30)),  # the middle 7/8
        ([0.25, 2.0, 1.0, 0.5], (32, 8, 64, 24)),  # a quarter, 2:1, far right, halfway down
        ([0.5, 1.0, 0.5, 0.0], (16, 0, 48, 32)),
    ],
)
def test_an_image_is_cropped_and_scaled(tmp_path, crop, box):
    """Red rises to the right and green downwards, so each pixel tells where it came from."""
    x, y = np.meshgrid(np.arange(64), np.arange(32))
    Image.fromarray(np.stack([3 * x, 7 * y, 0 * x], 2).astype(np.uint8)).save(tmp_path / "a.png")
    red, green, blue = decode_image(tmp_path / "a.png", (8, 16), crop).float()
    left, top, right, bottom = box
    columns = left + (torch.arange(16) + 0.5) * (right - left) / 16 - 0.5
    rows = top + (torch.arange(8) + 0.5) * (bottom - top) / 8 - 0.5
    assert (blue == 0).all()
    # At the border of the whole image the filter has nothing to reach out to.
    assert (red - 3 * columns)[:, 1:-1].abs().max() < 1.5
    assert (green - 7 * rows[:, None])[1:-1].abs().max() < 1.5


# --- workers ---


@pytest.fixture
def workers():
    """Return a function that returns the workers which this test has started and not ended."""
    others = set(multiprocessing.active_children())
    return lambda: {worker.pid for worker in set(multiprocessing.active_children()) - others}


def wait_until_none(workers):
    deadline = time.monotonic() + 20
    while workers():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_workers_outlive_an_epoch_and_end_when_they_are_closed(folder, workers):
    images = image_folder(folder, SIZE, workers=2)
    assert not workers()  # those that computed the statistics have ended
    batches = FolderBatches(images, 12, CPU)
    list(batches.epoch(0))
    first = workers()
    assert len(first) == 2
    list(batches.epoch(1))
    list(evaluation_batches(images, 25, CPU))
    assert workers() == first
    images.close()
    wait_until_none(workers)
    list(batches.epoch(2))
    assert workers().isdisjoint(first)
    batches.cycle = batches  # in a cycle, which only the garbage collector finds
    del batches, images
    gc.collect()
    wait_until_none(workers)


def test_an_epoch_that_is_left_ends_its_workers(folder, workers):
    batches = FolderBatches(image_folder(folder, SIZE, workers=1), 2, CPU)
    epoch = batches.epoch(0)
    next(epoch)
    assert len(workers()) == 1
    del epoch
    wait_until_none(workers)


EXIT = """
import sys
from pathlib import Path
from swin_tutorial.data.batches import FolderBatches
from swin_tutorial.data.folders import image_folder
images = image_folder(Path(sys.argv[1]), 8, workers=1)
batches = FolderBatches(images, 2, "cpu")
list(batches.epoch(0))
waiting, unfinished = batches.epoch(1), batches.epoch(2)
next(waiting), next(unfinished)  # an epoch with the workers of the first, one with its own
list(waiting)
"""


def test_python_ends_though_workers_are_left(folder):
    """Python sends SIGTERM to its workers, which ignore it, and waits for them."""
    subprocess.run([sys.executable, "-c", EXIT, folder], check=True, timeout=60)


# --- what is refused ---


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_unreadable_image_is_named(tmp_path, workers, content):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(random_bytes(1, 30, 40, 3)[0]).save(tmp_path / name / "1.png")
    images = image_folder(tmp_path, SIZE, workers=workers)
    file = tmp_path / "b" / "1.png"
    file.write_bytes(file.read_bytes()[:500] if content is None else content)
    message = f"^{file} cannot be read as an image .*: repair or remove it$"
    for batches in (FolderBatches(images, 2, CPU).epoch(0), evaluation_batches(images, 2, CPU)):
        with pytest.raises(ValueError, match=message):
            list(batches)
    with pytest.raises(ValueError, match=message):
        image_folder(tmp_path, SIZE, workers=workers)


def test_a_folder_without_classes_or_images_is_refused(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"no folder .*gone"):
        image_folder(tmp_path / "gone", SIZE)
    with pytest.raises(ValueError, match=f"{tmp_path} has no folders"):
        image_folder(tmp_path, SIZE)
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match=r"class folder .*cat has no image \(\.bmp, .*remove it"):
        image_folder(tmp_path, SIZE)
    train = image_folder(folder, SIZE, workers=0)
    with pytest.raises(ValueError, match=r"do not share the classes \['a', 'b', 'c', 'cat', 'd'\]"):
        image_folder(tmp_path, SIZE, like=train)


@pytest.mark.parametrize("size", [0, (4, 0)])
def test_an_invalid_size_is_named(folder, size):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        image_folder(folder, size)
