"""The training loop: one process or many, stopped and resumed at any step (chapters 07 and 12).

Read it from top to bottom; ``step.take_step`` is the only call that changes weights.
"""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from swin_tutorial.data.batches import DeviceBatches, FolderBatches, evaluation_batches
from swin_tutorial.data.folders import ImageFolder
from swin_tutorial.training.checkpoint import all_finite, differences
from swin_tutorial.training.config import TrainingConfig, for_dataset
from swin_tutorial.training.datasets import Images, load_data
from swin_tutorial.training.distillation import Teacher, load_teacher
from swin_tutorial.training.errors import Stopped, TrainingError
from swin_tutorial.training.evaluation import (
    EVALUATION_BATCH,
    Evaluation,
    evaluate_images,
    worst_mistakes,
)
from swin_tutorial.training.files import has_checkpoint
from swin_tutorial.training.machine import (
    check_compiler,
    deterministic,
    is_out_of_memory,
    keep_freed_memory,
    named_memory_errors,
    own_random_state,
)
from swin_tutorial.training.meter import Meter
from swin_tutorial.training.processes import (
    StopSignals,
    any_process,
    machine,
    processes,
    rank,
    world_size,
)
from swin_tutorial.training.rehearsal import rehearse
from swin_tutorial.training.run_folder import RunFolder
from swin_tutorial.training.step import TrainState, initial_state, take_step


def train(
    config: TrainingConfig,
    folder: Path | str,
    resume: bool = False,
    device: str | None = None,
    images: tuple[Images, Images] | None = None,
    data_folder: Path | None = None,
    progress: bool = True,
) -> dict:
    """Train a model, and return the summary of the run.

    Args:
        config: what to train, on what, and how.
        folder: where the run's files go.
        resume: go on from the folder's checkpoint, if there is one.  When torchrun restarts its
            processes after a failure, those on the machine where it happened do so unasked.
        device: "cpu", "cuda" and so on; by default the GPU if there is one.
        images: training and test images, in place of those that ``config.data`` names.
        data_folder: where to look for the data first.
        progress: show a bar, and a line for each evaluation.

    Raises ValueError for a configuration that does not fit the images or the machine, TrainingError
    if the run cannot begin or go on, and Stopped if a signal stopped it.
    """
    resume = resume or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    with (
        processes(device) as here,
        own_random_state(here),
        deterministic(here),
        named_memory_errors(),
        StopSignals() as signals,
    ):
        if here.type == "cpu":
            keep_freed_memory()
        if config.compile:
            check_compiler(here, "--no-compile")
        images = images or load_data(config, data_folder)
        train_images, test_images = images
        config = for_dataset(config, len(train_images.mean), len(train_images.classes))
        fingerprints = {
            "training images": train_images.fingerprint(),
            "test images": test_images.fingerprint(),
        }
        teacher = load_teacher(config, here)
        if teacher:
            fingerprints["teacher weights"] = teacher.fingerprint
        with RunFolder(Path(folder), config, fingerprints, machine(here)) as run_folder:
            shown = progress and rank() == 0
            return loop(config, run_folder, resume, here, images, teacher, signals, shown)


def loop(
    config: TrainingConfig,
    run_folder: RunFolder,
    resume: bool,
    device: torch.device,
    images: tuple[Images, Images],
    teacher: Teacher | None,
    signals: StopSignals,
    progress: bool,
) -> dict:
    """Take a run from where it stands to its last step, and return its summary."""
    # The data: every process gets its own slice of each batch.
    train_images, test_images = images
    batches_of = FolderBatches if isinstance(train_images, ImageFolder) else DeviceBatches
    draws = (config.seed, config.augmentation, rank(), world_size())
    batches = batches_of(train_images, config.batch_size, device, *draws)
    steps_per_epoch = len(batches)
    total_steps = config.epochs * steps_per_epoch

    # The run: a state and a meter, both kept in checkpoints.
    state, meter = initial_state(config, device), Meter(device)
    rehearse(state.model, config, train_images)
    checkpoint = run_folder.begin(resume)
    if checkpoint:
        go_on(checkpoint, state, meter, run_folder)
        if state.step < total_steps:
            log_other_machine(checkpoint, run_folder, progress)

    # The same model, wrapped: to add up gradients over the processes, and to run faster.
    forward = DistributedDataParallel(state.model) if dist.is_initialized() else state.model
    forward = torch.compile(forward) if config.compile else forward

    def log(**values) -> None:
        position = {"step": state.step, "epoch": state.step / steps_per_epoch}
        run_folder.log_metrics(position | values | {"seconds": sum(meter.seconds.values())})

    def images_per_second() -> float:
        return state.step * config.batch_size / meter.seconds["training"]

    found = None
    with progress_bar(state.step, total_steps, progress) as bar:
        for x, targets in batches_from(batches, state.step, total_steps):
            # Take one step.
            targets = teacher.mix_into(targets, x) if teacher else targets
            meter.add(take_step(state, forward, x, targets, steps_per_epoch, config))
            bar.update()

            # See what is due.  To stop, many processes must agree, which makes them wait for each
            # other, so they ask only when they log.
            log_due, evaluation_due, save_due = due(state.step, steps_per_epoch, config)
            stop = (log_due or world_size() == 1) and any_process(signals.received, device)
            save_due = save_due or stop

            # Take the time, and make sure that no broken model is logged, evaluated or saved.
            if log_due or evaluation_due or save_due:
                is_broken = not (meter.is_finite() and all_finite(state.state_dict()))
                if any_process(is_broken, device):
                    raise diverged(state.step, run_folder.path, config)
                meter.split_time("training")

            # Log the means since the last log.
            if log_due:
                means = meter.pop_means()
                lr = state.optimizer.param_groups[0]["lr"]
                log(**means, lr=lr, images_per_second=images_per_second())
                bar.set_postfix_str(f"loss {means['loss']:.3f}")

            # Evaluate on the test images.
            if evaluation_due:
                found = evaluate_images(state.eval_model, test_images, device)
                meter.split_time("evaluation")
                if not math.isfinite(found.loss):
                    raise diverged(state.step, run_folder.path, config)
                log(**found.as_metrics())
                if progress:
                    epoch, speed = state.step // steps_per_epoch, images_per_second()
                    text = f"{found.accuracy:.2%} of the test images, {speed:,.0f} images/s"
                    tqdm.write(f"epoch {epoch}: {text}", file=sys.stderr)

            # Save a checkpoint.
            if save_due:
                run_folder.save_checkpoint(state.state_dict() | {"meter": meter.state_dict()})

            # Stop, if a signal came.
            if stop and state.step < total_steps:
                raise stopped(state.step, total_steps, run_folder.path, signals.received)

    if found is None:  # killed right after the last step, which lost the evaluation
        found = evaluate_images(state.eval_model, test_images, device)
    return finish(run_folder, state, found, test_images, device, meter, images_per_second())


def due(step: int, steps_per_epoch: int, config: TrainingConfig) -> tuple[bool, bool, bool]:
    """Return whether to log, to evaluate and to save after a step.  After the last one, all."""
    is_last = step == config.epochs * steps_per_epoch
    log, evaluation, save = (
        is_last or step % every == 0
        for every in (config.log_every, config.evaluate_every * steps_per_epoch, config.save_every)
    )
    return log, evaluation, save


def go_on(checkpoint: dict, state: TrainState, meter: Meter, run_folder: RunFolder) -> None:
    """Go on from a checkpoint.  TrainingError if it does not fit the model."""
    try:
        state.load_state_dict(checkpoint)
        meter.load_state_dict(checkpoint["meter"])
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise TrainingError(
            f"the checkpoint in {run_folder.path} does not fit the model that its configuration "
            "describes: another version of swin_tutorial made it.  Use that, or another --folder"
        ) from error


def log_other_machine(checkpoint: dict, run_folder: RunFolder, progress: bool) -> None:
    """Log what differs between this machine and the one that made the checkpoint, if anything."""
    changes = differences(checkpoint.get("machine", run_folder.machine), run_folder.machine)
    if not changes:
        return
    run_folder.log_metrics({"step": checkpoint["step"], "resumed_elsewhere": changes})
    if progress:
        text = "rounding differs there, so an undisturbed run would not end with the same bits"
        tqdm.write(f"resumed elsewhere ({'; '.join(changes)}): {text}", file=sys.stderr)


def batches_from(
    batches: DeviceBatches | FolderBatches, step: int, total_steps: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches from a step on, counted from the start of the run, epoch after epoch."""
    while step < total_steps:
        epoch, first = divmod(step, len(batches))
        yield from batches.epoch(epoch, first)
        step += len(batches) - first


def finish(
    run_folder: RunFolder,
    state: TrainState,
    found: Evaluation,
    test_images: Images,
    device: torch.device,
    meter: Meter,
    images_per_second: float,
) -> dict:
    """Write the trained model, its worst mistakes and a summary; return the summary."""
    summary = {
        "test_accuracy": found.accuracy,
        "test_images": int(found.confusion.sum()),
        "classes": list(test_images.classes),
        "class_accuracies": found.class_accuracies,
        "confusion": found.confusion.tolist(),
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "seconds": round(sum(meter.seconds.values()), 1),
        "images_per_second": round(images_per_second, 1),
        "fingerprints": run_folder.fingerprints,
        **run_folder.machine,
    }
    mistakes = {}
    if rank() == 0:
        test_batches = evaluation_batches(test_images, EVALUATION_BATCH, device)
        mistakes = worst_mistakes(state.eval_model, test_batches)
    return run_folder.finish(state.eval_model, mistakes, summary)


def progress_bar(step: int, total_steps: int, progress: bool) -> tqdm:
    """Return a bar that shows only where somebody watches: in a terminal or a notebook."""
    visible = progress and (sys.stderr.isatty() or "ipykernel" in sys.modules)
    return tqdm(total=total_steps, initial=step, unit="step", disable=not visible)


def stopped(step: int, total_steps: int, folder: Path, signal: int) -> Stopped:
    """Return the error for a run that a signal stopped."""
    return Stopped(
        f"stopped at step {step} of {total_steps}, which is saved in {folder}: go on with --resume",
        signal,
    )


def diverged(step: int, folder: Path, config: TrainingConfig) -> TrainingError:
    """Return the error for a loss, a gradient or weights that are not finite."""
    kept = f"The last good checkpoint is kept in {folder}"
    if not has_checkpoint(folder):
        kept = "No checkpoint was saved before"
    clip = f"a lower --clip-norm (it is {config.clip_norm})"
    if not config.clip_norm:
        clip = "a --clip-norm, such as 1 (there is none)"
    return TrainingError(
        f"the loss, its gradient or the weights became infinite or NaN shortly before step {step}. "
        f"{kept}.  To get past this step, start anew in another --folder with a lower --lr (it is "
        f"{config.lr}) or {clip}"
    )
