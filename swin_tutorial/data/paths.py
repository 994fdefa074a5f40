"""Where the project's ``data`` folder is."""

import os
from pathlib import Path

PROJECT_DATA = Path(__file__).resolve().parents[2] / "data"


def data_folder() -> Path:
    """Return the folder that SWIN_TUTORIAL_DATA names, or the project's ``data`` folder.

    Raises FileNotFoundError if there is no such folder, as when the package was installed without
    its repository.
    """
    folder = data_folders()[0]
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no data folder {folder}: install the package from a clone of its repository "
            "(pip install -e .), or set SWIN_TUTORIAL_DATA to the clone's data folder"
        )
    return folder


def data_folders() -> list[Path]:
    """Return the folders to search, first the one that SWIN_TUTORIAL_DATA names if it is set."""
    named = os.environ.get("SWIN_TUTORIAL_DATA")
    return [Path(named), PROJECT_DATA] if named else [PROJECT_DATA]
