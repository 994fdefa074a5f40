"""A run is a folder, and its files are whole whenever the run was killed (chapters 07 and 12)."""

import contextlib
import hashlib
import json
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from swin_tutorial.training.checkpoint import load_checkpoint, save_checkpoint
from swin_tutorial.training.config import TrainingConfig, build_model
from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.files import (
    CHECKPOINT,
    CONFIG,
    METRICS,
    MISTAKES,
    SUMMARY,
    WEIGHTS,
    append_json,
    has_checkpoint,
    parse_json,
    read_file,
    read_json,
    write_file,
    write_json,
)
from swin_tutorial.training.processes import gather, in_all_processes, rank
from swin_tutorial.training.run_lock import locked


class RunFolder:
    """The folder of a run in progress.  All processes read it, only process 0 writes to it.

    ``begin`` takes the folder for this run; the end of a ``with`` block gives it back.

    Args:
        path: of the folder.
        config: what is trained.
        fingerprints: of the "training images", the "test images" and, if there is a teacher, of the
            "teacher weights".
        machine: what computes the run, as ``processes.machine`` says it.

    Every method raises TrainingError, naming the file, if the disk refuses.
    """

    def __init__(
        self, path: Path, config: TrainingConfig, fingerprints: dict[str, str], machine: dict
    ):
        self.path, self.config = path, config.as_dict()
        self.fingerprints, self.machine = fingerprints, machine
        self.writes = rank() == 0
        self._tensorboard = None
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_) -> None:
        self._lock.close()

    def begin(self, resume: bool) -> dict | None:
        """Make the folder, and return the checkpoint to go on from, None for a new run.

        Raises TrainingError if the folder has a run and ``resume`` is not set, or if another run is
        in it, and as ``load_checkpoint`` does.  What one process cannot do ends all of them.
        """
        in_all_processes(lambda: self._take(resume))
        checkpoint = in_all_processes(
            lambda: load_checkpoint(self.path, self.config, self.fingerprints)
        )
        step = checkpoint["step"] if checkpoint else 0
        steps = gather(step)  # and nobody writes before everybody has read
        if len(set(steps)) > 1:
            raise TrainingError(
                f"the processes do not see the same {self.path / CHECKPOINT}: for them, the run is "
                f"at the steps {steps}.  Give a --folder that all machines share"
            )
        in_all_processes(lambda: self._prepare(step))
        return checkpoint

    def _take(self, resume: bool) -> None:
        """Make the folder and lock it, unless that would cost somebody a file."""
        if not self.writes:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"cannot make the folder {self.path}: {error.strerror}") from error
        self._lock.enter_context(locked(self.path))
        if has_checkpoint(self.path):
            if not resume:
                raise TrainingError(
                    f"{self.path} has a run already: go on with --resume, or choose another "
                    "--folder"
                )
        elif any((self.path / name).exists() for name in (SUMMARY, WEIGHTS)):
            raise TrainingError(
                f"{self.path} has a finished run, and no checkpoint to go on from: choose another "
                "--folder"
            )
        elif (self.path / CONFIG).exists():
            load_config(self.path)  # ValueError for a file of somebody else's that has this name

    def _prepare(self, step: int) -> None:
        """Bring the files to where they were at a step."""
        if not self.writes:
            return
        write_json(self.path / CONFIG, self.config)
        # What was logged after the step will be logged again.
        lines = [json.dumps(line) for line in read_metrics(self.path) if line["step"] <= step]
        write_file(self.path / METRICS, "".join(f"{line}\n" for line in lines).encode())
        self._tensorboard = _tensorboard_writer(self.path, step)

    def log_metrics(self, line: dict) -> None:
        """Add a line to the log, and to TensorBoard's where that is installed."""
        if not self.writes:
            return
        append_json(self.path / METRICS, line)
        if self._tensorboard:
            for name, value in line.items():
                if isinstance(value, float):
                    self._tensorboard.add_scalar(name, value, line["step"])

    def save_checkpoint(self, state: dict) -> None:
        """Write a checkpoint, and keep the one before it as another file."""
        if self.writes:
            origin = {"fingerprints": self.fingerprints, "machine": self.machine}
            save_checkpoint(self.path, {"config": self.config, **origin, **state})

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

    Raises FileNotFoundError if the folder has none, and ValueError, naming the file, if a file is
    damaged or is not the one that the run wrote.
    """
    missing = [name for name in (CONFIG, WEIGHTS, SUMMARY) if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no finished run, it lacks {', '.join(missing)}: train it to its end"
        )
    config, path = load_config(folder), folder / WEIGHTS
    content, summary = read_file(path), read_json(folder / SUMMARY)
    if hashlib.sha256(content).hexdigest() != summary.get("weights_sha256"):
        raise ValueError(
            f"{path} is not what the run wrote, its checksum is not the one in {SUMMARY}: restore "
            "it, or train again"
        )
    model = build_model(config)
    try:
        model.load_state_dict(safetensors.torch.load(content))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"{path} does not fit the model that {CONFIG} describes: restore both, or train again"
        ) from error
    return config, model.eval()


def load_config(folder: Path) -> TrainingConfig:
    """Return the configuration of a run.  ValueError, naming the file, if it holds none."""
    path = folder / CONFIG
    values = read_json(path)
    try:
        return TrainingConfig.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def read_metrics(folder: Path) -> list[dict]:
    """Return the lines of a run's log, oldest first.

    Raises ValueError, naming the line, for one that no run wrote.
    """
    path = folder / METRICS
    lines = read_file(path).splitlines(keepends=True) if path.exists() else []
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break  # half a line, which a killed run left, is no line
        values = parse_json(line, f"line {number} of {path}")
        if not isinstance(values.get("step"), int):
            raise ValueError(f"line {number} of {path} has no step: move the file aside")
        found.append(values)
    return found


def _tensorboard_writer(folder: Path, step: int):
    """Return a writer for TensorBoard that goes on from a step, None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder / "tensorboard", purge_step=step)
