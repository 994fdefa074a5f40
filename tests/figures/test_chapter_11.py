"""The figures of chapter 11 show the numbers that they are given."""

import itertools

import matplotlib.pyplot as plt
import pytest
import torch

from swin_tutorial.figures import chapter_11


@pytest.fixture
def shown(monkeypatch):
    """Collect the figures and alternative texts that would be shown."""
    found = []
    monkeypatch.setattr(chapter_11, "show", lambda figure, alt: found.append((figure, alt)))
    yield found
    plt.close("all")


def test_biases_are_drawn_for_the_keys_to_the_right_of_the_query(shown):
    table = torch.arange(25.0).view(5, 5)  # window 3; the query's own offset holds 12
    chapter_11.beyond_the_window({"one": {"the truth": table}, "two": {"the truth": -table}}, 2)
    figure, alt = shown[0]
    first, second = (axes.lines[0].get_ydata() for axes in figure.axes[:2])
    assert list(first) == [12, 13, 14]
    assert list(second) == [-12, -13, -14]
    assert [axes.get_title() for axes in figure.axes[:2]] == ["one", "two"]
    assert "the truth" in alt


def test_each_head_is_drawn_with_its_largest_weight_where_it_stands(shown):
    weights = torch.full((4, 3, 3), 0.05)
    places = [(0, 0), (2, 1), (1, 2), (0, 2)]
    for head, (y, x) in enumerate(places):
        weights[head, y, x] = 0.6 + head / 10
    chapter_11.heads_of_a_query(torch.rand(1, 12, 12), weights, query=(1, 0))
    figure, _ = shown[0]
    picture, *heads = figure.axes
    assert len(heads) == 4
    for head, (axes, (y, x)) in enumerate(zip(heads, places, strict=True)):
        (text,) = axes.texts
        assert text.get_text() == str(60 + 10 * head)
        assert [int(place) for place in text.get_position()] == [x, y]
        assert torch.equal(torch.as_tensor(axes.images[0].get_array()), weights[head])
    for axes in (picture, *heads):  # the query is outlined, and nothing hides it
        assert {patch.get_xy() for patch in axes.patches} == {(0, 1)}
        assert not any(patch.get_fill() for patch in axes.patches)


def test_below_each_bias_stands_the_error_of_each_curve(shown):
    table = torch.arange(25.0).view(5, 5)
    chapter_11.beyond_the_window({"one": {"the truth": table, "other": 2 * table}}, 2)
    truth, other = shown[0][0].axes[1].lines
    assert list(truth.get_ydata()) == [0, 0, 0]
    assert list(other.get_ydata()) == [12, 13, 14]


def test_a_leak_is_drawn_in_percent_beside_the_trained_scale(shown):
    chapter_11.leak_of_a_mask({"two keys": {10.0: 0.0, 42.0: 0.5, 60.0: 1.0}}, trained=12.0)
    figure, alt = shown[0]
    curve, trained, half = figure.axes[0].lines
    assert list(curve.get_xdata()) == [10, 42, 60]
    assert list(curve.get_ydata()) == [0, 50, 100]
    assert set(trained.get_xdata()) == {12.0}
    assert list(half.get_xdata()) == [42]
    assert "two keys: 100%" in alt


def test_sizes_are_drawn_block_by_block_from_the_common_start(shown):
    curves = {name: [1.0, 2.0 + i, 3.0 + i / 100] for i, name in enumerate("abcd")}
    chapter_11.over_depth(curves)
    figure, alt = shown[0]
    axes = figure.axes[0]
    for line in axes.lines:
        assert list(line.get_xdata()) == [0, 1, 2]
        assert list(line.get_ydata()) == curves[line.get_label()]
    heights = sorted(text.xy[1] for text in axes.texts)
    assert all(above - below > 0.15 for below, above in itertools.pairwise(heights))
    assert "d 3.0" in alt
