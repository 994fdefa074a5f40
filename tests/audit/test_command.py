"""``swin-tutorial audit``: finds what is named, says what is wrong, and ends with a status."""

import inspect
import json
import subprocess
import sys
import typing

import pytest
from commands import invoke
from PIL import Image

from swin_tutorial import cli
from swin_tutorial.audit import command, layouts

MODULE = '''
"""A user's file."""
from swin_tutorial.audit import MUSEUM
from swin_tutorial.audit.specimen import Specimen

right = Specimen((4, 4), (1, 1))
no_mask = MUSEUM["no mask"].specimen((4, 4), (1, 1))
signal = Specimen((4,), (1,))
ring = Specimen((4, 4), (1, 1), periodic=(False, True))
number = 3


class names:
    right = right


class Block:
    def __call__(self, x):
        return x


def first(x):
    return right(x.movedim(1, -1)).movedim(-1, 1)


def attend(windows, mask):
    return right.attend(windows, mask, (4, 4))


def build(size, window_size, shift_size):
    assert all(isinstance(numbers, tuple) for numbers in (size, window_size, shift_size))
    return Specimen(window_size, shift_size)


def build_no_mask(size, window_size, shift_size):
    return MUSEUM["no mask"].specimen(window_size, shift_size)


def build_first(size, window_size, shift_size):
    block = Specimen(window_size, shift_size)
    return lambda x: block(x.movedim(1, -1)).movedim(-1, 1)
'''
GEOMETRY = ("--window-size", 4, "--shift-size", 1, "--dim", 4, "--sizes", "8x12")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Return the folder that the command runs in, which has a module of the user's."""
    (tmp_path / "my_swin.py").write_text(MODULE)
    (tmp_path / "broken_swin.py").write_text("import no_such_library")
    (tmp_path / "leaving_swin.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("my_swin", "broken_swin", "leaving_swin"):
        sys.modules.pop(name, None)


def test_a_right_block_ends_with_0():
    done = invoke("audit", "my_swin:right", *GEOMETRY)
    assert (done.status, done.out.splitlines()[0]) == (0, "right on all 1 maps")
    assert "audit:" in done.err  # the bar


def test_a_wrong_block_ends_with_1_and_the_name_of_its_mistake():
    done = invoke("audit", "my_swin:no_mask", *GEOMETRY)
    assert done.status == 1
    assert "444 leaks" in done.out
    assert "no mask" in done.out


@pytest.mark.parametrize(
    ("target", "options", "maps"),
    [
        ("names.right", ["--window-size", 4, "--shift-size", 1], 15),
        ("right", ["--window-size", 4, 4, "--shift-size", 1, 1, "--sizes", "7x9", "4x5"], 2),
        ("right", ["--window-size", 4, "--shift-size", 1, "--padding", "mask", "--keys", 3], None),
        ("signal", ["--window-size", 4, "--shift-size", 1, "--axes", 1], 7),
        ("signal", ["--window-size", 4, "--shift-size", 1, "--sizes", "9", "15"], 2),
        ("ring", ["--window-size", 4, "--shift-size", 1, "--periodic", False, True], None),
        ("first", [*GEOMETRY[:4], "--layout", "channels-first", "--sizes", "5x9"], 1),
        ("attend", [*GEOMETRY[:4], "--layout", "windows", "--sizes", "8x12", "5x9"], 2),
        ("build", ["--build"], 30),
        ("build", ["--build", "--window-size", 3, "--shift-size", 2, "--sizes", "5x7"], 1),
        ("build_first", ["--build", "--layout", "channels-first", *GEOMETRY[:4]], 15),
    ],
)
def test_the_geometry_is_the_one_of_the_options(target, options, maps, monkeypatch):
    done = invoke("audit", f"my_swin:{target}", "--dim", 4, *options)
    if "mask" in options:  # this one lets tokens see padding
        assert done.status == 1
        assert "behaves like this mistake: real tokens see padding." in done.out
    else:
        assert done.status == 0, done
    if maps:
        assert done.out.startswith(f"right on all {maps} maps\n")


def test_a_builder_that_builds_wrong_blocks_is_wrong():
    assert invoke("audit", "my_swin:build_no_mask", "--build", *GEOMETRY).status == 1


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("my_swin", GEOMETRY, "name what to audit as MODULE:NAME, such as my_swin:block"),
        ("my_swin:", GEOMETRY, "name what to audit as MODULE:NAME"),
        ("my_swin.py:right", GEOMETRY, "name the module, and not its file: my_swin:right"),
        ("my_swim:right", GEOMETRY, "ModuleNotFoundError: No module named 'my_swim'"),
        ("broken_swin:right", GEOMETRY, "No module named 'no_such_library'"),
        ("leaving_swin:right", GEOMETRY, "leaving_swin can't be imported from"),
        ("my_swin:wrong", GEOMETRY, "my_swin has no wrong; what it has to call: Specimen, right"),
        ("my_swin:names.wrong", GEOMETRY, "my_swin has no names.wrong"),
        ("my_swin:number", GEOMETRY, "my_swin:number can't be called: it is of type int"),
        ("my_swin:Block", GEOMETRY, "my_swin:Block is a class"),
        ("my_swin:right", ["--dim", 4], "--window-size and --shift-size are needed"),
        ("my_swin:right", [*GEOMETRY, "--shift-size", 4], "shift_size 4 must be smaller"),
        ("my_swin:right", [*GEOMETRY, "--sizes", "8,12"], "write a size as 8x12, got 8,12"),
        ("my_swin:right", [*GEOMETRY, "--sizes", "8x0"], "must be at least 1, got 0"),
        ("my_swin:right", [*GEOMETRY, "--periodic", True, "--sizes", "8x9"], "9"),
        ("my_swin:right", [*GEOMETRY, "--window-size", 4, 4, 4], "one for each of the map's 2"),
        ("my_swin:right", [*GEOMETRY, "--dim", 0], "dim must be at least 1, got 0"),
        ("my_swin:right", [*GEOMETRY, "--keys", 0], "keys must be at least 1, got 0"),
        ("my_swin:right", [*GEOMETRY, "--json", "gone/it.json"], "gone/it.json"),
        ("my_swin:right", [*GEOMETRY, "--figure", "gone/it.png"], "gone/it.png"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_mistake_in_the_line_is_one_line_and_ends_with_2(target, options, message):
    status, out, err = invoke("audit", target, *options)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_missing_target_ends_with_2():
    done = invoke("audit", *GEOMETRY)
    assert done.status == 2
    assert "MODULE:NAME" in done.text


def test_json_and_figure_are_written(folder):
    done = invoke("audit", "my_swin:no_mask", *GEOMETRY, "--json", "it.json", "--figure", "it.png")
    assert done.status == 1
    report = json.loads((folder / "it.json").read_text())
    assert (report["target"], report["mistake"]) == ("my_swin:no_mask", "no mask")
    assert report["maps"][0]["leaks"] == 444
    assert Image.open(folder / "it.png").format == "PNG"


def test_files_stay_as_they_are_if_the_line_is_wrong(folder):
    (folder / "old.json").write_text("old")
    invoke("audit", "my_swin:right", *GEOMETRY, "--json", "old.json", "--figure", "gone/it.png")
    invoke("audit", "my_swin:right", *GEOMETRY, "--json", "new.json", "--figure", "gone/it.png")
    assert (folder / "old.json").read_text() == "old"
    assert not (folder / "new.json").exists()


def test_every_layout_can_be_asked_for():
    options = inspect.signature(cli.audit).parameters
    choices = typing.get_args(options["layout"].annotation)
    assert set(choices) == {"channels-last", "windows", *layouts.LAYOUTS}
    assert options.keys() == inspect.signature(command.run).parameters.keys()


def test_the_installed_command_finds_modules_beside_the_user(folder):
    # "python -m" has the current folder on its path; the installed command has not.
    code = "import sys; sys.path.remove(''); from swin_tutorial.__main__ import main; main()"
    line = [sys.executable, "-c", code, "audit", "my_swin:right", *map(str, GEOMETRY)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
