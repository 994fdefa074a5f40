"""The command line: everything is listed, a mistake is named and ends with a status above 0."""

import importlib
import inspect
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import invoke

import swin_tutorial
from swin_tutorial.training import evaluation, experiments, loop
from swin_tutorial.training.errors import Stopped, TrainingError

COMMANDS = {
    (): ("doctor", "lab", "train", "evaluate", "experiments", "data", "bench", "--version"),
    ("experiments",): ("run", "list"),
    ("data",): ("list", "fetch"),
    ("bench",): ("masks", "model", "attention", "capture", "data"),
}


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


def test_the_version():
    assert invoke("--version").out == f"swin-tutorial {swin_tutorial.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ("trai", ["Unrecognized options: trai", "lab, train, evaluate"]),
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


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
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
