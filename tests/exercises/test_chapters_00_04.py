"""Chapters 00 to 04: right answers found in other ways, and wrong ones that come close."""

import math
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from swin_tutorial.exercises import (
    EXERCISES,
    chapter_00,
    chapter_01,
    chapter_02,
    chapter_03,
    chapter_04,
    verify,
)
from swin_tutorial.exercises.exercise import Exercise
from swin_tutorial.reference import brute_force_mask, true_windows
from swin_tutorial.windows import (
    cyclic_shift,
    pad_to_windows,
    reverse_cyclic_shift,
    window_partition,
    window_reverse,
)

# --- right answers, found in other ways ---


def row_by_roll(row, height, shift):
    return torch.roll(torch.arange(height), -shift).tolist().index(row)


def row_by_steps(row, height, shift):
    for _ in range(shift):
        row = row - 1 if row else height - 1
    return float(row)


def place_by_search(window, token, width, m):
    height = (window // (width // m) + 1) * m
    windows = window_partition(torch.arange(height * width).view(1, height, width, 1), m)
    return divmod(int(windows[0, window, token]), width)


def window_by_equations(side, c, share):
    tokens, best = side * side, 0
    for m in range(1, side):
        windows = 4 * tokens * c**2 + 2 * m**2 * tokens * c
        if side % m == 0 and windows <= share * (4 * tokens * c**2 + 2 * tokens**2 * c):
            best = m
    return best


def windows_by_slices(x, m):
    _, height, width, _ = x.shape
    corners = [(top, left) for top in range(0, height, m) for left in range(0, width, m)]
    windows = [x[:, top : top + m, left : left + m].flatten(1, 2) for top, left in corners]
    return torch.stack(windows, 1)


def strangers_by_mask(height, width, m, s):
    return (~brute_force_mask((height, width), (m, m), (s, s))).sum()


def roll_by_index(x, shift):
    _, height, width, _ = x.shape
    rows, columns = (torch.arange(height) + shift) % height, (torch.arange(width) + shift) % width
    return x[:, rows][:, :, columns]


def windows_by_set(height, width, m, s):
    rows, columns = (s if n > m else 0 for n in (height, width))
    return len({((y - rows) // m, (x - columns) // m) for y in range(height) for x in range(width)})


def same_region_by_search(query, key, m, s):
    size, shift = (24, 24), (s, s)
    windows = [set(product(*window)) for window in true_windows(size, (m, m), shift)]
    return any({query, key} <= window for window in windows)


def scores_by_loop(scores, ids):
    out = scores.clone()
    for image in range(len(scores)):
        own = ids[image % len(ids)]
        out[image, :, own[:, None] != own[None, :]] = -math.inf
    return out


def axes_by_broadcast(rows, columns):
    both = rows[:, None, :, None, :, None] & columns[None, :, None, :, None, :]
    return both.flatten(4).flatten(2, 3).flatten(0, 1)


def mask_by_slices(size, window, shift):
    cuts = []
    for n, m, s in zip(size, window, shift, strict=True):
        padded = n + -n % m
        s = s if padded > m else 0
        cuts.append((0, n - s, padded - s, padded))
    labels = torch.zeros(cuts[0][-1], cuts[1][-1])
    for i in range(3):
        for j in range(3):
            labels[cuts[0][i] : cuts[0][i + 1], cuts[1][j] : cuts[1][j + 1]] = 3 * i + j
    ids = rearrange(labels, "(r m) (c n) -> (r c) (m n)", m=window[0], n=window[1])
    return ids[:, :, None] == ids[:, None, :]


def attend_by_cuts(query, key, m, s):
    """No window begins between the two, on either axis."""
    pairs = [sorted(axis) for axis in zip(query, key, strict=True)]
    return not any(first < cut <= last for first, last in pairs for cut in range(s, last + 1, m))


def softmax_by_hand(scores, mask):
    weights = (scores - scores.where(mask, -math.inf).amax(-1, keepdim=True)).exp() * mask
    weights = weights.nan_to_num(posinf=0.0)
    return (weights / weights.sum(-1, True)).nan_to_num().double()


def folded_as_official(scores, mask):
    """In the words of the official code, with minus infinity."""
    folded, heads, tokens, _ = scores.shape
    added = torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
    scores = scores.view(folded // len(mask), len(mask), heads, tokens, tokens)
    return (scores + added.unsqueeze(1).unsqueeze(0)).view(-1, heads, tokens, tokens)


def folded_by_loop(scores, mask):
    windows = [one.masked_fill(~mask[i % len(mask)], -math.inf) for i, one in enumerate(scores)]
    return torch.stack(windows)


def window_by_sdpa(q, k, v, bias, mask):
    added = bias.masked_fill(~mask, -math.inf)
    return F.scaled_dot_product_attention(q[None], k[None], v[None], added)[0]


def block_by_steps(x, m, s, attend):
    _, height, width, _ = x.shape
    padded = pad_to_windows(x, m)
    full = padded.shape[1:3]
    shift = tuple(s if n > m else 0 for n in (height, width))
    windows = window_partition(cyclic_shift(padded, shift), m)
    out = attend(windows, brute_force_mask((height, width), (m, m), (s, s)))
    return reverse_cyclic_shift(window_reverse(out, m, tuple(full)), shift)[:, :height, :width]


def block_image_by_image(x, m, s, attend):
    return torch.cat([block_by_steps(image[None], m, s, attend) for image in x]).float()


RIGHT = {
    "may_attend": [
        lambda *case: int(EXERCISES["may_attend"].solution(*case)),
        lambda query, key, m, s: (
            (torch.tensor(query) - s).div(m, rounding_mode="floor")
            == (torch.tensor(key) - s).div(m, rounding_mode="floor")
        ).all(),
        lambda query, key, m, s: np.all((np.array(query) - s) // m == (np.array(key) - s) // m),
        attend_by_cuts,
    ],
    "row_after_roll": [row_by_roll, row_by_steps],
    "count_windows": [
        lambda h, w, m: math.ceil(h / m) * math.ceil(w / m),
        lambda h, w, m: torch.tensor((h + m - 1) // m * ((w + m - 1) // m)),
    ],
    "token_on_map": [place_by_search, lambda *case: torch.tensor(place_by_search(*case))],
    "largest_window": [window_by_equations],
    "partition_by_hand": [windows_by_slices, lambda x, m: windows_by_slices(x, m).numpy()],
    "roll_by_hand": [roll_by_index],
    "naive_window_count": [windows_by_set],
    "strangers": [strangers_by_mask, lambda *case: strangers_by_mask(*case).double()],
    "same_region": [same_region_by_search, lambda *case: int(same_region_by_search(*case))],
    "mask_scores": [scores_by_loop, lambda *case: scores_by_loop(*case).double()],
    "combine_axes": [axes_by_broadcast],
    "mask_from_nothing": [mask_by_slices, brute_force_mask],
    "masked_softmax": [
        softmax_by_hand,
        lambda scores, mask: (scores + mask.log()).softmax(-1).nan_to_num(),
    ],
    "mask_folded_scores": [folded_as_official, folded_by_loop],
    "attend_one_window": [window_by_sdpa],
    "shifted_block": [block_by_steps, block_image_by_image],
}


@pytest.mark.parametrize("name", RIGHT)
def test_another_right_way_is_right(name):
    for attempt in RIGHT[name]:
        verdict = verify(name, attempt)
        assert verdict.status == "right", verdict.message


# --- wrong ones that come close, and none of the known mistakes ---


def of(name, change):
    """Return an attempt that changes the right answer."""
    return lambda *case: change(EXERCISES[name].solution(*case))


NEAR_MISSES = [
    ("may_attend", lambda query, key, m, s: None, "gave None, expected True"),
    ("may_attend", lambda query, key, m, s: query[0] // m == key[0] // m, "expected False"),
    ("may_attend", of("may_attend", str), "gave 'True', expected True"),
    ("row_after_roll", lambda row, h, s: row - s if row >= s else h - s, "expected 7"),
    ("count_windows", lambda h, w, m: h / m * (w / m), "expected 72"),
    ("token_on_map", of("token_on_map", lambda place: (*place, 0)), "gave (5, 6, 0)"),
    ("largest_window", of("largest_window", lambda m: m - 1), "gave 27, expected 28"),
    ("partition_by_hand", of("partition_by_hand", lambda x: x.flip(2)), "at (0, 0, 0, 0)"),
    ("roll_by_hand", of("roll_by_hand", lambda x: x[:1]), "has shape (1, 4, 6, 3)"),
    ("naive_window_count", of("naive_window_count", lambda n: n + 1), "gave 13, expected 12"),
    ("strangers", of("strangers", lambda n: n + 1), "gave 577, expected 576"),
    ("same_region", of("same_region", lambda same: not same), "expected False"),
    ("same_region", of("same_region", str), "gave 'False', expected False"),
    ("mask_scores", of("mask_scores", lambda x: x.clamp(min=-1e9)), "expected -inf"),
    ("mask_scores", of("mask_scores", lambda x: x.softmax(-1)), "at (0, 0, 0, 0)"),
    ("combine_axes", of("combine_axes", lambda mask: mask.int()), "holds torch.int32"),
    ("combine_axes", of("combine_axes", lambda mask: mask.sum()), "has shape ()"),
    ("mask_from_nothing", of("mask_from_nothing", lambda mask: mask[0]), "has shape (4, 4)"),
    ("masked_softmax", of("masked_softmax", lambda x: x.half().float()), "at (0, 0, "),
    ("masked_softmax", lambda scores, mask: scores.where(mask, -1e4).log_softmax(-1), "is -"),
    ("mask_folded_scores", of("mask_folded_scores", lambda x: x[:1]), "has shape (1, 6, 9, 9)"),
    ("attend_one_window", of("attend_one_window", lambda out: out.T), "has shape (6, 9)"),
    ("shifted_block", lambda x, m, s, attend: x, "at (0, 0, 0, 0)"),
    ("shifted_block", lambda x, m, s, attend: attend(x, s), "attention) raised "),
]


@pytest.mark.parametrize(("name", "attempt", "words"), NEAR_MISSES)
def test_a_near_miss_is_wrong_and_gets_no_name(name, attempt, words):
    verdict = verify(name, attempt)
    assert verdict.status == "wrong"
    assert verdict.mistake == ""
    assert words in verdict.message


def test_every_exercise_has_both():
    chapters = chapter_00, chapter_01, chapter_02, chapter_03, chapter_04
    functions = {
        name
        for chapter in chapters
        for name, one in chapter.EXERCISES.items()
        if isinstance(one, Exercise)
    }
    assert functions == set(RIGHT) == {name for name, _, _ in NEAR_MISSES}
