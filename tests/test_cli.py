"""The command line: everything is listed, a mistake is named and ends with a status above 0."""

import importlib
import inspect
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import COMMANDS, invoke

from swin_tutorial.training import evaluation, experiments, loop
from swin_tutorial.training.errors import Stopped, TrainingError


@pytest.mark.parametrize("group", COMMANDS, ids=" ".join)
def test_help_lists_the_commands(group):
    done = invoke(*group, "--help")
    assert done.status == 0
    for name in COMMANDS[group]:
        assert name in done.out


def test_every_command_explains_itself_and_its_options():
    for group, names in COMMANDS.items():
        for name in names:
            if name.startswith("--"):
                continue
            done = invoke(*group, name, "--help")
            assert done.status == 0, done.err
            assert done.out.startswith(f"usage: swin-tutorial {' '.join((*group, name))}")
    assert "The next free one is taken" in invoke("lab", "--help").out
    assert "Write the results to this file too" in invoke("bench", "masks", "--help").out


def test_nothing_asked_is_help():
    assert invoke() == invoke("--help")


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ("trai", ["Unrecognized options: trai", "lab, audit, train, evaluate"]),
        ("lab --port eight", ["--port", "'eight'"]),
        ("data", ["Expected one of {list, fetch}"]),
        ("data fetch", ["Missing from swin-tutorial data fetch", "NAME"]),
        ("evaluate", ["FOLDER"]),
        ("experiments run quick --seeds 1", ["--seeds", "Perhaps you meant", "--seed"]),
        ("bench tiles", ["tiles", "masks"]),
    ],
)
def test_a_mistake_in_the_line_is_named_with_its_remedy(arguments, messages):
    done = invoke(*arguments.split())
    assert done.status == 2
    for message in messages:
        assert message in done.text


@pytest.mark.parametrize("name", COMMANDS["bench",])
def test_a_benchmark_gets_the_file_to_write_to(name, monkeypatch):
    asked = []
    module = importlib.import_module(f"swin_tutorial.bench.{name}")
    parameters = inspect.signature(module.run).parameters
    monkeypatch.setattr(module, "run", lambda *args, **options: asked.append((args, options)))
    assert invoke("bench", name, "--json", "there.json").status == 0
    ((arguments, options),) = asked
    assert arguments == (Path("there.json"),)
    # The defaults of the command are those of the function.
    assert options == {option: parameters[option].default for option in options}
    if name == "model":
        assert set(options) == set(parameters) - {"json_file"}


@pytest.mark.parametrize("name", COMMANDS["bench",])
def test_a_benchmark_whose_file_cannot_be_written_does_not_start(name, monkeypatch, tmp_path):
    module = importlib.import_module(f"swin_tutorial.bench.{name}")
    monkeypatch.setattr(module, "run", lambda *_, **__: pytest.fail("it has started"))
    for file in (tmp_path / "gone" / "it.json", tmp_path):
        done = invoke("bench", name, "--json", file)
        assert done.status == 1
        assert done.err.startswith("error: [Errno")
        assert str(file) in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--batch=0", "batch must be at least 1, got 0"),
        ("--batch=-3", "batch must be at least 1, got -3"),
        ("--repeats=0", "repeats must be at least 1, got 0"),
        ("--tasks", "nothing to time: tasks ()"),
        ("--precisions", "precisions ()"),
    ],
)
def test_nonsense_is_not_timed(option, message):
    done = invoke("bench", "model", option)
    assert done.status == 1
    assert message in done.err


def test_a_benchmark_that_cannot_compile_says_so_before_it_starts(monkeypatch):
    def fail(model):
        raise RuntimeError("backend='inductor' raised:\nNo working C++ compiler found\n\nSet TORCH")

    monkeypatch.setattr(torch, "compile", fail)
    done = invoke("bench", "model")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: nothing can be compiled here")
    assert done.err.endswith("or use --no-compiled\n")


def test_a_file_to_write_to_is_left_alone_until_there_are_results(monkeypatch, tmp_path):
    file = tmp_path / "there.json"
    kept = []
    module = importlib.import_module("swin_tutorial.bench.masks")
    monkeypatch.setattr(
        module, "run", lambda file: kept.append(file.read_text() if file.exists() else None)
    )
    invoke("bench", "masks", "--json", file)
    file.write_text("old")
    invoke("bench", "masks", "--json", file)
    assert kept == [None, "old"]


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("so small"), 1, "error: so small\n"),
        (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device\n"),
        (TrainingError("too fast"), 1, "error: too fast\n"),
        (Stopped("at step 3", signal.SIGTERM), 128 + 15, "at step 3\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_one_line_and_a_status(monkeypatch, error, status, line):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(loop, "train", fail)
    assert invoke("train", "quick") == (status, "", line)
    monkeypatch.setattr(evaluation, "evaluate_run", fail)
    assert invoke("evaluate", "somewhere") == (status, "", line)
    monkeypatch.setattr(experiments, "recorded", fail)
    assert invoke("experiments", "run", "quick") == (status, "", line)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    ],
)
def test_too_little_memory_is_one_line(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(loop, "train", fail)
    status, _, err = invoke("train", "quick")
    assert status == 1
    assert err.startswith("error: there is not enough memory: ask for a smaller")
    assert len(err.splitlines()) == 1


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(loop, "train", lambda *_, **__: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        invoke("train", "quick")
    monkeypatch.setattr(loop, "train", lambda *_, **__: {}["missing"])
    with pytest.raises(KeyError):
        invoke("train", "quick")


@pytest.mark.parametrize("line", ["--help", "data --help", "experiments run --help"])
def test_help_comes_without_pytorch(line):
    code = """if True:
        import sys
        from swin_tutorial.cli import main
        try:
            main()
        finally:
            assert "torch" not in sys.modules
    """
    command = [sys.executable, "-c", code, *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: swin-tutorial" in done.stdout


@pytest.fixture
def results(monkeypatch, tmp_path):
    """Return a folder of recorded results, those of one experiment."""
    recorded = experiments.result_file("quick", 0).parent
    folder = tmp_path / "results"
    folder.mkdir()
    for seed in experiments.SEEDS:
        shutil.copy(recorded / f"quick-seed{seed}.json", folder)
    monkeypatch.setenv("SWIN_TUTORIAL_DATA", str(tmp_path))
    return folder


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "\0\0", "{}", '{"config": {"a_newer_field": 1}}', b"\xff"]
)
def test_a_damaged_result_is_named_and_the_others_are_listed(results, content):
    damaged = results / "quick-seed1.json"
    damaged.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = invoke("experiments", "list")
    assert done.status == 1
    assert re.search(r"^quick +\d+\.\d\d% ± \d\.\d\d% \(2 runs\)", done.out)
    assert "short-no-mask" in done.out
    assert done.err.startswith(f"error: {damaged} ")
    assert len(done.err.splitlines()) == 1
    assert invoke("experiments", "run", "quick", "--seed", 1) == (1, "", done.err)


def test_a_damaged_result_can_be_recorded_again(results, monkeypatch):
    (results / "quick-seed1.json").write_text("{")
    whole = json.loads((results / "quick-seed0.json").read_text())
    monkeypatch.setattr(experiments, "run", lambda *_: whole)
    done = invoke("experiments", "run", "quick", "--seed", 1, "--again")
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("options", [[], ["--again"], ["--seed", "1"]])
def test_an_experiment_that_there_is_not_is_told_with_those_that_are(options):
    done = invoke("experiments", "run", "nonsense", *options)
    assert done.status == 1
    assert done.err.startswith("error: there is no experiment 'nonsense': choose among quick, ")


def test_every_seed_that_is_recorded_is_run(monkeypatch):
    asked = []
    monkeypatch.setattr(experiments, "recorded", lambda *one: asked.append(one) or {"seed": one})
    assert invoke("experiments", "run", "all").status == 0
    expected = [(name, seed) for name, one in experiments.EXPERIMENTS.items() for seed in one.seeds]
    assert asked == expected


def test_one_run_has_no_interval(results):
    for seed in (1, 2):
        (results / f"quick-seed{seed}.json").unlink()
    done = invoke("experiments", "list")
    assert re.search(r"^quick +\d+\.\d\d% \(1 run\) ", done.out)
    assert "nan" not in done.out
