"""Read the file formats of published image sets, and refuse damaged files.

torchvision reads these formats too, but its wheel from the package index does not import beside a
CPU build of PyTorch.
"""

import gzip
import io
import math
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

# The pixels and the labels of each split, by its name.
Splits = dict[str, tuple[UInt8[Tensor, "n h w c"], UInt8[Tensor, "m"]]]


def read_gzip(path: Path) -> bytes:
    """Return the uncompressed content of a gzip file.

    Raises ValueError if the file is truncated or corrupt.
    """
    try:
        with gzip.open(path) as file:
            return file.read()
    except EOFError:
        raise ValueError(f"{path} is truncated") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is corrupt: {error}") from None


def read_idx(path: Path, num_axes: int) -> UInt8[Tensor, "..."]:
    """Return the array of bytes in a gzipped idx file, the format of MNIST.

    The header is 0, 0, 8 (for bytes), the number of axes, and the size of each axis as a four-byte
    integer, most significant byte first.

    Raises ValueError for any other header, or if the length does not match the sizes.
    """
    content = read_gzip(path)
    magic = bytes([0, 0, 8, num_axes])
    header_length = len(magic) + 4 * num_axes
    if content[:4] != magic or len(content) < header_length:
        raise ValueError(
            f"{path} is not an idx file of bytes with {num_axes} axes: "
            f"it begins with {content[:4].hex(' ')} instead of {magic.hex(' ')}"
        )
    shape = struct.unpack_from(f">{num_axes}I", content, len(magic))
    expected, found = math.prod(shape), len(content) - header_length
    if found != expected:
        raise ValueError(f"{path} announces {expected} bytes of data and holds {found}")
    return torch.from_numpy(
        np.frombuffer(content, np.uint8, offset=header_length).reshape(shape).copy()
    )


def read_cifar(
    archive: Path, split_files: dict[str, tuple[str, ...]], names_file: str, label_bytes: int
) -> tuple[Splits, tuple[str, ...]]:
    """Return the splits and the class names of a CIFAR archive in its binary version.

    Nothing is written to disk.

    Args:
        archive: a gzipped tar file.
        split_files: the members that hold each split's images, in order.
        names_file: the member that holds one class name per line.
        label_bytes: how many label bytes precede the pixels of an image.  The last one is its
            class; CIFAR-100 has a coarser class before it.

    Raises ValueError if the archive is damaged, or not what is described here.
    """
    members = read_tar(archive, (*sum(split_files.values(), ()), names_file))
    record_length = label_bytes + 3 * 32 * 32
    splits = {}
    for split, files in split_files.items():
        for file in files:
            if len(members[file]) % record_length:
                raise ValueError(
                    f"{file} in {archive} has {len(members[file])} bytes: "
                    f"that is no whole number of images of {record_length} bytes"
                )
        content = np.frombuffer(b"".join(members[file] for file in files), np.uint8)
        records = torch.from_numpy(content.reshape(-1, record_length).copy())
        # Each image is 32 x 32 bytes of red, then of green, then of blue.
        pixels = rearrange(records[:, label_bytes:], "n (c h w) -> n h w c", c=3, h=32)
        splits[split] = pixels.contiguous(), records[:, label_bytes - 1]
    return splits, tuple(members[names_file].decode().split())


def read_tar(archive: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the content of some members of a gzipped tar file.

    The archive is read in memory, and no path in it is followed.
    Raises ValueError if the archive is damaged or lacks a member.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(read_gzip(archive)), mode="r:") as tar:
            files = {member.name: member for member in tar if member.isfile()}
            missing = [name for name in names if name not in files]
            if missing:
                raise ValueError(f"{archive} is not the archive expected: it has no {missing[0]}")
            return {name: tar.extractfile(files[name]).read() for name in names}
    except tarfile.TarError as error:
        raise ValueError(f"{archive} is corrupt: {error}") from None
