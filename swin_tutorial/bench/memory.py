"""How much memory a piece of work takes at its peak, beyond what is in use before it."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_bytes(run: Callable, device: torch.device) -> int | None:
    """Return by how many bytes memory grows at most while ``run`` runs.

    On a GPU it is what PyTorch's allocator hands out.  On a CPU it is the resident memory of this
    process, as Linux counts it: tensors, the buffers of PyTorch's libraries, and what the C library
    keeps for later.  None where there is no such count.
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    give_back = _malloc_trim()
    if give_back is None or not _CLEAR_REFS.exists():
        return None
    # What was freed and kept for later would be taken again unseen.
    gc.collect()
    give_back(0)
    before = _status_bytes("VmRSS")
    _CLEAR_REFS.write_text("5")  # the peak, from now on
    run()
    return _status_bytes("VmHWM") - before


def _malloc_trim() -> Callable | None:
    """Return the function of the C library that gives freed memory back; None if it has none."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


def _status_bytes(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{_STATUS} does not name {key}")
