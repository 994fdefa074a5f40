"""Call the command line from a test, and see what a user would see."""

import contextlib
import io
from typing import NamedTuple

from swin_tutorial import cli

COMMANDS = {
    (): (
        "doctor",
        "lab",
        "audit",
        "train",
        "evaluate",
        "experiments",
        "data",
        "bench",
        "--version",
    ),
    ("experiments",): ("run", "list"),
    ("data",): ("list", "fetch"),
    ("bench",): ("masks", "model", "attention", "capture", "data"),
}


class Done(NamedTuple):
    """How a command ended: its exit status, and what it wrote to stdout and stderr."""

    status: int
    out: str
    err: str

    @property
    def text(self):
        """All that it wrote, on one line and without the boxes that tyro draws around it."""
        return " ".join((self.out + self.err).replace("│", " ").split())


def invoke(*arguments):
    """Run ``swin-tutorial`` with these arguments."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(list(map(str, arguments)))
        except SystemExit as end:
            status = end.code or 0
    return Done(status, out.getvalue(), err.getvalue())
