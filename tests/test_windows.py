"""Partition, pad and shift: hand-written cases, round trips, and clear refusals."""

import pytest
import torch
from geometries import sample
from hypothesis import given
from hypothesis import strategies as st
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from swin_tutorial import windows
from swin_tutorial.windows import (
    cyclic_shift,
    is_certain,
    is_symbol,
    map_size,
    pad_to_windows,
    padded_size,
    reverse_cyclic_shift,
    size_pair,
    used_shift,
    window_and_shift,
    window_partition,
    window_reverse,
)


def numbered_map(height, width, batch=2, channels=3):
    """A feature map in which every number is different."""
    return torch.arange(batch * height * width * channels).view(batch, height, width, channels)


def test_windows_and_their_tokens_go_row_by_row():
    x = torch.arange(24).view(1, 4, 6, 1)
    windows = window_partition(x, (2, 3))
    assert windows[0, :, :, 0].tolist() == [
        [0, 1, 2, 6, 7, 8],
        [3, 4, 5, 9, 10, 11],
        [12, 13, 14, 18, 19, 20],
        [15, 16, 17, 21, 22, 23],
    ]


def test_partition_equals_slicing_for_every_sampled_geometry():
    for height, width, (wh, ww), _ in sample(200, seed=0):
        x = numbered_map(height * wh, width * ww)
        windows = window_partition(x, (wh, ww))
        for n in range(height * width):
            top, left = n // width * wh, n % width * ww
            expected = x[:, top : top + wh, left : left + ww].reshape(2, wh * ww, 3)
            assert torch.equal(windows[:, n], expected)


def test_reverse_undoes_partition_and_an_int_means_both_axes():
    x = numbered_map(6, 9)
    assert torch.equal(window_reverse(window_partition(x, 3), 3, 6, 9), x)
    assert torch.equal(window_partition(x, 3), window_partition(x, (3, 3)))
    assert torch.equal(window_partition(x, [2, 3]), window_partition(x, (2, 3)))


def test_padding_is_zero_and_stands_below_and_right():
    x = numbered_map(5, 7) + 1
    padded = pad_to_windows(x, (4, 3))
    assert padded.shape == (2, 8, 9, 3)
    assert torch.equal(padded[:, :5, :7], x)
    assert not padded[:, 5:].any()
    assert not padded[:, :, 7:].any()


def test_a_map_that_divides_is_not_copied():
    x = numbered_map(8, 9)
    assert pad_to_windows(x, (4, 3)) is x


def test_a_map_shifted_by_zero_is_not_copied():
    x = numbered_map(5, 7)
    assert cyclic_shift(x, 0) is x
    assert reverse_cyclic_shift(x, (0, 0)) is x


@pytest.mark.parametrize(
    ("size", "window", "expected"),
    [((1, 1), 7, (7, 7)), ((14, 15), 7, (14, 21)), ((8, 13), (4, 5), (8, 15)), ((7, 6), 1, (7, 6))],
)
def test_padded_size(size, window, expected):
    assert padded_size(*size, window) == expected


@pytest.mark.parametrize(
    ("size", "window", "shift", "expected"),
    [
        ((14, 14), 7, 3, (3, 3)),
        ((7, 14), 7, 3, (0, 3)),
        ((14, 7), 7, 3, (3, 0)),
        ((8, 6), 7, 3, (3, 0)),  # 8 rows are padded to 14, two windows; 6 columns to 7, one
        ((5, 4), 7, 3, (0, 0)),
        ((12, 12), (4, 6), (1, 5), (1, 5)),
    ],
)
def test_an_axis_of_one_window_is_not_shifted(size, window, shift, expected):
    assert used_shift(*size, window, shift) == expected


def test_shift_moves_tokens_up_and_left():
    x = torch.arange(12).view(1, 3, 4, 1)
    shifted = cyclic_shift(x, (1, 2))
    assert shifted[0, :, :, 0].tolist() == [[6, 7, 4, 5], [10, 11, 8, 9], [2, 3, 0, 1]]
    for y in range(3):
        for column in range(4):
            assert shifted[0, y, column] == x[0, (y + 1) % 3, (column + 2) % 4]


@given(
    st.integers(1, 12).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))),
    st.integers(1, 12).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))),
)
def test_reverse_shift_undoes_shift(rows, columns):
    x = numbered_map(rows[0], columns[0])
    shift = (rows[1], columns[1])
    assert torch.equal(reverse_cyclic_shift(cyclic_shift(x, shift), shift), x)
    assert torch.equal(cyclic_shift(reverse_cyclic_shift(x, shift), shift), x)


def test_map_size_is_height_then_width():
    assert map_size(numbered_map(5, 7)) == (5, 7)


@pytest.mark.parametrize("symbols", [(5,), (7,), (5, 7)])
@pytest.mark.parametrize("shift", [(0, 3), (2, 0), (4, 6)])
def test_a_map_of_unknown_size_is_gathered_to_the_same_result(monkeypatch, symbols, shift):
    x = numbered_map(5, 7)
    there, back = cyclic_shift(x, shift), reverse_cyclic_shift(x, shift)
    monkeypatch.setattr(windows, "is_symbol", lambda size: size in symbols)
    monkeypatch.setattr(torch, "roll", None)
    with torch.device("meta"):  # the map's device counts, not the default
        assert torch.equal(cyclic_shift(x, shift), there)
        assert torch.equal(reverse_cyclic_shift(x, shift), back)


@pytest.mark.parametrize(("roll", "expected"), [(-2, [2, 3, 0, 1]), (0, [0, 1, 2, 3])])
def test_where_tokens_stood_before_a_roll(roll, expected):
    assert windows.before_roll(torch.arange(4), roll, 4).tolist() == expected


def test_conditions_on_sizes_hold_only_where_they_must(monkeypatch):
    size = ShapeEnv().create_unbacked_symint()
    assert not is_symbol(3)
    assert is_certain(True)
    assert not is_certain(False)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert is_symbol(size)
    assert not is_symbol(3)
    assert is_certain(size == size)
    assert not is_certain(size == 3)
    assert not is_certain(size != 3)
    assert is_certain(True)


X = torch.zeros(1, 8, 12, 2)
WINDOWS = torch.zeros(1, 6, 16, 2)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: window_partition(X, 0), ValueError, "window_size must be at least 1 .* got 0"),
        (lambda: window_partition(X, (4, -2)), ValueError, r"at least 1 .* got \(4, -2\)"),
        (
            lambda: window_partition(X, 4.0),
            TypeError,
            r"window_size .* got 4.0: convert it with int\(\)$",
        ),
        (lambda: window_partition(X, True), TypeError, "window_size .* got True"),
        (lambda: window_partition(X, (4, 4, 4)), ValueError, r"pair, got \(4, 4, 4\)"),
        (
            lambda: window_partition(X[0], 4),
            ValueError,
            r"x must .* got 3 .*\(8, 12, 2\).*x\[None\]",
        ),
        (lambda: window_partition(X, 5), ValueError, "8x12 .* windows of 5x5: .*pad_to_windows"),
        (lambda: window_partition(X, (4, 5)), ValueError, "does not divide into windows of 4x5"),
        (lambda: window_partition(X, (5, 4)), ValueError, "does not divide into windows of 5x4"),
        (lambda: window_partition([[1]], 1), TypeError, "x must be a torch.Tensor .* got list"),
        (lambda: window_partition(X[:, :0], 4), ValueError, r"^the map's \(height, width\) must"),
        (
            lambda: window_reverse(WINDOWS[0], 4, 8, 12),
            ValueError,
            r"windows .* \(b n t c\), got 3",
        ),
        (lambda: window_reverse(WINDOWS, 4, 8, 16), ValueError, "6 windows of 16 .* 8x16"),
        (lambda: window_reverse(WINDOWS, 4, 9, 12), ValueError, "map of 9x12"),
        # Three windows would cover these maps if the one and a half along an axis counted so.
        (lambda: window_reverse(WINDOWS[:, :3], 4, 8, 6), ValueError, "3 windows .* map of 8x6"),
        (lambda: window_reverse(WINDOWS[:, :3], 4, 6, 8), ValueError, "3 windows .* map of 6x8"),
        (lambda: window_reverse(WINDOWS, 4, 8, 13), ValueError, "map of 8x13 .*: pass the padded"),
        (lambda: window_reverse(WINDOWS, (4, 3), 8, 12), ValueError, r"window_size \(4, 3\)"),
        (lambda: window_reverse(WINDOWS, 0, 8, 12), ValueError, "window_size must be at least 1"),
        (
            lambda: window_reverse(WINDOWS, 4, 8.0, 12),
            TypeError,
            r"\(height, width\) must .*\(8.0, 12\)",
        ),
        (lambda: pad_to_windows(X[0], 4), ValueError, r"x must have the 4 dimensions \(b h w c\)"),
        (lambda: cyclic_shift(X, -1), ValueError, "shift_size must be at least 0 .* got -1"),
        (lambda: cyclic_shift(X, 1.5), TypeError, "shift_size .* got 1.5"),
        (lambda: cyclic_shift(X, 8), ValueError, r"shift_size \(8, 8\) .* 8x12"),
        (lambda: cyclic_shift(X, (0, 12)), ValueError, r"shift_size \(0, 12\) must be smaller"),
        (lambda: reverse_cyclic_shift(X[0], 1), ValueError, "x must have the 4 dimensions"),
        (lambda: reverse_cyclic_shift(X, (8, 0)), ValueError, "a longer roll only goes round"),
        (lambda: padded_size(0, 5, 2), ValueError, r"\(height, width\) must be at least 1"),
        (lambda: padded_size(4, 5, 0), ValueError, "window_size must be at least 1"),
        (
            lambda: used_shift(4, 5, 2, 2),
            ValueError,
            r"shift_size \(2, 2\) .* window_size \(2, 2\)",
        ),
        (lambda: window_and_shift((4, 2), (1, 2)), ValueError, r"shift_size \(1, 2\) must be"),
        (
            lambda: window_and_shift((2, 4), (2, 1)),
            ValueError,
            "axis: use 0 for W-MSA and window_size // 2 for SW-MSA$",
        ),
        (lambda: window_and_shift(4, -1), ValueError, "shift_size must be at least 0"),
        (lambda: window_and_shift(0, 0), ValueError, "window_size must be at least 1"),
        (lambda: size_pair("size", "77"), TypeError, "size must be one whole number .* got '77'"),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()
