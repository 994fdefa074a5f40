"""Find the bug: every block can be caught, is right somewhere, and is shown without a name."""

import pytest
import torch

from swin_tutorial.audit.museum import MUSEUM
from swin_tutorial.audit.specimen import Specimen
from swin_tutorial.exercises import EXERCISES, bugs, check, verify
from swin_tutorial.exercises.bugs import Bug, show_block, show_right_block
from swin_tutorial.exercises.bugs import what_goes_wrong as wrong_at
from swin_tutorial.grid import WindowGrid

BUGS = {name: one for name, one in EXERCISES.items() if isinstance(one, Bug)}
UNSHIFTED = (8, 12, 4, 0)


@pytest.mark.parametrize("name", BUGS)
def test_the_solution_is_right_and_says_what_was_found(name):
    verdict = verify(name, BUGS[name].solution)
    assert verdict.status == "right", verdict.message
    assert f"“{BUGS[name].mistake}”" in verdict.message
    assert ": right. There " in verdict.message


@pytest.mark.parametrize("name", BUGS)
def test_the_block_is_right_at_some_geometry(name):
    """A block that is always wrong would be no question."""
    geometries = [UNSHIFTED, (8, 12, 4, 2), (8, 8, 4, 2), (8, 8, 4, 1), (2, 4, 2, 0), (9, 9, 4, 0)]
    messages = [verify(name, geometry).message for geometry in geometries]
    right = [message for message in messages if "this block is right. " in message]
    assert right
    assert len(right[0].split("this block is right. ")[1]) > 20  # the nudge


@pytest.mark.parametrize("name", BUGS)
def test_the_source_is_shown_without_a_name(name):
    bug = BUGS[name]
    source, specimen = bug.source(), MUSEUM[bug.mistake].specimen
    assert specimen.__bases__ == (Specimen,)
    assert source.startswith("class Block(RightBlock):\n")
    assert bug.mistake not in source
    assert specimen.__name__ not in source
    assert "@" not in source.replace(" @ ", "")
    compile(source, name, "exec")
    assert all(len(line) <= 100 for line in source.splitlines())


def test_a_chapter_shows_three_different_blocks():
    for chapter in {name[:-1] for name in BUGS}:
        names = [name for name in BUGS if name[:-1] == chapter]
        assert len(names) == 3
        assert len({BUGS[name].mistake for name in names}) == 3


def test_the_right_block_is_shown_with_the_steps_that_are_asked_for(monkeypatch):
    shown = []
    monkeypatch.setattr(bugs, "_show", shown.append)
    show_right_block()
    show_right_block("fit")
    assert ["def __call__" in source for source in shown] == [True, True]
    assert ["def fit" in source for source in shown] == [False, True]
    compile(shown[1], "block", "exec")


def test_blocks_are_shown_as_code(capsys):
    show_right_block()
    show_block("block_2b")
    assert capsys.readouterr().out.count("Markdown object") == 2
    with pytest.raises(KeyError):
        show_block("block_2z")


# --- what is said of a geometry ---


@pytest.mark.parametrize(
    "geometry",
    [
        (8, 12, 4, 2),
        [8, 12, 4, 2],
        torch.tensor([8, 12, 4, 2]),
        (8.0, 12.0, 4.0, 2.0),
        (8, 12, (4, 3), [2, 1]),
        (8, 12, 4, (0, 1)),
    ],
    ids=str,
)
def test_a_geometry_may_be_said_in_many_ways(geometry):
    assert verify("block_5c", geometry).status == "right"


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        (None, "not attempted"),
        ((8, 12, 4), "these are 3 numbers"),
        ((8, 12, 4, 4), "must be smaller than window_size"),
        ((8, 12, 4.5, 2), "you gave (8, 12, 4.5, 2)"),
        ((56, 56, 7, 3), "a map of 200 tokens or fewer is enough"),
        (8, "you gave 8"),
        ("8x12", "you gave '8x12'"),
        (lambda: 0, "you gave <function"),
    ],
)
def test_what_is_no_geometry_is_told(geometry, words, capsys):
    check("block_2a", geometry)
    assert words in capsys.readouterr().out


def test_a_leak_and_a_loss_are_named():
    no_mask, kept = (
        MUSEUM[name].specimen for name in ("no mask", "shift kept on a one-window axis")
    )
    grid = WindowGrid((8, 12), 4, 2)
    assert (
        wrong_at(no_mask, grid) == "There token (0, 0) depends on token (0, 10), and it must not."
    )
    row = WindowGrid((4, 8), 4, 1)
    assert (
        wrong_at(kept, row) == "There token (0, 0) does not depend on token (1, 0), and it should."
    )
    assert wrong_at(kept, grid) == wrong_at(Specimen, grid) == ""


def test_wrong_weights_errors_and_shapes_are_told():
    class Louder(Specimen):
        def bias(self, window):
            return 2 * super().bias(window)

    class Shorter(Specimen):
        def __call__(self, x):
            return super().__call__(x)[:, 1:]

    class Failing(Specimen):
        def crop(self, x, size):
            raise IndexError("no")

    grid = WindowGrid((5, 7), 4, 1)
    wrong = "There token (0, 1) depends on the right tokens, but its numbers are wrong."
    assert wrong_at(Louder, WindowGrid((8, 12), 4, 1)) == wrong
    assert wrong_at(Louder, grid) == wrong  # the map is padded, and that is not why
    assert "(1, 5, 7, 4) comes out with shape (1, 4, 7, 4)" in wrong_at(Shorter, grid)
    assert wrong_at(Failing, grid) == "There it raises IndexError."


def test_padding_is_blamed_only_where_it_is_seen():
    """Sliced is wrong on a map that is padded, and sees none of the padding."""
    sees, sliced, copies = (
        MUSEUM[name].specimen
        for name in (
            "real tokens see padding",
            "bias index sliced for a smaller window",
            "padded at the start",
        )
    )
    for shift in (0, 1):
        grid = WindowGrid((7, 9), 4, shift)
        assert "attends to padding, and it must not." in wrong_at(sees, grid)
    assert wrong_at(sliced, WindowGrid((9, 3), 4, 1)).endswith("but its numbers are wrong.")
    assert wrong_at(copies, grid)


@pytest.mark.parametrize(
    ("name", "geometry", "words"),
    [
        ("block_4a", (3, 3, 4, 0), "needs padding"),
        ("block_4a", (8, 12, 4, 2), "has 96 tokens"),
        ("block_4a", (4, 2, 4, 1), "needs padding"),
        ("block_4a", (2, 4, 2, 0), "this block is right"),
        ("block_4b", (7, 9, 4, 1), "has a shift"),
        ("block_4c", (3, 3, 4, 0), "height of 8 or more"),
    ],
)
def test_a_geometry_must_keep_the_rule_of_its_block(name, geometry, words):
    verdict = verify(name, geometry)
    assert verdict.status == "wrong"
    assert words in verdict.message


@pytest.mark.parametrize("name", ["block_3a", "block_3b", "block_3c"])
def test_chapter_03_says_that_its_blocks_pass_the_usual_test(name):
    assert "8x8 tokens, windows of 4x4 and a shift of 2x2 this block is right" in (
        verify(name, (8, 8, 4, 2)).message
    )


@pytest.mark.parametrize("name", ["block_3a", "block_3b", "block_3c"])
def test_chapter_03_asks_for_a_geometry_that_tells_its_blocks_apart(name):
    assert "another one of the group is too" in verify(name, (7, 9, 4, 1)).message
    for geometry in [(5, 9, 4, 1), (7, 10, 4, 1), (9, 5, 4, 1)]:
        assert verify(name, geometry).status == "wrong"
    for other in {"block_3a", "block_3b", "block_3c"} - {name}:
        assert "this block is right" in verify(other, BUGS[name].solution).message


def test_a_seam_at_half_a_window_is_right_with_padding_too():
    assert "this block is right" in verify("block_3a", (7, 9, 4, 2)).message
