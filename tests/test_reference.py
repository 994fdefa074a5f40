"""The specification itself, on cases small enough to be written out by hand."""

import pytest
import torch

from swin_tutorial.attention import WindowAttention
from swin_tutorial.masks import shifted_window_mask
from swin_tutorial.reference import (
    attend_window_by_window,
    brute_force_mask,
    nine_region_ids,
    true_windows,
)
from swin_tutorial.windows import window_partition


def rectangles(*geometry):
    return [
        (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
        for rows, columns in true_windows(*geometry)
    ]


def test_true_windows_of_a_map_that_divides():
    assert rectangles((4, 4), (2, 2), (1, 0)) == [
        (0, 1, 0, 2),
        (0, 1, 2, 4),
        (1, 3, 0, 2),
        (1, 3, 2, 4),
        (3, 4, 0, 2),
        (3, 4, 2, 4),
    ]


def test_true_windows_end_with_the_real_tokens_unless_padding_is_attended():
    assert rectangles((3, 2), (2, 2), (1, 1)) == [(0, 1, 0, 2), (1, 3, 0, 2)]
    assert rectangles((3, 2), (2, 2), (1, 1), "attend") == [
        (0, 1, 0, 2),
        (1, 3, 0, 2),
        (3, 4, 0, 2),
    ]


def test_true_windows_tile_the_map():
    for height, width in [(5, 9), (8, 8), (1, 3)]:
        covered = torch.zeros(height, width)
        for rows, columns in true_windows((height, width), (3, 4), (2, 1)):
            covered[torch.tensor(rows)[:, None], columns] += 1
        assert (covered == 1).all()


def test_true_windows_of_a_ring_go_round():
    assert true_windows((6,), (3,), (2,), periodic=True) == [([2, 3, 4],), ([5, 0, 1],)]
    assert true_windows((3,), (3,), (2,), periodic=True) == [([0, 1, 2],)]
    ring_of_columns = true_windows((1, 4), (1, 2), (0, 1), periodic=(False, True))
    assert ring_of_columns == [([0], [1, 2]), ([0], [3, 0])]


def test_brute_force_mask_of_two_windows_written_out():
    """1 x 4 tokens, window 1 x 2, shift 1: rolled to 1 2 | 3 0, and 3 and 0 are strangers."""
    assert brute_force_mask((1, 4), (1, 2), (0, 1)).tolist() == [
        [[True, True], [True, True]],
        [[True, False], [False, True]],
    ]


def test_brute_force_mask_of_a_ring_and_of_padding():
    ring = brute_force_mask((1, 4), (1, 2), (0, 1), periodic=(False, True))
    assert ring.all()
    padded = brute_force_mask((3,), (2,), (0,))
    assert padded.tolist() == [[[True, True], [True, True]], [[True, False], [False, True]]]
    assert brute_force_mask((3,), (2,), (0,), padding="attend").all()


@pytest.mark.parametrize(
    ("size", "window", "shift"),
    [
        (4, 0, 0),
        (4, -2, 0),
        (0, 2, 0),
        (-3, 2, 0),
        (4, 2, 2),
        (4, 2, -1),
        (4, 0.5, 0),
        (float("inf"), 2, 1),
        (float("nan"), 2, 1),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_an_axis_that_has_no_such_windows_is_refused(size, window, shift):
    """Windows of 0 would never fill it."""
    words = f"axis of {size} tokens cannot be cut into windows of {window} shifted by {shift}"
    for function in (brute_force_mask, true_windows):
        with pytest.raises(ValueError, match=words):
            function((2, size), (1, window), (0, shift))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "edges",
    [
        {"padding": "masked"},
        {"padding": ["mask", "attend"]},
        {"padding": ("mask", True)},
        {"periodic": "no"},
        {"periodic": 1},
        {"periodic": (True, None)},
    ],
)
def test_edges_that_do_not_exist_are_refused(edges):
    for function in (brute_force_mask, true_windows):
        with pytest.raises(ValueError, match=r"is not one of .*, or a tuple of one per axis"):
            function((4, 4), (2, 2), (1, 1), **edges)


def test_nine_regions_give_the_same_mask():
    for height, width, window, shift in [
        (8, 12, (4, 4), (2, 2)),
        (21, 14, (7, 7), (3, 3)),
        (9, 8, (3, 4), (1, 3)),
    ]:
        ids = nine_region_ids((height, width), window, shift)
        assert ids.unique().numel() == 9
        by_window = window_partition(ids[None, :, :, None], window)[0, :, :, 0]
        mask = by_window[:, :, None] == by_window[:, None, :]
        assert torch.equal(mask, shifted_window_mask((height, width), window, shift))


def test_a_single_window_attends_as_plain_attention_does():
    """The reference for attention, held to PyTorch's own on a map of one window without a bias."""
    torch.manual_seed(0)
    attention = WindowAttention(8, (3, 2), num_heads=2).double()
    torch.nn.init.zeros_(attention.relative_position_bias_table)
    x = torch.randn(2, 3, 2, 8, dtype=torch.float64)
    plain = torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    plain.load_state_dict(
        {
            "in_proj_weight": attention.qkv.weight,
            "in_proj_bias": attention.qkv.bias,
            "out_proj.weight": attention.proj.weight,
            "out_proj.bias": attention.proj.bias,
        }
    )
    tokens = x.reshape(2, 6, 8)
    expected, _ = plain(tokens, tokens, tokens)
    got = attend_window_by_window(x, attention, (3, 2), (0, 0))
    torch.testing.assert_close(got, expected.view_as(got))
