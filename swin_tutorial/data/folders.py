"""Images in files, one folder per class, decoded by worker processes that outlive an epoch."""

import atexit
import os
import signal
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64, UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from swin_tutorial.axis import check_size
from swin_tutorial.data.augmentation import crop_box
from swin_tutorial.data.labelled import channel_statistics
from swin_tutorial.data.randaugment import Color, Operation, apply_operations

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
STATISTICS_SAMPLE = 512  # files from which a folder's mean and standard deviation are computed


class Request(NamedTuple):
    """What a worker is asked for: an image, by its number in the set, and what to do with it.

    crop: a row of ``augmentation.draw_crops``, or None for the center; operations: those of
    RandAugment.
    """

    number: int
    crop: list[float] | None = None
    operations: tuple[Operation, ...] = ()


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
        weakref.finalize(self, _end_idle_workers, self._idle)

    def __len__(self) -> int:
        return len(self.files)

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
            loader = self._new_loader(pin_memory)
        loader.batch_sampler.requests = requests
        try:
            for pixels in loader:
                if isinstance(pixels, ValueError):
                    raise pixels
                yield pixels.to(device, non_blocking=True)
        except BaseException:  # GeneratorExit too: the iteration was abandoned
            _end_workers(loader)
            raise
        if pin_memory in self._idle:  # two iterations overlapped: keep the workers of one
            _end_workers(loader)
        else:
            self._idle[pin_memory] = loader

    def close(self) -> None:
        """End the workers that wait; they also end with this object, and with the process."""
        _end_idle_workers(self._idle)

    def _new_loader(self, pin_memory: bool) -> DataLoader:
        fill = tuple(round(255 * value) for value in self.mean)
        loader = DataLoader(
            _Decoder(self.files, self.size, fill),
            batch_sampler=_RequestSampler(),
            num_workers=self.workers,
            collate_fn=_stack_or_error,
            worker_init_fn=_ignore_stop_signals,
            pin_memory=pin_memory,
            persistent_workers=self.workers > 0,
            # Nothing random happens in the workers.  Without a generator of its own, a loader would
            # advance the global one.
            generator=torch.Generator(),
        )
        _open_loaders.add(loader)
        return loader


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
    height, width = (size, size) if isinstance(size, int) else size
    check_size("image height", height)
    check_size("image width", width)
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
        workers=_available_cores() if workers is None else workers,
    )
    if like:
        return images
    mean, std = _sample_statistics(images)
    return replace(images, mean=mean, std=std)


def decode_image(
    file: Path,
    size: tuple[int, int],
    crop: list[float] | None = None,
    operations: tuple[Operation, ...] = (),
    fill: Color = (0, 0, 0),
) -> UInt8[Tensor, "3 h w"]:
    """Return the image in a file, cropped, scaled and augmented.

    Args:
        file: an image in any format that Pillow reads.
        size: height and width of the result, in pixels.
        crop: a row of ``augmentation.draw_crops``.  None takes the center, 7/8 of the image's
            height or width, as in the official recipe of Swin.
        operations, fill: as in ``randaugment.apply_operations``.

    Raises ValueError for a file that is not a complete image.
    """
    height, width = size
    try:
        with Image.open(file) as image:
            image = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{file} cannot be read as an image ({error}): repair or remove it"
        ) from None
    if crop is None:
        image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC, bleed=1 / 16)
    else:
        box = crop_box(crop, image.height, image.width)
        image = image.resize((width, height), Image.Resampling.BICUBIC, box)
    image = apply_operations(image, operations, fill)
    return rearrange(torch.from_numpy(np.array(image)), "h w c -> c h w")


# --- what is in a folder ---


def _image_files(folder: Path) -> list[Path]:
    """Return the image files in a class folder, sorted; ValueError if there are none."""
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(path)
    )
    if not files:
        raise ValueError(
            f"the class folder {folder} has no image ({', '.join(sorted(IMAGE_SUFFIXES))}): "
            "fill it or remove it"
        )
    return files


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _sample_statistics(images: ImageFolder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, from files that are evenly spaced."""
    spacing = -(-len(images) // STATISTICS_SAMPLE)
    sample = [Request(number) for number in range(0, len(images), spacing)]
    requests = [sample[start : start + 32] for start in range(0, len(sample), 32)]
    pixels = torch.cat(list(images.decode(requests, torch.device("cpu"))))
    return channel_statistics(rearrange(pixels, "n c h w -> n h w c"))


# --- the worker processes ---


def _available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


class _Decoder(Dataset):
    """What runs in a worker: a request in, pixels out."""

    def __init__(self, files: tuple[Path, ...], size: tuple[int, int], fill: Color):
        self.files = files
        self.size = size
        self.fill = fill

    def __getitem__(self, request: Request) -> Tensor | ValueError:
        file = self.files[request.number]
        try:
            return decode_image(file, self.size, request.crop, request.operations, self.fill)
        except ValueError as error:
            return error  # raised here, it would reach the parent wrapped in a traceback


class _RequestSampler:
    """The requests of an iteration: unlike its sampler, they can be replaced in a DataLoader."""

    requests: Iterable[list[Request]] = ()

    def __iter__(self) -> Iterator[list[Request]]:
        return iter(self.requests)


def _stack_or_error(images: list[Tensor | ValueError]) -> Tensor | ValueError:
    """Return the images as one tensor, or the first error among them."""
    errors = [image for image in images if isinstance(image, ValueError)]
    return errors[0] if errors else torch.stack(images)


def _ignore_stop_signals(_worker: int) -> None:
    """Let only the parent act on Ctrl-C and SIGTERM, which all processes of a run may receive.

    The parent finishes its step before it stops, and may need a batch for that.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


# Every loader that may have workers.  They must be ended by name: workers ignore the SIGTERM that
# Python sends them when it ends, and a loader cannot end them once the garbage collector, which
# takes its queues first, has found it in a cycle.
_open_loaders: set[DataLoader] = set()


def _end_workers(loader: DataLoader) -> None:
    _open_loaders.discard(loader)
    if loader._iterator is not None:
        loader._iterator._shutdown_workers()


def _end_idle_workers(idle: dict[bool, DataLoader]) -> None:
    while idle:
        _end_workers(idle.popitem()[1])


@atexit.register
def _end_all_workers() -> None:
    for loader in list(_open_loaders):
        _end_workers(loader)
