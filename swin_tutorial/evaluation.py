"""How good a model is on labelled images, and where it fails worst (chapter 07)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Int, Shaped
from torch import Tensor, nn

from swin_tutorial.processes import total_over_processes


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
        return int(self.confusion.trace()) / int(self.confusion.sum())

    @property
    def class_accuracies(self) -> list[float]:
        """The part of each class's images that was recognised; 0 for a class without images."""
        return (self.confusion.diagonal() / self.confusion.sum(1).clamp(min=1)).tolist()


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
