"""Experiments: recorded with all that a number must be read with, and found again."""

import dataclasses
import hashlib
import json

import pytest
import tiny_training
from commands import invoke

from swin_tutorial.data.paths import data_folder
from swin_tutorial.training import evaluation, experiments, loop
from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.experiments import EXPERIMENTS, Experiment
from swin_tutorial.training.run_folder import WEIGHTS, load_run, write_json

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
    for module in (loop, evaluation):
        monkeypatch.setattr(module, "load_data", lambda config, folder: both)
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
    assert sorted(file.name for file in kept.iterdir()) == sorted(experiments.KEPT_FILES)
    weights = (kept / WEIGHTS).read_bytes()
    assert hashlib.sha256(weights).hexdigest() == result["weights_sha256"]
    assert evaluation.evaluate_run(kept).accuracy == result["test_accuracy"]


def test_a_result_counts_only_for_the_configuration_that_gave_it(results, monkeypatch):
    assert experiments.recorded("tiny", 0) is None
    experiments.run("tiny", seed=0, progress=False)
    assert experiments.recorded("tiny", 0)["seed"] == 0
    # Options that came later do not make it void: it was recorded with what is now their default.
    older = json.loads(experiments.result_file("tiny", 0).read_text())
    del older["config"]["model"]["use_mask"], older["config"]["augmentation"]["cutmix"]
    write_json(experiments.result_file("tiny", 0), older)
    assert experiments.recorded("tiny", 0)["seed"] == 0
    other = dataclasses.replace(tiny_training.CONFIG, weight_decay=0.01)
    monkeypatch.setitem(TINY, "tiny", Experiment(other, "changed"))
    assert experiments.recorded("tiny", 0) is None


def test_all_is_what_is_missing_and_can_be_made_here(results):
    done = invoke("experiments", "run", "all", "--seed", 2)
    assert done.status == 0, done.err
    assert "tiny, seed 2: " in done.out
    assert "large, seed 2: left out, it needs a GPU" in done.out
    done = invoke("experiments", "run", "all", "--seed", 2)
    assert "tiny, seed 2: has a result" in done.out
    done = invoke("experiments", "list")
    assert "no result yet" in done.out
    assert "(1 run)" in done.out
    done = invoke("experiments", "run", "tinny")
    assert done.status == 1
    assert done.err == "error: there is no experiment 'tinny': choose among tiny, large\n"


def test_every_experiment_differs_from_every_other():
    configs = [experiment.config for experiment in EXPERIMENTS.values()]
    assert all(configs.count(config) == 1 for config in configs)


def recorded_files(pattern):
    return sorted((data_folder() / "results").glob(pattern))


@pytest.mark.parametrize(
    "file", [*recorded_files("**/*.json"), *recorded_files("**/*.jsonl")], ids=lambda p: p.name
)
def test_what_is_recorded_is_valid_json(file):
    """Python itself reads and writes Infinity and NaN; other languages do not."""
    for text in file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]:
        json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in {file}"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_recorded_result_is_one_of_todays_configuration(name):
    for seed in EXPERIMENTS[name].seeds:
        is_there = experiments.result_file(name, seed).exists()
        assert (experiments.recorded(name, seed) is not None) == is_there


@pytest.mark.parametrize(
    "folder", [file.parent for file in recorded_files(f"*/{WEIGHTS}")], ids=lambda path: path.name
)
def test_recorded_runs_give_their_recorded_accuracy(folder):
    result = json.loads((folder.parent / f"{folder.name}.json").read_text())
    checksum = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert checksum == result["weights_sha256"]
    config, _ = load_run(folder)
    try:
        found = evaluation.evaluate_run(folder)
    except FileNotFoundError:
        pytest.skip(f"{config.data} is not on this machine")
    assert found.accuracy == result["test_accuracy"]


def test_an_experiment_is_run_on_the_device_that_its_seconds_are_for(results, monkeypatch):
    asked = {}

    def train(config, folder, resume, device, **options):
        asked[config.seed] = device
        raise TrainingError("far enough")

    monkeypatch.setattr(loop, "train", train)
    for seed, name in enumerate(TINY):
        with pytest.raises(TrainingError, match="far enough"):
            experiments.run(name, seed)
    assert asked == {0: "cpu", 1: "cuda"}
