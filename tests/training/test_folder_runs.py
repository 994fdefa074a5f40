"""A run on a folder of images starts its workers once, and leaves none behind."""

import dataclasses
import multiprocessing

import numpy as np
import pytest
import tiny_training
from PIL import Image

from swin_tutorial.training import loop


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


def test_a_run_starts_its_workers_once_and_leaves_none(image_folders, tmp_path, monkeypatch):
    config = dataclasses.replace(
        tiny_training.CONFIG, data=str(image_folders), image_size=12, epochs=3, batch_size=4
    )
    original, workers_of_steps = loop.take_step, []
    others = set(multiprocessing.active_children())

    def watched(state, *arguments):
        workers_of_steps.append(set(multiprocessing.active_children()) - others)
        return original(state, *arguments)

    monkeypatch.setattr(loop, "take_step", watched)
    loop.train(config, tmp_path / "run", device="cpu", progress=False)
    assert len(workers_of_steps) == 6
    # Those that train; and from the second epoch on, those that evaluate.
    assert workers_of_steps[0]
    assert workers_of_steps[0] == workers_of_steps[1]
    assert workers_of_steps[0] < workers_of_steps[2]
    assert workers_of_steps[2:] == [workers_of_steps[2]] * 4
    assert not set(multiprocessing.active_children()) - others
