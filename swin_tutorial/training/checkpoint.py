"""What a run goes on from: written whole, read with suspicion, blamed only for what was shown."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from swin_tutorial.data.image_sets import IMAGE_SETS
from swin_tutorial.training.config import TrainingConfig
from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.files import CHECKPOINT, PREVIOUS, read_file, write_file
from swin_tutorial.training.machine import is_out_of_memory

# Format 1 had no number, no fingerprints of the images, and did not say where it was made.
FORMAT = 2
CROP_SCALE_OF_FORMAT_1 = (0.08, 1.0)


def save_checkpoint(folder: Path, content: dict) -> None:
    """Write a checkpoint, and keep the one before it as another file."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_file(folder / CHECKPOINT, buffer.getvalue(), keep=folder / PREVIOUS)


def load_checkpoint(
    folder: Path, config: dict, fingerprints: dict[str, str] | None = None
) -> dict | None:
    """Return the newest checkpoint of a run, None if it has none.

    Args:
        folder: the run's.
        config: the configuration that the checkpoint must have, ``TrainingConfig.as_dict()``.
        fingerprints: of what it must have been made with, by name, such as "training images";
            those that the checkpoint does not know are not compared.

    Raises TrainingError for a file that cannot be read, is damaged, or comes from a newer version,
    and for a checkpoint of another configuration or of other images.
    """
    path = folder / CHECKPOINT
    if not path.exists():  # killed between the two renamings of write_file
        path = folder / PREVIOUS
    if not path.exists():
        return None
    checkpoint = _read(path)
    differing = differences(_configuration(checkpoint, path), config)
    if differing:
        raise TrainingError(
            f"{path} belongs to another configuration ({'; '.join(differing)}): give the options "
            "that it was started with, or another --folder"
        )
    theirs, ours = checkpoint.get("fingerprints", {}), fingerprints or {}
    changed = [name for name in theirs.keys() & ours.keys() if theirs[name] != ours[name]]
    if changed:
        raise TrainingError(
            f"{path} was made with other {' and '.join(sorted(changed))}: restore what you had, or "
            "start a new run in another --folder"
        )
    return checkpoint


def _configuration(checkpoint: dict, path: Path) -> dict:
    """Return the configuration that a checkpoint was made with, in today's fields."""
    try:
        # A field that is younger than the checkpoint has its default there, which changes nothing.
        config = TrainingConfig.from_dict(checkpoint["config"])
    except ValueError as error:
        raise TrainingError(f"{path} cannot be used: {error}") from error
    if checkpoint.get("format", 1) == 1 and config.data not in IMAGE_SETS:
        # With one exception: the images of a folder were cropped at random, without an option.
        cropped = replace(config.augmentation, crop_scale=CROP_SCALE_OF_FORMAT_1)
        config = replace(config, augmentation=cropped)
    return config.as_dict()


def differences(theirs: dict, ours: dict, prefix: str = "") -> list[str]:
    """Return what differs between two configurations, in words."""
    found = []
    for name in sorted(theirs.keys() | ours.keys()):
        old, new = theirs.get(name), ours.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{name}.")
        elif old != new:
            found.append(f"{prefix}{name} was {old!r} and is {new!r}")
    return found


def all_finite(state: object) -> bool:
    """Return whether no tensor, however deep in dictionaries, holds an infinite value or a NaN."""
    finite = [tensor.isfinite().all() for tensor in _tensors(state)]
    return not finite or bool(torch.stack(finite).all())


def _tensors(state: object) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from _tensors(value)


def _read(path: Path) -> dict:
    """Return what a checkpoint file holds.  TrainingError for any other file, saying why."""
    try:
        content = read_file(path)  # on its own: an error of the disk says nothing of the content
    except (OSError, MemoryError) as error:
        raise _unreadable(path, error) from error
    try:
        return _unpack(content, path)
    except TrainingError:
        raise
    except Exception as error:  # a damaged file can raise anything
        if is_out_of_memory(error):
            raise _unreadable(path, error) from error
        raise TrainingError(
            f"{path} ({len(content):,} bytes) is damaged or no checkpoint: {_way_out(path)}"
        ) from error


def _unpack(content: bytes, path: Path) -> dict:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if archive.testzip():  # torch.load itself does not look at the checksums
            raise zipfile.BadZipFile
    checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if checkpoint.get("format", 1) > FORMAT:
        raise TrainingError(
            f"{path} was made by a newer swin_tutorial: it has format {checkpoint['format']}, and "
            f"this version reads formats up to {FORMAT}.  Update, or choose another --folder"
        )
    if not isinstance(checkpoint["config"], dict) or checkpoint["step"] < 0:
        raise TypeError
    if not all_finite(checkpoint):
        raise TrainingError(f"{path} holds infinite values or NaN: {_way_out(path)}")
    return checkpoint


def _unreadable(path: Path, error: Exception) -> TrainingError:
    reason = getattr(error, "strerror", None) or "there is not enough memory"
    return TrainingError(
        f"cannot read {path}: {reason}.  Nothing shows that the file is damaged: keep it, and go "
        "on with --resume once it can be read"
    )


def _way_out(path: Path) -> str:
    """Say what to do with a checkpoint that is of no use."""
    previous = path.with_name(PREVIOUS)
    if path != previous and previous.exists():
        return f"move it aside, and --resume goes on from {previous.name}"
    return "move it aside and start again"
