"""Whole models: the forward pass, and the training step with its peak of memory."""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from swin_tutorial.bench.memory import peak_bytes
from swin_tutorial.bench.peers import PEERS, swin_tiny_builders, versions
from swin_tutorial.bench.swin_tiny import bare_products
from swin_tutorial.bench.timing import (
    cpu_seconds,
    cuda_seconds,
    default_device,
    machine,
    paired_medians,
    record,
)
from swin_tutorial.presets import create_model
from swin_tutorial.training.machine import check_compiler

Task = Literal["forward", "training"]
Precision = Literal["float32", "bfloat16"]

OURS, BARE = "swin_tutorial", "bare matrix products"
# How far the logits of a compiled model may be from its own: rounding, over a depth of 12 blocks.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}


def run(
    json_file: Path | None = None,
    *,
    tasks: tuple[Task, ...] = ("forward", "training"),
    precisions: tuple[Precision, ...] = ("float32", "bfloat16"),
    compiled: bool = True,
    batch: int | None = None,
    repeats: int = 7,
) -> dict:
    """Time Swin-T at 224 pixels beside the public ones, on the GPU if there is one.

    A training step is forward, loss, backward and AdamW, without stochastic depth; for it the peak
    of memory is measured too.  bfloat16 is autocast.  "bare matrix products" is what the same
    products of matrices take alone.  Prints a table of medians and returns it.

    Args:
        json_file: Write the results to this file too, after each part.
        tasks: What to time.
        precisions: In which arithmetic.
        compiled: Time compiled models too; compiling takes minutes.
        batch: Images in a batch; by default 8, on a GPU 128.
        repeats: How many times each contender is timed, in turn.

    Raises:
        AssertionError: If a compiled model and its original do not agree.
        ValueError: If models are to be compiled, and there is no compiler that works.
    """
    device = default_device()
    if compiled:
        check_compiler(device, "--no-compiled")
    batch = batch or (128 if device.type == "cuda" else 8)
    images = torch.randn(batch, 3, 224, 224, device=device)
    result = {
        "what": f"Swin-T, {batch} images of 224 x 224 pixels",
        "repeats": repeats,
        "parts": [],
        **machine(device),
        "versions": versions(),
    }
    print(f"{result['what']}, {result['processor']}, {result['device']}")
    for precision, is_compiled, task in itertools.product(
        precisions, (False, True) if compiled else (False,), tasks
    ):
        part = {"task": task, "precision": precision, "compiled": is_compiled}
        part |= _compare(images, task, precision, is_compiled, repeats)
        result["parts"].append(part)
        _print(part)
        record(result, json_file)
    return result


def _compare(
    images: Tensor, task: Task, precision: Precision, compiled: bool, repeats: int
) -> dict[str, dict]:
    """Return the seconds of all contenders, ratios of them, and for training the memory's peaks."""
    torch.compiler.reset()
    device, dtype = images.device, getattr(torch, precision)
    prepare = Forward if task == "forward" else TrainingStep
    contenders, peaks = {}, {}
    for name, build in _builders(device).items():
        try:
            torch.manual_seed(0)
            contender = prepare(build().to(device), images, dtype, compiled)
            for _ in range(2):  # compile, make the optimizer's state
                contender()
        except Exception as error:  # a peer's failure is no reason to stop
            if name == OURS:
                raise
            reason = str(error).splitlines()[0][:90] if str(error) else ""
            print(f"  {name}, {task}, is left out: {type(error).__name__}: {reason}")
            continue
        if compiled and task == "forward":
            contender.check(TOLERANCE[precision])
        contenders[name] = contender
        if task == "training" and (grown := peak_bytes(contender, device)) is not None:
            peaks[name] = round((contender.bytes_held() + grown) / 2**20)
    contenders[BARE] = bare_products(len(images), dtype, device, training=task == "training")
    clock = cpu_seconds
    if device.type == "cuda":
        clock = functools.partial(cuda_seconds, inner=3, hide=False)
    seconds = paired_medians(contenders, repeats, clock)
    found = {"seconds": {name: round(time, 5) for name, time in seconds.items()}, **ratios(seconds)}
    return found | ({"peak_mebibytes": peaks} if peaks else {})


def ratios(seconds: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return how much faster than the best peer ours is, and how far all are from the products."""
    found = {
        "times_the_bare_products": {
            name: round(time / seconds[BARE], 3) for name, time in seconds.items()
        }
    }
    peers = [seconds[name] for name in PEERS if name in seconds]
    if peers:
        found["times_as_fast_as_the_best_peer"] = {
            name: round(min(peers) / time, 3)
            for name, time in seconds.items()
            if name.startswith(OURS)
        }
    return found


def _builders(device: torch.device) -> dict[str, Callable[[], nn.Module]]:
    """Return functions that build Swin-T: ours, on a GPU with the kernel too, and the peers'."""
    ours = {OURS: functools.partial(create_model, "swin_tiny", drop_path_rate=0.0)}
    if device.type == "cuda":
        ours[f"{OURS}, fused"] = functools.partial(ours[OURS], backend="fused")
    return ours | swin_tiny_builders()


class Forward:
    """The forward pass of a model that is not trained."""

    def __init__(self, model: nn.Module, images: Tensor, dtype: torch.dtype, compiled: bool):
        self.model = model.eval()
        self.run = torch.compile(model) if compiled else model
        self.images = images
        self.dtype = dtype

    def __call__(self) -> Tensor:
        return self._logits(self.run)

    def check(self, tolerance: float) -> None:
        """Raise AssertionError unless the compiled model agrees with its original."""
        torch.testing.assert_close(self(), self._logits(self.model), rtol=0, atol=tolerance)

    @torch.inference_mode()
    def _logits(self, run: Callable) -> Tensor:
        with _precision(self.images.device, self.dtype):
            return run(self.images)


class TrainingStep:
    """One step of training, with the state that it keeps."""

    def __init__(self, model: nn.Module, images: Tensor, dtype: torch.dtype, compiled: bool):
        self.model = model.train()
        self.run = torch.compile(model) if compiled else model
        self.images = images
        self.dtype = dtype
        self.labels = torch.arange(len(images), device=images.device)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def __call__(self) -> None:
        with _precision(self.images.device, self.dtype):
            logits = self.run(self.images)
        nn.functional.cross_entropy(logits.float(), self.labels).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def bytes_held(self) -> int:
        """Return the bytes of the weights and of the optimizer's state."""
        held = [*self.model.parameters(), *self.model.buffers()]
        for state in self.optimizer.state.values():
            held += [value for value in state.values() if isinstance(value, Tensor)]
        return sum(tensor.nbytes for tensor in held)


def _precision(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def _print(part: dict) -> None:
    kind = "compiled" if part["compiled"] else "eager"
    print(f"{part['task']}, {part['precision']}, {kind}")
    for name, time in part["seconds"].items():
        line = f"  {name:24} {time:8.4f} s  {part['times_the_bare_products'][name]:6.2f} x bare"
        for ratio in (part.get("times_as_fast_as_the_best_peer", {}).get(name),):
            line += "" if ratio is None else f"  {ratio:5.2f} x as fast as the best peer"
        peak = part.get("peak_mebibytes", {}).get(name)
        print(line + ("" if peak is None else f"  {peak:6,} MiB"))
