"""How good a model is on labelled images, and where it fails worst (chapter 07)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Int, Shaped
from torch import Tensor, nn

from swin_tutorial.data.batches import evaluation_batches
from swin_tutorial.modes import evaluation_mode
from swin_tutorial.training.datasets import Images, load_data
from swin_tutorial.training.files import SUMMARY, read_json
from swin_tutorial.training.processes import all_reduce_sum, rank, world_size
from swin_tutorial.training.run_folder import load_run

EVALUATION_BATCH = 500  # images at a time in each process


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
        """Fraction of all images classified correctly."""
        return int(self.confusion.trace()) / int(self.confusion.sum())

    @property
    def class_accuracies(self) -> list[float]:
        """Fraction of each class's images classified correctly; 0 for a class without images."""
        return (self.confusion.diagonal() / self.confusion.sum(1).clamp(min=1)).tolist()

    def as_metrics(self) -> dict:
        """Return what a run logs of it."""
        return {
            "test_accuracy": self.accuracy,
            "test_loss": self.loss,
            "class_accuracies": self.class_accuracies,
        }


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], num_classes: int
) -> Evaluation:
    """Return how well a model does on (images, labels) batches, those of all processes together.

    Computes in single precision, whatever the run was trained in: a stored model then gets the
    same score on another machine.  Leaves the model as it was.

    Raises ValueError if the model has more outputs than there are classes.
    """
    device = next(model.parameters()).device
    confusion = torch.zeros(num_classes**2, dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    with evaluation_mode(model):
        for images, labels in batches:
            scores = model(images)
            if scores.shape[1] > num_classes:
                raise ValueError(
                    f"the model has {scores.shape[1]} outputs, which is more than {num_classes} "
                    "classes: give the number of classes that it was trained on"
                )
            loss += F.cross_entropy(scores, labels, reduction="sum")
            cell = labels * num_classes + scores.argmax(1)
            confusion += torch.bincount(cell, minlength=num_classes**2)
    all_reduce_sum(confusion, loss)
    mean_loss = (loss / confusion.sum()).item()
    return Evaluation(confusion.view(num_classes, num_classes).cpu(), mean_loss)


def evaluate_images(model: nn.Module, images: Images, device: torch.device) -> Evaluation:
    """Return how well a model does on a set of images, which all processes share."""
    batch_size = EVALUATION_BATCH * world_size()
    batches = evaluation_batches(images, batch_size, device, rank(), world_size())
    return evaluate(model, batches, len(images.classes))


def evaluate_run(folder: Path, data_folder: Path | None = None) -> Evaluation:
    """Return how well the trained model of a finished run does on its test images.

    Raises FileNotFoundError or ValueError as ``load_run`` and ``load_data`` do, and ValueError if
    the images have other classes than those that the model was trained on.
    """
    config, model = load_run(folder)
    _, images = load_data(config, data_folder)
    trained_on = read_json(folder / SUMMARY).get("classes", [])
    if list(images.classes) != trained_on:
        raise ValueError(
            f"the classes of {config.data} are {list(images.classes)}, and the model in {folder} "
            f"was trained on {trained_on}, as its {SUMMARY} says: restore both, or train anew"
        )
    return evaluate_images(model, images, torch.device("cpu"))


@torch.no_grad()
def worst_mistakes(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], count: int = 24
) -> dict[str, Shaped[Tensor, "count ..."]]:
    """Return the images of which a model was surest and yet wrong, the surest one first.

    The tensors are ``images``, ``truth``, ``predicted`` and ``confidence``.  Leaves the model as it
    was.
    """
    worst = {}
    with evaluation_mode(model):
        for images, labels in batches:
            confidence, predicted = model(images).softmax(1).max(1)
            found = {
                "images": images,
                "truth": labels,
                "predicted": predicted,
                "confidence": confidence,
            }
            # Add this batch's mistakes to the worst ones so far, and keep the worst of both.
            wrong = predicted != labels
            found = {name: tensor[wrong].cpu() for name, tensor in found.items()}
            worst = {name: torch.cat([worst[name], found[name]]) for name in worst} or found
            order = worst["confidence"].argsort(descending=True, stable=True)[:count]
            worst = {name: tensor[order] for name, tensor in worst.items()}
    return worst
