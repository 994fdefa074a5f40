"""A run of twelve steps that takes a second, and ways to kill it: for tests and their processes."""

import os
import signal
import sys

import pytest
import torch

from swin_tutorial.data.augmentation import Augmentation
from swin_tutorial.data.labelled import LabelledImages
from swin_tutorial.model import SwinConfig
from swin_tutorial.training import loop, run_folder
from swin_tutorial.training.config import TrainingConfig
from swin_tutorial.training.errors import Stopped, TrainingError

CONFIG = TrainingConfig(
    SwinConfig(
        embed_dim=8,
        depths=(2, 1),
        num_heads=(2, 4),
        window_size=2,
        patch_size=2,
        drop_rate=0.1,
        drop_path_rate=0.2,
    ),
    Augmentation(crop_padding=1, flip_prob=0.5, mixup=0.5),
    epochs=3,
    batch_size=8,
    grad_accum_steps=2,
    lr=3e-3,
    ema_decay=0.9,
    seed=5,
    save_every=2,
    log_every=3,
)
STEPS = 12


def images(count=36, seed=0):
    """Return noisy images of 8 x 12 pixels of three classes: rows, columns and plain ones."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 100, (count, 8, 12, 1), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 3, (count,), generator=generator)
    pixels[labels == 0, ::2] += 120
    pixels[labels == 1, :, ::2] += 120
    return LabelledImages(pixels, labels, ("rows", "columns", "plain"))


def run(folder, config=CONFIG, **options):
    """Train on 36 images, and test on 21 others."""
    both = (images(), images(21, seed=1))
    return loop.train(config, folder, device="cpu", images=both, progress=False, **options)


def run_and_die(folder, where, count):
    """Train, and be killed by SIGKILL when a function is called for the ``count``-th time."""
    owner, name = {"step": (loop, "take_step"), "rename": (os, "replace")}[where]
    original, calls = getattr(owner, name), []

    def deadly(*arguments, **options):
        calls.append(name)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, deadly)
    run(folder)


def run_on_a_full_disk(folder, limit):
    """Train where no file can grow beyond ``limit`` bytes; exit with 7 if the error says so."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(TrainingError, match=r"cannot write .* last good checkpoint is kept"):
        run(folder, resume=True)
    os._exit(7)


def run_as_one_of_many(folder, rank, world_size, port, config, end=None, restarts=0, told=None):
    """Train as torchrun would make a process do.

    ``end`` is the name of a signal that the last process gets in its fifth step, and it alone.
    ``told`` is a folder for a file with the error of each process.
    """
    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "MASTER_PORT": port}
    names |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test"}
    names |= {"TORCHELASTIC_RESTART_COUNT": restarts}
    os.environ.update({name: str(value) for name, value in names.items()})
    if end and rank == world_size - 1:
        _send_in_fifth_step(signal.Signals[end])
    written = []
    original = run_folder.write_file

    def watched(path, *arguments, **options):
        written.append(path)
        return original(path, *arguments, **options)

    run_folder.write_file = watched
    try:
        run(folder, config)
    except Stopped:
        os._exit(9)
    except TrainingError as error:
        assert not written
        (told / str(rank)).write_text(str(error))
        os._exit(8)
    finally:
        assert bool(written) == (rank == 0)


def _send_in_fifth_step(number):
    original = loop.take_step

    def interrupted(state, *arguments):
        if state.step == 4:
            os.kill(os.getpid(), number)
        return original(state, *arguments)

    loop.take_step = interrupted


if __name__ == "__main__":  # under torchrun
    torch.set_num_threads(1)
    rank, restarts = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
    sys.stdout.write(f"process {rank}, restart {restarts}\n")  # in one piece
    if (rank, restarts) == ("1", "0"):
        _send_in_fifth_step(signal.SIGKILL)
    run(sys.argv[1])
