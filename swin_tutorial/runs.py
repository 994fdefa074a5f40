"""The folder of a training run: its files are whole, whenever the run was killed (chapter 07)."""

import io
import json
import os
import zipfile
from pathlib import Path

import torch

from swin_tutorial.recipes import TrainingConfig

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
WEIGHTS, MISTAKES = "model.safetensors", "mistakes.safetensors"
CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"


class TrainingError(RuntimeError):
    """A run that cannot go on.  The message says why, and what there is to go on from."""


class Stopped(TrainingError):
    """A run that was asked to stop by a signal, and saved a checkpoint first."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


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
        unfinished.unlink(missing_ok=True)
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"cannot write {path}: {error.strerror}.  The last good checkpoint is kept: mend that, and "
        "go on with --resume"
    )


def write_json(path: Path, values: dict) -> None:
    """Write plain values to a file, as ``write_file`` does."""
    write_file(path, (json.dumps(values, indent=1) + "\n").encode())


# --- checkpoints ---


def begin(folder: Path, config: dict, resume: bool) -> dict | None:
    """Make a run's folder, and return the checkpoint to go on from, None for a new run.

    Raises TrainingError if the folder has a run and ``resume`` is not set, and as
    ``load_checkpoint`` does.
    """
    if not resume and any((folder / name).exists() for name in (CHECKPOINT, PREVIOUS)):
        raise TrainingError(
            f"{folder} has a run already: go on with --resume, or choose another --folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot make the folder {folder}: {error.strerror}") from error
    return load_checkpoint(folder, config)


def save_checkpoint(folder: Path, checkpoint: dict) -> None:
    """Write a checkpoint, and keep the one before it as another file."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    write_file(folder / CHECKPOINT, buffer.getvalue(), keep=folder / PREVIOUS)


def load_checkpoint(folder: Path, config: dict) -> dict | None:
    """Return the newest checkpoint of a run, None if it has none.

    Raises TrainingError for a damaged one, and for one of another configuration.
    """
    path, previous = folder / CHECKPOINT, folder / PREVIOUS
    if not path.exists():  # killed between the two renamings of write_file
        path = previous
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():  # torch.load itself does not look at the checksums
                raise zipfile.BadZipFile
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        # A field that is younger than the checkpoint has its default there, which changes nothing.
        theirs = TrainingConfig.from_dict(checkpoint["config"]).as_dict()
        differing = differences(theirs, config)
    except Exception as error:  # a damaged file can raise anything
        way_out = "delete it and start again"
        if path != previous and previous.exists():
            way_out = f"delete it, and --resume goes on from {previous.name}"
        raise TrainingError(
            f"{path} ({path.stat().st_size:,} bytes) is damaged or no checkpoint: {way_out}"
        ) from error
    if differing:
        raise TrainingError(
            f"{path} belongs to another configuration ({'; '.join(differing)}): give the options "
            "that it was started with, or another --folder"
        )
    return checkpoint


def differences(theirs: dict, ours: dict, prefix: str = "") -> list[str]:
    """Return what differs between two configurations, in words."""
    found = []
    for name in sorted(theirs.keys() | ours.keys()):
        one, other = theirs.get(name), ours.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += differences(one, other, f"{name}.")
        elif one != other:
            found.append(f"{prefix}{name} was {one!r} and is {other!r}")
    return found


# --- the log ---


def append_metrics(folder: Path, line: dict) -> None:
    """Add a line of JSON to a run's log.  Raises TrainingError if the disk refuses."""
    try:
        with open(folder / METRICS, "a") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise _refused(folder / METRICS, error) from error


def read_metrics(folder: Path) -> list[dict]:
    """Return the lines of a run's log, oldest first."""
    path = folder / METRICS
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]  # or it is not whole


def cut_metrics(folder: Path, step: int) -> None:
    """Drop what a run logged after the step that it resumes from: it will be logged again."""
    lines = [json.dumps(line) + "\n" for line in read_metrics(folder) if line["step"] <= step]
    write_file(folder / METRICS, "".join(lines).encode())


def tensorboard_writer(folder: Path, step: int):
    """Return a writer for TensorBoard that goes on from a step, None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder / "tensorboard", purge_step=step)
