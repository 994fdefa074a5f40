"""The training loop: one process or many, stopped and resumed at any step (chapters 07 and 12).

A run is a folder.  Everything random in it is drawn from (seed, step, rank): the batch, its
augmentation, and what stochastic depth leaves out.  So the number of the step is the whole position
of a run, no state of a random generator is kept, and on a CPU a resumed run goes on bit for bit.
"""

import contextlib
import copy
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import safetensors.torch
import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from swin_tutorial import runs
from swin_tutorial.augmentation import generator
from swin_tutorial.data import (
    IMAGE_SETS,
    DeviceBatches,
    FolderBatches,
    ImageFolder,
    LabelledImages,
    evaluation_batches,
    image_folder,
    load_images,
)
from swin_tutorial.evaluation import Evaluation, evaluate, worst_mistakes
from swin_tutorial.processes import (
    StopSignals,
    any_process,
    deterministic,
    device_name,
    keep_freed_memory,
    processes,
    rank,
    total_over_processes,
    world_size,
)
from swin_tutorial.recipes import TrainingConfig, build_model, fitted
from swin_tutorial.runs import Stopped, TrainingError

Images = LabelledImages | ImageFolder
EVALUATION_BATCH = 500  # images at a time in each process


# --- one step ---


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Part the parameters into those that decay and those that do not, for AdamW.

    Biases, norms and the scale of V2's scores do not; nor does what makes the position bias, V1's
    table and V2's network.  Source: the official code.  The paper gives the decay alone, 0.05.
    """
    decaying, free = [], []
    for name, parameter in model.named_parameters():
        is_position = any(part in name for part in ("relative_position_bias", "cpb_mlp"))
        is_free = parameter.ndim < 2 or is_position or name.endswith("logit_scale")
        (free if is_free else decaying).append(parameter)
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]


def learning_rate(step: int, steps_per_epoch: int, config: TrainingConfig) -> float:
    """Return the learning rate of a step, counted from 0: a line up, then half a cosine down."""
    warmup, total = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(total - warmup, 1)
    return config.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def training_step(
    forward: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Float[Tensor, "b rgb h w"],
    targets: Float[Tensor, "b classes"],
    config: TrainingConfig,
) -> Float[Tensor, "2"]:
    """Change the weights once, and return the loss and the norm of its gradient.

    Both stay on the device: asking for a number would make a GPU wait for us in every step.
    """
    optimizer.zero_grad()
    loss = torch.zeros((), device=images.device)
    parts, wanted_parts = images.chunk(config.accumulation), targets.chunk(config.accumulation)
    for number, (part, wanted) in enumerate(zip(parts, wanted_parts, strict=True), start=1):
        # Many processes add up their gradients only once they are complete.
        is_early = number < len(parts) and hasattr(forward, "no_sync")
        with forward.no_sync() if is_early else contextlib.nullcontext():
            with torch.autocast(images.device.type, torch.bfloat16, enabled=config.bf16):
                scores = forward(part)
            each = F.cross_entropy(scores.float(), wanted, label_smoothing=config.label_smoothing)
            share = each * len(part) / len(images)
            share.backward()
        loss += share.detach()
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, config.clip_norm)
    optimizer.step()
    return torch.stack([loss, norm])


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move averaged weights a little towards the model's: further in the first steps of a run."""
    decay = min(decay, (1 + step) / (10 + step))
    ours, theirs = average.state_dict(), model.state_dict()
    floating = [name for name in ours if ours[name].is_floating_point()]
    torch._foreach_lerp_(
        [ours[name] for name in floating], [theirs[name] for name in floating], 1 - decay
    )


# --- a run ---


class Run:
    """A model on its way from random weights to trained ones, and its folder.

    Every process makes one.  Only process 0 writes to the folder, but all of them read it.
    """

    def __init__(self, config: TrainingConfig, folder: Path, images: tuple, device: torch.device):
        train_images, self.test_images = images
        self.config, self.folder, self.device = config, folder, device
        batches = FolderBatches if isinstance(train_images, ImageFolder) else DeviceBatches
        self.batches = batches(
            train_images,
            config.batch_size,
            device,
            config.seed,
            config.augmentation,
            rank(),
            world_size(),
        )
        self.steps = config.epochs * len(self.batches)
        self.model = build_model(config).to(device)
        self.average = copy.deepcopy(self.model) if config.ema_decay else None
        groups = parameter_groups(self.model, config.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, fused=True)
        self.step = 0
        self.sums = torch.zeros(
            3, device=device
        )  # loss, gradient norm and steps since the last log
        self.seconds = {"training": 0.0, "evaluation": 0.0}

        forward = self.model
        if dist.is_initialized():
            forward = DistributedDataParallel(forward)
        self.forward = torch.compile(forward) if config.compile else forward
        self.writer = None

    def start(self, checkpoint: dict | None) -> None:
        """Begin, or go on from a checkpoint."""
        if checkpoint:
            self.model.load_state_dict(checkpoint["model"])
            if self.average is not None:
                self.average.load_state_dict(checkpoint["average"])
            self.optimizer.load_state_dict(checkpoint["optimizer"])
            self.step, self.seconds = checkpoint["step"], checkpoint["seconds"]
            self.sums = checkpoint["sums"].to(self.device)
        if rank() == 0:
            runs.write_json(self.folder / runs.CONFIG, self.config.as_dict())
            runs.cut_metrics(self.folder, self.step)
            self.writer = runs.tensorboard_writer(self.folder, self.step)
        self.clock = time.perf_counter()

    def take_step(self, images: Tensor, targets: Tensor) -> None:
        """Make one training step, with what is random in the model drawn for it alone."""
        config = self.config
        torch.manual_seed(int(generator("model", config.seed, self.step, rank()).integers(2**63)))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, len(self.batches), config)
        loss_and_norm = training_step(self.forward, self.optimizer, images, targets, config)
        self.sums += F.pad(loss_and_norm, (0, 1), value=1.0)
        if self.average is not None:
            update_average(self.average, self.model, config.ema_decay, self.step)
        self.step += 1

    def log(self) -> dict:
        """Write down the means since the last log; all processes' together."""
        total_over_processes(self.sums)
        self.check()
        loss, norm, steps = self.sums.tolist()
        self.sums.zero_()
        self.lap("training")
        return self.note(
            loss=loss / steps,
            gradient_norm=norm / steps,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            images_per_second=self.images_per_second,
        )

    def evaluate(self) -> Evaluation:
        """Try the model on the test images, and write down how it did."""
        self.check()
        self.lap("training")
        found = evaluate(self.kept_model, self.test_batches(), len(self.test_images.classes))
        self.lap("evaluation")
        self.note(
            test_accuracy=found.accuracy,
            test_loss=found.loss,
            class_accuracies=found.class_accuracies,
        )
        return found

    def save(self) -> None:
        """Write a checkpoint, and keep the one before."""
        total_over_processes(self.sums)  # what is loaded again is the same in all of them
        self.sums /= world_size()
        self.check()
        self.lap("training")
        if rank() == 0:
            runs.save_checkpoint(self.folder, self.checkpoint())

    def checkpoint(self) -> dict:
        """Return all that a run needs to go on, as tensors and plain values."""
        return {
            "config": self.config.as_dict(),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "sums": self.sums,
            "seconds": self.seconds,
        }

    def finish(self, found: Evaluation) -> dict:
        """Write the trained model, its summary and its worst mistakes; return the summary."""
        weights = {k: v.contiguous().cpu() for k, v in self.kept_model.state_dict().items()}
        weights = safetensors.torch.save(weights)
        summary = {
            "test_accuracy": found.accuracy,
            "test_images": int(found.confusion.sum()),
            "classes": list(self.test_images.classes),
            "class_accuracies": found.class_accuracies,
            "confusion": found.confusion.tolist(),
            "parameters": sum(one.numel() for one in self.model.parameters()),
            "seconds": round(sum(self.seconds.values()), 1),
            "images_per_second": round(self.images_per_second, 1),
            "device": device_name(self.device),
            "processes": world_size(),
            "torch": torch.__version__,
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        if rank() == 0:
            alone = evaluation_batches(self.test_images, EVALUATION_BATCH, self.device)
            mistakes = safetensors.torch.save(worst_mistakes(self.kept_model, alone))
            runs.write_file(self.folder / runs.MISTAKES, mistakes)
            runs.write_file(self.folder / runs.WEIGHTS, weights)
            runs.write_json(self.folder / runs.SUMMARY, summary)
        return summary

    # Smaller parts of the above.

    @property
    def kept_model(self) -> nn.Module:
        """The model that is evaluated and kept: the averaged one, if there is an average."""
        return self.model if self.average is None else self.average

    @property
    def images_per_second(self) -> float:
        """Training images per second, of all processes, since the run began."""
        return self.step * self.config.batch_size / self.seconds["training"]

    def described(self, found: Evaluation) -> str:
        """Return a line about an evaluation, for those who watch."""
        epoch, speed = self.step // len(self.batches), f"{self.images_per_second:,.0f}"
        return f"epoch {epoch}: {found.accuracy:.2%} of the test images, {speed} images/s"

    def test_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return this process's part of the test images."""
        batch = EVALUATION_BATCH * world_size()
        return evaluation_batches(self.test_images, batch, self.device, rank(), world_size())

    def note(self, **values) -> dict:
        """Add a line to the metrics, and to TensorBoard's where that is installed."""
        line = {"step": self.step, "epoch": self.step / len(self.batches), **values}
        line["seconds"] = sum(self.seconds.values())
        if rank() == 0:
            runs.append_metrics(self.folder, line)
        if self.writer:
            for name, value in values.items():
                if isinstance(value, float):
                    self.writer.add_scalar(name, value, self.step)
        return line

    def check(self) -> None:
        """Raise TrainingError if a loss or a gradient since the last log was not finite."""
        if not self.sums.isfinite().all():
            raise TrainingError(
                f"the loss or its gradient became infinite or NaN shortly before step {self.step}. "
                f"The last good checkpoint is kept in {self.folder}.  To get past this step, start "
                f"anew with a lower --learning-rate (it is {self.config.learning_rate}) or "
                f"--clip-norm ({self.config.clip_norm})"
            )

    def lap(self, what: str) -> None:
        """Count the seconds since the last lap as spent on ``what``."""
        now = time.perf_counter()
        self.seconds[what] += now - self.clock
        self.clock = now


def load_data(config: TrainingConfig, data_folder: Path | None = None) -> tuple[Images, Images]:
    """Return the training and the test images of a run: a known set, or those of a folder.

    A folder has the folders ``train`` and ``val``, each with one for each class, as ImageNet has.
    Raises FileNotFoundError or ValueError, naming the file, if something is missing or damaged.
    """
    if config.data in IMAGE_SETS:
        train, test = (load_images(config.data, split, data_folder) for split in ("train", "test"))
        return train, test
    folder = (data_folder or Path()) / config.data
    if not folder.is_dir():
        raise FileNotFoundError(
            f"--data {config.data} is none of {', '.join(IMAGE_SETS)}, and there is no folder "
            f"{folder}"
        )
    for split in ("train", "val"):
        if not (folder / split).is_dir():
            raise FileNotFoundError(
                f"there is no folder {folder / split}: --data {config.data} must have the folders "
                "train and val, and each of them a folder for each class"
            )
    train = image_folder(folder / "train", config.image_size)
    return train, image_folder(folder / "val", config.image_size, like=train)


def load_run(folder: Path) -> tuple[TrainingConfig, nn.Module]:
    """Return the configuration and the trained model of a finished run.

    Raises FileNotFoundError if the folder has none.
    """
    config = TrainingConfig.from_dict(json.loads((folder / runs.CONFIG).read_text()))
    model = build_model(config)
    model.load_state_dict(safetensors.torch.load_file(folder / runs.WEIGHTS))
    return config, model.eval()


def evaluate_run(folder: Path, data_folder: Path | None = None) -> Evaluation:
    """Return how well the trained model of a finished run does on its test images.

    Raises FileNotFoundError or ValueError as ``load_run`` and ``load_data`` do, and ValueError if
    the images are of other classes than those that the model was trained on.
    """
    config, model = load_run(folder)
    _, images = load_data(config, data_folder)
    trained_on = json.loads((folder / runs.SUMMARY).read_text())["classes"]
    if list(images.classes) != trained_on:
        raise ValueError(
            f"the classes of {config.data} are {', '.join(images.classes)}, and the model in "
            f"{folder} was trained on {', '.join(trained_on)}: restore the data, or train anew"
        )
    batches = evaluation_batches(images, EVALUATION_BATCH, "cpu")
    return evaluate(model, batches, len(images.classes))


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
        progress: show a bar, and a line for each look at the test images.

    Raises TrainingError if the run cannot begin or go on, Stopped if it was interrupted.
    """
    folder = Path(folder)
    resume = resume or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    with processes(device) as here, deterministic(here), StopSignals() as signals:
        if here.type == "cpu":
            keep_freed_memory()
        images = images or load_data(config, data_folder)
        config = fitted(config, len(images[0].mean), len(images[0].classes))
        checkpoint = runs.begin(folder, config.as_dict(), resume)
        if dist.is_initialized():
            dist.barrier()  # nobody writes before everybody has read
        run = Run(config, folder, images, here)
        run.start(checkpoint)
        return run.finish(loop(run, signals, progress and rank() == 0))


def loop(run: Run, signals: StopSignals, progress: bool) -> Evaluation:
    """Take the run from where it stands to its last step; return the last evaluation."""
    config, per_epoch = run.config, len(run.batches)
    found = None
    visible = progress and (sys.stderr.isatty() or "ipykernel" in sys.modules)
    # Closed whatever happens, so that an error begins a line of its own.
    with tqdm(total=run.steps, initial=run.step, unit="step", disable=not visible) as bar:
        while run.step < run.steps:
            epoch, start = divmod(run.step, per_epoch)
            for images, targets in run.batches.epoch(epoch, start):
                run.take_step(images, targets)
                bar.update()
                is_last = run.step == run.steps
                is_logged = is_last or run.step % config.log_every == 0
                if is_logged:
                    line = run.log()
                    bar.set_postfix_str(f"loss {line['loss']:.3f}")
                if is_last or run.step % (config.evaluate_every * per_epoch) == 0:
                    found = run.evaluate()
                    if progress:
                        tqdm.write(run.described(found), file=sys.stderr)
                # Many processes have to agree, which costs them a wait for each other.
                may_stop = is_logged or world_size() == 1
                stop = may_stop and any_process(signals.received, run.device)
                if stop or is_last or run.step % config.save_every == 0:
                    run.save()
                if stop and not is_last:
                    raise Stopped(
                        f"stopped at step {run.step} of {run.steps}, which is saved in "
                        f"{run.folder}: go on with --resume",
                        signals.received,
                    )
    # Nothing is left of the last evaluation if the run was killed right after its last step.
    return found or evaluate(run.kept_model, run.test_batches(), len(run.test_images.classes))
