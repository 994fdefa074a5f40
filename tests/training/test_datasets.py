"""A folder of pictures as a run's data: found, refused with a remedy, trained on, evaluated."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_training
import torch
from commands import invoke
from PIL import Image

from swin_tutorial.data import folders
from swin_tutorial.training import datasets, loop, recipes
from swin_tutorial.training.datasets import load_data
from swin_tutorial.training.evaluation import evaluate_run
from swin_tutorial.training.run_folder import SUMMARY, WEIGHTS, load_run, read_metrics

CONFIG = dataclasses.replace(tiny_training.CONFIG, data="pictures", image_size=12)
CLASSES = ("blue", "red")


def write_pictures(folder, name, count, seed):
    """Write noisy pictures of 12 x 20 pixels with more red than blue, or with more blue."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(seed)
    for number in range(count):
        pixels = noise.integers(0, 100, (12, 20, 3), dtype=np.uint8)
        pixels[..., 0 if name == "red" else 2] += 120
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Write 20 + 9 pictures in two classes, of unequal sizes, and make their parent the place."""
    counts = {"train": {"red": 12, "blue": 8}, "val": {"red": 4, "blue": 5}}
    for seed, (split, classes) in enumerate(counts.items()):
        for name, count in classes.items():
            write_pictures(tmp_path / "pictures" / split / name, name, count, seed)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "pictures"


def test_the_folders_train_and_val_are_a_runs_images(pictures, tmp_path, monkeypatch):
    train, test = load_data(CONFIG)
    assert (len(train), len(test)) == (20, 9)
    assert train.classes == test.classes == CLASSES
    for images, split, counts in ((train, "train", [8, 12]), (test, "val", [5, 4])):
        assert torch.bincount(images.labels).tolist() == counts
        assert images.size == (12, 12)
        for file, label in zip(images.files, images.labels, strict=True):
            assert file.parts[-3:-1] == (split, CLASSES[label])
    assert (test.mean, test.std) == (train.mean, train.std)
    monkeypatch.chdir("/")
    with pytest.raises(
        FileNotFoundError, match=r"--data pictures is none of .* no folder pictures"
    ):
        load_data(CONFIG)
    for data, data_folder in (("pictures", tmp_path), (str(pictures), None)):
        found, _ = load_data(dataclasses.replace(CONFIG, data=data), data_folder)
        assert [file.name for file in found.files] == [file.name for file in train.files]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_missing_split_is_named_before_any_picture_is_read(pictures, split, monkeypatch):
    shutil.rmtree(pictures / split)
    monkeypatch.setattr(datasets, "image_folder", lambda *_, **__: pytest.fail("read"))
    message = f"no folder pictures/{split}: --data pictures must have the folders train and val"
    with pytest.raises(FileNotFoundError, match=message):
        load_data(CONFIG)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_class_that_is_in_one_split_only_is_named(pictures, split):
    write_pictures(pictures / split / "green", "green", 2, 0)
    with pytest.raises(ValueError, match=r"pictures/val and the training .* \['green'\]: "):
        load_data(CONFIG)


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_class_is_named(pictures, split):
    shutil.rmtree(pictures / split / "red")
    (pictures / split / "red").mkdir()
    with pytest.raises(ValueError, match=f"pictures/{split}/red has no image"):
        load_data(CONFIG)


# --- runs ---


def train(monkeypatch, *arguments):
    """Train the tiny model on the pictures, by the command."""
    monkeypatch.setitem(recipes.PRESETS, "quick", tiny_training.CONFIG)
    options = ("--data=pictures", "--image-size=12", "--device=cpu", "--folder=run")
    return invoke("train", "quick", *options, *arguments)


def test_a_run_on_a_folder_learns_and_evaluate_gives_its_accuracy(pictures, monkeypatch):
    learning = {"epochs": 8, "model.drop-rate": 0, "model.drop-path-rate": 0}
    learning |= {"augmentation.mixup": 0, "augmentation.randaugment": 3}
    done = train(monkeypatch, *(f"--{name}={value}" for name, value in learning.items()))
    assert done.status == 0, done.err
    summary = json.loads((Path("run") / SUMMARY).read_text())
    assert summary["classes"] == list(CLASSES)
    assert summary["test_images"] == 9
    assert summary["test_accuracy"] > 0.75
    assert [sum(row) for row in summary["confusion"]] == [5, 4]
    config, _ = load_run(Path("run"))
    assert (config.model.in_chans, config.model.num_classes) == (3, 2)
    assert (config.data, config.image_size) == ("pictures", 12)
    assert config.augmentation.randaugment == 3.0
    found = evaluate_run(Path("run"))
    assert found.confusion.tolist() == summary["confusion"]
    again = invoke("evaluate", "run")
    assert again.status == 0, again.err
    assert again.out == f"{summary['test_accuracy']:.2%} of 9 test images\n"


def test_a_stopped_run_on_a_folder_goes_on_bit_for_bit(pictures, monkeypatch):
    config = dataclasses.replace(
        CONFIG, augmentation=dataclasses.replace(CONFIG.augmentation, randaugment=9.0)
    )
    options = {"device": "cpu", "progress": False}
    loop.train(config, "whole", **options)
    original, steps = loop.take_step, []

    def failing(state, *arguments):
        steps.append(state.step)
        if len(steps) == 4:
            raise KeyError
        return original(state, *arguments)

    monkeypatch.setattr(loop, "take_step", failing)
    with pytest.raises(KeyError):
        loop.train(config, "cut", **options)
    loop.train(config, "cut", resume=True, **options)
    assert steps == [0, 1, 2, 3, 2, 3, 4, 5]
    assert (Path("whole") / WEIGHTS).read_bytes() == (Path("cut") / WEIGHTS).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_leave_it_to_the_run_to_stop(pictures, monkeypatch, number):
    """Ctrl-C and a batch system's SIGTERM reach all processes, also while the run needs a batch."""
    config = dataclasses.replace(CONFIG, batch_size=2, epochs=1)  # more steps than are prepared
    monkeypatch.setattr(folders, "_available_cores", lambda: 2)
    original, asked = loop.take_step, []

    def interrupted(state, *arguments):
        if state.step == 2:  # both workers have made a batch, so both have begun to ignore signals
            for worker in multiprocessing.active_children():
                os.kill(worker.pid, number)
                asked.append(worker)
        return original(state, *arguments)

    monkeypatch.setattr(loop, "take_step", interrupted)
    loop.train(config, "run", device="cpu", progress=False)
    assert asked
    assert read_metrics(Path("run"))[-1]["step"] == 10


@pytest.mark.parametrize("file", ["train/red/3.png", "val/blue/4.png"])
def test_an_unreadable_picture_is_named_in_a_line(pictures, monkeypatch, file):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # so there is a progress bar
    (pictures / file).write_bytes((pictures / file).read_bytes()[:60])
    done = train(monkeypatch)
    assert done.status == 1
    line = done.err.splitlines()[-1]
    assert line.startswith(f"error: pictures/{file} cannot be read as an image")
    assert line.endswith("): repair or remove it")
    (pictures / file).unlink()
    assert train(monkeypatch, "--resume").status == 0


def test_randaugment_of_a_set_in_memory_is_refused_in_a_line(pictures, monkeypatch):
    done = train(monkeypatch, "--data=fashion-mnist-subset", "--augmentation.randaugment=9")
    assert done.status == 1
    assert done.err.startswith("error: randaugment 9.0 is for ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("change", ["one more", "another name"])
def test_a_run_is_not_evaluated_on_other_classes(pictures, monkeypatch, change):
    assert train(monkeypatch, "--epochs=1").status == 0
    for split in ("train", "val"):
        if change == "one more":
            write_pictures(pictures / split / "green", "green", 2, 0)
        else:
            (pictures / split / "blue").rename(pictures / split / "green")
    again = invoke("evaluate", "run")
    assert again.status == 1
    assert again.err.startswith("error: the classes of pictures are ")
    assert "green" in again.err
    assert "'red'], and the model in run was trained on ['blue', 'red'], as its" in again.err


def test_held_out_images_take_the_place_of_the_test_images(pictures):
    held = dataclasses.replace(CONFIG, holdout=7)
    (train, test), (all_of_them, _) = load_data(held), load_data(CONFIG)
    assert (len(train), len(test)) == (13, 7)
    names = {file: label for file, label in zip(all_of_them.files, all_of_them.labels, strict=True)}
    assert {*train.files, *test.files} == names.keys()  # each image in one of the two
    for images in (train, test):
        assert [names[file] for file in images.files] == images.labels.tolist()
    again = load_data(dataclasses.replace(held, seed=9))
    assert again[1].files == test.files  # whatever the seed of the run
    with pytest.raises(ValueError, match="holdout 20 leaves no image to train on: there are 20"):
        load_data(dataclasses.replace(CONFIG, holdout=20))


def test_a_named_set_can_be_held_out_and_padded():
    config = dataclasses.replace(CONFIG, data="fashion-mnist-subset")
    whole, _ = load_data(config)
    train, test = load_data(dataclasses.replace(config, image_padding=2, holdout=1000))
    assert (len(train), len(test)) == (14_000, 1000)
    assert train.pixels.shape[1:] == test.pixels.shape[1:] == (32, 32, 1)
    assert not test.pixels[:, :2].any()
    assert (train.mean, train.std) == (test.mean, test.std) == (whole.mean, whole.std)
    total = train.pixels.sum() + test.pixels.sum()
    assert total == whole.pixels.sum()


def test_padding_for_pictures_in_files_is_refused(pictures):
    with pytest.raises(ValueError, match="image_padding 2 is for named sets: give a folder an im"):
        load_data(dataclasses.replace(CONFIG, image_padding=2))
