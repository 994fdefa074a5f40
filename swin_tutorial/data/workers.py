"""Worker processes that decode images and outlive an epoch."""

import atexit
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from swin_tutorial.data.decoding import decode_image
from swin_tutorial.data.randaugment import Color, Operation


class Request(NamedTuple):
    """What a worker is asked for: an image, by its number in the set, and what to do with it.

    crop: a row of ``augmentation.draw_crops``, or None for the center; operations: those of
    RandAugment.
    """

    number: int
    crop: list[float] | None = None
    operations: tuple[Operation, ...] = ()


def new_loader(
    files: tuple[Path, ...], size: tuple[int, int], fill: Color, workers: int, pin_memory: bool
) -> DataLoader:
    """Return a loader that serves the lists of requests in ``loader.batch_sampler.requests``."""
    loader = DataLoader(
        _Decoder(files, size, fill),
        batch_sampler=_RequestSampler(),
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_ignore_stop_signals,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        # Nothing random happens in the workers.  Without a generator of its own, a loader would
        # advance the global one.
        generator=torch.Generator(),
    )
    _open_loaders.add(loader)
    return loader


class _Decoder(Dataset):
    """What runs in a worker: the requests of a batch in, pixels out."""

    def __init__(self, files: tuple[Path, ...], size: tuple[int, int], fill: Color):
        self.files = files
        self.size = size
        self.fill = fill

    def __getitems__(self, requests: list[Request]) -> Tensor | ValueError:
        """Return the images as one tensor, or the first error."""
        pixels = torch.empty(len(requests), 3, *self.size, dtype=torch.uint8)
        try:
            for number, (image, crop, operations) in enumerate(requests):
                file = self.files[image]
                pixels[number] = decode_image(file, self.size, crop, operations, self.fill)
        except ValueError as error:
            return error  # raised here, it would reach the parent wrapped in a traceback
        return pixels


class _RequestSampler:
    """The requests of an iteration: unlike its sampler, they can be replaced in a DataLoader."""

    requests: Iterable[list[Request]] = ()

    def __iter__(self) -> Iterator[list[Request]]:
        return iter(self.requests)


def _as_it_is(pixels: Tensor | ValueError) -> Tensor | ValueError:
    return pixels  # already a batch


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


def end_workers(loader: DataLoader) -> None:
    """End the workers of a loader."""
    _open_loaders.discard(loader)
    if loader._iterator is not None:
        loader._iterator._shutdown_workers()


def end_idle_workers(idle: dict[bool, DataLoader]) -> None:
    """End the workers of all loaders in a dictionary, and empty it."""
    while idle:
        end_workers(idle.popitem()[1])


@atexit.register
def _end_all_workers() -> None:
    for loader in list(_open_loaders):
        end_workers(loader)
