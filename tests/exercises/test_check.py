"""Every check says "not attempted" to a stub, accepts the solution, and rejects what is near it."""

import pytest
import torch

from swin_tutorial.exercises import EXERCISES, check, reveal, verify
from swin_tutorial.exercises.check import CHAPTERS
from swin_tutorial.grid import WindowGrid


def test_every_name_belongs_to_one_exercise():
    """Two chapters with the same name would hide one of the exercises."""
    names = [name for chapter in CHAPTERS for name in chapter.EXERCISES]
    assert len(names) == len(set(names)) == len(EXERCISES)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_stub_was_not_attempted(name, capsys):
    def stub(*arguments):
        raise NotImplementedError

    assert verify(name, stub).status == "not attempted"
    check(name, stub)
    assert capsys.readouterr().out == f"{name}: not attempted yet.\n"


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_right(name):
    verdict = verify(name, EXERCISES[name].solution)
    assert verdict.status == "right"
    assert f"all {len(EXERCISES[name].cases)} cases" in verdict.message


@pytest.mark.parametrize("name", EXERCISES)
def test_a_constant_answer_is_wrong(name):
    """The answer to the first case, given to all: the cases must tell it apart."""
    exercise = EXERCISES[name]
    first = exercise.solution(*exercise.cases[0])
    assert verify(name, lambda *arguments: first).status == "wrong"


@pytest.mark.parametrize(
    ("name", "attempt", "words"),
    [
        (
            "count_windows",
            lambda h, w, m: (h // m) * (w // m),
            r"count_windows\(57, 50, 7\) gave 56",
        ),
        ("came_from", lambda y, x, h, w, s: ((y - s) % h, (x - s) % w), r"\(0, 0, 8, 12, 2\)"),
        ("roll_by_hand", lambda x, s: torch.roll(x, (s, s), (1, 2)), r"at \(0, 0, 0, 0\)"),
        ("roll_by_hand", lambda x, s: torch.roll(x, (-s, -s), (2, 3)), "at"),
        (
            "partition_by_hand",
            lambda x, m: x.reshape(2, -1, m * m, 3),
            r"is 6 at \(0, 0, 2, 0\), expected 18",
        ),
        ("mask_from_ids", lambda ids: ids[:, :, None] != ids[:, None, :], "is False .* True"),
        ("mask_from_ids", lambda ids: (ids[:, :, None] == ids[:, None, :]).float(), "float32"),
        ("masked_softmax", lambda s, m: (s * m).softmax(-1), "masked_softmax"),
        ("masked_softmax", lambda s, m: (s - 100.0 * ~m).softmax(-1), "masked_softmax"),
        ("attend_one_window", lambda q, k, v, m: v, "shape"),
        ("may_attend", lambda q, k: int(q == k), "gave 1, expected True"),
        ("decoder_mask", lambda lengths, tokens: lengths / 0, "shape"),
        ("decoder_mask", lambda lengths, tokens: lengths.nope, "raised AttributeError"),
        ("table_row", lambda q, k, m: None, "gave None, expected 84"),
        (
            "rate_at",
            lambda step, steps, warmup, peak: peak * min(1, (step + 1) / (warmup + 1)),
            r"rate_at\(40, 100, 20, 1.0\) gave 1.0",
        ),
        (
            "soft_targets",  # the smoothing's own class forgotten
            lambda labels, others, lam, smoothing, classes: (
                (1 - smoothing)
                * EXERCISES["soft_targets"].solution(labels, others, lam, 0.0, classes)
            ),
            "soft_targets",
        ),
        (
            "stretch",  # the last process takes what is left over
            lambda total, rank, processes: (
                rank * (total // processes),
                total if rank == processes - 1 else (rank + 1) * (total // processes),
            ),
            r"stretch\(2500, 3, 8\) gave \(936, 1248\)",
        ),
        ("least_bytes", lambda b, h, w, c, size: 2 * b * h * w * c * size, "expected 154140672"),
        ("intensity", lambda h, w, size: 4 * h * w / size, "gave 98.0, expected 24.5"),
        (
            "place_of_token",  # on the rolled map
            lambda n, t, h, w, m, s: (n // (w // m) * m + t // m, n % (w // m) * m + t % m),
            r"gave \(0, 0\), expected \(2, 2\)",
        ),
        (
            "place_of_token",  # wrapped around the edge of the map, not of the padded one
            lambda n, t, h, w, m, s: (
                (n // -(-w // m) * m + t // m + s) % h,
                (n % -(-w // m) * m + t % m + s) % w,
            ),
            r"7, 10, 4, 2\) gave \(1, 3\), expected \(0, 3\)",
        ),
        (
            "place_of_token",  # padding is no token of the map
            lambda n, t, h, w, m, s: WindowGrid((h, w), m, s).origin(n, t),
            r"5, 4, 7, 10, 4, 2\) gave \(7, 10\), expected None",
        ),
    ],
)
def test_a_wrong_answer_is_shown_with_its_case(name, attempt, words):
    verdict = verify(name, attempt)
    assert verdict.status == "wrong"
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(verdict.message)


def test_an_attempt_that_writes_into_its_arguments_spoils_nothing():
    def destructive(x, shift_size):
        x.zero_()
        return x

    assert verify("roll_by_hand", destructive).status == "wrong"
    assert verify("roll_by_hand", EXERCISES["roll_by_hand"].solution).status == "right"


def test_an_unknown_exercise_is_refused():
    with pytest.raises(ValueError, match="no exercise 'nope': choose one of"):
        verify("nope", abs)


@pytest.mark.parametrize(
    ("prediction", "words"),
    [(None, "You made no prediction"), (15, "just what you predicted"), (64, "you predicted 64")],
)
def test_a_prediction_is_answered(prediction, words, capsys):
    reveal(prediction, 15)
    out = capsys.readouterr().out
    assert "The answer is 15" in out
    assert words in out
