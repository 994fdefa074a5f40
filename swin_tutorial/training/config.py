"""A run is one value: everything that determines the weights it ends with (chapters 07 and 12)."""

import dataclasses
import math
from dataclasses import dataclass
from types import UnionType

import torch

from swin_tutorial.data.augmentation import Augmentation
from swin_tutorial.model import SwinConfig, SwinTransformer
from swin_tutorial.training.baseline import ResNet, ResNetConfig
from swin_tutorial.training.conv_swin import ConvSwin, ConvSwinConfig
from swin_tutorial.training.machine import own_random_state

ARCHITECTURES = {
    "swin": (SwinConfig, SwinTransformer),
    "conv-swin": (ConvSwinConfig, ConvSwin),
    "resnet": (ResNetConfig, ResNet),
}


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that determines the weights that a run ends with, on a given machine.

    Each field, and each of ``model`` and ``augmentation``, is an option of ``swin-tutorial train``.

    Args:
        model: what is trained
        augmentation: how the training images are changed at random
        data: a data set's name, or a folder of images
        image_size: pixels per side to which a folder's images are scaled
        image_padding: black pixels added on each side of the images of a named set
        holdout: training images to test on in place of the test images, to choose settings by
        epochs: how often to go through the training images
        batch_size: images in one step, over all processes
        grad_accum_steps: pieces that each process splits its batch into, to save memory
        lr: the peak learning rate, after the warm-up
        warmup_epochs: epochs in which the learning rate rises from 0
        weight_decay: AdamW's; biases, norms and position biases do not decay
        clip_norm: the largest norm of the gradient; 0 for no limit
        label_smoothing: share of the target that is spread over all classes
        ema_decay: decay of the moving average of the weights; 0 for no average
        teacher: the folder of a finished run to learn from too, or its name in data/results
        teacher_weight: the share of the teacher's answers in the targets
        bf16: compute in bfloat16 where that is safe
        compile: compile the model: slow to start, then fast
        seed: of the first weights, the batches and everything else that is drawn
        evaluate_every: epochs between two evaluations on the test images
        save_every: steps between two checkpoints
        log_every: steps between two lines of metrics.jsonl

    Raises ValueError for a value that makes no sense, naming it.
    """

    model: SwinConfig | ConvSwinConfig | ResNetConfig
    augmentation: Augmentation
    data: str = "fashion-mnist-subset"
    image_size: int = 224
    image_padding: int = 0
    holdout: int = 0
    epochs: int = 10
    batch_size: int = 128
    grad_accum_steps: int = 1
    lr: float = 1e-3
    warmup_epochs: float = 1.0
    weight_decay: float = 0.05
    clip_norm: float = 5.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.999
    teacher: str = ""
    teacher_weight: float = 0.5
    bf16: bool = False
    compile: bool = False
    seed: int = 0
    evaluate_every: int = 1
    save_every: int = 200
    log_every: int = 20

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check_type(field.name, getattr(self, field.name), field.type)
        every = ("evaluate_every", "save_every", "log_every")
        for name in ("image_size", "epochs", "batch_size", "grad_accum_steps", *every):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("label_smoothing", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0 < self.teacher_weight <= 1:
            raise ValueError(f"teacher_weight must lie in (0, 1], got {self.teacher_weight}")
        for name in ("lr", "warmup_epochs", "weight_decay", "clip_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and not negative: {getattr(self, name)}")
        for name in ("image_padding", "holdout"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed must lie between 0 and {2**64 - 1}, got {self.seed}")
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs} is longer than the run, {self.epochs} epochs: "
                "the learning rate would never reach its peak"
            )

    def as_dict(self) -> dict:
        """Return the configuration as plain values, as in a run's config.json."""
        kinds = {config: name for name, (config, _) in ARCHITECTURES.items()}
        return {"architecture": kinds[type(self.model)], **dataclasses.asdict(self)}

    @staticmethod
    def from_dict(values: dict) -> "TrainingConfig":
        """Return the configuration that ``as_dict``, or JSON made of it, describes.

        A field that is younger than the values gets its default.  Raises ValueError for a field
        that is younger than this version, and for what is no configuration at all.
        """
        try:
            values = {**values}
            name = values.pop("architecture")
            if name not in ARCHITECTURES:
                raise ValueError(f"it has the architecture {name!r}, {_NEWER}")
            values["model"] = _from_fields(ARCHITECTURES[name][0], values["model"])
            values["augmentation"] = _from_fields(Augmentation, values["augmentation"])
            return _from_fields(TrainingConfig, values)
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"it is not the configuration of a run ({error!r})") from error


_NEWER = "which this swin_tutorial does not know: a newer one made it, so update"


def _from_fields(kind: type, values: dict) -> object:
    unknown = sorted(values.keys() - {field.name for field in dataclasses.fields(kind)})
    if unknown:
        raise ValueError(f"it has the settings {', '.join(unknown)}, {_NEWER}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


_KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a string"}


def _check_type(name: str, value: object, kind: type | UnionType) -> None:
    """Raise ValueError unless a field has its type; a bool is no number, an int may be a float."""
    is_number = kind in (int, float)
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (is_number and isinstance(value, bool)):
        raise ValueError(f"{name} must be {_KINDS.get(kind, kind)}, got {value!r}")


def build_model(config: TrainingConfig) -> SwinTransformer | ResNet:
    """Return the untrained model of a run, its weights drawn from the run's seed."""
    architecture = dict(ARCHITECTURES.values())[type(config.model)]
    with own_random_state():
        torch.manual_seed(config.seed)
        return architecture(config.model)


def for_dataset(config: TrainingConfig, in_chans: int, num_classes: int) -> TrainingConfig:
    """Return the configuration with the model's input and output as the images demand them."""
    model = dataclasses.replace(config.model, in_chans=in_chans, num_classes=num_classes)
    return dataclasses.replace(config, model=model)
