"""The commands train and evaluate: options from the configuration, errors without a traceback."""

import pytest
import tiny_training
from typer.testing import CliRunner

from swin_tutorial import cli, recipes, runs, training

runner = CliRunner()


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    """Presets and images that take a second, and a working folder of the test's own."""
    monkeypatch.setitem(recipes.PRESETS, "quick", tiny_training.CONFIG)
    both = (tiny_training.images(), tiny_training.images(21, seed=1))
    monkeypatch.setattr(training, "load_data", lambda config, folder: both)
    monkeypatch.chdir(tmp_path)


def test_a_run_prints_one_line_and_draws_its_figures(tmp_path):
    done = runner.invoke(cli.app, ["train", "quick", "--epochs", "2", "--no-flip", "--device=cpu"])
    assert done.exit_code != 0  # flip is a probability, no switch
    done = runner.invoke(cli.app, ["train", "quick", "--epochs", "2", "--device=cpu"])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("quick, seed 5: ")
    assert done.stdout.endswith("files in runs/quick-seed5\n")
    folder = tmp_path / "runs" / "quick-seed5"
    figures = {"learning_curves.png", "confusion_matrix.png", "mistakes.png"}
    files = {runs.CONFIG, runs.METRICS, runs.SUMMARY, runs.WEIGHTS, runs.MISTAKES}
    files |= {runs.CHECKPOINT, runs.PREVIOUS}
    assert {one.name for one in folder.iterdir()} == files | figures
    done = runner.invoke(cli.app, ["evaluate", str(folder)])
    assert done.exit_code == 0, done.output
    assert " of 21 test images" in done.output


def test_without_a_preset_it_is_the_quick_one_and_help_lists_every_field():
    done = runner.invoke(cli.app, ["train", "--help"])
    assert done.exit_code == 0
    for one in recipes.options(tiny_training.CONFIG):
        assert "--" + one.name.replace("_", "-") in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quik"], "invalid choice: 'quik'"),
        (["quick", "--depths", "deep"], "depths takes a value such as"),
        (["quick", "--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["quick", "--batch-size", "400"], "error: batch_size 400 is larger than the set"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(arguments, message):
    done = runner.invoke(cli.app, ["train", *arguments, "--device=cpu"])
    assert done.exit_code in (1, 2)
    assert message in done.output
    assert "Traceback" not in done.output


def test_a_second_run_needs_resume_or_another_folder():
    assert runner.invoke(cli.app, ["train", "--device=cpu", "--folder=here"]).exit_code == 0
    again = runner.invoke(cli.app, ["train", "--device=cpu", "--folder=here"])
    assert again.exit_code == 1
    assert "error: here has a run already: go on with --resume" in again.output
    resumed = runner.invoke(cli.app, ["train", "--device=cpu", "--folder=here", "--resume"])
    assert resumed.exit_code == 0


def test_evaluate_says_where_there_is_no_run():
    done = runner.invoke(cli.app, ["evaluate", "nowhere"])
    assert done.exit_code == 1
    assert "nowhere" in done.output
