"""Is an answer the expected one?  There are many right ways to say it, and many wrong ones."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor


def same(got: Any, expected: Any) -> bool:
    """Return whether an answer equals the expected one, in whatever type it is said.

    A scalar tensor or an array of one number is a number, 84.0 is 84, a list is a tuple, and a
    tensor of numbers may stand for a tuple of them.  But a mask of floats is no boolean mask.
    """
    if isinstance(expected, Tensor):
        got = torch.as_tensor(got) if isinstance(got, np.ndarray) else got
        return (
            isinstance(got, Tensor)
            and got.shape == expected.shape
            and number_kind(got) == number_kind(expected)
            # No right answer holds NaN, but two wrong ones that do may be the same mistake.
            and torch.allclose(
                got.double(), expected.double(), rtol=1e-5, atol=1e-6, equal_nan=True
            )
        )
    got = plain(got)
    if isinstance(expected, tuple | list):
        is_sequence = isinstance(got, tuple | list) and len(got) == len(expected)
        return is_sequence and all(map(same, got, expected))
    if isinstance(expected, set | frozenset):
        is_collection = isinstance(got, tuple | list | set | frozenset)
        return is_collection and _have_the_same(got, expected)
    if isinstance(expected, int | float) and isinstance(got, int | float):
        return got == expected or math.isclose(got, expected, rel_tol=1e-6, abs_tol=1e-9)
    return type(got) is type(expected) and got == expected


def _have_the_same(got: Collection, expected: Collection) -> bool:
    """Return whether two collections hold the same, in any order; what they hold may be a list."""
    return all(any(same(one, other) for other in expected) for one in got) and all(
        any(same(one, other) for one in got) for other in expected
    )


def plain(value: Any) -> Any:
    """Return tensors and arrays as Python numbers and lists."""
    return value.tolist() if isinstance(value, Tensor | np.ndarray | np.generic) else value


def difference(call: str, got: Any, expected: Any) -> str:
    """Say in a sentence how an answer differs from the expected one."""
    if isinstance(expected, Tensor):
        if not isinstance(got, Tensor):
            return f"{call} returned {short(got)}, expected {short(expected)}."
        if got.shape != expected.shape:
            return f"{call} has shape {tuple(got.shape)}, expected {tuple(expected.shape)}."
        if number_kind(got) != number_kind(expected):
            return f"{call} holds {got.dtype}, expected {expected.dtype}."
        unequal = ~torch.isclose(got.double(), expected.double(), rtol=1e-5, atol=1e-6)
        place = tuple(unequal.nonzero()[0].tolist())
        return f"{call} is {got[place].item()} at {place}, expected {expected[place].item()}."
    return f"{call} gave {short(got)}, expected {short(expected)}."


def distance(guess: Any, answer: Any) -> str:
    """Say how far a guess is from a number: " (2 too low)"; "" if it is no number."""
    guess = plain(guess)
    are_numbers = all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in (guess, answer)
    )
    if not are_numbers or not math.isfinite(guess):
        return ""
    off = round(abs(guess - answer), 10)
    return f" ({off:g} too {'low' if guess < answer else 'high'})"


def number_kind(tensor: Tensor) -> str:
    """Return the kind of numbers in a tensor: int32 for int64 is no mistake, float for bool is."""
    if tensor.dtype == torch.bool:
        return "boolean"
    return "floating" if tensor.is_floating_point() else "integer"


def short(value: Any) -> str:
    """Return a value as it is shown in a sentence."""
    if isinstance(value, Tensor):
        if value.numel() > 8:
            return f"a tensor of shape {tuple(value.shape)}"
        return f"{value.item()}" if value.ndim == 0 else f"{value.tolist()}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
