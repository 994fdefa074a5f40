"""Side-by-side timings: every contender in one run, in turn, so that what slows one slows all."""

import contextlib
import functools
import importlib
import json
import platform
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.export import Dim
from torch.fx.experimental import _config as symbolic_shapes

from swin_tutorial.masks import shifted_window_mask
from swin_tutorial.model import create_model
from swin_tutorial.reference import brute_force_mask, nine_region_ids

PEERS = ("timm", "torchvision", "transformers")


def masks(json_file: Path | None = None, repeats: int = 30) -> dict:
    """Time three ways to build the mask of 256 x 256 tokens, window 8, shift 4, in one thread.

    Prints a table of medians and their ratios and returns it; ``json_file`` gets it too.  Raises
    AssertionError if the contenders do not agree.
    """
    height, width, window, shift = 256, 256, (8, 8), (4, 4)
    contenders = {
        "swin_tutorial": lambda: shifted_window_mask(height, width, window, shift),
        "nine slices, float": lambda: _nine_slice_mask(height, width, window, shift),
        "slices of every window": lambda: _window_by_window_mask(height, width, window, shift),
    }
    expected = shifted_window_mask(height, width, window, shift)
    for name, build in contenders.items():
        built = build()
        assert torch.equal(built if built.dtype == torch.bool else built == 0, expected), name
    small = (16, 24, window, shift)
    assert torch.equal(shifted_window_mask(*small), brute_force_mask(*small))

    with one_thread():
        seconds = paired_medians(contenders, repeats)
        on = machine()
    result = {
        "what": f"shifted-window mask, {height}x{width} tokens, window {window}, shift {shift}",
        "repeats": repeats,
        "bytes_of_the_mask": expected.nbytes,
        "milliseconds": {name: round(1e3 * one, 3) for name, one in seconds.items()},
        "times_slower": {
            name: round(one / seconds["swin_tutorial"], 1) for name, one in seconds.items()
        },
        **on,
    }
    print(result["what"])
    for name, slower in result["times_slower"].items():
        print(f"  {name:24} {result['milliseconds'][name]:9.3f} ms  {slower:8.1f} x")
    _record(result, json_file)
    return result


def model(
    json_file: Path | None = None, repeats: int = 9, compiled: bool = True, batch: int = 8
) -> dict:
    """Time the forward pass of Swin-T beside the public ones: images of 224 pixels, fp32.

    Peers that are not installed are left out by name.  "bare matrix products" is what the same
    multiplications of matrices take alone, by PyTorch's ``mm`` into memory that is there already.
    Prints a table of medians and returns it; ``json_file`` gets it too.  Raises AssertionError if
    a compiled model and its original do not agree.
    """
    torch.manual_seed(0)
    images = torch.randn(batch, 3, 224, 224)
    models = {"swin_tutorial": create_model("swin_tiny"), **_peers()}
    models = {name: one.eval() for name, one in models.items()}
    if compiled:
        models |= {f"{name}, compiled": torch.compile(one) for name, one in models.items()}
    contenders = {name: functools.partial(one, images) for name, one in models.items()}
    contenders["bare matrix products"] = _bare_products(len(images))
    with torch.inference_mode():
        for name in models:
            if name.endswith(", compiled"):
                whole = contenders[name.removesuffix(", compiled")]()
                assert torch.allclose(contenders[name](), whole, atol=1e-3), name
        seconds = paired_medians(contenders, repeats)
    floor = seconds["bare matrix products"]
    faster = {}
    for kind in ("", ", compiled"):
        peers = [seconds[peer + kind] for peer in PEERS if peer + kind in seconds]
        if peers:
            faster[kind] = round(min(peers) / seconds["swin_tutorial" + kind], 2)
    result = {
        "what": f"Swin-T, forward, {batch} images of 224 x 224 pixels, float32",
        "repeats": repeats,
        "seconds": {name: round(one, 4) for name, one in seconds.items()},
        "times_the_bare_products": {name: round(one / floor, 2) for name, one in seconds.items()},
        "faster_than_the_best_peer": faster,
        **machine(),
    }
    print(result["what"])
    for name, one in seconds.items():
        print(f"  {name:28} {one:7.3f} s  {one / floor:5.2f} x the bare products")
    _record(result, json_file)
    return result


def capture(json_file: Path | None = None) -> dict:
    """Time torch.export of Swin-T with height and width left open, beside the public ones.

    Each captured graph is then given images of another size, and the result compared with the
    model's own: a graph that was bound to the traced size, silently or with an error, is named.
    Prints a table and returns it; ``json_file`` gets it too.
    """
    torch.manual_seed(0)
    traced, other = torch.randn(1, 3, 224, 288), torch.randn(1, 3, 200, 333)
    open_sizes = {2: Dim("height", min=2), 3: Dim("width", min=2)}
    seconds, at_another_size = {}, {}
    for name, one in {"swin_tutorial": create_model("swin_tiny"), **_peers(any_size=True)}.items():
        one.eval()
        torch.compiler.reset()
        start = time.perf_counter()
        try:
            with torch.no_grad(), symbolic_shapes.patch(backed_size_oblivious=True):
                graph = torch.export.export(one, (traced,), dynamic_shapes=(open_sizes,)).module()
        except Exception as error:  # whatever the tracer trips over is the result
            graph = None
            at_another_size[name] = f"not captured: {type(error).__name__}"
        seconds[name] = round(time.perf_counter() - start, 1)
        if graph is not None:
            at_another_size[name] = _agreement(graph, one, other)
        print(f"  {name:16} {seconds[name]:7.1f} s  {at_another_size[name]}")
    result = {
        "what": "torch.export of Swin-T, height and width open, traced at 224 x 288 pixels",
        "seconds": seconds,
        "at_200_x_333": at_another_size,
        **machine(),
    }
    _record(result, json_file)
    return result


def _agreement(graph: Callable, model: nn.Module, images: Tensor) -> str:
    """Say whether a captured graph does what its model does."""
    with torch.no_grad():
        expected = model(images)
        try:
            found = graph(images)
        except Exception as error:
            return f"refused: {type(error).__name__}"
    return "equal" if torch.allclose(found, expected, atol=1e-4) else "different result"


def paired_medians(contenders: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Return each contender's median time in seconds, measured in turn.

    Each turn begins with a call that is not timed, so that nobody pays for the memory and caches
    that the one before has used up.
    """
    times = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            run()
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(one) for name, one in times.items()}


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


def machine() -> dict[str, str | int]:
    """Return what a timing must be read with: processor, threads and versions."""
    return {
        "device": f"cpu, {platform.machine()}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _record(result: dict, json_file: Path | None) -> None:
    if json_file:
        Path(json_file).write_text(json.dumps(result, indent=1) + "\n")


def import_peer(name: str) -> types.ModuleType:
    """Import timm, torchvision or transformers; ImportError if it is not installed."""
    # torchvision's compiled operators are missing beside a PyTorch from elsewhere, and its Swin
    # needs none of them: an empty module in place of the one that registers them is enough.
    sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("stand_in"))
    return importlib.import_module(name)


def _peers(any_size: bool = False) -> dict[str, nn.Module]:
    """Build the public implementations that are installed; say which are not.

    timm's model takes images of another size only if it is told beforehand.
    """
    options = {"strict_img_size": False} if any_size else {}
    builders = {
        "timm": lambda library: library.create_model("swin_tiny_patch4_window7_224", **options),
        "torchvision": lambda library: library.models.swin_t(),
        "transformers": lambda library: _Logits(
            library.SwinForImageClassification(library.SwinConfig(num_labels=1000))
        ),
    }
    found = {}
    for name in PEERS:
        try:
            found[name] = builders[name](import_peer(name))
        except ImportError:
            print(f"{name} is not installed and left out")
    return found


class _Logits(nn.Module):
    """transformers' models return an object; the others return the scores."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


def _bare_products(batch: int) -> Callable:
    """Return a function that multiplies matrices of all shapes that occur in Swin-T's blocks."""
    products = []
    for channels, side, depth in zip(
        (96, 192, 384, 768), (56, 28, 14, 7), (2, 2, 6, 2), strict=True
    ):
        tokens, windows = batch * side**2, batch * (side // 7) ** 2 * (channels // 32)
        one, four = torch.randn(tokens, channels), torch.randn(tokens, 4 * channels)
        q, weights = torch.randn(windows, 49, 32), torch.randn(windows, 49, 49)
        pairs = [(one, torch.randn(channels, n * channels)) for n in (3, 1, 4)]
        pairs += [(four, torch.randn(4 * channels, channels)), (q, q.mT), (weights, q)]
        products += depth * [(a, b, torch.empty(*a.shape[:-1], b.shape[-1])) for a, b in pairs]

    def run():
        for a, b, out in products:
            torch.matmul(a, b, out=out)

    return run


def _nine_slice_mask(height: int, width: int, window_size, shift_size) -> Tensor:
    """The official recipe: nine slices, a subtraction of floats, two fills."""
    ids = nine_region_ids(height, width, window_size, shift_size)
    ids = rearrange(ids, "(r m) (c n) -> (r c) (m n)", m=window_size[0], n=window_size[1])
    difference = ids[:, None, :] - ids[:, :, None]
    return difference.masked_fill(difference != 0, -100.0).masked_fill(difference == 0, 0.0)


def _window_by_window_mask(height: int, width: int, window_size, shift_size) -> Tensor:
    """Nested loops over the windows and, in each, over the slices that its regions are."""
    (rows, columns), (shift_rows, shift_columns) = window_size, shift_size
    masks = []
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            ids = torch.zeros(rows, columns)
            is_last_row, is_last_column = top + rows == height, left + columns == width
            ids[rows - shift_rows if is_last_row else rows :, :] += 1
            ids[:, columns - shift_columns if is_last_column else columns :] += 2
            ids = ids.flatten()
            masks.append(ids[:, None] == ids[None, :])
    return torch.stack(masks)
