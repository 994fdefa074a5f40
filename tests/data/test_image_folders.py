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
from swin_tutorial.data.decoding import decode_image
from swin_tutorial.data.folders import Request, image_folder

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


def test_a_fingerprint_follows_from_classes_labels_and_names(tmp_path):
    def fingerprint(place, files):
        for file in files:
            path = tmp_path / place / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 3), len(file)).save(path)
        return image_folder(tmp_path / place, SIZE, workers=0).fingerprint()

    first = fingerprint("first", ["a/1.png", "a/2.png", "b/3.png"])
    assert fingerprint("moved", ["a/1.png", "a/2.png", "b/3.png"]) == first
    others = {
        "added": ["a/1.png", "a/2.png", "b/3.png", "b/4.png"],
        "removed": ["a/1.png", "b/3.png"],
        "renamed": ["a/1.png", "a/2.png", "b/4.png"],
        "in another class": ["a/1.png", "b/2.png", "b/3.png"],
        "a class renamed": ["a/1.png", "a/2.png", "c/3.png"],
        "a class renamed and last": ["c/1.png", "c/2.png", "b/3.png"],
        "another class": ["a/1.png", "a/2.png", "b/3.png", "c/1.png"],
    }
    fingerprints = {name: fingerprint(name, files) for name, files in others.items()}
    assert len({first, *fingerprints.values()}) == len(others) + 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_of_no_images_stays_empty(folder, workers):
    images = image_folder(folder, SIZE, workers=workers)
    batches = list(images.decode([[], [Request(3)], []], CPU))
    assert [batch.shape for batch in batches] == [(0, 3, *SIZE), (1, 3, *SIZE), (0, 3, *SIZE)]
    assert torch.equal(batches[1][0], decode_image(images.files[3], SIZE))


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
from swin_tutorial.data.folders import Request, image_folder
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


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bomb_among_the_images_is_named(tmp_path, workers):
    """In a worker too, and as one error that is not wrapped in a traceback."""
    (tmp_path / "a").mkdir()
    for name in "123":
        Image.new("L", (9, 5)).save(tmp_path / "a" / f"{name}.png")
    images = image_folder(tmp_path, SIZE, workers=workers)
    bomb = tmp_path / "a" / "2.png"
    bomb.write_bytes(b"P5\n13000 13000\n255\n")
    message = f"^{bomb} has more than 89,478,485 pixels: scale it down or remove it$"
    with pytest.raises(ValueError, match=message):
        list(evaluation_batches(images, 3, CPU))


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_size_or_no_number_of_workers_is_named(folder):
    for size in ((4,), (4, 5, 6), []):
        with pytest.raises(ValueError, match=r"size must be one number or \(height, width\), got"):
            image_folder(folder, size)
    for size in ("224", 2.5, None, True):
        with pytest.raises(TypeError, match=f"image height must be a whole number, got {size!r}"):
            image_folder(folder, size)
    for workers in (2.5, True, "2"):
        with pytest.raises(TypeError, match=f"workers must be a whole number, got {workers!r}"):
            image_folder(folder, SIZE, workers=workers)
    with pytest.raises(ValueError, match="workers must be at least 0, got -1"):
        image_folder(folder, SIZE, workers=-1)
