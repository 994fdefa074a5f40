"""A run is a folder, and its files are whole whenever the run was killed (chapters 07 and 12)."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from swin_tutorial.training.config import TrainingConfig, build_model
from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.processes import rank

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
WEIGHTS, MISTAKES = "model.safetensors", "mistakes.safetensors"
CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"


class RunFolder:
    """The folder of a run in progress.  All processes read it, only process 0 writes to it.

    Every method raises TrainingError, naming the file, if the disk refuses.
    """

    def __init__(self, path: Path, config: TrainingConfig):
        self.path, self.config = path, config.as_dict()
        self.writes = rank() == 0
        self._tensorboard = None

    def begin(self, resume: bool) -> dict | None:
        """Make the folder, and return the checkpoint to go on from, None for a new run.

        Raises TrainingError if the folder has a run and ``resume`` is not set, and as
        ``load_checkpoint`` does.
        """
        if not resume and any((self.path / name).exists() for name in (CHECKPOINT, PREVIOUS)):
            raise TrainingError(
                f"{self.path} has a run already: go on with --resume, or choose another --folder"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"cannot make the folder {self.path}: {error.strerror}") from error
        checkpoint = load_checkpoint(self.path, self.config)
        if dist.is_initialized():
            dist.barrier()  # nobody writes before everybody has read
        if self.writes:
            step = checkpoint["step"] if checkpoint else 0
            write_json(self.path / CONFIG, self.config)
            _cut_metrics(self.path, step)
            self._tensorboard = _tensorboard_writer(self.path, step)
        return checkpoint

    def log_metrics(self, line: dict) -> None:
        """Add a line to the log, and to TensorBoard's where that is installed."""
        if not self.writes:
            return
        _append_metrics(self.path, line)
        if self._tensorboard:
            for name, value in line.items():
                if isinstance(value, float):
                    self._tensorboard.add_scalar(name, value, line["step"])

    def save_checkpoint(self, state: dict) -> None:
        """Write a checkpoint, and keep the one before it as another file."""
        if not self.writes:
            return
        buffer = io.BytesIO()
        torch.save({"config": self.config, **state}, buffer)
        write_file(self.path / CHECKPOINT, buffer.getvalue(), keep=self.path / PREVIOUS)

    def finish(self, model: nn.Module, mistakes: dict[str, Tensor], summary: dict) -> dict:
        """Write the trained model, its worst mistakes and, last, the summary; return the summary.

        The checksum of the weights is added to it.
        """
        weights = {k: v.contiguous().cpu() for k, v in model.state_dict().items()}
        weights = safetensors.torch.save(weights)
        summary = summary | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
        if self.writes:
            write_file(self.path / MISTAKES, safetensors.torch.save(mistakes))
            write_file(self.path / WEIGHTS, weights)
            write_json(self.path / SUMMARY, summary)
        return summary


# --- reading a run ---


def load_run(folder: Path) -> tuple[TrainingConfig, nn.Module]:
    """Return the configuration and the trained model of a finished run.

    Raises FileNotFoundError if the folder has none.
    """
    config = TrainingConfig.from_dict(json.loads((folder / CONFIG).read_text()))
    model = build_model(config)
    model.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    return config, model.eval()


def read_metrics(folder: Path) -> list[dict]:
    """Return the lines of a run's log, oldest first."""
    path = folder / METRICS
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]  # half a line is no line


def load_checkpoint(folder: Path, config: dict) -> dict | None:
    """Return the newest checkpoint of a run, None if it has none.

    Args:
        folder: the run's.
        config: the configuration that the checkpoint must have, ``TrainingConfig.as_dict()``.

    Raises TrainingError for a damaged checkpoint, and for one of another configuration.
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
        old, new = theirs.get(name), ours.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{name}.")
        elif old != new:
            found.append(f"{prefix}{name} was {old!r} and is {new!r}")
    return found


# --- writing whole files ---


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
        raise _disk_refused(path, error) from error


def write_json(path: Path, values: dict) -> None:
    """Write plain values to a file, as ``write_file`` does.  ValueError for NaN or infinity."""
    write_file(path, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())


def _append_metrics(folder: Path, line: dict) -> None:
    try:
        with open(folder / METRICS, "a") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
    except OSError as error:
        raise _disk_refused(folder / METRICS, error) from error


def _cut_metrics(folder: Path, step: int) -> None:
    """Drop what a run logged after the step that it resumes from: it will be logged again."""
    lines = [json.dumps(line) + "\n" for line in read_metrics(folder) if line["step"] <= step]
    write_file(folder / METRICS, "".join(lines).encode())


def _disk_refused(path: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"cannot write {path}: {error.strerror}.  The last good checkpoint is kept: free the disk "
        "or the path, and go on with --resume"
    )


def _tensorboard_writer(folder: Path, step: int):
    """Return a writer for TensorBoard that goes on from a step, None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder / "tensorboard", purge_step=step)
