"""Labeled images held in memory, with the channel statistics that normalize them."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor


@dataclass(frozen=True)
class LabelledImages:
    """A set of images that is small enough to be held in memory.

    Args:
        pixels: values from 0 to 255, channels last.
        labels: the class of each image, an index into ``classes``.
        classes: the name of each class.
        mean, std: of each channel, on a scale from 0 to 1; they normalize the images.  Computed
            from ``pixels`` if left out; a test set gets those of its training set.

    Raises ValueError if there are no images, if images and labels differ in number, or if a label
    is not the index of a class.
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
