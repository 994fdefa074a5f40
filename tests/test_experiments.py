"""Experiments: recorded with all that a number must be read with, and found again."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import pytest
import tiny_training
from typer.testing import CliRunner

from swin_tutorial import cli, experiments, runs, training
from swin_tutorial.experiments import EXPERIMENTS, Experiment

TINY = {
    "tiny": Experiment(tiny_training.CONFIG, "a test", keeps_run=True),
    "large": Experiment(tiny_training.CONFIG, "another", device="cuda"),
}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A data folder of the test's own, and experiments that take a second."""
    monkeypatch.setenv("SWIN_TUTORIAL_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(experiments, "EXPERIMENTS", TINY)
    both = (tiny_training.images(), tiny_training.images(21, seed=1))
    monkeypatch.setattr(training, "load_data", lambda config, folder: both)
    monkeypatch.setattr(experiments.torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data" / "results"


def test_a_result_has_all_that_it_must_be_read_with(results):
    result = experiments.run("tiny", seed=1, progress=False)
    recorded = json.loads((results / "tiny-seed1.json").read_text())
    assert recorded == json.loads(json.dumps(result))
    needed = {"config", "seed", "device", "torch", "test_accuracy", "seconds"}
    needed |= {"images_per_second", "weights_sha256"}
    assert needed <= recorded.keys()
    assert recorded["seed"] == recorded["config"]["seed"] == 1
    assert not (results / "tiny-seed1").exists()  # of seed 0 alone


def test_a_kept_run_gives_its_recorded_accuracy_again(results):
    result = experiments.run("tiny", seed=0, progress=False)
    kept = results / "tiny-seed0"
    assert sorted(one.name for one in kept.iterdir()) == sorted(experiments.KEPT_FILES)
    weights = (kept / runs.WEIGHTS).read_bytes()
    assert hashlib.sha256(weights).hexdigest() == result["weights_sha256"]
    assert training.evaluate_run(kept).accuracy == result["test_accuracy"]


def test_a_result_counts_only_for_the_configuration_that_gave_it(results, monkeypatch):
    assert experiments.recorded("tiny", 0) is None
    experiments.run("tiny", seed=0, progress=False)
    assert experiments.recorded("tiny", 0)["seed"] == 0
    # Options that came later do not make it void: it was recorded with what is now their default.
    older = json.loads(experiments.result_file("tiny", 0).read_text())
    del older["config"]["without"], older["config"]["augmentation"]["cutmix"]
    runs.write_json(experiments.result_file("tiny", 0), older)
    assert experiments.recorded("tiny", 0)["seed"] == 0
    other = dataclasses.replace(tiny_training.CONFIG, weight_decay=0.01)
    monkeypatch.setitem(TINY, "tiny", Experiment(other, "changed"))
    assert experiments.recorded("tiny", 0) is None


def test_all_is_what_is_missing_and_can_be_made_here(results):
    runner = CliRunner()
    done = runner.invoke(cli.app, ["experiments", "run", "all", "--seed", "2"])
    assert done.exit_code == 0, done.output
    assert "tiny, seed 2: " in done.output
    assert "large, seed 2: left out, it needs a GPU" in done.output
    done = runner.invoke(cli.app, ["experiments", "run", "all", "--seed", "2"])
    assert "tiny, seed 2: has a result" in done.output
    done = runner.invoke(cli.app, ["experiments", "list"])
    assert "no result yet" in done.output
    assert "(1 runs)" in done.output
    done = runner.invoke(cli.app, ["experiments", "run", "tinny"])
    assert done.exit_code == 1
    assert "error: there is no experiment 'tinny': choose among tiny, large" in done.output


def test_the_interval_of_three_runs_is_students():
    mean, half = experiments.mean_and_interval([0.90, 0.92, 0.94])
    assert mean == pytest.approx(0.92)
    assert half == pytest.approx(4.303 * 0.02 / math.sqrt(3))
    with pytest.raises(KeyError):
        experiments.mean_and_interval([0.9] * 6)


def test_every_experiment_differs_from_every_other():
    configs = [one.config for one in EXPERIMENTS.values()]
    assert all(configs.count(config) == 1 for config in configs)


def readme_row(row):
    """Return the line of README.md that tells what was recorded of an experiment."""
    if row["runs"] > 1:
        accuracy = f"{100 * row['accuracy']:.2f} ± {100 * row['interval']:.2f}"
    else:
        accuracy = f"{100 * row['accuracy']:.2f}"
    cells = [f"`{row['experiment']}`", row["what"], row["runs"], accuracy]
    if not row["experiment"].startswith("short"):  # those are there for their accuracy alone
        minutes, speed = f"{row['seconds'] / 60:.1f}", f"{row['images_per_second']:,.0f}"
        cells += [f"{row['parameters']:,}", minutes, speed]
    return f"| {' | '.join(map(str, cells))} |"


def test_the_readme_tells_what_was_recorded():
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    rows = [readme_row(row) for row in experiments.table()]
    assert rows, "nothing is recorded"
    missing = [row for row in rows if row not in readme]
    assert not missing, "README.md lacks these lines:\n" + "\n".join(missing)


def recorded_runs():
    folder = experiments.data_folder() / "results"
    return sorted(path.parent for path in folder.glob(f"*/{runs.WEIGHTS}"))


@pytest.mark.parametrize("folder", recorded_runs(), ids=lambda folder: folder.name)
def test_recorded_runs_give_their_recorded_accuracy(folder):
    result = json.loads((folder.parent / f"{folder.name}.json").read_text())
    assert (
        hashlib.sha256((folder / runs.WEIGHTS).read_bytes()).hexdigest()
        == (result["weights_sha256"])
    )
    config, _ = training.load_run(folder)
    try:
        found = training.evaluate_run(folder)
    except FileNotFoundError:
        pytest.skip(f"{config.data} is not on this machine")
    assert found.accuracy == result["test_accuracy"]


def test_an_experiment_is_run_on_the_device_that_its_seconds_are_for(results, monkeypatch):
    asked = {}

    def train(config, folder, resume, device, **options):
        asked[config.seed] = device
        raise runs.TrainingError("far enough")

    monkeypatch.setattr(training, "train", train)
    for seed, name in enumerate(TINY):
        with pytest.raises(runs.TrainingError, match="far enough"):
            experiments.run(name, seed)
    assert asked == {0: "cpu", 1: "cuda"}
