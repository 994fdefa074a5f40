"""How the kernels are launched: tiles, programs and arguments for a map and its grid."""

from typing import NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime import JITFunction

from swin_tutorial.backends.fused.kernels import forward_kernel
from swin_tutorial.grid import WindowGrid

PROGRAMS_PER_PROCESSOR = 8


class Tile(NamedTuple):
    """How a kernel cuts up the scores of a window, and with how many warps it computes a tile."""

    queries: int  # lanes of a block of queries
    keys: int  # lanes of all keys
    num_warps: int
    num_stages: int  # how many windows are loaded ahead


def forward_tile(tokens: int, dtype: torch.dtype) -> Tile:
    """Return the tile for windows of ``tokens`` tokens.

    Chosen so that the compiler for Hopper GPUs keeps nearly everything in registers.
    """
    return (_FLOAT32_TILES if dtype == torch.float32 else _FORWARD_TILES)[_lanes(tokens)]


def backward_tile(tokens: int, dtype: torch.dtype) -> Tile:
    """Return the tile of the backward kernels, which hold more."""
    return (_FLOAT32_TILES if dtype == torch.float32 else _BACKWARD_TILES)[_lanes(tokens)]


def _lanes(tokens: int) -> int:
    """Return the lanes of a window's keys: a power of two, and 16 at least for ``tl.dot``."""
    return max(16, triton.next_power_of_2(tokens))


def _by_lanes(*tiles: Tile) -> dict[int, Tile]:
    return {tile.keys: tile for tile in tiles}


_SMALL_TILES = Tile(16, 16, 1, 3), Tile(32, 32, 2, 3), Tile(64, 64, 4, 3)
_FORWARD_TILES = _by_lanes(*_SMALL_TILES, Tile(64, 128, 4, 2), Tile(64, 256, 8, 1))
_BACKWARD_TILES = _by_lanes(*_SMALL_TILES, Tile(128, 128, 8, 2), Tile(16, 256, 4, 2))
_FLOAT32_TILES = _by_lanes(
    Tile(16, 16, 2, 1),
    Tile(32, 32, 4, 1),
    Tile(64, 64, 8, 1),
    Tile(32, 128, 8, 1),
    Tile(16, 256, 8, 1),
)


def is_interpreted() -> bool:
    """Return whether Triton's interpreter runs the kernels, on any device."""
    return not isinstance(forward_kernel, JITFunction)


def num_shares(device: torch.device, programs: int, windows: int) -> int:
    """Return how many programs share the windows, if ``programs`` walk over the same ones.

    Enough to keep each multiprocessor busy; more would only be more sums to write.
    """
    processors = 1
    if device.type == "cuda":
        processors = torch.cuda.get_device_properties(device).multi_processor_count
    return max(1, min(windows, PROGRAMS_PER_PROCESSOR * processors // programs))


def num_blocks(arguments: dict) -> int:
    """Return the number of blocks of queries in a window."""
    tokens = arguments["WINDOW"][0] * arguments["WINDOW"][1]
    return triton.cdiv(tokens, arguments["QUERIES"])


def kernel_arguments(
    qkv: Tensor,
    bias: Tensor,
    pad_value: Tensor | None,
    logit_scale: Tensor | None,
    grid: WindowGrid,
    backward: bool = False,
) -> dict:
    """Return the arguments that all kernels share."""
    images, height, width, channels = qkv.shape
    shift_rows, shift_columns = grid.effective_shift
    heads = bias.shape[0]
    tile = (backward_tile if backward else forward_tile)(grid.tokens_per_window, qkv.dtype)
    return {
        "qkv": qkv,
        "bias": bias,
        "pad_value": pad_value,
        "logit_scale": logit_scale,
        "images": images,
        "height": height,
        "width": width,
        "shift_rows": shift_rows,
        "shift_columns": shift_columns,
        "stride_head": bias.stride(0),
        "stride_query": bias.stride(1),
        "stride_key": bias.stride(2),
        "HEADS": heads,
        "HEAD_DIM": channels // (3 * heads),
        "WINDOW": grid.window_size,
        "MASK_PADDING": tuple(padding == "mask" for padding in grid.padding),
        "PERIODIC": grid.periodic,
        "HAS_PAD_VALUE": "attend" in grid.padding and pad_value is not None,
        "COSINE": logit_scale is not None,
        "QUERIES": tile.queries,
        "KEYS": tile.keys,
        "WIDEN": is_interpreted() and qkv.dtype == torch.bfloat16,
        "num_warps": tile.num_warps,
        "num_stages": tile.num_stages,
    }
