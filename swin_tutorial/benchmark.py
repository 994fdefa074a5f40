"""Side-by-side timings: every contender in one run, in turn, so that what slows one slows all."""

import functools
import importlib
import json
import platform
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor, nn

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
from swin_tutorial.masks import shifted_window_mask
from swin_tutorial.model import create_model
from swin_tutorial.reference import brute_force_mask, nine_region_ids

PEERS = ("timm", "torchvision", "transformers")


def masks(json_file: Path | None = None, repeats: int = 30) -> dict:
    """Time three ways to build the shifted-window mask of 256 x 256 tokens, window 8, shift 4.

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

    seconds = paired_medians(contenders, repeats)
    result = {
        "what": f"shifted-window mask, {height}x{width} tokens, window {window}, shift {shift}",
        "repeats": repeats,
        "bytes_of_the_mask": expected.nbytes,
        "milliseconds": {name: round(1e3 * one, 3) for name, one in seconds.items()},
        "times_slower": {
            name: round(one / seconds["swin_tutorial"], 1) for name, one in seconds.items()
        },
        **machine(),
    }
    print(result["what"])
    for name, slower in result["times_slower"].items():
        print(f"  {name:24} {result['milliseconds'][name]:9.3f} ms  {slower:8.1f} x")
    _record(result, json_file)
    return result


def model(json_file: Path | None = None, repeats: int = 9, compiled: bool = True) -> dict:
    """Time the forward pass of Swin-T beside the public ones: 8 images of 224 pixels, fp32.

    Peers that are not installed are left out by name.  "bare matrix products" is what the same
    multiplications of matrices take alone, by PyTorch's ``mm`` into memory that is there already.
    Prints a table of medians and returns it; ``json_file`` gets it too.  Raises AssertionError if
    a compiled model and its original do not agree.
    """
    torch.manual_seed(0)
    images = torch.randn(8, 3, 224, 224)
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
        "what": "Swin-T, forward, 8 images of 224 x 224 pixels, float32",
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


PICTURES = 128  # a multiple of the batch, so that no batch is dropped


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


def paired_medians(contenders: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Return each contender's median time in seconds, measured in turn after one warm-up round."""
    times = {name: [] for name in contenders}
    for round_number in range(repeats + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if round_number:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(one) for name, one in times.items()}


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


def _peers() -> dict[str, nn.Module]:
    """Build the public implementations that are installed; say which are not."""
    builders = {
        "timm": lambda library: library.create_model("swin_tiny_patch4_window7_224"),
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
