"""What the shifted-window mask claims, and its relatives; test_grid has the oracles."""

import itertools

import pytest
import torch
from geometries import sample

from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import (
    additive_mask,
    distinct_patterns,
    look_ahead_mask,
    padding_mask,
    region_ids,
    shifted_window_mask,
)

SAMPLE = sample(2000, seed=2)


def test_the_functions_are_the_grid_s_methods():
    arguments = (7, 10), (4, 5), (2, 1), ("mask", "attend"), (False, True)
    grid = WindowGrid(*arguments)
    assert torch.equal(shifted_window_mask(*arguments), grid.mask())
    assert torch.equal(region_ids(*arguments), grid.region_ids())


def test_windows_are_not_shifted_unless_asked():
    assert shifted_window_mask((8, 8), 4).all()
    assert torch.equal(region_ids((8, 8), 4), region_ids((8, 8), 4, 0))


def test_no_window_has_no_pattern():
    patterns, index = distinct_patterns(torch.ones(0, 4, 4, dtype=torch.bool))
    assert (len(patterns), index.dtype) == (0, torch.long)


def test_region_ids_of_a_map_that_divides():
    """4 x 4 tokens, windows of 2, shift 1: nine windows on the map, of which four are whole."""
    assert region_ids((4, 4), 2, 1).tolist() == [
        [4, 4, 5, 3],
        [4, 4, 5, 3],
        [7, 7, 8, 6],
        [1, 1, 2, 0],
    ]


def test_region_ids_number_unshifted_windows_from_zero():
    assert region_ids((4, 6), 2).tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


def test_padding_has_regions_of_its_own():
    """A strip on each axis: one below, one at the right, and one in the corner."""
    assert region_ids((3, 3), 2).tolist() == [
        [0, 0, 1, 2],
        [0, 0, 1, 2],
        [3, 3, 4, 5],
        [6, 6, 7, 8],
    ]
    attended = region_ids((3, 3), 2, padding="attend")
    assert attended.tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2
    one_axis = region_ids((3, 3), 2, padding=("attend", "mask"))
    assert one_axis.tolist() == [[0, 0, 1, 2]] * 2 + [[3, 3, 4, 5]] * 2


def test_every_row_allows_at_least_itself_and_the_mask_is_an_equivalence():
    for geometry in SAMPLE[:1000]:
        mask = shifted_window_mask(*geometry)
        assert mask.diagonal(dim1=1, dim2=2).all()
        assert torch.equal(mask, mask.transpose(1, 2))
        reachable_in_two = mask.float() @ mask.float() > 0
        assert torch.equal(reachable_in_two, mask)


def test_real_tokens_never_see_padding_unless_told_so():
    met = {"mask": False, "attend": False}
    for geometry in (g for g in SAMPLE if g.is_padded and len(set(g.padding)) == 1):
        grid = geometry.grid
        real = grid.partition(torch.ones(1, *grid.size, 1))[0, :, :, 0] > 0
        crosses = real[:, :, None] != real[:, None, :]
        met[geometry.padding[0]] |= bool(grid.mask()[crosses].any())
    assert met == {"mask": False, "attend": True}


def test_swin_t_first_stage_in_numbers():
    """56 x 56 tokens, window 7, shift 3: 15 of 64 windows have a masked pair, in 4 patterns."""
    mask = shifted_window_mask((56, 56), 7, 3)
    assert mask.shape == (64, 49, 49)
    assert int((~mask).flatten(1).any(1).sum()) == 15
    patterns, index = distinct_patterns(mask)
    assert len(patterns) == 4
    assert index.bincount().tolist() == [49, 7, 7, 1]
    assert index[[0, 7, 56, 63]].tolist() == [0, 1, 2, 3]
    assert torch.equal(patterns[index], mask)


def test_queries_that_lose_keys_in_swin_t():
    """15 windows sound few; most queries of the later stages have lost some of their keys."""
    shares = []
    for side in (56, 28, 14):
        loses = ~shifted_window_mask((side, side), 7, 3).all(-1)
        shares.append(round(100 * loses.float().mean().item()))
    assert shares == [23, 44, 75]


@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_how_many_patterns_there_are(num_axes):
    """Two kinds of window on an axis that divides, so at most 2, 4 or 8; with padding, three."""

    def count(grid):
        return len(distinct_patterns(grid.mask()).patterns)

    for geometry in sample(500, seed=4, num_axes=num_axes):
        most = 3 if geometry.is_padded else 2
        assert count(geometry.grid) <= most**num_axes
    assert count(WindowGrid((8,) * num_axes, 4, 2)) == 2**num_axes
    assert count(WindowGrid((9,) * num_axes, 4, 3)) == 3**num_axes


def test_look_ahead_mask():
    mask = look_ahead_mask(3)
    assert mask.tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_padding_mask_keeps_real_and_padding_apart():
    mask = padding_mask(torch.tensor([0, 2, 3]), 3)
    assert mask[0].all()
    assert mask[1].tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert mask[2].all()


def test_combined_masks_never_have_an_empty_row():
    shifted = shifted_window_mask((6, 5), 3, 1)
    padding = padding_mask(torch.arange(len(shifted)) + 2, 9)
    for masks in itertools.combinations([shifted, padding, look_ahead_mask(9).expand(4, 9, 9)], 2):
        combined = masks[0] & masks[1]
        assert combined.any(-1).all()
        assert not additive_mask(combined).softmax(-1).isnan().any()
        assert int(combined.sum()) < min(int(mask.sum()) for mask in masks)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_additive_mask_is_zero_or_minus_infinity(dtype):
    added = additive_mask(torch.tensor([[True, False], [True, True]]), dtype)
    assert added.dtype == dtype
    assert added.tolist() == [[0.0, float("-inf")], [0.0, 0.0]]


def test_masks_are_made_on_the_device_asked_for():
    assert region_ids((8, 8), 4, 2, device="meta").device.type == "meta"
    assert shifted_window_mask((8, 8), 4, 2, device="meta").device.type == "meta"
    assert look_ahead_mask(4, device="meta").device.type == "meta"
    assert additive_mask(torch.ones(2, 2, dtype=torch.bool, device="meta")).device.type == "meta"


def test_the_default_device_makes_no_difference():
    """What is asked for, or where the input lies, decides; tensors on "meta" hold no numbers."""
    lengths, mask = torch.tensor([1, 3]), shifted_window_mask((8, 8), 4, 2)
    expected = padding_mask(lengths, 3), *distinct_patterns(mask)
    with torch.device("meta"):
        made = padding_mask(lengths, 3), *distinct_patterns(mask)
        mask_again = shifted_window_mask((8, 8), 4, 2, device="cpu")
    assert all(map(torch.equal, made, expected))
    assert torch.equal(mask_again, mask)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: shifted_window_mask((8, 8), 4, 4),
            ValueError,
            "shift_size 4 .* window_size 4",
        ),
        (lambda: shifted_window_mask((8, 8), 4, -1), ValueError, "shift_size must be at least 0"),
        (lambda: shifted_window_mask((8, 8), 0, 0), ValueError, "window_size must be at least 1"),
        (lambda: shifted_window_mask((0, 8), 4, 2), ValueError, "^size must be at least 1, got 0"),
        (lambda: shifted_window_mask((8.0, 8), 4, 2), TypeError, "^size .* got 8.0"),
        (
            lambda: shifted_window_mask((8, 8), 4, 2, "zero"),
            ValueError,
            '"mask" or "attend", got .zero',
        ),
        (lambda: region_ids((8, 8), 4, 9), ValueError, "must be smaller than window_size"),
        (lambda: region_ids((8, 8), 4, 2, padding=None), ValueError, "padding must be"),
        (
            lambda: padding_mask(torch.tensor([4]), 3),
            ValueError,
            r"between 0 and tokens=3, got \[4\]",
        ),
        (lambda: padding_mask(torch.tensor([-1]), 3), ValueError, r"between 0 and .* got \[-1\]"),
        (
            lambda: padding_mask(torch.tensor([1.0]), 3),
            TypeError,
            r"^lengths must .*, got tensor\(\[1.\]\)",
        ),
        (lambda: padding_mask(torch.tensor([True]), 3), TypeError, r"lengths .*True"),
        (lambda: padding_mask(torch.tensor([[1]]), 3), TypeError, r"1-d .*\(\[\[1\]\]\)"),
        (lambda: padding_mask([1, 3], 3), TypeError, r"1-d tensor .* got \[1, 3\]"),
        (lambda: padding_mask(torch.tensor([1]), 0), ValueError, "tokens must be at least 1"),
        (lambda: look_ahead_mask(0), ValueError, "tokens must be at least 1"),
        (
            lambda: additive_mask(torch.ones(2, 2)),
            TypeError,
            r"boolean .* got torch.float32: compare first, .* ids\[:, None\] == ids\[None, :\]$",
        ),
        (
            lambda: additive_mask(torch.ones(2, 2) > 0, torch.int32),
            TypeError,
            "floating-point .* got torch.int32",
        ),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()
