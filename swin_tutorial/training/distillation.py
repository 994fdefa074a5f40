"""A run may learn from a trained model too: what that one answers is mixed into the targets.

Source: Hinton, Vinyals and Dean (2015), Distilling the Knowledge in a Neural Network, at a
temperature of 1.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from swin_tutorial.data.paths import find_data
from swin_tutorial.training.config import TrainingConfig
from swin_tutorial.training.files import SUMMARY, read_json
from swin_tutorial.training.run_folder import load_run


class Teacher:
    """A trained model, and how much its answers count.

    Args:
        config: of the run that learns: its ``teacher``, its ``teacher_weight``, its ``bf16``.
        device: where it computes.

    Raises FileNotFoundError or ValueError, naming the folder or the file, if there is no such
    model, or if it was trained on images of other classes or channels.
    """

    def __init__(self, config: TrainingConfig, device: torch.device):
        folder = teacher_folder(config.teacher)
        taught, self.model = load_run(folder)
        for name in ("in_chans", "num_classes"):
            ours, theirs = getattr(config.model, name), getattr(taught.model, name)
            if ours != theirs:
                raise ValueError(
                    f"the teacher in {folder} has {name} {theirs}, and these images need {ours}: "
                    "choose a teacher that was trained on such images"
                )
        self.model.to(device)
        self.weight, self.bf16 = config.teacher_weight, config.bf16
        self.fingerprint: str = read_json(folder / SUMMARY)["weights_sha256"]

    @torch.no_grad()
    def mix_into(
        self, targets: Float[Tensor, "b classes"], images: Float[Tensor, "b rgb h w"]
    ) -> Float[Tensor, "b classes"]:
        """Return the targets with the teacher's probabilities for these very images mixed in."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            scores = self.model(images)
        return targets.lerp(scores.float().softmax(-1), self.weight)


def load_teacher(config: TrainingConfig, device: torch.device) -> Teacher | None:
    """Return the teacher that a configuration asks for, None if it asks for none."""
    return Teacher(config, device) if config.teacher else None


def teacher_folder(name: str) -> Path:
    """Return the folder of a finished run: a path, or the name of one in ``data/results``."""
    folder = Path(name)
    return folder if folder.is_dir() else find_data(f"results/{name}")
