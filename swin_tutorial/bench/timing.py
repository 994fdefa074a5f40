"""Contenders take turns, so that what slows one slows all; the result names the machine."""

import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch


def paired_medians(
    contenders: dict[str, Callable], repeats: int, clock: Callable | None = None
) -> dict[str, float]:
    """Return each contender's median time in seconds, measured in turn.

    Each turn begins with a call that is not timed, so that no contender pays for the memory and
    caches that the one before it used up.  ``clock`` runs a contender and returns the seconds that
    it took: by default on the CPU's clock.
    """
    clock = clock or cpu_seconds
    times = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            run()
            times[name].append(clock(run))
    return {name: statistics.median(seconds) for name, seconds in times.items()}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in one thread.

    Where work is this short, threads that wait for each other on a busy machine can take a hundred
    times as long as the work.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def cpu_seconds(run: Callable) -> float:
    """Return the seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def cuda_seconds(run: Callable, inner: int = 10, hide: bool = True) -> float:
    """Return the seconds of one of ``inner`` runs, by events on the GPU.

    ``hide`` has the GPU wait until Python has queued all runs, so that the GPU's own time is
    measured and not Python's.
    """
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    if hide:
        torch.cuda._sleep(20_000_000)  # cycles, some 10 ms
    start.record()
    for _ in range(inner):
        run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / inner / 1e3


def clock(device: torch.device) -> Callable:
    """Return the clock for short work on a device."""
    return cuda_seconds if device.type == "cuda" else cpu_seconds


def default_device() -> torch.device:
    """Return the GPU if PyTorch can use one, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine(device: torch.device | None = None) -> dict[str, str | int]:
    """Return what a timing must be read with: processor, device, threads and versions."""
    return {
        "device": device_name(device or torch.device("cpu")),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, as PyTorch knows it, or the kind of device."""
    name = getattr(torch.get_device_module(device), "get_device_name", None)
    return name(device) if name else device.type


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, as Linux gives it; elsewhere what Python knows of it."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def scaled(seconds: dict[str, float], factor: float, digits: int = 1) -> dict[str, float]:
    """Return times in another unit, ``factor`` to the second, rounded."""
    return {name: round(factor * time, digits) for name, time in seconds.items()}


def check(json_file: Path | None, **counts: int | None) -> None:
    """Raise for what would stop a benchmark at its end, after minutes.

    Raises ValueError for a count below 1, OSError for a file that cannot be written.
    """
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    if json_file and not Path(json_file).exists():
        Path(json_file).touch()
        Path(json_file).unlink()
    elif json_file:
        Path(json_file).open("a").close()


def record(result: dict, json_file: Path | None) -> None:
    """Write a result as JSON, if there is a file to write it to."""
    if json_file:
        Path(json_file).write_text(json.dumps(result, indent=1) + "\n")
