"""Labeled images held in memory, with the channel statistics that normalize them."""

import hashlib
import json
import math
from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor


@dataclass(frozen=True)
class LabelledImages:
    """A set of images that is small enough to be held in memory.

    Args:
        pixels: values from 0 to 255, channels last: 1 for gray, 3 for color.
        labels: the class of each image, an index into ``classes``.
        classes: the name of each class.
        mean, std: of each channel, on a scale from 0 to 1; they normalize the images.  Computed
            from ``pixels`` if left out; a test set gets those of its training set.

    Raises ValueError for pixels of another type or shape, for labels that do not fit the images or
    the classes, and for statistics that do not fit the channels.
    """

    pixels: UInt8[Tensor, "n h w c"]
    labels: Int64[Tensor, "n"]
    classes: tuple[str, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self):
        _check_pixels(self.pixels)
        check_labels(self.labels, len(self.pixels), self.classes)
        if self.mean is None and self.std is None:
            mean, std = channel_statistics(self.pixels)
            object.__setattr__(self, "mean", mean)
            object.__setattr__(self, "std", std)
        _check_statistics(self.mean, self.std, self.pixels.shape[-1])

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of the classes, the labels and the pixels."""
        digest = hashlib.sha256(json.dumps([self.classes, self.pixels.shape]).encode())
        for tensor in (self.labels, self.pixels):
            digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()


def channel_statistics(
    pixels: UInt8[Tensor, "n h w c"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the standard deviation of each channel, for pixels scaled to 0 … 1.

    The sums are exact integers, so the result is the same on every machine.  A constant channel
    gets a standard deviation of 1, so that it can be divided by.
    """
    values = torch.arange(256)
    means, stds = [], []
    for channel in pixels.unbind(-1):
        counts = torch.bincount(channel.flatten(), minlength=256).cpu()
        count, total, total_of_squares = (int((counts * values**k).sum()) for k in range(3))
        means.append(total / count / 255)
        variance = count * total_of_squares - total**2  # times count**2: still an exact integer
        stds.append(variance**0.5 / count / 255 or 1.0)
    return tuple(means), tuple(stds)


# --- what is refused ---


def check_labels(labels: Int64[Tensor, "n"], count: int, classes: tuple[str, ...]) -> None:
    """Raise ValueError unless there is a label for each of ``count`` images, and a class for it."""
    _check_type("labels", labels, torch.int64, "convert whole numbers with .long()")
    if labels.ndim != 1:
        raise ValueError(f"labels must have one axis, got shape {tuple(labels.shape)}")
    if len(labels) != count:
        raise ValueError(f"there are {count} images but {len(labels)} labels")
    if not count:
        raise ValueError("there are no images")
    low, high = labels.min().item(), labels.max().item()
    if low < 0 or high >= len(classes):
        raise ValueError(
            f"label {low if low < 0 else high} is out of range: "
            f"there are {len(classes)} classes, counted from 0"
        )


def _check_pixels(pixels: UInt8[Tensor, "n h w c"]) -> None:
    remedy = "scale them to 0 … 255 and convert with .to(torch.uint8)"
    _check_type("pixels", pixels, torch.uint8, remedy)
    shape = tuple(pixels.shape)
    if pixels.ndim != 4 or shape[3] not in (1, 3):
        raise ValueError(
            f"pixels must have the shape (images, height, width, channels) with 1 or 3 channels, "
            f"got {shape}: move the channels to the end with .movedim, or add an axis for them"
        )
    if 0 in shape[1:]:
        raise ValueError(f"images must have pixels, got the shape {shape}")


def _check_statistics(mean: object, std: object, channels: int) -> None:
    for name, values in (("mean", mean), ("std", std)):
        if values is None or len(values) != channels or not all(map(math.isfinite, values)):
            raise ValueError(
                f"{name} must have a finite number for each of the {channels} channels, "
                f"got {values}: give both mean and std, or neither"
            )
    if min(std) <= 0:
        raise ValueError(f"std must be larger than 0, got {std}: it divides the pixels")


def _check_type(name: str, value: object, dtype: torch.dtype, remedy: str) -> None:
    found = value.dtype if isinstance(value, Tensor) else type(value).__name__
    if found != dtype:
        raise ValueError(f"{name} must be a tensor of {dtype}, got {found}: {remedy}")
