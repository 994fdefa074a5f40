"""Masks, keys and weights: drawn as they are, each kind with a sign of its own."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from swin_tutorial import figures
from swin_tutorial.grid import WindowGrid


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def texts(axes):
    """Return the text on each token as {(row, column): text}."""
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}


def test_a_mask_is_drawn_as_it_is_with_queries_down(axes):
    mask = WindowGrid((2, 4), 2, 1).mask()[1]
    figures.draw_mask(axes, mask, labels=torch.tensor([1, 0, 1, 0]))
    assert np.array_equal(axes.images[0].get_array(), mask.numpy())
    assert not mask.all()
    assert axes.get_ylabel() == "query"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "0", "1", "0"]


def test_each_run_of_equal_labels_is_named_once_between_ticks(axes):
    figures.draw_mask(
        axes, torch.ones(6, 6, dtype=torch.bool), labels=torch.tensor([7] * 3 + [4, 4, 7])
    )
    for axis in (axes.xaxis, axes.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == ["7", "4", "7"]
        assert axis.get_ticklocs().tolist() == [1.5, 4.0, 5.5]
        assert axis.get_ticklocs(minor=True).tolist() == [0, 3, 5, 6]


def test_queries_keys_and_forbidden_keys_have_different_signs(axes):
    allowed, forbidden = torch.zeros(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.bool)
    allowed[0, :2] = True
    forbidden[1, 2] = True
    figures.draw_attended(axes, (0, 0), allowed, forbidden)
    assert texts(axes) == {(0, 0): "★", (0, 1): "●", (1, 2): "×"}
    assert len(axes.texts) == 3  # no dot under the star


def test_weights_are_printed_and_exact_zeros_crossed(axes):
    figures.draw_weights(axes, torch.tensor([[0.75, 0.0], [0.25, 0.0]]), query=(0, 0))
    assert texts(axes) == {(0, 0): "75%★", (0, 1): "×", (1, 0): "25%", (1, 1): "×"}


def test_both_colors_are_explained(axes):
    figures.mask_legend(axes)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["may attend (adds 0)", "may not (adds −∞)"]
