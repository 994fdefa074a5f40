"""A run on a folder of images starts its workers once, and leaves none behind."""

import dataclasses
import multiprocessing
import os
import signal

import numpy as np
import pytest
import tiny_training
import torch
from PIL import Image
from run_checks import in_processes

from swin_tutorial.training import loop
from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.files import CHECKPOINT


@pytest.fixture
def image_folders(tmp_path):
    """Write 8 training and 4 test images of two classes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


def train_on(image_folders, folder, **options):
    config = dataclasses.replace(
        tiny_training.CONFIG, data=str(image_folders), image_size=12, epochs=3, batch_size=4
    )
    return loop.train(config, folder, device="cpu", progress=False, **options)


def train_and_die(image_folders, folder):
    original = loop.take_step

    def deadly(state, *arguments):
        if state.step == 3:
            (folder / "workers").write_text(str(len(multiprocessing.active_children())))
            os.kill(os.getpid(), signal.SIGKILL)
        return original(state, *arguments)

    loop.take_step = deadly
    train_on(image_folders, folder)


def test_workers_of_a_killed_run_do_not_keep_its_lock(image_folders, tmp_path):
    """They are forked from it, and live on for seconds."""
    folder = tmp_path / "run"
    assert in_processes(train_and_die, (image_folders, folder)) == [-signal.SIGKILL]
    assert int((folder / "workers").read_text()) > 0
    train_on(image_folders, folder, resume=True)


def test_a_folder_with_another_image_or_class_is_not_gone_on_with(image_folders, tmp_path):
    folder = tmp_path / "run"
    train_on(image_folders, folder)
    (image_folders / "train" / "cat" / "0.png").rename(image_folders / "train" / "dog" / "9.png")
    with pytest.raises(TrainingError, match="was made with other training images:"):
        train_on(image_folders, folder, resume=True)
    (image_folders / "train" / "dog" / "9.png").rename(image_folders / "train" / "cat" / "0.png")
    train_on(image_folders, folder, resume=True)
    for split in ("train", "val"):
        (image_folders / split / "cat").rename(image_folders / split / "zebra")
    with pytest.raises(TrainingError, match="with other test images and training images:"):
        train_on(image_folders, folder, resume=True)


def test_a_folders_checkpoint_of_the_first_format_cropped_at_random(image_folders, tmp_path):
    """It did so without an option, and must not go on without cropping."""
    folder = tmp_path / "run"
    train_on(image_folders, folder)
    older = torch.load(folder / CHECKPOINT, weights_only=True)
    del older["format"], older["config"]["augmentation"]["crop_scale"]
    torch.save(older, folder / CHECKPOINT)
    with pytest.raises(TrainingError, match=r"crop_scale was \(0.08, 1.0\) and is None"):
        train_on(image_folders, folder, resume=True)


def test_a_run_starts_its_workers_once_and_leaves_none(image_folders, tmp_path, monkeypatch):
    original, workers_of_steps = loop.take_step, []
    others = set(multiprocessing.active_children())

    def watched(state, *arguments):
        workers_of_steps.append(set(multiprocessing.active_children()) - others)
        return original(state, *arguments)

    monkeypatch.setattr(loop, "take_step", watched)
    train_on(image_folders, tmp_path / "run")
    assert len(workers_of_steps) == 6
    # Those that train; and from the second epoch on, those that evaluate.
    assert workers_of_steps[0]
    assert workers_of_steps[0] == workers_of_steps[1]
    assert workers_of_steps[0] < workers_of_steps[2]
    assert workers_of_steps[2:] == [workers_of_steps[2]] * 4
    assert not set(multiprocessing.active_children()) - others
