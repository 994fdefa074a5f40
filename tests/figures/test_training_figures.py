"""The figures of a run: every point, count and picture where the run's own files put it."""

import shutil

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from swin_tutorial.data.paths import PROJECT_DATA
from swin_tutorial.figures.training import (
    draw_confusion,
    draw_learning_curves,
    draw_mistakes,
    save_run_figures,
)

METRICS = [
    {"step": 3, "epoch": 0.75, "loss": 1.5},
    {"step": 4, "epoch": 1.0, "test_accuracy": 0.25, "test_loss": 1.25},
    {"step": 6, "epoch": 1.5, "loss": 0.5},
    {"step": 8, "epoch": 2.0, "test_accuracy": 0.75, "test_loss": 1.0},
]


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_learning_curves_stand_at_their_epochs(axes):
    figure, other = plt.subplots()
    draw_learning_curves(axes, other, METRICS)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {"training": [[0.75, 1.5], [1.5, 0.5]], "test": [[1.0, 1.25], [2.0, 1.0]]}
    assert other.lines[0].get_xydata().tolist() == [[1.0, 0.25], [2.0, 0.75]]
    plt.close(figure)


def test_confusion_is_colored_by_its_rows_and_prints_no_zeros(axes):
    confusion = torch.tensor([[3, 1, 0], [0, 10, 0], [0, 0, 0]])
    draw_confusion(axes, confusion, ["a", "b", "c"])
    expected = [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]
    assert np.allclose(axes.images[0].get_array(), expected)
    found = {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in axes.texts}
    assert found == {(0, 0): "3", (0, 1): "1", (1, 1): "10"}
    assert axes.get_ylabel() == "truth"


@pytest.mark.parametrize("count", [0, 3])
def test_mistakes_carry_what_they_were_taken_for_and_what_they_are(count):
    figure = plt.figure()
    mistakes = {
        "images": torch.arange(count * 3 * 2 * 4).reshape(count, 3, 2, 4) / 10,
        "truth": torch.tensor([1, 0, 1])[:count],
        "predicted": torch.tensor([0, 1, 2])[:count],
        "confidence": torch.tensor([0.987, 0.75, 0.5])[:count],
    }
    draw_mistakes(figure, mistakes, ["shoe", "bag", "coat"], columns=2)
    titles = [one.get_title() for one in figure.axes if one.get_title()]
    expected = ["shoe (99%)\nis: bag", "bag (75%)\nis: shoe", "coat (50%)\nis: bag"]
    assert titles == expected[:count]
    plt.close(figure)


def test_a_runs_figures_are_written_into_its_folder(tmp_path):
    folder = shutil.copytree(PROJECT_DATA / "results" / "quick-seed0", tmp_path / "run")
    paths = save_run_figures(folder)
    assert [path.name for path in paths] == [
        "learning_curves.png",
        "confusion_matrix.png",
        "mistakes.png",
    ]
    for path in paths:
        assert path.parent == folder
        with Image.open(path) as image:
            assert image.width > 500
    assert plt.get_fignums() == []
