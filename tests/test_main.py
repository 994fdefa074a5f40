"""The command in a real terminal: one that is plain, closed, full, or left by its reader."""

import os
import signal
import subprocess
import sys

import pytest
from commands import COMMANDS

import swin_tutorial

LINES = [
    (*group, *([] if name == "--version" else [name, "--help"]))
    for group, names in COMMANDS.items()
    for name in names
]


def start(*arguments, code="", **options):
    """Start the command, after some code, in a process of its own."""
    code += f"\nimport sys; sys.argv = ['swin-tutorial', *{list(arguments)!r}]"
    code += "\nfrom swin_tutorial.__main__ import main; main()"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, "-c", code], text=True, **pipes)


def ended(process):
    """Return how a process ended: its status, and what it wrote to stdout and stderr."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_the_version_needs_no_extra():
    code = "import sys; sys.modules['tyro'] = None"
    expected = 0, f"swin-tutorial {swin_tutorial.__version__}\n", ""
    assert ended(start("--version", code=code)) == expected


@pytest.mark.parametrize("arguments", [*LINES, ("experiments", "list"), ("train", "quick", "-h")])
def test_an_ascii_terminal_gets_all_texts(arguments):
    plain = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    status, out, err = ended(start(*arguments, env=plain))
    assert (status, err) == (0, "")
    assert out.isascii()


def test_a_mistake_is_one_line_on_an_ascii_terminal_too():
    plain = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    status, _, err = ended(start("evaluate", "é∞", env=plain))
    assert status == 1
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


LONG = "import swin_tutorial; swin_tutorial.__version__ = 'x' * 1_000_000"


def test_a_reader_that_goes_away_ends_it_quietly():
    process = start("--version", code=LONG, stdout=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    process.stdout = None
    assert ended(process) == (128 + 13, None, "")


def test_a_reader_that_goes_away_during_a_command_is_no_error_of_the_users(monkeypatch):
    code = """if True:
        from swin_tutorial import doctor
        doctor.run_checks = lambda: ["x" * 1_000_000] * 9
    """
    process = start("doctor", code=code)
    process.stdout.read(10)
    process.stdout.close()
    process.stdout = None
    assert ended(process) == (128 + 13, None, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("code", ["", LONG])
def test_a_full_disk_is_one_line(code):
    with open("/dev/full", "w") as full:
        status, _, err = ended(start("--version", code=code, stdout=full))
    assert (status, err) == (1, "error: [Errno 28] No space left on device\n")


def test_a_closed_output_is_no_error():
    code = "import os, sys; sys.stdout = None"
    assert ended(start("--version", code=code)) == (0, "", "")


def test_ctrl_c_ends_it_without_a_traceback():
    code = """if True:
        import time
        from swin_tutorial import doctor
        def run_checks():
            print("checking", flush=True)
            time.sleep(60)
            yield
        doctor.run_checks = run_checks
    """
    process = start("doctor", code=code)
    assert process.stdout.readline() == "checking\n"
    process.send_signal(signal.SIGINT)
    assert ended(process) == (128 + signal.SIGINT, "", "")
