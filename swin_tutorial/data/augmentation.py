"""Random changes to a batch of images: everything is drawn first, then applied on the device.

What is drawn for a batch depends only on the seed, the epoch and the step.  So a run can resume at
any step without a stored random state, and several processes can each take a slice of one batch.
torchvision's and timm's transforms draw from global generators, which rules this out (and
torchvision's wheel does not import beside a CPU build of PyTorch).
"""

import dataclasses
import sys
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor

from swin_tutorial.axis import check_size
from swin_tutorial.data.randaugment import MAX_MAGNITUDE

# Fraction of the image that is erased, and the rectangle's height over its width (Zhong et al.
# 2020, Random Erasing, with the upper limits of Swin's official recipe).
ERASED_AREA = (0.02, 1 / 3)
ERASED_RATIO = (0.3, 1 / 0.3)
# Width over height of the crop of an image in a file (Szegedy et al. 2015, as in Swin's official
# recipe).
CROP_RATIO = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Augmentation:
    """How images are changed for training; the default changes nothing.

    Args:
        crop_padding: pixels of black added on each side before the image's own size is cropped out
            at random.
        flip_prob: probability of a horizontal flip.
        random_erasing: probability that a random rectangle is set to the mean color.
        mixup: alpha of the distribution Beta(alpha, alpha) from which the weight of an image is
            drawn when it is blended with another (Zhang et al. 2018); 0 turns mixup off.
        cutmix: the same for the area that is left when a rectangle of another image is pasted in
            (Yun et al. 2019); 0 turns cutmix off.  With mixup on as well, a fair coin decides
            between the two for each image.
        mix_prob: probability that an image is mixed at all, if mixup or cutmix is on.
        mix_until: the epoch, counted from 0, from which images are not mixed any more; None for
            never.  A run can so end on images like those that it is tested on.
        randaugment: magnitude of RandAugment, from 0 (off) to 10; for folders of images only.
        crop_scale: smallest and largest area of a random crop, as fractions of the image (Swin's
            official recipe has 0.08 and 1); None for the center.  For folders of images only.

    Raises ValueError for a value out of range.
    """

    crop_padding: int = 0
    flip_prob: float = 0.0
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_prob: float = 1.0
    mix_until: int | None = None
    randaugment: float = 0.0
    crop_scale: tuple[float, float] | None = None

    def __post_init__(self):
        check_size("crop_padding", self.crop_padding, at_least=0)
        if self.mix_until is not None:
            check_size("mix_until", self.mix_until, at_least=0)
        for name in ("mixup", "cutmix"):
            if not _is_between(0, getattr(self, name), sys.float_info.max):
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)!r}")
        for name in ("flip_prob", "random_erasing", "mix_prob"):
            if not _is_between(0, getattr(self, name), 1):
                raise ValueError(f"{name} is a probability, 0 to 1, got {getattr(self, name)!r}")
        if not _is_between(0, self.randaugment, MAX_MAGNITUDE):
            raise ValueError(
                f"randaugment is a magnitude, 0 to {MAX_MAGNITUDE}, got {self.randaugment!r}"
            )
        if self.crop_scale is not None and not _are_fractions(self.crop_scale):
            raise ValueError(
                "crop_scale must be a tuple of the smallest and the largest area, above 0 and up "
                f"to 1, got {self.crop_scale!r}"
            )

    @property
    def mixes(self) -> bool:
        """Whether an image may be mixed with another one."""
        return self.mix_prob > 0 and (self.mixup > 0 or self.cutmix > 0)

    def in_epoch(self, epoch: int) -> "Augmentation":
        """Return the augmentation as it is in an epoch, counted from 0."""
        if self.mix_until is None or epoch < self.mix_until:
            return self
        return dataclasses.replace(self, mix_prob=0.0)


def _is_between(low, value, high) -> bool:
    """Return whether a value is a number in a range; NaN, True and text are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _are_fractions(values: object) -> bool:
    """Return whether a value is two numbers above 0 and up to 1, the smaller one first."""
    if not isinstance(values, tuple) or len(values) != 2:
        return False
    low, high = values
    return _is_between(sys.float_info.min, high, 1) and _is_between(sys.float_info.min, low, high)


@dataclass(frozen=True)
class Draws:
    """What was drawn for each of b images.

    A rectangle is given by its top, left, height and width in pixels; a height of 0 means none.

    Args:
        top, left: where the crop begins in the padded image.
        flipped: whether the image is flipped.
        erased: the rectangle that is set to the mean color.
        pasted: the rectangle that another image fills.
        lam: the share of the image itself in the mixed one, from 0 to 1 (lambda in both papers).
    """

    top: Int64[Tensor, "b"]
    left: Int64[Tensor, "b"]
    flipped: Bool[Tensor, "b"]
    erased: Int64[Tensor, "b 4"]
    pasted: Int64[Tensor, "b 4"]
    lam: Float[Tensor, "b"]

    def select(self, positions: Int64[Tensor, "k"]) -> "Draws":
        """Return the draws of the images at these positions."""
        return Draws(*(getattr(self, field.name)[positions] for field in dataclasses.fields(self)))

    def to_device(self, device: torch.device) -> "Draws":
        """Return the draws on a device."""
        tensors = (getattr(self, field.name) for field in dataclasses.fields(self))
        return Draws(*(to_device(tensor, device) for tensor in tensors))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device without waiting for the work queued there."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # a copy from unpinned memory would wait
    return tensor.to(device, non_blocking=True)


# --- what is drawn ---


def generator(purpose: str, seed: int, *numbers: int) -> np.random.Generator:
    """Return the random generator for a purpose, a seed and further numbers, all at least 0.

    Any other purpose or number gives an independent stream.

    Raises ValueError for a negative seed.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    key = (int.from_bytes(purpose.encode(), "little"), *numbers)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def draw(
    augmentation: Augmentation, batch_size: int, height: int, width: int, rng: np.random.Generator
) -> Draws:
    """Draw the changes to a batch of images of ``height`` x ``width`` pixels.

    Each ingredient takes its numbers from ``rng`` whether it is on or off.  So an ablation changes
    only what it switches off.
    """
    offsets = np.floor(rng.random((2, batch_size)) * (2 * augmentation.crop_padding + 1))
    flipped = rng.random(batch_size) < augmentation.flip_prob
    uniform = rng.random((5, batch_size))
    erased = _rectangles_to_erase(height, width, uniform, augmentation.random_erasing)
    pasted, lam = _draw_mixing(augmentation, height, width, rng, batch_size)
    return Draws(
        *torch.from_numpy(offsets.astype(np.int64)),
        torch.from_numpy(flipped),
        torch.from_numpy(erased),
        torch.from_numpy(pasted),
        torch.from_numpy(lam),
    )


def draw_crops(
    batch_size: int, scale: tuple[float, float], rng: np.random.Generator
) -> Float64[np.ndarray, "batch_size 4"]:
    """Draw random crops, in a form that does not depend on the size of the image.

    ``scale`` is the ``crop_scale`` of an augmentation.

    A row holds the area as a fraction of the image, width over height, and where the crop lies
    from left to right and from top to bottom, each from 0 to 1.  ``crop_box`` makes pixels of it.
    """
    area, ratio, left, top = rng.random((4, batch_size))
    area = np.interp(area, (0, 1), scale)
    ratio = np.exp(np.interp(ratio, (0, 1), np.log(CROP_RATIO)))
    return np.stack([area, ratio, left, top], axis=1)


def crop_box(crop: list[float], height: int, width: int) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a drawn crop, in pixels of an image of that size.

    A crop that is too wide or too high is narrowed to fit.
    """
    area, ratio, left, top = crop
    columns = min((area * height * width * ratio) ** 0.5, width)
    rows = min((area * height * width / ratio) ** 0.5, height)
    left, top = left * (width - columns), top * (height - rows)
    return left, top, min(left + columns, width), min(top + rows, height)


def _rectangles_to_erase(height: int, width: int, uniform: np.ndarray, probability: float):
    """Return one rectangle inside each image, from five uniform random numbers per image."""
    coin, area, ratio, top, left = uniform
    area = np.interp(area, (0, 1), ERASED_AREA) * height * width
    ratio = np.exp(np.interp(ratio, (0, 1), np.log(ERASED_RATIO)))
    rows = np.clip(np.rint(np.sqrt(area * ratio)), 1, height)
    columns = np.clip(np.rint(np.sqrt(area / ratio)), 1, width)
    return _place_rectangles(height, width, rows, columns, top, left, coin < probability)


def _draw_mixing(augmentation: Augmentation, height: int, width: int, rng, batch_size: int):
    """Return the rectangle to paste into each image, and the share that is left of the image.

    A rectangle has the proportions of the image and lies inside it.  (In Yun et al. it may cross
    the edge, where it is cut off.)
    """
    coin, which, top, left = rng.random((4, batch_size))
    # How many numbers a draw from Beta(alpha, alpha) consumes depends on alpha.  Each distribution
    # gets its own stream, so that neither changes the other's draws.
    weights, uncovered = (
        stream.beta(alpha or 1, alpha or 1, batch_size)
        for stream, alpha in zip(
            rng.spawn(2), (augmentation.mixup, augmentation.cutmix), strict=True
        )
    )
    is_mixed = coin < (augmentation.mix_prob if augmentation.mixes else 0)
    if augmentation.mixup and augmentation.cutmix:
        is_pasted = which < 0.5
    else:
        is_pasted = np.full(batch_size, augmentation.cutmix > 0)
    side = np.sqrt(1 - uncovered)
    rows, columns = np.rint(height * side), np.rint(width * side)
    pasted = _place_rectangles(height, width, rows, columns, top, left, is_mixed & is_pasted)
    lam = np.where(is_mixed & ~is_pasted, weights, 1)
    # The sides were rounded to whole pixels: count the pixels that are left.
    lam -= pasted[:, 2] * pasted[:, 3] / (height * width)
    return pasted, lam.astype(np.float32)


def _place_rectangles(height, width, rows, columns, top, left, exists) -> np.ndarray:
    """Return rectangles with a corner anywhere inside the image, from uniform ``top``, ``left``."""
    top, left = np.floor(top * (height - rows + 1)), np.floor(left * (width - columns + 1))
    return (np.stack([top, left, rows, columns], axis=1) * exists[:, None]).astype(np.int64)


# --- what it does ---


def crop(
    padded: UInt8[Tensor, "n c hp wp"],
    which: Int64[Tensor, "b"],
    draws: Draws,
    height: int,
    width: int,
) -> UInt8[Tensor, "b c {height} {width}"]:
    """Take the images numbered ``which`` out of a padded set, crop and flip them."""
    # A view of every possible crop; indexing copies one for each image.
    crops = padded.unfold(2, height, 1).unfold(3, width, 1)
    images = crops[which, :, draws.top, draws.left]
    return torch.where(draws.flipped[:, None, None, None], images.flip(-1), images)


def normalize(
    images: UInt8[Tensor, "b c h w"], mean: Float[Tensor, "c"], std: Float[Tensor, "c"]
) -> Float[Tensor, "b c h w"]:
    """Return (image / 255 - mean) / std for each channel, in single precision."""
    mean, std = (statistic[:, None, None] * 255 for statistic in (mean, std))
    return images.float().sub_(mean).div_(std)


def rectangle_mask(
    rectangles: Int64[Tensor, "b 4"], height: int, width: int
) -> Bool[Tensor, "b 1 {height} {width}"]:
    """Return a mask for each image, True inside its rectangle."""
    top, left, rows, columns = (edge[:, None, None, None] for edge in rectangles.unbind(1))
    y = torch.arange(height, device=rectangles.device)[:, None]
    x = torch.arange(width, device=rectangles.device)
    return ((y >= top) & (y < top + rows)) & ((x >= left) & (x < left + columns))


def erase(
    images: Float[Tensor, "b c h w"], rectangles: Int64[Tensor, "b 4"]
) -> Float[Tensor, "b c h w"]:
    """Set the rectangles to 0, the mean of normalized images."""
    return images.masked_fill(rectangle_mask(rectangles, *images.shape[2:]), 0)


def mix(
    images: Float[Tensor, "b c h w"], others: Float[Tensor, "b c h w"], draws: Draws
) -> Float[Tensor, "b c h w"]:
    """Blend each image with the other one, paste a rectangle of it, or leave the image alone."""
    # An image gets only one of the two: where a rectangle is pasted, lam is a share of the area,
    # not a weight.
    is_blended = draws.pasted[:, 2] == 0
    weight = torch.where(is_blended, draws.lam, 1)[:, None, None, None]
    # A product and a sum, not lerp: these round the same way whatever the batch size.
    blended = images * weight + others * (1 - weight)
    return torch.where(rectangle_mask(draws.pasted, *images.shape[2:]), others, blended)


def mix_targets(
    labels: Int64[Tensor, "b"],
    other_labels: Int64[Tensor, "b"],
    lam: Float[Tensor, "b"],
    num_classes: int,
) -> Float[Tensor, "b {num_classes}"]:
    """Return class probabilities: ``lam`` for the image's class, the rest for the other image's."""
    targets = torch.zeros(len(labels), num_classes, device=labels.device)
    targets.scatter_(1, labels[:, None], lam[:, None])
    return targets.scatter_add_(1, other_labels[:, None], 1 - lam[:, None])


def mixing_partners(batch_size: int) -> Int64[Tensor, "batch_size"]:
    """Return the position of the image that each image of a batch is mixed with: its neighbor.

    The batch is in random order, so any partner will do.  Neighbors mostly fall into the slice of
    one process, which then need not decode images of another's.  The last image of an odd batch is
    its own partner.
    """
    return (torch.arange(batch_size) ^ 1).clamp(max=batch_size - 1)
