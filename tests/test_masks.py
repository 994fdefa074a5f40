"""The mask against coordinates, its claims, its neighbours; test_grid has the third oracle."""

import itertools

import pytest
import torch
from geometries import all_square_windows, sample

from swin_tutorial.masks import (
    additive_mask,
    distinct_patterns,
    look_ahead_mask,
    padding_mask,
    region_ids,
    shifted_window_mask,
    shifted_window_mask_mod,
)
from swin_tutorial.reference import brute_force_mask
from swin_tutorial.windows import (
    cyclic_shift,
    pad_to_windows,
    padded_size,
    used_shift,
    window_partition,
)

SAMPLE = sample(2100, seed=1)


def test_the_sample_holds_every_kind_of_geometry():
    """The counts below are what makes the comparisons with the oracles worth something."""
    assert len(SAMPLE) >= 2000
    kinds = {
        "non-square": sum(g.is_non_square for g in SAMPLE),
        "padded": sum(g.is_padded for g in SAMPLE),
        "zero shift": sum(g.shift_size == (0, 0) for g in SAMPLE),
        "single window": sum(g.is_single_window for g in SAMPLE),
        "shifted on one axis": sum(
            (g.shift_size[0] == 0) != (g.shift_size[1] == 0) for g in SAMPLE
        ),
    }
    assert min(kinds.values()) >= 100, kinds


def test_mask_equals_coordinates_over_the_sample():
    for geometry in SAMPLE:
        for padding in geometry.paddings:
            mask = shifted_window_mask(*geometry, padding)
            assert torch.equal(mask, brute_force_mask(*geometry, padding)), (geometry, padding)


@pytest.mark.parametrize("height", range(1, 9))
def test_mask_equals_coordinates_for_every_small_geometry(height):
    for geometry in all_square_windows(height, 8):
        mask = shifted_window_mask(*geometry)
        assert torch.equal(mask, brute_force_mask(*geometry)), geometry


def test_the_mask_that_a_compiler_traces_is_the_same(monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for geometry in SAMPLE[:200]:
        for padding in geometry.paddings:
            mask = shifted_window_mask(*geometry, padding)
            assert torch.equal(mask, brute_force_mask(*geometry, padding)), (geometry, padding)
    assert shifted_window_mask(8, 8, 4, 2, device="meta").device.type == "meta"


def test_the_predicate_says_what_the_mask_holds():
    """For the windows of two images, one after the other, whatever the head."""
    for geometry in SAMPLE[:200]:
        for padding in geometry.paddings:
            mask = shifted_window_mask(*geometry, padding)
            n, t, _ = mask.shape
            batch, query, key = torch.meshgrid(*map(torch.arange, (2 * n, t, t)), indexing="ij")
            found = shifted_window_mask_mod(*geometry, padding)(batch, 0, query, key)
            assert torch.equal(found, torch.cat([mask, mask])), (geometry, padding)


def test_the_predicate_keeps_real_tokens_from_padding_unless_told_otherwise():
    assert not shifted_window_mask_mod(3, 4, 2, 0)(torch.tensor(2), 0, torch.tensor(0), 2)
    may_attend = shifted_window_mask_mod(4, 4, 2, 1, device="meta")
    assert may_attend(torch.zeros(1, dtype=int), 0, 0, 1).device.type == "meta"


def test_region_ids_of_a_map_that_divides():
    """4 x 4 tokens, windows of 2, shift 1: nine windows on the map, of which four are whole."""
    assert region_ids(4, 4, 2, 1).tolist() == [
        [4, 4, 5, 3],
        [4, 4, 5, 3],
        [7, 7, 8, 6],
        [1, 1, 2, 0],
    ]


def test_region_ids_number_unshifted_windows_from_zero():
    assert region_ids(4, 6, 2, 0).tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


def test_padding_takes_the_number_after_the_last_window():
    """Also where an axis is not shifted and so has no window more than the rolled map shows."""
    assert region_ids(3, 4, 2, 0).tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3], [4, 4, 4, 4]]
    assert region_ids(3, 4, 2, (0, 1)).max() == 6
    assert region_ids(3, 4, 2, (1, 0)).max() == 6
    assert region_ids(5, 8, 4, (2, 0)).max() == 6


def test_padding_is_one_region_with_the_largest_id():
    masked, attended = region_ids(3, 4, 2, 1), region_ids(3, 4, 2, 1, padding="attend")
    is_padding = cyclic_shift(pad_to_windows(torch.ones(1, 3, 4, 1), 2), 1)[0, :, :, 0] == 0
    assert is_padding.sum() == 4
    assert masked[is_padding].tolist() == [9] * 4  # 3 x 3 windows on the map are 0 to 8
    assert torch.equal(masked[~is_padding], attended[~is_padding])
    assert attended.max() == 8


def test_region_ids_are_the_shifted_map_of_true_windows():
    """Rolling a map of labels must give the labels of the rolled map."""
    for height, width, (wh, ww), shift in SAMPLE[:300]:
        hp, wp = padded_size(height, width, (wh, ww))
        sy, sx = used_shift(height, width, (wh, ww), shift)
        rows = torch.tensor([(y - sy) // wh + (sy > 0) for y in range(hp)])
        columns = torch.tensor([(x - sx) // ww + (sx > 0) for x in range(wp)])
        labels = rows[:, None] * (int(columns.max()) + 1) + columns
        rolled = cyclic_shift(labels[None, :, :, None], (sy, sx))[0, :, :, 0]
        ids = region_ids(height, width, (wh, ww), shift, padding="attend")
        assert torch.equal(ids.long(), rolled)


def test_every_row_allows_at_least_itself_and_the_mask_is_an_equivalence():
    for geometry in SAMPLE[:500]:
        mask = shifted_window_mask(*geometry)
        assert mask.diagonal(dim1=1, dim2=2).all()
        assert torch.equal(mask, mask.transpose(1, 2))
        reachable_in_two = mask.float() @ mask.float() > 0
        assert torch.equal(reachable_in_two, mask)


def test_real_tokens_and_padding_never_meet():
    for geometry in (g for g in SAMPLE[:800] if g.is_padded):
        real = pad_to_windows(torch.ones(1, *geometry[:2], 1), geometry.window_size)
        shift = used_shift(*geometry)
        real = window_partition(cyclic_shift(real, shift), geometry.window_size)[0, :, :, 0] > 0
        mask = shifted_window_mask(*geometry)
        assert not mask[real[:, :, None] != real[:, None, :]].any()
        both_padding = ~real[:, :, None] & ~real[:, None, :]
        assert mask[both_padding].all()


def test_swin_t_first_stage_in_numbers():
    """56 x 56 tokens, window 7, shift 3: 15 of 64 windows have a masked pair, in 4 patterns."""
    mask = shifted_window_mask(56, 56, 7, 3)
    assert mask.shape == (64, 49, 49)
    assert int((~mask).flatten(1).any(1).sum()) == 15
    patterns, index = distinct_patterns(mask)
    assert len(patterns) == 4
    assert index.bincount().tolist() == [49, 7, 7, 1]
    assert index[[0, 7, 56, 63]].tolist() == [0, 1, 2, 3]
    assert torch.equal(patterns[index], mask)


def test_at_most_four_patterns_where_the_map_divides_and_nine_where_it_is_padded():
    most = {False: 0, True: 0}
    for geometry in SAMPLE:
        count = len(distinct_patterns(shifted_window_mask(*geometry)).patterns)
        most[geometry.is_padded] = max(most[geometry.is_padded], count)
        assert len(distinct_patterns(shifted_window_mask(*geometry, "attend")).patterns) <= 4
    assert most == {False: 4, True: 9}


@pytest.mark.parametrize(("size", "most"), [(256, 1.22), (255, 1.36)])
def test_no_temporary_is_as_large_as_the_mask(size, most):
    """All that building the mask allocates is the result and a small part of it more.

    The part is two maps of 32-bit labels and, compared apart, the last row and column of windows;
    of a padded map, another map or so and two rows and columns.
    """
    with torch.profiler.profile(profile_memory=True) as profile:
        mask = shifted_window_mask(size, size, 8, 4)
    allocated = sum(max(event.self_cpu_memory_usage, 0) for event in profile.events())
    assert mask.nbytes == 1024 * 64 * 64
    assert mask.nbytes <= allocated <= most * mask.nbytes


def test_look_ahead_mask():
    mask = look_ahead_mask(3)
    assert mask.tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_padding_mask_keeps_real_and_padding_apart():
    mask = padding_mask(torch.tensor([0, 2, 3]), 3)
    assert mask[0].all()
    assert mask[1].tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert mask[2].all()


def test_combined_masks_never_have_an_empty_row():
    shifted = shifted_window_mask(6, 5, 3, 1)
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
    assert region_ids(8, 8, 4, 2, device="meta").device.type == "meta"
    assert region_ids(8, 8, 4, 2).dtype == torch.int32
    assert shifted_window_mask(8, 8, 4, 2, device="meta").device.type == "meta"
    assert look_ahead_mask(4, device="meta").device.type == "meta"
    assert additive_mask(torch.ones(2, 2, dtype=torch.bool, device="meta")).device.type == "meta"


def test_the_default_device_makes_no_difference():
    """What is asked for, or where the input lies, decides; tensors on "meta" hold no numbers."""
    lengths, mask = torch.tensor([1, 3]), shifted_window_mask(8, 8, 4, 2)
    expected = padding_mask(lengths, 3), *distinct_patterns(mask)
    with torch.device("meta"):
        made = padding_mask(lengths, 3), *distinct_patterns(mask)
        mask_again = shifted_window_mask(8, 8, 4, 2, device="cpu")
    assert all(map(torch.equal, made, expected))
    assert torch.equal(mask_again, mask)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: shifted_window_mask(8, 8, 4, 4),
            ValueError,
            r"shift_size \(4, 4\) .* window_size",
        ),
        (lambda: shifted_window_mask(8, 8, 4, -1), ValueError, "shift_size must be at least 0"),
        (lambda: shifted_window_mask(8, 8, 0, 0), ValueError, "window_size must be at least 1"),
        (lambda: shifted_window_mask(0, 8, 4, 2), ValueError, "must be at least 1 .*0, 8"),
        (lambda: shifted_window_mask(8.0, 8, 4, 2), TypeError, r"\(height, width\) .*\(8.0, 8\)"),
        (
            lambda: shifted_window_mask(8, 8, 4, 2, "zero"),
            ValueError,
            '"mask" or "attend", got .zero',
        ),
        (lambda: region_ids(8, 8, 4, 9), ValueError, "must be smaller than window_size"),
        (lambda: region_ids(8, 8, 4, 2, padding=None), ValueError, "padding must be"),
        (
            lambda: padding_mask(torch.tensor([4]), 3),
            ValueError,
            r"between 0 and tokens=3, got \[4\]",
        ),
        (lambda: padding_mask(torch.tensor([-1]), 3), ValueError, r"between 0 and .* got \[-1\]"),
        (
            lambda: padding_mask(torch.tensor([1.0]), 3),
            TypeError,
            "^lengths must .*, got torch.float32",
        ),
        (lambda: padding_mask(torch.tensor([True]), 3), TypeError, r"lengths .*bool"),
        (lambda: padding_mask(torch.tensor([[1]]), 3), TypeError, r"1-d .* \(1, 1\)"),
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
