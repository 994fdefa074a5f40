"""What a question is: a function to write, or something to find."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from swin_tutorial.audit.museum import MUSEUM
from swin_tutorial.audit.specimen import Specimen


@dataclass(frozen=True)
class WrongWay:
    """A mistake that people make in an exercise.

    Args:
        name: what it is called, a few words.
        sentence: what went wrong and how to fix it, to the person who made it.
        attempt: the wrong function.
    """

    name: str
    sentence: str
    attempt: Callable


@dataclass(frozen=True)
class Exercise:
    """A function for the reader to write.

    Args:
        solution: gives the right answer to every case.
        cases: tuples of arguments.
        draw_case: returns one more tuple of arguments; the checks draw some, always the same.
        wrong_ways: mistakes that are recognized by what they answer.
        judge: takes the answer and the arguments, and says what is wrong with it, "" if nothing is;
            for exercises with many right answers.  By default the answer must equal the solution's.
        picture: what the answer is, if it can be drawn: a map of labels, or masks of windows.
        keeps_arguments: whether an attempt must leave the tensors that it was given as they are.
    """

    solution: Callable
    cases: Sequence[tuple]
    draw_case: Callable[[random.Random], tuple] | None = None
    wrong_ways: tuple[WrongWay, ...] = ()
    judge: Callable[..., str] | None = None
    picture: Literal["map", "mask"] | None = None
    keeps_arguments: bool = False

    def all_cases(self) -> list[tuple]:
        """Return the fixed cases and the drawn ones."""
        drawn = [self.draw_case(random.Random(seed)) for seed in range(8)] if self.draw_case else []
        return [*self.cases, *drawn]


@dataclass(frozen=True)
class Investigation:
    """A question about something that the reader looks for.

    Args:
        validate: says what is wrong with an answer, "" if nothing is.
        solution: one right answer.
        kind: what an answer is, in words, for one that is something else.
        explain: says, to those who gave a right answer, what they have found.
    """

    validate: Callable[[Any], str]
    solution: Any
    kind: str
    explain: Callable[[Any], str] = lambda answer: ""


def from_museum(ask: Callable[..., Any], *names: str) -> tuple[WrongWay, ...]:
    """Return the ways in which mistakes of the museum answer an exercise.

    ``ask`` puts the exercise to a specimen: it takes the class, then the arguments of a case.
    """

    def asked(specimen: type[Specimen]) -> Callable:
        return lambda *case: ask(specimen, *case)

    return tuple(
        WrongWay(name, MUSEUM[name].sentence, asked(MUSEUM[name].specimen)) for name in names
    )


def known_mistake(name: str, attempt: Callable) -> WrongWay:
    """Return a mistake of the museum, made in an exercise that no specimen can be asked."""
    return WrongWay(name, MUSEUM[name].sentence, attempt)


def numbered_map(height: int, width: int) -> Int[Tensor, "2 height width 3"]:
    """Return two images of three channels in which every number occurs once."""
    return torch.arange(2 * height * width * 3).view(2, height, width, 3)


def random_tensor(*shape: int) -> Float[Tensor, "..."]:
    """Return normal random numbers, the same ones whenever the shape is the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
