"""A teacher: its answers are mixed into the targets, and a run keeps to one teacher."""

import dataclasses

import pytest
import tiny_training
import torch
from tiny_training import CONFIG, images, run

from swin_tutorial.data.batches import evaluation_batches
from swin_tutorial.training import loop
from swin_tutorial.training.baseline import ResNetConfig
from swin_tutorial.training.distillation import Teacher, load_teacher, teacher_folder
from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.run_folder import load_run

CPU = torch.device("cpu")
RESNET = dataclasses.replace(CONFIG, model=ResNetConfig(8, (1, 1)), epochs=10, lr=1e-2)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    assert run(folder, RESNET)["test_accuracy"] > 0.8  # chance is a third
    return str(folder)


def taught_by(teacher, weight=0.5, **changes):
    return dataclasses.replace(CONFIG, teacher=teacher, teacher_weight=weight, **changes)


def learner(teacher, weight):
    config, model = load_run(teacher_folder(teacher))
    return Teacher(dataclasses.replace(config, teacher=teacher, teacher_weight=weight), CPU), model


def test_the_teachers_probabilities_take_their_share_of_the_targets(teacher):
    mixer, model = learner(teacher, 0.25)
    x, targets = next(iter(evaluation_batches(images(), 5, CPU)))
    targets = torch.nn.functional.one_hot(targets, 3).float()
    mixed = mixer.mix_into(targets, x)
    expected = 0.75 * targets + 0.25 * model(x).softmax(-1).detach()
    torch.testing.assert_close(mixed, expected)
    assert not mixed.requires_grad


def test_a_run_learns_what_the_labels_do_not_say(teacher, tmp_path):
    """All labels are wrong, and the teacher alone knows better."""
    wrong = dataclasses.replace(images(), labels=(images().labels + 1) % 3)
    both = (wrong, images(21, seed=1))
    config = taught_by(teacher, 1.0, epochs=20, lr=1e-2, evaluate_every=20)
    summary = loop.train(config, tmp_path, device="cpu", images=both, progress=False)
    assert summary["test_accuracy"] > 0.8
    taught, _ = load_run(tmp_path)
    assert summary["fingerprints"]["teacher weights"] == Teacher(taught, CPU).fingerprint


def test_without_a_teacher_there_is_none():
    assert load_teacher(CONFIG, CPU) is None


def test_a_run_goes_on_with_the_same_teacher_alone(teacher, tmp_path):
    link, other = tmp_path / "link", tmp_path / "other"
    run(other, dataclasses.replace(RESNET, seed=9, epochs=1))
    link.symlink_to(teacher)
    config = taught_by(str(link), epochs=1)
    run(tmp_path / "run", config)
    run(tmp_path / "run", config, resume=True)
    link.unlink()
    link.symlink_to(other)
    with pytest.raises(TrainingError, match="was made with other teacher weights:"):
        run(tmp_path / "run", config, resume=True)


@pytest.mark.parametrize("name", ["in_chans", "num_classes"])
def test_a_teacher_of_other_images_is_refused(teacher, name):
    model = dataclasses.replace(CONFIG.model, **{"in_chans": 1, "num_classes": 3, name: 2})
    with pytest.raises(ValueError, match=f"has {name} [13], and these images need 2"):
        Teacher(taught_by(teacher, model=model), CPU)


def test_a_teacher_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nobody has no finished run"):
        tiny_training.run(tmp_path, taught_by("nobody"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_a_weight_that_makes_no_sense_is_refused(weight):
    with pytest.raises(ValueError, match=r"teacher_weight must lie in \(0, 1\]"):
        taught_by("x", weight)
