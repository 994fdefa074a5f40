"""What a question is: an exercise has one right answer, an investigation may have many."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Exercise:
    """A function for the reader to write.

    ``solution`` gives the right answer to every case; a case is the tuple of its arguments.
    """

    solution: Callable
    cases: list[tuple]


@dataclass(frozen=True)
class Investigation:
    """A question about something that the reader looks for.

    ``validate`` says what is wrong with an answer, "" if nothing is; ``solution`` is one right
    answer.
    """

    validate: Callable[[Any], str]
    solution: Any


def numbered_map(height: int, width: int) -> Int[Tensor, "2 height width 3"]:
    """Return two images of three channels in which every number occurs once."""
    return torch.arange(2 * height * width * 3).view(2, height, width, 3)


def random_tensor(*shape: int) -> Float[Tensor, "..."]:
    """Return normal random numbers, the same ones whenever the shape is the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
