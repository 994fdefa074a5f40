"""The published image sets: find them on this machine, fetch them, load them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from einops import rearrange

from swin_tutorial.data.formats import Splits, read_cifar, read_idx
from swin_tutorial.data.labelled import LabelledImages
from swin_tutorial.data.paths import data_folders, how_to_restore, own_data_folder

Split = Literal["train", "test"]


@dataclass(frozen=True)
class ImageSet:
    """A published set.

    Args:
        files: the path of each file in a data folder, and its published checksum ("" if the file
            comes with the project).
        url: the address of the folder that has the files; "" if they come with the project.
        sizes: the number of images in each split.
        read: a function from a data folder and ``sizes`` to the splits and the class names.
    """

    files: dict[str, str]
    url: str
    sizes: dict[str, int]
    read: Callable[[Path, dict[str, int]], tuple[Splits, tuple[str, ...]]]


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
DEBIAN_FOLDER = Path("/usr/share/datasets")  # of Debian's package dataset-fashion-mnist


def _read_fashion(
    prefix: str, folder: Path, sizes: dict[str, int]
) -> tuple[Splits, tuple[str, ...]]:
    splits = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        start, size = f"fashion-mnist/{prefix}{stem}", sizes[split]
        pixels = read_idx(folder / f"{start}-images-idx3-ubyte.gz", (size, 28, 28))
        labels = read_idx(folder / f"{start}-labels-idx1-ubyte.gz", (size,))
        splits[split] = rearrange(pixels, "n h w -> n h w 1"), labels
    return splits, FASHION_CLASSES


def _read_cifar10(folder: Path, sizes: dict[str, int]) -> tuple[Splits, tuple[str, ...]]:
    top = "cifar-10-batches-bin"
    split_files = {
        "train": tuple(f"{top}/data_batch_{number}.bin" for number in range(1, 6)),
        "test": (f"{top}/test_batch.bin",),
    }
    archive = folder / "cifar-10-binary.tar.gz"
    names_file = f"{top}/batches.meta.txt"
    return read_cifar(archive, split_files, names_file, 1, sum(sizes.values()))


def _read_cifar100(folder: Path, sizes: dict[str, int]) -> tuple[Splits, tuple[str, ...]]:
    top = "cifar-100-binary"
    split_files = {split: (f"{top}/{split}.bin",) for split in ("train", "test")}
    archive = folder / "cifar-100-binary.tar.gz"
    names_file = f"{top}/fine_label_names.txt"
    return read_cifar(archive, split_files, names_file, 2, sum(sizes.values()))


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
        files={f"fashion-mnist/subset-{file}": "" for file in FASHION_CHECKSUMS},
        url="",
        sizes={"train": 15_000, "test": 2_500},
        read=functools.partial(_read_fashion, "subset-"),
    ),
    "fashion-mnist": ImageSet(
        files={f"fashion-mnist/{file}": md5 for file, md5 in FASHION_CHECKSUMS.items()},
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        sizes={"train": 60_000, "test": 10_000},
        read=functools.partial(_read_fashion, ""),
    ),
    "cifar10": ImageSet(
        files={"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
        url="https://www.cs.toronto.edu/~kriz",
        sizes={"train": 50_000, "test": 10_000},
        read=_read_cifar10,
    ),
    "cifar100": ImageSet(
        files={"cifar-100-binary.tar.gz": "md5:03b5dce01913d631647c71ecec9e9cb8"},
        url="https://www.cs.toronto.edu/~kriz",
        sizes={"train": 50_000, "test": 10_000},
        read=_read_cifar100,
    ),
}


def load_images(name: str, split: Split, folder: Path | None = None) -> LabelledImages:
    """Return a set's training or test images; both are normalized like the training images.

    A set is read once per process: later calls return the same tensors, so do not write to them.

    Args:
        name: one of IMAGE_SETS.
        split: "train" or "test".
        folder: where to look for the files.  By default, in this order: the folder that
            SWIN_TUTORIAL_DATA names, the project's ``data`` folder, and the folder of Debian's
            package.

    Raises FileNotFoundError if the set is in none of these places, ValueError for an unknown name
    or split, or for a file that is damaged or not what it should be.
    """
    image_set = _image_set(name)
    if split not in image_set.sizes:
        raise ValueError(f"there is no split {split!r}: choose 'train' or 'test'")
    place = find_images(name, folder)
    if place is None:
        searched = ", ".join(map(str, _search_folders(folder)))
        raise FileNotFoundError(f"{name} is not in {searched}; {_remedy(name, folder)}")
    modified = tuple((place / file).stat().st_mtime_ns for file in image_set.files)
    try:
        return _read(name, place.absolute(), modified)[split]
    except ValueError as error:
        raise ValueError(f"{name}: {error}; {_remedy(name, folder)}") from None


@functools.lru_cache(maxsize=len(IMAGE_SETS))
def _read(name: str, place: Path, _modified: tuple[int, ...]) -> dict[str, LabelledImages]:
    """Return both splits of a set.  A file that has changed since is read again."""
    splits, classes = IMAGE_SETS[name].read(place, IMAGE_SETS[name].sizes)
    images = {}
    for split, size in IMAGE_SETS[name].sizes.items():
        pixels, labels = splits[split]
        try:
            train = images.get("train")
            statistics = (train.mean, train.std) if train else ()
            images[split] = LabelledImages(pixels, labels.long(), classes, *statistics)
            if len(labels) != size:
                raise ValueError(f"there are {len(labels)} images instead of {size}")
        except ValueError as error:
            raise ValueError(
                f"the {split} split in {place} is not the published one: {error}"
            ) from None
    return images


def find_images(name: str, folder: Path | None = None) -> Path | None:
    """Return the first data folder that has all files of a set, or None.

    ``load_images`` says where it looks.
    """
    files = _image_set(name).files
    for place in _search_folders(folder):
        if all((place / file).is_file() for file in files):
            return place
    return None


def fetch_images(name: str, folder: Path | None = None, progress: bool = True) -> Path:
    """Download the files of a set that are missing, and return the folder that has them.

    A file gets its name only when it is complete and its checksum is right.  An existing file is
    kept if its checksum is right, and replaced otherwise.

    Args:
        name: one of IMAGE_SETS.
        folder: where to put the files, by default the reader's own data folder.
        progress: whether to show a progress bar.

    Raises ValueError if the set comes with the project or a checksum is wrong, ConnectionError if
    the transfer fails.
    """
    import pooch  # needed only here
    import requests

    image_set = _image_set(name)
    folder = Path(folder) if folder else own_data_folder()
    if not image_set.url:
        raise ValueError(f"{name} comes with the project; {_remedy(name, folder)}")
    downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16)
    for file, checksum in image_set.files.items():
        path = folder / file
        url = f"{image_set.url}/{path.name}"
        try:
            pooch.retrieve(url, checksum, path.name, path.parent, downloader=downloader)
        except ValueError as error:
            raise ValueError(f"{url} is not what it should be and was not kept: {error}") from error
        except requests.RequestException as error:
            raise ConnectionError(
                f"{url} could not be fetched: {error}; "
                f"try again, or get it by other means and put it into {path.parent}"
            ) from error
    return folder


def _image_set(name: str) -> ImageSet:
    if name not in IMAGE_SETS:
        raise ValueError(f"there is no image set {name!r}: choose one of {list(IMAGE_SETS)}")
    return IMAGE_SETS[name]


def _search_folders(folder: Path | None) -> list[Path]:
    return [Path(folder)] if folder else [*data_folders(), DEBIAN_FOLDER]


def _remedy(name: str, folder: Path | None) -> str:
    if not IMAGE_SETS[name].url:
        return how_to_restore("data")
    return f"run: swin-tutorial data fetch {name}" + (f" --folder {folder}" if folder else "")
