"""Images in files, one folder per class, decoded by worker processes (``workers``)."""

import hashlib
import json
import os
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from swin_tutorial.axis import check_size
from swin_tutorial.data.decoding import IMAGE_SUFFIXES
from swin_tutorial.data.labelled import channel_statistics, check_labels
from swin_tutorial.data.workers import Request, end_idle_workers, end_workers, new_loader

STATISTICS_SAMPLE = 512  # files from which a folder's mean and standard deviation are computed


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """A set of images that is too large for memory; it is read from its files as needed.

    Args:
        files: the file of each image.
        labels: the class of each image, an index into ``classes``.
        classes: the name of each class.
        size: height and width to which images are cropped and scaled, in pixels.
        mean, std: of each channel, on a scale from 0 to 1; they normalize the images.
        workers: how many processes decode the files; 0 for none beside this one.

    Raises ValueError for labels that do not fit the files or the classes.
    """

    files: tuple[Path, ...]
    labels: Int64[Tensor, "n"]
    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    workers: int
    # A loader whose workers wait for the next epoch, by whether it pins memory.
    _idle: dict[bool, DataLoader] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        check_labels(self.labels, len(self.files), self.classes)
        weakref.finalize(self, end_idle_workers, self._idle)

    def __len__(self) -> int:
        return len(self.files)

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of the classes, the labels and the names of the files.

        No file is opened, so that it takes seconds for a million images.  An image that changed
        under its old name goes unnoticed.
        """
        names = [file.name for file in self.files]
        content = json.dumps([self.classes, self.labels.tolist(), names])
        return hashlib.sha256(content.encode()).hexdigest()

    def decode(
        self, requests: Iterable[list[Request]], device: torch.device
    ) -> Iterator[UInt8[Tensor, "b 3 h w"]]:
        """Yield the pixels of each list of requests, in order, on the device.

        The workers wait for the next call once all requests were served.  An iteration that is
        abandoned ends its workers; iterations that overlap have workers of their own.

        Raises ValueError, naming the file, for a file that cannot be decoded.
        """
        pin_memory = device.type == "cuda"
        loader = self._idle.pop(pin_memory, None)
        if loader is None:
            fill = tuple(round(255 * value) for value in self.mean)
            loader = new_loader(self.files, self.size, fill, self.workers, pin_memory)
        loader.batch_sampler.requests = requests
        try:
            for pixels in loader:
                if isinstance(pixels, ValueError):
                    raise pixels
                yield pixels.to(device, non_blocking=True)
        except BaseException:  # GeneratorExit too: the iteration was abandoned
            end_workers(loader)
            raise
        if pin_memory in self._idle:  # two iterations overlapped: keep the workers of one
            end_workers(loader)
        else:
            self._idle[pin_memory] = loader

    def close(self) -> None:
        """End the workers that wait; they also end with this object, and with the process."""
        end_idle_workers(self._idle)


def image_folder(
    folder: Path,
    size: int | tuple[int, int],
    like: ImageFolder | None = None,
    workers: int | None = None,
) -> ImageFolder:
    """Return the images of a folder that has one folder per class, like ImageNet.

    Args:
        folder: the folder with the class folders.
        size: height and width in pixels, or one number for both.
        like: the training images, if this is the test folder: it gets their mean and standard
            deviation.  Otherwise these are computed from 512 files, evenly spaced.
        workers: processes that decode; by default one for each core that this process may use.

    Raises FileNotFoundError if there is no such folder.  Raises ValueError if there are no classes,
    if a class has no images, if the classes are not those of ``like``, or if a file of the sample
    cannot be decoded.
    """
    folder = Path(folder)
    height, width = _height_and_width(size)
    workers = _available_cores() if workers is None else workers
    check_size("workers", workers, at_least=0)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: name the one that has the classes")
    classes = tuple(
        sorted(path.name for path in folder.iterdir() if path.is_dir() and not _is_hidden(path))
    )
    if not classes:
        raise ValueError(f"{folder} has no folders: it must have one for each class")
    if like and classes != like.classes:
        unshared = sorted(set(classes) ^ set(like.classes))
        raise ValueError(
            f"{folder} and the training images do not share the classes {unshared}: "
            "each class needs a folder in both"
        )
    files_of_class = [_image_files(folder / name) for name in classes]
    images = ImageFolder(
        files=tuple(file for files in files_of_class for file in files),
        labels=torch.repeat_interleave(torch.tensor([len(files) for files in files_of_class])),
        classes=classes,
        size=(height, width),
        mean=like.mean if like else (0.0, 0.0, 0.0),
        std=like.std if like else (1.0, 1.0, 1.0),
        workers=workers,
    )
    if like:
        return images
    mean, std = _sample_statistics(images)
    return replace(images, mean=mean, std=std)


# --- what is in a folder ---


def _height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return both sides of the images; TypeError or ValueError for what are no sizes."""
    if isinstance(size, list | tuple):
        if len(size) != 2:
            raise ValueError(f"size must be one number or (height, width), got {size!r}")
        height, width = size
    else:
        height = width = size
    check_size("image height", height)
    check_size("image width", width)
    return height, width


def _image_files(folder: Path) -> list[Path]:
    """Return the image files in a class folder, sorted; ValueError if there are none."""
    with os.scandir(folder) as entries:
        images = [
            entry
            for entry in entries
            if Path(entry.name).suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(entry)
        ]
        # The folder mostly says what is a regular file: only links need a look at each.
        irregular = [
            entry.path
            for entry in images
            if not entry.is_file(follow_symlinks=False) and not os.path.isfile(entry)
        ]
    if irregular:
        raise ValueError(f"{min(irregular)} is not a regular file: remove it")
    if not images:
        raise ValueError(
            f"the class folder {folder} has no image ({', '.join(sorted(IMAGE_SUFFIXES))}): "
            "fill it or remove it"
        )
    return [folder / name for name in sorted(entry.name for entry in images)]


def _is_hidden(path: Path | os.DirEntry) -> bool:
    return path.name.startswith(".")


def _sample_statistics(images: ImageFolder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, from files that are evenly spaced."""
    spacing = -(-len(images) // STATISTICS_SAMPLE)
    sample = [Request(number) for number in range(0, len(images), spacing)]
    requests = [sample[start : start + 32] for start in range(0, len(sample), 32)]
    pixels = torch.cat(list(images.decode(requests, torch.device("cpu"))))
    return channel_statistics(rearrange(pixels, "n c h w -> n h w c"))


def _available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
