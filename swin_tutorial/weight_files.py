"""Files of weights: read without running anything in them, written whole (chapter 11)."""

import os
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from swin_tutorial.model_tensors import first_three

_KEYS = ("model", "state_dict")  # under which training scripts put the weights
_DEEPEST = 4  # how often one of them may stand inside another


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Raises FileNotFoundError if there is no such file, OSError if the system cannot read it, and
    ValueError if it is damaged or holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    content = _content(path)
    for _ in range(_DEEPEST):
        if not isinstance(content, dict):
            break
        inner = [content[key] for key in _KEYS if key in content]
        if not inner or isinstance(inner[0], Tensor):
            break
        content = inner[0]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds no tensors by name: save a model's state_dict() in it")
    stray = [
        str(name)
        for name, value in content.items()
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
    if stray:
        raise ValueError(
            f"{path} holds more than tensors by name ({first_three(stray)}): "
            "save a model's state_dict() alone, or under the key 'model'"
        )
    return content


def write_tensors(tensors: dict[str, Tensor], path: Path, nested: bool) -> None:
    """Write a file of tensors such that there is the old one or the whole new one at any time.

    ``nested`` puts the tensors of a PyTorch file under "model".  Raises FileNotFoundError if the
    folder is missing, and FileExistsError if ``path`` is a folder or a device.
    """
    path = Path(os.path.realpath(path))  # write to what a link points to
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for {path.name}: make it first")
    if path.exists() and not path.is_file():  # a device would be replaced, too
        raise FileExistsError(f"{path} is a folder or a device: name a file")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:100]}.") as beside:
        unfinished = Path(beside, path.name)
        unfinished.touch()
        ordinary_permissions = unfinished.stat().st_mode  # safetensors lets only the owner read
        if path.suffix == ".safetensors":
            safetensors.torch.save_file(tensors, unfinished, metadata={"format": "pt"})
        else:
            torch.save({"model": tensors} if nested else tensors, unfinished)
        unfinished.chmod(ordinary_permissions)
        with open(unfinished, "rb+") as file:
            os.fsync(file.fileno())  # on the disk, not only on its way there
        os.replace(unfinished, path)


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):  # says nothing about the file
        raise
    except _CompressedError as error:
        raise ValueError(
            f"{path} is compressed and unpacks to {error} bytes: if you trust its source, unpack "
            "it there and save the model's state_dict() again"
        ) from None
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it is damaged, or holds more than tensors, which could run any "
            "code when unpickled.  Only if you trust its source: read it there with torch.load, "
            "and save the model's state_dict() alone"
        ) from error
    except Exception as error:  # a damaged file can raise anything
        kind = "safetensors" if path.suffix == ".safetensors" else "PyTorch"
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as weights: it is empty, "
            f"damaged, cut short or not a {kind} file.  Fetch it again"
        ) from error


class _CompressedError(Exception):
    """An archive unpacks to more than it is: PyTorch writes none."""


def _check_archive(path: Path) -> None:
    """Raise BadZipFile for an archive that is cut short, or in which a checksum is not right.

    ``torch.load`` compares no checksums.  Raises _CompressedError too.
    """
    with open(path, "rb") as file:
        if file.read(2) != b"PK":  # PyTorch's format until 2020
            return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(item.file_size for item in archive.infolist())
        if unpacked > path.stat().st_size:
            raise _CompressedError(unpacked)
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(damaged)
