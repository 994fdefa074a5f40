"""Training batches follow from seed, epoch and step; evaluation takes each image once."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from datasets import numbered
from PIL import Image

from swin_tutorial.augmentation import Augmentation, generator
from swin_tutorial.data import (
    DeviceBatches,
    FolderBatches,
    LabelledImages,
    decoded_image,
    evaluation_batches,
    image_folder,
)
from swin_tutorial.randaugment import randaugmented

CPU = torch.device("cpu")
EVERYTHING = Augmentation(crop_padding=2, flip=0.5, erasing=0.4, mixup=0.8, cutmix=1.0)
RANDAUGMENT = dataclasses.replace(EVERYTHING, randaugment=9.0)
SIZE = (6, 10)


def in_memory(count=50, channels=3):
    pixels = torch.from_numpy(numbered(count, *SIZE, channels))
    return LabelledImages(pixels, torch.arange(count) % 4, ("a", "b", "c", "d"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write 50 pictures of different sizes and kinds, none of them square, in 4 classes."""
    top = tmp_path_factory.mktemp("pictures")
    kinds = itertools.cycle([("RGB", "png"), ("L", "PNG"), ("RGBA", "webp"), ("RGB", "JPEG")])
    for number, (mode, suffix) in zip(range(50), kinds, strict=False):
        file = top / "dcba"[number % 4] / f"{number:02}.{suffix}"
        file.parent.mkdir(exist_ok=True)
        pixels = numbered(1, 12 + number, 30, 4)[0]
        Image.fromarray(pixels).convert(mode).save(file)
    (top / "a" / "notes.txt").write_text("no image")
    (top / "a" / "._00.png").write_bytes(b"left behind by a file manager")
    (top / ".hidden").mkdir()
    return top


def made(kind, folder, *arguments, **options):
    """Return the batches of a kind of set, of 50 images."""
    if kind == "memory":
        return DeviceBatches(in_memory(), *arguments, **options)
    if EVERYTHING in arguments:  # and for pictures in files there is more
        arguments = tuple(RANDAUGMENT if one is EVERYTHING else one for one in arguments)
    return FolderBatches(image_folder(folder, SIZE, workers=0), *arguments, **options)


KINDS = pytest.mark.parametrize("kind", ["memory", "files"])


def equal(batches, others):
    return len(batches) == len(others) and all(
        torch.equal(one, other)
        for batch, other_batch in zip(batches, others, strict=True)
        for one, other in zip(batch, other_batch, strict=True)
    )


# --- what follows from what ---


@KINDS
def test_a_batch_follows_from_seed_epoch_and_step(kind, folder):
    first, again = (made(kind, folder, 12, CPU, 7, EVERYTHING) for _ in range(2))
    epoch = list(first.epoch(3))
    assert len(epoch) == len(first) == 4
    list(again.epoch(0))  # what came before does not matter
    assert equal(epoch, list(again.epoch(3)))
    others = [
        list(first.epoch(2)),
        list(made(kind, folder, 12, CPU, 8, EVERYTHING).epoch(3)),
        epoch[1:] + epoch[:1],
    ]
    for other in others:
        for (x, _), (y, _) in zip(epoch, other, strict=True):
            assert (x != y).float().mean() > 0.7  # black and erased pixels are all alike


@KINDS
@pytest.mark.parametrize("start", [1, 3, 4])
def test_an_epoch_is_resumed_at_any_step(kind, folder, start):
    batches = made(kind, folder, 12, CPU, 7, EVERYTHING)
    assert equal(list(batches.epoch(1))[start:], list(batches.epoch(1, start)))


@KINDS
@pytest.mark.parametrize("world_size", [2, 3, 4, 12])  # 4: slices of 3 part two neighbours
def test_processes_share_the_batch_of_one_bit_for_bit(kind, folder, world_size):
    whole = list(made(kind, folder, 12, CPU, 7, EVERYTHING).epoch(1, 2))
    shares = [
        list(made(kind, folder, 12, CPU, 7, EVERYTHING, rank, world_size).epoch(1, 2))
        for rank in range(world_size)
    ]
    for step, batch in enumerate(whole):
        joined = [torch.cat([share[step][part] for share in shares]) for part in (0, 1)]
        assert equal([batch], [joined])
    assert all(len(share[0][0]) == 12 // world_size for share in shares)


def test_worker_processes_give_the_same_batches(folder):
    alone, helped = (
        FolderBatches(image_folder(folder, SIZE, workers=n), 12, CPU, 7, RANDAUGMENT)
        for n in (0, 2)
    )
    assert equal(list(alone.epoch(1)), list(helped.epoch(1)))


def test_an_odd_batch_is_mixed_too():
    batches = DeviceBatches(in_memory(), 7, CPU, 0, Augmentation(mixup=0.8))
    x, targets = next(batches.epoch(0))
    assert x.shape == (7, 3, *SIZE)
    assert torch.allclose(targets.sum(1), torch.ones(7))
    assert (targets[:6].max(1).values < 1).any()
    assert targets[6].max() == 1


# --- what is in them ---


@KINDS
def test_an_epoch_takes_each_image_once_and_drops_the_rest(kind, folder):
    batches = made(kind, folder, 12, CPU, 5)
    everything = torch.cat([x for x, _ in evaluation_batches(batches.images, 50, CPU)])
    numbers = []
    for x, targets in batches.epoch(0):
        assert x.dtype == targets.dtype == torch.float32
        same = (x[:, None] == everything[None]).flatten(2).all(2)
        assert (same.sum(1) == 1).all()
        batch_numbers = same.int().argmax(1)
        assert torch.equal(targets.argmax(1), batches.images.labels[batch_numbers])
        assert (targets.max(1).values == 1).all()
        assert (targets.sum(1) == 1).all()
        numbers += batch_numbers.tolist()
    assert len(numbers) == len(set(numbers)) == 48
    assert numbers != sorted(numbers)


def test_black_comes_in_where_an_image_is_moved():
    """Pixels of 255 only: what is black was outside."""
    pixels = torch.full((40, *SIZE, 1), 255, dtype=torch.uint8)
    images = LabelledImages(pixels, torch.zeros(40, dtype=torch.int64), ("a",), (0.25,), (0.5,))
    x, _ = next(DeviceBatches(images, 40, CPU, 0, Augmentation(crop_padding=3)).epoch(0))
    assert set(x.unique().tolist()) == {1.5, -0.5}
    outside = (x[:, 0] == -0.5).all(2)  # whole rows
    assert outside.sum(1).max() == 3
    assert not outside[:, 2:4].all(1).any()


def test_every_ingredient_reaches_the_images():
    images = in_memory(40)
    plain, _ = next(DeviceBatches(images, 40, CPU).epoch(0))
    for one in ({"flip": 1.0}, {"erasing": 1.0}, {"crop_padding": 1}, {"mixup": 1.0}):
        x, targets = next(DeviceBatches(images, 40, CPU, 0, Augmentation(**one)).epoch(0))
        if "flip" in one:
            assert torch.equal(x, plain.flip(-1))
        if "erasing" in one:
            assert ((x == 0).all(1).flatten(1).sum(1) > 0).all()
            assert torch.equal(x[x != 0], plain[x != 0])
        if "crop_padding" in one:
            assert 0.05 < (x == plain).float().mean() < 0.4
        if "mixup" in one:
            other = plain.view(20, 2, 3, *SIZE).flip(1).flatten(0, 1)
            share = (targets.max(1).values, targets.min(1).values)
            assert ((x - plain) * (x - other) <= 1e-6).all()  # between the two
            assert (share[0] < 1).sum() > 20


@KINDS
@pytest.mark.parametrize("world_size", [1, 3, 4])
def test_evaluation_takes_each_image_once_in_order(kind, folder, world_size):
    images = made(kind, folder, 12, CPU).images
    parts = [
        batch
        for rank in range(world_size)
        for batch in evaluation_batches(images, 13, CPU, rank, world_size)
    ]
    x, labels = (torch.cat(one) for one in zip(*parts, strict=True))
    assert max(len(one) for one, _ in parts) == 13 // world_size
    assert torch.equal(labels, images.labels)
    if kind == "memory":
        pixels = images.pixels.permute(0, 3, 1, 2)
    else:
        pixels = torch.stack([decoded_image(file, SIZE) for file in images.files])
    mean, std = (torch.tensor(one)[:, None, None] for one in (images.mean, images.std))
    assert torch.allclose(x, (pixels / 255 - mean) / std, atol=1e-5)
    assert abs(x.mean()) < 1e-5
    assert abs(x.std(correction=0) - 1) < 1e-5


def test_fewer_images_than_processes_are_still_taken_once():
    images = in_memory(3)
    taken = [
        label
        for rank in range(5)
        for _, labels in evaluation_batches(images, 10, CPU, rank, 5)
        for label in labels.tolist()
    ]
    assert taken == [0, 1, 2]


# --- folders ---


def test_a_folder_is_read_in_order(folder):
    images = image_folder(folder, SIZE, workers=0)
    assert images.classes == ("a", "b", "c", "d")
    names = [f"{number:02}" for first in (3, 2, 1, 0) for number in range(first, 50, 4)]
    assert [file.stem for file in images.files] == names
    assert torch.bincount(images.labels).tolist() == [12, 12, 13, 13]
    assert [images.classes[label] for label in images.labels] == [
        file.parent.name for file in images.files
    ]
    test = image_folder(folder, (4, 5), like=images)
    assert (test.mean, test.std) == (images.mean, images.std)
    assert test.workers >= 1


@pytest.mark.parametrize(
    ("crop", "box"),
    [
        (None, (4, 2, 60, 30)),  # the middle 7/8
        ([0.25, 2.0, 1.0, 0.5], (32, 8, 64, 24)),  # a quarter, 2:1, far right, half way down
        ([0.5, 1.0, 0.5, 0.0], (16, 0, 48, 32)),
    ],
)
def test_a_picture_is_cut_and_scaled(tmp_path, crop, box):
    """Red rises to the right and green downwards, so each pixel tells where it came from."""
    x, y = np.meshgrid(np.arange(64), np.arange(32))
    Image.fromarray(np.stack([3 * x, 7 * y, 0 * x], 2).astype(np.uint8)).save(tmp_path / "a.png")
    red, green, blue = decoded_image(tmp_path / "a.png", (8, 16), crop).float()
    left, top, right, bottom = box
    columns = left + (torch.arange(16) + 0.5) * (right - left) / 16 - 0.5
    rows = top + (torch.arange(8) + 0.5) * (bottom - top) / 8 - 0.5
    assert (blue == 0).all()
    # At the border of the whole picture the filter has nothing to reach out to.
    assert (red - 3 * columns)[:, 1:-1].abs().max() < 1.5
    assert (green - 7 * rows[:, None])[1:-1].abs().max() < 1.5


def test_crops_are_large_where_that_is_asked(folder):
    images = image_folder(folder, SIZE, workers=0)
    small, large = (
        [
            key[1][0]
            for batch in range(4)
            for key in one._keys(one._plan(torch.arange(50), 0, batch), 0, batch)
        ]
        for one in (
            FolderBatches(images, 12, CPU, 0, Augmentation()),
            FolderBatches(images, 12, CPU, 0, Augmentation(), smallest_area=0.9),
        )
    )
    assert min(small) < 0.2
    assert min(large) >= 0.9


def told(batches, epoch=1):
    """Return what the workers are told of all images of an epoch."""
    order = torch.arange(len(batches.images))
    steps = range(len(batches))
    return [
        key
        for step in steps
        for key in batches._keys(batches._plan(order, epoch, step), epoch, step)
    ]


def test_randaugment_changes_no_other_draw(folder):
    images = image_folder(folder, SIZE, workers=0)
    off, on = (FolderBatches(images, 12, CPU, 7, one) for one in (EVERYTHING, RANDAUGMENT))
    assert [key[:2] for key in told(off)] == [key[:2] for key in told(on)]
    assert {key.operations for key in told(off)} == {()}
    assert len({key.operations for key in told(on)}) > 25
    other_seed = FolderBatches(images, 12, CPU, 8, RANDAUGMENT)
    operations = [
        [key.operations for key in one]
        for one in (told(on)[:12], told(on)[12:24], told(on, epoch=2)[:12], told(other_seed)[:12])
    ]
    assert all(one != other for one, other in itertools.combinations(operations, 2))
    order = torch.arange(50)
    for step in range(4):
        one, other = (vars(batches._plan(order, 1, step).draws) for batches in (off, on))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_randaugment_does_what_was_drawn_and_fills_with_the_mean_colour(folder):
    """Batches without their other ingredients are the pictures of the keys, one by one."""
    images = image_folder(folder, SIZE, workers=0)
    batches = FolderBatches(images, 10, CPU, 7, Augmentation(randaugment=9.0))
    order = torch.from_numpy(generator("order", 7, 3).permutation(50))
    fill = tuple(round(255 * one) for one in images.mean)
    mean, std = (torch.tensor(one)[:, None, None] for one in (images.mean, images.std))
    changed = 0
    for step, (x, _) in enumerate(batches.epoch(3)):
        keys = batches._keys(batches._plan(order, 3, step), 3, step)
        assert [key.number for key in keys] == order[10 * step : 10 * step + 10].tolist()
        for key, pixels in zip(keys, x, strict=True):
            plain = decoded_image(images.files[key.number], SIZE, key.crop)
            image = Image.fromarray(plain.permute(1, 2, 0).numpy())
            wanted = np.asarray(randaugmented(image, key.operations, fill)).transpose(2, 0, 1)
            wanted = (torch.from_numpy(wanted / 255) - mean) / std
            assert torch.allclose(pixels, wanted.float(), atol=1e-5)
            changed += bool(key.operations)
    assert 25 < changed < 48  # three quarters, about


def test_a_set_in_memory_cannot_have_randaugment():
    message = r"^randaugment 9\.0 is for pictures in files.*set it to 0, or train on a folder"
    with pytest.raises(ValueError, match=message):
        DeviceBatches(in_memory(), 12, CPU, 7, RANDAUGMENT)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_unreadable_image_is_named(tmp_path, workers, content):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(numbered(1, 30, 40, 3)[0]).save(tmp_path / name / "1.png")
    images = image_folder(tmp_path, SIZE, workers=workers)
    file = tmp_path / "b" / "1.png"
    file.write_bytes(file.read_bytes()[:500] if content is None else content)
    message = f"^{file} cannot be read as an image .*: repair or remove it$"
    for batches in (FolderBatches(images, 2, CPU).epoch(0), evaluation_batches(images, 2, CPU)):
        with pytest.raises(ValueError, match=message):
            list(batches)
    with pytest.raises(ValueError, match=message):
        image_folder(tmp_path, SIZE, workers=workers)


def test_a_folder_that_is_none_is_refused(tmp_path, folder):
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


# --- bad numbers ---


@pytest.mark.usefixtures("unchecked")
def test_bad_numbers_are_named():
    images = in_memory()
    bad = {
        "batch_size 51 is larger than the set: it has 50 images": (51, CPU),
        "batch_size 10 does not divide by the 4 processes: take 8": (10, CPU, 0, None, 0, 4),
        "batch_size 2 is too small for 3 processes": (2, CPU, 0, None, 0, 3),
        "batch_size 0 is too small for 1 processes": (0, CPU),
        "rank 2 is not one of 2 processes": (10, CPU, 0, None, 2, 2),
        "rank -1 is not one of 2 processes": (10, CPU, 0, None, -1, 2),
        "seed must be at least 0, got -1": (10, CPU, -1),
    }
    for message, arguments in bad.items():
        with pytest.raises(ValueError, match=message):
            DeviceBatches(images, *arguments)
    for start in (-1, 6):
        with pytest.raises(ValueError, match=f"start is a step from 0 to 5, got {start}"):
            DeviceBatches(images, 10, CPU).epoch(0, start)
    with pytest.raises(ValueError, match="rank 1 is not one of 1 processes"):
        evaluation_batches(images, 10, CPU, 1, 1)


@pytest.mark.usefixtures("unchecked")
def test_a_bad_crop_is_named(folder):
    images = image_folder(folder, SIZE, workers=0)
    for area in (0, 1.5):
        with pytest.raises(ValueError, match=f"smallest_area .* got {area}"):
            FolderBatches(images, 2, CPU, smallest_area=area)
    with pytest.raises(ValueError, match="size must be at least 1"):
        image_folder(folder, 0)
