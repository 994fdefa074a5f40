"""The machine under a run: its devices, its memory, its compiler, its random state."""

import contextlib
import ctypes
import re
from collections.abc import Iterator

import torch

from swin_tutorial.training.errors import TrainingError


def usable_device(name: str) -> torch.device:
    """Return the device of a name.  ValueError if it is not on this machine."""
    names = ["cpu"]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None:
        count = torch.accelerator.device_count()
        names += [accelerator.type, *(f"{accelerator.type}:{i}" for i in range(count))]
    if name not in names:
        raise ValueError(f"device {name!r} is not on this machine: choose among {', '.join(names)}")
    return torch.device(name)


def check_compiler(device: torch.device, option: str) -> None:
    """Compile next to nothing, before minutes of work begin.

    Raises ValueError if that fails, and names the option that does without a compiler.
    """
    try:
        torch.compile(torch.sin)(torch.ones(2, device=device))
    except Exception as error:  # of whatever is missing
        reason = " ".join(str(error).split("\n\n")[0].split())
        raise ValueError(
            f"nothing can be compiled here ({reason}): install a compiler, such as g++, or use "
            f"{option}"
        ) from error


@contextlib.contextmanager
def own_random_state(device: torch.device | None = None) -> Iterator[None]:
    """Leave PyTorch's random state as it was: on the CPU, on each GPU in use, and on a device."""
    if device is not None and device.type == "cuda":
        torch.cuda.init()
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(gpus):
        yield


@contextlib.contextmanager
def named_memory_errors() -> Iterator[None]:
    """Turn what PyTorch and Python raise when memory is full into a TrainingError."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            "the memory is full: lower --batch-size, raise --grad-accum-steps, or make the model "
            "or the images smaller"
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that the memory of the machine, or of the GPU, is full."""
    by_name = isinstance(error, MemoryError | torch.OutOfMemoryError)
    by_text = isinstance(error, RuntimeError | TypeError) and _OUT_OF_MEMORY.search(str(error))
    return by_name or bool(by_text)


# No memory now, no memory with so many bytes, no tensor with a side so long.
_OUT_OF_MEMORY = re.compile(
    "can't allocate memory|Storage size calculation overflowed|Overflow when unpacking long"
)


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
