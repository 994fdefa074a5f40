"""Checkpoints: what is wrong with one is said as it is, and only what is damaged is called so."""

import dataclasses
import errno
import os
import pathlib
import pickle
import resource
import zipfile

import pytest
import torch
from run_checks import assert_same_run, in_processes
from tiny_training import CONFIG, run

from swin_tutorial.data.augmentation import Augmentation
from swin_tutorial.training.checkpoint import FORMAT, all_finite, differences, load_checkpoint
from swin_tutorial.training.config import for_dataset
from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.files import CHECKPOINT, PREVIOUS

STORED = for_dataset(CONFIG, 1, 3).as_dict()


def change(folder, **changes):
    """Store a run's checkpoint with other values; None takes one away."""
    content = torch.load(folder / CHECKPOINT, weights_only=True) | changes
    torch.save({k: v for k, v in content.items() if v is not None}, folder / CHECKPOINT)


def test_differences_name_what_differs_at_any_depth():
    theirs = {"epochs": 3, "model": {"depths": (2, 4), "num_heads": (1, 2)}, "gone": 1}
    ours = {"epochs": 3, "model": {"depths": (2, 5), "num_heads": (1, 2)}, "new": 2}
    assert differences(theirs, ours) == [
        "gone was 1 and is None",
        "model.depths was (2, 4) and is (2, 5)",
        "new was None and is 2",
    ]


def test_a_checkpoint_of_another_configuration_is_refused(whole):
    augmentation = Augmentation(flip_prob=0.5, mixup=0.5)
    other = dataclasses.replace(CONFIG, lr=1e-3, augmentation=augmentation)
    with pytest.raises(TrainingError, match=r"crop_padding was 1 and is 0.*lr was 0\.003 and is"):
        run(whole, other, resume=True)


def test_a_checkpoint_older_than_a_field_is_one_of_its_default(copy, whole):
    older = torch.load(copy / PREVIOUS, weights_only=True)
    del older["config"]["augmentation"]["randaugment"]
    torch.save(older, copy / CHECKPOINT)
    augmented = dataclasses.replace(CONFIG.augmentation, randaugment=9.0)
    other = for_dataset(dataclasses.replace(CONFIG, augmentation=augmented), 1, 3)
    with pytest.raises(TrainingError, match=r"augmentation.randaugment was 0\.0 and is 9\.0"):
        load_checkpoint(copy, other.as_dict())
    run(copy, resume=True)
    assert_same_run(copy, whole)


# --- formats ---


def test_a_checkpoint_of_the_first_format_still_loads(copy, whole):
    older = torch.load(copy / PREVIOUS, weights_only=True)
    assert older["format"] == FORMAT
    for name in ("format", "fingerprints", "machine"):
        del older[name]
    torch.save(older, copy / CHECKPOINT)
    run(copy, resume=True)
    assert_same_run(copy, whole)


@pytest.mark.parametrize("changes", [{}, {"config": None, "step": None}, {"model": {"rope": 1}}])
def test_a_checkpoint_of_a_newer_format_is_called_that(copy, changes):
    change(copy, format=FORMAT + 1, **changes)
    with pytest.raises(
        TrainingError, match=r"made by a newer swin_tutorial: it has format"
    ) as told:
        run(copy, resume=True)
    assert "damaged" not in str(told.value)
    assert "move it" not in str(told.value)


def test_a_checkpoint_with_a_setting_of_a_newer_version_is_called_that(copy):
    change(copy, config=STORED | {"momentum": 0.9})
    with pytest.raises(TrainingError, match=r"checkpoint.pt cannot be used: .*momentum.*newer one"):
        run(copy, resume=True)


# --- damaged, or just not readable ---


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_usable(copy, whole):
    checkpoint = copy / CHECKPOINT
    content = checkpoint.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (b"", b"text", content[:1000], content[:-1], content[9:], bytes(flipped)):
        checkpoint.write_bytes(damaged)
        with pytest.raises(
            TrainingError, match=r"checkpoint.pt \(.* bytes\) is damaged.*aside.*previous"
        ) as told:
            run(copy, resume=True)
        assert "delete" not in str(told.value)
        assert checkpoint.read_bytes() == damaged
    checkpoint.unlink()
    run(copy, resume=True)
    assert_same_run(copy, whole)


def test_without_one_before_it_there_is_nothing_to_go_on_from(copy):
    (copy / PREVIOUS).unlink()
    (copy / CHECKPOINT).write_bytes(b"")
    with pytest.raises(
        TrainingError, match=r"is damaged or no checkpoint: move it aside and start"
    ):
        run(copy, resume=True)


def self_referential():
    content = {"config": STORED, "step": 1}
    content["model"] = content
    return content


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {},
        {"config": STORED},
        {"config": [], "step": 1},
        {"config": STORED, "step": "one"},
        {"config": STORED, "step": -1},
        {"config": STORED, "step": 1, "format": "new"},
        torch.zeros(3),
        {"config": STORED, "step": pathlib.PurePosixPath("code")},
        self_referential(),
    ],
    ids=range(10),
)
def test_what_is_whole_but_no_checkpoint_is_called_that(copy, content):
    torch.save(content, copy / CHECKPOINT)
    with pytest.raises(TrainingError, match=r"damaged or no checkpoint.*aside"):
        run(copy, resume=True)


def test_other_files_in_a_checkpoints_place_are_called_that(copy):
    with zipfile.ZipFile(copy / CHECKPOINT, "w") as archive:
        archive.writestr("holiday.txt", "pictures")
    with pytest.raises(TrainingError, match=r"damaged or no checkpoint"):
        run(copy, resume=True)
    (copy / CHECKPOINT).write_bytes(pickle.dumps({"config": STORED, "step": 1}))
    with pytest.raises(TrainingError, match=r"damaged or no checkpoint"):
        run(copy, resume=True)


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ENOMEM, errno.ESTALE]
)
def test_an_error_of_the_disk_is_not_blamed_on_the_checkpoint(copy, monkeypatch, number):
    before = (copy / CHECKPOINT).read_bytes()

    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    with pytest.raises(TrainingError) as told:
        load_checkpoint(copy, STORED)
    monkeypatch.undo()
    assert os.strerror(number) in str(told.value)
    assert "checkpoint.pt" in str(told.value)
    assert "Nothing shows that the file is damaged: keep it" in str(told.value)
    assert (copy / CHECKPOINT).read_bytes() == before


def load_with_few_files(folder):
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    with pytest.raises(TrainingError, match=r"cannot read .*checkpoint.pt: Too many open files"):
        load_checkpoint(folder, STORED)
    os._exit(7)


def test_too_many_open_files_are_told(whole):
    assert in_processes(load_with_few_files, (whole,)) == [7]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_full_memory_is_not_blamed_on_the_checkpoint(copy, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(TrainingError, match=r"cannot read .*: there is not enough memory.*keep it"):
        load_checkpoint(copy, STORED)


def test_a_directory_in_a_checkpoints_place_is_told(copy):
    (copy / CHECKPOINT).unlink()
    (copy / CHECKPOINT).mkdir()
    with pytest.raises(
        TrainingError, match=r"cannot read .*checkpoint.pt: It is not a regular file"
    ):
        run(copy, resume=True)


# --- what is in it ---


@pytest.mark.parametrize("part", ["model", "ema", "optimizer"])
def test_a_checkpoint_with_nan_in_it_is_not_gone_on_from(copy, part):
    content = torch.load(copy / CHECKPOINT, weights_only=True)
    state = content[part]["state"][0] if part == "optimizer" else content[part]
    next(tensor for tensor in state.values() if tensor.ndim).view(-1)[-1] = torch.nan
    torch.save(content, copy / CHECKPOINT)
    with pytest.raises(
        TrainingError, match=r"holds infinite values or NaN: move it aside.*previous"
    ):
        run(copy, resume=True)


def test_a_checkpoint_of_another_model_is_told(copy):
    change(copy, model={"weight": torch.ones(3)})
    with pytest.raises(TrainingError, match=r"does not fit the model that its configuration"):
        run(copy, resume=True)
    change(copy, meter=None)
    with pytest.raises(TrainingError, match=r"does not fit the model that its configuration"):
        run(copy, resume=True)


def test_all_finite_looks_at_every_depth():
    state = {"step": 3, "none": None, "a": {"b": torch.ones(2), "c": torch.arange(3)}}
    assert all_finite(state)
    assert all_finite({})
    for bad in (torch.nan, torch.inf, -torch.inf):
        state["a"]["d"] = {"deep": torch.tensor([[1.0, bad]])}
        assert not all_finite(state)
