"""Where the notebooks and the data are, in a clone and in a wheel, and where a reader's own go."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_SHIPPED = _PACKAGE / "_shipped"  # in a wheel; a clone has the same folders beside the package
IS_CLONE = not _SHIPPED.is_dir()
PROJECT = _PACKAGE.parent if IS_CLONE else _SHIPPED
PROJECT_DATA = PROJECT / "data"


def own_folder() -> Path:
    """Return where a reader's own files go: the clone, or ``~/swin-tutorial`` without one."""
    if IS_CLONE:
        return PROJECT
    try:
        return Path.home() / "swin-tutorial"
    except RuntimeError:  # a user without a home, as in some containers
        return Path("swin-tutorial").absolute()


def data_folder() -> Path:
    """Return the folder that SWIN_TUTORIAL_DATA names, or the project's ``data`` folder.

    Raises FileNotFoundError if the variable names no folder.
    """
    return _named_folder() or PROJECT_DATA


def own_data_folder() -> Path:
    """Return where new data go: the folder that SWIN_TUTORIAL_DATA names, or the reader's own.

    Raises FileNotFoundError if the variable names no folder.
    """
    return _named_folder() or _own_data()


def data_folders() -> list[Path]:
    """Return the folders to search, in order: the named one, the reader's own, the project's."""
    named = os.environ.get("SWIN_TUTORIAL_DATA")
    first = [Path(named)] if named else []
    return list(dict.fromkeys([*first, _own_data(), PROJECT_DATA]))


def find_data(name: str) -> Path:
    """Return where a file of the data is: a reader's own comes first, and is where a new one goes.

    Raises FileNotFoundError if SWIN_TUTORIAL_DATA names no folder.
    """
    own, shipped = own_data_folder() / name, data_folder() / name
    return shipped if shipped.exists() and not own.exists() else own


def how_to_restore(name: str) -> str:
    """Return what brings back a file or a folder that comes with the project."""
    if IS_CLONE:
        return f"restore it in the project folder: git checkout -- {name}"
    return "install the wheel again: pip install --force-reinstall --no-deps WHEEL"


def how_to_install(extras: str) -> str:
    """Return how to install what some extras need, such as "notebooks,train"."""
    if IS_CLONE:
        return f"in the project folder, run: pip install -e '.[{extras}]'"
    return f"run: pip install 'swin_tutorial[{extras}]'"


def _own_data() -> Path:
    return PROJECT_DATA if IS_CLONE else own_folder() / "data"


def _named_folder() -> Path | None:
    named = os.environ.get("SWIN_TUTORIAL_DATA")
    if named and not Path(named).is_dir():
        raise FileNotFoundError(
            f"there is no data folder {named}: let SWIN_TUTORIAL_DATA name one, or unset it to use "
            "the data that come with the package"
        )
    return Path(named) if named else None
