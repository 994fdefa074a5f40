"""Images changed at random, a whole batch at a time: first all the draws, then what they do.

What is drawn for a batch follows from three numbers, its seed, epoch and step, and from nothing
else.  So a run needs no random state kept to be resumed at any step, and several processes agree
on a batch that each of them takes a slice of.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor

from swin_tutorial.randaugment import LARGEST_MAGNITUDE

# Share of the image that is erased, and height over width of what is (Zhong et al. 2020, Random
# Erasing, with the upper ends as in the recipe of Swin).
ERASED_AREA = (0.02, 1 / 3)
ERASED_RATIO = (0.3, 1 / 0.3)


@dataclass(frozen=True)
class Augmentation:
    """How images are changed for training.  The default changes nothing.

    crop_padding: pixels; the image is moved by up to so many either way, black comes in (pad and
        crop).
    flip: the probability that left and right are exchanged.
    erasing: the probability that a rectangle is set to the mean colour (random erasing).
    mixup: alpha of Beta(alpha, alpha), from which the share of the image in a blend with another
        one is drawn; 0 for none (Zhang et al. 2018).
    cutmix: the same for a rectangle of another image pasted in (Yun et al. 2019).  Where both are
        given, each image takes one of the two, by a fair coin.
    mixed: the probability that an image is mixed at all, if mixup or cutmix are given.
    randaugment: magnitude of RandAugment, up to 10, for pictures in files; 0 for none.  It works
        on whole pictures while they are decoded: see ``randaugment``.

    Raises ValueError for a value out of its range.
    """

    crop_padding: int = 0
    flip: float = 0.0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mixed: float = 1.0
    randaugment: float = 0.0

    def __post_init__(self):
        for name in ("crop_padding", "mixup", "cutmix"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("flip", "erasing", "mixed"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.randaugment <= LARGEST_MAGNITUDE:
            raise ValueError(
                f"randaugment is a magnitude, 0 to {LARGEST_MAGNITUDE}, got {self.randaugment}"
            )

    @property
    def mixes(self) -> bool:
        """Whether an image may get part of another one."""
        return self.mixed > 0 and (self.mixup > 0 or self.cutmix > 0)


@dataclass(frozen=True)
class Draws:
    """What was drawn for each of b images.  A rectangle is its top, left, height and width.

    top, left: of the crop in the padded image; flipped: whether left and right are exchanged;
    erased: the rectangle set to the mean, of height 0 for none; pasted: the rectangle that another
    image fills, of height 0 for none; kept: the share of its own image in what results.
    """

    top: Int64[Tensor, "b"]
    left: Int64[Tensor, "b"]
    flipped: Bool[Tensor, "b"]
    erased: Int64[Tensor, "b 4"]
    pasted: Int64[Tensor, "b 4"]
    kept: Float[Tensor, "b"]

    def of(self, positions: Int64[Tensor, "k"]) -> "Draws":
        """Return the draws of the images at these positions."""
        return Draws(**{one.name: getattr(self, one.name)[positions] for one in _FIELDS})

    def sent(self, device: torch.device) -> "Draws":
        """Return the draws on a device."""
        return Draws(**{one.name: sent(getattr(self, one.name), device) for one in _FIELDS})


_FIELDS = dataclasses.fields(Draws)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU's on a device, without waiting until that has done its work."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # from other memory the copy would wait
    return tensor.to(device, non_blocking=True)


# --- what is drawn ---


def generator(purpose: str, seed: int, *numbers: int) -> np.random.Generator:
    """Return the random generator of a purpose, a seed and further numbers, all at least 0.

    Different numbers, or a different purpose, give independent streams.
    """
    key = (int.from_bytes(purpose.encode(), "little"), *numbers)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def draw(
    augmentation: Augmentation, batch: int, height: int, width: int, rng: np.random.Generator
) -> Draws:
    """Draw for ``batch`` images of ``height`` x ``width`` pixels.

    Each ingredient takes its numbers from ``rng`` whether it is on or off: an ablation changes
    nothing but what it switches off.
    """
    shifts = np.floor(rng.random((2, batch)) * (2 * augmentation.crop_padding + 1))
    flipped = rng.random(batch) < augmentation.flip
    erased = _rectangles_to_erase(height, width, rng.random((5, batch)), augmentation.erasing)
    pasted, kept = _mixtures(augmentation, height, width, rng, batch)
    return Draws(
        *torch.from_numpy(shifts.astype(np.int64)),
        torch.from_numpy(flipped),
        torch.from_numpy(erased),
        torch.from_numpy(pasted),
        torch.from_numpy(kept),
    )


def draw_crops(
    batch: int, smallest_area: float, rng: np.random.Generator
) -> Float64[np.ndarray, "batch 4"]:
    """Draw what ``crop_box`` turns into a crop of a random area and proportion.

    The area is between ``smallest_area`` and the whole, the proportion between 3:4 and 4:3
    (Szegedy et al. 2015, as in the recipe of Swin).
    """
    area, ratio, left, top = rng.random((4, batch))
    area = np.interp(area, (0, 1), (smallest_area, 1))
    ratio = np.exp(np.interp(ratio, (0, 1), np.log((3 / 4, 4 / 3))))
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
    """Return rectangles wholly inside the image, from five uniform numbers each."""
    happens, area, ratio, top, left = uniform
    area = np.interp(area, (0, 1), ERASED_AREA) * height * width
    ratio = np.exp(np.interp(ratio, (0, 1), np.log(ERASED_RATIO)))
    rows = np.clip(np.rint(np.sqrt(area * ratio)), 1, height)
    columns = np.clip(np.rint(np.sqrt(area / ratio)), 1, width)
    return _placed(height, width, rows, columns, top, left, happens < probability)


def _mixtures(augmentation: Augmentation, height: int, width: int, rng, batch: int):
    """Return the rectangles to paste and the share of its own image that each is left with.

    A pasted rectangle has the image's proportions and lies wholly inside.  Yun et al. let it hang
    over the edge and cut it off.
    """
    happens, coin, top, left = rng.random((4, batch))
    # How many numbers a beta distribution takes depends on its alpha: each has a stream of its own.
    blended, uncovered = (
        stream.beta(alpha or 1, alpha or 1, batch)
        for stream, alpha in zip(
            rng.spawn(2), (augmentation.mixup, augmentation.cutmix), strict=True
        )
    )
    happens = happens < (augmentation.mixed if augmentation.mixes else 0)
    if augmentation.mixup and augmentation.cutmix:
        pastes = coin < 0.5
    else:
        pastes = np.full(batch, augmentation.cutmix > 0)
    side = np.sqrt(1 - uncovered)
    rows, columns = np.rint(height * side), np.rint(width * side)
    pasted = _placed(height, width, rows, columns, top, left, happens & pastes)
    kept = np.where(happens & ~pastes, blended, 1)
    kept -= pasted[:, 2] * pasted[:, 3] / (height * width)
    return pasted, kept.astype(np.float32)


def _placed(height, width, rows, columns, top, left, exists) -> np.ndarray:
    """Return rectangles, their corners anywhere inside by uniform ``top`` and ``left``."""
    top, left = np.floor(top * (height - rows + 1)), np.floor(left * (width - columns + 1))
    return (np.stack([top, left, rows, columns], axis=1) * exists[:, None]).astype(np.int64)


# --- what it does ---


def cropped(
    padded: UInt8[Tensor, "n c hp wp"],
    which: Int64[Tensor, "b"],
    draws: Draws,
    height: int,
    width: int,
) -> UInt8[Tensor, "b c {height} {width}"]:
    """Take the images ``which`` out of a padded set, crop and flip them."""
    # A view of every crop there is, of which one is copied for each image.
    crops = padded.unfold(2, height, 1).unfold(3, width, 1)
    images = crops[which, :, draws.top, draws.left]
    return torch.where(draws.flipped[:, None, None, None], images.flip(-1), images)


def inside(
    rectangles: Int64[Tensor, "b 4"], height: int, width: int
) -> Bool[Tensor, "b 1 {height} {width}"]:
    """Return True where a pixel lies in its image's rectangle."""
    top, left, rows, columns = (one[:, None, None, None] for one in rectangles.unbind(1))
    y = torch.arange(height, device=rectangles.device)[:, None]
    x = torch.arange(width, device=rectangles.device)
    return ((y >= top) & (y < top + rows)) & ((x >= left) & (x < left + columns))


def erased(
    images: Float[Tensor, "b c h w"], rectangles: Int64[Tensor, "b 4"]
) -> Float[Tensor, "b c h w"]:
    """Set the rectangles to 0, the mean of normalised images."""
    return images.masked_fill(inside(rectangles, *images.shape[2:]), 0)


def mixed(
    images: Float[Tensor, "b c h w"], others: Float[Tensor, "b c h w"], draws: Draws
) -> Float[Tensor, "b c h w"]:
    """Paste a rectangle of the other image, or blend with it, or leave the image as it is."""
    # A pasted image must not be blended too: its share is one of area, each pixel stays whole.
    blends = draws.pasted[:, 2] == 0
    share = torch.where(blends, draws.kept, 1)[:, None, None, None]
    # A product and a sum, no lerp: each is rounded alike whatever the batch's size.
    blended = images * share + others * (1 - share)
    return torch.where(inside(draws.pasted, *images.shape[2:]), others, blended)


def mixed_targets(
    labels: Int64[Tensor, "b"],
    other_labels: Int64[Tensor, "b"],
    kept: Float[Tensor, "b"],
    classes: int,
) -> Float[Tensor, "b {classes}"]:
    """Return class probabilities: ``kept`` for the image's own class, the rest for the other's."""
    targets = torch.zeros(len(labels), classes, device=labels.device)
    targets.scatter_(1, labels[:, None], kept[:, None])
    return targets.scatter_add_(1, other_labels[:, None], 1 - kept[:, None])


def partners(batch: int) -> Int64[Tensor, "batch"]:
    """Return the position that each image of a batch is mixed with: its neighbour.

    The order of the images is random already.  Neighbours mostly lie in the slice of one process,
    which so need not decode an image that is another's.  The last image of an odd batch has only
    itself.
    """
    return (torch.arange(batch) ^ 1).clamp(max=batch - 1)


def normalised(
    images: UInt8[Tensor, "b c h w"], mean: Float[Tensor, "c"], std: Float[Tensor, "c"]
) -> Float[Tensor, "b c h w"]:
    """Return (image / 255 - mean) / std, channel by channel, as 32-bit floats."""
    mean, std = (one[:, None, None] * 255 for one in (mean, std))
    return images.float().sub_(mean).div_(std)
