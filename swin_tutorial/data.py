"""Where the data stands, photographs for the chapters, and labelled images for training."""

import functools
import gzip
import io
import os
import signal
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64, UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from swin_tutorial.augmentation import (
    Augmentation,
    Draws,
    crop_box,
    cropped,
    draw,
    draw_crops,
    erased,
    generator,
    mixed,
    mixed_targets,
    normalised,
    partners,
    sent,
)
from swin_tutorial.randaugment import Colour, Operation, draw_operations, randaugmented
from swin_tutorial.windows import Size, size_pair

Split = Literal["train", "test"]

# The file of each photograph and the SHA-256 of its bytes; data/README.md says who took them.
PHOTOGRAPHS = {
    "chelsea": (
        "photographs/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "coffee": (
        "photographs/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "rocket": (
        "photographs/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
}


PROJECT_DATA = Path(__file__).resolve().parent.parent / "data"


def data_folder() -> Path:
    """Return the project's ``data`` folder, or the one that SWIN_TUTORIAL_DATA names.

    Raises FileNotFoundError if there is none, as when the package was installed without its
    repository.
    """
    named = os.environ.get("SWIN_TUTORIAL_DATA")
    folder = Path(named) if named else PROJECT_DATA
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no data folder {folder}: install the package from a clone of its repository "
            "(pip install -e .), or set SWIN_TUTORIAL_DATA to the clone's data folder"
        )
    return folder


def open_photograph(name: str) -> Image.Image:
    """Return a whole photograph as it was taken, in RGB.

    Raises ValueError for an unknown name, FileNotFoundError if the file is missing.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f"there is no photograph {name!r}: choose one of {sorted(PHOTOGRAPHS)}")
    with Image.open(data_folder() / PHOTOGRAPHS[name][0]) as image:
        return image.convert("RGB")


def photograph(name: str, height: int, width: int) -> Float[Tensor, "height width 3"]:
    """Return a photograph, cropped about its centre and scaled to ``height`` x ``width`` pixels.

    Values lie between 0 and 1.  Raises ValueError for an unknown name, FileNotFoundError if the
    file is missing.
    """
    image = open_photograph(name)
    height, width = size_pair("(height, width)", (height, width))
    image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image, dtype=np.float32) / 255)


def photograph_tokens(
    name: str, height: int, width: int, patch_size: int = 24
) -> Float[Tensor, "1 height width c"]:
    """Return a photograph as a feature map: a token is a square patch, its channels the pixels.

    ``patch_size`` is in pixels, so c = 3 * patch_size**2.  Whatever is done to such a map can be
    looked at: ``plotting.picture`` turns it into an image again.
    """
    image = photograph(name, height * patch_size, width * patch_size)
    return rearrange(image, "(h p) (w q) rgb -> 1 h w (p q rgb)", p=patch_size, q=patch_size)


# --- labelled images in memory ---


@dataclass(frozen=True)
class LabelledImages:
    """A small set, whole in memory.

    pixels: 0 to 255, channels last; labels: indices into classes; mean, std: of each channel of
    the training pixels, on a scale of 0 to 1, with which the images get normalised.  Left out,
    they are those of ``pixels``.

    Raises ValueError if there is not one label for each image, if there is no image, or for a
    label that is no index of a class.
    """

    pixels: UInt8[Tensor, "n h w c"]
    labels: Int64[Tensor, "n"]
    classes: tuple[str, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self):
        if len(self.pixels) != len(self.labels):
            raise ValueError(f"there are {len(self.pixels)} images but {len(self.labels)} labels")
        if not len(self.labels):
            raise ValueError("there are no images")
        low, high = self.labels.min().item(), self.labels.max().item()
        if low < 0 or high >= len(self.classes):
            raise ValueError(
                f"label {low if low < 0 else high} is out of range: "
                f"there are {len(self.classes)} classes, counted from 0"
            )
        if self.mean is None or self.std is None:
            mean, std = channel_statistics(self.pixels)
            object.__setattr__(self, "mean", mean)
            object.__setattr__(self, "std", std)

    def __len__(self) -> int:
        return len(self.labels)


def channel_statistics(
    pixels: UInt8[Tensor, "n h w c"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, for pixels scaled to 0 … 1.

    Counted in whole numbers, so that they are the same on every machine.  A channel that is
    everywhere the same gets a standard deviation of 1: dividing by it changes nothing.
    """
    values = torch.arange(256)
    means, stds = [], []
    for channel in pixels.unbind(-1):
        counts = torch.bincount(channel.flatten(), minlength=256).cpu()
        total, first, second = (int((counts * values**power).sum()) for power in range(3))
        means.append(first / total / 255)
        variance = total * second - first**2  # times total²; Python's integers do not overflow
        stds.append(variance**0.5 / total / 255 or 1.0)
    return tuple(means), tuple(stds)


# --- the formats of published sets ---


def read_gzip(path: Path) -> bytes:
    """Return what a gzipped file holds; ValueError if it is truncated or corrupt."""
    try:
        with gzip.open(path) as file:
            return file.read()
    except EOFError:
        raise ValueError(f"{path} is truncated") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is corrupt: {error}") from None


def read_idx(path: Path, dimensions: int) -> UInt8[Tensor, "..."]:
    """Return the array of bytes of a gzipped idx file, the format of MNIST.

    It begins with 0, 0, 8 for bytes, the number of dimensions, and each size as four bytes, the
    highest first.  Raises ValueError for a file that is not so, or of another length.
    """
    content = read_gzip(path)
    header = bytes([0, 0, 8, dimensions])
    start = len(header) + 4 * dimensions
    if content[:4] != header or len(content) < start:
        raise ValueError(
            f"{path} is no idx file of bytes in {dimensions} dimensions: "
            f"it begins with {content[:4].hex(' ')} in place of {header.hex(' ')}"
        )
    shape = struct.unpack_from(f">{dimensions}I", content, len(header))
    announced, there = int(np.prod(shape, dtype=object)), len(content) - start
    if there != announced:
        raise ValueError(f"{path} announces {announced} bytes of data and holds {there}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def read_idx_images(
    images: Path, labels: Path, classes: tuple[str, ...], count: int
) -> LabelledImages:
    """Return the grey images of one idx file with the labels of another."""
    pixels = rearrange(read_idx(images, 3), "n h w -> n h w 1")
    return _counted(pixels, read_idx(labels, 1), classes, count, f"{images} and {labels.name}")


def read_cifar(
    archive: Path, batches: tuple[str, ...], names: str, label_bytes: int, count: int
) -> LabelledImages:
    """Return the images of the named members of a CIFAR archive, in its binary version.

    An image is ``label_bytes`` labels, the last of them its class, and 32 x 32 bytes of red, of
    green and of blue.  ``names`` is the member that has a class name on each line.  Nothing is
    written to the disk.
    """
    members = _members(archive, (*batches, names))
    record = label_bytes + 3 * 32 * 32
    for name in batches:
        if len(members[name]) % record:
            raise ValueError(
                f"{name} in {archive} has {len(members[name])} bytes: "
                f"that is no whole number of images of {record} bytes"
            )
    content = np.frombuffer(b"".join(members[name] for name in batches), np.uint8)
    content = torch.from_numpy(content.reshape(-1, record).copy())
    pixels = rearrange(content[:, label_bytes:], "n (c h w) -> n h w c", c=3, h=32)
    classes = tuple(members[names].decode().split())
    labels = content[:, label_bytes - 1]
    return _counted(pixels.contiguous(), labels, classes, count, str(archive))


def _members(archive: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the contents of an archive's members, read in memory: no path in it is followed."""
    try:
        with tarfile.open(fileobj=io.BytesIO(read_gzip(archive)), mode="r:") as tar:
            files = {one.name: one for one in tar if one.isfile()}
            missing = [name for name in names if name not in files]
            if missing:
                raise ValueError(f"{archive} is not the archive expected: it has no {missing[0]}")
            return {name: tar.extractfile(files[name]).read() for name in names}
    except tarfile.TarError as error:
        raise ValueError(f"{archive} is corrupt: {error}") from None


def _counted(pixels, labels, classes, count: int, source: str) -> LabelledImages:
    """Return the set; ValueError that names its source if it is not as announced."""
    try:
        images = LabelledImages(pixels, labels.long(), classes)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    if len(images) != count:
        raise ValueError(f"{source}: {len(images)} images in place of {count}")
    return images


# --- the sets, where they are found, and where they are fetched ---


@dataclass(frozen=True)
class ImageSet:
    """A published set.

    files: each file's path in a data folder, and its published checksum, empty where the file is
    bundled; source: the address of the folder that has the files; sizes: the number of images of
    each split; read: gives a split's images, from a data folder, the split and its size.
    """

    files: dict[str, str]
    source: str
    sizes: dict[str, int]
    read: Callable[[Path, str, int], LabelledImages]


FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DEBIAN_FOLDER = Path("/usr/share/datasets")  # of the package dataset-fashion-mnist


def _read_fashion(prefix: str, folder: Path, split: str, count: int) -> LabelledImages:
    stem = folder / "fashion-mnist" / (prefix + {"train": "train", "test": "t10k"}[split])
    images, labels = Path(f"{stem}-images-idx3-ubyte.gz"), Path(f"{stem}-labels-idx1-ubyte.gz")
    return read_idx_images(images, labels, FASHION_CLASSES, count)


def _read_cifar10(folder: Path, split: str, count: int) -> LabelledImages:
    inner = "cifar-10-batches-bin/"
    batches = [f"data_batch_{number}.bin" for number in range(1, 6)]
    batches = tuple(inner + one for one in (batches if split == "train" else ["test_batch.bin"]))
    archive = folder / "cifar-10-binary.tar.gz"
    return read_cifar(archive, batches, inner + "batches.meta.txt", 1, count)


def _read_cifar100(folder: Path, split: str, count: int) -> LabelledImages:
    inner = "cifar-100-binary/"
    archive = folder / "cifar-100-binary.tar.gz"
    return read_cifar(archive, (f"{inner}{split}.bin",), inner + "fine_label_names.txt", 2, count)


# Addresses and MD5 sums as published by the makers: Fashion-MNIST's in the README of
# github.com/zalandoresearch/fashion-mnist, CIFAR's on www.cs.toronto.edu/~kriz/cifar.html.
FASHION_CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}
IMAGE_SETS = {
    "fashion-mnist-subset": ImageSet(
        files={f"fashion-mnist/subset-{name}": "" for name in FASHION_CHECKSUMS},
        source="",
        sizes={"train": 15_000, "test": 2_500},
        read=functools.partial(_read_fashion, "subset-"),
    ),
    "fashion-mnist": ImageSet(
        files={f"fashion-mnist/{name}": one for name, one in FASHION_CHECKSUMS.items()},
        source="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        sizes={"train": 60_000, "test": 10_000},
        read=functools.partial(_read_fashion, ""),
    ),
    "cifar10": ImageSet(
        files={"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
        source="https://www.cs.toronto.edu/~kriz",
        sizes={"train": 50_000, "test": 10_000},
        read=_read_cifar10,
    ),
    "cifar100": ImageSet(
        files={"cifar-100-binary.tar.gz": "md5:03b5dce01913d631647c71ecec9e9cb8"},
        source="https://www.cs.toronto.edu/~kriz",
        sizes={"train": 50_000, "test": 10_000},
        read=_read_cifar100,
    ),
}


def load_images(name: str, split: Split, folder: Path | None = None) -> LabelledImages:
    """Return a set's training or test images, to be normalised as the training images are.

    name: one of IMAGE_SETS.  It is looked for in ``folder`` if that is given; else in the folder
    that SWIN_TUTORIAL_DATA names, in the project's ``data`` folder, and where Debian's package
    puts it.

    Raises FileNotFoundError if the set is in none of these places, ValueError for an unknown name
    or split and for a file that is truncated, corrupt or not what it should be.
    """
    image_set = _image_set(name)
    if split not in image_set.sizes:
        raise ValueError(f"there is no split {split!r}: choose 'train' or 'test'")
    place = find_images(name, folder)
    if place is None:
        looked_in = ", ".join(map(str, _places(folder)))
        raise FileNotFoundError(f"{name} is not in {looked_in}; {_remedy(name, folder)}")
    try:
        train = image_set.read(place, "train", image_set.sizes["train"])
        if split == "train":
            return train
        test = image_set.read(place, split, image_set.sizes[split])
    except ValueError as error:
        raise ValueError(f"{error}; {_remedy(name, folder)}") from None
    return replace(test, mean=train.mean, std=train.std)


def find_images(name: str, folder: Path | None = None) -> Path | None:
    """Return the first data folder that has all files of a set, None if there is none.

    Where it looks, see ``load_images``.
    """
    files = _image_set(name).files
    for place in _places(folder):
        if all((place / file).is_file() for file in files):
            return place
    return None


def fetch_images(name: str, folder: Path | None = None, progress: bool = True) -> Path:
    """Download what is missing of a set into ``folder``, or the data folder; return that.

    A file gets its name once it is whole and its checksum is right.  A file that is there already
    is kept if its checksum is right, else replaced.

    Raises ValueError for a set that is not published for download, or a wrong checksum, and
    ConnectionError if the transfer fails.
    """
    import pooch  # wanted only here
    import requests

    image_set = _image_set(name)
    folder = Path(folder) if folder else data_folder()
    if not image_set.source:
        raise ValueError(f"{name} is bundled and not fetched; {_remedy(name, folder)}")
    downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16)
    for file, checksum in image_set.files.items():
        path = folder / file
        address = f"{image_set.source}/{path.name}"
        try:
            pooch.retrieve(address, checksum, path.name, path.parent, downloader=downloader)
        except ValueError as error:
            raise ValueError(
                f"{address} is not what it should be and was not kept: {error}"
            ) from error
        except requests.RequestException as error:
            raise ConnectionError(
                f"{address} could not be fetched: {error}; "
                f"try again, or get it by other means and put it into {path.parent}"
            ) from error
    return folder


def _image_set(name: str) -> ImageSet:
    if name not in IMAGE_SETS:
        raise ValueError(f"there is no image set {name!r}: choose one of {list(IMAGE_SETS)}")
    return IMAGE_SETS[name]


def _places(folder: Path | None) -> list[Path]:
    """Return the data folders in which sets are looked for, the first first."""
    if folder:
        return [Path(folder)]
    named = os.environ.get("SWIN_TUTORIAL_DATA")
    return [*([Path(named)] if named else []), PROJECT_DATA, DEBIAN_FOLDER]


def _remedy(name: str, folder: Path | None) -> str:
    if not IMAGE_SETS[name].source:
        return "restore it in the project folder: git checkout -- data"
    return f"run: swin-tutorial data fetch {name}" + (f" --folder {folder}" if folder else "")


# --- labelled images in files ---

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
SAMPLE = 512  # how many files the mean and the standard deviation of a folder are taken from


class Key(NamedTuple):
    """What a worker is told: a file's number, its crop or None for the centre, and what follows."""

    number: int
    crop: list[float] | None = None
    operations: tuple[Operation, ...] = ()


@dataclass(frozen=True)
class ImageFolder:
    """A set too large for the memory: its files, and how they are to be read.

    size: height and width to which images are cropped and scaled; workers: processes that decode,
    0 for none beside this one.  The rest as in ``LabelledImages``.
    """

    files: tuple[Path, ...]
    labels: Int64[Tensor, "n"]
    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    workers: int

    def __len__(self) -> int:
        return len(self.files)

    def decoded(
        self, keys: Iterable[list[Key]], device: torch.device
    ) -> Iterator[UInt8[Tensor, "b 3 h w"]]:
        """Yield the pixels of each list of keys, on the device, in order."""
        mean = tuple(round(255 * one) for one in self.mean)
        return _decoded(self.files, self.size, self.workers, keys, device, mean)


def image_folder(
    folder: Path, size: Size, like: ImageFolder | None = None, workers: int | None = None
) -> ImageFolder:
    """Return the images of a folder that has one folder for each class, as ImageNet has.

    like: the training images, for a test folder, which is normalised as they are.  Without it,
    mean and standard deviation are those of 512 files at even distances.  workers: by default one
    for each core that this process may use.

    Raises FileNotFoundError if there is no such folder, and ValueError if there are no classes, a
    class has no image, the classes are not those of ``like``, or a file of the sample is no image.
    """
    folder, size = Path(folder), size_pair("size", size)
    workers = available_cores() if workers is None else workers
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: name the one that has the classes")
    classes = tuple(
        sorted(one.name for one in folder.iterdir() if one.is_dir() and not _is_hidden(one))
    )
    if not classes:
        raise ValueError(f"{folder} has no folders: it must have one for each class")
    if like and classes != like.classes:
        odd = sorted(set(classes) ^ set(like.classes))
        raise ValueError(
            f"{folder} and the training images do not share the classes {odd}: "
            "each class needs a folder in both"
        )
    of_class = [_image_files(folder / name) for name in classes]
    labels = torch.repeat_interleave(torch.tensor([len(files) for files in of_class]))
    files = tuple(path for files in of_class for path in files)
    if like:
        mean, std = like.mean, like.std
    else:
        sample = [Key(number) for number in range(0, len(files), -(-len(files) // SAMPLE))]
        keys = [sample[start : start + 32] for start in range(0, len(sample), 32)]
        pixels = torch.cat(list(_decoded(files, size, workers, keys, torch.device("cpu"))))
        mean, std = channel_statistics(rearrange(pixels, "n c h w -> n h w c"))
    return ImageFolder(files, labels, classes, size, mean, std, workers)


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def decoded_image(
    file: Path,
    size: tuple[int, int],
    crop: list[float] | None = None,
    operations: tuple[Operation, ...] = (),
    fill: Colour = (0, 0, 0),
) -> UInt8[Tensor, "3 h w"]:
    """Return a file's picture, cropped, scaled to ``size``, height and width, and changed.

    crop: as ``augmentation.draw_crops`` draws it; without it, the centre: 7/8 of the height or of
    the width, as in the recipe of Swin.  operations, fill: as ``randaugment.randaugmented`` takes
    them.  Raises ValueError for a file that is no whole picture.
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
    image = randaugmented(image, operations, fill)
    return rearrange(torch.from_numpy(np.array(image)), "h w c -> c h w")


class _Pictures(Dataset):
    """What the worker processes are given: a key gives pixels."""

    def __init__(self, files: tuple[Path, ...], size: tuple[int, int], fill: Colour):
        self.files = files
        self.size = size
        self.fill = fill

    def __getitem__(self, key: Key) -> Tensor | ValueError:
        file = self.files[key.number]
        try:
            return decoded_image(file, self.size, key.crop, key.operations, self.fill)
        except ValueError as error:
            return error  # raised in a worker, it would be lost in that process's traceback


def _stacked(pictures: list[Tensor | ValueError]) -> Tensor | ValueError:
    """Return pictures as one tensor, or the first error among them."""
    errors = [one for one in pictures if isinstance(one, ValueError)]
    return errors[0] if errors else torch.stack(pictures)


def _leave_signals_to_the_parent(_: int) -> None:
    """Ignore, in a worker, what asks all processes of a run to stop: its parent still needs it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _decoded(
    files: tuple[Path, ...],
    size: tuple[int, int],
    workers: int,
    keys: Iterable[list[Key]],
    device: torch.device,
    fill: Colour = (0, 0, 0),
) -> Iterator[UInt8[Tensor, "b 3 h w"]]:
    """Yield the pixels of each list of keys, on the device, in order."""
    loader = DataLoader(
        _Pictures(files, size, fill),
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=_stacked,
        worker_init_fn=_leave_signals_to_the_parent,
        pin_memory=device.type == "cuda",
    )
    for pixels in loader:
        if isinstance(pixels, ValueError):
            raise pixels
        yield pixels.to(device, non_blocking=True)


def _image_files(folder: Path) -> list[Path]:
    """Return the images directly in a class's folder, sorted; ValueError if there are none."""
    files = sorted(
        one
        for one in folder.iterdir()
        if one.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(one)
    )
    if not files:
        raise ValueError(
            f"the class folder {folder} has no image ({', '.join(sorted(IMAGE_SUFFIXES))}): "
            "fill it or remove it"
        )
    return files


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


# --- training: batches that follow from seed, epoch and step alone ---


@dataclass(frozen=True)
class _Plan:
    """What one process needs for its slice of a batch.

    positions: in the batch, of the slice and of what it is mixed with; images: their numbers in
    the set; draws: theirs; own, other: where the slice is among them, and what each is mixed with.
    """

    positions: Int64[Tensor, "k"]
    images: Int64[Tensor, "k"]
    draws: Draws
    own: Int64[Tensor, "b"]
    other: Int64[Tensor, "b"]


Batch = tuple[Float[Tensor, "b c h w"], Float[Tensor, "b classes"]]


class _Batches:
    """What the batches of images in memory and of images in files have in common."""

    def __init__(
        self,
        images,
        size: tuple[int, int],
        batch_size: int,
        device: torch.device | str,
        seed: int,
        augmentation: Augmentation | None,
        rank: int,
        world_size: int,
    ):
        share = _share(batch_size, rank, world_size)
        if batch_size % world_size:
            raise ValueError(
                f"batch_size {batch_size} does not divide by the {world_size} processes: "
                f"take {share * world_size}"
            )
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        if batch_size > len(images):
            raise ValueError(
                f"batch_size {batch_size} is larger than the set: it has {len(images)} images"
            )
        self.images = images
        self.size = size
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.seed = seed
        self.augmentation = augmentation or Augmentation()
        self.labels = images.labels.to(self.device)
        self.mean, self.std = _statistics(images, self.device)
        self.own = torch.arange(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        """Return the steps of an epoch.  What is left over for no whole batch is dropped."""
        return len(self.images) // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield normalised images and class probabilities, from step ``start`` on.

        Raises ValueError for a step that the epoch does not have.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start is a step from 0 to {len(self)}, got {start}")
        order = generator("order", self.seed, epoch).permutation(len(self.images))
        return self._steps(torch.from_numpy(order), epoch, range(start, len(self)))

    def _plan(self, order: Int64[Tensor, "n"], epoch: int, step: int) -> _Plan:
        """Return what this process needs for a step."""
        batch = self.batch_size
        rng = generator("augmentation", self.seed, epoch, step)
        draws = draw(self.augmentation, batch, *self.size, rng)
        other = partners(batch)[self.own] if self.augmentation.mixes else self.own
        positions, where = torch.unique(torch.cat([self.own, other]), return_inverse=True)
        return _Plan(
            positions=positions,
            images=order[step * batch : (step + 1) * batch][positions],
            draws=draws.of(positions),
            own=where[: len(self.own)],
            other=where[len(self.own) :],
        )

    def _batch(self, pixels: UInt8[Tensor, "n c hp wp"], which: Int64[Tensor, "k"], plan: _Plan):
        """Crop, normalise, erase and mix on the device; return images and class probabilities."""
        which, images, own, other = (
            sent(one, self.device) for one in (which, plan.images, plan.own, plan.other)
        )
        draws = plan.draws.sent(self.device)
        x = cropped(pixels, which, draws, *self.size)
        x = normalised(x, self.mean, self.std)
        if self.augmentation.erasing:
            x = erased(x, draws.erased)
        labels = self.labels[images]
        mixing = draws.of(own)
        targets = mixed_targets(labels[own], labels[other], mixing.kept, len(self.images.classes))
        if self.augmentation.mixes:
            x = mixed(x[own], x[other], mixing)
        return x, targets

    def _padded(self, pixels: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c hp wp"]:
        return F.pad(pixels, [self.augmentation.crop_padding] * 4)


class DeviceBatches(_Batches):
    """Training batches of a set that lies on the device as one tensor of bytes.

    batch_size: of all processes together; rank, world_size: which process of how many this is.

    The batch of an epoch and a step follows from these two and the seed alone.  It is drawn as a
    whole, whatever the number of processes, and each takes its slice.  So a run can be resumed at
    any step, and with another number of processes, with no random state to be kept: the same
    samples come, bit for bit.

    Raises ValueError if the batch is larger than the set or cannot be shared evenly, and for
    RandAugment, which needs pictures in files.
    """

    def __init__(
        self,
        images: LabelledImages,
        batch_size: int,
        device: torch.device | str,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        rank: int = 0,
        world_size: int = 1,
    ):
        if augmentation and augmentation.randaugment:
            raise ValueError(
                f"randaugment {augmentation.randaugment} is for pictures in files, and this set is "
                "in memory: set it to 0, or train on a folder of images"
            )
        size = tuple(images.pixels.shape[1:3])
        super().__init__(images, size, batch_size, device, seed, augmentation, rank, world_size)
        pixels = rearrange(images.pixels.to(self.device), "n h w c -> n c h w")
        self.pixels = self._padded(pixels.contiguous())

    def _steps(self, order: Int64[Tensor, "n"], epoch: int, steps: range) -> Iterator[Batch]:
        for step in steps:
            plan = self._plan(order, epoch, step)
            yield self._batch(self.pixels, plan.images, plan)


class FolderBatches(_Batches):
    """Training batches of images in files, decoded by worker processes.

    Everything said of ``DeviceBatches`` holds.  With an augmentation each image is a random crop
    of at least ``smallest_area`` of it, scaled to ``images.size``, to which RandAugment may be
    applied; without one, the centre.
    """

    def __init__(
        self,
        images: ImageFolder,
        batch_size: int,
        device: torch.device | str,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        rank: int = 0,
        world_size: int = 1,
        smallest_area: float = 0.08,
    ):
        super().__init__(
            images, images.size, batch_size, device, seed, augmentation, rank, world_size
        )
        if not 0 < smallest_area <= 1:
            raise ValueError(f"smallest_area must be above 0 and at most 1, got {smallest_area}")
        self.smallest_area = smallest_area if augmentation else None

    def _steps(self, order: Int64[Tensor, "n"], epoch: int, steps: range) -> Iterator[Batch]:
        keys = (self._keys(self._plan(order, epoch, step), epoch, step) for step in steps)
        for step, pixels in zip(steps, self.images.decoded(keys, self.device), strict=True):
            plan = self._plan(order, epoch, step)  # again: it is cheaper than to keep many
            which = torch.arange(len(pixels))
            yield self._batch(self._padded(pixels), which, plan)

    def _keys(self, plan: _Plan, epoch: int, step: int) -> list[Key]:
        """Return what the workers are told of each image."""
        numbers = plan.images.tolist()
        if self.smallest_area is None:
            return [Key(number) for number in numbers]
        rng = generator("crop", self.seed, epoch, step)
        crops = draw_crops(self.batch_size, self.smallest_area, rng).tolist()
        rng = generator("randaugment", self.seed, epoch, step)
        operations = draw_operations(self.batch_size, self.augmentation.randaugment, rng)
        return [
            Key(number, crops[position], operations[position])
            for number, position in zip(numbers, plan.positions.tolist(), strict=True)
        ]


def evaluation_batches(
    images: LabelledImages | ImageFolder,
    batch_size: int,
    device: torch.device | str,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, "b"]]]:
    """Yield normalised images and labels, each once over all processes and in order.

    batch_size: of all processes together.  Each process takes a stretch of the set; stretches and
    numbers of batches may differ by one, so reduce over the processes at the end, not in each step.
    """
    share = _share(batch_size, rank, world_size)
    first, last = (len(images) * one // world_size for one in (rank, rank + 1))
    return _evaluation_batches(images, range(first, last, share), last, torch.device(device))


def _evaluation_batches(images, starts: range, last: int, device: torch.device):
    stretches = [slice(start, min(start + starts.step, last)) for start in starts]
    if isinstance(images, ImageFolder):
        keys = ([Key(number) for number in range(one.start, one.stop)] for one in stretches)
        parts = images.decoded(keys, device)
    else:
        parts = (
            rearrange(images.pixels[one].to(device), "b h w c -> b c h w").contiguous()
            for one in stretches
        )
    mean, std = _statistics(images, device)
    for one, pixels in zip(stretches, parts, strict=True):
        yield normalised(pixels, mean, std), images.labels[one].to(device)


def _statistics(images, device: torch.device) -> list[Float[Tensor, "c"]]:
    """Return mean and standard deviation of each channel, on the device."""
    return [
        torch.tensor(one, dtype=torch.float32, device=device) for one in (images.mean, images.std)
    ]


def _share(batch_size: int, rank: int, world_size: int) -> int:
    """Return how many images of a batch each process takes; ValueError for a bad number."""
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is not one of {world_size} processes, counted from 0")
    if batch_size < world_size:
        raise ValueError(f"batch_size {batch_size} is too small for {world_size} processes")
    return batch_size // world_size
