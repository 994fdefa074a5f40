"""Window attention alone, on each stage of Swin-T: backends, floors, and the public ones."""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from swin_tutorial.attention import WindowAttention
from swin_tutorial.backends import attend_function
from swin_tutorial.bench.peers import import_peer, versions
from swin_tutorial.bench.swin_tiny import SHIFT, STAGES, WINDOW, Stage
from swin_tutorial.bench.timing import (
    clock,
    default_device,
    machine,
    paired_medians,
    record,
    scaled,
)
from swin_tutorial.grid import WindowGrid


def run(json_file: Path | None = None, *, batch: int | None = None, repeats: int = 20) -> dict:
    """Time window attention between its projections, on each stage of Swin-T at 224 pixels.

    From the map of queries, keys and values to the map of outputs, forward and backward, shifted
    windows of 7, by each of our backends; and with the projections, beside timm and torchvision.
    Between the projections "fused" is flattered: the others roll and cut maps of 3c channels there,
    where a model rolls and cuts c of them.

    On a GPU: bfloat16, inputs in turn so that no cache holds them.  Without one: float32, and what
    runs there.  Floors are the bytes that must be read and written by the measured rate of a copy,
    and the products' number by the measured rate of a large product.  Prints a table and returns
    it.

    Args:
        json_file: Write the results to this file too, after each stage.
        batch: Images in a batch; by default 1, on a GPU 64.
        repeats: How many times each contender is timed, in turn.
    """
    device = default_device()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    batch = batch or (64 if device.type == "cuda" else 1)
    rates = _rates(device, dtype)
    left_out: dict[str, str] = {}
    result = {
        "what": f"window attention, {batch} images of 224 x 224 pixels in Swin-T, {dtype}",
        "repeats": repeats,
        **rates,
        "stages": [],
        "left_out": left_out,
        **machine(device),
        "versions": versions(),
    }
    print(result["what"])
    for number, stage in enumerate(STAGES, start=1):
        found = {"stage": number, "side": stage.side, "dim": stage.dim}
        for direction in ("forward", "backward"):
            seconds = _between_projections(
                stage, batch, dtype, device, direction, repeats, left_out
            )
            floors = _floors(stage, batch, dtype, direction, rates)
            floor = max(floors.values())
            found[direction] = {
                "microseconds": scaled(seconds, 1e6),
                "floor_microseconds": scaled(floors, 1e6),
                "times_the_floor": {name: round(t / floor, 2) for name, t in seconds.items()},
            }
            print(f"stage {number}, {direction}: floor {1e6 * floor:.1f} us")
            for name, time in seconds.items():
                print(f"  {name:32} {1e6 * time:9.1f} us  {time / floor:6.2f} x")
        seconds = _with_projections(stage, batch, dtype, device, repeats, left_out)
        found["with_projections_microseconds"] = scaled(seconds, 1e6)
        for name, time in seconds.items():
            print(f"  with projections, {name:14} {1e6 * time:9.1f} us")
        result["stages"].append(found)
        record(result, json_file)
    return result


# --- the contenders ---


def backend_on_map(backend: str, grid: WindowGrid, num_heads: int, device: torch.device):
    """Return a function from (qkv ``b h w 3c``, bias) to the map of outputs, by a backend.

    Raises ImportError for "fused" without Triton.
    """
    if backend == "fused":
        from swin_tutorial.backends import fused

        return functools.partial(fused.attend, grid=grid)
    attend = attend_function(backend)
    mask = None
    if grid.needs_mask:
        mask = grid.mask_mod(device) if backend == "flex" else grid.mask(device)

    def on_map(qkv: Tensor, bias: Tensor) -> Tensor:
        q, k, v = rearrange(
            grid.partition(qkv),
            "b n t (three heads d) -> three b n heads t d",
            three=3,
            heads=num_heads,
        )
        out = attend(q, k, v, bias, mask, q.shape[-1] ** -0.5)
        return grid.merge(rearrange(out, "b n heads t d -> b n t (heads d)"))

    return on_map


def _between_projections(
    stage: Stage,
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
    direction: str,
    repeats: int,
    left_out: dict[str, str],
) -> dict[str, float]:
    """Return the seconds that our backends take; "fused" unshifted too, for the cost of a shift."""
    shape = (batch, stage.side, stage.side, 3 * stage.dim)
    bytes_of_map = torch.Size(shape).numel() * dtype.itemsize
    copies = 1 if device.type == "cpu" else 1 + 256 * 2**20 // bytes_of_map
    maps = [torch.randn(shape, device=device, dtype=dtype) for _ in range(copies)]
    bias = torch.randn(stage.num_heads, WINDOW**2, WINDOW**2, device=device)
    lineup = Lineup(direction, left_out)
    for name, backend, shift in (
        ("eager", "eager", SHIFT),
        ("sdpa", "sdpa", SHIFT),
        ("flex", "flex", SHIFT),
        ("fused", "fused", SHIFT),
        ("fused, unshifted", "fused", 0),
    ):
        grid = WindowGrid((stage.side, stage.side), WINDOW, shift)
        make = functools.partial(backend_on_map, backend, grid, stage.num_heads, device)
        lineup.add(name, make, maps, (bias,))
        if device.type == "cuda" and backend in ("eager", "sdpa"):
            lineup.add(f"{name}, compiled", lambda make=make: torch.compile(make()), maps, (bias,))
    return paired_medians(lineup.runs, repeats, clock(device))


def _with_projections(
    stage: Stage,
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
    repeats: int,
    left_out: dict[str, str],
) -> dict[str, float]:
    """Return the seconds of a forward pass from map to map, both projections included."""
    shift = SHIFT if stage.side > WINDOW else 0
    size = (stage.side, stage.side)

    def ours(backend: str) -> Callable:
        module = WindowAttention(stage.dim, WINDOW, stage.num_heads, backend=backend)
        module = module.to(device, dtype).eval()
        return functools.partial(module.attend, grid=WindowGrid(size, WINDOW, shift))

    def timm() -> Callable:
        swin = import_peer("timm.models.swin_transformer")
        block = swin.SwinTransformerBlock(stage.dim, size, stage.num_heads, None, WINDOW, shift)
        return block.to(device, dtype).eval()._attn

    def torchvision() -> Callable:
        swin = import_peer("torchvision.models.swin_transformer")
        window_and_shift = [WINDOW, WINDOW], [shift, shift]
        module = swin.ShiftedWindowAttention(stage.dim, *window_and_shift, stage.num_heads)
        return module.to(device, dtype).eval()

    makers = {name: functools.partial(ours, name) for name in ("eager", "sdpa", "fused")}
    maps = [torch.randn(batch, *size, stage.dim, device=device, dtype=dtype)]
    lineup = Lineup("forward", left_out)
    for name, make in {**makers, "timm": timm, "torchvision": torchvision}.items():
        lineup.add(name, make, maps)
        if device.type == "cuda":
            lineup.add(f"{name}, compiled", lambda make=make: torch.compile(make()), maps)
    return paired_medians(lineup.runs, repeats, clock(device))


class Lineup:
    """The contenders that run here, and why the others do not: ``left_out``, which is shared."""

    def __init__(self, direction: str, left_out: dict[str, str]):
        self.direction = direction
        self.runs: dict[str, Callable] = {}
        self.left_out = left_out

    def add(
        self, name: str, make: Callable[[], Callable], maps: list[Tensor], others: tuple = ()
    ) -> None:
        """Add a contender, which takes the maps in turn, if it runs here.

        ``make`` returns a function of a map and of other inputs.  Gradients are to all of them.
        """
        try:
            attend = make()
            if self.direction == "forward":
                turns = itertools.cycle(maps)
                run = torch.no_grad()(lambda: attend(next(turns), *others))
            else:
                graphs = []
                for x in maps:
                    inputs = [x.detach().requires_grad_() for x in (x, *others)]
                    out = attend(*inputs)
                    graphs.append((out, inputs, torch.randn_like(out)))
                run = functools.partial(_differentiate, itertools.cycle(graphs))
            run()
        except Exception as error:  # whatever a backend or a compiler raises, the others go on
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            if self.left_out.get(name) != reason:
                print(f"  {name}, {self.direction}, is left out: {reason}")
            self.left_out[name] = reason
        else:
            self.runs[name] = run


def _differentiate(turns) -> None:
    out, inputs, to_out = next(turns)
    torch.autograd.grad(out, inputs, to_out, retain_graph=True)


# --- floors ---


def _floors(
    stage: Stage, batch: int, dtype: torch.dtype, direction: str, rates: dict[str, float]
) -> dict[str, float]:
    """Return the seconds that bytes and products take at the measured rates.

    Forward, queries, keys and values are read and the output written once; backward, the output's
    gradient is read as well, and the gradients to queries, keys and values are written.  The bias
    counts for nothing.  Forward takes two products of matrices per window and head, backward five.
    """
    tokens = batch * stage.side**2
    maps, products = (4, 2) if direction == "forward" else (7, 5)
    moved = maps * tokens * stage.dim * dtype.itemsize
    operations = products * 2 * tokens * WINDOW**2 * stage.dim
    return {
        "bytes": moved / rates["copied_bytes_per_second"],
        "products": operations / rates["operations_per_second"],
    }


def _rates(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Measure how fast this device copies (bytes read and written) and multiplies matrices."""
    size, side = (2**30, 8192) if device.type == "cuda" else (2**26, 1024)
    source, target = (torch.empty(size, dtype=torch.uint8, device=device) for _ in range(2))
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    contenders = {"copy": lambda: target.copy_(source), "product": lambda: a @ b}
    seconds = paired_medians(contenders, 10, clock(device))
    return {
        "copied_bytes_per_second": 2 * size / seconds["copy"],
        "operations_per_second": 2 * side**3 / seconds["product"],
    }
