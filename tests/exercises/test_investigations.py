"""Every investigation accepts its solution, refuses what is near it, and survives any answer."""

import numpy as np
import pytest
import torch

from swin_tutorial.exercises import EXERCISES, check, verify
from swin_tutorial.exercises.chapter_08 import DATA
from swin_tutorial.exercises.exercise import Investigation

INVESTIGATIONS = {name: one for name, one in EXERCISES.items() if isinstance(one, Investigation)}
TRUTH = {name: rings for name, (rings, _) in DATA.items()}


@pytest.mark.parametrize("name", INVESTIGATIONS)
def test_nothing_found_yet(name, capsys):
    assert verify(name, None).status == "not attempted"
    check(name, None)
    assert capsys.readouterr().out == f"{name}: not attempted yet.\n"


@pytest.mark.parametrize("name", INVESTIGATIONS)
def test_the_solution_is_right(name, capsys):
    check(name, INVESTIGATIONS[name].solution)
    assert capsys.readouterr().out.startswith(f"{name}: right.")


@pytest.mark.parametrize("name", INVESTIGATIONS)
@pytest.mark.parametrize(
    "answer",
    [3, -1.5, True, "3", (), {}, (1,), (None, None), ("a", "b"), [[0, 0]], object(), float("nan")],
    ids=lambda answer: repr(answer).partition(" at ")[0],
)
def test_any_answer_is_answered(name, answer):
    """What is no answer of the question's kind is told so, or told why it is wrong."""
    verdict = verify(name, answer)
    assert verdict.status == "wrong"
    assert verdict.message.startswith(f"{name}: not yet. ")
    if not isinstance(answer, tuple | dict | list | str):
        assert f"The answer is {INVESTIGATIONS[name].kind}, and you gave" in verdict.message


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("lost_half", (7, 11)),
        ("lost_half", [1, 1]),
        ("lost_half", (0.0, 0.0)),
        ("lost_half", torch.tensor([7, 11])),
        ("farthest_stranger", np.array([7, 11])),
        ("unmasked_windows", {8 * row + column for row in range(7) for column in range(7)}),
        ("never_masked", (4, 7)),
        ("most_masked_shifts", [4, 3]),
        ("two_patterns", (12, 3, 4, 1)),
        ("two_patterns", (4, 12, 4, 2.0)),
        ("six_patterns", (5, 13, 4, 3)),
        ("block_5a", (8, 8, 4, 1)),
        ("block_5b", [9, 10, 4.0, 3]),
        ("block_5c", (9, 9, 4, 2)),
        ("block_6a", (8, 12, (4, 4), (0, 2))),
        ("block_6b", (12, 3, 4, 2)),
        ("block_6c", (8, 8, 4, 3)),
        ("which_commute", "A, C"),
        ("which_commute", ["c", "a"]),
        ("which_commute", {"A": True, "B": False, "C": True, "D": False, "E": False}),
        ("periodic_axes", {name: list(map(int, rings)) for name, rings in TRUTH.items()}),
        ("periodic_axes", TRUTH | {"calendar": False, "climate": True}),
    ],
)
def test_other_right_answers_are_right(name, answer):
    assert verify(name, answer).message.startswith(f"{name}: right.")


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("lost_half", (0, 5), "still attends to 8 of 16 tokens"),
        ("lost_half", (8, 0), "there is no token (8, 0) on a padded map of 8x12 tokens"),
        ("farthest_stranger", (7, 10), "another key there comes from farther away"),
        ("farthest_stranger", (4, 4), "not in the window of"),
        ("never_masked", (2, 5), "With shift 3, (2, 5) attends to 12"),
        ("unmasked_windows", [0, 7], "Window 7 masks some pair"),
        ("unmasked_windows", [0, 1], "47 more windows mask nothing, for example 2"),
        ("unmasked_windows", [0, 64], "There is no window 64"),
        ("most_masked_shifts", {3}, "one more"),
        ("most_masked_shifts", {3, 4, 5}, "Shift 5 masks"),
        ("most_masked_shifts", {7}, "There is no shift 7 for windows of 7"),
        ("most_masked_shifts", 3, "a set of shifts, and you gave 3."),
        ("two_patterns", (8, 12, 4, 2), "has 4"),
        ("two_patterns", (8, 12, 4, 0), "has 1"),
        ("two_patterns", (8, 12, 4, 4), "must be smaller than window_size"),
        ("two_patterns", (4, 120, 4, 2), "maps end at 64 tokens a side"),
        ("six_patterns", (8, 12, 4, 2), "has 4"),
        ("mostly_padding", (6, 6, 1), "and you gave (6, 6, 1)."),
        ("mostly_padding", (5, 5), "attends to 16 real tokens and 0 pads"),
        ("mostly_padding", (7, 10), "padding itself"),
        ("block_5a", (8, 12, 4, 0), "Find a map that needs a mask"),
        ("block_5b", (8, 12, 4, 0), "Find a window that holds two labels"),
        ("block_5c", (4, 12, 4, 2), "on which more than one of them does"),
        ("block_6a", (8, 8, 4, 2), "unless the map has a certain shape"),
        ("block_6b", (8, 12, 4, 1), "What happens to the *other* axis?"),
        ("block_6c", (8, 12, 4, 2), "For many shifts the two agree"),
        ("which_commute", {"A"}, "C rolls the columns"),
        ("which_commute", "ABC", "B rolls the rows"),
        ("which_commute", {"A", "C", "D"}, "half a window"),
        ("which_commute", {"A", "C", "E"}, "the position bias tells left from right"),
        ("which_commute", {"F"}, "there is no case F"),
        ("which_commute", [True, False, True, False, False], "there is no case FALSE"),
        ("periodic_axes", {}, "'panorama' is missing"),
        ("periodic_axes", TRUTH | {"globe": (False, True)}, "(longitude, latitude)"),
        ("periodic_axes", TRUTH | {"calendar": (False, True)}, "*next* week"),
        ("periodic_axes", TRUTH | {"clip": (False, True)}, "'clip': time has a first"),
        ("periodic_axes", TRUTH | {"climate": None}, "a dictionary of tuples"),
        ("periodic_axes", list(TRUTH.values()), "a dictionary of tuples"),
    ],
)
def test_wrong_answers_are_told_why(name, answer, words):
    verdict = verify(name, answer)
    assert verdict.status == "wrong"
    assert words in verdict.message
