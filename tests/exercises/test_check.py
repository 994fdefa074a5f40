"""Every check says "not attempted" to a stub, accepts what is right, and names what is wrong."""

import random

import IPython.display
import numpy as np
import pytest
import torch

from swin_tutorial.exercises import EXERCISES, check, choose, reveal, verify
from swin_tutorial.exercises.check import CHAPTERS
from swin_tutorial.exercises.exercise import Exercise

FUNCTIONS = {name: one for name, one in EXERCISES.items() if isinstance(one, Exercise)}


def wrong_ways():
    """Return every known mistake of every exercise."""
    for name, exercise in FUNCTIONS.items():
        for way in exercise.wrong_ways:
            yield pytest.param(name, way, id=f"{name}: {way.name}")


def test_every_name_belongs_to_one_exercise():
    """Two chapters with the same name would hide one of the exercises."""
    names = [name for chapter in CHAPTERS for name in chapter.EXERCISES]
    assert len(names) == len(set(names)) == len(EXERCISES)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_stub_was_not_attempted(name, capsys):
    def stub(*arguments):
        raise NotImplementedError

    assert verify(name, stub).status == "not attempted"
    check(name, stub)
    assert capsys.readouterr().out == f"{name}: not attempted yet.\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_solution_is_right(name):
    verdict = verify(name, FUNCTIONS[name].solution)
    assert verdict.status == "right", verdict.message
    assert f"all {len(FUNCTIONS[name].all_cases())} cases" in verdict.message


def test_a_chapter_goes_on_with_a_right_attempt_or_else_with_its_solution(capsys):
    def solution(depth, window_size):
        return [i % 2 * (window_size // 2) for i in range(depth)]

    def mine(depth, window_size):
        return ([0, window_size // 2] * depth)[:depth]

    def wrong(depth, window_size):
        return [0] * depth

    assert choose("shifts_of_stage", mine, solution) is mine
    assert capsys.readouterr().out.endswith("yours.\n")
    for attempt in (wrong, solution):  # the second is what a repeated cell passes
        assert choose("shifts_of_stage", attempt, solution) is solution
        assert "the folded solution" in capsys.readouterr().out


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_constant_answer_is_wrong(name):
    """The answer to the first case, given to all: the cases must tell it apart."""
    exercise = FUNCTIONS[name]
    first = exercise.solution(*exercise.cases[0])
    assert verify(name, lambda *arguments: first).status == "wrong"


@pytest.mark.parametrize(("name", "way"), list(wrong_ways()))
def test_a_known_mistake_is_named(name, way):
    """A mistake that answers as another one does gets that one's sentence: it must help both."""
    verdict = verify(name, way.attempt)
    assert verdict.status == "wrong"
    assert verdict.mistake == way.name
    assert way.sentence in verdict.message


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_exercise_knows_mistakes_and_draws_cases(name):
    exercise = FUNCTIONS[name]
    assert len(exercise.wrong_ways) >= 2
    assert exercise.draw_case, "fixed cases alone can be met by luck"
    drawn = [exercise.draw_case(random.Random(seed)) for seed in range(8)]
    assert len({repr(case) for case in drawn}) > 2


# --- how an answer may be said ---


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("count_windows", torch.tensor),
        ("count_windows", np.int64),
        ("count_windows", float),
        ("token_on_map", list),
        ("token_on_map", torch.tensor),
        ("token_on_map", np.array),
        ("row_after_roll", lambda row: torch.tensor(row, dtype=torch.int32)),
        ("partition_by_hand", lambda windows: windows.int()),
        ("partition_by_hand", lambda windows: windows.numpy()),
    ],
)
def test_a_right_answer_may_be_said_in_many_ways(name, change):
    solution = FUNCTIONS[name].solution
    assert verify(name, lambda *case: change(solution(*case))).status == "right"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("partition_by_hand", lambda windows: windows.float(), "holds torch.float32"),
        ("partition_by_hand", lambda windows: windows[0], "has shape"),
        ("partition_by_hand", lambda windows: None, "returned None, expected a tensor"),
        ("count_windows", str, "gave '64', expected 64"),
        ("token_on_map", lambda place: place[0], "gave 5, expected (5, 6)"),
        ("token_on_map", lambda place: (*place, 0), "gave (5, 6, 0), expected (5, 6)"),
    ],
)
def test_what_only_looks_right_is_wrong(name, change, words):
    solution = FUNCTIONS[name].solution
    verdict = verify(name, lambda *case: change(solution(*case)))
    assert verdict.status == "wrong"
    assert words in verdict.message


# --- attempts that fail ---


def test_an_error_is_told_and_the_function_named_as_the_reader_named_it():
    def my_roll(x, shift_size):
        return x.nope

    verdict = verify("roll_by_hand", my_roll)
    assert verdict.status == "wrong"
    assert "my_roll(a tensor of shape (2, 4, 6, 3), 1) raised AttributeError" in verdict.message


def test_an_error_of_pytorch_is_no_stub():
    """PyTorch raises NotImplementedError too: for a module without forward, for example."""

    def attempt(x, shift_size):
        return torch.nn.Module()(x)

    with pytest.raises(NotImplementedError):
        attempt(torch.zeros(1), 0)
    assert verify("roll_by_hand", attempt).status == "wrong"


def test_an_attempt_that_writes_into_its_arguments_spoils_nothing():
    def destructive(x, shift_size):
        x.zero_()
        return x

    assert verify("roll_by_hand", destructive).status == "wrong"
    assert verify("roll_by_hand", FUNCTIONS["roll_by_hand"].solution).status == "right"


def test_a_right_answer_that_was_written_into_the_argument_is_refused_where_that_matters():
    def in_place(x, shift_size):
        x[:] = torch.roll(x, (-shift_size, -shift_size), (1, 2))
        return x

    verdict = verify("roll_by_hand", in_place)
    assert verdict.status == "wrong"
    assert "gave the right answer, but it wrote into its argument" in verdict.message
    assert verdict.mistake == "written into x"
    assert verify("roll_by_hand", lambda x, s: in_place(x.clone(), s)).status == "right"


def test_the_packages_own_function_is_no_attempt(capsys):
    from swin_tutorial.windows import cyclic_shift

    check("roll_by_hand", cyclic_shift)
    assert "the package's own function" in capsys.readouterr().out


def test_what_is_no_function_is_told(capsys):
    check("count_windows", 64)
    assert "pass the function itself, you gave 64" in capsys.readouterr().out


def test_an_unknown_exercise_is_refused():
    with pytest.raises(ValueError, match="no exercise 'nope': choose one of"):
        verify("nope", abs)


# --- predictions ---


@pytest.mark.parametrize(
    ("prediction", "answer", "words"),
    [
        (15, 15, "That is what you predicted."),
        ("15", 15, "That is what you predicted."),
        (torch.tensor(15), 15, "That is what you predicted."),
        ([4, 6], (4, 6), "That is what you predicted."),
        (64, 15, "You predicted 64 (49 too high)."),
        (118, 120, "You predicted 118 (2 too low)."),
        ("many", 15, "You predicted 'many'."),
        (True, 15, "You predicted True."),
    ],
)
def test_a_prediction_is_answered(prediction, answer, words, capsys):
    reveal(prediction, answer)
    out = capsys.readouterr().out
    assert out.startswith(f"The answer is {answer}.")
    assert words in out


def test_without_a_prediction_the_answer_is_folded_up(monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw: shown.append(bundle))
    reveal(None, "4 < 16")
    (bundle,) = shown
    assert "4 &lt; 16" in bundle["text/html"].partition("<details><summary>")[2]
    assert "4" not in bundle["text/plain"]
