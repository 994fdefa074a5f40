"""Batches that depend only on the seed, the epoch and the step, so that any run can be resumed.

A batch is drawn as a whole, whatever the number of processes, and each process takes its slice.
There is no random state to store: the same samples come again, bit for bit, also when a run resumes
with another number of processes.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from swin_tutorial.axis import check_size
from swin_tutorial.data.augmentation import (
    Augmentation,
    Draws,
    crop,
    draw,
    draw_crops,
    erase,
    generator,
    mix,
    mix_targets,
    mixing_partners,
    normalize,
    to_device,
)
from swin_tutorial.data.folders import ImageFolder
from swin_tutorial.data.labelled import LabelledImages
from swin_tutorial.data.randaugment import draw_operations
from swin_tutorial.data.workers import Request

Images = LabelledImages | ImageFolder
Batch = tuple[Float[Tensor, "b c h w"], Float[Tensor, "b classes"]]


@dataclass(frozen=True)
class _Plan:
    """How one process makes its slice of a batch.

    The process takes k images: its b own ones and, if images are mixed, their partners.

    Args:
        positions: of the k images in the batch.
        images: their numbers in the set.
        draws: what was drawn for them.
        own, partner: for each of the b own images, where it and its partner are among the k.
    """

    positions: Int64[Tensor, "k"]
    images: Int64[Tensor, "k"]
    draws: Draws
    own: Int64[Tensor, "b"]
    partner: Int64[Tensor, "b"]


class _Batches:
    """What batches from memory and batches from files have in common."""

    def __init__(
        self,
        images: Images,
        size: tuple[int, int],
        batch_size: int,
        device: torch.device | str,
        seed: int,
        augmentation: Augmentation | None,
        rank: int,
        world_size: int,
    ):
        per_process = _images_per_process(batch_size, rank, world_size)
        if batch_size % world_size:
            raise ValueError(
                f"batch_size {batch_size} does not divide by the {world_size} processes: "
                f"take {per_process * world_size}"
            )
        if batch_size > len(images):
            raise ValueError(
                f"batch_size {batch_size} is larger than the set: it has {len(images)} images"
            )
        augmentation = augmentation or Augmentation()
        if augmentation.crop_padding >= min(size):
            raise ValueError(
                f"crop_padding {augmentation.crop_padding} is too large for images of "
                f"{size[0]} x {size[1]} pixels: take {min(size) - 1} at most"
            )
        self.images = images
        self.size = size
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.seed = seed
        self.augmentation = augmentation
        self.labels = images.labels.to(self.device)
        self.mean, self.std = _channel_statistics(images, self.device)
        self.own = torch.arange(rank * per_process, (rank + 1) * per_process)

    def __len__(self) -> int:
        """Return the number of steps in an epoch; a last batch that is not full is dropped."""
        return len(self.images) // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield normalized images and class probabilities, from step ``start`` on.

        Raises ValueError for a negative seed, and for a step that the epoch does not have.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start is a step from 0 to {len(self)}, got {start}")
        order = generator("order", self.seed, epoch).permutation(len(self.images))
        return self._steps(torch.from_numpy(order), epoch, range(start, len(self)))

    def _plan(self, order: Int64[Tensor, "n"], epoch: int, step: int) -> _Plan:
        # Draw for the whole batch, then select what this process needs.
        rng = generator("augmentation", self.seed, epoch, step)
        draws = draw(self.augmentation.in_epoch(epoch), self.batch_size, *self.size, rng)
        partner = self.own
        if self.augmentation.mixes:
            partner = mixing_partners(self.batch_size)[self.own]
        # Most partners are own images too: take each image once.
        positions, place = torch.unique(torch.cat([self.own, partner]), return_inverse=True)
        return _Plan(
            positions=positions,
            images=order[step * self.batch_size : (step + 1) * self.batch_size][positions],
            draws=draws.select(positions),
            own=place[: len(self.own)],
            partner=place[len(self.own) :],
        )

    def _batch(
        self, padded: UInt8[Tensor, "n c hp wp"], which: Int64[Tensor, "k"], plan: _Plan
    ) -> Batch:
        """Return a batch, made on the device; ``which`` says where its images are in ``padded``."""
        which, images, own, partner = (
            to_device(index, self.device) for index in (which, plan.images, plan.own, plan.partner)
        )
        draws = plan.draws.to_device(self.device)
        x = crop(padded, which, draws, *self.size)
        x = normalize(x, self.mean, self.std)
        if self.augmentation.random_erasing:
            x = erase(x, draws.erased)
        labels, own_draws = self.labels[images], draws.select(own)
        num_classes = len(self.images.classes)
        targets = mix_targets(labels[own], labels[partner], own_draws.lam, num_classes)
        if self.augmentation.mixes:
            x = mix(x[own], x[partner], own_draws)
        return x, targets

    def _pad(self, pixels: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c hp wp"]:
        return F.pad(pixels, [self.augmentation.crop_padding] * 4)


class DeviceBatches(_Batches):
    """Training batches of a set that lies on the device as one tensor of bytes.

    Args:
        images: the set.
        batch_size: images per step, over all processes.
        device: where the set is kept and the batches are made.
        seed: any whole number from 0.
        augmentation: how the images are changed; None for not at all.
        rank, world_size: the number of this process, and how many there are.

    Raises ValueError if the batch is larger than the set or does not divide by the processes, if
    ``crop_padding`` is not smaller than the images, and for ``randaugment`` and ``crop_scale``,
    which change images in files.
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
        for name, off in (("randaugment", 0.0), ("crop_scale", None)):
            value = getattr(augmentation, name, off)
            if value != off:
                raise ValueError(
                    f"{name} {value} is for images in files, and this set is in memory: "
                    f"set it to {off}, or train on a folder of images"
                )
        size = tuple(images.pixels.shape[1:3])
        super().__init__(images, size, batch_size, device, seed, augmentation, rank, world_size)
        pixels = rearrange(images.pixels.to(self.device), "n h w c -> n c h w")
        self.padded = self._pad(pixels.contiguous())

    def _steps(self, order: Int64[Tensor, "n"], epoch: int, steps: range) -> Iterator[Batch]:
        for step in steps:
            plan = self._plan(order, epoch, step)
            yield self._batch(self.padded, plan.images, plan)


class FolderBatches(_Batches):
    """Training batches of images in files, decoded by worker processes.

    Arguments and errors are those of ``DeviceBatches``.  Each image is a crop of the file's, scaled
    to ``images.size``: a random one if the augmentation has a ``crop_scale``, or else the center.
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
    ):
        super().__init__(
            images, images.size, batch_size, device, seed, augmentation, rank, world_size
        )

    def _steps(self, order: Int64[Tensor, "n"], epoch: int, steps: range) -> Iterator[Batch]:
        plans = deque()  # of the batches that the workers were asked for and have not yet made

        def requests() -> Iterator[list[Request]]:
            for step in steps:
                plans.append(self._plan(order, epoch, step))
                yield self._requests(plans[-1], epoch, step)

        for pixels in self.images.decode(requests(), self.device):
            yield self._batch(self._pad(pixels), torch.arange(len(pixels)), plans.popleft())

    def _requests(self, plan: _Plan, epoch: int, step: int) -> list[Request]:
        """Return what the workers are asked for: one request for each image of a plan."""
        crops = [None] * self.batch_size
        if self.augmentation.crop_scale:
            rng = generator("crop", self.seed, epoch, step)
            crops = draw_crops(self.batch_size, self.augmentation.crop_scale, rng).tolist()
        rng = generator("randaugment", self.seed, epoch, step)
        operations = draw_operations(self.batch_size, self.augmentation.randaugment, rng)
        return [
            Request(number, crops[position], operations[position])
            for number, position in zip(plan.images.tolist(), plan.positions.tolist(), strict=True)
        ]


def evaluation_batches(
    images: Images,
    batch_size: int,
    device: torch.device | str,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, "b"]]]:
    """Yield normalized images and their labels, in order, each image in one process only.

    ``batch_size`` counts the images of all processes.  Each process takes one stretch of the set.
    Stretches may differ by one image, and so may the numbers of batches: reduce over the processes
    at the end, not after each batch.
    """
    per_process = _images_per_process(batch_size, rank, world_size)
    first, last = (len(images) * number // world_size for number in (rank, rank + 1))
    slices = [
        slice(start, min(start + per_process, last)) for start in range(first, last, per_process)
    ]
    return _evaluation_batches(images, slices, torch.device(device))


def _evaluation_batches(images: Images, slices: list[slice], device: torch.device):
    if isinstance(images, ImageFolder):
        requests = ([Request(number) for number in range(s.start, s.stop)] for s in slices)
        pixels_of_slices = images.decode(requests, device)
    else:
        pixels_of_slices = (
            rearrange(images.pixels[s].to(device), "b h w c -> b c h w").contiguous()
            for s in slices
        )
    mean, std = _channel_statistics(images, device)
    for s, pixels in zip(slices, pixels_of_slices, strict=True):
        yield normalize(pixels, mean, std), images.labels[s].to(device)


def _channel_statistics(images: Images, device: torch.device) -> list[Float[Tensor, "c"]]:
    """Return the mean and the standard deviation of each channel, on the device."""
    return [
        torch.tensor(statistic, dtype=torch.float32, device=device)
        for statistic in (images.mean, images.std)
    ]


def _images_per_process(batch_size: int, rank: int, world_size: int) -> int:
    """Return how many images of a batch each process takes; ValueError for invalid numbers."""
    check_size("batch_size", batch_size)
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is not one of {world_size} processes, counted from 0")
    if batch_size < world_size:
        raise ValueError(f"batch_size {batch_size} is too small for {world_size} processes")
    return batch_size // world_size
