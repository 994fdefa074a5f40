"""Chapter 08's figures: the bars keep their colors and places, the dots their values."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from swin_tutorial.figures.experiments import draw_bars, draw_paired_differences
from swin_tutorial.training.intervals import mean_and_interval


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_a_red_bar_is_red_and_a_blue_bar_blue_on_white(axes):
    bars = torch.zeros(4, 6, 3)
    bars[1:3, 2, 0] = 1
    bars[1:3, 3, 2] = 1
    draw_bars(axes, bars, window_size=2, shift_size=1, title="they touch")
    image = np.asarray(axes.images[0].get_array())
    red, green, blue = image[1, 2]
    assert red > 0.9
    assert max(green, blue) < 0.1
    red, green, blue = image[2, 3]
    assert blue > 0.9
    assert max(red, green) < 0.5
    assert (image[0] == 1).all()
    assert axes.get_title() == "they touch"


def test_each_seed_is_a_dot_and_the_mean_stands_beside_its_interval(axes):
    differences = {"no shift": [-1.0, -2.0, -1.5], "no mask": [0.25, -0.25, 0.5]}
    draw_paired_differences(axes, differences)
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in dots] == list(differences.values())
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
    assert means == pytest.approx([-1.5, 1 / 6])
    texts = [text.get_text() for text in axes.texts]
    assert texts == [
        "{:+.2f} ± {:.2f}".format(*mean_and_interval(values)).replace("-", "−")
        for values in differences.values()
    ]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(differences)
