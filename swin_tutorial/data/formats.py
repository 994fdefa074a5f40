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

TAR_OVERHEAD = 1 << 20  # bytes that an archive may have beside the images: headers, names, readme

# The pixels and the labels of each split, by its name.
Splits = dict[str, tuple[UInt8[Tensor, "n h w c"], UInt8[Tensor, "m"]]]


def read_gzip(path: Path, max_bytes: int) -> bytes:
    """Return the uncompressed content of a gzip file of at most ``max_bytes``, uncompressed.

    A small file may unpack to any size, so no more than that is unpacked.
    Raises ValueError if the content is longer, or if the file is truncated or corrupt.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(max_bytes + 1)
    except EOFError:
        raise ValueError(f"{path} is truncated") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is corrupt: {error}") from None
    if len(content) > max_bytes:
        raise ValueError(f"{path} unpacks to more than the {max_bytes:,} bytes expected")
    return content


def read_idx(path: Path, max_shape: tuple[int, ...]) -> UInt8[Tensor, "..."]:
    """Return the array of bytes in a gzipped idx file, the format of MNIST.

    The header is 0, 0, 8 (for bytes), the number of axes, and the size of each axis as a four-byte
    integer, most significant byte first.

    Args:
        path: the file.
        max_shape: the largest size of each axis.

    Raises ValueError for any other header, for a larger array, or if the length does not match
    the sizes.
    """
    num_axes = len(max_shape)
    magic = bytes([0, 0, 8, num_axes])
    header_length = len(magic) + 4 * num_axes
    content = read_gzip(path, header_length + math.prod(max_shape))
    if content[:4] != magic or len(content) < header_length:
        raise ValueError(
            f"{path} is not an idx file of bytes with {num_axes} axes: "
            f"it begins with {content[:4].hex(' ')} instead of {magic.hex(' ')}"
        )
    shape = struct.unpack_from(f">{num_axes}I", content, len(magic))
    if any(size > limit for size, limit in zip(shape, max_shape, strict=True)):
        raise ValueError(f"{path} announces an array of {shape}, larger than {max_shape}")
    expected, found = math.prod(shape), len(content) - header_length
    if found != expected:
        raise ValueError(f"{path} announces {expected} bytes of data and holds {found}")
    return torch.from_numpy(
        np.frombuffer(content, np.uint8, offset=header_length).reshape(shape).copy()
    )


def read_cifar(
    archive: Path,
    split_files: dict[str, tuple[str, ...]],
    names_file: str,
    label_bytes: int,
    max_images: int,
) -> tuple[Splits, tuple[str, ...]]:
    """Return the splits and the class names of a CIFAR archive in its binary version.

    Nothing is written to disk.

    Args:
        archive: a gzipped tar file.
        split_files: the members that hold each split's images, in order.
        names_file: the member that holds one class name per line.
        label_bytes: how many label bytes precede the pixels of an image.  The last one is its
            class; CIFAR-100 has a coarser class before it.
        max_images: how many images there may be, in all splits.

    Raises ValueError if the archive is damaged, or not what is described here.
    """
    record_length = label_bytes + 3 * 32 * 32
    max_bytes = max_images * record_length + TAR_OVERHEAD
    members = read_tar(archive, (*sum(split_files.values(), ()), names_file), max_bytes)
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
    return splits, tuple(members[names_file].decode(errors="replace").split())


def read_tar(archive: Path, names: tuple[str, ...], max_bytes: int) -> dict[str, bytes]:
    """Return the content of some members of a gzipped tar file of at most ``max_bytes``, unpacked.

    The archive is read in memory, and no path in it is followed.
    Raises ValueError if the archive is larger, is damaged, or lacks a member.
    """
    content = io.BytesIO(read_gzip(archive, max_bytes))
    try:
        with tarfile.open(fileobj=content, mode="r:") as tar:
            files = _whole_files(tar)
            members = {name: tar.extractfile(files[name]).read() for name in names if name in files}
    except (tarfile.TarError, ArithmeticError, LookupError, ValueError) as error:
        raise ValueError(f"{archive} is corrupt: {error}") from None
    missing = [name for name in names if name not in members]
    if missing:
        raise ValueError(f"{archive} is not the archive expected: it has no {missing[0]}")
    return members


def _whole_files(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """Return the regular files by name, without sparse ones, which may announce any size."""
    files, last = {}, -1
    for member in tar:
        if member.offset <= last:  # after a negative size, tarfile reads the same member for ever
            raise tarfile.ReadError(f"{member.name} leads back to a member before it")
        last = member.offset
        if member.isreg() and not member.issparse():
            files[member.name] = member
    return files
