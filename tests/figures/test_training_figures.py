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
    draw_answers,
    draw_augmentation,
    draw_confusion,
    draw_leak,
    draw_learning_curves,
    draw_token,
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


def drawn_curves(metrics):
    figure, axes = plt.subplots(1, 3)
    draw_learning_curves(axes, metrics)
    plt.close(figure)
    return axes


def test_learning_curves_stand_at_their_epochs():
    axes = drawn_curves(METRICS)
    drawn = {one.get_title(): one.lines[0].get_xydata().tolist() for one in axes}
    assert drawn == {
        "training loss": [[0.75, 1.5], [1.5, 0.5]],
        "test loss": [[1.0, 1.25], [2.0, 1.0]],
        "test accuracy": [[1.0, 0.25], [2.0, 0.75]],
    }
    # Nothing was measured between two tests.
    assert [one.lines[0].get_linestyle() for one in axes] == ["-", "None", "None"]


def test_an_arrow_marks_the_lowest_test_loss_once_it_rises():
    _, test_loss, _ = drawn_curves(METRICS)
    assert not test_loss.texts
    risen = [*METRICS, {"step": 12, "epoch": 3.0, "test_accuracy": 0.75, "test_loss": 1.125}]
    _, test_loss, _ = drawn_curves(risen)
    (arrow,) = test_loss.texts
    assert (arrow.get_text(), arrow.xy) == ("lowest", (2.0, 1.0))


def test_a_run_that_has_just_begun_has_empty_curves():
    assert all(len(one.lines[0].get_xydata()) == 0 for one in drawn_curves([]))


def test_confusion_prints_the_mistakes_alone(axes):
    confusion = torch.tensor([[300, 1, 0], [0, 1000, 0], [4, 0, 0]])
    draw_confusion(axes, confusion, ["a", "b", "c"])
    # The colors tell the mistakes apart, however many images were right.
    assert axes.images[0].get_array().max() == axes.images[0].get_clim()[1] == 4
    found = {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in axes.texts}
    assert found == {(0, 1): "1", (2, 0): "4"}
    grays = {patch.get_xy() for patch in axes.patches}
    assert grays == {(-0.5, -0.5), (0.5, 0.5), (1.5, 1.5)}
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("truth", "taken for")


@pytest.mark.parametrize("count", [0, 3])
def test_answers_carry_the_truth_where_they_are_wrong(count):
    figure = plt.figure()
    answers = {
        "images": torch.arange(count * 3 * 2 * 4).reshape(count, 3, 2, 4) / 10,
        "truth": torch.tensor([1, 0, 1])[:count],
        "predicted": torch.tensor([0, 0, 2])[:count],
        "confidence": torch.tensor([0.987, 0.75, 0.5])[:count],
    }
    draw_answers(figure, answers, ["shoe", "bag", "coat"], columns=2)
    titles = [one.get_title() for one in figure.axes if one.get_title()]
    expected = ["shoe (99%)\n✗ is: bag", "shoe (75%)\n", "coat (50%)\n✗ is: bag"]
    assert titles == expected[:count]
    plt.close(figure)


def test_each_image_has_its_own_classes_below_it():
    figure = plt.figure()
    images = torch.arange(2 * 1 * 3 * 5).reshape(2, 1, 3, 5).float()
    before = (images, torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    after = (images.flip(-1), torch.tensor([[0.3, 0.7, 0.0], [1.0, 0.0, 0.0]]))
    draw_augmentation(figure, before, after, ["shoe", "bag", "coat"])
    written = [one.texts[0].get_text() for one in figure.axes]
    assert written == ["bag", "shoe", "70% bag\n30% shoe", "shoe"]
    drawn = [one.images[0].get_array() for one in figure.axes]
    assert np.array_equal(drawn[2], drawn[0][:, ::-1])
    plt.close(figure)


def outlined(axes):
    return {patch.get_xy() for patch in axes.patches}


def test_a_leak_is_the_weight_of_the_crossed_tokens(axes):
    weights = torch.tensor([[0.125, 0.0, 0.5], [0.0, 0.0, 0.25]])
    forbidden = torch.tensor([[False, False, True], [False, False, False]])
    draw_leak(axes, weights, (1, 2), forbidden, 1.0, "after")
    assert axes.get_title() == "after: 50% beyond the edge"
    assert [(text.get_text(), text.get_position()[0]) for text in axes.texts] == [("×", 2.5)]
    assert outlined(axes) == {(2, 1)}
    assert axes.images[0].get_clim() == (0, 1)


def test_a_token_is_outlined_where_it_stands(axes):
    draw_token(axes, torch.zeros(1, 4, 6), (2, 3), (1, 2))
    assert outlined(axes) == {(2, 1)}
    assert axes.images[0].get_extent() == [0, 3, 2, 0]


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
