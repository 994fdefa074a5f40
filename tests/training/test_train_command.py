"""The commands train and evaluate: an option for every field, errors without a traceback."""

import dataclasses
import json

import pytest
import tiny_training
from commands import invoke

from swin_tutorial.training import command, evaluation, loop, recipes
from swin_tutorial.training.files import (
    CHECKPOINT,
    CONFIG,
    METRICS,
    MISTAKES,
    PREVIOUS,
    SUMMARY,
    WEIGHTS,
)

QUICK = recipes.PRESETS["quick"]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A preset and images that take a second, and a working folder of the test's own."""
    monkeypatch.setitem(recipes.PRESETS, "quick", tiny_training.CONFIG)
    both = (tiny_training.images(), tiny_training.images(21, seed=1))
    for module in (loop, evaluation):
        monkeypatch.setattr(module, "load_data", lambda config, folder: both)
    monkeypatch.chdir(tmp_path)


def test_a_run_prints_one_line_and_draws_its_figures(tiny, tmp_path):
    done = invoke("train", "quick", "--epochs=2", "--device=cpu")
    assert done.status == 0, done.err
    assert done.out.count("\n") == 1
    assert done.out.startswith("quick, seed 5: ")
    assert done.out.endswith("files in runs/quick-seed5\n")
    folder = tmp_path / "runs" / "quick-seed5"
    figures = {"learning_curves.png", "confusion_matrix.png", "mistakes.png"}
    files = {CONFIG, METRICS, SUMMARY, WEIGHTS, MISTAKES, CHECKPOINT, PREVIOUS}
    assert {file.name for file in folder.iterdir()} == files | figures
    done = invoke("evaluate", folder)
    assert done.status == 0, done.err
    assert " of 21 test images" in done.out


def test_a_second_run_needs_resume_or_another_folder(tiny):
    start = ("train", "quick", "--device=cpu", "--folder=here")
    assert invoke(*start).status == 0
    again = invoke(*start)
    assert again.status == 1
    assert again.err.startswith("error: here has a run already: go on with --resume")
    assert invoke(*start, "--resume").status == 0


def test_evaluate_says_where_there_is_no_run():
    done = invoke("evaluate", "nowhere")
    assert done.status == 1
    assert "error: " in done.err
    assert "nowhere" in done.err


def test_options_reach_the_field_that_they_name():
    line = "quick --lr 1e-4 --epochs 7 --clip-norm 0 --bf16 --data some/folder "
    line += "--model.embed-dim 48 --model.depths 3 1 2 --model.window-sizes None "
    line += "--model.no-use-mask --augmentation.flip-prob 0.25 "
    line += "--resume --folder here --device cuda:1 --data-folder there"
    asked = command.parse(line.split())
    model = dataclasses.replace(
        QUICK.model, embed_dim=48, depths=(3, 1, 2), window_sizes=None, use_mask=False
    )
    augmentation = dataclasses.replace(QUICK.augmentation, flip_prob=0.25)
    loop_fields = {"lr": 1e-4, "epochs": 7, "clip_norm": 0.0, "bf16": True, "data": "some/folder"}
    parts = {"model": model, "augmentation": augmentation}
    assert asked.config == dataclasses.replace(QUICK, **parts, **loop_fields)
    assert (asked.preset, asked.resume, asked.device) == ("quick", True, "cuda:1")
    assert (str(asked.folder), str(asked.data_folder)) == ("here", "there")


@pytest.mark.parametrize("name", recipes.PRESETS)
def test_without_options_a_preset_is_what_it_is(name):
    asked = command.parse([name])
    assert asked.config == recipes.PRESETS[name]
    assert (asked.preset, asked.resume, asked.folder, asked.device) == (name, False, None, None)


@pytest.mark.parametrize("name", ["quick", "quick-resnet"])
def test_help_lists_every_field_and_what_it_means(name):
    done = invoke("train", name, "--help")
    assert done.status == 0
    config = recipes.PRESETS[name]
    parts = {"": config, "model.": config.model, "augmentation.": config.augmentation}
    for prefix, part in parts.items():
        for field in dataclasses.fields(part):
            if field.name not in ("model", "augmentation"):
                assert f"--{prefix}{field.name.replace('_', '-')} " in done.out.replace(",", " ")
    assert "channels of the first stage" in done.text
    assert f"the peak learning rate, after the warm-up (default: {config.lr})" in done.text


def test_help_names_the_presets():
    done = invoke("train", "--help")
    assert done.status == 0
    for name, what in recipes.DESCRIPTIONS.items():
        assert f"{name} {what}" in done.text


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ("", ["quick", "imagenet"]),
        ("quik", ["quik", "quick"]),
        ("quick --epoch 3", ["Unrecognized options: --epoch", "Perhaps you meant", "--epochs"]),
        ("quick --epochs 2.5", ["--epochs", "invalid literal for int", "2.5"]),
        ("quick --epochs 0", ["epochs must be at least 1, got 0"]),
        ("quick --model.depths six", ["--model.depths", "six"]),
        ("quick --model.depths 2 2", ["must have one entry per stage"]),
        ("quick --augmentation.flip-prob 2", ["flip_prob is a probability, 0 to 1, got 2"]),
        ("quick --seed -1", ["seed must lie between 0 and 18446744073709551615, got -1"]),
        ("quick --seed 18446744073709551616", ["seed must lie between 0 and 1844674407370955161"]),
        ("quick --lr inf", ["lr must be finite and not negative: inf"]),
        ("quick --lr nan", ["lr must be finite and not negative: nan"]),
        ("quick --warmup-epochs 1e308", ["warmup_epochs 1e+308 is longer than the run"]),
        ("quick --epochs True", ["--epochs", "invalid literal for int", "True"]),
        ("quick --model.num-classes 5", ["num_classes follows from --data: leave out 5"]),
        ("quick --model.in-chans 2", ["in_chans follows from --data: leave out 2"]),
        ("quick --model.window-size 5", ["--model.window-size 5 has no effect", "add --model."]),
        ("quick --model.window-size 0", ["error: window_size must be at least 1, got 0"]),
        ("quick --model.depths 2 2", ["error: num_heads (2, 4, 8) must have one entry per stage"]),
        ("quick --augmentation.mixup nan", ["error: mixup must be at least 0, got nan"]),
        ("quick-resnet --model.width 0", ["error: width must be at least 1, got 0"]),
        ("quick-resnet --model.embed-dim 8", ["--model.embed-dim", "train quick-resnet"]),
    ],
)
def test_a_mistake_is_named_with_its_remedy_and_ends_with_status_2(
    arguments, messages, monkeypatch
):
    monkeypatch.setattr(loop, "train", lambda *_, **__: pytest.fail("trained all the same"))
    done = invoke("train", *arguments.split())
    assert done.status == 2
    for message in messages:
        assert message in done.text
    assert "Traceback" not in done.err
    assert "tyro" not in done.text


def test_what_the_data_refuses_is_told_in_a_line(tiny):
    done = invoke("train", "quick", "--device=cpu", "--folder=run", "--batch-size=400")
    assert done.status == 1
    assert done.err.startswith("error: batch_size 400 is larger than the set")
    assert done.err.count("\n") == 1


def test_data_that_is_not_there_is_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke("train", "quick", "--data=nothing")
    assert done.status == 1
    assert done.err.startswith("error: --data nothing is none of fashion-mnist")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--device tpu", "device 'tpu' is not on this machine: choose among cpu"),
        ("--device meta", "device 'meta' is not on this machine: choose among cpu"),
        ("--device cuda:99", "device 'cuda:99' is not on this machine: choose among cpu"),
        ("--device cpu --model.backend flex", "backend 'flex' cannot train on a CPU"),
        ("--device cpu --folder file", "cannot make the folder file"),
        ("--device cpu --folder file/run", "cannot make the folder file/run"),
    ],
)
def test_what_this_machine_cannot_do_is_told_in_a_line(tiny, tmp_path, options, message):
    (tmp_path / "file").touch()
    done = invoke("train", "quick", *options.split())
    assert done.status == 1
    assert done.err.startswith(f"error: {message}")
    assert done.err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (WEIGHTS, "model.safetensors is not what the run wrote"),
        (CONFIG, "config.json is damaged, or no JSON"),
        (SUMMARY, "summary.json is damaged, or no JSON"),
    ],
)
def test_evaluate_says_what_is_damaged_in_a_line(tiny, tmp_path, name, message):
    tiny_training.run(tmp_path / "run")
    file = tmp_path / "run" / name
    file.write_bytes(file.read_bytes()[:-3])
    done = invoke("evaluate", tmp_path / "run")
    assert done.status == 1
    assert message in done.err
    assert done.err.count("\n") == 1
    file.unlink()
    done = invoke("evaluate", tmp_path / "run")
    assert done.err.startswith(f"error: {tmp_path / 'run'} has no finished run, it lacks {name}")


@pytest.mark.parametrize("classes", [3, None, [1, 2], {}, ["other"]])
def test_evaluate_refuses_a_summary_of_other_classes_in_a_line(tiny, tmp_path, classes):
    tiny_training.run(tmp_path / "run")
    file = tmp_path / "run" / SUMMARY
    file.write_text(json.dumps(json.loads(file.read_text()) | {"classes": classes}))
    done = invoke("evaluate", tmp_path / "run")
    assert done.status == 1
    assert done.err.startswith("error: the classes of ")
    assert done.err.count("\n") == 1
