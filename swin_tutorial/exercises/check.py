"""Judge a prediction, an attempt or a finding, and say the verdict in a sentence."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from swin_tutorial.exercises import (
    chapter_00,
    chapter_01,
    chapter_02,
    chapter_03,
    chapter_04,
    chapter_05,
    chapter_06,
    chapter_07,
    chapter_08,
    chapter_09,
    chapter_10,
    chapter_11,
)

CHAPTERS = (
    chapter_00,
    chapter_01,
    chapter_02,
    chapter_03,
    chapter_04,
    chapter_05,
    chapter_06,
    chapter_07,
    chapter_08,
    chapter_10,
    chapter_11,
)
EXERCISES = {name: one for chapter in CHAPTERS for name, one in chapter.EXERCISES.items()}
INVESTIGATIONS = chapter_09.INVESTIGATIONS


@dataclass(frozen=True)
class Verdict:
    """What became of an attempt: ``status`` is "not attempted", "wrong" or "right"."""

    status: str
    message: str


# --- exercises: a function to write ---


def check(name: str, attempt: Callable) -> None:
    """Run ``attempt`` on the cases of exercise ``name`` and print the verdict; never raises for it.

    Raises ValueError for an exercise that does not exist.
    """
    print(verify(name, attempt).message)


def verify(name: str, attempt: Callable) -> Verdict:
    """Return the verdict on ``attempt``: right if it equals the solution on every case."""
    if name not in EXERCISES:
        raise ValueError(f"there is no exercise {name!r}: choose one of {sorted(EXERCISES)}")
    exercise = EXERCISES[name]
    for case in exercise.cases:
        call = f"{name}({', '.join(_short(argument) for argument in case)})"
        try:
            got = attempt(*_copies(case))
        except NotImplementedError:
            return Verdict("not attempted", f"{name}: not attempted yet.")
        except Exception as error:  # whatever a reader's code raises belongs in the verdict
            return Verdict("wrong", f"{name}: {call} raised {type(error).__name__}: {error}")
        expected = exercise.solution(*_copies(case))
        if not _same(got, expected):
            return Verdict("wrong", f"{name}: not yet. {explain(call, got, expected)}")
    return Verdict("right", f"{name}: right, on all {len(exercise.cases)} cases.")


def explain(call: str, got: Any, expected: Any) -> str:
    """Say how an answer differs from the expected one.  A diagnosis of the mistake belongs here."""
    if isinstance(expected, Tensor) and isinstance(got, Tensor):
        if got.shape != expected.shape:
            return f"{call} has shape {tuple(got.shape)}, expected {tuple(expected.shape)}."
        if _kind(got) != _kind(expected):
            return f"{call} holds {got.dtype}, expected {expected.dtype}."
        place = tuple((~torch.isclose(got.double(), expected.double())).nonzero()[0].tolist())
        return f"{call} is {got[place].item()} at {place}, expected {expected[place].item()}."
    return f"{call} gave {_short(got)}, expected {_short(expected)}."


# --- investigations: something to find ---


def investigate(name: str, answer: Any) -> None:
    """Print the verdict on an answer to investigation ``name``; never raises for the answer.

    Raises ValueError for an investigation that does not exist.
    """
    print(judge(name, answer).message)


def judge(name: str, answer: Any) -> Verdict:
    """Return the verdict on an answer; None was not attempted."""
    if name not in INVESTIGATIONS:
        known = sorted(INVESTIGATIONS)
        raise ValueError(f"there is no investigation {name!r}: choose one of {known}")
    if answer is None:
        return Verdict("not attempted", f"{name}: not attempted yet.")
    try:
        why_wrong = INVESTIGATIONS[name].validate(answer)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:  # not even of its kind
        why_wrong = f"{answer!r} cannot be judged: {error}"
    if why_wrong:
        return Verdict("wrong", f"{name}: not yet. {why_wrong}")
    return Verdict("right", f"{name}: right.")


# --- predictions ---


def reveal(prediction: Any, answer: Any) -> None:
    """Print the answer, beside the reader's prediction if there is one."""
    if prediction is None:
        print(f"The answer is {answer}. (You made no prediction.)")
    elif prediction == answer:
        print(f"The answer is {answer}: just what you predicted.")
    else:
        print(f"The answer is {answer}; you predicted {prediction}.")


def _same(got: Any, expected: Any) -> bool:
    if isinstance(expected, Tensor):
        return (
            isinstance(got, Tensor)
            and got.shape == expected.shape
            and _kind(got) == _kind(expected)
            and torch.allclose(got.double(), expected.double(), rtol=1e-5, atol=1e-6)
        )
    if isinstance(expected, float):
        return isinstance(got, float) and math.isclose(got, expected, rel_tol=1e-9)
    return type(got) is type(expected) and got == expected


def _kind(tensor: Tensor) -> str:
    """Return the kind of numbers in a tensor: int32 for int64 is no mistake, float for bool is."""
    if tensor.dtype == torch.bool:
        return "boolean"
    return "floating" if tensor.is_floating_point() else "integer"


def _copies(case: tuple) -> tuple:
    """Copy the tensors of a case, so that an attempt that writes into them spoils nothing."""
    return tuple(one.clone() if isinstance(one, Tensor) else one for one in case)


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        if value.numel() <= 8:
            return str(value.tolist())
        return f"<tensor of shape {tuple(value.shape)}>"
    return repr(value)
