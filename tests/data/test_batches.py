"""Training batches follow from seed, epoch and step; evaluation takes each image once."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from data_files import random_bytes
from PIL import Image

from swin_tutorial.data.augmentation import Augmentation, draw, draw_crops, generator
from swin_tutorial.data.batches import DeviceBatches, FolderBatches, evaluation_batches
from swin_tutorial.data.decoding import decode_image
from swin_tutorial.data.folders import image_folder
from swin_tutorial.data.labelled import LabelledImages
from swin_tutorial.data.randaugment import apply_operations, draw_operations

CPU = torch.device("cpu")
EVERYTHING = Augmentation(crop_padding=2, flip_prob=0.5, random_erasing=0.4, mixup=0.8, cutmix=1.0)
SCALE = (0.08, 1.0)
IN_FILES = dataclasses.replace(EVERYTHING, randaugment=9.0, crop_scale=SCALE)
SIZE = (6, 10)


def images_in_memory(count=50, channels=3):
    pixels = torch.from_numpy(random_bytes(count, *SIZE, channels))
    return LabelledImages(pixels, torch.arange(count) % 4, ("a", "b", "c", "d"))


def make_batches(kind, folder, *arguments):
    """Return batches of 50 images from memory or from files."""
    if kind == "memory":
        return DeviceBatches(images_in_memory(), *arguments)
    # Images in files can have RandAugment and random crops too.
    arguments = tuple(IN_FILES if value is EVERYTHING else value for value in arguments)
    return FolderBatches(image_folder(folder, SIZE, workers=0), *arguments)


KINDS = pytest.mark.parametrize("kind", ["memory", "files"])


def equal(batches, others):
    return len(batches) == len(others) and all(
        torch.equal(tensor, other_tensor)
        for batch, other_batch in zip(batches, others, strict=True)
        for tensor, other_tensor in zip(batch, other_batch, strict=True)
    )


# --- what a batch follows from ---


@KINDS
def test_a_batch_follows_from_seed_epoch_and_step(kind, folder):
    first, again = (make_batches(kind, folder, 12, CPU, 7, EVERYTHING) for _ in range(2))
    epoch = list(first.epoch(3))
    assert len(epoch) == len(first) == 4
    list(again.epoch(0))  # what came before does not matter
    torch.manual_seed(1)  # nor does the state of the global generator
    assert equal(epoch, list(again.epoch(3)))
    others = [
        list(first.epoch(2)),
        list(make_batches(kind, folder, 12, CPU, 8, EVERYTHING).epoch(3)),
        epoch[1:] + epoch[:1],
    ]
    for other in others:
        for (x, _), (y, _) in zip(epoch, other, strict=True):
            assert (x != y).float().mean() > 0.7  # all black and all erased pixels are alike


@KINDS
@pytest.mark.parametrize("start", [1, 3, 4])
def test_an_epoch_resumes_at_any_step(kind, folder, start):
    batches = make_batches(kind, folder, 12, CPU, 7, EVERYTHING)
    assert equal(list(batches.epoch(1))[start:], list(batches.epoch(1, start)))


@KINDS
@pytest.mark.parametrize("world_size", [2, 3, 4, 12])  # 4: slices of 3 separate two partners
def test_processes_share_the_batch_of_one_bit_for_bit(kind, folder, world_size):
    whole = list(make_batches(kind, folder, 12, CPU, 7, EVERYTHING).epoch(1, 2))
    shares = [
        list(make_batches(kind, folder, 12, CPU, 7, EVERYTHING, rank, world_size).epoch(1, 2))
        for rank in range(world_size)
    ]
    for step, batch in enumerate(whole):
        joined = [torch.cat([share[step][part] for share in shares]) for part in (0, 1)]
        assert equal([batch], [joined])
    assert all(len(share[0][0]) == 12 // world_size for share in shares)


def test_worker_processes_give_the_same_batches_in_every_epoch(folder):
    alone, helped = (
        FolderBatches(image_folder(folder, SIZE, workers=workers), 12, CPU, 7, IN_FILES)
        for workers in (0, 2)
    )
    for epoch in (1, 2):
        assert equal(list(alone.epoch(epoch)), list(helped.epoch(epoch)))
    # An epoch left halfway, and epochs that overlap, do not disturb the next.
    next(helped.epoch(0))
    pairs = list(zip(helped.epoch(3), helped.epoch(4), strict=True))
    for number, epoch in enumerate((3, 4)):
        assert equal(list(alone.epoch(epoch)), [pair[number] for pair in pairs])


def test_batches_leave_the_global_generator_alone(folder):
    helped = FolderBatches(image_folder(folder, SIZE, workers=1), 12, CPU, 7, IN_FILES)
    state = torch.get_rng_state()
    list(helped.epoch(0))
    list(evaluation_batches(helped.images, 25, CPU))
    list(DeviceBatches(images_in_memory(), 12, CPU, 7, EVERYTHING).epoch(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_an_odd_batch_is_mixed_too():
    batches = DeviceBatches(images_in_memory(), 7, CPU, 0, Augmentation(mixup=0.8))
    x, targets = next(batches.epoch(0))
    assert x.shape == (7, 3, *SIZE)
    assert torch.allclose(targets.sum(1), torch.ones(7))
    assert (targets[:6].max(1).values < 1).any()
    assert targets[6].max() == 1


def test_batches_draw_from_the_streams_of_recorded_runs(folder):
    images = images_in_memory()
    batches = DeviceBatches(images, 12, CPU, 5)
    order = torch.from_numpy(generator("order", 5, 1).permutation(50))
    _, targets = next(batches.epoch(1))
    assert torch.equal(targets.argmax(1), images.labels[order[:12]])
    batches = DeviceBatches(images, 12, CPU, 5, EVERYTHING)
    draws = batches._plan(order, 1, 2).draws
    again = draw(EVERYTHING, 12, *SIZE, generator("augmentation", 5, 1, 2))
    assert all(torch.equal(getattr(draws, name), value) for name, value in vars(again).items())
    in_files = FolderBatches(image_folder(folder, SIZE, workers=0), 12, CPU, 5, IN_FILES)
    requests = in_files._requests(in_files._plan(order, 1, 2), 1, 2)
    crops = draw_crops(12, SCALE, generator("crop", 5, 1, 2)).tolist()
    operations = draw_operations(12, 9.0, generator("randaugment", 5, 1, 2))
    assert [request.crop for request in requests] == crops
    assert [request.operations for request in requests] == operations


# --- what is in a batch ---


@KINDS
def test_an_epoch_takes_each_image_once_and_drops_the_rest(kind, folder):
    batches = make_batches(kind, folder, 12, CPU, 5)
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
    """All pixels are 255, so black ones were outside."""
    pixels = torch.full((40, *SIZE, 1), 255, dtype=torch.uint8)
    images = LabelledImages(pixels, torch.zeros(40, dtype=torch.int64), ("a",), (0.25,), (0.5,))
    x, _ = next(DeviceBatches(images, 40, CPU, 0, Augmentation(crop_padding=3)).epoch(0))
    assert set(x.unique().tolist()) == {1.5, -0.5}
    is_outside = (x[:, 0] == -0.5).all(2)  # whole rows
    assert is_outside.sum(1).max() == 3
    assert not is_outside[:, 2:4].all(1).any()


@pytest.fixture(scope="module")
def plain_and_augmented():
    """Return a function from an augmentation to a batch without it and with it."""
    images = images_in_memory(40)
    plain, _ = next(DeviceBatches(images, 40, CPU).epoch(0))

    def both(**ingredient):
        augmentation = Augmentation(**ingredient)
        return plain, *next(DeviceBatches(images, 40, CPU, 0, augmentation).epoch(0))

    return both


def test_flips_reach_the_images(plain_and_augmented):
    plain, x, _ = plain_and_augmented(flip_prob=1.0)
    assert torch.equal(x, plain.flip(-1))


def test_erasing_reaches_the_images(plain_and_augmented):
    plain, x, _ = plain_and_augmented(random_erasing=1.0)
    assert ((x == 0).all(1).flatten(1).sum(1) > 0).all()
    assert torch.equal(x[x != 0], plain[x != 0])


def test_crops_reach_the_images(plain_and_augmented):
    plain, x, _ = plain_and_augmented(crop_padding=1)
    assert 0.05 < (x == plain).float().mean() < 0.4


def test_mixup_reaches_images_and_targets(plain_and_augmented):
    plain, x, targets = plain_and_augmented(mixup=1.0)
    partner = plain.view(20, 2, 3, *SIZE).flip(1).flatten(0, 1)
    assert ((x - plain) * (x - partner) <= 1e-6).all()  # between the two
    assert (targets.max(1).values < 1).sum() > 20


@KINDS
def test_mixing_ends_where_it_is_told_to_and_nothing_else_changes(kind, folder):
    mixed = Augmentation(crop_padding=1, flip_prob=0.5, mixup=0.8, cutmix=1.0)
    ending = dataclasses.replace(mixed, mix_until=2)
    unmixed = dataclasses.replace(mixed, mix_prob=0.0)
    make = [make_batches(kind, folder, 6, "cpu", 3, one) for one in (ending, mixed, unmixed)]
    for epoch in range(4):
        epochs = [list(batches.epoch(epoch)) for batches in make]
        assert equal(epochs[0], epochs[1]) == (epoch < 2)
        assert equal(epochs[0], epochs[2]) == (epoch >= 2)


@KINDS
@pytest.mark.parametrize("world_size", [1, 3, 4])
def test_evaluation_takes_each_image_once_in_order(kind, folder, world_size):
    images = make_batches(kind, folder, 12, CPU).images
    batches = [
        batch
        for rank in range(world_size)
        for batch in evaluation_batches(images, 13, CPU, rank, world_size)
    ]
    assert max(len(x) for x, _ in batches) == 13 // world_size
    x, labels = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    assert torch.equal(labels, images.labels)
    if kind == "memory":
        pixels = images.pixels.permute(0, 3, 1, 2)
    else:
        pixels = torch.stack([decode_image(file, SIZE) for file in images.files])
    mean, std = (torch.tensor(value)[:, None, None] for value in (images.mean, images.std))
    assert torch.allclose(x, (pixels / 255 - mean) / std, atol=1e-5)
    assert abs(x.mean()) < 1e-5
    assert abs(x.std(correction=0) - 1) < 1e-5


def test_fewer_images_than_processes_are_still_taken_once():
    images = images_in_memory(3)
    labels = [
        label
        for rank in range(5)
        for _, batch_labels in evaluation_batches(images, 10, CPU, rank, 5)
        for label in batch_labels.tolist()
    ]
    assert labels == [0, 1, 2]


# --- RandAugment and crops, for images in files ---


def requests_of(batches, epoch=1):
    """Return what the workers are asked for in an epoch, without its random order."""
    order = torch.arange(len(batches.images))
    return [
        request
        for step in range(len(batches))
        for request in batches._requests(batches._plan(order, epoch, step), epoch, step)
    ]


def test_crops_have_the_areas_of_the_official_recipe(folder):
    images = image_folder(folder, SIZE, workers=0)
    batches = FolderBatches(images, 12, CPU, 0, Augmentation(crop_scale=SCALE))
    areas = [request.crop[0] for epoch in range(5) for request in requests_of(batches, epoch)]
    assert 0.08 <= min(areas) < 0.1
    assert 0.97 < max(areas) <= 1


@KINDS
def test_the_default_augmentation_changes_nothing(kind, folder):
    plain, default = (
        make_batches(kind, folder, 12, CPU, 7, value) for value in (None, Augmentation())
    )
    assert equal(list(plain.epoch(1)), list(default.epoch(1)))


def test_other_ingredients_do_not_bring_a_crop(folder):
    images = image_folder(folder, SIZE, workers=0)
    augmentation = dataclasses.replace(IN_FILES, crop_scale=None)
    for value in (None, augmentation):
        batches = FolderBatches(images, 12, CPU, 7, value)
        assert {request.crop for request in requests_of(batches)} == {None}
    cropped = requests_of(FolderBatches(images, 12, CPU, 7, IN_FILES))
    assert [request.operations for request in cropped] == [
        request.operations for request in requests_of(batches)
    ]


def test_randaugment_changes_no_other_draw(folder):
    images = image_folder(folder, SIZE, workers=0)
    without = dataclasses.replace(IN_FILES, randaugment=0.0)
    off, on = (FolderBatches(images, 12, CPU, 7, value) for value in (without, IN_FILES))
    requests_off, requests_on = requests_of(off), requests_of(on)
    assert [request[:2] for request in requests_off] == [request[:2] for request in requests_on]
    assert {request.operations for request in requests_off} == {()}
    assert len({request.operations for request in requests_on}) > 25
    order = torch.arange(50)
    for step in range(4):
        draws_off, draws_on = (vars(batches._plan(order, 1, step).draws) for batches in (off, on))
        assert all(torch.equal(draws_off[name], draws_on[name]) for name in draws_off)


def test_crops_and_operations_follow_from_seed_epoch_and_step(folder):
    images = image_folder(folder, SIZE, workers=0)
    batches = FolderBatches(images, 12, CPU, 7, IN_FILES)
    other_seed = FolderBatches(images, 12, CPU, 8, IN_FILES)
    first = requests_of(batches)
    steps = [first[:12], first[12:24], requests_of(batches, 2)[:12], requests_of(other_seed)[:12]]
    for name in ("crop", "operations"):
        drawn = [[getattr(request, name) for request in step] for step in steps]
        assert all(left != right for left, right in itertools.combinations(drawn, 2))
    assert requests_of(batches) == first


def test_randaugment_does_what_was_drawn_and_fills_with_the_mean_color(folder):
    """Without other ingredients, a batch holds the images of the requests in turn."""
    images = image_folder(folder, SIZE, workers=0)
    batches = FolderBatches(images, 10, CPU, 7, Augmentation(randaugment=9.0, crop_scale=SCALE))
    order = torch.from_numpy(generator("order", 7, 3).permutation(50))
    fill = tuple(round(255 * value) for value in images.mean)
    mean, std = (torch.tensor(value)[:, None, None] for value in (images.mean, images.std))
    changed = 0
    for step, (x, _) in enumerate(batches.epoch(3)):
        requests = batches._requests(batches._plan(order, 3, step), 3, step)
        numbers = [request.number for request in requests]
        assert numbers == order[10 * step : 10 * step + 10].tolist()
        for request, pixels in zip(requests, x, strict=True):
            plain = decode_image(images.files[request.number], SIZE, request.crop)
            image = Image.fromarray(plain.permute(1, 2, 0).numpy())
            expected = np.asarray(apply_operations(image, request.operations, fill))
            expected = (torch.from_numpy(expected.transpose(2, 0, 1) / 255) - mean) / std
            assert torch.allclose(pixels, expected.float(), atol=1e-5)
            changed += bool(request.operations)
    assert 25 < changed < 48  # about three quarters


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        (
            Augmentation(randaugment=9.0),
            r"^randaugment 9\.0 is for .*set it to 0\.0, or train on a",
        ),
        (Augmentation(crop_scale=SCALE), r"^crop_scale \(0\.08, 1\.0\) is .*set it to None, or"),
    ],
)
def test_a_set_in_memory_cannot_have_what_changes_files(augmentation, message):
    with pytest.raises(ValueError, match=message):
        DeviceBatches(images_in_memory(), 12, CPU, 7, augmentation)


# --- invalid numbers ---


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("batch_size 51 is larger than the set: it has 50 images", (51, CPU)),
        ("batch_size 10 does not divide by the 4 processes: take 8", (10, CPU, 0, None, 0, 4)),
        ("batch_size 2 is too small for 3 processes", (2, CPU, 0, None, 0, 3)),
        ("batch_size must be at least 1, got 0", (0, CPU)),
        (
            "crop_padding 6 is too large for images of 6 x 10 pixels: take 5 at most",
            (10, CPU, 0, Augmentation(crop_padding=6)),
        ),
        ("rank 2 is not one of 2 processes", (10, CPU, 0, None, 2, 2)),
        ("rank -1 is not one of 2 processes", (10, CPU, 0, None, -1, 2)),
    ],
)
def test_an_invalid_number_is_named(message, arguments):
    with pytest.raises(ValueError, match=message):
        DeviceBatches(images_in_memory(), *arguments)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("size", [2.5, True, "7", None])
def test_a_batch_size_is_a_whole_number(size):
    for take in (DeviceBatches, evaluation_batches):
        with pytest.raises(TypeError, match=f"batch_size must be a whole number, got {size!r}"):
            take(images_in_memory(), size, CPU)


def test_a_step_that_the_epoch_does_not_have_is_named():
    batches = DeviceBatches(images_in_memory(), 10, CPU)
    for start in (-1, 6):
        with pytest.raises(ValueError, match=f"start is a step from 0 to 5, got {start}"):
            batches.epoch(0, start)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        DeviceBatches(images_in_memory(), 10, CPU, -1).epoch(0)


def test_evaluation_names_an_invalid_rank_before_the_first_batch():
    with pytest.raises(ValueError, match="rank 1 is not one of 1 processes"):
        evaluation_batches(images_in_memory(), 10, CPU, 1, 1)
