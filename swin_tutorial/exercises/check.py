"""Judge a prediction, an attempt or a finding, say the verdict in a sentence, name the mistake."""

import contextlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

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
from swin_tutorial.exercises.answers import difference, distance, plain, same, short
from swin_tutorial.exercises.exercise import Exercise, Investigation, WrongWay

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
    chapter_09,
    chapter_10,
    chapter_11,
)
EXERCISES = {name: one for chapter in CHAPTERS for name, one in chapter.EXERCISES.items()}


@dataclass(frozen=True)
class Verdict:
    """What became of an attempt.

    Args:
        status: "not attempted", "wrong" or "right".
        message: the verdict in a few sentences.
        mistake: the name of the mistake, if it is a known one.
        got, expected: the answer to the case that went wrong, and the right one.
    """

    status: str
    message: str
    mistake: str = ""
    got: Any = None
    expected: Any = None


def check(name: str, attempt: Any) -> None:
    """Print the verdict on an attempt at exercise ``name``; never raises for the attempt.

    Args:
        name: the exercise's name, as it stands in the chapter.
        attempt: your function, or what you found.

    Raises ValueError for an exercise that does not exist.
    """
    if callable(attempt) and str(getattr(attempt, "__module__", "")).startswith("swin_tutorial."):
        print(f"{name}: that is the package's own function. Write one of your own.")
        return
    verdict = verify(name, attempt)
    print(verdict.message)
    picture = getattr(EXERCISES[name], "picture", None)
    if picture and isinstance(verdict.got, Tensor) and verdict.got.ndim == verdict.expected.ndim:
        from swin_tutorial.figures.exercises import show_difference

        show_difference(verdict.got, verdict.expected, picture)


def choose(name: str, attempt: Callable, solution: Callable) -> Callable:
    """Return the reader's attempt if it is right, or else the folded solution, and print which.

    For a function that the chapter goes on to use.

    Args:
        name: the exercise's name, as it stands in the chapter.
        attempt, solution: the reader's function, and the chapter's.
    """
    if attempt is not solution and verify(name, attempt).status == "right":
        print(f"{name}: from here on yours.")
        return attempt
    print(f"{name}: from here on the folded solution, until yours is right.")
    return solution


def verify(name: str, attempt: Any) -> Verdict:
    """Return the verdict on an attempt at exercise ``name``; see ``check``."""
    if name not in EXERCISES:
        raise ValueError(f"there is no exercise {name!r}: choose one of {sorted(EXERCISES)}")
    exercise = EXERCISES[name]
    if attempt is None or attempt is ...:
        return Verdict("not attempted", f"{name}: not attempted yet.")
    if isinstance(exercise, Investigation):
        return _judge_finding(name, exercise, attempt)
    return _judge_function(name, exercise, attempt)


# --- something to find ---


def _judge_finding(name: str, investigation: Investigation, answer: Any) -> Verdict:
    try:
        why_wrong = investigation.validate(plain(answer))
    except (TypeError, ValueError, IndexError, RuntimeError) as error:  # not even of its kind
        why_wrong = f"The answer is {investigation.kind}, and you gave {short(answer)}"
        why_wrong += f": {error}." if isinstance(error, ValueError) else "."
    if why_wrong:
        return Verdict("wrong", f"{name}: not yet. {why_wrong}")
    return Verdict("right", f"{name}: right. {investigation.explain(plain(answer))}".rstrip())


# --- a function to write ---


def _judge_function(name: str, exercise: Exercise, attempt: Any) -> Verdict:
    if not callable(attempt):
        return Verdict("wrong", f"{name}: pass the function itself, you gave {short(attempt)}.")
    written = getattr(attempt, "__name__", name)
    called = name if written == "<lambda>" else written  # by the name that the reader gave it
    cases = exercise.all_cases()
    for case in cases:
        call = f"{called}({', '.join(map(short, case))})"
        expected = exercise.solution(*_copies(case))
        given = _copies(case)
        try:
            got = attempt(*given)
        except Exception as error:  # whatever a reader's code raises belongs in the verdict
            if _is_stub(error, attempt):
                return Verdict("not attempted", f"{name}: not attempted yet.")
            wrong = f"{call} raised {type(error).__name__}: {_first_line(error)}"
            return _wrong(name, exercise, attempt, wrong)
        if exercise.judge:
            if why_wrong := exercise.judge(got, *_copies(case)):
                wrong = f"{call} gave {short(got)}. {why_wrong}"
                return _wrong(name, exercise, attempt, wrong, got, expected)
        elif not same(got, expected):
            wrong = difference(call, got, expected)
            return _wrong(name, exercise, attempt, wrong, got, expected)
        elif exercise.keeps_arguments and not same(given, case):
            wrong = f"{call} gave the right answer, but it wrote into its argument."
            return _wrong(name, exercise, attempt, wrong, got, expected)
    return Verdict("right", f"{name}: right, on all {len(cases)} cases.")


def _wrong(
    name: str,
    exercise: Exercise,
    attempt: Callable,
    what: str,
    got: Any = None,
    expected: Any = None,
) -> Verdict:
    way = diagnose(exercise, attempt)
    if way is None:
        return Verdict("wrong", f"{name}: not yet. {what}", "", got, expected)
    return Verdict("wrong", f"{name}: not yet. {what}\n{way.sentence}", way.name, got, expected)


def diagnose(exercise: Exercise, attempt: Callable) -> WrongWay | None:
    """Return the known mistake that answers every case as the attempt does, None if none does.

    An attempt that fails on every case could be any.
    """
    cases = exercise.all_cases()
    answers = [_outcome(attempt, case) for case in cases]
    if not any(returned for returned, _ in answers):
        return None
    for way in exercise.wrong_ways:
        others = (_outcome(way.attempt, case) for case in cases)
        if all(map(_same_outcome, answers, others)):
            return way
    return None


def _outcome(function: Callable, case: tuple) -> tuple[bool, Any]:
    """Return whether a function returns, and what."""
    try:
        return True, function(*_copies(case))
    except Exception:  # that it fails is the outcome
        return False, None


def _same_outcome(ours: tuple[bool, Any], theirs: tuple[bool, Any]) -> bool:
    if not (ours[0] and theirs[0]):
        return ours[0] == theirs[0]
    return same(ours[1], theirs[1])


def _is_stub(error: Exception, attempt: Callable) -> bool:
    """Return whether the attempt itself says that it was not written yet."""
    if not isinstance(error, NotImplementedError):
        return False  # PyTorch raises this too, deeper down
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    return frame.f_code is getattr(attempt, "__code__", None)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else "no message"


def _copies(case: tuple) -> tuple:
    """Copy the tensors of a case, so that an attempt that writes into them spoils nothing."""
    return tuple(one.clone() if isinstance(one, Tensor) else one for one in case)


# --- predictions ---


def reveal(prediction: Any, answer: Any) -> None:
    """Show the answer beside the reader's prediction; without one, folded up until it is opened."""
    if isinstance(prediction, str) and not isinstance(answer, str):
        with contextlib.suppress(ValueError):  # "15" is 15
            prediction = float(prediction) if "." in prediction else int(prediction)
    if prediction is None:
        from IPython.display import display

        folded = f"<details><summary>Show the answer</summary>{escape(str(answer))}</details>"
        ask = "No prediction yet: set my_prediction above, then run this cell again."
        display({"text/html": f"<p>{ask}</p>{folded}", "text/plain": ask}, raw=True)
    elif same(prediction, answer):
        print(f"The answer is {answer}. That is what you predicted.")
    else:
        off = distance(prediction, answer)
        print(f"The answer is {answer}. You predicted {short(prediction)}{off}.")
