"""Side-by-side timings: every contender in one run, in turn, so that what slows one slows all."""

import contextlib
import functools
import importlib
import itertools
import json
import platform
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor, nn
from torch.export import Dim
from torch.fx.experimental import _config as symbolic_shapes

from swin_tutorial.attention import WindowAttention, fused
from swin_tutorial.augmentation import Augmentation, generator
from swin_tutorial.data import (
    PHOTOGRAPHS,
    DeviceBatches,
    FolderBatches,
    ImageFolder,
    data_folder,
    image_folder,
    load_images,
    photograph,
)
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import shifted_window_mask
from swin_tutorial.model import create_model
from swin_tutorial.reference import brute_force_mask, nine_region_ids

PICTURES = 128  # a multiple of the batch, so that no batch is dropped
PEERS = ("timm", "torchvision", "transformers")
# Side of the map, channels and heads of the stages of Swin-T at 224 pixels.
STAGES = ((56, 96, 3), (28, 192, 6), (14, 384, 12), (7, 768, 24))
WINDOW, SHIFT = 7, 3


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
    models = {
        "swin_tutorial": create_model("swin_tiny"),
        **{name: make() for name, make in _peer_builders().items()},
    }
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


def attention(json_file: Path | None = None, repeats: int = 20) -> dict:
    """Time window attention between its projections, on each stage of Swin-T at 224 pixels.

    From the map of queries, keys and values to the map of outputs, forward and backward, shifted
    windows of 7, by each of our backends; and with the projections, beside timm and torchvision.
    Between the projections "fused" is flattered: the others roll and cut maps of 3c channels there,
    where a model rolls and cuts c of them.
    On a GPU: 64 images in bfloat16.  Inputs take turns, so that no cache holds them.  Floors are
    the bytes that must be read and written by the measured rate of a copy, and the products' number
    by the measured rate of a large product.  Without a GPU: one image, float32, what runs there.
    Prints a table and returns it; ``json_file`` gets it after each stage.
    """
    device = _device()
    batch, dtype = (64, torch.bfloat16) if device.type == "cuda" else (1, torch.float32)
    rates = _rates(device, dtype)
    result = {
        "what": f"window attention, {batch} images of 224 x 224 pixels in Swin-T, {dtype}",
        "repeats": repeats,
        **rates,
        "stages": [],
        **machine(device),
    }
    print(result["what"])
    for stage, (side, channels, heads) in enumerate(STAGES):
        found = {"stage": stage + 1, "side": side, "channels": channels}
        for direction in ("forward", "backward"):
            seconds = _between_projections(
                side, channels, heads, batch, dtype, device, direction, repeats
            )
            floor = _floors(side, channels, heads, batch, dtype, direction, rates)
            found[direction] = {
                "microseconds": _scaled(seconds, 1e6),
                "floor_microseconds": _scaled(floor, 1e6),
                "times_the_floor": {
                    name: round(one / max(floor.values()), 2) for name, one in seconds.items()
                },
            }
            print(f"stage {stage + 1}, {direction}: floor {1e6 * max(floor.values()):.1f} us")
            for name, one in seconds.items():
                print(f"  {name:32} {1e6 * one:9.1f} us  {one / max(floor.values()):6.2f} x")
        found["with_projections_microseconds"] = _scaled(
            _with_projections(side, channels, heads, batch, dtype, device, repeats), 1e6
        )
        for name, one in found["with_projections_microseconds"].items():
            print(f"  with projections, {name:14} {one:9.1f} us")
        result["stages"].append(found)
        _record(result, json_file)
    return result


class _BetweenProjections(WindowAttention):
    """Window attention that is given what the first projection gives, and leaves out the second."""

    def _qkv(self, x):
        return x

    def _project(self, x):
        return x

    def _check(self, *arguments):
        pass


def _between_projections(
    side: int,
    channels: int,
    heads: int,
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
    direction: str,
    repeats: int,
) -> dict[str, float]:
    """Return the seconds that our backends take, and "fused, unshifted" for the price of a shift"""
    shape = (batch, side, side, 3 * channels)
    bytes_of_one = batch * side**2 * 3 * channels * dtype.itemsize
    copies = 1 if device.type == "cpu" else 1 + 256 * 2**20 // bytes_of_one
    maps = [torch.randn(shape, device=device, dtype=dtype) for _ in range(copies)]
    contenders = {}
    for backend in ("eager", "sdpa", "flex", "fused"):
        module = _BetweenProjections(channels, WINDOW, heads, backend=backend)
        module = module.to(device, dtype).eval()
        for shift in (SHIFT, 0) if backend == "fused" else (SHIFT,):
            attend = functools.partial(
                module.attend, grid=WindowGrid(side, side, WINDOW, shift, "mask")
            )
            names = {backend if shift else f"{backend}, unshifted": attend}
            if backend in ("eager", "sdpa") and device.type == "cuda":
                names[f"{backend}, compiled"] = torch.compile(attend)
            for name, run in names.items():
                table = module.relative_position_bias_table
                _add(contenders, name, run, maps, table, direction)
    return paired_medians(contenders, repeats, _clock(device))


def _add(contenders, name, attend, maps, table, direction) -> None:
    """Add a contender, if it runs here; say why if it does not."""
    try:
        if direction == "forward":
            turns = itertools.cycle(maps)
            run = torch.no_grad()(lambda: attend(next(turns)))
        else:
            graphs = []
            for one in maps:
                given = one.detach().requires_grad_()
                out = attend(given)
                graphs.append((out, (given, table), torch.randn_like(out)))
            turns = itertools.cycle(graphs)
            run = functools.partial(_differentiate, turns)
        run()
    except Exception as error:  # whatever a backend or a compiler raises, the others go on
        print(f"  {name} is left out: {type(error).__name__}: {str(error).splitlines()[0][:90]}")
    else:
        contenders[name] = run


def _differentiate(turns) -> None:
    out, inputs, to_out = next(turns)
    torch.autograd.grad(out, inputs, to_out, retain_graph=True)


def _with_projections(
    side: int,
    channels: int,
    heads: int,
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
    repeats: int,
) -> dict[str, float]:
    """Return the seconds of a forward pass from map to map, both projections included."""
    shift = SHIFT if side > WINDOW else 0
    attends = {}
    for backend in ("eager", "sdpa", "fused"):
        module = WindowAttention(channels, WINDOW, heads, backend=backend)
        module = module.to(device, dtype).eval()
        attends[backend] = functools.partial(
            module.attend, grid=WindowGrid(side, side, WINDOW, shift)
        )
    with contextlib.suppress(ImportError):
        timm = import_peer("timm.models.swin_transformer")
        block = timm.SwinTransformerBlock(channels, (side, side), heads, None, WINDOW, shift)
        attends["timm"] = block.to(device, dtype).eval()._attn
    with contextlib.suppress(ImportError):
        torchvision = import_peer("torchvision.models.swin_transformer")
        sizes = [WINDOW, WINDOW], [shift, shift]
        one = torchvision.ShiftedWindowAttention(channels, *sizes, heads)
        attends["torchvision"] = one.to(device, dtype).eval()
    maps = [torch.randn(batch, side, side, channels, device=device, dtype=dtype)]
    contenders = {}
    for name, attend in attends.items():
        _add(contenders, name, attend, maps, None, "forward")
        if device.type == "cuda":
            _add(contenders, f"{name}, compiled", torch.compile(attend), maps, None, "forward")
    return paired_medians(contenders, repeats, _clock(device))


def _floors(side, channels, heads, batch, dtype, direction, rates) -> dict[str, float]:
    """Return the seconds that bytes and products take at the measured rates.

    Forward, queries, keys and values are read and the output written once; backward, the output's
    gradient is read as well, and the gradients to queries, keys and values are written.  The bias
    counts for nothing.  Forward takes two products of matrices per window and head, backward five.
    """
    tokens = batch * side**2
    maps, products = (4, 2) if direction == "forward" else (7, 5)
    return {
        "bytes": tokens * channels * maps * dtype.itemsize / rates["copied_bytes_per_second"],
        "products": products * 2 * tokens * WINDOW**2 * channels
        / rates["operations_per_second"],
    }  # fmt: skip


def _rates(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Measure how fast this device copies (bytes read and written) and multiplies matrices."""
    size, side = (2**30, 8192) if device.type == "cuda" else (2**26, 1024)
    source, target = (torch.empty(size, dtype=torch.uint8, device=device) for _ in range(2))
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    contenders = {"copy": lambda: target.copy_(source), "product": lambda: a @ b}
    seconds = paired_medians(contenders, 10, _clock(device))
    return {
        "copied_bytes_per_second": 2 * size / seconds["copy"],
        "operations_per_second": 2 * side**3 / seconds["product"],
    }


def _scaled(seconds: dict[str, float], factor: float) -> dict[str, float]:
    return {name: round(factor * one, 1) for name, one in seconds.items()}


def model_on_gpu(
    json_file: Path | None = None, repeats: int = 10, compiled: bool = True, batch: int = 128
) -> dict:
    """Time Swin-T on a GPU, inference and training step, and measure the peak of its memory.

    224 pixels; inference in bfloat16, training under autocast to bfloat16 with AdamW, stochastic
    depth 0.  Peers as in ``model``.  ``json_file`` gets the result after each contender.
    Raises RuntimeError where there is no GPU.
    """
    device = _device()
    if device.type != "cuda":
        raise RuntimeError("there is no GPU here: swin-tutorial bench model times a CPU")
    images = torch.randn(batch, 3, 224, 224, device=device)
    result = {
        "what": f"Swin-T, {batch} images of 224 x 224 pixels, bfloat16",
        "repeats": repeats,
        "milliseconds": {"inference": {}, "training step": {}},
        "peak_mebibytes": {"training step": {}},
        **machine(device),
    }
    print(result["what"])
    kinds = ("", ", compiled") if compiled else ("",)
    for kind, task in itertools.product(kinds, ("inference", "training step")):
        runs = {}
        for name, make in _builders().items():
            try:
                torch.manual_seed(0)
                prepare = _inference if task == "inference" else _training_step
                run = prepare(make().to(device), images, bool(kind))
                run()
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                run()
            except Exception as error:  # a peer's failure is no reason to stop
                reason = str(error).splitlines()[0][:90] if str(error) else ""
                print(f"  {name}{kind}, {task}, is left out: {type(error).__name__}: {reason}")
                continue
            runs[name + kind] = run
            if task == "training step":
                # Of this model alone: what the others hold at the same time is taken off.
                own = torch.cuda.max_memory_allocated() - before + _bytes_held(run)
                result["peak_mebibytes"][task][name + kind] = round(own / 2**20)
        times = paired_medians(runs, repeats, functools.partial(_cuda_seconds, inner=3, hide=False))
        result["milliseconds"][task] |= {name: round(1e3 * one, 2) for name, one in times.items()}
        for name, one in times.items():
            print(f"  {task:14} {name:28} {1e3 * one:8.2f} ms")
        _record(result, json_file)
    print(f"  peak of memory in MiB: {result['peak_mebibytes']}")
    return result


def _builders() -> dict[str, Callable[[], nn.Module]]:
    """Return functions that build Swin-T: ours with two backends, and the installed peers'."""
    found = {
        f"swin_tutorial, {backend}": functools.partial(
            create_model, "swin_tiny", backend=backend, stochastic_depth=0.0
        )
        for backend in ("sdpa", "fused")
    }
    return found | _peer_builders()


def _inference(model: nn.Module, images: Tensor, compiled: bool) -> Callable:
    model = model.to(torch.bfloat16).eval()
    run = torch.compile(model) if compiled else model
    half = images.to(torch.bfloat16)
    return torch.inference_mode()(lambda: run(half))


class _training_step:
    """One step of training, with the state that it keeps."""

    def __init__(self, model: nn.Module, images: Tensor, compiled: bool):
        self.model = model.train()
        self.run = torch.compile(model) if compiled else model
        self.images = images
        self.labels = torch.arange(len(images), device=images.device)
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def __call__(self) -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            scores = self.run(self.images)
        nn.functional.cross_entropy(scores.float(), self.labels).backward()
        self.optimiser.step()
        self.optimiser.zero_grad()


def _bytes_held(step: _training_step) -> int:
    """Return the bytes of the weights and of the optimiser's state."""
    held = [*step.model.parameters(), *step.model.buffers()]
    for state in step.optimiser.state.values():
        held += [one for one in state.values() if isinstance(one, Tensor)]
    return sum(one.nbytes for one in held)


def tiles(repeats: int = 20) -> list[dict]:
    """Time other tiles of the fused kernels than those chosen, on a GPU, for stage 1 of Swin-T.

    Prints and returns the times, for whoever improves the choice in ``fused.py``.  What does not
    fit is left out.
    """
    device = _device()
    if device.type != "cuda":
        raise RuntimeError("there is no GPU here, and tiles cannot be timed without one")
    found = []
    chosen = fused.forward_tile, fused.backward_tile, fused.PROGRAMS_PER_PROCESSOR
    try:
        for warps, stages, programs in itertools.product((2, 4, 8), (1, 2, 3), (4, 8, 16)):
            tile = fused.Tile(64, 64, warps, stages)
            fused.forward_tile = fused.backward_tile = lambda tokens, dtype, tile=tile: tile
            fused.PROGRAMS_PER_PROCESSOR = programs
            row = {"warps": warps, "stages": stages, "programs": programs}
            for direction in ("forward", "backward"):
                contenders: dict[str, Callable] = {}
                side, channels, heads = STAGES[0]
                module = _BetweenProjections(channels, WINDOW, heads, backend="fused")
                module = module.to(device, torch.bfloat16)
                attend = functools.partial(module.attend, grid=WindowGrid(side, side, 7, 3))
                maps = [
                    torch.randn(64, side, side, 3 * channels, device=device, dtype=torch.bfloat16)
                    for _ in range(3)
                ]
                table = module.relative_position_bias_table
                _add(contenders, direction, attend, maps, table, direction)
                row |= _scaled(paired_medians(contenders, repeats, _clock(device)), 1e6)
            print(row)
            found.append(row)
    finally:
        fused.forward_tile, fused.backward_tile, fused.PROGRAMS_PER_PROCESSOR = chosen
    return found


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
    builders = {"swin_tutorial": functools.partial(create_model, "swin_tiny")}
    for name, make in (builders | _peer_builders(any_size=True)).items():
        one = make().eval()
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


def data(json_file: Path | None = None, repeats: int = 5) -> dict:
    """Time what feeds the training: batches of a set in memory, and of pictures in files.

    In memory: the bundled set on the device that there is, with nothing and with everything
    changed at random.  In files: JPEG pictures of 375 x 500 pixels, of the size that ImageNet's
    have, beside what decoding and scaling alone take in this one process.  Prints a table of images
    per second and returns it, with what recorded trainings took in; ``json_file`` gets it too.
    """
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    everything = Augmentation(crop_padding=2, flip=0.5, erasing=0.25, mixup=0.8, cutmix=1.0)
    images = load_images("fashion-mnist-subset", "train")
    in_memory = {
        "in memory, unchanged": DeviceBatches(images, 256, device),
        "in memory, everything": DeviceBatches(images, 256, device, augmentation=everything),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_pictures(folder, PICTURES)
        alone = image_folder(folder, 224, workers=0)
        helped = image_folder(folder, 224, like=alone)
        in_files = {
            "files, this process": FolderBatches(alone, 32, device, augmentation=everything),
            f"files, {helped.workers} workers": FolderBatches(
                helped, 32, device, augmentation=everything
            ),
        }
        batches = in_memory | in_files
        contenders = {name: functools.partial(_exhaust, one) for name, one in batches.items()}
        contenders["files, decoded and scaled"] = functools.partial(_decode, alone)
        seconds = paired_medians(contenders, repeats)
    counts = {name: len(one) * one.batch_size for name, one in batches.items()}
    counts["files, decoded and scaled"] = PICTURES
    rates = {name: round(counts[name] / one) for name, one in seconds.items()}
    result = {
        "what": "images per second, batches of 256 from memory and of 32 from files",
        "repeats": repeats,
        "images_per_second": rates,
        "of_the_speed_of_decoding_and_scaling": {
            name: round(rates[name] / rates["files, decoded and scaled"], 2) for name in in_files
        },
        "recorded_trainings": _recorded_rates(),
        **machine(),
    }
    if device.type != "cpu":
        result["device"] = f"{device.type}, {torch.get_device_module(device).get_device_name()}"
    print(result["what"])
    for name, rate in (rates | result["recorded_trainings"]).items():
        print(f"  {name:28} {rate:9,.0f}")
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


def _exhaust(batches: DeviceBatches | FolderBatches) -> None:
    """Take an epoch's batches, and wait until the device has made them."""
    for images, _ in batches.epoch(0):
        last = images
    last.sum().item()


def _decode(images: ImageFolder) -> None:
    """Decode each file and scale it to the size wanted: what no reader of files can go without."""
    for file in images.files:
        with Image.open(file) as image:
            image.convert("RGB").resize(images.size[::-1], Image.Resampling.BICUBIC)


def _write_pictures(folder: Path, count: int) -> None:
    """Write pieces of the photographs as JPEG files, half of them in each of two classes."""
    whole = {name: photograph(name, 600, 800) for name in PHOTOGRAPHS}
    rng = generator("pictures", 0)
    for number in range(count):
        image = whole[sorted(whole)[number % len(whole)]]
        top, left = rng.integers(0, 225), rng.integers(0, 300)
        piece = (image[top : top + 375, left : left + 500] * 255).byte().numpy()
        file = folder / str(number % 2) / f"{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(piece).save(file, quality=90)


def _recorded_rates() -> dict[str, float]:
    """Return the images per second that the recorded trainings took in, by file name."""
    recorded = {
        file.stem: json.loads(file.read_text()).get("images_per_second")
        for file in sorted((data_folder() / "results").glob("*.json"))
    }
    return {name: rate for name, rate in recorded.items() if isinstance(rate, int | float)}


def paired_medians(
    contenders: dict[str, Callable], repeats: int, clock: Callable | None = None
) -> dict[str, float]:
    """Return each contender's median time in seconds, measured in turn.

    Each turn begins with a call that is not timed, so that nobody pays for the memory and caches
    that the one before has used up.  ``clock`` runs a contender and returns the seconds that it
    took: the CPU's time by default.
    """
    clock = clock or _cpu_seconds
    times = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            run()
            times[name].append(clock(run))
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


def _cpu_seconds(run: Callable) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _cuda_seconds(run: Callable, inner: int = 10, hide: bool = True) -> float:
    """Return the seconds of one of ``inner`` runs, by events on the GPU.

    ``hide`` has the GPU wait until Python has queued all runs, so that its own time is measured and
    not Python's.
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


def _clock(device: torch.device) -> Callable:
    return _cuda_seconds if device.type == "cuda" else _cpu_seconds


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine(device: torch.device | None = None) -> dict[str, str | int]:
    """Return what a timing must be read with: processor or GPU, threads and versions."""
    on_gpu = device is not None and device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else f"cpu, {platform.machine()}",
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


def _peer_builders(any_size: bool = False) -> dict[str, Callable[[], nn.Module]]:
    """Return functions that build the public implementations; say which are not installed.

    timm's model takes images of another size only if it is told beforehand.
    """
    options = {"drop_path_rate": 0.0} | ({"strict_img_size": False} if any_size else {})
    builders = {
        "timm": lambda library: library.create_model("swin_tiny_patch4_window7_224", **options),
        "torchvision": lambda library: _without_stochastic_depth(library.models.swin_t()),
        "transformers": lambda library: _Logits(
            library.SwinForImageClassification(
                library.SwinConfig(num_labels=1000, drop_path_rate=0.0)
            )
        ),
    }
    found = {}
    for name in PEERS:
        try:
            found[name] = functools.partial(builders[name], import_peer(name))
        except ImportError:
            print(f"{name} is not installed and left out")
    return found


def _without_stochastic_depth(model: nn.Module) -> nn.Module:
    """Set it to 0 in torchvision's model, whose builder has no argument for it."""
    for module in model.modules():
        if type(module).__name__ == "StochasticDepth":
            module.p = 0.0
    return model


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
    for (side, channels, _), depth in zip(STAGES, (2, 2, 6, 2), strict=True):
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
