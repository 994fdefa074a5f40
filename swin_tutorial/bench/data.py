"""What feeds the training: images per second from memory and from files."""

import functools
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from swin_tutorial.bench.timing import machine, paired_medians, record
from swin_tutorial.data.augmentation import Augmentation, generator
from swin_tutorial.data.batches import DeviceBatches, FolderBatches
from swin_tutorial.data.folders import ImageFolder, image_folder
from swin_tutorial.data.image_sets import load_images
from swin_tutorial.data.paths import data_folder
from swin_tutorial.data.photographs import PHOTOGRAPHS, photograph

DECODING = "files, decoded and scaled"


def run(json_file: Path | None = None, *, repeats: int = 5, pictures: int = 128) -> dict:
    """Time what feeds the training: batches of a set in memory, and of pictures in files.

    In memory: the bundled set on the device that there is, with nothing and with everything changed
    at random.  In files: JPEG pictures of 375 x 500 pixels, about the size of ImageNet's, beside
    what decoding and scaling alone take in this one process.  Prints a table of images per second
    and returns it, with the rates of recorded trainings.

    Args:
        json_file: Write the results to this file too.
        repeats: How many times each contender is timed.
        pictures: How many files; a multiple of 32, the batch, so that none is dropped.
    """
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    everything = Augmentation(
        crop_padding=2, flip_prob=0.5, random_erasing=0.25, mixup=0.8, cutmix=1.0
    )
    cropped_too = replace(everything, crop_scale=(0.08, 1.0))
    images = load_images("fashion-mnist-subset", "train")
    in_memory = {
        "in memory, unchanged": DeviceBatches(images, 256, device),
        "in memory, everything": DeviceBatches(images, 256, device, augmentation=everything),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_pictures(folder, pictures)
        alone = image_folder(folder, 224, workers=0)
        helped = image_folder(folder, 224, like=alone)
        in_files = {
            "files, this process": FolderBatches(alone, 32, device, augmentation=cropped_too),
            f"files, {helped.workers} workers": FolderBatches(
                helped, 32, device, augmentation=cropped_too
            ),
        }
        batches = in_memory | in_files
        contenders = {name: functools.partial(_take_epoch, b) for name, b in batches.items()}
        contenders[DECODING] = functools.partial(_decode, alone)
        seconds = paired_medians(contenders, repeats)
        helped.close()
    counts = {name: len(b) * b.batch_size for name, b in batches.items()} | {DECODING: pictures}
    rates = {name: round(counts[name] / time) for name, time in seconds.items()}
    result = {
        "what": "images per second, batches of 256 from memory and of 32 from files",
        "repeats": repeats,
        "images_per_second": rates,
        "of_the_speed_of_decoding_and_scaling": {
            name: round(rates[name] / rates[DECODING], 2) for name in in_files
        },
        "recorded_trainings": _recorded_rates(),
        **machine(device),
    }
    print(result["what"])
    for name, rate in (rates | result["recorded_trainings"]).items():
        print(f"  {name:28} {rate:9,.0f}")
    record(result, json_file)
    return result


def _take_epoch(batches: DeviceBatches | FolderBatches) -> None:
    """Take an epoch's batches, and wait until the device has made them."""
    for images, _ in batches.epoch(0):
        last = images
    last.sum().item()


def _decode(images: ImageFolder) -> None:
    """Decode each file and scale it to the wanted size: what every reader of files must do."""
    for file in images.files:
        with Image.open(file) as image:
            image.convert("RGB").resize(images.size[::-1], Image.Resampling.BICUBIC)


def _write_pictures(folder: Path, count: int) -> None:
    """Write pieces of the photographs as JPEG files, half of them in each of two classes."""
    whole = {name: photograph(name, 600, 800) for name in PHOTOGRAPHS}
    rng = generator("pictures", 0)
    for number in range(count):
        image = whole[sorted(whole)[number % len(whole)]]
        top, left = rng.integers(0, 225), rng.integers(0, 300)
        piece = (image[top : top + 375, left : left + 500] * 255).byte().numpy()
        file = folder / str(number % 2) / f"{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(piece).save(file, quality=90)


def _recorded_rates() -> dict[str, float]:
    """Return the images per second of the recorded trainings, by file name."""
    recorded = {
        file.stem: json.loads(file.read_text()).get("images_per_second")
        for file in sorted((data_folder() / "results").glob("*.json"))
    }
    return {name: rate for name, rate in recorded.items() if isinstance(rate, int | float)}
