"""What a run measures of itself: mean loss and gradient norm, and where its seconds went."""

import time

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from swin_tutorial.training.processes import all_reduce_sum, world_size


class Meter:
    """Loss and gradient norm, summed since the last log, and a clock for training and evaluation.

    The sums stay on the device, so that no step waits for a number.
    """

    def __init__(self, device: torch.device):
        self.sums = torch.zeros(3, device=device)  # of losses, of gradient norms, number of steps
        self.seconds = {"training": 0.0, "evaluation": 0.0}
        self._last_split = time.perf_counter()

    def add(self, loss_and_norm: Float[Tensor, "2"]) -> None:
        """Count one step."""
        self.sums += F.pad(loss_and_norm, (0, 1), value=1.0)

    def is_finite(self) -> bool:
        """Return whether this process's losses and gradients since the last log are finite."""
        return bool(self.sums.isfinite().all())

    def pop_means(self) -> dict[str, float]:
        """Return the means since the last log, over all processes, and start anew."""
        all_reduce_sum(self.sums)
        loss, grad_norm, steps = self.sums.tolist()
        self.sums.zero_()
        return {"loss": loss / steps, "grad_norm": grad_norm / steps}

    def split_time(self, what: str) -> None:
        """Count the seconds since the last split as spent on "training" or "evaluation"."""
        now = time.perf_counter()
        self.seconds[what] += now - self._last_split
        self._last_split = now

    def state_dict(self) -> dict:
        """Return what a checkpoint keeps.  All processes must call it.

        The sums become their mean over the processes, so that a later total stays right however
        many processes load them.
        """
        all_reduce_sum(self.sums)
        self.sums /= world_size()
        return {"sums": self.sums, "seconds": self.seconds}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a checkpoint; the clock starts now."""
        self.sums.copy_(state["sums"])
        self.seconds = dict(state["seconds"])
        self._last_split = time.perf_counter()
