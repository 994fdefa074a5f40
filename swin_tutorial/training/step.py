"""One step of training, and the state that it changes (chapter 07).

Everything random in a step follows from (seed, step, rank).  So the number of the step is the
whole position of a run: no state of a random generator is kept, and on a CPU a resumed run goes on
bit for bit.
"""

import contextlib
import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from swin_tutorial.data.augmentation import generator
from swin_tutorial.training.config import TrainingConfig, build_model
from swin_tutorial.training.processes import rank


@dataclass
class TrainState:
    """What a step changes, and so what a checkpoint holds.

    Args:
        model: the model that is trained.
        ema: a copy of it with the moving average of its weights, None for no average.
        optimizer: AdamW, with its moments.
        step: steps taken so far.
    """

    model: nn.Module
    ema: nn.Module | None
    optimizer: torch.optim.Optimizer
    step: int = 0

    @property
    def eval_model(self) -> nn.Module:
        """The model that is evaluated and kept: the average, if there is one."""
        return self.model if self.ema is None else self.ema

    def state_dict(self) -> dict:
        """Return the state as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state that ``state_dict`` returned."""
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def initial_state(config: TrainingConfig, device: torch.device) -> TrainState:
    """Return the state before the first step.

    Raises ValueError for a model that cannot be built, or cannot be trained on the device.
    """
    if getattr(config.model, "backend", None) == "flex" and device.type == "cpu":
        raise ValueError(
            "backend 'flex' cannot train on a CPU, where PyTorch's FlexAttention has no backward "
            "pass: use --model.backend sdpa"
        )
    try:
        model = build_model(config).to(device)
    except ImportError as error:  # a backend's package
        raise ValueError(f"{error}") from error
    groups = parameter_groups(model, config.weight_decay)
    return TrainState(
        model,
        ema=copy.deepcopy(model) if config.ema_decay else None,
        optimizer=torch.optim.AdamW(groups, lr=0.0, fused=True),  # take_step sets the rate
    )


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Split the parameters into two groups for AdamW: those that decay, and those that do not.

    Biases, norms, the scale of V2's scores and what makes the position bias (V1's table, V2's
    network) do not decay.  Source: the official code.  The paper gives only the rate, 0.05.
    """
    decay, no_decay = [], []
    for name, parameter in model.named_parameters():
        is_position = any(part in name for part in ("relative_position_bias", "cpb_mlp"))
        is_exempt = parameter.ndim < 2 or is_position or name.endswith("logit_scale")
        (no_decay if is_exempt else decay).append(parameter)
    return [
        {"params": decay, "weight_decay": weight_decay},
        {"params": no_decay, "weight_decay": 0.0},
    ]


def learning_rate(step: int, steps_per_epoch: int, config: TrainingConfig) -> float:
    """Return the learning rate of a step, counted from 0: linear warm-up, cosine decay."""
    warmup, total = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(total - warmup, 1)
    return config.lr * (1 + math.cos(math.pi * progress)) / 2


def take_step(
    state: TrainState,
    forward: nn.Module,
    images: Float[Tensor, "b rgb h w"],
    targets: Float[Tensor, "b classes"],
    steps_per_epoch: int,
    config: TrainingConfig,
) -> Float[Tensor, "2"]:
    """Move the state on by one step.  Returns the loss and the gradient norm, on the device.

    ``forward`` is the state's model, or what DistributedDataParallel or torch.compile made of it.
    """
    # 1. What is random in the model, dropout and stochastic depth, is drawn for this step alone.
    torch.manual_seed(int(generator("model", config.seed, state.step, rank()).integers(2**63)))

    # 2. The learning rate follows from the step.
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(state.step, steps_per_epoch, config)

    # 3. Change the weights.
    loss_and_norm = training_step(forward, state.optimizer, images, targets, config)

    # 4. The average follows them.
    if state.ema is not None:
        update_ema(state.ema, state.model, config.ema_decay, state.step)
    state.step += 1
    return loss_and_norm


def training_step(
    forward: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Float[Tensor, "b rgb h w"],
    targets: Float[Tensor, "b classes"],
    config: TrainingConfig,
) -> Float[Tensor, "2"]:
    """Take one optimizer step.

    Returns the loss and the gradient norm as a tensor on the device; reading them here would stall
    a GPU in every step.
    """
    optimizer.zero_grad()
    loss = torch.zeros((), device=images.device)
    pieces = images.chunk(config.grad_accum_steps)
    targets_of_pieces = targets.chunk(config.grad_accum_steps)
    for i, (x, y) in enumerate(zip(pieces, targets_of_pieces, strict=True), start=1):
        # Many processes add up their gradients only once these are complete.
        is_early = i < len(pieces) and hasattr(forward, "no_sync")
        with forward.no_sync() if is_early else contextlib.nullcontext():
            # Matrix products in bfloat16 on request, the loss always in single precision.
            with torch.autocast(images.device.type, torch.bfloat16, enabled=config.bf16):
                scores = forward(x)
            mean = F.cross_entropy(scores.float(), y, label_smoothing=config.label_smoothing)
            # Pieces may differ in size, so each counts by its share of the images.
            share = mean * len(x) / len(images)
            share.backward()
        loss += share.detach()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, config.clip_norm or math.inf)
    optimizer.step()
    return torch.stack([loss, norm])


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights a little towards the model's.

    In the first steps of a run they move further, so that the random first weights are soon
    forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    averaged, current = ema.state_dict(), model.state_dict()
    floating = [name for name in averaged if averaged[name].is_floating_point()]
    torch._foreach_lerp_(
        [averaged[name] for name in floating], [current[name] for name in floating], 1 - decay
    )
