"""The training loop: one process or many, stopped and resumed at any step (chapters 07 and 12).

A run is a folder.  Everything random in it is drawn from (seed, step, rank): the batch, its
augmentation, and what stochastic depth leaves out.  So the number of the step is the whole position
of a run, no state of a random generator is kept, and on a CPU a resumed run goes on bit for bit.
"""

import contextlib
import copy
import dataclasses
import hashlib
import io
import json
import math
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from swin_tutorial.augmentation import Augmentation
from swin_tutorial.baseline import ResNet, ResNetConfig
from swin_tutorial.data import DeviceBatches, evaluation_batches, load_images
from swin_tutorial.model import PRESETS as MODELS
from swin_tutorial.model import SwinConfig, SwinTransformer

# --- what determines a run ---

ARCHITECTURES = {"swin": (SwinConfig, SwinTransformer), "resnet": (ResNetConfig, ResNet)}


def _option(default, text: str):
    """Return a dataclass field with the help text of its command-line option."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that determines the weights that a run ends with, on a given machine.

    Each field, and each of ``model`` and ``augmentation``, is an option of ``swin-tutorial train``.
    Raises ValueError for a value that makes no sense, naming it.
    """

    model: SwinConfig | ResNetConfig
    augmentation: Augmentation
    data: str = _option("fashion-mnist-subset", "a data set's name, or a folder of images")
    epochs: int = _option(10, "how often to go through the training images")
    batch_size: int = _option(128, "images in one step, over all processes")
    accumulation: int = _option(1, "parts that each process cuts its batch into, to save memory")
    learning_rate: float = _option(1e-3, "its peak, after the warm-up")
    warmup_epochs: float = _option(1.0, "epochs in which the learning rate rises from 0")
    weight_decay: float = _option(0.05, "AdamW's, of everything but biases, norms and the like")
    clip_norm: float = _option(5.0, "the gradient's largest norm; inf for no limit")
    label_smoothing: float = _option(0.1, "part of the target that is spread over all classes")
    ema_decay: float = _option(0.999, "of the moving average of the weights; 0 for none")
    bf16: bool = _option(False, "compute in bfloat16 where that is safe")
    compile: bool = _option(False, "compile the model: slow to begin with, then fast")
    without: str = _option("", "ablation: leave out the 'shift', or the 'mask'")
    seed: int = _option(0, "of the first weights, the batches and all else that is drawn")
    evaluate_every: int = _option(1, "epochs between two looks at the test images")
    save_every: int = _option(200, "steps between two checkpoints")
    log_every: int = _option(20, "steps between two lines of metrics.jsonl")

    def __post_init__(self):
        names = ("epochs", "batch_size", "accumulation", "evaluate_every", "save_every")
        for name in (*names, "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("label_smoothing", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        for name in ("learning_rate", "warmup_epochs", "weight_decay", "clip_norm"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.without not in ("", "shift", "mask"):
            raise ValueError(f"without must be 'shift', 'mask' or empty, got {self.without!r}")
        if self.without and not isinstance(self.model, SwinConfig):
            raise ValueError(f"without={self.without!r}: only a Swin Transformer has that")

    def as_dict(self) -> dict:
        """Return the configuration as plain values, as they stand in a run's config.json."""
        kinds = {config: name for name, (config, _) in ARCHITECTURES.items()}
        return {"architecture": kinds[type(self.model)], **dataclasses.asdict(self)}

    @staticmethod
    def from_dict(values: dict) -> "TrainingConfig":
        """Return the configuration that ``as_dict`` (or JSON made of it) describes."""
        values = dict(values)
        kind = ARCHITECTURES[values.pop("architecture")][0]
        model = {k: tuple(v) if isinstance(v, list) else v for k, v in values.pop("model").items()}
        augmentation = Augmentation(**values.pop("augmentation"))
        return TrainingConfig(kind(**model), augmentation, **values)


SMALL_SWIN = SwinConfig(
    channels=32, depths=(2, 4), heads=(1, 2), window_size=7, patch_size=2, stochastic_depth=0.05
)
PRESETS = {
    # Two CPU cores, 5 minutes.
    "quick": TrainingConfig(
        SMALL_SWIN,
        Augmentation(crop_padding=1, flip=True),
        epochs=20,
        learning_rate=2e-3,
        warmup_epochs=2.0,
        clip_norm=1.0,
    ),
}


def build_model(config: TrainingConfig) -> SwinTransformer | ResNet:
    """Return the untrained model of a run, its weights drawn from the run's seed."""
    torch.manual_seed(config.seed)
    _, architecture = next(a for a in ARCHITECTURES.values() if isinstance(config.model, a[0]))
    model = architecture(config.model)
    for block in model.all_blocks() if config.without else ():
        if config.without == "shift":
            block.shift_size = 0
        else:  # attention gets the windows, and never a mask
            block.attn.register_forward_pre_hook(lambda attention, windows_mask: windows_mask[:1])
    return model


# --- one step ---


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Part the parameters into those that decay and those that do not, for AdamW.

    Biases, norms and the scale of V2's scores do not; nor does what makes the position bias, V1's
    table and V2's network.  Source: Swin, appendix A2.1, and the official code.
    """
    decaying, free = [], []
    for name, parameter in model.named_parameters():
        is_position = any(part in name for part in ("relative_position_bias", "cpb_mlp"))
        is_free = parameter.ndim < 2 or is_position or name.endswith("logit_scale")
        (free if is_free else decaying).append(parameter)
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]


def learning_rate(step: int, steps_per_epoch: int, config: TrainingConfig) -> float:
    """Return the learning rate of a step, counted from 0: a line up, then half a cosine down."""
    warmup, total = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(total - warmup, 1)
    return config.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def training_step(
    forward: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Float[Tensor, "b rgb h w"],
    targets: Float[Tensor, "b classes"],
    config: TrainingConfig,
) -> Float[Tensor, "2"]:
    """Change the weights once, and return the loss and the norm of its gradient.

    Both stay on the device: asking for a number would make a GPU wait for us in every step.
    """
    optimizer.zero_grad()
    loss = torch.zeros((), device=images.device)
    parts = list(zip(images.chunk(config.accumulation), targets.chunk(config.accumulation)))
    for number, (part, wanted) in enumerate(parts, start=1):
        # Many processes add up their gradients only once they are complete.
        is_early = number < len(parts) and isinstance(forward, DistributedDataParallel)
        with forward.no_sync() if is_early else contextlib.nullcontext():
            with torch.autocast(images.device.type, torch.bfloat16, enabled=config.bf16):
                scores = forward(part)
            each = F.cross_entropy(scores.float(), wanted, label_smoothing=config.label_smoothing)
            share = each * len(part) / len(images)
            share.backward()
        loss += share.detach()
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, config.clip_norm)
    optimizer.step()
    return torch.stack([loss, norm])


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move averaged weights a little towards the model's: further in the first steps of a run."""
    decay = min(decay, (1 + step) / (10 + step))
    ours, theirs = average.state_dict(), model.state_dict()
    floating = [name for name in ours if ours[name].is_floating_point()]
    torch._foreach_lerp_(
        [ours[name] for name in floating], [theirs[name] for name in floating], 1 - decay
    )


# --- how good is it ---


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of labelled images, each counted once.

    Args:
        confusion: how many images of a class (row) were taken for which class (column).
        loss: mean cross-entropy, without label smoothing.
    """

    confusion: Int[Tensor, "truth predicted"]
    loss: float

    @property
    def accuracy(self) -> float:
        """The part of all images that was recognised."""
        return (self.confusion.trace() / self.confusion.sum()).item()

    @property
    def class_accuracies(self) -> list[float]:
        """The part of each class's images that was recognised."""
        return (self.confusion.diagonal() / self.confusion.sum(1)).tolist()


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], classes: int
) -> Evaluation:
    """Return how well a model does on (images, labels) batches, those of all processes together.

    In single precision, whatever the run was trained in: a stored model then gets the same score
    on another machine.
    """
    device = next(model.parameters()).device
    confusion = torch.zeros(classes**2, dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    model.eval()
    for images, labels in batches:
        scores = model(images)
        loss += F.cross_entropy(scores, labels, reduction="sum")
        confusion += torch.bincount(labels * classes + scores.argmax(1), minlength=classes**2)
    model.train()
    total_over_processes(confusion, loss)
    return Evaluation(confusion.view(classes, classes).cpu(), (loss / confusion.sum()).item())


@torch.no_grad()
def worst_mistakes(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], count: int = 24
) -> dict[str, Shaped[Tensor, "count ..."]]:
    """Return the images of which a model was surest and yet wrong: the surest one first.

    The tensors are ``images``, ``truth``, ``predicted`` and ``confidence``.
    """
    worst = {}
    model.eval()
    for images, labels in batches:
        confidence, predicted = model(images).softmax(1).max(1)
        found = {
            "images": images,
            "truth": labels,
            "predicted": predicted,
            "confidence": confidence,
        }
        wrong = predicted != labels
        found = {name: one[wrong].cpu() for name, one in found.items()}
        worst = {name: torch.cat([worst[name], found[name]]) for name in worst} or found
        order = worst["confidence"].argsort(descending=True, stable=True)[:count]
        worst = {name: one[order] for name, one in worst.items()}
    model.train()
    return worst


# --- files: whole or not there ---

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
WEIGHTS, MISTAKES = "model.safetensors", "mistakes.safetensors"
CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"


class TrainingError(RuntimeError):
    """A run that cannot go on.  The message says why, and what there is to go on from."""


class Stopped(TrainingError):
    """A run that was asked to stop, and saved a checkpoint first."""


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
        raise TrainingError(
            f"cannot write {path} ({len(content):,} bytes): {error.strerror}.  The last good "
            "checkpoint is kept: make room, then go on with --resume"
        ) from error


def load_checkpoint(folder: Path, config: TrainingConfig) -> dict | None:
    """Return the newest checkpoint of a run, None if it has none.

    Raises TrainingError for a damaged one, and for one of another configuration.
    """
    path, previous = folder / CHECKPOINT, folder / PREVIOUS
    if not path.exists():  # killed between the two renamings of write_file
        path = previous
    if not path.exists():
        return None
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        differing = differences(checkpoint["config"], config.as_dict())
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
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


def load_run(folder: Path) -> tuple[TrainingConfig, SwinTransformer | ResNet]:
    """Return the configuration and the trained model of a finished run."""
    config = TrainingConfig.from_dict(json.loads((folder / CONFIG).read_text()))
    model = build_model(config)
    model.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    return config, model.eval()


# --- one process or many ---


def rank() -> int:
    """Return this process's number; process 0 is the one that writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def total_over_processes(*tensors: Tensor) -> None:
    """Replace each tensor, in place, by its sum over all processes."""
    for tensor in tensors if dist.is_initialized() else ():
        dist.all_reduce(tensor)


@contextlib.contextmanager
def processes(device: str | None) -> Iterator[torch.device]:
    """Join the processes that torchrun started, if it did, and give this one its device."""
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if not dist.is_torchelastic_launched():
        yield torch.device(kind)
        return
    if kind == "cuda":
        kind = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(kind)
    dist.init_process_group("nccl" if "cuda" in kind else "gloo")
    try:
        yield torch.device(kind)
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Compute the same twice, on a CPU; there a few sums depend on the threads' timing otherwise.

    GPUs would pay with speed, and are left as they are.
    """
    before = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # slow, and for debugging
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filling


class StopSignals:
    """Take note of Ctrl-C and SIGTERM instead of dying at once.  A second one does kill."""

    def __enter__(self) -> "StopSignals":
        self.received = 0
        self._before = {}
        with contextlib.suppress(ValueError):  # only the main thread may
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _) -> None:
        self.received = number
        self.__exit__()


# --- a run ---


class Run:
    """A model on its way from random weights to trained ones, and its folder.

    Only process 0 writes there; all of them read, so they must see the same folder.
    """

    def __init__(
        self, config: TrainingConfig, folder: Path, images: tuple, device: torch.device
    ):
        train_images, self.test_images = images
        self.folder, self.device = folder, device
        self.classes = train_images.classes
        self.config = config
        self.model = build_model(config).to(device)
        self.average = copy.deepcopy(self.model) if config.ema_decay else None
        groups = parameter_groups(self.model, config.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, fused=device.type == "cuda")
        self.batches = DeviceBatches(
            train_images,
            config.batch_size,
            device,
            seed=config.seed,
            augmentation=config.augmentation,
            rank=rank(),
            world_size=world_size(),
        )
        self.steps = config.epochs * len(self.batches)
        self.step = 0
        self.sums = torch.zeros(3, device=device)  # of loss, gradient norm and steps, since a log
        self.seconds = {"training": 0.0, "evaluation": 0.0}
