"""Named, seeded experiments and their recorded results (chapters 07 and 08).

A result is a JSON file in ``data/results``.  For the runs that the chapters look into, the folder
is kept there too, weights included.
"""

import json
import math
import shutil
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from swin_tutorial.data.augmentation import Augmentation
from swin_tutorial.data.paths import data_folder
from swin_tutorial.training import loop
from swin_tutorial.training.config import TrainingConfig, for_dataset
from swin_tutorial.training.recipes import PRESETS
from swin_tutorial.training.run_folder import (
    CONFIG,
    METRICS,
    MISTAKES,
    SUMMARY,
    WEIGHTS,
    write_json,
)

SEEDS = (0, 1, 2)
# Student's t, two-sided 95 %, by the number of values: the factor of a mean's standard error.
STUDENT_T = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776}
KEPT_FILES = (CONFIG, METRICS, SUMMARY, WEIGHTS, MISTAKES)


@dataclass(frozen=True)
class Experiment:
    """A configuration to train with several seeds.

    Args:
        config: what is trained; the seed in it is replaced.
        what: what the experiment shows, in words.
        device: where it runs, "cpu" or "cuda": its seconds are part of what it shows.
        keeps_run: whether the folder of the run with seed 0 is kept.
    """

    config: TrainingConfig
    what: str
    device: str = "cpu"
    keeps_run: bool = False


_QUICK = PRESETS["quick"]
_SHORT = replace(_QUICK, epochs=5, evaluate_every=5)
_NO_SHIFT = replace(_SHORT, model=replace(_SHORT.model, use_shift=False))
_NO_MASK = replace(_SHORT, model=replace(_SHORT.model, use_mask=False))
EXPERIMENTS = {
    "quick": Experiment(_QUICK, "5 minutes on 2 cores, bundled images", keeps_run=True),
    "quick-resnet": Experiment(PRESETS["quick-resnet"], "a small ResNet, as many epochs"),
    "fashion-mnist-cpu": Experiment(
        PRESETS["fashion-mnist-cpu"],
        "all images, 38 minutes on 2 cores or 67 on one",
        keeps_run=True,
    ),
    "fashion-mnist": Experiment(PRESETS["fashion-mnist"], "all images, one GPU", device="cuda"),
    "fashion-mnist-resnet": Experiment(
        PRESETS["fashion-mnist-resnet"], "a ResNet, all images, one GPU", device="cuda"
    ),
    # What each ingredient buys.
    "short": Experiment(_SHORT, "quick, cut down to five epochs"),
    "short-no-shift": Experiment(_NO_SHIFT, "no shifted windows"),
    "short-no-mask": Experiment(_NO_MASK, "shifted windows, no mask"),
    "short-no-average": Experiment(replace(_SHORT, ema_decay=0.0), "no average of the weights"),
    "short-no-augmentation": Experiment(
        replace(_SHORT, augmentation=Augmentation()), "images as they are"
    ),
    "short-no-smoothing": Experiment(replace(_SHORT, label_smoothing=0.0), "no label smoothing"),
    "short-no-warmup": Experiment(replace(_SHORT, warmup_epochs=0.0), "no warm-up"),
    "short-no-decay": Experiment(replace(_SHORT, weight_decay=0.0), "no weight decay"),
    "short-no-clipping": Experiment(replace(_SHORT, clip_norm=0.0), "no clipping"),
}


def configuration(name: str, seed: int) -> TrainingConfig:
    """Return the configuration of an experiment; ValueError if there is none of that name."""
    if name not in EXPERIMENTS:
        raise ValueError(f"there is no experiment {name!r}: choose among {', '.join(EXPERIMENTS)}")
    return replace(EXPERIMENTS[name].config, seed=seed)


def can_run_here(name: str) -> bool:
    """Return whether this machine has what an experiment needs."""
    return EXPERIMENTS[name].device == "cpu" or torch.cuda.is_available()


def run(name: str, seed: int, folder: Path = Path("runs/experiments"), **options) -> dict:
    """Train an experiment, or go on with its run; record the result and return it.

    The run's folder is made in ``folder``; ``options`` go to ``loop.train``.
    """
    config = configuration(name, seed)
    run_folder = folder / f"{name}-seed{seed}"
    device = EXPERIMENTS[name].device
    summary = loop.train(config, run_folder, resume=True, device=device, **options)
    stored = json.loads((run_folder / CONFIG).read_text())
    result = {"experiment": name, "seed": seed, "config": stored, **summary}
    results = data_folder() / "results"
    results.mkdir(exist_ok=True)
    write_json(result_file(name, seed), result)
    if EXPERIMENTS[name].keeps_run and seed == 0:
        kept = results / run_folder.name
        kept.mkdir(exist_ok=True)
        for file in KEPT_FILES:
            shutil.copyfile(run_folder / file, kept / file)
    return result


def result_file(name: str, seed: int) -> Path:
    """Return where an experiment's result is recorded."""
    return data_folder() / "results" / f"{name}-seed{seed}.json"


def recorded(name: str, seed: int) -> dict | None:
    """Return a recorded result, None if there is none or one of another configuration."""
    asked = configuration(name, seed)
    path = result_file(name, seed)
    if not path.exists():
        return None
    result = json.loads(path.read_text())
    had = TrainingConfig.from_dict(result["config"])
    return result if had == for_dataset(asked, had.model.in_chans, had.model.num_classes) else None


def mean_and_interval(values: list[float]) -> tuple[float, float]:
    """Return a mean, and half the width of its 95 % confidence interval (Student's t).

    Raises KeyError for fewer than 2 or more than 5 values.
    """
    error = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), STUDENT_T[len(values)] * error


def table() -> list[dict]:
    """Return a row for each experiment that has a result: its mean, interval and costs."""
    rows = []
    for name, experiment in EXPERIMENTS.items():
        found = [result for seed in SEEDS if (result := recorded(name, seed))]
        if not found:
            continue
        accuracies = [result["test_accuracy"] for result in found]
        mean, half = mean_and_interval(accuracies) if len(found) > 1 else (accuracies[0], math.nan)
        rows.append(
            {
                "experiment": name,
                "what": experiment.what,
                "runs": len(found),
                "accuracy": mean,
                "interval": half,
                "parameters": found[0]["parameters"],
                "seconds": statistics.mean(result["seconds"] for result in found),
                "images_per_second": statistics.mean(r["images_per_second"] for r in found),
                "devices": sorted({result["device"] for result in found}),
            }
        )
    return rows
