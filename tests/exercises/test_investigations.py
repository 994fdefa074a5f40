"""Every investigation accepts its solution, refuses what is near it, and survives any answer."""

import pytest

from swin_tutorial.exercises import check, verify
from swin_tutorial.exercises.chapter_09 import EXERCISES as INVESTIGATIONS


@pytest.mark.parametrize("name", INVESTIGATIONS)
def test_nothing_found_yet(name, capsys):
    assert verify(name, None).status == "not attempted"
    check(name, None)
    assert capsys.readouterr().out == f"{name}: not attempted yet.\n"


@pytest.mark.parametrize("name", INVESTIGATIONS)
def test_the_solution_is_right(name, capsys):
    check(name, INVESTIGATIONS[name].solution)
    assert capsys.readouterr().out == f"{name}: right.\n"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("lost_half", (7, 11)),
        ("lost_half", [1, 1]),
        ("never_masked", (4, 7)),
        ("most_masked_shifts", [4, 3]),
        ("two_patterns", (12, 3, 4, 1)),
        ("six_patterns", (5, 13, 4, 3)),
    ],
)
def test_other_right_answers_are_right(name, answer):
    assert verify(name, answer).message == f"{name}: right."


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("lost_half", (0, 5), "still attends to 8 of 16 tokens"),
        ("lost_half", (8, 0), "there is no token (8, 0) on a padded map of 8x12 tokens"),
        ("farthest_stranger", (7, 10), "not the farthest"),
        ("farthest_stranger", (4, 4), "not in the window of"),
        ("never_masked", (2, 5), "with shift 3, (2, 5) attends to 12"),
        ("unmasked_windows", [0, 7], "window 7 masks some pair"),
        ("unmasked_windows", [0, 1], "47 windows are missing, for example 2"),
        ("most_masked_shifts", {3}, "one more"),
        ("most_masked_shifts", {3, 4, 5}, "shift 5 masks"),
        ("most_masked_shifts", 3, "a set of shifts, and you gave 3."),
        ("two_patterns", (8, 12, 4, 2), "has 4"),
        ("two_patterns", (8, 12, 4, 0), "has 1"),
        ("two_patterns", (8, 12, 4, 4), "must be smaller than window_size"),
        ("six_patterns", (8, 12, 4, 2), "has 4"),
        ("mostly_padding", (6, 6, 1), "you gave (6, 6, 1): "),
        ("mostly_padding", (5, 5), "attends to 16 real tokens and 0 pads"),
        ("mostly_padding", (7, 10), "padding itself"),
    ],
)
def test_wrong_answers_are_told_why(name, answer, words):
    verdict = verify(name, answer)
    assert verdict.status == "wrong"
    assert words in verdict.message


def test_an_unknown_investigation_is_refused():
    with pytest.raises(ValueError, match="no exercise 'nope': choose one of"):
        verify("nope", 1)
