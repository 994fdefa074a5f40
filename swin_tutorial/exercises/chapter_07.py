"""Chapter 07, training: the learning rate, the targets, and who gets which images."""

import math
import random
from collections import Counter
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swin_tutorial.data.augmentation import mix_targets
from swin_tutorial.exercises.answers import plain
from swin_tutorial.exercises.exercise import Exercise, WrongWay

LABELS, OTHERS = torch.tensor([2, 0, 3, 1]), torch.tensor([2, 1, 0, 3])
LAM = torch.tensor([0.5, 1.0, 0.25, 0.7])


# --- 7.1: the learning rate ---


def rate_at(step: int, steps: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * (1 + math.cos(math.pi * fallen(step, steps, warmup))) / 2


def fallen(step: int, steps: int, warmup: int) -> float:
    """Return how much of the way down lies behind this step, 0 to 1."""
    return (step - warmup) / (steps - warmup)


def after_warmup(way_down):
    """Return an attempt that warms up rightly and then falls in another way."""
    return lambda step, steps, warmup, peak: (
        rate_at(step, steps, warmup, peak) if step < warmup else way_down(step, steps, warmup, peak)
    )


def other_warmup(way_up):
    """Return an attempt that warms up in another way and then falls rightly."""
    return lambda step, steps, warmup, peak: (
        way_up(step, warmup, peak) if step < warmup else rate_at(step, steps, warmup, peak)
    )


RATE_WAYS = (
    WrongWay(
        "starts at zero",
        "Your first step has a rate of 0, so it changes nothing. Count the strides up: step 0 "
        "already stands one stride above 0, at (step + 1) / (warmup + 1).",
        other_warmup(lambda step, warmup, peak: peak * step / warmup),
    ),
    WrongWay(
        "peak one step early",
        "Your rate reaches the peak in the last step of the warm-up. It should reach it at step "
        "`warmup`, one step later, so there are warmup + 1 strides.",
        other_warmup(lambda step, warmup, peak: peak * (step + 1) / warmup),
    ),
    WrongWay(
        "no warm-up",
        "Your rate starts at the peak or near it. Treat the steps below `warmup` apart: there it "
        "rises in a straight line.",
        lambda step, steps, warmup, peak: rate_at(step, steps, 0, peak),
    ),
    WrongWay(
        "cosine counted from step 0",
        "Your cosine starts at step 0, so it has already fallen when the warm-up ends. Start it "
        "at `warmup`: (step - warmup) / (steps - warmup) goes from 0 to 1.",
        after_warmup(lambda step, steps, warmup, peak: rate_at(step, steps, 0, peak)),
    ),
    WrongWay(
        "straight line down",
        "You fall in a straight line. Put that share of the way into a cosine: "
        "(1 + cos(π · share)) / 2.",
        after_warmup(lambda step, steps, warmup, peak: peak * (1 - fallen(step, steps, warmup))),
    ),
    WrongWay(
        "a quarter of a cosine",
        "Your cosine goes from 0 to π/2 and stops in its steepest place. Half a cosine goes from "
        "0 to π, from 1 to -1. Shift and halve it so that it ends at 0.",
        after_warmup(
            lambda step, steps, warmup, peak: (
                peak * math.cos(math.pi / 2 * fallen(step, steps, warmup))
            )
        ),
    ),
    WrongWay(
        "down one step early",
        "Your rate is 0 one step before the end. `steps` counts the steps, and the cosine reaches "
        "-1 at `steps` itself: divide by steps - warmup.",
        after_warmup(lambda step, steps, warmup, peak: rate_at(step, steps - 1, warmup, peak)),
    ),
    WrongWay(
        "cosine below zero",
        "Your rate becomes negative in the second half, so the steps go uphill. Add 1 to the "
        "cosine and halve the sum.",
        after_warmup(
            lambda step, steps, warmup, peak: peak * math.cos(math.pi * fallen(step, steps, warmup))
        ),
    ),
)


def draw_rate(rng: random.Random) -> tuple:
    steps = rng.randint(20, 200)
    warmup = rng.randint(3, steps // 3)
    step = rng.choice([rng.randrange(warmup), rng.randint(warmup, steps)])
    return step, steps, warmup, rng.choice([0.001, 0.02, 1.0, 3.0])


# --- 7.2: the targets ---


def soft_targets(
    labels: Tensor, others: Tensor, lam: Tensor, smoothing: float, classes: int
) -> Tensor:
    return (1 - smoothing) * mix_targets(labels, others, lam, classes) + smoothing / classes


def smoothing_for_the_others(labels, others, lam, smoothing, classes):
    mixed = mix_targets(labels, others, lam, classes)
    return (1 - smoothing) * mixed + smoothing * (1 - mixed) / (classes - 1)


def smoothed_labels_only(labels, others, lam, smoothing, classes):
    own = (1 - smoothing) * F.one_hot(labels, classes) + smoothing / classes
    return lam[:, None] * own + (1 - lam[:, None]) * F.one_hot(others, classes)


def overwritten(labels, others, lam, smoothing, classes):
    mixed = torch.zeros(len(labels), classes)
    images = torch.arange(len(labels))
    mixed[images, labels] = lam
    mixed[images, others] = 1 - lam
    return (1 - smoothing) * mixed + smoothing / classes


TARGET_WAYS = (
    WrongWay(
        "shares swapped",
        "You gave `lam` to `others`. It is the share of the image's own label; the others get "
        "1 - lam.",
        lambda labels, others, lam, *rest: soft_targets(others, labels, lam, *rest),
    ),
    WrongWay(
        "no smoothing",
        "Your targets are mixed but not smoothed. Take `smoothing` off all of them and give each "
        "class an equal share of it.",
        lambda labels, others, lam, smoothing, classes: mix_targets(labels, others, lam, classes),
    ),
    WrongWay(
        "smoothing added on top",
        "Your rows sum to more than 1: you added `smoothing` without taking it off first. "
        "Multiply the mixed targets by 1 - smoothing.",
        lambda labels, others, lam, smoothing, classes: (
            mix_targets(labels, others, lam, classes) + smoothing / classes
        ),
    ),
    WrongWay(
        "smoothing for the wrong classes only",
        "You spread `smoothing` over the other classes - 1 classes. Here all classes get an equal "
        "share of it, the right one too: smoothing / classes each.",
        smoothing_for_the_others,
    ),
    WrongWay(
        "only one label smoothed",
        "You smoothed the image's own label and left the other one hard. Mix the two first, then "
        "smooth the mixture.",
        smoothed_labels_only,
    ),
    WrongWay(
        "not mixed",
        "Your targets know the image's own label alone. A share of 1 - lam belongs to `others`.",
        lambda labels, others, lam, *rest: soft_targets(labels, labels, lam, *rest),
    ),
    WrongWay(
        "two of one class",
        "Where both labels are the same, your second share replaces the first, and the row sums to "
        "less than 1. Add the two shares.",
        overwritten,
    ),
    WrongWay(
        "the mean share for all",
        "You used the mean of `lam` for the whole batch. Each image has its own share: give it an "
        "axis for the classes, lam[:, None].",
        lambda labels, others, lam, *rest: soft_targets(
            labels, others, lam.mean().expand(len(labels)), *rest
        ),
    ),
    WrongWay(
        "the first image's share for all",
        "You used the first image's `lam` for the whole batch. Each image has its own: give it an "
        "axis for the classes, lam[:, None].",
        lambda labels, others, lam, *rest: soft_targets(
            labels, others, lam[:1].expand(len(labels)), *rest
        ),
    ),
)


def draw_targets(rng: random.Random) -> tuple:
    images, classes = rng.randint(2, 5), rng.randint(3, 7)
    labels, others = (
        torch.tensor([rng.randrange(classes) for _ in range(images)]) for _ in range(2)
    )
    lam = torch.tensor([round(rng.random(), 2) for _ in range(images)])
    return labels, others, lam, rng.choice([0.1, 0.2, 0.3]), classes


# --- 7.3: the images of each process ---


def stretches(total: int, processes: int) -> list[tuple[int, int]]:
    cuts = [total * rank // processes for rank in range(processes + 1)]
    return list(pairwise(cuts))


def judge_stretches(answer: Any, total: int, processes: int) -> str:
    """Say what is wrong with a split; any fair one will do, whoever gets the longer stretches."""
    parts = pairs_of_whole_numbers(answer)
    if parts is None or len(parts) != processes:
        return f"Return {processes} pairs (first, last) of whole numbers, one for each process."
    times = Counter(image for first, last in parts for image in range(first, last))
    for image in range(total):
        if times[image] != 1:
            return f"Image {image} is taken {times[image]} times, not once."
    lengths = [last - first for first, last in parts]
    if min(lengths) < 0 or sum(lengths) != total:
        return f"Some stretch ends before it begins, or goes beyond the {total} images."
    if max(lengths) - min(lengths) > 1:
        return f"One process takes {max(lengths)} images and another {min(lengths)}."
    return ""


def pairs_of_whole_numbers(answer: Any) -> list[tuple[int, int]] | None:
    """Return an answer as pairs of integers, None if it is none."""
    try:
        parts = [plain(part) for part in plain(answer)]
        pairs = [(int(first), int(last)) for first, last in parts]
    except (TypeError, ValueError, OverflowError):
        return None
    return pairs if pairs == [tuple(part) for part in parts] else None


def chunks(total: int, processes: int, size: int) -> list[tuple[int, int]]:
    """Return stretches of one size, cut off at the last image."""
    starts = [min(rank * size, total) for rank in range(processes)]
    return [(start, min(start + size, total)) for start in starts]


def last_takes_the_rest(total: int, processes: int) -> list[tuple[int, int]]:
    size = total // processes
    return [
        (rank * size, total if rank == processes - 1 else (rank + 1) * size)
        for rank in range(processes)
    ]


STRETCH_WAYS = (
    WrongWay(
        "the remainder is lost",
        "You gave every process total // processes images, so the remainder is evaluated by "
        "nobody. Give one more image to as many processes as the remainder counts.",
        lambda total, processes: chunks(total, processes, total // processes),
    ),
    WrongWay(
        "the last process takes the rest",
        "Your last process takes all of the remainder, and the others wait for it. Give one more "
        "image to as many processes as the remainder counts.",
        last_takes_the_rest,
    ),
    WrongWay(
        "rounded up",
        "You rounded the length of each stretch up, so the last processes get too few images or "
        "none. Round each cut instead of the length.",
        lambda total, processes: chunks(total, processes, -(-total // processes)),
    ),
    WrongWay(
        "last image included",
        "Your stretches leave images out: `last` is excluded, as in a slice. The next stretch "
        "starts at `last` itself.",
        lambda total, processes: [
            (first, max(first, last - 1)) for first, last in stretches(total, processes)
        ],
    ),
    WrongWay(
        "ends rounded up, starts rounded down",
        "Neighbors overlap: you rounded the ends up and the starts down. Where one stretch ends "
        "the next begins, so round both in the same way.",
        lambda total, processes: [
            (total * rank // processes, -(-total * (rank + 1) // processes))
            for rank in range(processes)
        ],
    ),
)


def draw_stretches(rng: random.Random) -> tuple:
    return rng.randint(3, 40), rng.randint(2, 7)


EXERCISES = {
    "rate_at": Exercise(
        rate_at,
        [
            (0, 100, 9, 1.0),
            (9, 100, 9, 0.5),
            (40, 100, 20, 1.0),
            (100, 100, 0, 2.0),
            (0, 7, 0, 1.0),
        ],
        draw_rate,
        RATE_WAYS,
    ),
    "soft_targets": Exercise(
        soft_targets,
        [(LABELS, OTHERS, LAM, 0.0, 4), (LABELS, OTHERS, LAM, 0.1, 5)],
        draw_targets,
        TARGET_WAYS,
    ),
    "stretches": Exercise(
        stretches,
        [(10, 2), (10, 3), (11, 3), (7, 1), (2, 3), (2500, 8)],
        draw_stretches,
        STRETCH_WAYS,
        judge=judge_stretches,
    ),
}
