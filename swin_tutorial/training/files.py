"""The files of a run: their names, written whole or not at all, and errors that name them."""

import contextlib
import errno
import json
import os
from pathlib import Path

from swin_tutorial.training.errors import TrainingError

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
WEIGHTS, MISTAKES = "model.safetensors", "mistakes.safetensors"
CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"


def write_file(path: Path, content: bytes, keep: Path | None = None) -> None:
    """Write a file such that, whatever happens, there is the old one or the whole new one.

    ``keep`` is the name under which the old one stays.  Raises TrainingError if the disk refuses.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on the disk, not only on its way there
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(unfinished, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise disk_refused(path, error) from error


def write_json(path: Path, values: dict) -> None:
    """Write plain values to a file, as ``write_file`` does.  ValueError for NaN or infinity."""
    write_file(path, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())


def append_json(path: Path, values: dict) -> None:
    """Add plain values to a file as a line.  TrainingError if the disk refuses."""
    try:
        with open(path, "a") as file:
            file.write(json.dumps(values, allow_nan=False) + "\n")
    except OSError as error:
        raise disk_refused(path, error) from error


def read_file(path: Path) -> bytes:
    """Return what a file holds.  OSError, naming it, for what is none, such as a pipe."""
    if path.exists() and not path.is_file():  # a pipe would keep us waiting
        raise OSError(errno.EINVAL, "It is not a regular file", str(path))
    return path.read_bytes()


def read_json(path: Path) -> dict:
    """Return the values in a JSON file.  ValueError, naming the file, if it holds no object."""
    return parse_json(read_file(path), str(path))


def parse_json(content: bytes, where: str) -> dict:
    """Return the values of a JSON object.  ValueError, naming where it stands, if it is none."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is damaged, or no JSON ({error})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{where} holds {type(values).__name__} and not a JSON object")
    return values


def disk_refused(path: Path, error: OSError) -> TrainingError:
    """Return the error for a file of a run that cannot be written."""
    reason = error.strerror or error
    advice = "Free the disk or the path, and try again"
    if has_checkpoint(path.parent):
        advice = (
            "The last good checkpoint is kept: free the disk or the path, and go on with --resume"
        )
    return TrainingError(f"cannot write {path}: {reason}.  {advice}")


def has_checkpoint(folder: Path) -> bool:
    """Return whether there is anything that a run in this folder can go on from."""
    return any(os.path.exists(folder / name) for name in (CHECKPOINT, PREVIOUS))
