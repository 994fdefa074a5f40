"""A wrong answer is drawn beside the right one, where the two can be compared."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
import torch

from swin_tutorial.axis import Axis
from swin_tutorial.figures import exercises
from swin_tutorial.figures.exercises import draw_difference, show_difference

MASK = Axis(6, 2, 1).mask()  # 3 windows of 2 tokens


def outlined(axes):
    """Return the cells (row, column) that have an outline."""
    patches = [patch for patch in axes.patches if not patch.get_fill()]
    return {(int(patch.get_y()), int(patch.get_x())) for patch in patches}


@pytest.fixture
def shown(monkeypatch):
    """Act as a notebook, and keep the titles of the figures that it shows."""
    titles = []

    def keep(figure):
        titles.append(figure.axes[1].get_title())
        plt.close(figure)
        return b""

    monkeypatch.setattr(exercises, "get_ipython", lambda: "a notebook")
    monkeypatch.setattr(exercises, "as_png", keep)
    monkeypatch.setattr(exercises, "display", lambda *arguments, **options: None)
    return titles


@pytest.mark.parametrize("kind", ["map", "mask"])
def test_the_cells_that_differ_are_outlined_in_the_answer_given(kind):
    expected = torch.tensor([[0, 1, 2], [1, 1, 0]])
    got = torch.tensor([[0, 1, 1], [0, 1, 0]])
    figure = draw_difference(got, expected, kind)
    right, given = figure.axes
    assert outlined(given) == {(0, 2), (1, 0)}
    assert outlined(right) == set()
    assert [axes.get_title() for axes in figure.axes] == ["expected", "yours"]
    plt.close(figure)


def test_a_map_carries_the_labels_of_both():
    figure = draw_difference(torch.tensor([[7, 8]]), torch.tensor([[3, 4]]), "map")
    labels = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert labels == [["3", "4"], ["7", "8"]]
    plt.close(figure)


def test_the_first_window_that_differs_is_shown(shown):
    got = MASK.clone()
    got[2] = ~got[2]
    show_difference(got, MASK, "mask")
    assert shown == ["yours, window 2"]


def test_a_map_is_shown(shown):
    show_difference(torch.tensor([[0, 1]]), torch.tensor([[0, 2]]), "map")
    assert shown == ["yours"]


@pytest.mark.parametrize(
    "got",
    [
        MASK,  # nothing differs
        MASK.int(),  # but its type
        torch.zeros(MASK.shape).masked_fill(~MASK, float("-inf")),
        ~MASK[:, :1],
        ~MASK[:2],
    ],
    ids=["equal", "whole numbers", "additive", "another shape", "too few windows"],
)
def test_nothing_is_shown_where_cells_can_not_be_compared(shown, got):
    show_difference(got, MASK, "mask")
    assert shown == []


def test_a_large_mask_is_not_shown(shown):
    large = torch.ones(1, 25, 25, dtype=torch.bool)
    show_difference(~large, large, "mask")
    assert shown == []
    show_difference(~large[:, :24, :24], large[:, :24, :24], "mask")
    assert len(shown) == 1


def test_nothing_is_shown_outside_of_notebooks(shown, monkeypatch):
    monkeypatch.setattr(exercises, "get_ipython", lambda: None)
    show_difference(~MASK, MASK, "mask")
    assert shown == []
