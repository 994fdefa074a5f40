"""The images of a run: a set that has a name, or a folder with a folder for each class."""

import dataclasses
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor

from swin_tutorial.data.augmentation import generator
from swin_tutorial.data.folders import ImageFolder, image_folder
from swin_tutorial.data.image_sets import IMAGE_SETS, load_images
from swin_tutorial.data.labelled import LabelledImages
from swin_tutorial.training.config import TrainingConfig

Images = LabelledImages | ImageFolder


def load_data(config: TrainingConfig, data_folder: Path | None = None) -> tuple[Images, Images]:
    """Return the training and the test images of a run: a known set, or those of a folder.

    A folder has the folders ``train`` and ``val``, each with one for each class, as ImageNet has.

    Args:
        config: names the set or the folder in ``data``; with ``holdout``, that many training
            images take the place of the test images.
        data_folder: where to look first; a relative ``config.data`` starts here.

    Raises FileNotFoundError or ValueError, naming the file, if something is missing or damaged.
    Raises ValueError if ``holdout`` leaves no training image, or ``image_padding`` is asked for a
    folder.
    """
    train, test = _load(config, data_folder)
    if config.image_padding:
        train, test = (pad_images(images, config.image_padding) for images in (train, test))
    return hold_out(train, config.holdout) if config.holdout else (train, test)


def _load(config: TrainingConfig, data_folder: Path | None) -> tuple[Images, Images]:
    if config.data in IMAGE_SETS:
        train, test = (load_images(config.data, split, data_folder) for split in ("train", "test"))
        return train, test
    folder = (data_folder or Path()) / config.data
    if not folder.is_dir():
        raise FileNotFoundError(
            f"--data {config.data} is none of {', '.join(IMAGE_SETS)}, and there is no folder "
            f"{folder}"
        )
    for split in ("train", "val"):
        if not (folder / split).is_dir():
            raise FileNotFoundError(
                f"there is no folder {folder / split}: --data {config.data} must have the folders "
                "train and val, and each of them a folder for each class"
            )
    train = image_folder(folder / "train", config.image_size)
    return train, image_folder(folder / "val", config.image_size, like=train)


def hold_out(images: Images, count: int) -> tuple[Images, Images]:
    """Split a set in two: the images to train on, and ``count`` others to choose settings by.

    Every run holds out the same images, whatever its seed, so that settings can be compared.

    Raises ValueError if no image would be left to train on.
    """
    if count >= len(images):
        raise ValueError(f"holdout {count} leaves no image to train on: there are {len(images)}")
    order = torch.from_numpy(generator("holdout", 0).permutation(len(images)))
    return select(images, order[count:].sort().values), select(images, order[:count].sort().values)


def select(images: Images, numbers: Int64[Tensor, "k"]) -> Images:
    """Return some images of a set, by their numbers, normalized as before."""
    labels = images.labels[numbers]
    if isinstance(images, ImageFolder):
        files = tuple(images.files[number] for number in numbers)
        return dataclasses.replace(images, files=files, labels=labels)
    return dataclasses.replace(images, pixels=images.pixels[numbers], labels=labels)


def pad_images(images: Images, padding: int) -> LabelledImages:
    """Add black pixels on each side of every image; they are normalized as before.

    Raises ValueError for images in files, which are scaled to any size as it is.
    """
    if isinstance(images, ImageFolder):
        raise ValueError(f"image_padding {padding} is for named sets: give a folder an image_size")
    pixels = F.pad(images.pixels, (0, 0, padding, padding, padding, padding))
    return dataclasses.replace(images, pixels=pixels)
