"""Installed from a wheel, without a clone: all that a reader needs is there and works."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from swin_tutorial.data.paths import PROJECT

FIRST = "00_start_here.ipynb"


class Installation:
    """A fresh environment that has the wheel; ours lends it the packages that it needs."""

    def __init__(self, folder: Path):
        self.wheel = Path(next(iter(WheelBuilder(str(PROJECT)).build(directory=str(folder)))))
        venv.create(folder / "venv")
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        python = next(self.bin.glob("python*"))
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, self.wheel], check=True)
        self.packages = next((folder / "venv").glob("lib/*/site-packages"))
        # A line of a .pth file is a folder to import from, whose own .pth files are not read: this
        # lends the packages beside our editable installation, and not that.
        (self.packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.home, self.elsewhere = folder / "home", folder / "elsewhere"
        self.home.mkdir()
        self.elsewhere.mkdir()

    def run(self, *command, **variables):
        """Run a command of the environment in a folder that has nothing to do with it."""
        # With a PYTHONPATH, a command would run another copy of the package, on that copy's data.
        kept = {k: v for k, v in os.environ.items() if "SWIN" not in k and k != "PYTHONPATH"}
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.elsewhere,
            env={**kept, "HOME": str(self.home), **variables},
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installation(tmp_path_factory.mktemp("wheel"))


def files_below(folder: Path, pattern: str = "**/*") -> set[Path]:
    files = {path.relative_to(folder) for path in folder.glob(pattern) if path.is_file()}
    return {path for path in files if path.suffix != ".pyc"}


def test_it_is_the_wheel_that_runs(installed):
    done = installed.run("python", "-c", "import swin_tutorial; print(swin_tutorial.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed.packages), done.stderr


def test_a_wheel_holds_every_file_of_the_package_and_what_comes_with_it(installed):
    package = installed.packages / "swin_tutorial"
    shipped = package / "_shipped"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    ).stdout.split()
    if not tracked:
        pytest.skip("which files belong to the project is known in a git clone only")
    present = {Path(name) for name in tracked if (PROJECT / name).is_file()}
    ours = {path.relative_to("swin_tutorial") for path in present if path.parts[0] == package.name}
    assert {path for path in files_below(package) if path.parts[0] != "_shipped"} == ours
    beside = {path for path in present if path.parts[0] in ("data", "notebooks")}
    assert files_below(shipped) == beside
    assert Path("notebooks") / FIRST in beside


def test_the_commands_work_from_any_folder(installed):
    sets = installed.run("swin-tutorial", "data", "list")
    (line,) = [line for line in sets.stdout.splitlines() if "subset" in line]
    assert str(installed.packages) in line
    experiments = installed.run("swin-tutorial", "experiments", "list")
    assert "quick                   89.43% ± 0.50% (3 runs)" in experiments.stdout
    kept = installed.packages / "swin_tutorial" / "_shipped" / "data" / "results" / "quick-seed0"
    assert installed.run("swin-tutorial", "evaluate", kept).stdout.endswith("test images\n")
    for done in (sets, experiments):
        assert (done.returncode, done.stderr) == (0, "")


def test_doctor_finds_everything_and_speaks_of_no_clone(installed):
    done = installed.run("swin-tutorial", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
    photograph = installed.packages / "swin_tutorial/_shipped/data/photographs/coffee.png"
    photograph.rename(photograph.with_suffix(".gone"))
    check = "from swin_tutorial import doctor; print(doctor.check_photographs())"
    try:
        missing = installed.run("python", "-c", check).stdout
    finally:
        photograph.with_suffix(".gone").rename(photograph)
    assert "coffee.png is missing" in missing
    assert "pip install --force-reinstall" in missing
    assert "git" not in done.stdout + missing


def test_lab_copies_the_notebooks_once_and_never_over_a_readers_own(installed):
    lab = """if True:
        import os
        from swin_tutorial import cli, doctor
        os.execv = lambda path, command: print(command)
        doctor.run_checks = lambda: []
        cli.main(["lab"])
    """
    done = installed.run("python", "-c", lab)
    folder = installed.home / "swin-tutorial" / "notebooks"
    count = len(list((PROJECT / "notebooks").glob("*.ipynb")))
    assert f"{count} notebooks copied to {folder}" in done.stdout, done.stderr
    assert f"--ServerApp.root_dir={folder}" in done.stdout
    copies = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert copies == {path.name: path.read_bytes() for path in PROJECT.glob("notebooks/*.ipynb")}

    (folder / FIRST).write_text("my answers")
    (folder / "05_masks_compared.ipynb").unlink()
    assert "1 notebook copied" in installed.run("python", "-c", lab).stdout
    assert (folder / FIRST).read_text() == "my answers"
    assert "copied" not in installed.run("python", "-c", lab).stdout


def test_results_go_to_the_readers_own_folder_and_are_found_there(installed):
    code = """if True:
        import json
        from swin_tutorial.data import paths
        from swin_tutorial.training import experiments, loop
        from swin_tutorial.training.run_folder import CONFIG, write_json
        shipped = json.loads(experiments.result_file("quick-resnet", 0).read_text())

        def train(config, folder, *_, **__):
            folder.mkdir(parents=True)
            write_json(folder / CONFIG, shipped["config"])
            return {**shipped, "test_accuracy": 0.5}

        loop.train = train
        experiments.run("quick-resnet", 0)
        print(experiments.result_file("quick-resnet", 0))
        print(experiments.recorded("quick-resnet", 0)["test_accuracy"])
        print(experiments.result_file("quick-resnet", 1))
    """
    mine, accuracy, shipped = installed.run("python", "-c", code).stdout.split()
    assert Path(mine) == installed.home / "swin-tutorial/data/results/quick-resnet-seed0.json"
    assert json.loads(Path(mine).read_text())["test_accuracy"] == float(accuracy) == 0.5
    assert Path(shipped).is_relative_to(installed.packages)
    shutil.rmtree(installed.home / "swin-tutorial" / "data")


def test_a_missing_package_is_named_with_how_to_add_it_to_a_wheel(installed):
    code = "import sys; sys.modules['tyro'] = None; sys.argv = ['', 'doctor']"
    done = installed.run("python", "-c", f"{code}; from swin_tutorial.__main__ import main; main()")
    assert done.stderr == (
        "error: swin-tutorial needs tyro, which is not installed: "
        "run: pip install 'swin_tutorial[notebooks,train]'\n"
    )
