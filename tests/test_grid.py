"""``WindowGrid`` over 10,000 geometries in one to three dimensions, against two oracles.

The first oracle decides from coordinates, in plain Python; the second numbers the un-rolled map and
rolls the numbers.  The third, attention with no roll at all, is in test_leaks.
"""

import copy
import dataclasses
import itertools
import pickle
from math import prod

import pytest
import torch
from attending import DIM, random_map
from geometries import all_square_windows, sample

from swin_tutorial.grid import WindowGrid
from swin_tutorial.reference import brute_force_mask
from swin_tutorial.windows import cyclic_shift, window_partition

SAMPLE = sample(10_000, seed=1)


def test_the_sample_holds_every_kind_of_geometry():
    """The counts below are what makes the comparisons with the oracles worth something."""
    kinds = {
        "1-D": sum(len(g.size) == 1 for g in SAMPLE),
        "2-D": sum(len(g.size) == 2 for g in SAMPLE),
        "3-D": sum(len(g.size) == 3 for g in SAMPLE),
        "padded": sum(g.is_padded for g in SAMPLE),
        "padding treated in two ways": sum(len(set(g.padding)) > 1 for g in SAMPLE),
        "zero shift": sum(not any(g.shift_size) for g in SAMPLE),
        "one window": sum(g.is_one_window for g in SAMPLE),
        "one window on one axis": sum(
            any(n <= m for n, m in zip(g.size, g.window_size, strict=True)) and not g.is_one_window
            for g in SAMPLE
        ),
        "a shifted ring": sum(
            any(map(all, zip(g.periodic, g.grid.effective_shift, strict=True))) for g in SAMPLE
        ),
        "a ring beside an axis that ends": sum(len(set(g.periodic)) > 1 for g in SAMPLE),
        "windows not square": sum(len(set(g.window_size)) > 1 for g in SAMPLE),
        "shift other than half a window": sum(
            any(s and s != m // 2 for s, m in zip(g.shift_size, g.window_size, strict=True))
            for g in SAMPLE
        ),
    }
    assert len(SAMPLE) == 10_000
    assert min(kinds.values()) >= 300, kinds


@pytest.mark.usefixtures("unchecked")  # shapes are checked elsewhere; here they cost seconds
@pytest.mark.parametrize("part", range(2))
def test_mask_equals_coordinates(part):
    for geometry in SAMPLE[part::2]:
        assert torch.equal(geometry.grid.mask(), brute_force_mask(*geometry)), geometry


@pytest.mark.parametrize("height", range(1, 9))
def test_mask_equals_coordinates_for_every_small_image(height):
    for geometry in all_square_windows(height, 8):
        assert torch.equal(geometry.grid.mask(), brute_force_mask(*geometry)), geometry


def labels_of_strips(size, window, shift, padding, periodic, padded):
    """Number the strips of an axis that is not rolled, by walking along it."""
    labels, label = [], 0
    for position in range(padded):
        if position and position >= shift and (position - shift) % window == 0:
            label += 1
        labels.append(label)
    if periodic and shift:
        return [0 if label == labels[-1] else label for label in labels]
    if padding == "mask":
        return [label if y < size else labels[size - 1] + 1 for y, label in enumerate(labels)]
    return labels


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("part", range(2))
def test_region_ids_equal_a_numbered_map_that_is_rolled(part):
    for geometry in SAMPLE[part::2]:
        grid = geometry.grid
        of_axes = [
            labels_of_strips(*axis)
            for axis in zip(
                grid.size,
                grid.window_size,
                grid.effective_shift,
                grid.padding,
                grid.periodic,
                grid.padded_size,
                strict=True,
            )
        ]
        rolled = [
            labels[shift:] + labels[:shift]
            for labels, shift in zip(of_axes, grid.effective_shift, strict=True)
        ]
        numbers = {
            region: number
            for number, region in enumerate(
                itertools.product(*(range(max(labels) + 1) for labels in of_axes))
            )
        }
        expected = [numbers[region] for region in itertools.product(*rolled)]
        ids = grid.region_ids()
        assert ids.shape == grid.padded_size
        assert ids.flatten().tolist() == expected, geometry


def test_mask_compares_region_ids():
    for geometry in SAMPLE[:2000]:
        grid = geometry.grid
        ids = window_partition(grid.region_ids()[None, ..., None], grid.window_size)[0, :, :, 0]
        assert torch.equal(grid.mask(), ids[:, :, None] == ids[:, None, :])


def test_the_predicate_says_what_the_mask_holds():
    """For the windows of two images, one after the other, whatever the head."""
    for geometry in SAMPLE[:500]:
        mask = geometry.grid.mask()
        n, t, _ = mask.shape
        batch, query, key = torch.meshgrid(*map(torch.arange, (2 * n, t, t)), indexing="ij")
        assert torch.equal(geometry.grid.mask_mod()(batch, 0, query, key), torch.cat([mask, mask]))


def test_where_a_token_is():
    for geometry in SAMPLE[:300]:
        grid = geometry.grid
        padded = grid.padded_size
        numbers = torch.arange(prod(padded)).view(1, *padded, 1)
        windows = window_partition(cyclic_shift(numbers, grid.effective_shift), grid.window_size)
        for number, token in enumerate(itertools.product(*map(range, padded))):
            window, index = grid.locate(token)
            assert int(windows[0, window, index, 0]) == number
            assert grid.origin(window, index) == token
            beyond = any(y >= n for y, n in zip(token, geometry.size, strict=True))
            assert grid.is_padding(token) == beyond


def test_merge_undoes_partition():
    for geometry in SAMPLE[:1000]:
        grid = geometry.grid
        x = random_map(geometry)
        windows = grid.partition(x)
        assert windows.shape == (1, grid.num_windows, grid.tokens_per_window, DIM)
        assert torch.equal(grid.merge(windows), x)


def test_needs_mask_where_anything_is_forbidden():
    for geometry in SAMPLE[:3000]:
        grid = geometry.grid
        assert grid.needs_mask or grid.mask().all(), geometry


@pytest.mark.parametrize(
    ("arguments", "needs_mask"),
    [
        (((8, 8), 4, 2), True),
        (((8, 8), 4, (0, 2)), True),
        (((8, 8), 4, 0), False),
        (((4, 4), 4, 2), False),  # a single window is not shifted
        (((3, 4), 4, 2), True),
        (((3, 4), 4, 2, "attend"), False),
        (((7, 8), 4, 0, "attend"), False),
        (((7, 8), 4, 0, ("attend", "mask")), False),
        (((7, 8), 4, 2, "attend"), True),
        (((8, 8), 4, 2, "mask", True), False),
        (((8, 8), 4, 2, "mask", (True, False)), True),
    ],
)
def test_needs_mask_of_plain_cases(arguments, needs_mask):
    grid = WindowGrid(*arguments)
    assert grid.needs_mask == needs_mask
    assert grid.mask().all() == (not needs_mask)


def test_a_grid_is_a_value():
    grid = WindowGrid((8, 13), 4, 2)
    assert grid == WindowGrid([8, 13], (4, 4), (2, 2), ("mask", "mask"), (False, False))
    assert hash(grid) == hash(WindowGrid((8, 13), (4, 4), (2, 2)))
    assert grid != dataclasses.replace(grid, padding="attend")
    assert (grid.size, grid.window_size, grid.shift_size) == ((8, 13), (4, 4), (2, 2))
    assert grid.padded_size == (8, 16)
    assert (grid.num_windows, grid.tokens_per_window, grid.effective_shift) == (8, 16, (2, 2))
    assert pickle.loads(pickle.dumps(grid)) == copy.deepcopy(grid) == grid
    assert WindowGrid(8, 4, 2).size == (8,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        grid.size = (9, 9)


def test_a_mask_is_built_once_and_again_if_somebody_writes_into_it():
    grid = WindowGrid((9, 14), 4, 1)
    mask = grid.mask()
    assert WindowGrid((9, 14), (4, 4), 1).mask() is mask
    expected = mask.clone()
    mask.zero_()
    assert torch.equal(grid.mask(), expected)
    assert grid.mask() is grid.mask()


def test_a_mask_first_built_in_inference_mode_can_be_trained_with():
    with torch.inference_mode():
        mask = WindowGrid((10, 14), 4, 1).mask()
    assert not mask.is_inference()
    assert WindowGrid((10, 14), 4, 1).mask() is mask


def test_a_grid_makes_tensors_on_the_device_asked_for():
    grid = WindowGrid((8, 8), 4, 2)
    with torch.device("meta"):
        assert grid.mask().device.type == "meta"
        assert grid.mask("cpu").device.type == "cpu"
    assert grid.region_ids("meta").device.type == grid.mask("meta").device.type == "meta"
    token = torch.zeros(1, dtype=torch.long)
    assert grid.mask_mod("meta")(token, 0, token, token).device.type == "meta"
    assert grid.region_ids().device.type == grid.mask().device.type == "cpu"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: WindowGrid((0, 8), 4), ValueError, "^size must be at least 1, got 0"),
        (lambda: WindowGrid((8, 8.0), 4), TypeError, "8.0"),
        (lambda: WindowGrid((8, 8), 0), ValueError, "window_size must be at least 1"),
        (lambda: WindowGrid((8, 8), 4, 4), ValueError, "must be smaller than window_size"),
        (lambda: WindowGrid((8, 8), (4, 2), 2), ValueError, "shift_size 2 .* window_size 2"),
        (lambda: WindowGrid((8, 8), 4, 2, "drop"), ValueError, "padding must be .* got 'drop'"),
        (lambda: WindowGrid((8, 8), (4, 4, 4)), ValueError, "one for each of the map's 2"),
        (lambda: WindowGrid((1, 2, 3, 4), 4), ValueError, "one to three axes"),
        (
            lambda: WindowGrid((8, 9), 4, 2, periodic=True),
            ValueError,
            "periodic axis of 9 .* windows of 4",
        ),
        (
            lambda: WindowGrid((8, 8), 4).partition(torch.zeros(1, 8, 9, 2)),
            ValueError,
            r"maps of 8x8 .* \(1, 8, 9, 2\): make a WindowGrid",
        ),
        (
            lambda: WindowGrid((8, 8), 4).merge(torch.zeros(1, 3, 16, 2)),
            ValueError,
            "3 windows of 16 tokens do not tile",
        ),
        (lambda: WindowGrid((7, 8), 4).locate((8, 0)), ValueError, r"token \(8, 0\) .* 8x8"),
        (lambda: WindowGrid((7, 8), 4).locate((0, -1)), ValueError, r"token \(0, -1\)"),
        (lambda: WindowGrid((7, 8), 4).locate((0, 1.5)), ValueError, r"token \(0, 1.5\)"),
        (lambda: WindowGrid((7, 8), 4).locate((0,)), ValueError, r"token \(0,\)"),
        (lambda: WindowGrid((7, 8), 4).is_padding((0,)), ValueError, "argument 2 is longer"),
        (lambda: WindowGrid((7, 8), 4).origin(4, 0), ValueError, "token 0 in window 4: .* 4 win"),
        (lambda: WindowGrid((7, 8), 4).origin(0, 16), ValueError, "windows of 16 tokens"),
        (lambda: WindowGrid((7, 8), 4).origin(0, 0.5), ValueError, "token 0.5 in window 0"),
        (lambda: WindowGrid(b"78", 4), TypeError, "size must be a whole number, got b'78'"),
        (lambda: WindowGrid((7, 8), b"44"), TypeError, "window_size must be .* got b'44'"),
        (lambda: WindowGrid((7, 8), 4).origin(-1, 0), ValueError, "window -1"),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()
