"""Start the command ``swin-tutorial``, and end it well whatever the terminal does."""

import os
import signal
import sys

import swin_tutorial
from swin_tutorial.data.paths import how_to_install


def main() -> None:
    """Run the command line.  A missing package gives one line on stderr and status 1.

    A terminal that lacks a character gets ``?`` in its place.  Ctrl-C, and a reader that goes away
    as ``head`` does, end the command without a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None: the shell has closed it
            stream.reconfigure(errors="replace")
    try:
        try:
            _run()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except OSError as error:  # nothing more can be written to stdout: Python would try once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141 if isinstance(error, BrokenPipeError) else f"error: {error}")


def _run() -> None:
    if sys.argv[1:] == ["--version"]:  # needs none of the extras
        print("swin-tutorial", swin_tutorial.__version__)
        return
    try:
        from swin_tutorial import cli

        cli.main()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "swin_tutorial":
            raise
        sys.exit(
            f"error: swin-tutorial needs {error.name}, which is not installed: "
            + how_to_install("notebooks,train")
        )


if __name__ == "__main__":
    main()
