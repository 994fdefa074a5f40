"""A run is one value: everything that determines the weights it ends with (chapters 07 and 12)."""

import dataclasses
import math
from dataclasses import dataclass

import torch

from swin_tutorial.data.augmentation import Augmentation
from swin_tutorial.model import SwinConfig, SwinTransformer
from swin_tutorial.training.baseline import ResNet, ResNetConfig

ARCHITECTURES = {"swin": (SwinConfig, SwinTransformer), "resnet": (ResNetConfig, ResNet)}


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that determines the weights that a run ends with, on a given machine.

    Each field, and each of ``model`` and ``augmentation``, is an option of ``swin-tutorial train``.

    Args:
        model: what is trained
        augmentation: how the training images are changed at random
        data: a data set's name, or a folder of images
        image_size: pixels per side to which a folder's images are scaled
        epochs: how often to go through the training images
        batch_size: images in one step, over all processes
        grad_accum_steps: pieces that each process splits its batch into, to save memory
        lr: the peak learning rate, after the warm-up
        warmup_epochs: epochs in which the learning rate rises from 0
        weight_decay: AdamW's; biases, norms and position biases do not decay
        clip_norm: the largest norm of the gradient; 0 for no limit
        label_smoothing: share of the target that is spread over all classes
        ema_decay: decay of the moving average of the weights; 0 for no average
        bf16: compute in bfloat16 where that is safe
        compile: compile the model: slow to start, then fast
        seed: of the first weights, the batches and everything else that is drawn
        evaluate_every: epochs between two evaluations on the test images
        save_every: steps between two checkpoints
        log_every: steps between two lines of metrics.jsonl

    Raises ValueError for a value that makes no sense, naming it.
    """

    model: SwinConfig | ResNetConfig
    augmentation: Augmentation
    data: str = "fashion-mnist-subset"
    image_size: int = 224
    epochs: int = 10
    batch_size: int = 128
    grad_accum_steps: int = 1
    lr: float = 1e-3
    warmup_epochs: float = 1.0
    weight_decay: float = 0.05
    clip_norm: float = 5.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.999
    bf16: bool = False
    compile: bool = False
    seed: int = 0
    evaluate_every: int = 1
    save_every: int = 200
    log_every: int = 20

    def __post_init__(self):
        every = ("evaluate_every", "save_every", "log_every")
        for name in ("image_size", "epochs", "batch_size", "grad_accum_steps", *every):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("label_smoothing", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        for name in ("lr", "warmup_epochs", "weight_decay", "clip_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and not negative: {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    def as_dict(self) -> dict:
        """Return the configuration as plain values, as in a run's config.json."""
        kinds = {config: name for name, (config, _) in ARCHITECTURES.items()}
        return {"architecture": kinds[type(self.model)], **dataclasses.asdict(self)}

    @staticmethod
    def from_dict(values: dict) -> "TrainingConfig":
        """Return the configuration that ``as_dict``, or JSON made of it, describes."""
        values = dict(values)
        kind = ARCHITECTURES[values.pop("architecture")][0]
        model = {k: tuple(v) if isinstance(v, list) else v for k, v in values.pop("model").items()}
        augmentation = Augmentation(**values.pop("augmentation"))
        return TrainingConfig(kind(**model), augmentation, **values)


def build_model(config: TrainingConfig) -> SwinTransformer | ResNet:
    """Return the untrained model of a run, its weights drawn from the run's seed."""
    torch.manual_seed(config.seed)
    _, architecture = next(a for a in ARCHITECTURES.values() if isinstance(config.model, a[0]))
    return architecture(config.model)


def for_dataset(config: TrainingConfig, in_chans: int, num_classes: int) -> TrainingConfig:
    """Return the configuration with the model's input and output as the images demand them."""
    model = dataclasses.replace(config.model, in_chans=in_chans, num_classes=num_classes)
    return dataclasses.replace(config, model=model)
