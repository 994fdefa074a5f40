"""One axis: strips, padding and rings on cases written out by hand, then against a plain loop."""

import dataclasses

import pytest
import torch

from swin_tutorial.axis import Axis, check_size

EVERY_AXIS = [
    Axis(size, window, shift, padding, periodic)
    for size in range(1, 14)
    for window in range(1, 7)
    for shift in range(window)
    for padding in ("mask", "attend")
    for periodic in (False, True)
    if size % window == 0 or not periodic
]


def test_the_example_at_the_top_of_the_module():
    axis = Axis(8, window_size=4, shift_size=2)
    assert axis.positions_before_roll().tolist() == [2, 3, 4, 5, 6, 7, 0, 1]
    assert axis.strips().tolist() == [1, 1, 1, 1, 2, 2, 0, 0]
    first, last = axis.mask()
    assert first.all()
    assert last.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_strips_of_an_axis_that_is_not_shifted_number_the_windows():
    assert Axis(6, 2).strips().tolist() == [0, 0, 1, 1, 2, 2]


def test_padding_has_the_strip_after_the_last_real_one():
    # Padded to 8 and shifted by 1: 7 is padding, alone in the strip of [5, 9).
    assert Axis(7, 4, 1).strips().tolist() == [1, 1, 1, 1, 2, 2, 3, 0]
    # Here no real token is left in that strip, and its number is not wasted.
    assert Axis(5, 4, 1).strips().tolist() == [1, 1, 1, 1, 2, 2, 2, 0]
    assert Axis(5, 4, 1, padding="attend").strips().tolist() == [1, 1, 1, 1, 2, 2, 2, 0]
    assert Axis(6, 4, 1, padding="attend").strips().tolist() == [1, 1, 1, 1, 2, 2, 2, 0]
    assert Axis(3, 4).strips().tolist() == [0, 0, 0, 1]


def test_on_a_ring_the_last_strip_goes_on_in_the_first():
    ring = Axis(8, 4, 1, periodic=True)
    assert ring.positions_before_roll().tolist() == [1, 2, 3, 4, 5, 6, 7, 0]
    assert ring.strips().tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert ring.mask().all()
    assert not ring.needs_mask


def test_every_axis_against_a_loop():
    for axis in EVERY_AXIS:
        padded = axis.window_size
        while padded < axis.size:
            padded += axis.window_size
        shift = axis.shift_size if padded > axis.window_size else 0
        assert (axis.padded_size, axis.effective_shift) == (padded, shift)
        assert axis.num_windows * axis.window_size == padded
        origins, strips = axis.positions_before_roll().tolist(), axis.strips().tolist()
        windows = {}
        for rolled, position in enumerate(origins):
            assert position == (rolled + shift) % padded
            assert axis.locate(position) == divmod(rolled, axis.window_size)
            assert axis.origin(*axis.locate(position)) == position
            cuts = sum(cut <= position for cut in range(shift, padded, axis.window_size) if cut)
            windows[position] = cuts % axis.num_windows if axis.periodic else cuts
        last_real = max(windows[position] for position in range(axis.size))
        if axis.padding == "mask":
            windows |= dict.fromkeys(range(axis.size, padded), last_real + 1)
        assert strips == [windows[position] for position in origins], axis


def test_the_mask_says_where_strips_agree_and_needs_mask_whether_it_matters():
    for axis in EVERY_AXIS:
        strips, mask = axis.strips(), axis.mask()
        assert mask.shape == (axis.num_windows, axis.window_size, axis.window_size)
        for window, query_to_key in enumerate(mask):
            mine = strips[window * axis.window_size : (window + 1) * axis.window_size].tolist()
            assert query_to_key.tolist() == [[q == k for k in mine] for q in mine]
        assert axis.needs_mask or mask.all()
        # It may say yes where padding alone keeps the ends of a shifted axis apart.
        assert not axis.needs_mask or not mask.all() or axis.size < axis.padded_size


def test_tensors_are_made_on_the_device_asked_for():
    axis = Axis(7, 4, 1)
    for tensor in (axis.positions_before_roll("meta"), axis.strips("meta"), axis.mask("meta")):
        assert tensor.device.type == "meta"
    assert axis.strips().dtype == torch.int64


def test_an_axis_is_a_value():
    assert Axis(8, 4, 2) == Axis(8, 4, shift_size=2)
    assert len({Axis(8, 4, 2), Axis(8, 4, 2), Axis(8, 4, 2, "attend")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Axis(8, 4).size = 9


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0, 4), ValueError, "^size must be at least 1, got 0$"),
        ((8.0, 4), TypeError, r"^size must be a whole number, got 8.0: convert it with int\(\)$"),
        ((True, 4), TypeError, "got True"),
        ((8, 0), ValueError, "^window_size must be at least 1, got 0$"),
        ((8, "4"), TypeError, "^window_size must be a whole number, got '4'"),
        ((8, 4, -1), ValueError, "^shift_size must be at least 0, got -1$"),
        ((8, 4, 1.5), TypeError, "^shift_size must be a whole number, got 1.5"),
        (
            (8, 4, 4),
            ValueError,
            r"^shift_size 4 must be smaller than window_size 4: use 0 for plain windows \(W-MSA\) "
            r"and window_size // 2 for shifted ones \(SW-MSA\)$",
        ),
        ((8, 4, 2, "zero"), ValueError, """^padding must be "mask" or "attend", got 'zero'$"""),
        ((8, 4, 2, "mask", "no"), TypeError, "^periodic must be True or False, got 'no'$"),
        (
            (10, 4, 2, "mask", True),
            ValueError,
            "^a periodic axis of 10 tokens does not divide into windows of 4.*: choose a "
            "window_size that divides 10, or resize the map$",
        ),
    ],
)
def test_bad_input_is_named_with_its_remedy(arguments, error, words):
    with pytest.raises(error, match=words):
        Axis(*arguments)


def test_a_size_is_checked_against_its_minimum():
    check_size("tokens", 1)
    check_size("tokens", 0, at_least=0)
    with pytest.raises(ValueError, match=r"^tokens must be at least 2, got 1$"):
        check_size("tokens", 1, at_least=2)
