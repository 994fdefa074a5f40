"""Right code is never accused: three styles, padding seen and not, on random geometries."""

import itertools
import math
import random

import pytest
import torch

from swin_tutorial.attention import WindowAttention
from swin_tutorial.audit import audit
from swin_tutorial.axis import Axis
from swin_tutorial.grid import WindowGrid
from swin_tutorial.reference import attend_window_by_window

pytestmark = pytest.mark.usefixtures("unchecked")  # three times as fast

DIM = 3
LARGEST = {1: (12, 5), 2: (6, 3), 3: (3, 2)}  # size and window, by the number of axes


def random_grid(seed):
    rng = random.Random(seed)
    axes = rng.choice((1, 2, 2, 3))
    size, window, shift, periodic = zip(
        *(random_axis(rng, *LARGEST[axes]) for _ in range(axes)), strict=True
    )
    return WindowGrid(size, window, shift, rng.choice(("mask", "attend")), periodic)


def random_axis(rng, largest_size, largest_window):
    size, window = rng.randint(1, largest_size), rng.randint(1, largest_window)
    return size, window, rng.randrange(window), size % window == 0 and rng.random() < 0.3


def attention(window_size):
    torch.manual_seed(0)
    module = WindowAttention(DIM, window_size, num_heads=1, backend="eager").double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def roll_and_mask(grid):
    """The package's own way."""
    module = attention(grid.window_size)

    def block(x):
        return x + module.attend(x, WindowGrid(x.shape[1:-1], *geometry(grid)))

    return block


def window_by_window(grid):
    """No roll and no mask: each true window attends on its own."""
    module = attention(grid.window_size)

    def block(x):
        return attend_window_by_window(x, module, *geometry(grid))

    return block


def one_gather_per_token(grid):
    """No windows: each token gathers those that belong to its window, by their coordinates."""
    torch.manual_seed(0)
    matrices = torch.randn(3, DIM, DIM, dtype=torch.float64)
    table = torch.randn(19**3, dtype=torch.float64)

    def block(x):
        size = x.shape[1:-1]
        here = WindowGrid(size, *geometry(grid))
        places = list(itertools.product(*map(range, here.padded_size)))
        windows = [tuple(map(true_window, here.axes, place)) for place in places]
        inside = (slice(None), *(slice(0, n) for n in size))
        padded = x.new_zeros(len(x), *here.padded_size, x.shape[-1])
        padded[inside] = x
        q, k, v = ((padded.flatten(1, -2) + 0.3) @ matrix.to(x.dtype) for matrix in matrices)
        out = []
        for i, window in enumerate(windows):
            keys = [j for j, other in enumerate(windows) if other == window]
            bias = table[[entry(here, places[i], places[j]) for j in keys]]
            scores = (q[:, i, None] * k[:, keys]).sum(-1) / math.sqrt(DIM) + bias.to(x.dtype)
            out.append((scores.softmax(-1)[..., None] * v[:, keys]).sum(1))
        return torch.stack(out, 1).view(padded.shape)[inside]

    return block


def true_window(axis: Axis, place: int):
    if axis.padding == "mask" and place >= axis.size:
        return "padding"
    number = (place - axis.effective_shift) // axis.window_size
    return number % axis.num_windows if axis.periodic else number


def entry(grid, query, key):
    number = 0
    for axis, i, j in zip(grid.axes, query, key, strict=True):
        offset = i - j
        if axis.periodic:
            offset = (offset + axis.padded_size // 2) % axis.padded_size - axis.padded_size // 2
        number = number * 19 + offset
    return number


def geometry(grid):
    return grid.window_size, grid.shift_size, grid.padding, grid.periodic


@pytest.mark.parametrize(
    ("style", "count"),
    [(roll_and_mask, 300), (window_by_window, 120), (one_gather_per_token, 80)],
)
def test_right_code_is_never_accused(style, count):
    for seed in range(count):
        grid = random_grid(seed)
        report = audit(
            style(grid),
            window_size=grid.window_size,
            shift_size=grid.shift_size,
            padding=grid.padding,
            periodic=grid.periodic,
            dim=DIM,
            sizes=[grid.size],
        )
        assert report.is_right, f"{grid}\n{report}"
