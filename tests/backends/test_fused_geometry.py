"""The fused kernel's index arithmetic, and that the compiler for GPUs takes its kernels."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from geometries import Geometry, sample

from swin_tutorial.windows import window_partition

triton = pytest.importorskip("triton")
tl = triton.language
from swin_tutorial.backends.fused import geometry as kernel_geometry  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@triton.jit
def _write_places(
    places,
    height,
    width,
    shift_rows,
    shift_columns,
    count,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    PERIODIC: tl.constexpr,
    LANES: tl.constexpr,
):
    """Write the places of all tokens of all windows: token of the map, is real, region, mask."""
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    geometry = (height, width, shift_rows, shift_columns)
    lane = tl.arange(0, LANES)
    window, token = lane // TOKENS, lane % TOKENS
    row, column, is_real, region = kernel_geometry.token_places(
        window, token, geometry, WINDOW, MASK_PADDING, PERIODIC
    )
    masked = kernel_geometry.may_need_mask(window, geometry, WINDOW, MASK_PADDING, PERIODIC)
    to, there = places + lane * 5, lane < count
    tl.store(to, row, mask=there)
    tl.store(to + 1, column, mask=there)
    tl.store(to + 2, is_real.to(tl.int32), mask=there)
    tl.store(to + 3, region, mask=there)
    tl.store(to + 4, masked.to(tl.int32), mask=there)


def kernel_places(grid):
    """Return (row, column, is real, region, may need a mask) of each token, each as ``n t``."""
    count = grid.num_windows * grid.tokens_per_window
    places = torch.full((count, 5), -1, dtype=torch.int32).to(DEVICE)
    mask_padding = tuple(padding == "mask" for padding in grid.padding)
    _write_places[(1,)](
        places, *grid.size, *grid.effective_shift, count,
        grid.window_size, mask_padding, grid.periodic, triton.next_power_of_2(count),
    )  # fmt: skip
    return places.cpu().view(grid.num_windows, grid.tokens_per_window, 5).unbind(-1)


GEOMETRIES = [
    *sample(80, seed=10, num_axes=2),
    *(
        Geometry(size, window, shift, (padding,) * 2, (False,) * 2)
        for size, window, shift in [((56, 42), (7, 7), (3, 3)), ((25, 34), (8, 16), (7, 0))]
        for padding in ("mask", "attend")
    ),
]


def test_index_arithmetic_is_that_of_window_grid():
    needless_masks = 0
    for geometry in GEOMETRIES:
        grid = geometry.grid
        row, column, is_real, region, masked = kernel_places(grid)
        height, width = grid.size

        # A map that holds each token's own number, from 1, so that padding is 0.
        numbers = torch.arange(1, height * width + 1).view(1, height, width, 1)
        expected = grid.partition(numbers)[0, :, :, 0]
        assert torch.equal(is_real == 1, expected > 0), geometry
        found = torch.where(is_real == 1, row * width + column + 1, 0)
        assert torch.equal(found, expected.int()), geometry

        ids = window_partition(grid.region_ids()[None, :, :, None], grid.window_size)[0, :, :, 0]
        assert torch.equal(region, ids.int()), geometry
        several = (ids != ids[:, :1]).any(dim=1)
        assert (masked[several] == 1).all(), geometry
        # What is masked without need is padding alone.
        needless = (masked[:, 0] == 1) & ~several
        assert (is_real[needless] == 0).all(), geometry
        needless_masks += int(needless.sum())
    assert needless_masks < 100  # of some thousand windows


def test_kernels_compile_for_a_hopper_gpu():
    """What the interpreter takes, the compiler may not; and all must fit into shared memory.

    In a process of its own, since this one's kernels may be the interpreter's.
    """
    pytest.importorskip("triton.backends.nvidia")
    script = str(Path(__file__).with_name("hopper.py"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 5, done.stdout
