"""One training process or many, and how they stop (chapter 12).

Everything here works without torchrun too: then there is one process, number 0.
"""

import contextlib
import os
import platform
import signal
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.machine import usable_device

T = TypeVar("T")


def rank() -> int:
    """Return this process's number; process 0 is the one that writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def all_reduce_sum(*tensors: Tensor) -> None:
    """Replace each tensor, in place, by its sum over all processes."""
    for tensor in tensors if dist.is_initialized() else ():
        dist.all_reduce(tensor)


def gather(value: object) -> list:
    """Return the values of all processes, in order.  All of them must call it."""
    values = [value] * world_size()
    if dist.is_initialized():
        dist.all_gather_object(values, value)
    return values


def in_all_processes(action: Callable[[], T]) -> T:
    """Run an action in every process, and return its result.

    If it fails in one, it fails in all: the others raise a TrainingError that says the same.
    """
    result, failure = None, None
    try:
        result = action()
    except Exception as error:
        failure = error
    messages = [message for message in gather(failure and str(failure)) if message is not None]
    if messages:
        raise failure or TrainingError(messages[0])
    return result


def any_process(flag: object, device: torch.device) -> bool:
    """Return whether the flag is set in any process; the answer is the same in all of them."""
    if not dist.is_initialized():
        return bool(flag)
    flags = torch.tensor(float(bool(flag)), device=device)
    all_reduce_sum(flags)
    return flags.item() > 0


def machine(device: torch.device) -> dict:
    """Return what a run's numbers must be read with: on a CPU, threads are part of it."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{device.type}, {platform.machine()}, {torch.get_num_threads()} threads"
    return {"device": name, "processes": world_size(), "torch": str(torch.__version__)}


@contextlib.contextmanager
def processes(device: str | None) -> Iterator[torch.device]:
    """Join the processes that torchrun started, if it did, and give this one its device.

    Args:
        device: "cpu", "cuda" and so on; None for the GPU if there is one.

    Raises ValueError for a device that is not on this machine.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if not dist.is_torchelastic_launched():
        yield usable_device(kind)
        return
    here = usable_device(f"cuda:{os.environ['LOCAL_RANK']}" if kind == "cuda" else kind)
    if here.type == "cuda":
        torch.cuda.set_device(here)
    store, number, count = next(dist.rendezvous("env://"))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        # On one machine torchrun's store outlives a restart, with the addresses of dead processes
        # in it (pytorch issue 135712).  Several machines do not count restarts alike, so they
        # cannot tell their stores apart by that number.
        store = dist.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    backend = "nccl" if here.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=number, world_size=count)
    try:
        yield here
    finally:
        dist.destroy_process_group()


class StopSignals:
    """Take note of Ctrl-C and SIGTERM instead of dying at once.  A second one does kill.

    ``received`` is the number of the signal, 0 for none.
    """

    def __enter__(self) -> "StopSignals":
        self.received = 0
        self._before = {}
        with contextlib.suppress(ValueError):  # only the main thread may
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _) -> None:
        self.received = number
        self.__exit__()
