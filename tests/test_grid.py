"""``WindowGrid``, and attention through it against attention done window by window."""

import dataclasses

import pytest
import torch
from attending import CHANNELS, attend, attention, random_map
from geometries import Geometry, sample

from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import shifted_window_mask
from swin_tutorial.reference import attend_window_by_window


@pytest.mark.parametrize("part", range(4))
def test_attention_equals_attention_window_by_window(part):
    """The third oracle: no roll, no mask.  Output and gradient, 2,100 geometries over all parts."""
    for geometry in sample(2100, seed=1)[part::4]:
        for padding in geometry.paddings:
            x = random_map(geometry, batch=2)
            fast_x, slow_x = x.clone().requires_grad_(), x.clone().requires_grad_()
            fast = attend(fast_x, geometry, padding)
            slow = attend_window_by_window(
                slow_x,
                attention(geometry.window_size),
                geometry.window_size,
                geometry.shift_size,
                padding,
            )
            weight = torch.randn_like(fast)
            (fast * weight).sum().backward()
            (slow * weight).sum().backward()
            torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(fast_x.grad, slow_x.grad, rtol=1e-9, atol=1e-9)


def test_merge_undoes_partition():
    for geometry in sample(500, seed=2):
        grid = WindowGrid(*geometry)
        x = random_map(geometry)
        windows = grid.partition(x)
        assert windows.shape == (1, grid.num_windows, grid.tokens_per_window, CHANNELS)
        assert torch.equal(grid.merge(windows), x)


def test_a_geometry_is_a_value():
    grid = WindowGrid(8, 13, 4, 2)
    assert grid == WindowGrid(8, 13, (4, 4), (2, 2))
    assert hash(grid) == hash(WindowGrid(8, 13, (4, 4), (2, 2)))
    assert grid != dataclasses.replace(grid, padding="attend")
    assert (grid.window_size, grid.shift_size) == ((4, 4), (2, 2))
    assert grid.padded_size == (8, 16)
    assert (grid.num_windows, grid.tokens_per_window, grid.used_shift) == (8, 16, (2, 2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        grid.height = 9


@pytest.mark.parametrize(
    ("geometry", "padding", "has_mask"),
    [
        (Geometry(8, 8, (4, 4), (2, 2)), "mask", True),
        (Geometry(8, 8, (4, 4), (0, 2)), "mask", True),
        (Geometry(8, 8, (4, 4), (0, 0)), "mask", False),
        (Geometry(4, 4, (4, 4), (2, 2)), "mask", False),  # a single window is not shifted
        (Geometry(3, 4, (4, 4), (2, 2)), "mask", True),
        (Geometry(3, 4, (4, 4), (2, 2)), "attend", False),
        (Geometry(7, 8, (4, 4), (0, 0)), "attend", False),
        (Geometry(7, 8, (4, 4), (2, 2)), "attend", True),
    ],
)
def test_a_mask_is_made_only_where_something_is_forbidden(geometry, padding, has_mask):
    full = shifted_window_mask(*geometry, padding)
    assert (not full.all()) == has_mask
    mask = WindowGrid(*geometry, padding).mask()
    assert mask is None if not has_mask else torch.equal(mask, full)
    n, t, _ = full.shape
    window, query, key = torch.meshgrid(*map(torch.arange, (n, t, t)), indexing="ij")
    may_attend = WindowGrid(*geometry, padding).mask_mod()
    assert torch.equal(may_attend(window, 0, query, key), full)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: WindowGrid(0, 8, 4), ValueError, r"at least 1 .* got \(0, 8\)"),
        (lambda: WindowGrid(8, 8.0, 4), TypeError, "8.0"),
        (lambda: WindowGrid(8, 8, 0), ValueError, "window_size must be at least 1"),
        (lambda: WindowGrid(8, 8, 4, 4), ValueError, "must be smaller than window_size"),
        (lambda: WindowGrid(8, 8, 4, 2, "drop"), ValueError, "padding must be .* got 'drop'"),
        (
            lambda: WindowGrid(8, 8, 4).partition(torch.zeros(1, 8, 9, 2)),
            ValueError,
            r"maps of 8x8 .* \(1, 8, 9, 2\): make a WindowGrid",
        ),
        (
            lambda: WindowGrid(8, 8, 4).merge(torch.zeros(1, 3, 16, 2)),
            ValueError,
            "3 windows of 16 tokens do not tile",
        ),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()
