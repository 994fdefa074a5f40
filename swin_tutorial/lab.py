"""The notebooks in JupyterLab: a reader's own copies of them, and the command that opens them."""

import os
import shutil
import sys
from pathlib import Path

from swin_tutorial.data import paths
from swin_tutorial.doctor import FIRST_NOTEBOOK, notebooks

OWN_NOTEBOOKS = paths.own_folder() / "notebooks"  # in a clone, the notebooks themselves


def has_screen() -> bool:
    """Return whether a browser can open a window here."""
    return sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def copy_notebooks(folder: Path) -> list[Path]:
    """Copy the notebooks that a folder lacks, and return them.  What is there stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [one for one in notebooks() if not os.path.lexists(folder / one.name)]
    for notebook in missing:
        whole = folder / f".{notebook.name}.part"  # half a copy would never be completed
        shutil.copyfile(notebook, whole)
        whole.rename(folder / notebook.name)
    return missing


def lab_command(port: int, browser: bool, folder: Path) -> list[str]:
    """Return the command line that opens the first chapter of a folder in JupyterLab.

    Raises ValueError for a port that no machine has.
    """
    if not 1 <= port <= 65535:
        raise ValueError(f"port must be 1 to 65535, got {port}")
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--port={port}",
        f"--ServerApp.root_dir={folder.resolve()}",
        f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
        # Of the log, only the address to open is left, and warnings.
        "--log-level=WARN",
    ]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # a container's only user; JupyterLab refuses it otherwise
    return command
