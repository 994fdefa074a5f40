"""One training process or many, on whatever device there is, and how they stop (chapter 12).

Everything here works without torchrun too: then there is one process, number 0.
"""

import contextlib
import ctypes
import os
import platform
import signal
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor


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


def any_process(flag: object, device: torch.device) -> bool:
    """Return whether the flag is set in any process; the answer is the same in all of them."""
    if not dist.is_initialized():
        return bool(flag)
    flags = torch.tensor(float(bool(flag)), device=device)
    all_reduce_sum(flags)
    return flags.item() > 0


@contextlib.contextmanager
def processes(device: str | None) -> Iterator[torch.device]:
    """Join the processes that torchrun started, if it did, and give this one its device.

    Args:
        device: "cpu", "cuda" and so on; None for the GPU if there is one.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if not dist.is_torchelastic_launched():
        yield torch.device(kind)
        return
    if kind == "cuda":
        kind = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(kind)
    store, number, count = next(dist.rendezvous("env://"))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        # On one machine torchrun's store outlives a restart, with the addresses of dead processes
        # in it (pytorch issue 135712).  Several machines do not count restarts alike, so they
        # cannot tell their stores apart by that number.
        store = dist.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    backend = "nccl" if "cuda" in kind else "gloo"
    dist.init_process_group(backend, store=store, rank=number, world_size=count)
    try:
        yield torch.device(kind)
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Compute the same twice on a CPU, where a few sums depend on the threads' timing otherwise.

    GPUs would get slower, so they are left as they are.
    """
    before = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # slow, and for debugging
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filling


def keep_freed_memory() -> None:
    """Make the C library keep the memory that a step frees, for the next step.  Linux only.

    It would otherwise return large blocks to the system and ask for them again a moment later:
    thousands of page faults in every step on a CPU.
    """
    with contextlib.suppress(OSError, AttributeError):  # no glibc: nothing to set
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block is a mapping of its own
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: nothing is returned below 2 GB


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


def device_name(device: torch.device) -> str:
    """Return what a measurement must be read with: the GPU's name, or a CPU's threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {platform.machine()}, {torch.get_num_threads()} threads"
