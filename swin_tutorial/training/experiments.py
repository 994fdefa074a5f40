"""Named, seeded experiments and their recorded results (chapters 07, 08 and 11).

A result is a JSON file in ``data/results``.  For the runs that the chapters look into, the folder
is kept there too, weights included.
"""

import datetime
import json
import math
import shutil
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from swin_tutorial.data.augmentation import Augmentation
from swin_tutorial.data.paths import find_data, own_data_folder
from swin_tutorial.model import SwinConfig
from swin_tutorial.training import bars, loop
from swin_tutorial.training.bars import BarsConfig
from swin_tutorial.training.config import TrainingConfig, for_dataset
from swin_tutorial.training.intervals import mean_and_interval
from swin_tutorial.training.recipes import PRESETS
from swin_tutorial.training.run_folder import (
    CONFIG,
    METRICS,
    MISTAKES,
    SUMMARY,
    WEIGHTS,
    load_config,
    write_json,
)

SEEDS = (0, 1, 2)
TEN_SEEDS = tuple(range(10))
KEPT_FILES = (CONFIG, METRICS, SUMMARY, WEIGHTS, MISTAKES)


@dataclass(frozen=True)
class Experiment:
    """A configuration to train with several seeds.

    Args:
        config: what is trained; the seed in it is replaced.
        what: what the experiment shows, in words.
        seeds: those that are recorded.
        device: where it runs, "cpu" or "cuda": its seconds are part of what it shows.
        keeps_run: whether the folder of the run with seed 0 is kept.
    """

    config: TrainingConfig | BarsConfig
    what: str
    seeds: tuple[int, ...] = SEEDS
    device: str = "cpu"
    keeps_run: bool = False


# A minute on one core.  Padded images make maps of 16, 8 and 4 tokens a side, so that windows of 4
# need no padding, and the shift matters in two of three stages.
_ABLATION = TrainingConfig(
    SwinConfig(
        embed_dim=16,
        depths=(2, 2, 2),
        num_heads=(1, 2, 4),
        window_size=4,
        patch_size=2,
        drop_path_rate=0.0,
        backend="eager",
        init_std=None,
    ),
    Augmentation(flip_prob=0.5),
    data="fashion-mnist",
    image_padding=2,
    epochs=1,
    batch_size=64,
    lr=3e-3,
    warmup_epochs=0.1,
    ema_decay=0.99,
    bf16=True,
)


def _ablation(what: str, **without: bool) -> Experiment:
    model = replace(_ABLATION.model, **without)
    return Experiment(replace(_ABLATION, model=model), what, TEN_SEEDS)


def _deep(version: int) -> Experiment:
    """Return 24 blocks of Swin V1 or V2 in one stage, on the bundled images."""
    model = SwinConfig(
        version=version,
        embed_dim=32,
        depths=(24,),
        num_heads=(2,),
        window_size=4,
        patch_size=4,
        drop_path_rate=0.0,
        backend="eager",
        init_std=None,
    )
    config = replace(
        PRESETS["quick"], model=model, image_padding=2, epochs=3, lr=2e-3, ema_decay=0.99
    )
    return Experiment(config, f"24 blocks of Swin V{version} in a row", (0,), keeps_run=True)


EXPERIMENTS = {
    "quick": Experiment(PRESETS["quick"], "5 minutes on 2 cores, bundled images", keeps_run=True),
    "quick-resnet": Experiment(PRESETS["quick-resnet"], "a small ResNet, as many epochs"),
    "fashion-mnist-cpu": Experiment(
        PRESETS["fashion-mnist-cpu"],
        "a Swin whose windows really shift, all images",
        keeps_run=True,
    ),
    "fashion-mnist-cpu-resnet": Experiment(
        PRESETS["fashion-mnist-cpu-resnet"],
        "a small ResNet, all images, as many epochs",
        keeps_run=True,  # the teacher below
    ),
    "fashion-mnist-cpu-conv": Experiment(
        PRESETS["fashion-mnist-cpu-conv"], "the Swin with convolutions, 18 epochs"
    ),
    "fashion-mnist-cpu-distilled": Experiment(
        PRESETS["fashion-mnist-cpu-distilled"], "the same, taught by the ResNet too"
    ),
    "fashion-mnist": Experiment(PRESETS["fashion-mnist"], "all images, one GPU", device="cuda"),
    "fashion-mnist-resnet": Experiment(
        PRESETS["fashion-mnist-resnet"], "a ResNet, all images, one GPU", device="cuda"
    ),
    # What the mask is for (chapter 08).
    "ablation": _ablation("a small Swin, all images, one epoch"),
    "ablation-no-shift": _ablation("no shifted windows", use_shift=False),
    "ablation-no-mask": _ablation("shifted windows, no mask", use_mask=False),
    "ablation-no-bias": _ablation("no position bias", use_position_bias=False),
    "bars": Experiment(BarsConfig(), "two bars: do they touch?", TEN_SEEDS),
    "bars-no-mask": Experiment(BarsConfig(use_mask=False), "the same, no mask", TEN_SEEDS),
    "bars-no-mask-one-window": Experiment(
        BarsConfig(use_mask=False, one_last_window=True),
        "no mask, one window in the last stage",
        TEN_SEEDS,
    ),
    "panorama": Experiment(BarsConfig(task="panorama"), "two bars on a ring", TEN_SEEDS),
    "panorama-no-mask": Experiment(
        BarsConfig(task="panorama", use_mask=False), "the same, no mask", TEN_SEEDS
    ),
    "panorama-periodic": Experiment(
        BarsConfig(task="panorama", periodic=True), "the same, a periodic axis", TEN_SEEDS
    ),
    # What Swin V2 changed (chapter 11).
    "deep-v1": _deep(1),
    "deep-v2": _deep(2),
}


def configuration(name: str, seed: int) -> TrainingConfig | BarsConfig:
    """Return the configuration of an experiment; ValueError if there is none of that name."""
    if name not in EXPERIMENTS:
        raise ValueError(f"there is no experiment {name!r}: choose among {', '.join(EXPERIMENTS)}")
    return replace(EXPERIMENTS[name].config, seed=seed)


def can_run_here(name: str) -> bool:
    """Return whether this machine has what an experiment needs."""
    return EXPERIMENTS[name].device == "cpu" or torch.cuda.is_available()


def run(name: str, seed: int, folder: Path = Path("runs/experiments"), **options) -> dict:
    """Train an experiment, or go on with its run; record the result and return it.

    The run's folder is made in ``folder``; ``options`` go to ``loop.train``.  A run of ``bars`` has
    no folder: it takes less than a minute.
    """
    config = configuration(name, seed)
    run_folder = folder / f"{name}-seed{seed}"
    device = EXPERIMENTS[name].device
    results = own_data_folder() / "results"
    results.mkdir(parents=True, exist_ok=True)  # now, not after an hour of training
    if isinstance(config, BarsConfig):
        _, summary = bars.train(config)
        stored = bars.as_dict(config)
    else:
        summary = loop.train(config, run_folder, resume=True, device=device, **options)
        stored = load_config(run_folder).as_dict()
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    result = {"experiment": name, "seed": seed, "date": date, "config": stored, **summary}
    write_json(results / result_file(name, seed).name, result)
    if EXPERIMENTS[name].keeps_run and seed == 0:
        kept = results / run_folder.name
        kept.mkdir(exist_ok=True)
        for file in KEPT_FILES:
            shutil.copyfile(run_folder / file, kept / file)
    return result


def result_file(name: str, seed: int) -> Path:
    """Return where an experiment's result is recorded."""
    return find_data(f"results/{name}-seed{seed}.json")


def recorded(name: str, seed: int) -> dict | None:
    """Return a recorded result, None if there is none or one of another configuration.

    Raises ValueError, naming the file, if it cannot be read.
    """
    asked = configuration(name, seed)
    path = result_file(name, seed)
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text())
        return result if _is_of(result["config"], asked) else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged, or was recorded by a newer version ({error}): restore it, or "
            f"record it again with swin-tutorial experiments run {name} --seed {seed} --again"
        ) from error


def _is_of(stored: dict, asked: TrainingConfig | BarsConfig) -> bool:
    """Return whether a recorded configuration is the one that is asked for."""
    if isinstance(asked, BarsConfig):
        return bars.from_dict(stored) == asked
    had = TrainingConfig.from_dict(stored)
    return had == for_dataset(asked, had.model.in_chans, had.model.num_classes)


def unreadable() -> list[str]:
    """Return what is wrong with the recorded results that cannot be read, a line for each."""
    found = []
    for name, experiment in EXPERIMENTS.items():
        for seed in experiment.seeds:
            try:
                recorded(name, seed)
            except ValueError as error:
                found.append(str(error))
    return found


def paired_differences(name: str, baseline: str) -> list[float]:
    """Return an experiment's accuracies minus another's, for each seed that both have, in points.

    A point is a hundredth.  ``intervals`` says what such differences show.
    """
    pairs = [(recorded(name, s), recorded(baseline, s)) for s in EXPERIMENTS[name].seeds]
    return [100 * (a["test_accuracy"] - b["test_accuracy"]) for a, b in pairs if a and b]


def table() -> list[dict]:
    """Return a row for each experiment that has a result: its mean, interval and costs.

    Leaves out the results that ``unreadable`` names.
    """
    rows = []
    for name, experiment in EXPERIMENTS.items():
        found = [result for seed in experiment.seeds if (result := _readable(name, seed))]
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
                "dates": sorted({result["date"] for result in found if "date" in result}),
            }
        )
    return rows


def _readable(name: str, seed: int) -> dict | None:
    try:
        return recorded(name, seed)
    except ValueError:
        return None
