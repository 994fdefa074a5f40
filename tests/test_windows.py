"""Partition, pad and shift in one to three dimensions: by hand, by slicing, and there and back."""

import itertools

import pytest
import torch
from geometries import sample
from hypothesis import given
from hypothesis import strategies as st

from swin_tutorial.windows import (
    cyclic_shift,
    map_axes,
    map_size,
    pad_to_windows,
    padded_size,
    per_axis,
    reverse_cyclic_shift,
    sizes_per_axis,
    window_axes,
    window_partition,
    window_reverse,
)


def numbered_map(*size, batch=2, channels=3):
    """A feature map in which every number is different."""
    shape = (batch, *size, channels)
    return torch.arange(torch.Size(shape).numel()).view(shape)


def test_windows_and_their_tokens_go_row_by_row():
    x = torch.arange(24).view(1, 4, 6, 1)
    windows = window_partition(x, (2, 3))
    assert windows[0, :, :, 0].tolist() == [
        [0, 1, 2, 6, 7, 8],
        [3, 4, 5, 9, 10, 11],
        [12, 13, 14, 18, 19, 20],
        [15, 16, 17, 21, 22, 23],
    ]


def test_windows_of_a_signal_and_of_a_video():
    assert window_partition(torch.arange(6).view(1, 6, 1), 3)[0, :, :, 0].tolist() == [
        [0, 1, 2],
        [3, 4, 5],
    ]
    video = torch.arange(16).view(1, 2, 2, 4, 1)
    assert window_partition(video, (1, 2, 2))[0, :, :, 0].tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]


def test_partition_equals_slicing():
    for geometry in sample(300, seed=0):
        counts, window = geometry.size, geometry.window_size
        x = numbered_map(*(n * m for n, m in zip(counts, window, strict=True)))
        windows = window_partition(x, window)
        for n, place in enumerate(itertools.product(*map(range, counts))):
            corner = [slice(p * m, (p + 1) * m) for p, m in zip(place, window, strict=True)]
            assert torch.equal(windows[:, n], x[:, *corner].reshape(2, -1, 3))


def test_reverse_undoes_partition():
    for geometry in sample(300, seed=3):
        x = numbered_map(*(n * m for n, m in zip(geometry.size, geometry.window_size, strict=True)))
        windows = window_partition(x, geometry.window_size)
        assert torch.equal(window_reverse(windows, geometry.window_size, map_size(x)), x)


def test_an_int_means_every_axis():
    x = numbered_map(6, 9)
    assert torch.equal(window_partition(x, 3), window_partition(x, (3, 3)))
    assert torch.equal(window_partition(x, [2, 3]), window_partition(x, (2, 3)))
    assert torch.equal(cyclic_shift(x, 2), cyclic_shift(x, (2, 2)))


def test_padding_is_zero_and_stands_at_the_end_of_each_axis():
    x = numbered_map(5, 7) + 1
    padded = pad_to_windows(x, (4, 3))
    assert padded.shape == (2, 8, 9, 3)
    assert torch.equal(padded[:, :5, :7], x)
    assert not padded[:, 5:].any()
    assert not padded[:, :, 7:].any()
    assert pad_to_windows(numbered_map(5), 4).shape == (2, 8, 3)
    assert pad_to_windows(numbered_map(5, 2, 7), (4, 2, 3)).shape == (2, 8, 2, 9, 3)


def test_a_map_that_needs_nothing_is_not_copied():
    x = numbered_map(8, 9)
    assert pad_to_windows(x, (4, 3)) is x
    assert cyclic_shift(x, 0) is x
    assert reverse_cyclic_shift(x, (0, 0)) is x


@pytest.mark.parametrize(
    ("size", "window", "expected"),
    [
        ((1, 1), 7, (7, 7)),
        ((14, 15), 7, (14, 21)),
        ((8, 13), (4, 5), (8, 15)),
        ((7, 6), 1, (7, 6)),
        (13, 4, (16,)),
        ((3, 5, 7), (2, 5, 4), (4, 5, 8)),
    ],
)
def test_padded_size(size, window, expected):
    assert padded_size(size, window) == expected


def test_shift_moves_tokens_towards_the_start():
    x = torch.arange(12).view(1, 3, 4, 1)
    assert cyclic_shift(x, (1, 2))[0, :, :, 0].tolist() == [
        [6, 7, 4, 5],
        [10, 11, 8, 9],
        [2, 3, 0, 1],
    ]
    assert cyclic_shift(torch.arange(5).view(1, 5, 1), 2).flatten().tolist() == [2, 3, 4, 0, 1]


def sizes_with_shifts():
    axis = st.integers(1, 8).flatmap(
        lambda size: st.tuples(st.just(size), st.integers(0, size - 1))
    )
    return st.lists(axis, min_size=1, max_size=3)


@given(sizes_with_shifts())
def test_every_token_moves_by_the_shift_and_back(axes):
    size, shift = zip(*axes, strict=True)
    x = numbered_map(*size)
    shifted = cyclic_shift(x, shift)
    for place in itertools.product(*map(range, size)):
        origin = [(y + s) % n for y, s, n in zip(place, shift, size, strict=True)]
        assert torch.equal(shifted[:, *place], x[:, *origin])
    assert torch.equal(reverse_cyclic_shift(shifted, shift), x)


def test_sizes_of_maps():
    assert map_size(numbered_map(5, 7)) == (5, 7)
    assert map_size(numbered_map(5, 7, 2)) == (5, 7, 2)
    assert (map_axes(5), map_axes([5, 7]), map_axes((5, 7, 2))) == ((5,), (5, 7), (5, 7, 2))


def test_a_single_value_goes_for_all_axes():
    assert per_axis("padding", "mask", 2) == ("mask", "mask")
    assert per_axis("padding", ("mask", "attend"), 2) == ("mask", "attend")
    assert per_axis("periodic", True, 3) == (True, True, True)
    assert sizes_per_axis("shift_size", 0, 2, at_least=0) == (0, 0)


def test_a_window_that_has_no_map_yet_is_square_where_an_int_is_given():
    assert (window_axes(7), window_axes((7,)), window_axes([2, 7, 5])) == ((7, 7), (7,), (2, 7, 5))


X = torch.zeros(1, 8, 12, 2)
WINDOWS = torch.zeros(1, 6, 16, 2)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: window_partition(X, 0), ValueError, "^window_size must be at least 1, got 0"),
        (lambda: window_partition(X, (4, -2)), ValueError, "^window_size must .* got -2"),
        (lambda: window_partition(X, 4.0), TypeError, r"^window_size .* 4.0: convert it with int"),
        (lambda: window_partition(X, True), TypeError, "window_size .* got True"),
        (
            lambda: window_partition(X, (4, 4, 4)),
            ValueError,
            r"^window_size must be one value for all axes, or one for each of the map's 2, got "
            r"\(4, 4, 4\)$",
        ),
        (
            lambda: window_partition(X[0, 0], 4),
            ValueError,
            r"^x must have the shape \(b \*size c\), got \(12, 2\): .* batch axis, x\[None\]$",
        ),
        (lambda: window_partition(X[None, None], 4), ValueError, r"\(1, 1, 1, 8, 12, 2\)"),
        (lambda: window_partition(X, 5), ValueError, "8x12 .* windows of 5x5: .*pad_to_windows"),
        (lambda: window_partition(X, (4, 5)), ValueError, "does not divide into windows of 4x5"),
        (lambda: window_partition(X, (5, 4)), ValueError, "does not divide into windows of 5x4"),
        (lambda: window_partition([[1]], 1), TypeError, "x must be a torch.Tensor .* got list"),
        (lambda: window_partition(X[:, :0], 4), ValueError, "^size must be at least 1, got 0"),
        (
            lambda: window_reverse(WINDOWS[0], 4, (8, 12)),
            ValueError,
            r"^windows must have the shape \(b n t c\), got \(6, 16, 2\)",
        ),
        (lambda: window_reverse(WINDOWS, 4, (8, 16)), ValueError, "6 windows of 16 .* 8x16"),
        (lambda: window_reverse(WINDOWS, 4, (9, 12)), ValueError, "map of 9x12"),
        # Three windows would cover these maps if the one and a half along an axis counted so.
        (lambda: window_reverse(WINDOWS[:, :3], 4, (8, 6)), ValueError, "3 windows .* map of 8x6"),
        (lambda: window_reverse(WINDOWS[:, :3], 4, (6, 8)), ValueError, "3 windows .* map of 6x8"),
        (lambda: window_reverse(WINDOWS, 4, (8, 13)), ValueError, "8x13 .*: pass the padded size"),
        (lambda: window_reverse(WINDOWS, (4, 3), (8, 12)), ValueError, r"window_size \(4, 3\)"),
        (lambda: window_reverse(WINDOWS, 0, (8, 12)), ValueError, "window_size must be at least"),
        (lambda: window_reverse(WINDOWS, 4, (8.0, 12)), TypeError, "^size must .* got 8.0"),
        (lambda: pad_to_windows(X[0, 0], 4), ValueError, "x must have the shape"),
        (lambda: cyclic_shift(X, -1), ValueError, "shift_size must be at least 0, got -1"),
        (lambda: cyclic_shift(X, 1.5), TypeError, "shift_size .* got 1.5"),
        (lambda: cyclic_shift(X, 8), ValueError, r"shift_size \(8, 8\) .* 8x12"),
        (lambda: cyclic_shift(X, (0, 12)), ValueError, r"shift_size \(0, 12\) must be smaller"),
        (lambda: reverse_cyclic_shift(X[0, 0], 1), ValueError, "x must have the shape"),
        (
            lambda: reverse_cyclic_shift(X, (8, 0)),
            ValueError,
            "tokens: a longer roll only wraps around again$",
        ),
        (lambda: padded_size((0, 5), 2), ValueError, "^size must be at least 1, got 0"),
        (lambda: padded_size((4, 5), 0), ValueError, "window_size must be at least 1"),
        (lambda: padded_size((), 2), ValueError, r"^size must have one to three axes, got \(\)"),
        (lambda: map_axes((1, 2, 3, 4)), ValueError, r"one to three axes, got \(1, 2, 3, 4\)"),
        (lambda: window_axes(7.0), TypeError, r"^window_size must be .* got 7.0: convert it"),
        (lambda: window_axes((7, 0)), ValueError, r"^window_size must be at least 1, got 0$"),
        (
            lambda: window_axes(()),
            ValueError,
            r"^window_size must have one to three axes, got \(\)$",
        ),
        (lambda: window_axes((1,) * 4), ValueError, r"one to three axes, got \(1, 1, 1, 1\)$"),
        (lambda: map_axes("77"), TypeError, "size must be a whole number, got '77'"),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()
