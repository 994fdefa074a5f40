"""Chapter 08, does the mask matter: what a torus confuses, and what a comparison can show."""

import math
import random
import re
from collections.abc import Mapping
from typing import Any

from swin_tutorial.exercises.exercise import Exercise, Investigation, WrongWay

# --- 8.1: which changes commute with a block? ---

# The letter of each case, whether it commutes, and what helps one who answered otherwise.
COMMUTES = {
    "A": (True, "A pads the rows, but it rolls the columns, and these divide."),
    "B": (False, "B rolls the rows, and its rows have ends: only its columns are a ring."),
    "C": (True, "C rolls the columns, and its columns are a ring: nothing is masked there."),
    "D": (False, "D rolls by half a window, so other tokens share a window."),
    "E": (False, "E turns each window around, and the position bias tells left from right."),
}


def which_commute(letters: Any) -> str:
    if isinstance(letters, str):
        letters = re.findall(r"\w", letters)  # "A, C" names two
    if isinstance(letters, Mapping):
        letters = [letter for letter, commutes in letters.items() if commutes]
    chosen = {str(letter).upper() for letter in letters}
    if unknown := sorted(chosen - set(COMMUTES)):
        raise ValueError(f"there is no case {unknown[0]}")
    for letter, (commutes, why) in COMMUTES.items():
        if (letter in chosen) != commutes:
            return why
    return ""


# --- 8.2: rolls that a model cannot see ---


def confused_rolls(
    height: int, width: int, window_size: int, use_mask: bool, periodic: tuple[bool, bool]
) -> int:
    rolls = 1  # the one that does nothing
    for size, is_ring in zip((height, width), periodic, strict=True):
        if size % window_size == 0 and (is_ring or not use_mask):
            rolls *= size // window_size
    return rolls


def counted(of_axis, join=math.prod):
    """Return an attempt that counts the rolls of each axis in its own way and joins them."""
    return lambda height, width, window_size, use_mask, periodic: join(
        of_axis(size, window_size, use_mask, is_ring)
        for size, is_ring in zip((height, width), periodic, strict=True)
    )


def rolls_of_axis(size: int, window_size: int, use_mask: bool, is_ring: bool) -> int:
    return confused_rolls(size, 1, window_size, use_mask, (is_ring, False))


ROLL_WAYS = (
    WrongWay(
        "windows counted",
        "You counted the windows. Their number is right where both axes divide and neither is cut "
        "by a mask. Treat each axis by itself and ask for both.",
        lambda height, width, window_size, *_: (height // window_size) * (width // window_size),
    ),
    WrongWay(
        "mask forgotten",
        "You counted rolls along an axis that the mask cuts. With the mask, an axis that has ends "
        "leaves only the roll by 0.",
        counted(lambda size, window, use_mask, is_ring: rolls_of_axis(size, window, False, False)),
    ),
    WrongWay(
        "ring forgotten",
        "With the mask you allowed no roll at all. Along a periodic axis nothing is masked, so "
        "there every roll by whole windows goes unnoticed.",
        counted(
            lambda size, window, use_mask, is_ring: rolls_of_axis(size, window, use_mask, False)
        ),
    ),
    WrongWay(
        "padded axis rolled",
        "You counted rolls along an axis that does not divide. Its padding does not move along, "
        "so a roll there is noticed.",
        counted(
            lambda size, window, use_mask, is_ring: (
                max(size // window, 1) if is_ring or not use_mask else 1
            )
        ),
    ),
    WrongWay(
        "padded axis rolled",
        "You counted rolls along an axis that does not divide, and its padded window too. The "
        "padding does not move along, so a roll there is noticed.",
        counted(
            lambda size, window, use_mask, is_ring: (
                -(-size // window) if is_ring or not use_mask else 1
            )
        ),
    ),
    WrongWay(
        "added",
        "You added the rolls of the two axes. Each roll of the rows goes with each roll of the "
        "columns: multiply.",
        counted(rolls_of_axis, sum),
    ),
    WrongWay(
        "rolled by single tokens",
        "You counted every roll along an open axis. Only rolls by whole windows are sure to go "
        "unnoticed: a window shifted by one token holds other tokens.",
        counted(
            lambda size, window, use_mask, is_ring: (
                size if rolls_of_axis(size, window, use_mask, is_ring) > 1 else 1
            )
        ),
    ),
    WrongWay(
        "the roll by 0 left out",
        "You left out the roll that does nothing. It counts here: add 1.",
        lambda *case: confused_rolls(*case) - 1,
    ),
    WrongWay(
        "none along a masked axis",
        "An axis that allows no roll made your product 0. It still allows the roll by 0: count 1 "
        "for it.",
        counted(
            lambda size, window, use_mask, is_ring: (
                0 if use_mask and not is_ring else rolls_of_axis(size, window, use_mask, is_ring)
            )
        ),
    ),
)


def draw_rolls(rng: random.Random) -> tuple:
    window_size = rng.randint(2, 7)
    sizes = [window_size * rng.randint(2, 6) for _ in range(2)]
    periodic = [rng.random() < 0.5 for _ in range(2)]
    axis = rng.randrange(2)
    if rng.random() < 0.4:  # an axis that does not divide cannot be a ring
        sizes[axis] += rng.randrange(1, window_size)
        periodic[axis] = False
    return *sizes, window_size, rng.random() < 0.6, tuple(periodic)


# --- 8.3: the smallest roll of an image ---


def smallest_blind_roll(patch_size: int, window_size: int, stages: int) -> int:
    return patch_size * window_size * 2 ** (stages - 1)


BLIND_WAYS = (
    WrongWay(
        "first stage alone",
        "Your roll moves whole windows of the first stage. In the later ones a window covers more "
        "pixels, so there it may move a part of one. The last stage decides.",
        lambda patch, window, stages: patch * window,
    ),
    WrongWay(
        "one doubling too many",
        "Your roll is sure to do, but half of it is too. Between the stages there are stages - 1 "
        "mergings.",
        lambda patch, window, stages: patch * window * 2**stages,
    ),
    WrongWay(
        "tokens for pixels",
        "You counted in tokens of the first stage. The roll is asked in pixels: times the patch.",
        lambda patch, window, stages: window * 2 ** (stages - 1),
    ),
    WrongWay(
        "windows forgotten",
        "Your roll moves the last stage by one token. It must move by a whole window there.",
        lambda patch, window, stages: patch * 2 ** (stages - 1),
    ),
    WrongWay(
        "stages added",
        "You added the windows of all stages. One roll must suit them all at once: the largest "
        "window is a multiple of the others.",
        lambda patch, window, stages: patch * window * (2**stages - 1),
    ),
    WrongWay(
        "not doubled but multiplied",
        "You multiplied by the number of stages. Each merging doubles the pixels of a token, so it "
        "is a power of 2.",
        lambda patch, window, stages: patch * window * stages,
    ),
)


def draw_blind(rng: random.Random) -> tuple:
    return rng.choice([1, 2, 4, 8]), rng.randint(3, 12), rng.randint(1, 5)


# --- 8.4: which axes are rings? ---

# What is measured, whether each of its axes is a ring, and what helps one who answered otherwise.
DATA = {
    "panorama": ((False, True), "turn the camera in a full circle: left meets right, top does not "
                 "meet bottom."),
    "globe": ((True, False), "the axes are (longitude, latitude). Only one of the two leads around "
              "the earth; the other ends at the poles."),
    "calendar": ((False, False), "the day after Sunday is Monday of the *next* week, in another "
                 "row. And the last week of the year is not followed by its first."),
    "climate": ((True, True), "in a mean over many years, December is followed by January, and "
                "hour 23 by hour 0."),
    "clip": ((False, False, True), "time has a first and a last frame; each frame is a panorama."),
}  # fmt: skip


def periodic_axes(found: Any) -> str:
    if not isinstance(found, Mapping):
        raise TypeError
    for name, (rings, why) in DATA.items():
        if name not in found:
            return f"{name!r} is missing."
        given = found[name]
        if ((given,) * len(rings) if isinstance(given, bool) else tuple(given)) != rings:
            return f"{name!r}: {why}"
    return ""


# --- 8.5: how many pairs? ---


def pairs_needed(spread: float, difference: float) -> int:
    return math.ceil(exact_pairs(spread, difference))


def exact_pairs(spread: float, difference: float, errors: float = 1.96 + 0.84) -> float:
    """Return the number of pairs at which the difference is as many standard errors."""
    return (errors * spread / difference) ** 2


PAIR_WAYS = (
    WrongWay(
        "rounded down",
        "You rounded down, so you get a little less than 80 %. Round up: math.ceil.",
        lambda spread, difference: math.floor(exact_pairs(spread, difference)),
    ),
    WrongWay(
        "rounded to the nearest",
        "You rounded to the nearest number, which is sometimes too few. Round up: math.ceil.",
        lambda spread, difference: round(exact_pairs(spread, difference)),
    ),
    WrongWay(
        "not rounded",
        "A number of pairs is a whole number. Round up: math.ceil.",
        exact_pairs,
    ),
    WrongWay(
        "not squared",
        "You gave √n. The standard error falls with the root of n, so square at the end.",
        lambda spread, difference: math.ceil(math.sqrt(exact_pairs(spread, difference))),
    ),
    WrongWay(
        "a coin's chance",
        "With 1.96 standard errors alone you would notice the difference in half of the cases. "
        "For 80 % add 0.84.",
        lambda spread, difference: math.ceil(exact_pairs(spread, difference, 1.96)),
    ),
    WrongWay(
        "upside down",
        "You divided the difference by the spread, so noisy pairs would need fewer. Divide the "
        "spread by the difference.",
        lambda spread, difference: math.ceil(exact_pairs(difference, spread)),
    ),
    WrongWay(
        "two separate groups",
        "Your formula is for two groups that are not paired: it doubles the variance. The spread "
        "here is that of the pairs' differences already.",
        lambda spread, difference: math.ceil(2 * exact_pairs(spread, difference)),
    ),
)


def draw_pairs(rng: random.Random) -> tuple:
    while True:
        case = round(rng.uniform(0.2, 1.5), 2), round(rng.uniform(0.1, 0.9), 2)
        if 0.01 < exact_pairs(*case) % 1 < 0.99:  # rounding errors do not decide
            return case


EXERCISES = {
    "which_commute": Investigation(
        which_commute, {"A", "C"}, 'a set of letters, for example {"D", "E"}'
    ),
    "confused_rolls": Exercise(
        confused_rolls,
        [
            (16, 16, 4, False, (False, False)),
            (8, 12, 4, True, (False, False)),
            (8, 12, 4, True, (False, True)),
            (14, 12, 4, False, (False, False)),
            (7, 7, 7, False, (False, False)),
        ],
        draw_rolls,
        ROLL_WAYS,
    ),
    "smallest_blind_roll": Exercise(
        smallest_blind_roll, [(4, 7, 4), (2, 4, 2), (1, 8, 1)], draw_blind, BLIND_WAYS
    ),
    "periodic_axes": Investigation(
        periodic_axes,
        {name: rings for name, (rings, _) in DATA.items()},
        "a dictionary of tuples, one boolean per axis",
    ),
    "pairs_needed": Exercise(
        pairs_needed,
        [(0.3, 0.2), (0.26, 0.1), (0.5, 2.0), (1.0, 0.3)],
        draw_pairs,
        PAIR_WAYS,
    ),
}
